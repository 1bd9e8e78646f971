/* SPDX-License-Identifier: Apache-2.0 */
/* `havend --agent`: what the drbd agent asks of a volume, over its control socket. */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent.h"
#include "agent_util.h"
#include "havend.h"

enum { STATUS_MS = 4000, CALL_MS = 25000 };

static const char *config; /* of this one action's process */

bool havend_program(char to[HAVEND_PATH_BYTES], const char *name)
{
    /* Beside us, as installed; in its own directory, as built; else where the shell would look. */
    static const char *const beside[] = {"%.*s/%s", "%.*s/../%s/%s"};
    static const char *const usual[] = {
        "/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/bin", "/bin"};
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);

    if (n > 0) {
        self[n] = 0;
        int length = (int)(strrchr(self, '/') - self);
        for (size_t i = 0; i < 2; i++) {
            if (i == 0)
                snprintf(to, HAVEND_PATH_BYTES, beside[i], length, self, name);
            else
                snprintf(to, HAVEND_PATH_BYTES, beside[i], length, self, name, name);
            if (!access(to, X_OK))
                return true;
        }
    }
    for (size_t i = 0; i < sizeof usual / sizeof usual[0]; i++) {
        snprintf(to, HAVEND_PATH_BYTES, "%s/%s", usual[i], name);
        if (!access(to, X_OK))
            return true;
    }
    return false;
}

void havend_up_args(char **argv, const char *root, const char *config_file, const char *resource)
{
    size_t n = 0;

    argv[n++] = (char *)"haven";
    argv[n++] = (char *)"--root";
    argv[n++] = (char *)(uintptr_t)root;
    if (config_file) {
        argv[n++] = (char *)"-c";
        argv[n++] = (char *)(uintptr_t)config_file;
    }
    argv[n++] = (char *)"up";
    argv[n++] = (char *)(uintptr_t)resource;
    argv[n] = NULL;
}

static int call(const struct agent_request *r, const char *resource, const char *verb,
    uint32_t timeout_ms, json_t **reply, struct hv_diag *diag)
{
    char path[CTL_PATH_MAX];

    if (!ctl_path(path, sizeof path, r->root, resource)) {
        hv_diag_set(diag, "'%s' cannot be the name of a resource", resource);
        return HV_EINVAL;
    }
    return ctl_call(path, json_pack("{s:s}", "verb", verb), timeout_ms, reply, diag);
}

static void volume_status(
    const struct agent_request *r, const char *resource, struct agent_volume *out)
{
    struct hv_diag diag;
    json_t *reply = NULL, *one;
    size_t i;

    memset(out, 0, sizeof *out);
    if (call(r, resource, "status", STATUS_MS, &reply, &diag))
        return;
    const json_t *st = json_object_get(reply, "status");
    out->reachable = true;
    hv_strcopy(out->role, sizeof out->role, ctl_string(st, "role"));
    hv_strcopy(out->peer_role, sizeof out->peer_role, ctl_string(st, "peer_role"));
    hv_strcopy(out->connection, sizeof out->connection, ctl_string(st, "connection"));
    const char *suspended = ctl_string(st, "suspended");
    out->suspended = *suspended && strcmp(suspended, "no");
    hv_strcopy(out->disk, sizeof out->disk, "UpToDate");
    json_array_foreach(
        json_object_get(st, "volumes"), i, one) if (strcmp(ctl_string(one, "disk"), "UpToDate"))
        hv_strcopy(out->disk, sizeof out->disk, ctl_string(one, "disk"));
    json_decref(reply);
}

static int volume_up(const struct agent_request *r, const char *resource, struct hv_diag *diag)
{
    char program[HAVEND_PATH_BYTES], out[1024];

    if (!havend_program(program, "haven")) {
        hv_diag_set(diag, "the program haven is not found");
        return HV_ENOENT;
    }
    char *argv[HAVEND_UP_ARGS];
    havend_up_args(argv, r->root, config, resource);
    int rc = agent_run_program(program, argv, out, sizeof out);
    if (!rc)
        return HV_OK;
    out[strcspn(out, "\n")] = 0;
    hv_diag_set(diag, "%s up %s ended with %d: %.300s", program, resource, rc, out);
    return HV_EIO;
}

static int volume_call(
    const struct agent_request *r, const char *resource, const char *verb, struct hv_diag *diag)
{
    json_t *reply = NULL;
    int rc = call(r, resource, verb, CALL_MS, &reply, diag);

    if (!rc && !ctl_flag(reply, "ok")) {
        const char *error = ctl_string(reply, "error");
        hv_diag_set(diag, "%s", *error ? error : ctl_string(reply, "text"));
        rc = HV_ESTATE;
    }
    json_decref(reply);
    return rc;
}

int havend_agent_main(const char *root, const char *config_file, int argc, char **argv)
{
    static const struct agent_volume_ops ops = {volume_status, volume_up, volume_call};

    config = config_file;
    return agent_main(root, argc, argv, &ops);
}
