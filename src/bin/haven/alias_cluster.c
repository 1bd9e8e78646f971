/* SPDX-License-Identifier: Apache-2.0 */
/* Heartbeat's commands (heartbeat §13) and DRBD's drbd-peer-outdater (heartbeat §12.4), by their names. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster_client.h"
#include "volume_client.h"

enum {
    CL_OK = 0,
    CL_FAIL = 1,
    CL_USAGE = 11,
    OUTDATER_UNREACHABLE = 5,
    OUTDATER_BROKEN = 20,
    OUTDATER_SECONDS = 60,
};

/* ---- hb_standby, hb_takeover ---------------------------------------------------------------- */

int alias_hb_scope(const struct cmd_context *ctx, int argc, char **argv)
{
    static const char *const words[] = {"all", "foreign", "local", "failback"};
    const char *scope = argc > 1 ? argv[1] : "all";
    bool known = false;
    struct hv_diag diag;
    json_t *reply = NULL;

    for (size_t i = 0; i < 4; i++)
        known |= !strcmp(words[i], scope);
    if (!known || argc > 2) {
        fprintf(stderr, "%s: wrong resources(%s).\nusage: %s [all|foreign|local|failback]\n",
            ctx->program, scope, ctx->program);
        return 1;
    }
    const char *verb = !strcmp(ctx->program, "hb_standby") ? "standby" : "takeover";
    if (cluster_call(ctx, json_pack("{s:s, s:s}", "verb", verb, "scope", scope), CLUSTER_CALL_MS,
            &reply, &diag)) {
        fprintf(stderr, "%s: %s\n", ctx->program, diag.text);
        return 1;
    }
    int code = ctl_flag(reply, "ok") ? 0 : 1;
    if (code)
        fprintf(stderr, "%s: %s\n", ctx->program, ctl_string(reply, "error"));
    json_decref(reply);
    return code;
}

/* ---- drbd-peer-outdater --------------------------------------------------------------------- */

int alias_outdater(const struct cmd_context *ctx, int argc, char **argv)
{
    const char *resource = getenv("DRBD_RESOURCE");
    unsigned long seconds = OUTDATER_SECONDS;
    struct hv_diag diag;
    json_t *reply = NULL;

    for (int i = 1; i + 1 < argc; i += 2) {
        if (!strcmp(argv[i], "-r"))
            resource = argv[i + 1];
        else if (!strcmp(argv[i], "-t"))
            seconds = strtoul(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "-p")) /* the peer: there is only one */
            break;
    }
    if (!resource || !*resource || argc % 2 == 0) {
        fprintf(stderr, "usage: %s -r RESOURCE -p PEER [-t SECONDS]\n", ctx->program);
        return OUTDATER_BROKEN;
    }
    if (seconds < 1 || seconds > 3600)
        seconds = OUTDATER_SECONDS;
    if (cluster_call(ctx, json_pack("{s:s, s:s}", "verb", "outdate-peer", "resource", resource),
            (uint32_t)seconds * 1000, &reply, &diag)) {
        fprintf(stderr, "%s: %s\n", ctx->program, diag.text);
        return OUTDATER_UNREACHABLE;
    }
    int code = ctl_flag(reply, "ok") ? (int)ctl_integer(reply, "code", OUTDATER_BROKEN)
                                     : OUTDATER_UNREACHABLE;
    json_decref(reply);
    return code;
}

/* ---- cl_status ------------------------------------------------------------------------------ */

struct cl {
    const json_t *status; /* NULL: havend does not run */
    bool sentences;       /* -m */
    int argc;
    char **argv; /* what follows the sub-command */
};

static const json_t *find(const struct cl *c, const char *list, const char *name)
{
    json_t *one;
    size_t i;

    json_array_foreach(json_object_get(c->status, list), i, one)
    {
        if (!strcmp(ctl_string(one, "name"), name))
            return one;
    }
    return NULL;
}

static const char *ping_status(const json_t *ping)
{
    return ctl_flag(ping, "alive") ? "ping" : "dead";
}

static void list_verbose(const struct cl *c)
{
    json_t *one, *link;
    size_t i, k;

    json_array_foreach(json_object_get(c->status, "pings"), i, one)
        printf("\n%s\t%s\t(nodetype: ping)\n\t%s\t%s\n", ctl_string(one, "name"), ping_status(one),
            ctl_string(one, "name"), ctl_flag(one, "alive") ? "up" : "dead");
    json_array_foreach(json_object_get(c->status, "nodes"), i, one)
    {
        printf(
            "\n%s\t%s\t(nodetype: normal)\n", ctl_string(one, "name"), ctl_string(one, "status"));
        json_array_foreach(json_object_get(c->status, "links"), k, link) printf("\t%s\t%s\n",
            ctl_string(link, "name"), ctl_flag(link, "up") && !ctl_flag(one, "me") ? "up" : "dead");
    }
}

static int cl_hbstatus(const struct cl *c)
{
    printf("Heartbeat is %s on this machine.\n", c->status ? "running" : "stopped");
    if (c->status && c->argc && !strcmp(c->argv[0], "-v")) {
        printf("version:\t3.0.6 (node: haven %s)\nmanaged by:\t\"haresources\"\n",
            ctl_string(c->status, "version"));
        list_verbose(c);
    }
    return c->status ? CL_OK : CL_FAIL;
}

static int cl_listnodes(const struct cl *c)
{
    bool normal = !c->argc || !strcmp(c->argv[0], "-n"),
         ping = !c->argc || !strcmp(c->argv[0], "-p");

    if (c->argc && !strcmp(c->argv[0], "-v")) {
        list_verbose(c);
        return CL_OK;
    }
    if (!normal && !ping)
        return CL_USAGE;
    const json_t *pings = json_object_get(c->status, "pings");
    const json_t *nodes = json_object_get(c->status, "nodes");
    /* Heartbeat gives them from the last to the first. */
    for (size_t i = ping ? json_array_size(pings) : 0; i-- > 0;)
        puts(ctl_string(json_array_get(pings, i), "name"));
    for (size_t i = normal ? json_array_size(nodes) : 0; i-- > 0;)
        puts(ctl_string(json_array_get(nodes, i), "name"));
    return CL_OK;
}

static int cl_nodestatus(const struct cl *c)
{
    const json_t *node = find(c, "nodes", c->argv[0]), *ping = find(c, "pings", c->argv[0]);

    if (!node && !ping)
        return CL_FAIL;
    const char *status = node ? ctl_string(node, "status") : ping_status(ping);
    if (c->sentences)
        printf("The cluster node %s is %s\n", c->argv[0], status);
    else
        puts(status);
    return !strcmp(status, "active") || !strcmp(status, "up") || !strcmp(status, "ping") ? CL_OK
                                                                                         : CL_FAIL;
}

static int cl_nodetype(const struct cl *c)
{
    const json_t *node = find(c, "nodes", c->argv[0]);

    if (!node && !find(c, "pings", c->argv[0]))
        return CL_FAIL;
    const char *type = node ? "normal" : "ping";
    if (c->sentences)
        printf("The cluster node %s is a %s node.\n", c->argv[0], type);
    else
        puts(type);
    return CL_OK;
}

static int cl_listhblinks(const struct cl *c)
{
    json_t *one;
    size_t i;

    if (find(c, "pings", c->argv[0])) {
        printf("\t%s\n", c->argv[0]);
        return CL_OK;
    }
    if (!find(c, "nodes", c->argv[0]))
        return CL_FAIL;
    json_array_foreach(json_object_get(c->status, "links"), i, one)
        printf("\t%s\n", ctl_string(one, "name"));
    return CL_OK;
}

static int cl_hblinkstatus(const struct cl *c)
{
    const json_t *ping = find(c, "pings", c->argv[0]), *node = find(c, "nodes", c->argv[0]);
    const json_t *link = c->argc > 1 ? find(c, "links", c->argv[1]) : NULL;
    bool up =
        ping ? ctl_flag(ping, "alive") : link && ctl_flag(link, "up") && !ctl_flag(node, "me");

    if (c->argc < 2)
        return CL_USAGE;
    if (!ping && (!node || !link))
        return CL_FAIL;
    puts(up ? "up" : "dead");
    return up ? CL_OK : CL_FAIL;
}

/* ipfail and dopd are built in: they run wherever a node is active. */
static int cl_clientstatus(const struct cl *c)
{
    const json_t *node = find(c, "nodes", c->argv[0]);

    if (c->argc < 2)
        return CL_USAGE;
    bool online = node && !strcmp(ctl_string(node, "status"), "active") &&
                  (!strcmp(c->argv[1], "ipfail") || !strcmp(c->argv[1], "dopd"));
    puts(online ? "online" : "offline");
    return online ? CL_OK : CL_FAIL;
}

static int cl_rscstatus(const struct cl *c)
{
    const char *held = ctl_string(c->status, "held");

    if (!c->sentences)
        puts(held);
    else if (!strcmp(held, "transition"))
        puts("Resource is in transition.");
    else
        printf("This node is holding %s resources.\n", !strcmp(held, "none") ? "no" : held);
    return CL_OK;
}

static int cl_hbparameter(const struct cl *c)
{
    if (c->argc != 2 || strcmp(c->argv[0], "-p"))
        return CL_USAGE;
    const json_t *value = json_object_get(json_object_get(c->status, "parameters"), c->argv[1]);
    if (!value)
        return CL_FAIL;
    if (json_is_string(value))
        puts(json_string_value(value));
    else if (!strcmp(c->argv[1], "udpport"))
        printf("%d\n", (int)json_integer_value(value));
    else if (json_integer_value(value) % 1000)
        printf("%dms\n", (int)json_integer_value(value));
    else
        printf("%d\n", (int)(json_integer_value(value) / 1000));
    return CL_OK;
}

static const struct {
    const char *name, *usage;
    int arguments; /* that it cannot do without */
    int (*run)(const struct cl *c);
} cl_commands[] = {
    {"hbstatus", "[-v]", 0, cl_hbstatus},
    {"listnodes", "[-n|-p|-v]", 0, cl_listnodes},
    {"nodestatus", "NODE", 1, cl_nodestatus},
    {"nodetype", "NODE", 1, cl_nodetype},
    {"listhblinks", "NODE", 1, cl_listhblinks},
    {"hblinkstatus", "NODE LINK", 2, cl_hblinkstatus},
    {"clientstatus", "NODE CLIENT [MILLISECONDS]", 2, cl_clientstatus},
    {"rscstatus", "", 0, cl_rscstatus},
    {"hbparameter", "-p NAME", 2, cl_hbparameter},
};

enum { CL_COMMANDS = sizeof cl_commands / sizeof cl_commands[0] };

static int cl_usage(void)
{
    fputs("usage: cl_status SUB-COMMAND [-m] …\n", stderr);
    for (size_t i = 0; i < CL_COMMANDS; i++)
        fprintf(stderr, "  %-14s %s\n", cl_commands[i].name, cl_commands[i].usage);
    return CL_USAGE;
}

int alias_cl_status(const struct cmd_context *ctx, int argc, char **argv)
{
    struct cl c = {0};
    struct hv_diag diag = {""};
    size_t i = 0;
    int n = 0;

    while (i < CL_COMMANDS && (argc < 2 || strcmp(cl_commands[i].name, argv[1])))
        i++;
    if (i == CL_COMMANDS)
        return cl_usage();
    for (int k = 2; k < argc; k++) /* -m may stand anywhere */
        if (!strcmp(argv[k], "-m"))
            c.sentences = true;
        else
            argv[2 + n++] = argv[k];
    c.argc = n;
    c.argv = argv + 2;
    if (n < cl_commands[i].arguments)
        return cl_usage();
    json_t *status = cluster_status(ctx, &diag);
    c.status = status;
    if (!status && cl_commands[i].run != cl_hbstatus) {
        fprintf(stderr, "ERROR: Cannot signon with heartbeat\nREASON: %s\n", diag.text);
        return CL_FAIL;
    }
    int code = cl_commands[i].run(&c);
    json_decref(status);
    return code == CL_USAGE ? cl_usage() : code;
}

int cmd_alias_run(const struct cmd_context *ctx, int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(const struct cmd_context *ctx, int argc, char **argv);
    } names[] = {{"drbddisk", alias_drbddisk}, {"cl_status", alias_cl_status},
        {"hb_standby", alias_hb_scope}, {"hb_takeover", alias_hb_scope},
        {"drbd-peer-outdater", alias_outdater}};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (!strcmp(names[i].name, ctx->program))
            return names[i].run(ctx, argc, argv);
    return -1;
}
