/* SPDX-License-Identifier: Apache-2.0 */
/* Who has the newest data: every rule of wire §7, and the policies of wire §7.1. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "hv_prng.h"
#include "repl_decision.h"

#define STEP DRBD_UUID_BITMAP_STEP

struct row {
    const char *name;
    uint64_t self[4], peer[4];
    bool self_primary, peer_primary, self_crashed, peer_crashed, resolve;
    int version, features; /* 0: 101, all */
    int rule, result;
};

static const uint64_t A = 0xa000000000000010, B = 0xb000000000000020, C = 0xc000000000000030,
                      D = 0xd000000000000040, X = 0x1000000000000050, Y = 0x2000000000000060,
                      Z = 0x3000000000000070;

static struct repl_gi gi_of(const struct row *t)
{
    struct repl_gi g = {.self_primary = t->self_primary,
        .peer_primary = t->peer_primary,
        .self_crashed = t->self_crashed,
        .peer_crashed = t->peer_crashed,
        .resolve_conflicts = t->resolve,
        .version = t->version ? t->version : 101,
        .features = t->features < 0 ? 0 : DRBD_FF_ALL};

    memcpy(g.self, t->self, sizeof g.self);
    memcpy(g.peer, t->peer, sizeof g.peer);
    return g;
}

static void check_row(const struct row *t)
{
    struct repl_gi g = gi_of(t);
    int result = repl_gi_compare(&g);

    if (result != t->result || g.rule != t->rule)
        fail_msg(
            "%s: %d by rule %d, not %d by rule %d", t->name, result, g.rule, t->result, t->rule);
}

static void every_rule_decides_as_the_table_says(void **state)
{
    const struct row rows[] = {
        {"both new", {4}, {4}, .rule = 10, .result = 0},
        {"mine new", {4}, {A}, .rule = 20, .result = -2},
        {"mine zero", {0}, {A}, .rule = 20, .result = -2},
        {"both zero", {0}, {0}, .rule = 20, .result = -2},
        {"theirs new", {A}, {4}, .rule = 30, .result = 2},
        {"theirs zero", {A}, {0}, .rule = 30, .result = 2},
        {"the role bit is not compared", {A | 1}, {A}, .rule = 40, .result = 0},
        {"I missed the end", {A, B, C, D}, {A, 0, B, C}, .rule = 34, .result = 1},
        {"only I have a bitmap", {A, B, C, D}, {A, 0, C, D}, .rule = 36, .result = 1},
        {"it missed the end", {A, 0, B, C}, {A, B, C, D}, .rule = 35, .result = -1},
        {"only it has a bitmap", {A, 0, C, D}, {A, B, C, D}, .rule = 37, .result = -1},
        {"too old for 36", {A, B, C, D}, {A, 0, C, D}, .version = 90, .rule = 36, .result = -1091},
        {"too old for 37", {A, 0, C, D}, {A, B, C, D}, .version = 90, .rule = 37, .result = -1091},
        {"same", {A, B}, {A, B}, .rule = 40, .result = 0},
        {"I crashed", {A}, {A}, .self_crashed = true, .rule = 40, .result = 1},
        {"it crashed", {A}, {A}, .peer_crashed = true, .rule = 40, .result = -1},
        {"both crashed, I resolve", {A}, {A}, .self_crashed = true, .peer_crashed = true,
            .resolve = true, .rule = 40, .result = -1},
        {"both crashed, it resolves", {A}, {A}, .self_crashed = true, .peer_crashed = true,
            .rule = 40, .result = 1},
        {"I crashed, it is Primary", {A}, {A}, .self_crashed = true, .peer_primary = true,
            .rule = 41, .result = -1},
        {"it crashed, I am Primary", {A}, {A}, .peer_crashed = true, .self_primary = true,
            .rule = 41, .result = 1},
        {"crashed, both Primary", {A}, {A}, .peer_crashed = true, .self_primary = true,
            .peer_primary = true, .rule = 41, .result = -100},
        {"crashed and Primary, no feature", {A}, {A}, .peer_crashed = true, .self_primary = true,
            .features = -1, .rule = 41, .result = -(0x10000 | 101 | 4 << 8)},
        {"it went on from mine", {A, 0, C, D}, {X, A, C, D}, .rule = 50, .result = -1},
        {"its sync UUID was lost", {A, 0, C, D}, {X, A + STEP, A, C}, .rule = 51, .result = -1},
        {"the same before 96", {A, 0, C, D}, {X, Y, A, C}, .version = 95, .rule = 51, .result = -1},
        {"too old for 51", {A, 0, C, D}, {X, Y, A, C}, .version = 90, .rule = 51, .result = -1091},
        {"mine is its history", {A, 0, C, D}, {X, Y, A, Z}, .rule = 60, .result = -2},
        {"mine is its older history", {A, 0, C, D}, {X, Y, Z, A}, .rule = 60, .result = -2},
        {"I went on from its", {X, A, C, D}, {A, 0, C, D}, .rule = 70, .result = 1},
        {"my sync UUID was lost", {X, A + STEP, A, C}, {A, 0, C, D}, .rule = 71, .result = 1},
        {"mine before 96", {X, Y, A, C}, {A, 0, C, D}, .version = 95, .rule = 71, .result = 1},
        {"too old for 71", {X, Y, A, C}, {A, 0, C, D}, .version = 90, .rule = 71, .result = -1091},
        {"its is my history", {X, Y, A, Z}, {A, 0, C, D}, .rule = 80, .result = 2},
        {"both went on from the same", {X, A, C, D}, {Y, A, C, D}, .rule = 90, .result = 100},
        {"parted long ago", {X, A, C, D}, {Y, B, C, Z}, .rule = 100, .result = -100},
        {"young and unrelated", {X, 0, 0, 0}, {Y, 0, 0, 0}, .rule = 100, .result = -100},
        {"unrelated", {X, 0, A, B}, {Y, 0, C, D}, .rule = 0, .result = -1000},
    };

    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++)
        check_row(&rows[i]);
}

static void a_missed_end_is_made_up_for(void **state)
{
    struct repl_gi g = {.self = {A, B, C, D}, .peer = {A, 0, B, C}, .version = 101};
    const uint64_t rotated[] = {A, 0, B, C};

    assert_int_equal(repl_gi_compare(&g), 1);
    assert_true(g.self_changed);
    assert_memory_equal(g.self, rotated, sizeof rotated);
}

static void a_sync_start_the_peer_never_heard_of_is_undone(void **state)
{
    struct repl_gi g = {.self = {X, A + STEP, A, C}, .peer = {A, 0, C, D}, .version = 101};
    const uint64_t undone[] = {X, A, C, C};

    assert_int_equal(repl_gi_compare(&g), 1);
    assert_true(g.self_changed);
    assert_memory_equal(g.self, undone, sizeof undone);
}

static bool known(uint64_t current, const uint64_t uuid[4])
{
    for (int i = 1; i < 4; i++)
        if ((current ^ uuid[i]) <= 1)
            return true;
    return false;
}

/* What one node takes for its role the other takes for the opposite one, whatever the identifiers are. */
static void both_nodes_decide_alike(void **state)
{
    const uint64_t pool[] = {0, 4, A, A + STEP, A | 1, B, C, X, X + STEP};
    struct hv_prng prng;

    hv_prng_seed(&prng, 20);
    for (int i = 0; i < 500000; i++) {
        struct repl_gi g = {.version = 96 + (int)hv_prng_below(&prng, 6), .features = DRBD_FF_ALL};
        struct repl_gi other;
        int mine, theirs;
        for (int k = 0; k < 4; k++) {
            g.self[k] = pool[hv_prng_below(&prng, 9)];
            g.peer[k] = pool[hv_prng_below(&prng, 9)];
        }
        uint64_t bits = hv_prng_next(&prng);
        g.self_primary = bits & 1;
        g.peer_primary = bits & 2;
        g.self_crashed = bits & 4;
        g.peer_crashed = bits & 8;
        g.resolve_conflicts = bits & 16;
        other = g;
        memcpy(other.self, g.peer, sizeof other.self);
        memcpy(other.peer, g.self, sizeof other.peer);
        other.self_primary = g.peer_primary;
        other.peer_primary = g.self_primary;
        other.self_crashed = g.peer_crashed;
        other.peer_crashed = g.self_crashed;
        other.resolve_conflicts = !g.resolve_conflicts;
        /* Both without data: rule 20 at both ends, as DRBD has it. */
        if (!(g.self[0] & ~UINT64_C(1)) && !(g.peer[0] & ~UINT64_C(1)))
            continue;
        /* Nobody's data is older than its own descendant. */
        if (known(g.self[0], g.peer) && known(g.peer[0], g.self) && (g.self[0] ^ g.peer[0]) > 1)
            continue;
        mine = repl_gi_compare(&g);
        theirs = repl_gi_compare(&other);
        if (mine >= -2 && mine <= 2)
            assert_int_equal(mine, -theirs);
        else
            assert_int_equal(mine, theirs);
    }
}

struct sb_row {
    const char *name;
    enum drbd_after_sb p0, p1, p2;
    bool self_primary, peer_primary, self_was, peer_was, resolve;
    uint64_t mine, theirs;
    int result;
    bool helper;
};

static void policies_after_a_split_brain(void **state)
{
    static const struct sb_row rows[] = {
        {"disconnect", ASB_DISCONNECT, .result = -100},
        {"younger: it", ASB_DISCARD_YOUNGER_PRI, .self_was = true, .result = 1},
        {"younger: me", ASB_DISCARD_YOUNGER_PRI, .peer_was = true, .result = -1},
        {"younger, equal: the one without changes", ASB_DISCARD_YOUNGER_PRI, .mine = 3,
            .result = 1},
        {"younger, equal: fewer changes", ASB_DISCARD_YOUNGER_PRI, .mine = 3, .theirs = 5,
            .result = -1},
        {"older: me", ASB_DISCARD_OLDER_PRI, .self_was = true, .result = -1},
        {"older: it", ASB_DISCARD_OLDER_PRI, .peer_was = true, .result = 1},
        {"zero: mine", ASB_DISCARD_ZERO_CHG, .theirs = 1, .result = -1},
        {"zero: theirs", ASB_DISCARD_ZERO_CHG, .mine = 1, .result = 1},
        {"zero: both changed", ASB_DISCARD_ZERO_CHG, .mine = 1, .theirs = 1, .result = -100},
        {"zero: none, I resolve", ASB_DISCARD_ZERO_CHG, .resolve = true, .result = -1},
        {"zero: none, it resolves", ASB_DISCARD_ZERO_CHG, .result = 1},
        {"least: mine", ASB_DISCARD_LEAST_CHG, .mine = 1, .theirs = 2, .result = -1},
        {"least: theirs", ASB_DISCARD_LEAST_CHG, .mine = 2, .theirs = 1, .result = 1},
        {"least: tie", ASB_DISCARD_LEAST_CHG, .mine = 2, .theirs = 2, .resolve = true,
            .result = -1},
        {"local", ASB_DISCARD_LOCAL, .result = -1},
        {"remote", ASB_DISCARD_REMOTE, .result = 1},
        {"1pri disconnect", ASB_DISCARD_LOCAL, ASB_DISCONNECT, .self_primary = true,
            .result = -100},
        {"consensus agrees", ASB_DISCARD_LOCAL, ASB_CONSENSUS, .peer_primary = true, .result = -1},
        {"consensus disagrees", ASB_DISCARD_LOCAL, ASB_CONSENSUS, .self_primary = true,
            .result = -100},
        {"violently", ASB_DISCARD_LOCAL, ASB_VIOLENTLY, .self_primary = true, .result = -1},
        {"secondary discarded: me", ASB_DISCONNECT, ASB_DISCARD_SECONDARY, .peer_primary = true,
            .result = -1},
        {"secondary discarded: it", ASB_DISCONNECT, ASB_DISCARD_SECONDARY, .self_primary = true,
            .result = 1},
        {"helper for the Primary that loses", ASB_DISCARD_LOCAL, ASB_CALL_HELPER,
            .self_primary = true, .result = -1, .helper = true},
        {"no helper for the one that wins", ASB_DISCARD_REMOTE, ASB_CALL_HELPER,
            .self_primary = true, .result = 1},
        {"2pri disconnect", ASB_DISCARD_LOCAL, ASB_VIOLENTLY, ASB_DISCONNECT, .self_primary = true,
            .peer_primary = true, .result = -100},
        {"2pri violently", ASB_DISCARD_REMOTE, ASB_DISCONNECT, ASB_VIOLENTLY, .self_primary = true,
            .peer_primary = true, .result = 1},
        {"2pri helper", ASB_DISCARD_LOCAL, ASB_DISCONNECT, ASB_CALL_HELPER, .self_primary = true,
            .peer_primary = true, .result = -1, .helper = true},
    };

    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct sb_row *t = &rows[i];
        struct repl_after_sb a = {.policy_0pri = t->p0,
            .policy_1pri = t->p1,
            .policy_2pri = t->p2,
            .self_primary = t->self_primary,
            .peer_primary = t->peer_primary,
            .self_bitmap_uuid = A | t->self_was,
            .peer_bitmap_uuid = A | t->peer_was,
            .self_changes = t->mine,
            .peer_changes = t->theirs,
            .resolve_conflicts = t->resolve};
        int result = repl_after_sb(&a);
        if (result != t->result || a.call_helper != t->helper)
            fail_msg("%s: %d, not %d", t->name, result, t->result);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_rule_decides_as_the_table_says),
        cmocka_unit_test(a_missed_end_is_made_up_for),
        cmocka_unit_test(a_sync_start_the_peer_never_heard_of_is_undone),
        cmocka_unit_test(both_nodes_decide_alike),
        cmocka_unit_test(policies_after_a_split_brain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
