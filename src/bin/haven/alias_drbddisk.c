/* SPDX-License-Identifier: Apache-2.0 */
/* drbddisk, the resource script of heartbeat's haresources: start makes the resource Primary, stop makes
 * it Secondary.  Without a resource: all. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "conf_load.h"
#include "ctl.h"
#include "volume_client.h"

enum { START_TRIES = 6, STOP_TRIES = 3, LSB_ERROR = 1, LSB_USAGE = 2, LSB_NOT_RUNNING = 3 };

static int try_verb(
    const struct cmd_context *ctx, const char *verb, const char *resource, int tries)
{
    const struct timespec second = {.tv_sec = 1};

    for (int i = 0; i < tries; i++) {
        /* The peer may be dead without our having noticed yet, or the device be open for a moment. */
        if (i)
            nanosleep(&second, NULL);
        if (!volume_verb(ctx, verb, resource))
            return 0;
    }
    return LSB_ERROR;
}

static int print_state(const struct cmd_context *ctx, const char *resource)
{
    json_t *status = volume_status(ctx, resource);
    bool primary = status && !strcmp(ctl_string(status, "role"), "Primary");

    printf("%s (%s)\n", primary ? "running" : "stopped",
        status ? ctl_string(status, "role") : "Unconfigured");
    json_decref(status);
    return primary ? 0 : LSB_NOT_RUNNING;
}

static int state_of_all(const struct cmd_context *ctx)
{
    struct volume_target *targets;
    struct conf *conf;
    size_t n;
    int code = conf_load_or_complain(ctx, false, &conf);

    if (code)
        return LSB_ERROR;
    code = volume_select(ctx, conf, "all", &targets, &n);
    for (size_t i = 0; i < n; i++) {
        int one = print_state(ctx, targets[i].resource->name);
        code = one > code ? one : code;
    }
    free(targets);
    conf_free(conf);
    return code;
}

int alias_drbddisk(const struct cmd_context *ctx, int argc, char **argv)
{
    const char *verb = argc > 1 ? argv[argc - 1] : "", *resource = argc > 2 ? argv[1] : "all";

    if (argc <= 3 && !strcmp(verb, "start"))
        return try_verb(ctx, "primary", resource, START_TRIES);
    if (argc <= 3 && !strcmp(verb, "stop"))
        return try_verb(ctx, "secondary", resource, STOP_TRIES);
    if (argc <= 3 && !strcmp(verb, "status"))
        return argc > 2 ? print_state(ctx, resource) : state_of_all(ctx);
    fprintf(stderr, "usage: %s [RESOURCE] start|stop|status\n", ctx->program);
    return LSB_USAGE;
}
