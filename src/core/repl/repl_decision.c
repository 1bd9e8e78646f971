/* SPDX-License-Identifier: Apache-2.0 */
/* The comparison of generation identifiers, rule by rule, and the policies after a split brain (wire §7).
 * Rule numbers are DRBD's, people grep for them. */
#include "repl_decision.h"

enum {
    C = DRBD_UUID_CURRENT,
    B = DRBD_UUID_BITMAP,
    H0 = DRBD_UUID_HISTORY0,
    H1 = DRBD_UUID_HISTORY1
};

static uint64_t plain(uint64_t uuid)
{
    return uuid & ~UINT64_C(1);
}

static bool equal(uint64_t a, uint64_t b)
{
    return plain(a) == plain(b);
}

static int decide(struct repl_gi *g, int rule, int result)
{
    g->rule = rule;
    return result;
}

static int needs_91(struct repl_gi *g, int rule)
{
    return decide(g, rule, REPL_GI_NEEDS_VERSION - 91);
}

/* Same data on both; only one of them knows that the resync is over. */
static int one_has_a_bitmap_uuid(struct repl_gi *g)
{
    uint64_t *self = g->self, *peer = g->peer;

    if (!peer[B]) {
        if (g->version < 91)
            return needs_91(g, 36);
        if (!equal(self[B], peer[H0]) || !equal(self[H0], peer[H1]))
            return decide(g, 36, 1);
        self[H1] = self[H0];
        self[H0] = self[B];
        self[B] = 0;
        g->self_changed = true;
        return decide(g, 34, 1);
    }
    if (g->version < 91)
        return needs_91(g, 37);
    if (!equal(self[H0], peer[B]) || !equal(self[H1], peer[H0]))
        return decide(g, 37, -1);
    peer[H1] = peer[H0];
    peer[H0] = peer[B];
    peer[B] = 0;
    return decide(g, 35, -1);
}

/* Same data: a crashed Primary may have written where the other has not. */
static int same_current(struct repl_gi *g)
{
    int crashed = (g->self_crashed ? 1 : 0) | (g->peer_crashed ? 2 : 0);

    if ((!g->peer[B]) != (!g->self[B]))
        return one_has_a_bitmap_uuid(g);
    if (!crashed)
        return decide(g, 40, 0);
    if (g->self_primary || g->peer_primary) {
        if (!(g->features & DRBD_FF_WSAME))
            return decide(g, 41, REPL_GI_NEEDS_FEATURES - (DRBD_PROTOCOL_MAX | DRBD_FF_WSAME << 8));
        if (g->self_primary && g->peer_primary)
            return decide(g, 41, REPL_GI_SPLIT_BRAIN);
        return decide(g, 41, g->self_primary ? 1 : -1);
    }
    if (crashed == 1)
        return decide(g, 40, 1);
    if (crashed == 2)
        return decide(g, 40, -1);
    return decide(g, 40, g->resolve_conflicts ? -1 : 1);
}

/* The peer has gone on from what I have. */
static int peer_is_newer(struct repl_gi *g)
{
    uint64_t *self = g->self, *peer = g->peer;

    if (equal(self[C], peer[B]))
        return decide(g, 50, -1);
    if (equal(self[C], peer[H0]) &&
        (g->version < 96 ? equal(self[H0], peer[H1])
                         : equal(peer[H0] + DRBD_UUID_BITMAP_STEP, peer[B]))) {
        if (g->version < 91)
            return needs_91(g, 51);
        peer[B] = peer[H0];
        peer[H0] = peer[H1];
        return decide(g, 51, -1);
    }
    if (equal(self[C], peer[H0]) || equal(self[C], peer[H1]))
        return decide(g, 60, -2);
    return 0;
}

static int self_is_newer(struct repl_gi *g)
{
    uint64_t *self = g->self, *peer = g->peer;

    if (equal(self[B], peer[C]))
        return decide(g, 70, 1);
    if (equal(self[H0], peer[C]) &&
        (g->version < 96 ? equal(self[H1], peer[H0])
                         : equal(self[H0] + DRBD_UUID_BITMAP_STEP, self[B]))) {
        if (g->version < 91)
            return needs_91(g, 71);
        self[B] = self[H0];
        self[H0] = self[H1];
        g->self_changed = true;
        return decide(g, 71, 1);
    }
    if (equal(peer[C], self[H0]) || equal(peer[C], self[H1]))
        return decide(g, 80, 2);
    return 0;
}

static bool fresh(uint64_t current)
{
    return equal(current, DRBD_UUID_JUST_CREATED);
}

static bool no_data(uint64_t current)
{
    return fresh(current) || !plain(current);
}

int repl_gi_compare(struct repl_gi *g)
{
    const uint64_t *self = g->self, *peer = g->peer;
    int result;

    g->self_changed = false;
    if (fresh(self[C]) && fresh(peer[C]))
        return decide(g, 10, 0);
    if (no_data(self[C]) && !fresh(peer[C]))
        return decide(g, 20, -2);
    if (!fresh(self[C]) && no_data(peer[C]))
        return decide(g, 30, 2);
    if (equal(self[C], peer[C]))
        return same_current(g);
    result = peer_is_newer(g);
    if (!result)
        result = self_is_newer(g);
    if (result)
        return result;
    if (equal(self[B], peer[B]) && plain(self[B]))
        return decide(g, 90, REPL_GI_SPLIT_BRAIN_AUTO);
    for (int i = H0; i <= H1; i++)
        for (int k = H0; k <= H1; k++)
            if (equal(self[i], peer[k]))
                return decide(g, 100, REPL_GI_SPLIT_BRAIN);
    return decide(g, 0, REPL_GI_UNRELATED);
}

/* --- after a split brain --- */

static int zero_changes(const struct repl_after_sb *a)
{
    if (!a->peer_changes && !a->self_changes)
        return a->resolve_conflicts ? -1 : 1;
    if (!a->peer_changes)
        return 1;
    return a->self_changes ? REPL_GI_SPLIT_BRAIN : -1;
}

static int least_changes(const struct repl_after_sb *a)
{
    if (a->self_changes != a->peer_changes)
        return a->self_changes < a->peer_changes ? -1 : 1;
    return a->resolve_conflicts ? -1 : 1;
}

static int sb_0pri(const struct repl_after_sb *a)
{
    bool self = a->self_bitmap_uuid & 1, peer = a->peer_bitmap_uuid & 1;
    int result;

    switch (a->policy_0pri) {
    case ASB_DISCARD_YOUNGER_PRI:
        if (self != peer)
            return peer ? -1 : 1;
        break;
    case ASB_DISCARD_OLDER_PRI:
        if (self != peer)
            return peer ? 1 : -1;
        break;
    case ASB_DISCARD_ZERO_CHG:
        return zero_changes(a);
    case ASB_DISCARD_LEAST_CHG:
        return least_changes(a);
    case ASB_DISCARD_LOCAL:
        return -1;
    case ASB_DISCARD_REMOTE:
        return 1;
    default:
        return REPL_GI_SPLIT_BRAIN;
    }
    /* Both or neither were Primary when they parted. */
    result = zero_changes(a);
    return result == REPL_GI_SPLIT_BRAIN ? least_changes(a) : result;
}

static int sb_helper(struct repl_after_sb *a)
{
    int result = sb_0pri(a);

    a->call_helper = result == -1 && a->self_primary;
    return result;
}

static int sb_1pri(struct repl_after_sb *a)
{
    int result = sb_0pri(a);

    switch (a->policy_1pri) {
    case ASB_CONSENSUS:
        if ((result == -1 && !a->self_primary) || (result == 1 && a->self_primary))
            return result;
        return REPL_GI_SPLIT_BRAIN;
    case ASB_VIOLENTLY:
        return result;
    case ASB_DISCARD_SECONDARY:
        return a->self_primary ? 1 : -1;
    case ASB_CALL_HELPER:
        return sb_helper(a);
    default:
        return REPL_GI_SPLIT_BRAIN;
    }
}

static int sb_2pri(struct repl_after_sb *a)
{
    switch (a->policy_2pri) {
    case ASB_VIOLENTLY:
        return sb_0pri(a);
    case ASB_CALL_HELPER:
        return sb_helper(a);
    default:
        return REPL_GI_SPLIT_BRAIN;
    }
}

int repl_after_sb(struct repl_after_sb *a)
{
    a->call_helper = false;
    if (a->self_primary && a->peer_primary)
        return sb_2pri(a);
    return a->self_primary || a->peer_primary ? sb_1pri(a) : sb_0pri(a);
}
