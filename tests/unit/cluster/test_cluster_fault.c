/* SPDX-License-Identifier: Apache-2.0 */
/* Two havens on a bad network: partitions and how they heal, isolation, withheld takeovers, fencing, lost
 * and repeated packets, forgeries, stalls. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "duo_cluster.h"
#include "test_digest.h"

static struct duo *d;

static int setup(void **state)
{
    d = duo_new();
    return 0;
}

static int teardown(void **state)
{
    duo_free(d);
    return 0;
}

static void both_started(void)
{
    duo_start(d, ALPHA);
    duo_start(d, BETA);
    duo_run(d, 5000);
    assert_string_equal(duo_where(d), "ga@alpha gb@beta");
    duo_watch(d);
}

static void with_ping_node(void)
{
    d->cfg.pings_count = 1;
    d->cfg.ipfail = true;
}

static void with_volume(void)
{
    d->cfg.volumes_count = 1;
    strcpy(d->cfg.volumes[0].name, "r0");
    d->cfg.volumes[0].group = DUO_GA;
}

/* ---- partitions without ping nodes: both take everything, as Heartbeat does ---- */

static void a_partition_heals_without_restart(void **state)
{
    d->dual_allowed = true;
    both_started();
    duo_cut(d, true);
    duo_run(d, 10000);
    assert_string_equal(duo_where(d), "ga@both gb@both");
    duo_cut(d, false);
    duo_run(d, 3000);
    /* Who has held it longer keeps it: nothing that ran before the partition was interrupted. */
    assert_string_equal(duo_where(d), "ga@alpha gb@beta");
    assert_int_equal(d->node[ALPHA].releases[DUO_GA], 0);
    assert_int_equal(d->node[BETA].releases[DUO_GB], 0);
    duo_run(d, 60000);
    assert_string_equal(duo_where(d), "ga@alpha gb@beta");
    assert_string_equal(duo_status(d, ALPHA)->held, "local");
    assert_string_equal(duo_status(d, BETA)->held, "local");
}

static void of_one_service_the_old_holder_keeps_it(void **state)
{
    d->dual_allowed = true;
    both_started();
    duo_admin(d, ALPHA, CLUSTER_ADMIN_STANDBY, CLUSTER_ALL);
    duo_run(d, 2000);
    duo_cut(d, true);
    duo_run(d, 10000);
    duo_cut(d, false);
    duo_run(d, 3000);
    assert_string_equal(duo_where(d), "ga@beta gb@beta");
    assert_int_equal(d->node[BETA].releases[DUO_GA], 0);
}

static void the_good_volume_wins(void **state)
{
    const struct cluster_volume_state good = {.primary = true, .up_to_date = true};
    const struct cluster_volume_state bad = {.primary = true, .up_to_date = false};

    d->dual_allowed = true;
    with_volume();
    both_started();
    duo_volume(d, ALPHA, good);
    duo_cut(d, true);
    duo_run(d, 10000);
    duo_volume(d, BETA, good);
    duo_volume(d, ALPHA, bad); /* its disk failed meanwhile */
    duo_cut(d, false);
    duo_run(d, 3000);
    assert_string_equal(duo_where(d), "ga@beta gb@beta");
}

static void a_short_cut_is_no_partition(void **state)
{
    both_started();
    duo_cut(d, true);
    duo_run(d, 3500);
    duo_cut(d, false);
    duo_run(d, 10000);
    assert_string_equal(duo_where(d), "ga@alpha gb@beta");
    assert_int_equal(d->node[ALPHA].acquires[DUO_GB], 0);
    assert_true(duo_status(d, ALPHA)->packets_lost > 0);
    assert_true(duo_status(d, ALPHA)->retransmitted > 0);
}

static void partitions_again_and_again(void **state)
{
    d->dual_allowed = true;
    both_started();
    for (int i = 0; i < 20; i++) {
        duo_cut(d, true);
        duo_run(d, 2000 + (uint64_t)i * 777);
        duo_cut(d, false);
        duo_run(d, 4000 + (uint64_t)i * 331);
        assert_string_equal(duo_where(d), "ga@alpha gb@beta");
    }
}

/* Alpha hears beta, beta does not hear alpha: beta takes over, and alpha, which cannot tell it anything,
 * lets go. */
static void a_cut_in_one_direction(void **state)
{
    d->dual_allowed = true;
    both_started();
    d->cut[ALPHA][0] = true;
    duo_run(d, 20000);
    assert_string_equal(duo_where(d), "ga@beta gb@beta");
    assert_true(d->dual_ms < 7000); /* a deadtime to be sure, and stopping */
    d->cut[ALPHA][0] = false;
    duo_run(d, 10000);
    assert_string_equal(duo_where(d), "ga@beta gb@beta");
}

static void a_second_link_prevents_it(void **state)
{
    d->cfg.media_count = 2;
    both_started();
    d->cut[ALPHA][0] = d->cut[BETA][0] = true;
    duo_run(d, 20000);
    assert_string_equal(duo_where(d), "ga@alpha gb@beta");
    assert_false(duo_status(d, ALPHA)->link[0].up);
    assert_true(duo_status(d, ALPHA)->link[1].up);
    d->cut[ALPHA][0] = d->cut[BETA][0] = false;
    duo_run(d, 2000);
    assert_true(duo_status(d, ALPHA)->link[0].up);
}

/* ---- a node that was away ---- */

static void a_stalled_node_does_not_insist(void **state)
{
    d->dual_allowed = true;
    both_started();
    duo_pause(d, ALPHA, true);
    duo_run(d, 10000);
    assert_true(duo_runs(d, BETA, DUO_GA));
    duo_pause(d, ALPHA, false);
    duo_run(d, 5000);
    assert_string_equal(duo_where(d), "ga@beta gb@beta");
    assert_int_equal(d->node[BETA].releases[DUO_GA], 0);
    assert_int_equal(d->node[ALPHA].acquires[DUO_GB], 0);
}

static void a_short_stall_changes_nothing(void **state)
{
    both_started();
    duo_pause(d, ALPHA, true);
    duo_run(d, 3900);
    duo_pause(d, ALPHA, false);
    duo_run(d, 20000);
    assert_string_equal(duo_where(d), "ga@alpha gb@beta");
    assert_int_equal(d->node[ALPHA].releases[DUO_GA], 0);
}

/* ---- ping nodes ---- */

static void an_isolated_node_freezes_and_gives_up(void **state)
{
    with_ping_node();
    both_started();
    duo_cut(d, true);
    d->node[BETA].ping_cut = true;
    duo_run(d, 12000); /* the invariant holds: beta is frozen before alpha takes over */
    assert_string_equal(duo_where(d), "ga@alpha gb@alpha");
    assert_int_equal(d->node[BETA].acquires[DUO_GA], 0);
    assert_true(d->node[BETA].frozen);
    assert_true(duo_status(d, BETA)->isolated);
    assert_int_equal(duo_status(d, BETA)->verdict, CLUSTER_NO_ISOLATED);
    duo_cut(d, false);
    d->node[BETA].ping_cut = false;
    duo_run(d, 20000);
    assert_false(d->node[BETA].frozen);
    assert_false(duo_status(d, BETA)->isolated);
    assert_string_equal(duo_where(d), "ga@alpha gb@alpha");
    assert_string_equal(duo_status(d, BETA)->held, "none");
    assert_int_equal(d->node[ALPHA].releases[DUO_GB], 0);
}

static void an_isolated_node_gets_its_own_back(void **state)
{
    with_ping_node();
    d->cfg.failback = CLUSTER_FAILBACK_ON;
    both_started();
    duo_cut(d, true);
    d->node[BETA].ping_cut = true;
    duo_run(d, 12000);
    duo_cut(d, false);
    d->node[BETA].ping_cut = false;
    duo_run(d, 10000);
    assert_string_equal(duo_where(d), "ga@alpha gb@beta");
}

/* The cable is pulled at any moment between two heartbeats: the cut off node never takes anything, since
 * no ping node has answered after the peer fell silent. */
static void the_cut_off_node_never_takes_over(void **state)
{
    for (uint64_t ms = 0; ms < 1000; ms += 41) {
        teardown(NULL);
        setup(NULL);
        with_ping_node();
        d->cfg.deadping_ms = 8000;
        both_started();
        duo_run(d, ms);
        duo_cut(d, true);
        d->node[ALPHA].ping_cut = true;
        duo_run(d, 20000);
        assert_int_equal(d->node[ALPHA].acquires[DUO_GB], 0);
        assert_string_equal(duo_where(d), "ga@beta gb@beta");
    }
}

static void everybody_isolated_and_back(void **state)
{
    with_ping_node();
    both_started();
    duo_cut(d, true);
    d->node[ALPHA].ping_cut = d->node[BETA].ping_cut = true;
    duo_run(d, 20000);
    assert_string_equal(duo_where(d), "ga@- gb@-");
    duo_cut(d, false);
    d->node[ALPHA].ping_cut = d->node[BETA].ping_cut = false;
    duo_run(d, 10000);
    assert_string_equal(duo_where(d), "ga@alpha gb@beta");
}

static void the_ping_node_comes_back_but_not_the_peer(void **state)
{
    with_ping_node();
    both_started();
    duo_kill(d, BETA);
    d->node[ALPHA].ping_cut = true;
    duo_run(d, 20000);
    assert_string_equal(duo_where(d), "ga@- gb@-");
    d->node[ALPHA].ping_cut = false;
    duo_run(d, 10000);
    assert_string_equal(duo_where(d), "ga@alpha gb@alpha");
    assert_false(d->node[ALPHA].frozen);
}

static void after_a_good_bye_no_ping_node_is_needed(void **state)
{
    with_ping_node();
    both_started();
    duo_admin(d, BETA, CLUSTER_ADMIN_SHUTDOWN, 0);
    duo_run(d, 15000);
    d->node[ALPHA].ping_cut = true;
    duo_run(d, 30000);
    assert_string_equal(duo_where(d), "ga@alpha gb@alpha");
    assert_false(duo_status(d, ALPHA)->isolated);
}

static void the_better_connected_node_gets_the_service(void **state)
{
    with_ping_node();
    both_started();
    d->node[ALPHA].ping_cut = true; /* the link between the nodes still works */
    duo_run(d, 20000);
    assert_string_equal(duo_where(d), "ga@beta gb@beta");
    d->node[ALPHA].ping_cut = false;
    duo_run(d, 30000);
    assert_string_equal(duo_where(d), "ga@beta gb@beta"); /* auto_failback off */
}

static void the_ping_node_itself_dies(void **state)
{
    with_ping_node();
    both_started();
    d->node[ALPHA].ping_cut = d->node[BETA].ping_cut = true;
    duo_run(d, 30000);
    assert_string_equal(duo_where(d), "ga@alpha gb@beta");
    assert_int_equal(d->node[ALPHA].releases[DUO_GA], 0);
}

/* ---- what else can say that the peer lives ---- */

static void a_living_primary_is_not_replaced(void **state)
{
    struct cluster_volume_state v = {.connected = true, .peer_primary = true, .up_to_date = true};

    with_volume();
    both_started();
    duo_volume(d, BETA, v);
    duo_kill_daemon(d, ALPHA); /* its service goes on */
    duo_run(d, 20000);
    assert_int_equal(d->node[BETA].acquires[DUO_GA], 0);
    assert_int_equal(duo_status(d, BETA)->verdict, CLUSTER_NO_PEER_PRIMARY);
    v.connected = v.peer_primary = false; /* now the whole machine dies */
    duo_kill(d, ALPHA);
    duo_volume(d, BETA, v);
    duo_run(d, 1000);
    assert_string_equal(duo_where(d), "ga@beta gb@beta");
}

static void fencing_comes_first(void **state)
{
    struct cluster_event ev = {.type = CLUSTER_EV_FENCE_RESULT};

    d->cfg.fence = true;
    both_started();
    duo_cut(d, true);
    duo_run(d, 6000);
    assert_int_equal(d->node[ALPHA].fences, 1);
    assert_string_equal(duo_where(d), "ga@alpha gb@beta");
    ev.fence_result.done = false;
    duo_event(d, ALPHA, &ev);
    duo_run(d, 5500); /* tried again after 5 s */
    assert_int_equal(d->node[ALPHA].fences, 2);
    assert_string_equal(duo_where(d), "ga@alpha gb@beta");
    duo_kill(d, BETA);
    ev.fence_result.done = true;
    duo_event(d, ALPHA, &ev);
    duo_run(d, 1000);
    assert_string_equal(duo_where(d), "ga@alpha gb@alpha");
}

static void the_witness_decides(void **state)
{
    struct cluster_event ev = {.type = CLUSTER_EV_WITNESS_ANSWER};

    d->cfg.witness = true;
    both_started();
    duo_cut(d, true);
    duo_run(d, 10000);
    assert_int_equal(d->node[ALPHA].witness_asks, 1);
    assert_int_equal(d->node[BETA].witness_asks, 1);
    assert_string_equal(duo_where(d), "ga@alpha gb@beta");
    ev.witness_answer.granted = false;
    duo_event(d, BETA, &ev);
    assert_int_equal(duo_status(d, BETA)->verdict, CLUSTER_NO_WITNESS);
    duo_kill(d, BETA);
    ev.witness_answer.granted = true;
    duo_event(d, ALPHA, &ev);
    duo_run(d, 1000);
    assert_string_equal(duo_where(d), "ga@alpha gb@alpha");
}

/* ---- packets ---- */

static void a_third_of_all_packets_is_lost(void **state)
{
    d->cfg.deadtime_ms = d->cfg.initdead_ms =
        20000; /* or the nodes would rightly give each other up */
    d->loss_percent = 33;
    d->duplicate_percent = 20;
    d->jitter_ms = 400; /* reordered */
    duo_start(d, ALPHA);
    duo_start(d, BETA);
    duo_run(d, 30000);
    for (int i = 0; i < 20; i++) {
        duo_admin(d, i % 2, CLUSTER_ADMIN_STANDBY, CLUSTER_ALL);
        duo_run(d, 30000);
        assert_string_equal(duo_where(d), i % 2 ? "ga@alpha gb@alpha" : "ga@beta gb@beta");
    }
}

/* Everything that was ever said is said again, to both, in any order: nothing changes. */
static void recorded_packets_change_nothing(void **state)
{
    static struct duo_packet recorded[DUO_PACKETS];
    unsigned count;

    d->record = true;
    both_started();
    duo_admin(d, ALPHA, CLUSTER_ADMIN_STANDBY, CLUSTER_ALL);
    duo_run(d, 3000);
    duo_admin(d, BETA, CLUSTER_ADMIN_STANDBY, CLUSTER_LOCAL);
    duo_run(d, 3000);
    assert_string_equal(duo_where(d), "ga@beta gb@alpha");
    d->record = false;
    count = d->recorded_count;
    memcpy(recorded, d->recorded, sizeof recorded);
    for (unsigned i = 0; i < 5 * count; i++) {
        const struct duo_packet *p = &recorded[hv_prng_below(&d->rng, count)];

        duo_inject(d, p->to, p->bytes, p->length);
        duo_run(d, 20);
    }
    assert_string_equal(duo_where(d), "ga@beta gb@alpha");
    assert_int_equal(d->node[ALPHA].acquires[DUO_GA], 1);
    /* Nor do they keep a dead node alive, */
    duo_kill(d, BETA);
    for (unsigned i = 0; i < 1000; i++) {
        const struct duo_packet *p = &recorded[hv_prng_below(&d->rng, count)];

        if (p->to == ALPHA)
            duo_inject(d, ALPHA, p->bytes, p->length);
        duo_run(d, 10);
    }
    assert_string_equal(duo_where(d), "ga@alpha gb@alpha");
    /* nor bring it back when it has restarted since. */
    duo_start(d, BETA);
    duo_run(d, 5000);
    for (unsigned i = 0; i < count; i++)
        duo_inject(d, recorded[i].to, recorded[i].bytes, recorded[i].length);
    duo_run(d, 20000);
    assert_string_equal(duo_where(d), "ga@alpha gb@alpha");
}

static void forgeries_are_refused(void **state)
{
    static struct hb_msg m;
    struct hb_keys keys = d->keys;
    uint8_t bytes[1600];
    int length;

    both_started();
    hb_msg_init(&m);
    hb_msg_add(&m, "t", "shutdone");
    hb_msg_add(&m, "st", "dead");
    hb_msg_add(&m, "src", "beta");
    hb_msg_add(&m, "seq", "ff");
    hb_msg_addf(&m, "hg", "%llx", (unsigned long long)d->node[BETA].generation);
    hb_msg_add(&m, "ts", "1");
    memcpy(keys.key[1].secret, "secret", 6);
    length = hb_msg_encode(&m, HB_NETSTRING, &keys, 1, &test_digest_ops, bytes, sizeof bytes);
    assert_true(length > 0);
    duo_inject(d, ALPHA, bytes, (size_t)length);
    duo_run(d, 2000);
    assert_string_equal(duo_where(d), "ga@alpha gb@beta");
    assert_int_equal(duo_status(d, ALPHA)->packets_bad, 1);
    length = hb_msg_encode(&m, HB_NETSTRING, &d->keys, 1, &test_digest_ops, bytes, sizeof bytes);
    for (int i = 0; i < length; i++) {
        bytes[i] ^= 1;
        duo_inject(d, ALPHA, bytes, (size_t)length);
        bytes[i] ^= 1;
    }
    duo_run(d, 2000);
    assert_string_equal(duo_where(d), "ga@alpha gb@beta");
    /* With the right key it is believed: the test can fail. */
    d->dual_allowed = true;
    duo_inject(d, ALPHA, bytes, (size_t)length);
    assert_int_equal(d->node[ALPHA].acquires[DUO_GB], 1);
}

/* A peer with the right key that says anything at all: no crash, and the engine stays within its effects
 * (it asserts that itself). */
static void a_peer_that_lies(void **state)
{
    static const char *const types[] = {"status", "resource", "ask_resources", "starting",
        "shutdone", "hb_takeover", "reqnodes", "repnodes", "num_ping_nodes", "you_are_dead",
        "abort_giveup", "start_outdate", "outdate_rc", "NS_rexmit", "NS_ackmsg", "NS_nak_rexmit",
        "NS_haven_tcp", "hbapi-clstat", "ip-request", ""};
    static const char *const names[] = {"st", "dt", "rsc_hold", "info", "isstable", "rtype",
        "haven", "hv_see", "hv_groups", "hv_heard", "hv_stable", "hv_standby", "groups", "group",
        "n", "list", "firstseq", "lastseq", "ackseq", "num_ping", "dop_res", "dop_value", "dest",
        "srcuuid"};
    static const char *const values[] = {"active", "dead", "all", "local", "foreign", "none", "me",
        "other", "done", "standby", "shutdown", "1", "0", "full", "ffffffffffffffff", "-1", "",
        "7d0", "ga::1 h 1 0 gb::2 hvs 4294967295 99999999999", "ga::1", "ga::1 ", "x y", "*beta q",
        "alpha", "18446744073709551615", "ga::1 iiii", "ga::1 \001 1 1 "};
    static struct hb_msg m;
    static uint8_t bytes[HB_MSG_BYTES_MAX];
    uint64_t seq = 1000;

    d->dual_allowed = true;
    with_ping_node();
    both_started();
    duo_kill(d, BETA);
    for (int i = 0; i < 30000; i++) {
        int length;

        hb_msg_init(&m);
        hb_msg_add(&m, "t", types[hv_prng_below(&d->rng, sizeof types / sizeof *types)]);
        for (uint64_t f = hv_prng_below(&d->rng, 8); f > 0; f--)
            hb_msg_add(&m, names[hv_prng_below(&d->rng, sizeof names / sizeof *names)],
                values[hv_prng_below(&d->rng, sizeof values / sizeof *values)]);
        hb_msg_add(&m, "src", "beta");
        seq += hv_prng_below(&d->rng, 50) ? hv_prng_below(&d->rng, 3) : hv_prng_below(&d->rng, 600);
        hb_msg_addf(&m, "seq", "%llx", (unsigned long long)seq);
        hb_msg_addf(&m, "hg", "%llx", 1001 + (unsigned long long)i / 3000);
        hb_msg_add(&m, "ts", "1");
        length =
            hb_msg_encode(&m, HB_NETSTRING, &d->keys, 1, &test_digest_ops, bytes, sizeof bytes);
        assert_true(length > 0);
        duo_inject(d, ALPHA, bytes, (size_t)length);
        duo_run(d, hv_prng_below(&d->rng, 30));
    }
    /* Once it is silent, alpha serves alone again. */
    duo_run(d, 200000);
    assert_string_equal(duo_where(d), "ga@alpha gb@alpha");
}

/* ---- many lives ---- */

static void disturb(struct hv_prng *rng, bool cuts)
{
    int node = (int)hv_prng_below(rng, 2);

    switch (hv_prng_below(rng, 9)) {
    case 0:
        if (d->node[node].c)
            duo_kill(d, node);
        break;
    case 1:
        if (!d->node[node].c || d->node[node].stopped)
            duo_start(d, node);
        break;
    case 2:
        duo_admin(d, node, CLUSTER_ADMIN_STANDBY, 1 + (enum cluster_scope)hv_prng_below(rng, 3));
        break;
    case 3:
        duo_admin(d, node, CLUSTER_ADMIN_TAKEOVER, 1 + (enum cluster_scope)hv_prng_below(rng, 3));
        break;
    case 4:
        duo_move(
            d, node, (unsigned)hv_prng_below(rng, 2), (enum cluster_node)hv_prng_below(rng, 2));
        break;
    case 5:
        if (hv_prng_below(rng, 4) == 0)
            duo_admin(d, node, CLUSTER_ADMIN_SHUTDOWN, 0);
        break;
    case 6:
        d->node[node].fail_start[hv_prng_below(rng, 2)] = hv_prng_below(rng, 2);
        break;
    case 7:
        d->loss_percent = hv_prng_below(rng, 2) ? 0 : (unsigned)hv_prng_below(rng, 40);
        break;
    default:
        if (cuts)
            duo_cut(d, hv_prng_below(rng, 2));
    }
}

static void calm(void)
{
    duo_cut(d, false);
    d->loss_percent = 0;
    for (int n = 0; n < DUO_NODES; n++) {
        for (int g = 0; g < DUO_GROUPS; g++)
            d->node[n].fail_start[g] = false;
        if (!d->node[n].c || d->node[n].stopped)
            duo_start(d, n);
    }
    duo_run(d, 120000);
}

static void life(uint64_t seed, bool cuts, bool failback)
{
    struct hv_prng rng;

    hv_prng_seed(&rng, seed);
    hv_prng_seed(&d->rng, seed);
    d->dual_allowed = cuts;
    if (!cuts) /* no node is to be given up for lost packets only */
        d->cfg.deadtime_ms = d->cfg.initdead_ms = 25000;
    d->jitter_ms = hv_prng_below(&rng, 2) * 300;
    d->duplicate_percent = (unsigned)hv_prng_below(&rng, 30);
    d->cfg.failback = failback ? CLUSTER_FAILBACK_ON : CLUSTER_FAILBACK_OFF;
    for (int i = 0; i < 40; i++) {
        disturb(&rng, cuts);
        duo_run(d, hv_prng_below(&rng, 4) ? hv_prng_below(&rng, 300) : hv_prng_below(&rng, 15000));
    }
    calm();
    for (unsigned g = 0; g < DUO_GROUPS; g++)
        if (duo_runs(d, ALPHA, g) == duo_runs(d, BETA, g))
            fail_msg("seed %llu: %s", (unsigned long long)seed, duo_where(d));
    for (int n = 0; n < DUO_NODES; n++)
        if (strcmp(duo_status(d, n)->held, "transition") == 0)
            fail_msg("seed %llu: node %d is still in transition", (unsigned long long)seed, n);
}

/* CLUSTER_SEED runs one life; CLUSTER_SEEDS so many. */
static uint64_t first_seed(void)
{
    const char *s = getenv("CLUSTER_SEED");
    return s ? strtoull(s, NULL, 10) : 1;
}

static uint64_t last_seed(void)
{
    const char *s = getenv("CLUSTER_SEEDS");

    if (getenv("CLUSTER_SEED"))
        return first_seed();
    return s ? strtoull(s, NULL, 10) : 150;
}

/* Without cuts no group is ever on two nodes; whatever happened, in the end each is on one. */
static void random_lives_without_cuts(void **state)
{
    for (uint64_t seed = first_seed(); seed <= last_seed(); seed++) {
        teardown(NULL);
        setup(NULL);
        life(seed, false, seed & 1);
    }
}

static void random_lives_with_cuts(void **state)
{
    for (uint64_t seed = first_seed(); seed <= last_seed(); seed++) {
        teardown(NULL);
        setup(NULL);
        life(seed, true, seed & 1);
    }
}

/* One node at a time is cut off from everything, at any moment: the invariant holds throughout, and each
 * group has an owner in the end. */
static void random_isolations(void **state)
{
    for (uint64_t seed = first_seed(); seed <= last_seed(); seed++) {
        struct hv_prng rng;

        teardown(NULL);
        setup(NULL);
        hv_prng_seed(&rng, seed);
        with_ping_node();
        d->cfg.failback = seed & 1 ? CLUSTER_FAILBACK_ON : CLUSTER_FAILBACK_OFF;
        d->jitter_ms = hv_prng_below(&rng, 50);
        both_started();
        for (int i = 0; i < 12; i++) {
            int node = (int)hv_prng_below(&rng, 2);

            duo_cut(d, true);
            d->node[node].ping_cut = true;
            /* Not about as long as the deadtime: a heartbeat that comes a moment too late finds the other
             * node just taking over (it steps back at once). */
            duo_run(d, hv_prng_below(&rng, 2) ? hv_prng_below(&rng, 3000)
                                              : 6500 + hv_prng_below(&rng, 20000));
            duo_cut(d, false);
            d->node[node].ping_cut = false;
            /* Time to be heard again: otherwise it is a cut link while both reach the ping node, which
             * ends as with Heartbeat. */
            duo_run(d, 2500 + hv_prng_below(&rng, 20000));
        }
        calm();
        for (unsigned g = 0; g < DUO_GROUPS; g++)
            if (duo_runs(d, ALPHA, g) == duo_runs(d, BETA, g) || d->node[ALPHA].frozen ||
                d->node[BETA].frozen)
                fail_msg("seed %llu: %s", (unsigned long long)seed, duo_where(d));
    }
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_partition_heals_without_restart),
        T(of_one_service_the_old_holder_keeps_it),
        T(the_good_volume_wins),
        T(a_short_cut_is_no_partition),
        T(partitions_again_and_again),
        T(a_cut_in_one_direction),
        T(a_second_link_prevents_it),
        T(a_stalled_node_does_not_insist),
        T(a_short_stall_changes_nothing),
        T(an_isolated_node_freezes_and_gives_up),
        T(an_isolated_node_gets_its_own_back),
        T(the_cut_off_node_never_takes_over),
        T(everybody_isolated_and_back),
        T(the_ping_node_comes_back_but_not_the_peer),
        T(after_a_good_bye_no_ping_node_is_needed),
        T(the_better_connected_node_gets_the_service),
        T(the_ping_node_itself_dies),
        T(a_living_primary_is_not_replaced),
        T(fencing_comes_first),
        T(the_witness_decides),
        T(a_third_of_all_packets_is_lost),
        T(recorded_packets_change_nothing),
        T(forgeries_are_refused),
        T(a_peer_that_lies),
        T(random_lives_without_cuts),
        T(random_lives_with_cuts),
        T(random_isolations),
    };
    cmocka_set_test_filter(getenv("CLUSTER_TEST"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
