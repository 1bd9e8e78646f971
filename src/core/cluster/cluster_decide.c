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
 * that was pulled: before that, the peer's last packet and the ping node's last reply say the same.  And it
 * must be fresh, or the cable may have been pulled since. */
static bool ping_confirms(const struct cluster *c)
{
    uint64_t pause_ms = c->cfg.keepalive_ms * 3 / 2;
    uint64_t after_ms = c->peer.silent_ms + pause_ms;

    for (unsigned i = 0; i < c->cfg.pings_count; i++)
        if (c->ping[i].alive && c->ping[i].heard_ms > after_ms &&
            c->now_ms - c->ping[i].heard_ms <= pause_ms)
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

static bool holds_anything(const struct cluster *c)
{
    for (unsigned i = 0; i < c->cfg.groups_count; i++)
        if (c->group[i].side[CLUSTER_ME].state != CLUSTER_GROUP_IDLE)
            return true;
    return volumes_primary(c);
}

/* When this node last heard anybody. */
static uint64_t heard_ms(const struct cluster *c)
{
    uint64_t heard = c->peer.heard_ms;

    for (unsigned i = 0; i < c->cfg.pings_count; i++)
        if (c->ping[i].heard_ms > heard)
            heard = c->ping[i].heard_ms;
    return heard;
}

/* A node that is cut off must have stopped writing before its peer takes over.  The peer does so one
 * deadtime after our last heartbeat, which left at most a keepalive before the cut: half a keepalive
 * before that we freeze.  It costs nothing but a pause when somebody is heard again. */
static uint64_t freeze_at_ms(const struct cluster *c)
{
    uint64_t early = c->cfg.keepalive_ms * 3 / 2;
    uint64_t silence_ms = c->cfg.deadtime_ms > 2 * early ? c->cfg.deadtime_ms - early : early;

    if (!c->peer.present || !c->cfg.pings_count || !c->comm_up || c->peer_gone ||
        !holds_anything(c))
        return CLUSTER_NEVER;
    return heard_ms(c) + silence_ms;
}

static void frozen_set(struct cluster *c, bool frozen)
{
    if (c->frozen == frozen)
        return;
    c->frozen = frozen;
    c->frozen_ms = c->now_ms;
    c->frozen_seq = c->seq;
    cluster_log(c, HV_LOG_WARN, frozen ? "nobody answers: I/O is frozen" : "I/O goes on");
    cluster_notify_send(c, CLUSTER_NOTIFY_STATE, "node %s %s", c->cfg.me,
        frozen ? "frozen" : "not frozen any more");
    cluster_effect_add(c, frozen ? CLUSTER_FX_FREEZE : CLUSTER_FX_THAW);
}

/* The peer may have taken over just before it was heard again: not until it has heard a heartbeat that we
 * sent since, and says that it has none of what we hold.  With a ping node alone, not until the peer is
 * declared dead. */
static bool may_thaw(const struct cluster *c)
{
    if (!c->peer.alive)
        return cluster_pings_alive(c) > 0;
    if (c->peer.haven ? c->peer.echo_seq <= c->frozen_seq : c->peer.heard_ms <= c->frozen_ms)
        return false;
    for (unsigned i = 0; i < c->groups; i++)
        if (c->group[i].side[CLUSTER_ME].state != CLUSTER_GROUP_IDLE &&
            c->group[i].side[CLUSTER_PEER].state != CLUSTER_GROUP_IDLE)
            return false;
    return true;
}

void cluster_freeze_check(struct cluster *c)
{
    uint64_t at_ms = freeze_at_ms(c);

    if (c->isolated)
        return;
    if (!c->frozen)
        frozen_set(c, c->now_ms >= at_ms);
    else if (at_ms == CLUSTER_NEVER || (c->now_ms < at_ms && may_thaw(c)))
        frozen_set(c, false);
}

static void isolate(struct cluster *c)
{
    c->isolated = true;
    cluster_log(c, HV_LOG_CRIT, "Neither node %s nor any ping node answers: giving everything up.",
        c->cfg.peer);
    cluster_notify_send(c, CLUSTER_NOTIFY_STATE, "node %s is isolated", c->cfg.me);
    cluster_standby_cancel(c);
    if (holds_anything(c))
        frozen_set(c, true);
    cluster_groups_release(c, cluster_mask_all(c));
    if (c->rs != RS_SHUTDOWN)
        c->rs = RS_STARTING;
}

static void rejoin(struct cluster *c)
{
    c->isolated = false;
    cluster_log(c, HV_LOG_NOTICE, "The network is back: joining again.");
    cluster_notify_send(c, CLUSTER_NOTIFY_STATE, "node %s is not isolated any more", c->cfg.me);
    frozen_set(c, false);
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
    uint64_t next = CLUSTER_NEVER;

    if (c->takeover_pending && c->verdict == CLUSTER_WAIT_FENCE && !c->fence_asked)
        next = c->fence_retry_ms;
    if (c->takeover_pending && c->verdict == CLUSTER_WAIT_PEER)
        next = c->listen_until_ms;
    if (!c->frozen && !c->isolated && freeze_at_ms(c) < next)
        next = freeze_at_ms(c);
    return next;
}
