/* SPDX-License-Identifier: Apache-2.0 */
/* The directives of ha.cf (heartbeat §9), one row each. */
#include <stdlib.h>
#include <string.h>

#include "conf_parse.h"

enum { NODES_MAX = 100, PORT_DEFAULT = 694 };

struct conf_cluster *conf_cluster_new(struct conf_parser *p, struct conf_pos pos)
{
    struct conf_cluster *c = conf_alloc(p->notes.arena, sizeof *c);

    *c = (struct conf_cluster){.file = pos.file,
        .name = "linux-ha",
        .keepalive_ms = 1000,
        .deadtime_ms = 30000,
        .udpport = PORT_DEFAULT,
        .baud = 19200,
        .hopfudge = 1,
        .auto_failback = CONF_FAILBACK_LEGACY,
        .active_key = -1,
        .witness_address = "",
        .logfile = "",
        .debugfile = "",
        .logfacility = "",
        .syslogmsgfmt = true,
        .log_badpack = true,
        .coredumps = true,
        .realtime = true,
        .conn_logd_time_ms = 60000,
        .max_rexmit_delay_ms = 250,
        .rtprio = -1,
        .memreserve_kib = 6500,
        .watchdog = "",
        .coreroot = "",
        .compression = "",
        .compression_threshold_kib = 2};
    p->cluster = c;
    p->cluster_pos = pos;
    return c;
}

const struct conf_node *conf_cluster_node_find(const struct conf_cluster *c, const char *name)
{
    for (size_t i = 0; i < c->n_nodes; i++)
        if (!strcasecmp(c->nodes[i].name, name))
            return &c->nodes[i];
    return NULL;
}

struct conf_node *conf_cluster_node_add(
    struct conf_parser *p, struct conf_cluster *c, struct conf_pos pos, const char *name)
{
    if (conf_cluster_node_find(c, name)) {
        conf_error(&p->notes, pos, "name it once", "node '%s' stands a second time", name);
        return NULL;
    }
    if (c->n_nodes == NODES_MAX) {
        conf_error(&p->notes, pos, NULL, "more than %d nodes", NODES_MAX);
        return NULL;
    }
    struct conf_node *node = CONF_PUSH_TO(struct conf_node, p->notes.arena, c->nodes, c->n_nodes);
    *node = (struct conf_node){.name = conf_lower(p->notes.arena, name),
        .address = "",
        .me = !strcasecmp(name, p->request->node)};
    return node;
}

static bool one_value(struct conf_parser *p, const struct conf_directive *d)
{
    if (d->n == 1)
        return true;
    if (d->n == 2)
        conf_error(&p->notes, d->pos,
            conf_sprintf(p->notes.arena, "write '%s %s%s'", d->name, d->values[0], d->values[1]),
            "%s takes one value, and no blank in it", d->name);
    else
        conf_error(&p->notes, d->pos, NULL, "%s takes one value, not %zu", d->name, d->n);
    return false;
}

static struct conf_medium *medium_add(
    struct conf_parser *p, struct conf_cluster *c, enum conf_medium_kind kind, const char *device)
{
    struct conf_medium *m = CONF_PUSH_TO(struct conf_medium, p->notes.arena, c->media, c->n_media);

    *m = (struct conf_medium){.kind = kind, .device = device, .address = "", .port = c->udpport};
    return m;
}

static void apply_node(
    struct conf_parser *p, struct conf_cluster *c, const struct conf_directive *d)
{
    for (size_t i = 0; i < d->n; i++)
        conf_cluster_node_add(p, c, d->pos, d->values[i]);
}

static void apply_bcast(
    struct conf_parser *p, struct conf_cluster *c, const struct conf_directive *d)
{
    if (!strcmp(d->name, "udp"))
        conf_warn(&p->notes, d->pos, "write 'bcast'", "udp is the old name of bcast");
    for (size_t i = 0; i < d->n; i++)
        medium_add(p, c, CONF_MEDIUM_BCAST, d->values[i]);
}

static void apply_serial(
    struct conf_parser *p, struct conf_cluster *c, const struct conf_directive *d)
{
    for (size_t i = 0; i < d->n; i++) {
        struct conf_medium *m = medium_add(p, c, CONF_MEDIUM_SERIAL, d->values[i]);
        m->port = 0;
        m->baud = c->baud;
    }
}

static void apply_ucast(
    struct conf_parser *p, struct conf_cluster *c, const struct conf_directive *d)
{
    bool six = !strcmp(d->name, "ucast6");

    if (d->n != 2) {
        conf_error(&p->notes, d->pos,
            conf_sprintf(p->notes.arena, "write '%s INTERFACE ADDRESS'", d->name),
            "%s takes an interface and the address of the other node", d->name);
        return;
    }
    if (six ? !conf_value_ipv6(d->values[1]) : !conf_value_ipv4(d->values[1])) {
        conf_error(&p->notes, d->pos, NULL, "'%s' is not an %s address", d->values[1],
            six ? "IPv6" : "IPv4");
        return;
    }
    medium_add(p, c, six ? CONF_MEDIUM_UCAST6 : CONF_MEDIUM_UCAST, d->values[0])->address =
        d->values[1];
}

static void apply_mcast(
    struct conf_parser *p, struct conf_cluster *c, const struct conf_directive *d)
{
    bool six = !strcmp(d->name, "mcast6");
    uint32_t port, ttl, loop, first = 0;

    if (d->n != 5) {
        conf_error(&p->notes, d->pos,
            conf_sprintf(p->notes.arena, "write '%s INTERFACE GROUP PORT TTL LOOP'", d->name),
            "%s takes five values, not %zu", d->name, d->n);
        return;
    }
    const char *group = d->values[1];
    if (!six && conf_value_ipv4(group))
        first = (uint32_t)strtoul(group, NULL, 10);
    if (six ? !conf_value_ipv6(group) : (first < 224 || first > 239))
        conf_error(&p->notes, d->pos, six ? NULL : "use 224.0.0.0 to 239.255.255.255",
            "'%s' is not a multicast address", group);
    if (!conf_value_u32(d->values[2], 1, 65535, &port) ||
        !conf_value_u32(d->values[3], 0, six ? 255 : 4, &ttl) ||
        !conf_value_u32(d->values[4], 0, 1, &loop)) {
        conf_error(&p->notes, d->pos,
            six ? "use a port, 0 to 255 and 0 or 1" : "use a port, a ttl of 0 to 4 and 0 or 1",
            "%s cannot have '%s %s %s'", d->name, d->values[2], d->values[3], d->values[4]);
        return;
    }
    struct conf_medium *m =
        medium_add(p, c, six ? CONF_MEDIUM_MCAST6 : CONF_MEDIUM_MCAST, d->values[0]);
    m->address = group;
    m->port = (uint16_t)port;
    m->ttl = (uint8_t)ttl;
    m->loop = loop;
}

static void apply_ping(
    struct conf_parser *p, struct conf_cluster *c, const struct conf_directive *d)
{
    for (size_t i = 0; i < d->n; i++) {
        struct conf_ping *ping =
            CONF_PUSH_TO(struct conf_ping, p->notes.arena, c->pings, c->n_pings);
        *ping = (struct conf_ping){.name = d->values[i]};
        *CONF_PUSH_TO(const char *, p->notes.arena, ping->hosts, ping->n_hosts) = d->values[i];
    }
}

static void apply_ping_group(
    struct conf_parser *p, struct conf_cluster *c, const struct conf_directive *d)
{
    if (d->n < 2) {
        conf_error(&p->notes, d->pos, "write 'ping_group NAME HOST…'",
            "%s takes a name and at least one host", d->name);
        return;
    }
    struct conf_ping *ping = CONF_PUSH_TO(struct conf_ping, p->notes.arena, c->pings, c->n_pings);
    *ping = (struct conf_ping){.name = d->values[0],
        .hosts = (const char *const *)d->values + 1,
        .n_hosts = d->n - 1,
        .group = true};
}

static void apply_failback(
    struct conf_parser *p, struct conf_cluster *c, const struct conf_directive *d)
{
    static const char *const words[] = {"on", "off", "legacy"};
    bool nice;

    if (!one_value(p, d))
        return;
    if (!strcmp(d->name, "nice_failback")) {
        bool known = conf_value_bool(d->values[0], &nice);
        conf_warn(&p->notes, d->pos,
            nice ? "write 'auto_failback off'" : "write 'auto_failback legacy'",
            "nice_failback is the old name of the opposite");
        if (!known)
            conf_error(
                &p->notes, d->pos, "use on or off", "nice_failback cannot be '%s'", d->values[0]);
        c->auto_failback = nice ? CONF_FAILBACK_OFF : CONF_FAILBACK_LEGACY;
        return;
    }
    for (int i = 0; i < 3; i++)
        if (!strcasecmp(d->values[0], words[i])) {
            c->auto_failback = (enum conf_auto_failback)i;
            return;
        }
    if (conf_value_bool(d->values[0], &nice))
        c->auto_failback = nice ? CONF_FAILBACK_ON : CONF_FAILBACK_OFF;
    else
        conf_error(&p->notes, d->pos, conf_one_of(&p->notes, words, 3), "%s cannot be '%s'",
            d->name, d->values[0]);
}

/* The last component of the command's path. */
static bool command_is(const char *command, const char *name)
{
    size_t length = strcspn(command, " \t");
    const char *base = command + length;

    while (base > command && base[-1] != '/')
        base--;
    return strlen(name) == (size_t)(command + length - base) && !strncmp(base, name, strlen(name));
}

static void apply_respawn(
    struct conf_parser *p, struct conf_cluster *c, const struct conf_directive *d)
{
    if (d->n < 2 || d->values[1][0] != '/') {
        conf_error(&p->notes, d->pos,
            conf_sprintf(p->notes.arena, "write '%s USER /PATH…'", d->name),
            "%s takes a user and the absolute path of a program", d->name);
        return;
    }
    struct conf_respawn *r =
        CONF_PUSH_TO(struct conf_respawn, p->notes.arena, c->respawns, c->n_respawns);
    const char *command = d->rest + strcspn(d->rest, " \t");
    command += strspn(command, " \t");
    *r = (struct conf_respawn){.user = d->values[0],
        .command = command,
        .failfast = !strcmp(d->name, "failfast"),
        .built_in_ipfail = command_is(command, "ipfail"),
        .built_in_dopd = command_is(command, "dopd")};
    c->use_ipfail |= r->built_in_ipfail;
    c->use_dopd |= r->built_in_dopd;
}

static void apply_stonith(
    struct conf_parser *p, struct conf_cluster *c, const struct conf_directive *d)
{
    bool with_host = !strcmp(d->name, "stonith_host");
    const char *rest = d->rest;

    if (d->n < 2) {
        conf_error(&p->notes, d->pos,
            with_host ? "write 'stonith_host HOST|* TYPE PARAMETERS'" : "write 'stonith TYPE FILE'",
            "%s takes more than that", d->name);
        return;
    }
    for (int i = 0; i < (with_host ? 2 : 1); i++) {
        rest += strcspn(rest, " \t");
        rest += strspn(rest, " \t");
    }
    *CONF_PUSH_TO(struct conf_stonith, p->notes.arena, c->stoniths, c->n_stoniths) =
        (struct conf_stonith){.host = with_host ? d->values[0] : "",
            .type = d->values[with_host ? 1 : 0],
            .parameters = rest};
}

static void apply_apiauth(
    struct conf_parser *p, struct conf_cluster *c, const struct conf_directive *d)
{
    if (d->n < 2) {
        conf_error(&p->notes, d->pos, "write 'apiauth CLIENT uid=USER gid=GROUP'",
            "apiauth takes a client and who may be it");
        return;
    }
    struct conf_apiauth *a =
        CONF_PUSH_TO(struct conf_apiauth, p->notes.arena, c->apiauths, c->n_apiauths);
    *a = (struct conf_apiauth){.client = d->values[0]};
    for (size_t i = 1; i < d->n; i++) {
        bool uid = !strncmp(d->values[i], "uid=", 4);
        if (!uid && strncmp(d->values[i], "gid=", 4)) {
            conf_error(&p->notes, d->pos, "write uid=… or gid=…", "apiauth cannot have '%s'",
                d->values[i]);
            continue;
        }
        for (const char *s = d->values[i] + 4; *s;) {
            size_t length = strcspn(s, ",");
            const char *name = conf_strndup(p->notes.arena, s, length);
            if (uid)
                *CONF_PUSH_TO(const char *, p->notes.arena, a->uids, a->n_uids) = name;
            else
                *CONF_PUSH_TO(const char *, p->notes.arena, a->gids, a->n_gids) = name;
            s += length + (s[length] == ',');
        }
    }
}

static void apply_env(struct conf_parser *p, struct conf_cluster *c, const struct conf_directive *d)
{
    const char *equals = strchr(d->rest, '=');

    if (!equals || equals == d->rest) {
        conf_error(&p->notes, d->pos, "write 'env NAME=VALUE'", "env takes NAME=VALUE");
        return;
    }
    *CONF_PUSH_TO(struct conf_env, p->notes.arena, c->envs, c->n_envs) =
        (struct conf_env){.name = conf_strndup(p->notes.arena, d->rest, (size_t)(equals - d->rest)),
            .value = equals + 1};
}

static void apply_refused(
    struct conf_parser *p, struct conf_cluster *c, const struct conf_directive *d)
{
    bool on;

    (void)c;
    if (!one_value(p, d))
        return;
    if (!strcmp(d->name, "autojoin")) {
        if (strcmp(d->values[0], "none"))
            conf_error(&p->notes, d->pos, "write 'autojoin none' and name each node",
                "autojoin %s needs a cluster resource manager", d->values[0]);
    } else if (!conf_value_bool(d->values[0], &on) || on) {
        conf_error(&p->notes, d->pos, "leave it out; haven runs the groups of haresources itself",
            "%s %s wants another cluster resource manager", d->name, d->values[0]);
    }
}

static void apply_udpport(
    struct conf_parser *p, struct conf_cluster *c, const struct conf_directive *d)
{
    uint32_t port;

    if (!one_value(p, d))
        return;
    if (!conf_value_u32(d->values[0], 1, 65535, &port)) {
        conf_error(&p->notes, d->pos, "use 1 to 65535", "udpport cannot be '%s'", d->values[0]);
        return;
    }
    for (size_t i = 0; i < c->n_media; i++)
        if (c->media[i].port == c->udpport && c->media[i].port != port && !d->haven) {
            conf_warn(&p->notes, d->pos, "put it in front of them",
                "udpport does not count for the media named before it");
            break;
        }
    c->udpport = (uint16_t)port;
}

enum value_type { TIME, BOOL, NUMBER, TEXT, WORD_A_OR_B, NOTHING };

struct row {
    const char *name;
    void (*apply)(struct conf_parser *, struct conf_cluster *, const struct conf_directive *);
    enum value_type type; /* when apply is NULL */
    size_t offset, bytes;
    uint32_t min, max;
    const char *words[3]; /* WORD_A_OR_B: false, true; the field is a bool */
};

#define AT(field) offsetof(struct conf_cluster, field), sizeof(((struct conf_cluster *)0)->field)

static const struct row rows[] = {
    {"node", apply_node, NOTHING, 0, 0, 0, 0, {0}},
    {"ucast", apply_ucast, NOTHING, 0, 0, 0, 0, {0}},
    {"ucast6", apply_ucast, NOTHING, 0, 0, 0, 0, {0}},
    {"bcast", apply_bcast, NOTHING, 0, 0, 0, 0, {0}},
    {"udp", apply_bcast, NOTHING, 0, 0, 0, 0, {0}},
    {"mcast", apply_mcast, NOTHING, 0, 0, 0, 0, {0}},
    {"mcast6", apply_mcast, NOTHING, 0, 0, 0, 0, {0}},
    {"serial", apply_serial, NOTHING, 0, 0, 0, 0, {0}},
    {"ping", apply_ping, NOTHING, 0, 0, 0, 0, {0}},
    {"ping_group", apply_ping_group, NOTHING, 0, 0, 0, 0, {0}},
    {"udpport", apply_udpport, NOTHING, 0, 0, 0, 0, {0}},
    {"auto_failback", apply_failback, NOTHING, 0, 0, 0, 0, {0}},
    {"nice_failback", apply_failback, NOTHING, 0, 0, 0, 0, {0}},
    {"respawn", apply_respawn, NOTHING, 0, 0, 0, 0, {0}},
    {"failfast", apply_respawn, NOTHING, 0, 0, 0, 0, {0}},
    {"stonith", apply_stonith, NOTHING, 0, 0, 0, 0, {0}},
    {"stonith_host", apply_stonith, NOTHING, 0, 0, 0, 0, {0}},
    {"apiauth", apply_apiauth, NOTHING, 0, 0, 0, 0, {0}},
    {"env", apply_env, NOTHING, 0, 0, 0, 0, {0}},
    {"autojoin", apply_refused, NOTHING, 0, 0, 0, 0, {0}},
    {"crm", apply_refused, NOTHING, 0, 0, 0, 0, {0}},
    {"pacemaker", apply_refused, NOTHING, 0, 0, 0, 0, {0}},
    {"keepalive", NULL, TIME, AT(keepalive_ms), 1, UINT32_MAX, {0}},
    {"deadtime", NULL, TIME, AT(deadtime_ms), 1, UINT32_MAX, {0}},
    {"warntime", NULL, TIME, AT(warntime_ms), 1, UINT32_MAX, {0}},
    {"initdead", NULL, TIME, AT(initdead_ms), 1, UINT32_MAX, {0}},
    {"deadping", NULL, TIME, AT(deadping_ms), 1, UINT32_MAX, {0}},
    {"conn_logd_time", NULL, TIME, AT(conn_logd_time_ms), 1, UINT32_MAX, {0}},
    {"baud", NULL, NUMBER, AT(baud), 9600, 460800, {0}},
    {"hopfudge", NULL, NUMBER, AT(hopfudge), 0, 255, {0}},
    {"debug", NULL, NUMBER, AT(debug_level), 0, 255, {0}},
    {"rtprio", NULL, NUMBER, AT(rtprio), 1, 99, {0}},
    {"memreserve", NULL, NUMBER, AT(memreserve_kib), 0, 1 << 30, {0}},
    {"max_rexmit_delay", NULL, NUMBER, AT(max_rexmit_delay_ms), 1, 1 << 30, {0}},
    {"compression_threshold", NULL, NUMBER, AT(compression_threshold_kib), 0, 1 << 20, {0}},
    {"logfile", NULL, TEXT, AT(logfile), 0, 0, {0}},
    {"debugfile", NULL, TEXT, AT(debugfile), 0, 0, {0}},
    {"logfacility", NULL, TEXT, AT(logfacility), 0, 0, {0}},
    {"watchdog", NULL, TEXT, AT(watchdog), 0, 0, {0}},
    {"coreroot", NULL, TEXT, AT(coreroot), 0, 0, {0}},
    {"compression", NULL, TEXT, AT(compression), 0, 0, {0}},
    {"cluster", NULL, TEXT, AT(name), 0, 0, {0}},
    {"use_logd", NULL, BOOL, AT(use_logd), 0, 0, {0}},
    {"syslogmsgfmt", NULL, BOOL, AT(syslogmsgfmt), 0, 0, {0}},
    {"log_badpack", NULL, BOOL, AT(log_badpack), 0, 0, {0}},
    {"coredumps", NULL, BOOL, AT(coredumps), 0, 0, {0}},
    {"realtime", NULL, BOOL, AT(realtime), 0, 0, {0}},
    {"traditional_compression", NULL, BOOL, AT(traditional_compression), 0, 0, {0}},
    {"msgfmt", NULL, WORD_A_OR_B, AT(netstring), 0, 0, {"classic", "netstring", NULL}},
    {"hbgenmethod", NULL, WORD_A_OR_B, AT(generation_by_time), 0, 0, {"file", "time", NULL}},
    {"uuidfrom", NULL, WORD_A_OR_B, AT(uuid_from_nodename), 0, 0, {"file", "nodename", NULL}},
    /* Known, and of no consequence here. */
    {"use_apphbd", NULL, NOTHING, 0, 0, 0, 0, {0}},
    {"quorum_server", NULL, NOTHING, 0, 0, 0, 0, {0}},
    {"crm_daemon_dir", NULL, NOTHING, 0, 0, 0, 0, {0}},
    {"crmd_spawns_pengine", NULL, NOTHING, 0, 0, 0, 0, {0}},
    {"record_config_changes", NULL, NOTHING, 0, 0, 0, 0, {0}},
    {"record_pengine_inputs", NULL, NOTHING, 0, 0, 0, 0, {0}},
    {"enable_config_writes", NULL, NOTHING, 0, 0, 0, 0, {0}},
    {"normalpoll", NULL, NOTHING, 0, 0, 0, 0, {0}},
};

enum { ROWS = sizeof rows / sizeof rows[0] };

static void apply_row(struct conf_parser *p, struct conf_cluster *c, const struct row *row,
    const struct conf_directive *d)
{
    char *at = (char *)c + row->offset;
    const char *value = d->values[0];
    const char *hint = NULL;
    uint32_t v = 0;
    bool flag = false, good = true;

    switch (row->type) {
    case TIME:
        good = conf_value_time(value, d->haven, &v) && v >= row->min;
        hint = d->haven ? "write a number and ms, s or m"
                        : "write seconds, such as 5 or 0.5, or milliseconds, such as 500ms";
        break;
    case NUMBER:
        good = conf_value_u32(value, row->min, row->max, &v);
        hint = conf_sprintf(p->notes.arena, "use %u to %u", row->min, row->max);
        break;
    case BOOL:
        good = conf_value_bool(value, &flag);
        hint = "use on or off";
        break;
    case WORD_A_OR_B:
        flag = !strcmp(value, row->words[1]);
        good = flag || !strcmp(value, row->words[0]);
        hint = conf_one_of(&p->notes, row->words, 2);
        break;
    case TEXT:
        memcpy(at, &value, sizeof value);
        return;
    case NOTHING:
        return;
    }
    if (!good)
        conf_error(&p->notes, d->pos, hint, "%s cannot be '%s'", d->name, value);
    else if (row->type == BOOL || row->type == WORD_A_OR_B)
        *(bool *)(void *)at = flag;
    else if (row->bytes == 1)
        *(uint8_t *)at = (uint8_t)v;
    else
        memcpy(at, &v, sizeof v);
}

bool conf_directive_apply(
    struct conf_parser *p, struct conf_cluster *c, const struct conf_directive *d)
{
    for (size_t i = 0; i < ROWS; i++) {
        if (strcmp(rows[i].name, d->name))
            continue;
        if (!p->said)
            p->said = conf_alloc(p->notes.arena, ROWS * sizeof *p->said);
        p->said[i] = d->pos;
        if (!d->n)
            conf_error(&p->notes, d->pos, NULL, "%s has no value", d->name);
        else if (rows[i].apply)
            rows[i].apply(p, c, d);
        else if (rows[i].type == NOTHING || one_value(p, d))
            apply_row(p, c, &rows[i], d);
        return true;
    }
    return false;
}

struct conf_pos conf_directive_pos(const struct conf_parser *p, const char *name)
{
    for (size_t i = 0; p->said && i < ROWS; i++)
        if (!strcmp(rows[i].name, name) && p->said[i].line)
            return p->said[i];
    return p->cluster_pos;
}

const char *conf_directive_hint(struct conf_parser *p, const char *name)
{
    const char *names[ROWS];

    for (size_t i = 0; i < ROWS; i++)
        names[i] = rows[i].name;
    return conf_did_you_mean(&p->notes, name, names, ROWS);
}
