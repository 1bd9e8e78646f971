/* SPDX-License-Identifier: Apache-2.0 */
/* Which server, and what it exports. */
#include "agent_nfs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent_util.h"

static bool option_number(const char *options, const char *key, uint32_t *out)
{
    size_t n = strlen(key);

    for (const char *at = options; at; at = strchr(at, ',')) {
        at += *at == ',';
        if (!strncmp(at, key, n) && at[n] == ':') {
            *out = (uint32_t)strtoul(at + n + 1, NULL, 10);
            return true;
        }
    }
    return false;
}

static bool option_flag(const char *options, const char *key)
{
    uint32_t value = 0;

    return option_number(options, key, &value) && value;
}

/* Up to the next comma: "sec" may be "krb5:krb5i". */
static void option_text(const char *options, const char *key, char *to, size_t capacity)
{
    size_t n = strlen(key);

    to[0] = 0;
    for (const char *at = options; at; at = strchr(at, ',')) {
        at += *at == ',';
        if (!strncmp(at, key, n) && at[n] == ':')
            snprintf(to, capacity, "%.*s", (int)strcspn(at + n + 1, ","), at + n + 1);
    }
}

bool agent_export_parse(const char *word, struct agent_export *out)
{
    const char *host = strchr(word, '|'), *options = host ? strchr(host + 1, '|') : NULL;
    char squash[16];

    memset(out, 0, sizeof *out);
    if (!options || host == word || options == host + 1 ||
        (size_t)(host - word) >= sizeof out->directory ||
        (size_t)(options - host - 1) >= sizeof out->host)
        return false;
    memcpy(out->directory, word, (size_t)(host - word));
    memcpy(out->host, host + 1, (size_t)(options - host - 1));
    options++;
    out->read_write = option_flag(options, "rw");
    out->async = option_flag(options, "async");
    out->insecure = option_flag(options, "insecure");
    out->subtree_check = option_flag(options, "subtree_check");
    out->no_wdelay = option_flag(options, "no_wdelay");
    out->crossmnt = option_flag(options, "crossmnt");
    out->anon_uid = out->anon_gid = 65534;
    option_number(options, "uid", &out->anon_uid);
    option_number(options, "gid", &out->anon_gid);
    option_text(options, "squash", squash, sizeof squash);
    out->squash = !strcmp(squash, "none")  ? AGENT_SQUASH_NONE
                  : !strcmp(squash, "all") ? AGENT_SQUASH_ALL
                                           : AGENT_SQUASH_ROOT;
    option_text(options, "fsid", out->fsid, sizeof out->fsid);
    option_text(options, "sec", out->sec, sizeof out->sec);
    return true;
}

/* The group's name with what a file name cannot have replaced. */
static void file_name(char *to, size_t capacity, const char *name)
{
    snprintf(to, capacity, "%s", name);
    for (; *to; to++)
        if (*to == '/' || *to == ':')
            *to = '_';
}

static int read_words(
    const struct agent_request *r, struct agent_nfs_config *c, char *state, struct hv_diag *diag)
{
    const char *words[AGENT_EXPORTS_MAX];
    char name[256];
    size_t n = agent_all(r, "export", words, AGENT_EXPORTS_MAX);

    c->name = agent_get(r, "name");
    c->scope = agent_get(r, "scope");
    c->bind = agent_get(r, "bind");
    c->root = r->root;
    c->state = state;
    file_name(name, sizeof name, *c->name ? c->name : "nfs");
    snprintf(c->directory, sizeof c->directory, "%.3000s/run/haven/nfs/%s", r->root, name);
    if (!agent_path(state, r, agent_get(r, "state"))) {
        hv_diag_set(diag, "the path of the server's state is too long");
        return AGENT_USAGE;
    }
    for (size_t i = 0; i < n; i++) {
        struct agent_export *e = &c->exports[c->n_exports++];
        char below[AGENT_PATH_BYTES];
        if (!agent_export_parse(words[i], e) || !agent_path(below, r, e->directory) ||
            strlen(below) >= sizeof e->directory) {
            hv_diag_set(diag, "'%.200s' is no export", words[i]);
            return AGENT_USAGE;
        }
        snprintf(e->directory, sizeof e->directory, "%.1023s", below);
    }
    return AGENT_OK;
}

/* Ganesha leaves out an export that it cannot find, and starts without it. */
static int check_directories(const struct agent_nfs_config *c, struct hv_diag *diag)
{
    for (size_t i = 0; i < c->n_exports; i++) {
        struct stat st;
        if (stat(c->exports[i].directory, &st) || !S_ISDIR(st.st_mode)) {
            hv_diag_set(diag, "there is no directory %s to export", c->exports[i].directory);
            return AGENT_ERROR;
        }
    }
    return AGENT_OK;
}

int agent_nfs(const struct agent_request *r, enum agent_action action, struct hv_diag *diag)
{
    struct agent_nfs_config *c = calloc(1, sizeof *c);
    char state[AGENT_PATH_BYTES];
    int rc = AGENT_ERROR;

    if (!c) {
        hv_diag_set(diag, "out of memory");
        return AGENT_ERROR;
    }
    const char *server = agent_get(r, "server");
    bool kernel =
        !strcmp(server, "kernel") || (strcmp(server, "ganesha") && agent_knfsd_available());
    rc = read_words(r, c, state, diag);
    if (!rc && action == AGENT_START)
        rc = check_directories(c, diag);
    if (rc)
        goto out;
    if (action == AGENT_START && agent_make_directory(c->directory)) {
        hv_diag_set(diag, "cannot make %.400s", c->directory);
        rc = AGENT_ERROR;
    } else if (action == AGENT_START) {
        rc = kernel ? agent_knfsd_start(c, diag) : agent_ganesha_start(c, diag);
    } else if (action == AGENT_STOP) {
        rc = kernel ? agent_knfsd_stop(c, diag) : agent_ganesha_stop(c, diag);
    } else {
        rc = kernel ? agent_knfsd_monitor(c, diag) : agent_ganesha_monitor(c, diag);
    }
out:
    free(c);
    return rc;
}
