/* SPDX-License-Identifier: Apache-2.0 */
/* Who is there: our heartbeats, the peer's, links and ping nodes (heartbeat §5). */
#include <string.h>

#include "cluster_state.h"
#include "hv_text.h"

static const char *const my_status_names[] = {"dead", "init", "up", "active"};

static bool due(const struct cluster *c, uint64_t at_ms)
{
    return at_ms != CLUSTER_NEVER && c->now_ms >= at_ms;
}

/* ---- our heartbeat ---- */

void cluster_status_send(struct cluster *c)
{
    char groups[CLUSTER_ALL_GROUPS_MAX * 64 + 8192];
    struct hb_msg *m = cluster_msg_begin(c, "status");

    hb_msg_add(m, "st", my_status_names[c->status]);
    hb_msg_addf(m, "dt", "%llx", (unsigned long long)c->cfg.deadtime_ms);
    hb_msg_add(m, "protocol", "1");
    hb_msg_add(m, "haven", "1");
    hb_msg_add(m, "hv_see", c->peer.alive ? "1" : "0");
    hb_msg_addf(m, "hv_heard", "%llx", (unsigned long long)c->peer.status_seq);
    hb_msg_add(m, "hv_stable", c->rs == RS_STABLE ? "1" : "0");
    hb_msg_add(m, "hv_standby", c->standby == SB_NOT ? "0" : "1");
    cluster_groups_text(c, groups, sizeof groups);
    hb_msg_add(m, "hv_groups", groups);
    cluster_msg_send(c, false);
    for (unsigned i = 0; i < c->cfg.pings_count; i++)
        cluster_ping_send(c, i);
}

static void my_status_set(struct cluster *c, enum my_status status)
{
    c->status = status;
    cluster_log(c, HV_LOG_INFO, "Local status now set to: '%s'", my_status_names[status]);
    cluster_notify_send(c, CLUSTER_NOTIFY_NODE, "node %s %s", c->cfg.me, my_status_names[status]);
    cluster_status_send(c);
}

void cluster_member_start(struct cluster *c)
{
    c->started_ms = c->now_ms;
    c->next_status_ms = c->now_ms + c->cfg.keepalive_ms;
    my_status_set(c, MY_INIT);
    my_status_set(c, MY_UP);
}

static void go_active(struct cluster *c)
{
    c->comm_up = true;
    c->next_reqnodes_ms = CLUSTER_NEVER;
    cluster_log(c, HV_LOG_INFO, "Comm_now_up(): updating status to active");
    my_status_set(c, MY_ACTIVE);
    cluster_client_join(c);
    cluster_resource_begin(c);
}

static void reqnodes_send(struct cluster *c)
{
    cluster_msg_begin(c, "reqnodes");
    cluster_msg_send(c, true);
    c->next_reqnodes_ms = c->now_ms + REQNODES_MS;
}

/* heartbeat §5.2: everybody was heard or given up; then ask the peer for the node list, if it is there. */
static void comm_check(struct cluster *c)
{
    if (c->comm_up || c->status != MY_UP)
        return;
    if (c->peer.present && !c->peer.resolved)
        return;
    for (unsigned i = 0; i < c->cfg.pings_count; i++)
        if (!c->ping[i].resolved)
            return;
    if (!c->peer.alive || c->nodes_known)
        go_active(c);
    else if (c->next_reqnodes_ms == CLUSTER_NEVER || due(c, c->next_reqnodes_ms))
        reqnodes_send(c);
}

static void repnodes_send(struct cluster *c)
{
    struct hb_msg *m = cluster_msg_begin(c, "repnodes");

    hb_msg_addf(m, "nodelist", "%s %s ", c->cfg.me, c->cfg.peer);
    hb_msg_add(m, "delnodelist", " ");
    cluster_msg_send(c, true);
}

/* ---- links and ping nodes ---- */

void cluster_member_packet_seen(struct cluster *c, unsigned medium)
{
    struct cluster_link *link = &c->link[medium];

    link->heard_ms = c->now_ms;
    if (link->up)
        return;
    link->up = true;
    cluster_log(c, HV_LOG_INFO, "Link %s:%s up.", c->cfg.peer, c->cfg.media[medium].name);
    cluster_notify_send(c, CLUSTER_NOTIFY_LINK, "link %s up", c->cfg.media[medium].name);
}

static void link_dead(struct cluster *c, unsigned medium)
{
    c->link[medium].up = false;
    cluster_log(c, HV_LOG_WARN, "Link %s:%s dead.", c->cfg.peer, c->cfg.media[medium].name);
    cluster_notify_send(c, CLUSTER_NOTIFY_LINK, "link %s dead", c->cfg.media[medium].name);
    cluster_ipfail_ask(c);
}

unsigned cluster_pings_alive(const struct cluster *c)
{
    unsigned alive = 0;

    for (unsigned i = 0; i < c->cfg.pings_count; i++)
        alive += c->ping[i].alive;
    return alive;
}

void cluster_ping_alive(struct cluster *c, unsigned ping)
{
    struct cluster_ping *p = &c->ping[ping];
    bool was = p->alive;

    p->alive = p->resolved = true;
    p->heard_ms = c->now_ms;
    if (!was) {
        cluster_log(
            c, HV_LOG_INFO, "Status update for node %s: status ping", c->cfg.pings[ping].name);
        cluster_notify_send(c, CLUSTER_NOTIFY_LINK, "ping %s alive", c->cfg.pings[ping].name);
        cluster_ipfail_ask(c);
    }
    comm_check(c);
    cluster_isolation_check(c);
    cluster_takeover_try(c);
}

static void ping_dead(struct cluster *c, unsigned ping)
{
    c->ping[ping].alive = false;
    c->ping[ping].resolved = true;
    cluster_log(c, HV_LOG_WARN, "node %s: is dead", c->cfg.pings[ping].name);
    cluster_notify_send(c, CLUSTER_NOTIFY_LINK, "ping %s dead", c->cfg.pings[ping].name);
    cluster_ipfail_ask(c);
}

/* ---- the peer ---- */

/* Back, after a restart of its own or from the other side of a partition: what it does is unknown again,
 * and what we had decided about its death is void. */
static void peer_back(struct cluster *c)
{
    struct cluster_peer *p = &c->peer;

    cluster_link_reset(c);
    p->left = p->starting_seen = p->reported = p->sees_me = false;
    p->blind_since_ms = p->ask_at_ms = p->clash_since_ms = CLUSTER_NEVER;
    p->groups_seq = p->stable_seq = p->standby_seq = 0;
    c->takeover_pending = c->peer_gone = false;
    c->fence_asked = c->witness_asked = c->witness_refused = false;
    cluster_standby_cancel(c);
}

void cluster_member_restarted(struct cluster *c, uint64_t generation)
{
    struct cluster_peer *p = &c->peer;

    if (p->generation)
        cluster_log(c, HV_LOG_WARN, "Heartbeat restart on node %s", c->cfg.peer);
    p->generation = generation;
    p->status_seq = 0;
    p->haven = false;
    p->tcp_count_seen = 0;
    peer_back(c);
}

void cluster_member_healed(struct cluster *c)
{
    cluster_log(c, HV_LOG_CRIT, "Cluster node %s returning after partition.", c->cfg.peer);
    peer_back(c);
    if (!c->peer.haven)
        c->peer.ask_at_ms = c->now_ms + HEARTBEAT_YIELDS_MS;
}

/* Its first status after silence. */
static void peer_alive(struct cluster *c)
{
    struct cluster_peer *p = &c->peer;
    bool returned = p->resolved;

    p->alive = p->heard = p->resolved = true;
    if (returned && c->comm_up) {
        cluster_status_send(c); /* it should know at once that we hear it */
        if (c->rs == RS_STABLE && !c->isolated)
            cluster_report_send(c, NULL);
    }
    cluster_isolation_check(c);
}

static void peer_status_set(struct cluster *c, const char *status)
{
    if (strcmp(c->peer.status, status) == 0)
        return;
    hv_strcopy(c->peer.status, sizeof c->peer.status, status);
    cluster_log(
        c, HV_LOG_INFO, "Status update for node %s: status %s", c->cfg.peer, c->peer.status);
    cluster_notify_send(c, CLUSTER_NOTIFY_NODE, "node %s %s", c->cfg.peer, c->peer.status);
}

static void peer_sees_me(struct cluster *c, bool sees)
{
    struct cluster_peer *p = &c->peer;

    p->sees_me = sees;
    if (sees)
        p->blind_since_ms = CLUSTER_NEVER;
    else if (p->blind_since_ms == CLUSTER_NEVER)
        p->blind_since_ms = c->now_ms;
}

/* What a haven says again with every heartbeat, so that a lost or late message does no lasting harm. */
static void haven_status(
    struct cluster *c, const struct hb_msg *m, const char *groups, uint64_t seq)
{
    c->peer.echo_seq = 0;
    if (hb_msg_is(m, "hv_see", "1") && hb_msg_get_number(m, "hv_heard", 16, &c->peer.echo_seq) != 0)
        return;
    cluster_groups_learn(c, groups, seq);
    if (c->standby == SB_NOT)
        cluster_other_stable(c, hb_msg_is(m, "hv_stable", "1"), seq);
    else if (hb_msg_is(m, "hv_standby", "0"))
        cluster_standby_peer_out(c, seq);
}

void cluster_member_status(struct cluster *c, const struct hb_msg *m, uint64_t seq)
{
    struct cluster_peer *p = &c->peer;
    const char *st = hb_msg_get(m, "st"), *groups = hb_msg_get(m, "hv_groups");
    uint64_t dt = 0, interval = c->now_ms - p->heard_ms;

    if (!st || seq <= p->status_seq || strcmp(st, "dead") == 0)
        return;
    p->status_seq = seq;
    if (p->alive && interval > c->cfg.warntime_ms)
        cluster_log(c, HV_LOG_WARN, "Late heartbeat: Node %s: interval %llu ms", c->cfg.peer,
            (unsigned long long)interval);
    p->heard_ms = c->now_ms;
    p->deadtime_ms = c->cfg.deadtime_ms;
    if (hb_msg_get_number(m, "dt", 16, &dt) == 0 && dt > 0 && dt < UINT32_MAX)
        p->deadtime_ms = dt;
    p->haven = hb_msg_is(m, "haven", "1");
    if (p->haven)
        peer_sees_me(c, hb_msg_is(m, "hv_see", "1"));
    if (!p->alive)
        peer_alive(c);
    peer_status_set(c, st);
    if (p->haven && groups)
        haven_status(c, m, groups, seq);
    comm_check(c);
}

static void client_status(struct cluster *c, const struct hb_msg *m)
{
    if (hb_msg_is(m, "st", "join") && hb_msg_is(m, "from_id", "ipfail"))
        cluster_ipfail_ask(c);
}

void cluster_member_deliver(struct cluster *c, const struct hb_msg *m, uint64_t seq)
{
    const char *t = hb_msg_get(m, "t");

    if (strcmp(t, "status") == 0) {
        cluster_member_status(c, m, seq);
    } else if (strcmp(t, "reqnodes") == 0) {
        repnodes_send(c);
    } else if (strcmp(t, "repnodes") == 0) {
        c->nodes_known = true;
        comm_check(c);
    } else if (strcmp(t, "starting") == 0) {
        cluster_resource_starting(c, seq);
    } else if (strcmp(t, "resource") == 0) {
        cluster_resource_report(c, m, seq);
    } else if (strcmp(t, "ask_resources") == 0) {
        cluster_standby_message(c, m, seq);
    } else if (strcmp(t, "hb_takeover") == 0) {
        cluster_takeover_message(c, m);
    } else if (strcmp(t, "shutdone") == 0) {
        cluster_resource_shutdone(c);
    } else if (strcmp(t, "hbapi-clstat") == 0) {
        client_status(c, m);
    } else if (strcmp(t, "start_outdate") == 0 || strcmp(t, "outdate_rc") == 0) {
        cluster_outdate_message(c, m);
    } else {
        cluster_ipfail_message(c, m);
    }
}

/* ---- time ---- */

static uint64_t peer_dies_ms(const struct cluster *c)
{
    if (!c->peer.present || (c->peer.resolved && !c->peer.alive))
        return CLUSTER_NEVER;
    if (!c->peer.alive)
        return c->started_ms + c->cfg.initdead_ms;
    return c->peer.heard_ms + c->peer.deadtime_ms;
}

static uint64_t link_dies_ms(const struct cluster *c, unsigned medium)
{
    const struct cluster_link *link = &c->link[medium];
    return link->up ? link->heard_ms + c->peer.deadtime_ms : CLUSTER_NEVER;
}

static uint64_t ping_dies_ms(const struct cluster *c, unsigned ping)
{
    const struct cluster_ping *p = &c->ping[ping];

    if (p->alive)
        return p->heard_ms + c->cfg.deadping_ms;
    return p->resolved ? CLUSTER_NEVER : c->started_ms + c->cfg.initdead_ms;
}

void cluster_member_timers(struct cluster *c)
{
    if (due(c, c->next_status_ms)) {
        c->next_status_ms += c->cfg.keepalive_ms;
        if (c->next_status_ms <= c->now_ms)
            c->next_status_ms = c->now_ms + c->cfg.keepalive_ms;
        cluster_status_send(c);
    }
    for (unsigned i = 0; i < c->cfg.pings_count; i++)
        if (due(c, ping_dies_ms(c, i)))
            ping_dead(c, i);
    if (due(c, peer_dies_ms(c))) {
        peer_status_set(c, "dead");
        cluster_peer_dead(c);
    }
    for (unsigned i = 0; i < c->cfg.media_count; i++)
        if (due(c, link_dies_ms(c, i)))
            link_dead(c, i);
    comm_check(c);
    cluster_isolation_check(c);
}

uint64_t cluster_member_next(const struct cluster *c)
{
    uint64_t next = c->next_status_ms, at = peer_dies_ms(c);

    if (at < next)
        next = at;
    if (!c->comm_up && c->next_reqnodes_ms < next)
        next = c->next_reqnodes_ms;
    for (unsigned i = 0; i < c->cfg.media_count; i++)
        if ((at = link_dies_ms(c, i)) < next)
            next = at;
    for (unsigned i = 0; i < c->cfg.pings_count; i++)
        if ((at = ping_dies_ms(c, i)) < next)
            next = at;
    return next;
}
