/* SPDX-License-Identifier: Apache-2.0 */
/* The peer's death, what may be taken over, and what a node does that sees nobody (heartbeat §7). */
#include "cluster_state.h"

const char *cluster_verdict_text(enum cluster_verdict verdict)
{
    static const char *const texts[] = {
        "granted",
        "waiting for a ping node to answer",
        "waiting for the peer to be fenced",
        "waiting for the witness",
        "withheld: no ping node answers either, it may be this node that is cut off",
        "withheld: the replication link says that the peer is alive and Primary",
        "refused by the witness",
        "withheld: maintenance",
        "waiting for the peer to be heard, now that the network is back",
    };
    return (unsigned)verdict < sizeof texts / sizeof *texts ? texts[verdict] : "?";
}

/* ---- may we? ---- */

static bool peer_primary(const struct cluster *c)
{
    for (unsigned i = 0; i < c->cfg.volumes_count; i++)
        if (c->volume[i].connected && c->volume[i].peer_primary)
            return true;
    return false;
}

/* A reply that came while the peer was already missing one heartbeat shows that it is not our own cable
 * that was pulled: before that, the peer's last packet and the ping node's last reply say the same. */
static bool ping_confirms(const struct cluster *c)
{
    uint64_t after_ms = c->peer.silent_ms + c->cfg.keepalive_ms * 3 / 2;

    for (unsigned i = 0; i < c->cfg.pings_count; i++)
        if (c->ping[i].alive && c->ping[i].heard_ms > after_ms)
            return true;
    return false;
}

static enum cluster_verdict witness_verdict(struct cluster *c)
{
    if (c->witness_refused)
        return CLUSTER_NO_WITNESS;
    if (!c->witness_asked) {
        c->witness_asked = true;
        cluster_effect_add(c, CLUSTER_FX_ASK_WITNESS);
    }
    return CLUSTER_WAIT_WITNESS;
}

static enum cluster_verdict fence_verdict(struct cluster *c)
{
    if (!c->fence_asked && c->now_ms >= c->fence_retry_ms) {
        c->fence_asked = true;
        cluster_log(c, HV_LOG_NOTICE, "Resetting node %s", c->cfg.peer);
        cluster_effect_add(c, CLUSTER_FX_FENCE);
    }
    return CLUSTER_WAIT_FENCE;
}

enum cluster_verdict cluster_may_take_over(struct cluster *c)
{
    if (c->maintenance)
        return CLUSTER_NO_MAINTENANCE;
    if (peer_primary(c))
        return CLUSTER_NO_PEER_PRIMARY;
    if (!c->peer.present || c->peer_gone)
        return CLUSTER_MAY;
    if (c->isolated)
        return CLUSTER_NO_ISOLATED;
    if (c->now_ms < c->listen_until_ms)
        return CLUSTER_WAIT_PEER;
    if (c->cfg.pings_count && !ping_confirms(c))
        return cluster_pings_alive(c) ? CLUSTER_WAIT_PING : CLUSTER_NO_ISOLATED;
    if (c->cfg.witness)
        return witness_verdict(c);
    if (c->cfg.fence && c->fence_needed)
        return fence_verdict(c);
    return CLUSTER_MAY;
}

/* ---- taking over ---- */

static void takeover_do(struct cluster *c)
{
    uint64_t mask = 0;

    c->takeover_pending = false;
    c->other_stable = true;
    c->needs_failback = true;
    c->rs = RS_STABLE;
    for (unsigned i = 0; i < c->groups; i++) {
        struct cluster_side *peers = &c->group[i].side[CLUSTER_PEER];

        /* Gone for good: nothing of it runs.  One that only said good-bye has told what it could not stop. */
        if (!c->peer.alive || peers->state != CLUSTER_GROUP_STOP_FAILED) {
            peers->state = CLUSTER_GROUP_IDLE;
            mask |= UINT64_C(1) << i;
        }
    }
    c->peer.holds = 0;
    if (c->peer.present)
        cluster_log(c, HV_LOG_INFO, "Resources being acquired from %s.", c->cfg.peer);
    cluster_groups_acquire(c, mask);
    cluster_notify_send(c, CLUSTER_NOTIFY_STATE, "node %s takes everything", c->cfg.me);
    cluster_report_send(c, NULL);
    cluster_status_send(c);
}

void cluster_takeover_try(struct cluster *c)
{
    enum cluster_verdict verdict;

    if (!c->takeover_pending || !c->comm_up || c->rs == RS_INIT || c->rs == RS_SHUTDOWN)
        return;
    verdict = cluster_may_take_over(c);
    if (verdict != c->verdict || !c->takeover_explained) {
        c->takeover_explained = true;
        c->verdict = verdict;
        if (c->peer.present)
            cluster_log(c, verdict == CLUSTER_MAY ? HV_LOG_INFO : HV_LOG_WARN, "takeover: %s",
                cluster_verdict_text(verdict));
        if (verdict != CLUSTER_MAY)
            cluster_notify_send(
                c, CLUSTER_NOTIFY_STATE, "takeover: %s", cluster_verdict_text(verdict));
    }
    if (verdict == CLUSTER_MAY)
        takeover_do(c);
}

void cluster_peer_dead(struct cluster *c)
{
    struct cluster_peer *p = &c->peer;
    bool idle = true;

    for (unsigned i = 0; i < c->groups; i++)
        idle &= c->group[i].side[CLUSTER_PEER].state == CLUSTER_GROUP_IDLE;
    cluster_log(c, HV_LOG_WARN, "node %s: is dead", c->cfg.peer);
    p->silent_ms = p->heard ? p->heard_ms : c->started_ms;
    p->alive = false;
    p->resolved = true;
    p->sees_me = false;
    cluster_link_reset(c);
    cluster_standby_cancel(c);
    c->giveup_ms = CLUSTER_NEVER;
    c->fence_needed = !(p->heard && idle);
    if (!c->fence_needed)
        cluster_log(c, HV_LOG_INFO, "Dead node %s gave up resources.", c->cfg.peer);
    else if (!c->cfg.fence && !c->cfg.witness)
        cluster_log(
            c, HV_LOG_WARN, "No STONITH device configured. Shared disks are not protected.");
    c->takeover_explained = false;
    c->takeover_pending = c->rs != RS_SHUTDOWN;
    cluster_isolation_check(c);
    cluster_takeover_try(c);
}

/* ---- seeing nobody ---- */

static bool volumes_primary(const struct cluster *c)
{
    for (unsigned i = 0; i < c->cfg.volumes_count; i++)
        if (c->volume[i].primary)
            return true;
    return false;
}

static void isolate(struct cluster *c)
{
    c->isolated = true;
    cluster_log(c, HV_LOG_CRIT, "Neither node %s nor any ping node answers: giving everything up.",
        c->cfg.peer);
    cluster_notify_send(c, CLUSTER_NOTIFY_STATE, "node %s is isolated", c->cfg.me);
    cluster_standby_cancel(c);
    if (cluster_mask_claimed(c, CLUSTER_ME) || volumes_primary(c)) {
        c->frozen = true;
        cluster_effect_add(c, CLUSTER_FX_FREEZE);
    }
    cluster_groups_release(c, cluster_mask_all(c));
    if (c->rs != RS_SHUTDOWN)
        c->rs = RS_STARTING;
}

static void rejoin(struct cluster *c)
{
    c->isolated = false;
    cluster_log(c, HV_LOG_NOTICE, "The network is back: joining again.");
    cluster_notify_send(c, CLUSTER_NOTIFY_STATE, "node %s is not isolated any more", c->cfg.me);
    if (c->frozen) {
        c->frozen = false;
        cluster_effect_add(c, CLUSTER_FX_THAW);
    }
    c->takeover_explained = false;
    c->peer.silent_ms = c->now_ms;
    c->listen_until_ms = c->now_ms + c->peer.deadtime_ms;
    if (c->rs != RS_SHUTDOWN)
        cluster_resource_begin(c);
}

/* Not when the peer is certainly gone: then there is nobody who could hold the same. */
void cluster_isolation_check(struct cluster *c)
{
    bool nobody = c->peer.present && c->peer.resolved && !c->peer.alive && !c->peer_gone &&
                  c->cfg.pings_count && cluster_pings_alive(c) == 0;

    if (!c->comm_up || nobody == c->isolated)
        return;
    if (nobody)
        isolate(c);
    else
        rejoin(c);
}

uint64_t cluster_decide_next(const struct cluster *c)
{
    if (c->takeover_pending && c->verdict == CLUSTER_WAIT_FENCE && !c->fence_asked)
        return c->fence_retry_ms;
    if (c->takeover_pending && c->verdict == CLUSTER_WAIT_PEER)
        return c->listen_until_ms;
    return CLUSTER_NEVER;
}
