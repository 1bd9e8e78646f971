/* SPDX-License-Identifier: Apache-2.0 */
/* Who holds what: reports, start-up, failback, graceful shutdown (heartbeat §6.1-§6.3, §6.6). */
#include <string.h>

#include "cluster_state.h"

bool cluster_in_transition(const struct cluster *c)
{
    if (c->rs != RS_INIT && c->rs != RS_STABLE && c->rs != RS_SHUTDOWN)
        return true;
    if (c->rs == RS_STABLE && (!c->other_stable || c->standby != SB_NOT))
        return true;
    for (unsigned i = 0; i < c->groups; i++) {
        enum cluster_group_state state = c->group[i].side[CLUSTER_ME].state;

        if (state == CLUSTER_GROUP_ACQUIRING || state == CLUSTER_GROUP_RELEASING)
            return true;
    }
    return false;
}

/* Our own report counts as one seen (heartbeat §6.2). */
static void report_seen(struct cluster *c)
{
    if (c->rs != RS_STARTING && c->rs != RS_BOTH_STARTING)
        return;
    c->rs = RS_RECEIVED;
    c->received_ms = c->now_ms;
}

void cluster_report_send(struct cluster *c, const char *info)
{
    char groups[KEYS_BYTES_MAX + CLUSTER_ALL_GROUPS_MAX * 32];
    struct hb_msg *m = cluster_msg_begin(c, "resource");

    hb_msg_add(m, "rsc_hold", cluster_scope_name(cluster_holds(c)));
    hb_msg_add(m, "rtype", "full");
    hb_msg_add(m, "isstable", c->rs == RS_STABLE && !info ? "1" : "0");
    if (info)
        hb_msg_add(m, "info", info);
    cluster_groups_text(c, groups, sizeof groups);
    hb_msg_add(m, "hv_groups", groups);
    cluster_msg_send(c, false);
    report_seen(c);
}

void cluster_resource_begin(struct cluster *c)
{
    c->rs = RS_STARTING;
    c->other_stable = false;
    c->peer.reported = c->peer.starting_seen = false;
    cluster_msg_begin(c, "starting");
    cluster_msg_send(c, false);
    if (!c->peer.alive) {
        c->takeover_pending = true;
        cluster_takeover_try(c);
    }
}

/* ---- failback ---- */

static uint64_t failback_mask(const struct cluster *c)
{
    uint64_t mask = cluster_mask_claimed(c, CLUSTER_ME) & cluster_mask_of(c, CLUSTER_PEER);

    for (unsigned i = 0; c->peer.haven && i < c->groups; i++) {
        const struct cluster_side *peers = &c->group[i].side[CLUSTER_PEER];

        if (peers->failures || peers->state != CLUSTER_GROUP_IDLE)
            mask &= ~(UINT64_C(1) << i);
    }
    return mask;
}

static void failback_try(struct cluster *c)
{
    uint64_t mask = failback_mask(c);

    c->failback_ms = CLUSTER_NEVER;
    if (c->cfg.failback != CLUSTER_FAILBACK_ON || !c->needs_failback || !c->peer.alive ||
        c->peer.left || !mask)
        return;
    if (c->maintenance || cluster_in_transition(c) || cluster_standby_begin(c, mask) != 0)
        c->failback_ms = c->now_ms + FAILBACK_RETRY_MS;
    else
        c->needs_failback = false;
}

/* ---- from start to stable ---- */

static void become_stable(struct cluster *c)
{
    uint64_t mask = 0;

    c->rs = RS_STABLE;
    for (unsigned i = 0; i < c->groups; i++)
        if (c->group[i].prefer == CLUSTER_ME &&
            c->group[i].side[CLUSTER_PEER].state == CLUSTER_GROUP_IDLE)
            mask |= UINT64_C(1) << i;
    if (!mask)
        cluster_log(c, HV_LOG_INFO, "Local Resource acquisition completed. (none)");
    else if (!c->maintenance)
        cluster_groups_acquire(c, mask);
    cluster_log(c, HV_LOG_INFO, "local resource transition completed.");
    cluster_notify_send(c, CLUSTER_NOTIFY_STATE, "node %s is stable", c->cfg.me);
    cluster_report_send(c, NULL);
    failback_try(c);
}

/* Both nodes start: Heartbeat waits 10 s for a stable one.  A haven has told group by group what it
 * holds, so that there is nothing to wait for. */
static uint64_t received_until_ms(const struct cluster *c)
{
    if (c->rs != RS_RECEIVED)
        return CLUSTER_NEVER;
    return c->peer.haven && c->peer.reported ? c->now_ms : c->received_ms + BOTH_STARTING_MS;
}

void cluster_other_stable(struct cluster *c, bool stable, uint64_t seq)
{
    bool was = c->other_stable;

    if (seq < c->peer.stable_seq || c->rs == RS_INIT)
        return;
    c->peer.stable_seq = seq;
    c->other_stable = stable;
    if (stable && !was) {
        cluster_log(c, HV_LOG_INFO, "remote resource transition completed.");
        if (c->rs == RS_STABLE) {
            cluster_report_send(c, NULL);
            failback_try(c);
        }
    }
    if (stable && c->rs != RS_STABLE && c->rs != RS_SHUTDOWN && c->peer.reported)
        become_stable(c);
}

void cluster_resource_starting(struct cluster *c, uint64_t seq)
{
    if (c->rs == RS_INIT) {
        cluster_log(c, HV_LOG_INFO, "%s is starting, and so are we", c->cfg.peer);
        return;
    }
    cluster_other_stable(c, false, seq);
    c->peer.starting_seen = true;
    if (!c->peer.haven)
        cluster_peer_idle(c);
    if (c->rs == RS_STARTING)
        c->rs = RS_BOTH_STARTING;
    cluster_report_send(c, NULL);
}

static void peer_holds_update(struct cluster *c, const struct hb_msg *m, uint64_t seq)
{
    const char *hold = hb_msg_get(m, "rsc_hold"), *groups = hb_msg_get(m, "hv_groups");
    int scope = hold ? cluster_scope_from_name(hold) : HV_EPROTO;

    if (c->peer.haven && groups) {
        cluster_groups_learn(c, groups, seq);
        return;
    }
    if (scope < 0 || seq < c->peer.groups_seq)
        return;
    c->peer.groups_seq = seq;
    if (hb_msg_is(m, "rtype", "full"))
        c->peer.ask_at_ms = CLUSTER_NEVER; /* it has just said everything */
    else if (scope != 0)
        scope |= (int)c->peer.holds;
    cluster_peer_holds(c, (unsigned)scope);
}

void cluster_resource_report(struct cluster *c, const struct hb_msg *m, uint64_t seq)
{
    if (c->rs == RS_INIT)
        return;
    report_seen(c);
    c->peer.reported = true;
    peer_holds_update(c, m, seq);
    if (hb_msg_is(m, "info", "standby"))
        cluster_standby_peer_gives(c);
    if (hb_msg_is(m, "isstable", "1"))
        cluster_other_stable(c, true, seq);
    else if (hb_msg_is(m, "isstable", "0"))
        cluster_other_stable(c, false, seq);
    else if (c->other_stable && c->rs != RS_STABLE && c->rs != RS_SHUTDOWN)
        become_stable(c);
}

/* ---- leaving ---- */

void cluster_resource_shutdone(struct cluster *c)
{
    if (c->peer.left || c->rs == RS_INIT)
        return;
    cluster_log(c, HV_LOG_INFO, "Received shutdown notice from '%s'.", c->cfg.peer);
    cluster_standby_cancel(c);
    c->peer.left = true;
    c->peer_gone = true;
    c->takeover_pending = true;
    cluster_takeover_try(c);
}

int cluster_shutdown_begin(struct cluster *c)
{
    if (c->rs == RS_SHUTDOWN)
        return HV_ESTATE;
    cluster_log(c, HV_LOG_INFO, "Heartbeat shutdown in progress.");
    cluster_notify_send(c, CLUSTER_NOTIFY_STATE, "node %s shuts down", c->cfg.me);
    c->rs = RS_SHUTDOWN; /* first, so that nothing is taken back */
    cluster_standby_cancel(c);
    c->takeover_pending = false;
    c->giveup_ms = c->failback_ms = CLUSTER_NEVER;
    cluster_groups_release(c, cluster_mask_all(c));
    cluster_report_send(c, "shutdown");
    return 0;
}

static bool all_idle(const struct cluster *c)
{
    for (unsigned i = 0; i < c->groups; i++)
        if (c->group[i].side[CLUSTER_ME].state != CLUSTER_GROUP_IDLE)
            return false;
    return true;
}

static void shutdown_advance(struct cluster *c)
{
    if (c->shutdone_ms == CLUSTER_NEVER) {
        struct hb_msg *m;

        /* A group that could not be stopped keeps us here: the peer must not start it. */
        if (!all_idle(c))
            return;
        cluster_log(c, HV_LOG_INFO, "All HA resources relinquished.");
        m = cluster_msg_begin(c, "shutdone");
        hb_msg_add(m, "st", "dead");
        cluster_msg_send(c, false);
        c->shutdone_ms = c->now_ms + (c->peer.alive ? SHUTDOWN_LINGER_MS : 0);
    }
    if (c->now_ms >= c->shutdone_ms) {
        c->stopped = true;
        cluster_log(c, HV_LOG_INFO, "%s Heartbeat shutdown complete.", c->cfg.me);
        cluster_effect_add(c, CLUSTER_FX_STOPPED);
    }
}

void cluster_resource_timers(struct cluster *c)
{
    if (c->rs == RS_SHUTDOWN) {
        shutdown_advance(c);
        return;
    }
    if (c->now_ms >= received_until_ms(c) && c->peer.alive)
        become_stable(c);
    if (c->now_ms >= c->failback_ms)
        failback_try(c);
}

uint64_t cluster_resource_next(const struct cluster *c)
{
    uint64_t next = c->failback_ms, at = received_until_ms(c);

    if (c->rs == RS_SHUTDOWN)
        return c->shutdone_ms;
    return at < next && c->peer.alive ? at : next;
}
