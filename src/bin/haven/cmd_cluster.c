/* SPDX-License-Identifier: Apache-2.0 */
/* The commands that talk to havend. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cluster_client.h"
#include "cmd.h"
#include "ctl.h"
#include "volume_client.h"

/* ---- orders --------------------------------------------------------------------------------- */

static int order(const struct cmd_context *ctx, json_t *request)
{
    struct hv_diag diag;
    json_t *reply = NULL;
    int code = CMD_EXIT_OK;

    if (cluster_call(ctx, request, CLUSTER_CALL_MS, &reply, &diag)) {
        fprintf(stderr, "%s: %s\n", ctx->program, diag.text);
        return CMD_EXIT_OTHER;
    }
    if (!ctl_flag(reply, "ok")) {
        fprintf(stderr, "%s: %s\n", ctx->program, ctl_string(reply, "error"));
        code = (int)ctl_integer(reply, "exit", CMD_EXIT_USAGE);
    }
    json_decref(reply);
    return code;
}

static int usage(const struct cmd_context *ctx, const char *text)
{
    fprintf(stderr, "usage: %s %s\n", ctx->program, text);
    return CMD_EXIT_USAGE;
}

static int run_scope(const struct cmd_context *ctx, int argc, char **argv)
{
    if (argc > 2 || (argc == 2 && argv[1][0] == '-'))
        return usage(ctx, "standby|takeover [all|local|foreign]");
    return order(
        ctx, json_pack("{s:s, s:s}", "verb", argv[0], "scope", argc == 2 ? argv[1] : "all"));
}

/* move [GROUP] [NODE]: with one argument the node when there is such a node, else the group. */
static int run_move(const struct cmd_context *ctx, int argc, char **argv)
{
    const char *group = argc > 1 ? argv[1] : "", *to = argc > 2 ? argv[2] : "";

    if (argc > 3 || (argc > 1 && argv[1][0] == '-'))
        return usage(ctx, "move [GROUP] [NODE]");
    if (argc == 2) {
        json_t *status = cluster_status(ctx, NULL), *node;
        size_t i;
        json_array_foreach(
            json_object_get(status, "nodes"), i, node) if (!strcmp(ctl_string(node, "name"), group))
        {
            to = argv[1];
            group = "";
            break;
        }
        json_decref(status);
    }
    return order(ctx, json_pack("{s:s, s:s, s:s}", "verb", "move", "group", group, "to", to));
}

static int run_retry(const struct cmd_context *ctx, int argc, char **argv)
{
    if (argc > 2)
        return usage(ctx, "retry [GROUP]");
    return order(ctx, json_pack("{s:s, s:s}", "verb", "retry", "group", argc == 2 ? argv[1] : ""));
}

static int run_maintenance(const struct cmd_context *ctx, int argc, char **argv)
{
    bool on = argc == 2 && !strcmp(argv[1], "on");

    if (argc != 2 || (!on && strcmp(argv[1], "off")))
        return usage(ctx, "maintenance on|off");
    return order(ctx, json_pack("{s:s, s:b}", "verb", "maintenance", "on", on));
}

/* ---- status --------------------------------------------------------------------------------- */

static int status_json(const struct cmd_context *ctx)
{
    json_t *picture = cluster_picture(ctx);

    if (json_dumpf(picture, stdout, JSON_INDENT(2)) || putchar('\n') == EOF) {
        json_decref(picture);
        return CMD_EXIT_OTHER;
    }
    json_decref(picture);
    return CMD_EXIT_OK;
}

static int status_text(const struct cmd_context *ctx, bool clear)
{
    json_t *picture = cluster_picture(ctx);
    struct hv_text text = {0};

    cluster_picture_text(&text, picture);
    json_decref(picture);
    printf("%s%s", clear ? "\033[H\033[2J" : "", hv_text_str(&text));
    hv_text_free(&text);
    return fflush(stdout) ? CMD_EXIT_OTHER : CMD_EXIT_OK;
}

static int run_status(const struct cmd_context *ctx, int argc, char **argv)
{
    const struct timespec second = {.tv_sec = 1};
    bool json = false, watch = false;

    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--json"))
            json = true;
        else if (!strcmp(argv[i], "--watch"))
            watch = true;
        else if (argv[i][0] == '-')
            return usage(ctx, "status [--json] [--watch] | status RESOURCE|all");
    }
    /* drbdadm's own form, for a resource, and for those who call us drbdadm. */
    if ((argc > 1 && argv[argc - 1][0] != '-') || !strcmp(ctx->program, "drbdadm"))
        for (const struct cmd *c = cmd_volume_table; c->verb; c++)
            if (!strcmp(c->verb, "volume-status"))
                return c->run(ctx, argc, argv);
    if (json)
        return status_json(ctx);
    int code = status_text(ctx, watch);
    while (watch && !code) {
        nanosleep(&second, NULL);
        code = status_text(ctx, true);
    }
    return code;
}

/* ---- events --------------------------------------------------------------------------------- */

static void print_event(const json_t *event, bool json)
{
    char stamp[40];
    double at = json_number_value(json_object_get(event, "time"));
    time_t seconds = (time_t)at;
    struct tm tm;

    if (json) {
        json_dumpf(event, stdout, JSON_COMPACT);
        putchar('\n');
    } else {
        localtime_r(&seconds, &tm);
        strftime(stamp, sizeof stamp, "%Y-%m-%d %H:%M:%S", &tm);
        printf(
            "%s.%03d %s\n", stamp, (int)((at - (double)seconds) * 1000), ctl_string(event, "text"));
    }
    fflush(stdout);
}

static int run_events(const struct cmd_context *ctx, int argc, char **argv)
{
    bool json = argc == 2 && !strcmp(argv[1], "--json");
    struct ctl_link *link;
    struct hv_diag diag;
    json_t *message = NULL;

    if (argc > 1 && !json)
        return usage(ctx, "cluster-events [--json]");
    int rc = cluster_open(ctx, &link, &diag);
    if (rc) {
        fprintf(stderr, "%s: %s\n", ctx->program, diag.text);
        return CMD_EXIT_OTHER;
    }
    rc = ctl_link_call(
        link, json_pack("{s:s}", "verb", "subscribe"), CLUSTER_CALL_MS, &message, &diag);
    json_decref(message);
    while (!rc) {
        message = NULL;
        rc = ctl_link_event(link, UINT32_MAX, &message, &diag);
        if (!rc)
            print_event(message, json);
        json_decref(message);
    }
    fprintf(stderr, "%s: %s\n", ctx->program, diag.text);
    ctl_link_close(link);
    return CMD_EXIT_OTHER;
}

const struct cmd cmd_cluster_table[] = {
    {"status", "[--json] [--watch]", "nodes, resources and groups in one picture", run_status},
    {"standby", "[all|local|foreign]", "give groups to the other node", run_scope},
    {"takeover", "[all|local|foreign]", "take groups from the other node", run_scope},
    {"move", "[GROUP] [NODE]", "move one group", run_move},
    {"retry", "[GROUP]", "let a group that failed here be started again", run_retry},
    {"maintenance", "on|off", "while on, no group is moved", run_maintenance},
    {"cluster-events", "[--json]", "a line for each change of nodes and groups", run_events},
    {NULL},
};
