/* SPDX-License-Identifier: Apache-2.0 */
/* What breaks: nodes, links, disks, in the moments that matter. */
#include "scenario.h"

#include "hv_error.h"

static bool io_done(struct duo *d, void *arg)
{
    return ((struct duo_io *)arg)->done;
}

static bool not_connected_at(struct duo *d, void *arg)
{
    enum duo_end end = *(enum duo_end *)arg;
    return duo_status(d, end).state.conn < C_CONNECTED;
}

static void wait_peer_lost(struct duo *d, enum duo_end end)
{
    assert_true(duo_until(d, not_connected_at, &end, 120000));
}

static void secondary_dies_and_comes_back(void **state)
{
    struct duo *d = scenario_synced();

    duo_crash(d, DUO_B);
    /* Blocks until the peer is declared lost, then goes on alone. */
    assert_int_equal(duo_write(d, DUO_A, 64, 8, 1), 0);
    assert_int_equal(duo_status(d, DUO_A).state.pdsk, D_UNKNOWN);
    assert_true(duo_status(d, DUO_A).oos_kib >= 4);
    duo_up(d, DUO_B);
    assert_true(duo_wait_in_sync(d, 120000));
    assert_int_equal(duo_disk_value(d, DUO_B, 64), 1);
    assert_true(duo_disks_equal(d));
    duo_free(d);
}

static void primary_dies_and_the_other_goes_on(void **state)
{
    struct duo *d = scenario_synced();
    uint32_t value;

    assert_int_equal(duo_write(d, DUO_A, 128, 8, 5), 0);
    duo_crash(d, DUO_A);
    /* Promotion finds out by itself that the peer is gone. */
    assert_ok(scenario_primary(d, DUO_B, false));
    assert_int_equal(duo_read(d, DUO_B, 128, 8, &value), 0);
    assert_int_equal(value, 5);
    assert_int_equal(duo_write(d, DUO_B, 128, 8, 6), 0);
    duo_up(d, DUO_A);
    assert_true(duo_wait_in_sync(d, 120000));
    assert_int_equal(duo_status(d, DUO_A).state.role, R_SECONDARY);
    assert_int_equal(duo_disk_value(d, DUO_A, 128), 6);
    assert_true(duo_disks_equal(d));
    duo_free(d);
}

static void promotion_after_death_takes_no_longer_than_the_ping(void **state)
{
    struct duo *d = scenario_synced();

    duo_crash(d, DUO_A);
    uint64_t t0 = duo_now_ms(d);
    assert_ok(scenario_primary(d, DUO_B, false));
    assert_in_range(duo_now_ms(d) - t0, 0, 1000); /* ping-timeout 500 ms */
    duo_free(d);
}

/* What was under way when the Primary died may be on one disk and not on the other; the activity log
 * knows where. */
static void primary_dies_writing_and_comes_back_alone(void **state)
{
    struct duo *d = scenario_synced();
    struct duo_io io[50];

    for (int i = 0; i < 50; i++)
        duo_start(d, DUO_A, REPL_APP_WRITE, REPL_APP_FUA, (uint64_t)i * 1000, 16, 9, &io[i]);
    duo_run(d, 3);
    duo_crash(d, DUO_A);
    duo_run(d, 1000);
    duo_up(d, DUO_A);
    assert_true(duo_wait_in_sync(d, 120000));
    assert_true(duo_disks_equal(d));
    for (int i = 0; i < 50; i++)
        if (io[i].done && io[i].error == 0)
            assert_int_equal(duo_disk_value(d, DUO_A, (uint64_t)i * 1000), 9);
    duo_free(d);
}

static void both_die_while_writing(void **state)
{
    for (uint64_t seed = 1; seed < 30; seed++) {
        struct duo_options o;
        duo_options_init(&o);
        o.seed = seed;
        struct duo *d = scenario_synced_with(&o);
        struct duo_io io[40];

        for (int i = 0; i < 40; i++) {
            duo_start(d, DUO_A, REPL_APP_WRITE, REPL_APP_FUA, (uint64_t)i * 700, 8, (uint32_t)seed,
                &io[i]);
            duo_run(d, seed % 4);
        }
        duo_crash(d, DUO_A);
        duo_crash(d, DUO_B);
        duo_up(d, seed & 1 ? DUO_A : DUO_B);
        duo_up(d, seed & 1 ? DUO_B : DUO_A);
        assert_true(duo_wait_in_sync(d, 120000));
        assert_true(duo_disks_equal(d));
        for (int i = 0; i < 40; i++)
            if (io[i].done && io[i].error == 0)
                assert_int_equal(duo_disk_value(d, DUO_B, (uint64_t)i * 700), (uint32_t)seed);
        duo_free(d);
    }
}

static void link_cut_is_noticed_and_healed(void **state)
{
    struct duo *d = scenario_synced();
    struct duo_io io;
    uint64_t cut = duo_now_ms(d);

    duo_link(d, false);
    duo_start(d, DUO_A, REPL_APP_WRITE, 0, 0, 8, 1, &io);
    wait_peer_lost(d, DUO_A);
    assert_in_range(duo_now_ms(d) - cut, 500, 11500);
    assert_true(duo_until(d, io_done, &io, 5000));
    assert_int_equal(io.error, 0);
    assert_true(duo_logged(d, DUO_A, "PingAck did not arrive in time."));
    duo_link(d, true);
    assert_true(duo_wait_in_sync(d, 60000));
    assert_true(duo_disks_equal(d));
    duo_free(d);
}

/* A write that was only local is acknowledged after the new current UUID is durable: otherwise a crash
 * now would leave two nodes that believe to be equal. */
static void degraded_write_waits_for_the_new_uuid(void **state)
{
    for (uint64_t seed = 1; seed < 40; seed++) {
        struct duo_options o;
        duo_options_init(&o);
        o.seed = seed;
        struct duo *d = scenario_synced_with(&o);
        struct duo_io io;

        duo_crash(d, DUO_B);
        duo_start(d, DUO_A, REPL_APP_WRITE, REPL_APP_FUA, 80, 8, 5, &io);
        assert_true(duo_until(d, io_done, &io, 120000));
        assert_int_equal(io.error, 0);
        duo_crash(d, DUO_A); /* at the very moment of the acknowledgement */
        duo_up(d, DUO_A);
        duo_up(d, DUO_B);
        assert_true(duo_wait_in_sync(d, 120000));
        assert_int_equal(duo_disk_value(d, DUO_B, 80), 5);
        assert_true(duo_disks_equal(d));
        duo_free(d);
    }
}

static void make_split_brain(struct duo *d)
{
    duo_link(d, false);
    wait_peer_lost(d, DUO_A);
    wait_peer_lost(d, DUO_B);
    assert_int_equal(duo_write(d, DUO_A, 0, 8, 1), 0);
    assert_ok(scenario_primary(d, DUO_B, false));
    assert_int_equal(duo_write(d, DUO_B, 0, 8, 2), 0);
    duo_link(d, true);
    duo_run(d, 60000);
}

static void split_brain_is_said_and_nothing_touched(void **state)
{
    struct duo *d = scenario_synced();

    make_split_brain(d);
    for (int e = 0; e < DUO_ENDS; e++) {
        struct repl_volume_status v = duo_status(d, (enum duo_end)e);
        assert_true(v.state.conn == C_STANDALONE || v.state.conn == C_WF_CONNECTION);
        assert_int_equal(v.state.role, R_PRIMARY);
        assert_int_equal(v.state.disk, D_UP_TO_DATE);
    }
    assert_true(duo_logged(d, DUO_A, "Split-Brain detected but unresolved, dropping connection!"));
    assert_true(duo_handler_calls(d, DUO_A, REPL_H_SPLIT_BRAIN) +
                    duo_handler_calls(d, DUO_B, REPL_H_SPLIT_BRAIN) >=
                1);
    assert_true(duo_handler_calls(d, DUO_A, REPL_H_INITIAL_SPLIT_BRAIN) >= 1);
    assert_int_equal(duo_disk_value(d, DUO_A, 0), 1);
    assert_int_equal(duo_disk_value(d, DUO_B, 0), 2);
    struct repl_status st;
    repl_status(duo_engine(d, DUO_A), duo_now_ms(d), &st);
    assert_true(st.split_brain);
    duo_free(d);
}

static void administrator_resolves_the_split_brain(void **state)
{
    struct duo *d = scenario_synced();

    make_split_brain(d);
    assert_ok(duo_verb(d, DUO_B, REPL_ADM_SECONDARY));
    if (duo_status(d, DUO_B).state.conn != C_STANDALONE)
        assert_ok(duo_verb(d, DUO_B, REPL_ADM_DISCONNECT));
    struct repl_net_config net = duo_config(d, DUO_B)->net;
    net.discard_my_data = true;
    assert_ok(duo_admin(d, DUO_B, (struct repl_admin){.verb = REPL_ADM_CONNECT, .net = &net}));
    if (duo_status(d, DUO_A).state.conn == C_STANDALONE)
        assert_ok(duo_verb(d, DUO_A, REPL_ADM_CONNECT));
    assert_true(duo_wait_in_sync(d, 120000));
    assert_int_equal(duo_disk_value(d, DUO_B, 0), 1);
    assert_true(duo_disks_equal(d));
    duo_free(d);
}

static void policy_resolves_when_only_one_changed(void **state)
{
    struct duo_options o;
    duo_options_init(&o);
    o.config.net.after_sb_0pri = ASB_DISCARD_ZERO_CHG;
    struct duo *d = scenario_synced_with(&o);

    duo_link(d, false);
    wait_peer_lost(d, DUO_A);
    wait_peer_lost(d, DUO_B);
    assert_int_equal(duo_write(d, DUO_A, 0, 8, 1), 0);
    assert_ok(duo_verb(d, DUO_A, REPL_ADM_SECONDARY));
    assert_ok(scenario_primary(d, DUO_B, false));
    assert_ok(duo_verb(d, DUO_B, REPL_ADM_SECONDARY));
    duo_link(d, true);
    assert_true(duo_wait_in_sync(d, 120000));
    assert_int_equal(duo_disk_value(d, DUO_B, 0), 1);
    duo_free(d);
}

static void primary_with_a_failed_disk_goes_on_through_the_peer(void **state)
{
    struct duo *d = scenario_synced();
    uint32_t value;

    assert_int_equal(duo_write(d, DUO_A, 10, 8, 1), 0);
    duo_disk_fails(d, DUO_A, true, true);
    assert_int_equal(duo_write(d, DUO_A, 10, 8, 2), 0);
    assert_int_equal(duo_read(d, DUO_A, 10, 8, &value), 0);
    assert_int_equal(value, 2);
    duo_run(d, 1000);
    assert_int_equal(duo_status(d, DUO_A).state.disk, D_DISKLESS);
    assert_int_equal(duo_disk_value(d, DUO_B, 10), 2);
    assert_int_equal(duo_flush(d, DUO_A), 0);
    /* A new disk: everything comes back. */
    duo_disk_fails(d, DUO_A, false, false);
    assert_ok(duo_attach(d, DUO_A));
    assert_true(duo_wait_in_sync(d, 120000));
    assert_true(duo_disks_equal(d));
    duo_free(d);
}

static void read_error_is_answered_from_the_peer(void **state)
{
    struct duo *d = scenario_synced();
    uint32_t value;

    assert_int_equal(duo_write(d, DUO_A, 10, 8, 1), 0);
    duo_disk_fails(d, DUO_A, true, false);
    assert_int_equal(duo_read(d, DUO_A, 10, 8, &value), 0);
    assert_int_equal(value, 1);
    duo_free(d);
}

static void secondary_with_a_failed_disk_costs_nothing(void **state)
{
    struct duo *d = scenario_synced();

    duo_disk_fails(d, DUO_B, true, true);
    assert_int_equal(duo_write(d, DUO_A, 10, 8, 2), 0);
    duo_run(d, 1000);
    assert_true(duo_status(d, DUO_A).state.pdsk <= D_FAILED);
    assert_int_equal(duo_write(d, DUO_A, 18, 8, 3), 0);
    assert_true(duo_status(d, DUO_A).oos_kib > 0);
    duo_disk_fails(d, DUO_B, false, false);
    assert_ok(duo_attach(d, DUO_B));
    assert_true(duo_wait_in_sync(d, 120000));
    assert_true(duo_disks_equal(d));
    duo_free(d);
}

static void hanging_peer_disk_is_given_up(void **state)
{
    struct duo *d = scenario_synced();

    duo_disk_hangs(d, DUO_B, true);
    /* ko-count 7 × timeout 6 s */
    assert_int_equal(duo_write(d, DUO_A, 10, 8, 2), 0);
    assert_true(duo_status(d, DUO_A).state.conn < C_CONNECTED);
    duo_disk_hangs(d, DUO_B, false);
    assert_true(duo_wait_in_sync(d, 120000));
    assert_true(duo_disks_equal(d));
    duo_free(d);
}

static void target_dies_in_the_middle_of_a_resync(void **state)
{
    for (int who = 0; who < DUO_ENDS; who++) {
        struct duo *d = scenario_synced();

        assert_ok(duo_verb(d, DUO_B, REPL_ADM_DISCONNECT));
        for (uint64_t s = 0; s + 2048 < 120000; s += 2048)
            assert_int_equal(duo_write(d, DUO_A, s, 2048, 3), 0);
        assert_ok(duo_verb(d, DUO_B, REPL_ADM_CONNECT));
        assert_true(scenario_wait_conn(d, DUO_A, C_SYNC_SOURCE, 30000));
        duo_run(d, 120);
        assert_int_equal(duo_status(d, DUO_A).state.conn, C_SYNC_SOURCE);
        duo_crash(d, (enum duo_end)who);
        duo_run(d, 15000);
        if (who == DUO_A) /* the half-filled target must not be promoted */
            assert_int_equal(scenario_primary(d, DUO_B, false), SS_NO_UP_TO_DATE_DISK);
        duo_up(d, (enum duo_end)who);
        assert_true(duo_wait_in_sync(d, 120000));
        assert_true(duo_disks_equal(d));
        duo_free(d);
    }
}

/* What the last bitmap on the way out says to be in sync must be durable before it says so. */
static void target_detaches_in_the_middle_and_loses_power(void **state)
{
    for (uint64_t seed = 1; seed < 30; seed++) {
        struct duo_options o;
        duo_options_init(&o);
        o.seed = seed;
        o.disk_sectors = 32 * 2048;
        struct duo *d = scenario_synced_with(&o);

        assert_ok(duo_verb(d, DUO_B, REPL_ADM_DISCONNECT));
        for (uint64_t s = 0; s + 2048 < 50000; s += 2048)
            assert_int_equal(duo_write(d, DUO_A, s, 2048, 3), 0);
        assert_ok(duo_verb(d, DUO_B, REPL_ADM_CONNECT));
        assert_true(scenario_wait_conn(d, DUO_B, C_SYNC_TARGET, 30000));
        duo_run(d, 100 + seed * 7);
        assert_ok(duo_admin(d, DUO_B, (struct repl_admin){.verb = REPL_ADM_DETACH, .force = true}));
        duo_crash(d, DUO_B);
        duo_up(d, DUO_B);
        assert_true(duo_wait_in_sync(d, 120000));
        assert_true(duo_disks_equal(d));
        duo_free(d);
    }
}

static struct duo *scenario_fencing(enum repl_fencing fencing)
{
    struct duo_options o;

    duo_options_init(&o);
    o.config.volume[0].disk.fencing = fencing;
    return scenario_synced_with(&o);
}

static void promotion_under_fencing_asks_the_handler(void **state)
{
    struct duo *d = scenario_fencing(REPL_FENCE_RESOURCE_ONLY);

    duo_crash(d, DUO_A);
    duo_handler_exit(d, DUO_B, REPL_H_FENCE_PEER, 1); /* broken: no answer */
    assert_int_equal(scenario_primary(d, DUO_B, false), SS_PRIMARY_NOP);
    duo_handler_exit(d, DUO_B, REPL_H_FENCE_PEER, 5); /* unreachable */
    assert_ok(scenario_primary(d, DUO_B, false));
    assert_int_equal(duo_status(d, DUO_B).state.pdsk, D_OUTDATED);
    duo_free(d);
}

static void fenced_by_the_cluster_counts_as_fenced(void **state)
{
    struct duo *d = scenario_fencing(REPL_FENCE_RESOURCE_ONLY);

    duo_crash(d, DUO_A);
    duo_handler_exit(d, DUO_B, REPL_H_FENCE_PEER, 1);
    enum duo_end b = DUO_B;
    assert_ok(duo_verb(d, DUO_B, REPL_ADM_PING_PEER));
    assert_true(duo_until(d, not_connected_at, &b, 5000));
    assert_ok(duo_verb(d, DUO_B, REPL_ADM_PEER_FENCED));
    assert_ok(scenario_primary(d, DUO_B, false));
    duo_free(d);
}

static void stonith_policy_freezes_until_the_peer_is_fenced(void **state)
{
    struct duo *d = scenario_fencing(REPL_FENCE_RESOURCE_AND_STONITH);
    struct duo_io io;

    duo_handler_exit(d, DUO_A, REPL_H_FENCE_PEER, 1);
    duo_crash(d, DUO_B);
    duo_start(d, DUO_A, REPL_APP_WRITE, 0, 0, 8, 1, &io);
    duo_run(d, 120000);
    assert_false(io.done);
    assert_true(duo_status(d, DUO_A).state.susp_fen);
    /* The peer comes back: what was frozen is sent again. */
    duo_up(d, DUO_B);
    assert_true(duo_until(d, io_done, &io, 60000));
    assert_int_equal(io.error, 0);
    assert_true(duo_wait_in_sync(d, 60000));
    assert_int_equal(duo_disk_value(d, DUO_B, 0), 1);
    assert_true(duo_disks_equal(d));
    duo_free(d);
}

static void suspended_io_waits_and_goes_on(void **state)
{
    struct duo *d = scenario_synced();
    struct duo_io io;

    assert_ok(duo_verb(d, DUO_A, REPL_ADM_SUSPEND_IO));
    duo_start(d, DUO_A, REPL_APP_WRITE, 0, 0, 8, 1, &io);
    duo_run(d, 30000);
    assert_false(io.done);
    assert_ok(duo_verb(d, DUO_A, REPL_ADM_RESUME_IO));
    assert_true(duo_until(d, io_done, &io, 5000));
    assert_int_equal(io.error, 0);
    duo_free(d);
}

/* The Secondary's frozen I/O is no reason to keep the old identifier: the Primary writes on, to it alone. */
static void frozen_secondary_has_the_newer_data(void **state)
{
    struct duo *d = scenario_synced();

    assert_ok(duo_verb(d, DUO_B, REPL_ADM_SUSPEND_IO));
    assert_ok(duo_verb(d, DUO_A, REPL_ADM_DETACH));
    assert_int_equal(duo_write(d, DUO_A, 0, 8, 77), 0);
    assert_ok(duo_attach(d, DUO_A));
    assert_true(duo_wait_in_sync(d, 60000));
    assert_int_equal(duo_disk_value(d, DUO_A, 0), 77);
    assert_int_equal(duo_disk_value(d, DUO_B, 0), 77);
    duo_free(d);
}

static void secondary_loses_its_disk_while_the_primary_is_frozen(void **state)
{
    struct duo *d = scenario_synced();

    assert_ok(duo_verb(d, DUO_A, REPL_ADM_SUSPEND_IO));
    assert_ok(duo_verb(d, DUO_B, REPL_ADM_DETACH));
    assert_ok(duo_verb(d, DUO_A, REPL_ADM_RESUME_IO));
    assert_int_equal(duo_write(d, DUO_A, 0, 8, 77), 0);
    assert_ok(duo_attach(d, DUO_B));
    assert_true(duo_wait_in_sync(d, 60000));
    assert_int_equal(duo_disk_value(d, DUO_B, 0), 77);
    duo_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(secondary_dies_and_comes_back),
        cmocka_unit_test(primary_dies_and_the_other_goes_on),
        cmocka_unit_test(promotion_after_death_takes_no_longer_than_the_ping),
        cmocka_unit_test(primary_dies_writing_and_comes_back_alone),
        cmocka_unit_test(both_die_while_writing),
        cmocka_unit_test(link_cut_is_noticed_and_healed),
        cmocka_unit_test(degraded_write_waits_for_the_new_uuid),
        cmocka_unit_test(split_brain_is_said_and_nothing_touched),
        cmocka_unit_test(administrator_resolves_the_split_brain),
        cmocka_unit_test(policy_resolves_when_only_one_changed),
        cmocka_unit_test(primary_with_a_failed_disk_goes_on_through_the_peer),
        cmocka_unit_test(read_error_is_answered_from_the_peer),
        cmocka_unit_test(secondary_with_a_failed_disk_costs_nothing),
        cmocka_unit_test(hanging_peer_disk_is_given_up),
        cmocka_unit_test(target_dies_in_the_middle_of_a_resync),
        cmocka_unit_test(target_detaches_in_the_middle_and_loses_power),
        cmocka_unit_test(promotion_under_fencing_asks_the_handler),
        cmocka_unit_test(fenced_by_the_cluster_counts_as_fenced),
        cmocka_unit_test(stonith_policy_freezes_until_the_peer_is_fenced),
        cmocka_unit_test(suspended_io_waits_and_goes_on),
        cmocka_unit_test(frozen_secondary_has_the_newer_data),
        cmocka_unit_test(secondary_loses_its_disk_while_the_primary_is_frozen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
