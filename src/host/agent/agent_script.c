/* SPDX-License-Identifier: Apache-2.0 */
/* The user's own scripts, in resource.d or init.d (heartbeat §11.2): `path arguments… action`.  Whether
 * one is held is read from what its `status` says, never from its exit code. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent.h"
#include "agent_util.h"
#include "hv_text.h"

enum { OUTPUT_BYTES = 4096, ARGS_MAX = 32, SCRIPT_BYTES_MAX = 256 * 1024 };

static bool find(const struct agent_request *r, char path[AGENT_PATH_BYTES], struct hv_diag *diag)
{
    const char *name = agent_get(r, "script"), *given = agent_get(r, "dir");
    const char *const places[] = {*given ? given : "/etc/ha.d/resource.d", "/etc/init.d"};
    struct stat st;

    for (size_t i = 0; i < 2; i++) {
        char in[AGENT_PATH_BYTES];
        snprintf(in, sizeof in, "%.2000s/%.255s", places[i], name);
        if (*name && !strchr(name, '/') && agent_path(path, r, in) && !stat(path, &st) &&
            S_ISREG(st.st_mode) && !access(path, X_OK))
            return true;
    }
    hv_diag_set(diag, "Cannot locate resource script %s: it is neither in %s nor in %s%s", name,
        places[0], places[1], *name && !stat(path, &st) ? " (is it executable?)" : "");
    return false;
}

/* A script that does not contain the word does not know the question; whatever it would do when asked
 * (the usual one restarts its service) must not be done every few seconds. */
static bool knows_status(const char *path)
{
    bool knows = true;
    char *text = malloc(SCRIPT_BYTES_MAX);

    if (text && agent_read_file(path, text, SCRIPT_BYTES_MAX) > 0) {
        bool binary = !strncmp(text,
            "\x7f"
            "ELF",
            4);
        knows = binary || strstr(text, "status");
    }
    free(text);
    return knows;
}

static bool contains_word(const char *text, const char *word)
{
    size_t n = strlen(word);

    for (; *text; text++)
        if (!strncasecmp(text, word, n))
            return true;
    return false;
}

static int run(const struct agent_request *r, const char *path, const char *action, char *output)
{
    char *argv[ARGS_MAX + 3];
    const char *args[ARGS_MAX];
    size_t n = agent_all(r, "arg", args, ARGS_MAX), i = 0;

    argv[i++] = (char *)(uintptr_t)path;
    for (size_t a = 0; a < n; a++)
        argv[i++] = (char *)(uintptr_t)args[a];
    argv[i++] = (char *)(uintptr_t)action;
    argv[i] = NULL;
    return agent_run_program(path, argv, output, OUTPUT_BYTES);
}

static int script_monitor(const struct agent_request *r, const char *path)
{
    char output[OUTPUT_BYTES];

    if (!knows_status(path))
        return AGENT_CANNOT_TELL;
    run(r, path, "status", output);
    if (contains_word(output, "not running"))
        return AGENT_NOT_RUNNING;
    if (strstr(output, "running") || strstr(output, "Running") || strstr(output, "OK"))
        return AGENT_OK;
    return AGENT_NOT_RUNNING;
}

static void one_line(char *text)
{
    size_t n = strlen(text);

    while (n && isspace((unsigned char)text[n - 1]))
        text[--n] = 0;
    for (; *text; text++)
        if (*text == '\n')
            *text = ' ';
}

int agent_script(const struct agent_request *r, enum agent_action action, struct hv_diag *diag)
{
    char path[AGENT_PATH_BYTES], output[OUTPUT_BYTES];

    if (!find(r, path, diag))
        return action == AGENT_MONITOR ? AGENT_CANNOT_TELL : AGENT_ERROR;
    if (action == AGENT_MONITOR)
        return script_monitor(r, path);
    if (action == AGENT_START && script_monitor(r, path) == AGENT_OK)
        return AGENT_OK; /* held already */
    int rc = run(r, path, action == AGENT_START ? "start" : "stop", output);
    one_line(output);
    if (rc)
        hv_diag_set(
            diag, "Return code %d from %s%s%.300s", rc, path, output[0] ? ": " : "", output);
    else
        hv_diag_set(diag, "%.400s", output);
    return rc ? AGENT_ERROR : AGENT_OK;
}
