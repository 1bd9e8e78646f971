/* SPDX-License-Identifier: Apache-2.0 */
/* Two nodes claim one group: after a healed partition, or because one of them did not run for a while. */
#include "cluster_state.h"

/* Each value is sent with every status and changes only by a deliberate step of its node, so that both
 * nodes compare the same numbers:
 *   1. the node that was not stalled since it acquired the group (the other one was as good as dead);
 *   2. the one that has it running (not only starting);
 *   3. the one whose volumes are all Primary and UpToDate;
 *   4. the one that has held it longer: the smaller claim number;
 *   5. the node that the configuration prefers. */
bool cluster_claim_keeps(
    const struct cluster_side *mine, const struct cluster_side *other, bool i_am_preferred)
{
    bool mine_runs = mine->state == CLUSTER_GROUP_HELD;
    bool other_runs = other->state == CLUSTER_GROUP_HELD;

    if (mine->suspect != other->suspect)
        return other->suspect;
    if (mine_runs != other_runs)
        return mine_runs;
    if (mine->volumes_good != other->volumes_good)
        return mine->volumes_good;
    if (mine->claim != other->claim)
        return mine->claim < other->claim;
    return i_am_preferred;
}

static bool i_keep(const struct cluster_group *g)
{
    return cluster_claim_keeps(
        &g->side[CLUSTER_ME], &g->side[CLUSTER_PEER], g->prefer == CLUSTER_ME);
}

/* The peer does not hear us and will not yield: after a deadtime of that we do, whatever the order says. */
static bool peer_is_blind(const struct cluster *c)
{
    return c->peer.blind_since_ms != CLUSTER_NEVER &&
           c->now_ms - c->peer.blind_since_ms >= c->peer.deadtime_ms;
}

void cluster_claim_resolve(struct cluster *c)
{
    uint64_t lost = 0;

    if (!c->peer.alive || !c->peer.haven || (!c->peer.sees_me && !peer_is_blind(c)))
        return;
    for (unsigned i = 0; i < c->groups; i++) {
        struct cluster_group *g = &c->group[i];

        if (!cluster_group_claimed(g, CLUSTER_ME) || !cluster_group_claimed(g, CLUSTER_PEER) ||
            (i_keep(g) && !peer_is_blind(c)))
            continue;
        lost |= UINT64_C(1) << i;
        if (g->real)
            cluster_log(c, HV_LOG_CRIT,
                "Both nodes hold group %s: node %s keeps it, this one releases it.", g->key,
                c->cfg.peer);
    }
    if (lost) {
        cluster_groups_release(c, lost);
        cluster_report_send(c, NULL);
    }
}

/* ---- a Heartbeat as peer ---- */

/* If it took us for dead, it restarts when it hears us again, and gives up everything before.  If not, it
 * still has what we took from it while only we heard nothing, and does not say so unasked. */
static void holdings_ask(struct cluster *c)
{
    c->peer.ask_at_ms = CLUSTER_NEVER;
    if (!c->peer.alive || c->peer.left || c->rs != RS_STABLE || c->standby != SB_NOT)
        return;
    c->other_stable = false;
    cluster_msg_begin(c, "starting");
    cluster_msg_send(c, false);
}

static uint64_t clash_mask(const struct cluster *c)
{
    if (c->peer.haven || !c->peer.alive || c->peer.left || c->standby != SB_NOT)
        return 0;
    return cluster_mask_claimed(c, CLUSTER_ME) & cluster_mask_claimed(c, CLUSTER_PEER);
}

void cluster_claim_timers(struct cluster *c)
{
    struct cluster_peer *p = &c->peer;
    uint64_t mask = clash_mask(c);

    if (c->now_ms >= p->ask_at_ms)
        holdings_ask(c);
    if (!mask)
        p->clash_since_ms = CLUSTER_NEVER;
    else if (p->clash_since_ms == CLUSTER_NEVER)
        p->clash_since_ms = c->now_ms;
    if (c->now_ms < cluster_claim_next(c))
        return;
    p->clash_since_ms = CLUSTER_NEVER;
    for (unsigned i = 0; i < c->groups; i++)
        if (mask >> i & 1 && c->group[i].real)
            cluster_log(c, HV_LOG_CRIT,
                "Both nodes hold group %s, and node %s does not give it up: this one releases it.",
                c->group[i].key, c->cfg.peer);
    cluster_groups_release(c, mask);
    cluster_report_send(c, NULL);
}

uint64_t cluster_claim_next(const struct cluster *c)
{
    const struct cluster_peer *p = &c->peer;
    uint64_t next = p->ask_at_ms;

    if (p->clash_since_ms != CLUSTER_NEVER && p->clash_since_ms + HEARTBEAT_YIELDS_MS < next)
        next = p->clash_since_ms + HEARTBEAT_YIELDS_MS;
    return next;
}
