/* SPDX-License-Identifier: Apache-2.0 */
/* What Heartbeat leaves to client programs, built in: ipfail (heartbeat §12.3), dopd (§12.4); and the
 * exchange of client connections for tickle ACKs. */
#include <stdlib.h>
#include <string.h>

#include "cluster_state.h"
#include "hv_cursor.h"
#include "hv_text.h"

static struct hb_msg *client_begin(struct cluster *c, const char *type, const char *client)
{
    struct hb_msg *m = cluster_msg_begin(c, type);

    hb_msg_add(m, "from_id", client);
    hb_msg_add(m, "to_id", client);
    hb_msg_add(m, "client_gen", "0");
    return m;
}

/* ---- ipfail ---- */

/* The peer's ipfail asks when it sees ours come. */
void cluster_client_join(struct cluster *c)
{
    struct hb_msg *m;

    if (!c->cfg.ipfail || !c->peer.present)
        return;
    m = client_begin(c, "hbapi-clstat", "ipfail");
    hb_msg_add(m, "st", "join");
    hb_msg_add(m, "info", "signon");
    cluster_msg_send(c, false);
}

static bool ipfail_active(const struct cluster *c)
{
    return c->cfg.ipfail && c->cfg.pings_count && c->peer.alive && !c->peer.left && c->comm_up &&
           c->rs != RS_SHUTDOWN;
}

void cluster_ipfail_ask(struct cluster *c)
{
    struct hb_msg *m;

    if (!ipfail_active(c))
        return;
    m = client_begin(c, "num_ping_nodes", "ipfail");
    hb_msg_addf(m, "num_ping", "%u", cluster_pings_alive(c));
    cluster_msg_send(c, true);
}

static void giveup_start(struct cluster *c, uint64_t mask)
{
    if (!mask)
        return;
    c->giveup_mask = mask;
    c->giveup_ms = c->now_ms + 2 * c->cfg.keepalive_ms;
    cluster_log(c, HV_LOG_INFO, "Delayed giveup in %llu ms.",
        (unsigned long long)(2 * c->cfg.keepalive_ms));
}

static void ping_counts_compare(struct cluster *c, uint64_t peers)
{
    uint64_t mine = cluster_pings_alive(c);

    if (mine > peers) {
        cluster_log(c, HV_LOG_INFO, "Telling other node that we have more visible ping nodes.");
        client_begin(c, "you_are_dead", "ipfail");
        cluster_msg_send(c, true);
    } else if (mine < peers) {
        cluster_log(c, HV_LOG_INFO, "Giving up because we have less visible ping nodes.");
        giveup_start(c, cluster_mask_all(c));
    } else {
        client_begin(c, "abort_giveup", "ipfail");
        cluster_msg_send(c, true);
        if (c->giveup_ms != CLUSTER_NEVER)
            c->giveup_ms = CLUSTER_NEVER;
        else if (c->cfg.failback == CLUSTER_FAILBACK_ON && !cluster_in_transition(c) &&
                 !c->maintenance)
            giveup_start(c, cluster_mask_claimed(c, CLUSTER_ME) & cluster_mask_of(c, CLUSTER_PEER));
    }
}

void cluster_ipfail_message(struct cluster *c, const struct hb_msg *m)
{
    uint64_t peers;

    if (!ipfail_active(c))
        return;
    if (hb_msg_is(m, "t", "num_ping_nodes") && hb_msg_get_number(m, "num_ping", 10, &peers) == 0)
        ping_counts_compare(c, peers);
    else if (hb_msg_is(m, "t", "you_are_dead"))
        giveup_start(c, cluster_mask_all(c));
    else if (hb_msg_is(m, "t", "abort_giveup"))
        c->giveup_ms = CLUSTER_NEVER;
}

static void giveup_do(struct cluster *c)
{
    uint64_t mask = c->giveup_mask;

    c->giveup_ms = CLUSTER_NEVER;
    if (c->maintenance)
        return;
    if (c->peer.haven)
        mask &= cluster_mask_claimed(c, CLUSTER_ME);
    if (cluster_in_transition(c))
        c->giveup_ms = c->now_ms + c->cfg.keepalive_ms;
    else if (mask && cluster_standby_begin(c, mask) != 0)
        cluster_log(c, HV_LOG_WARN, "cannot give up resources now");
}

/* ---- dopd ---- */

static void outdate_answer(struct cluster *c, const char *resource, int code)
{
    struct cluster_effect *e = cluster_effect_add(c, CLUSTER_FX_OUTDATE_ANSWER);

    hv_strcopy(e->outdate.resource, sizeof e->outdate.resource, resource);
    e->outdate.code = code;
}

static struct cluster_outdate *outdate_find(struct cluster *c, const char *resource)
{
    for (int i = 0; i < OUTDATES_MAX; i++)
        if (c->outdate[i].asking && strcmp(c->outdate[i].resource, resource) == 0)
            return &c->outdate[i];
    return NULL;
}

void cluster_outdate_ask(struct cluster *c, const char *resource)
{
    struct cluster_outdate *o = NULL;
    struct hb_msg *m;

    if (!c->peer.alive) {
        outdate_answer(c, resource, 5);
        return;
    }
    for (int i = 0; i < OUTDATES_MAX && !o; i++)
        if (!c->outdate[i].asking)
            o = &c->outdate[i];
    if (!o || outdate_find(c, resource)) {
        outdate_answer(c, resource, 21);
        return;
    }
    o->asking = true;
    hv_strcopy(o->resource, sizeof o->resource, resource);
    o->until_ms = c->now_ms + OUTDATE_MS;
    m = client_begin(c, "start_outdate", "dopd");
    hb_msg_add(m, "dop_res", resource);
    cluster_msg_send(c, true);
}

void cluster_outdate_done(struct cluster *c, const char *resource, int exit_code)
{
    struct hb_msg *m = client_begin(c, "outdate_rc", "dopd");
    int code = exit_code == 0 ? 4 : exit_code == 5 ? 3 : exit_code == 17 ? 6 : 20;

    hb_msg_addf(m, "dop_value", "%d", code);
    hb_msg_add(m, "dop_res", resource);
    cluster_msg_send(c, true);
}

void cluster_outdate_message(struct cluster *c, const struct hb_msg *m)
{
    const char *resource = hb_msg_get(m, "dop_res");
    struct cluster_outdate *o;
    uint64_t code;

    if (!resource || strlen(resource) >= CLUSTER_NAME_BYTES)
        return;
    if (hb_msg_is(m, "t", "start_outdate")) {
        struct cluster_effect *e = cluster_effect_add(c, CLUSTER_FX_OUTDATE);

        hv_strcopy(e->outdate.resource, sizeof e->outdate.resource, resource);
        return;
    }
    o = outdate_find(c, resource);
    if (!o || hb_msg_get_number(m, "dop_value", 10, &code) != 0)
        return;
    o->asking = false;
    outdate_answer(c, resource, code <= 255 ? (int)code : 20);
}

void cluster_client_timers(struct cluster *c)
{
    if (c->now_ms >= c->giveup_ms)
        giveup_do(c);
    for (int i = 0; i < OUTDATES_MAX; i++) {
        struct cluster_outdate *o = &c->outdate[i];

        if (!o->asking || (c->peer.alive && c->now_ms < o->until_ms))
            continue;
        o->asking = false;
        outdate_answer(c, o->resource, 5);
    }
}

uint64_t cluster_client_next(const struct cluster *c)
{
    uint64_t next = c->giveup_ms;

    for (int i = 0; i < OUTDATES_MAX; i++)
        if (c->outdate[i].asking && c->outdate[i].until_ms < next)
            next = c->outdate[i].until_ms;
    return next;
}

/* ---- client connections ---- */

enum { TCP_RECORD_BYTES = 1 + 16 + 16 + 2 + 2 };

/* Not sequenced: a lost list is replaced by the next one, and the history stays small. */
void cluster_tcp_send(
    struct cluster *c, unsigned group, const struct cluster_tcp *list, unsigned count)
{
    uint8_t bytes[CLUSTER_TCP_MAX * TCP_RECORD_BYTES];
    struct hv_writer w;
    struct hb_msg *m;

    if (!c->peer.alive || !c->peer.haven)
        return;
    hv_writer_init(&w, bytes, sizeof bytes);
    for (unsigned i = 0; i < count && i < CLUSTER_TCP_MAX; i++) {
        hv_write_u8(&w, list[i].family);
        hv_write_bytes(&w, list[i].server, sizeof list[i].server);
        hv_write_bytes(&w, list[i].client, sizeof list[i].client);
        hv_write_be16(&w, list[i].server_port);
        hv_write_be16(&w, list[i].client_port);
    }
    m = cluster_msg_begin(c, "NS_haven_tcp");
    hb_msg_add(m, "group", c->group[group].key);
    hb_msg_addf(m, "n", "%llx", (unsigned long long)++c->tcp_sent);
    hb_msg_add_bytes(m, HB_BINARY, "list", bytes, hv_writer_length(&w));
    cluster_msg_send(c, true);
}

void cluster_tcp_message(struct cluster *c, const struct hb_msg *m)
{
    const char *key = hb_msg_get(m, "group");
    struct cluster_group *g = NULL;
    const uint8_t *bytes;
    struct hv_reader r;
    size_t length;
    uint64_t n;

    bytes = hb_msg_get_bytes(m, "list", &length);
    if (!key || !bytes || length % TCP_RECORD_BYTES ||
        length / TCP_RECORD_BYTES > CLUSTER_TCP_MAX || hb_msg_get_number(m, "n", 16, &n) != 0 ||
        n <= c->peer.tcp_count_seen)
        return;
    c->peer.tcp_count_seen = n;
    for (unsigned i = 0; i < c->groups && !g; i++)
        if (strcmp(c->group[i].key, key) == 0)
            g = &c->group[i];
    if (!g || cluster_group_claimed(g, CLUSTER_ME))
        return;
    hv_reader_init(&r, bytes, length);
    for (g->tcp_count = 0; hv_reader_left(&r); g->tcp_count++) {
        struct cluster_tcp *t = &g->tcp[g->tcp_count];

        t->family = hv_read_u8(&r);
        memcpy(t->server, hv_read_bytes(&r, sizeof t->server), sizeof t->server);
        memcpy(t->client, hv_read_bytes(&r, sizeof t->client), sizeof t->client);
        t->server_port = hv_read_be16(&r);
        t->client_port = hv_read_be16(&r);
    }
}
