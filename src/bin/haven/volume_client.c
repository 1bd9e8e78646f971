/* SPDX-License-Identifier: Apache-2.0 */
#include "volume_client.h"

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ctl.h"

extern char **environ;

enum { END_MS = 10000 };

/* ---------------------------------------------------------------------------------------- selecting */

static int target_add(struct volume_target **targets, size_t *n,
    const struct conf_resource *resource, const struct conf_volume *volume)
{
    struct volume_target *grown = realloc(*targets, (*n + 1) * sizeof *grown);

    if (!grown)
        return CMD_EXIT_OTHER;
    *targets = grown;
    grown[(*n)++] = (struct volume_target){resource, volume};
    return 0;
}

static bool parse_number(const char *text, uint32_t *value)
{
    char *end;
    unsigned long v = strtoul(text, &end, 10);

    *value = (uint32_t)v;
    return *text >= '0' && *text <= '9' && !*end && v <= UINT32_MAX;
}

static int select_all(const struct cmd_context *ctx, const struct conf *conf,
    struct volume_target **targets, size_t *n)
{
    int code = 0;

    for (size_t i = 0; i < conf->n_resources && !code; i++)
        if (conf->resources[i].me && !conf->resources[i].stacked)
            code = target_add(targets, n, &conf->resources[i], NULL);
    if (!code && !*n) {
        fprintf(stderr, "%s: no resources defined for this host (%s)\n", ctx->program, ctx->node);
        code = CMD_EXIT_USAGE;
    }
    return code;
}

int volume_select(const struct cmd_context *ctx, const struct conf *conf, const char *word,
    struct volume_target **targets, size_t *n)
{
    const struct conf_resource *resource = NULL;
    const struct conf_volume *volume = NULL;
    const char *slash = strrchr(word, '/');
    char name[CONF_NAME_BYTES_MAX + 1];
    uint32_t number;

    *targets = NULL;
    *n = 0;
    if (!strcmp(word, "all"))
        return select_all(ctx, conf, targets, n);
    if (!strncmp(word, "minor-", 6) && parse_number(word + 6, &number)) {
        volume = conf_minor_find(conf, number, &resource);
    } else if (slash && (size_t)(slash - word) < sizeof name && parse_number(slash + 1, &number)) {
        memcpy(name, word, (size_t)(slash - word));
        name[slash - word] = '\0';
        resource = conf_resource_find(conf, name);
        volume = resource && resource->me ? conf_volume_find(resource->me, number) : NULL;
    } else {
        resource = conf_resource_find(conf, word);
        if (resource && resource->me)
            return target_add(targets, n, resource, NULL);
    }
    if (volume)
        return target_add(targets, n, resource, volume);
    fprintf(stderr, "'%s' not defined in your config (for this host).\n", word);
    return CMD_EXIT_USAGE;
}

/* ------------------------------------------------------------------------------------------- calling */

/* After "down" the process ends, and its disk is free only then. */
static void wait_for_end(struct ctl_link *link)
{
    uint64_t until_ms = loop_clock_ms() + END_MS;
    struct hv_diag ignored;
    json_t *event = NULL;

    while (loop_clock_ms() < until_ms && !ctl_link_event(link, END_MS, &event, &ignored))
        json_decref(event);
}

int volume_call(const struct cmd_context *ctx, const char *resource, json_t *request,
    uint32_t timeout_ms, json_t **reply, struct hv_diag *diag)
{
    char path[CTL_PATH_MAX];

    *reply = NULL;
    if (!ctl_path(path, sizeof path, ctx->root, resource)) {
        json_decref(request);
        hv_diag_set(diag, "%s: path too long", ctx->root);
        return HV_EINVAL;
    }
    bool down = !strcmp(ctl_string(request, "verb"), "down");
    if (!down)
        return ctl_call(path, request, timeout_ms, reply, diag);
    struct ctl_link *link;
    int rv = ctl_link_open(path, &link, diag);
    if (rv) {
        json_decref(request);
        return rv;
    }
    rv = ctl_link_call(link, request, timeout_ms, reply, diag);
    if (!rv && ctl_flag(*reply, "ok"))
        wait_for_end(link);
    ctl_link_close(link);
    return rv;
}

json_t *volume_status(const struct cmd_context *ctx, const char *resource)
{
    struct hv_diag diag;
    json_t *reply, *status;

    if (volume_call(
            ctx, resource, json_pack("{s:s}", "verb", "status"), VOLUME_LOOK_MS, &reply, &diag))
        return NULL;
    status = json_incref(json_object_get(reply, "status"));
    json_decref(reply);
    return status;
}

/* ------------------------------------------------------------------------------------------ starting */

/* Beside this program, in its neighbour's directory of a build tree, or on the path. */
static void program_find(char *to, size_t capacity)
{
    static const char *const places[] = {"%s/haven-volume", "%s/../haven-volume/haven-volume"};
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);

    self[n > 0 ? n : 0] = 0;
    const char *dir = dirname(self);
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        snprintf(to, capacity, i ? places[1] : places[0], dir);
        if (!access(to, X_OK))
            return;
    }
    snprintf(to, capacity, "haven-volume");
}

int volume_spawn(const struct cmd_context *ctx, const char *resource, struct hv_diag *diag)
{
    char program[PATH_MAX + 64], root[PATH_MAX], config[PATH_MAX];
    char name[] = "haven-volume", root_option[] = "--root", config_option[] = "-c";
    char *argv[8] = {name}, *res = strdup(resource);
    int n = 1, status = 0;
    pid_t pid;
    json_t *running = volume_status(ctx, resource);

    if (running || !res) {
        json_decref(running);
        free(res);
        return HV_OK;
    }
    /* It will not stay in our directory. */
    if (*ctx->root && realpath(ctx->root, root)) {
        argv[n++] = root_option;
        argv[n++] = root;
    }
    if (ctx->config_file && realpath(ctx->config_file, config)) {
        argv[n++] = config_option;
        argv[n++] = config;
    }
    argv[n++] = res;
    argv[n] = NULL;
    program_find(program, sizeof program);
    int rv = posix_spawnp(&pid, program, NULL, NULL, argv, environ);
    free(res);
    if (rv) {
        hv_diag_set(diag, "cannot start %s: %s", program, strerror(rv));
        return HV_EIO;
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    if (status) {
        hv_diag_set(diag, "haven-volume did not start");
        return HV_EIO;
    }
    return HV_OK;
}
