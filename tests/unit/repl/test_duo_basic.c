/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a healthy pair: connect, first sync, writes, role changes, disconnect, resync, verify. */
#include "scenario.h"

#include "hv_error.h"

static void fresh_pair_connects_inconsistent(void **state)
{
    struct duo_options o;
    duo_options_init(&o);
    struct duo *d = scenario_fresh(&o);

    assert_true(duo_until(d, scenario_connected, NULL, 30000));
    struct drbd_state s = duo_status(d, DUO_A).state;
    assert_int_equal(s.disk, D_INCONSISTENT);
    assert_int_equal(s.pdsk, D_INCONSISTENT);
    assert_int_equal(s.role, R_SECONDARY);
    assert_int_equal(s.peer, R_SECONDARY);
    assert_false(duo_front_writable(d, DUO_A));
    assert_true(duo_logged(d, DUO_A, "Agreed network protocol version 101"));
    assert_true(duo_logged(d, DUO_A, "by rule 10"));
    duo_free(d);
}

static void unforced_primary_is_refused_without_good_data(void **state)
{
    struct duo_options o;
    duo_options_init(&o);
    struct duo *d = scenario_fresh(&o);

    assert_true(duo_until(d, scenario_connected, NULL, 30000));
    assert_int_equal(scenario_primary(d, DUO_A, false), SS_NO_UP_TO_DATE_DISK);
    assert_int_equal(duo_status(d, DUO_A).state.role, R_SECONDARY);
    duo_free(d);
}

static void first_sync_makes_both_up_to_date(void **state)
{
    struct duo_options o;
    duo_options_init(&o);
    struct duo *d = scenario_fresh(&o);

    /* Different rubbish on both disks before. */
    memset(duo_disk_bytes(d, DUO_A), 0xaa, 1 << 20);
    memset(duo_disk_bytes(d, DUO_B), 0x55, 3 << 20);
    assert_true(duo_until(d, scenario_connected, NULL, 30000));
    assert_ok(scenario_primary(d, DUO_A, true));
    assert_true(duo_front_writable(d, DUO_A));
    assert_true(duo_wait_in_sync(d, 120000));
    assert_true(duo_disks_equal(d));
    assert_int_equal(duo_disk_bytes(d, DUO_B)[0], 0xaa);
    struct repl_volume_status a = duo_status(d, DUO_A), b = duo_status(d, DUO_B);
    assert_int_equal(a.oos_kib, 0);
    assert_int_equal(a.uuid[0] & ~1u, b.uuid[0] & ~1u);
    assert_int_equal(a.uuid[1], 0);
    assert_int_equal(b.uuid[1], 0);
    assert_int_equal(a.uuid[2] & ~1u, b.uuid[2] & ~1u);
    assert_true(duo_logged(d, DUO_A, "Began resync as SyncSource"));
    duo_free(d);
}

static void acknowledged_write_is_on_both_disks(void **state)
{
    struct duo *d = scenario_synced();
    uint32_t value;

    assert_int_equal(duo_write(d, DUO_A, 800, 8, 42), 0);
    for (int s = 800; s < 808; s++) {
        assert_int_equal(duo_disk_value(d, DUO_A, s), 42);
        assert_int_equal(duo_disk_value(d, DUO_B, s), 42);
    }
    assert_int_equal(duo_read(d, DUO_A, 800, 8, &value), 0);
    assert_int_equal(value, 42);
    duo_free(d);
}

static void every_size_of_write_arrives(void **state)
{
    struct duo *d = scenario_synced();
    uint32_t value;

    for (uint32_t sectors = 1; sectors <= 2048; sectors = sectors * 3 + 1) {
        assert_int_equal(duo_write(d, DUO_A, 12345, sectors, sectors), 0);
        assert_int_equal(duo_read(d, DUO_A, 12345, sectors, &value), 0);
        assert_int_equal(value, sectors);
    }
    assert_int_equal(duo_write(d, DUO_A, 20000, 2048, 7), 0);
    assert_true(duo_disks_equal(d));
    duo_free(d);
}

static void flush_is_durable_on_both(void **state)
{
    struct duo *d = scenario_synced();

    assert_int_equal(duo_write(d, DUO_A, 100, 8, 9), 0);
    assert_int_equal(duo_flush(d, DUO_A), 0);
    assert_int_equal(duo_durable_value(d, DUO_A, 100), 9);
    assert_int_equal(duo_durable_value(d, DUO_B, 100), 9);
    duo_free(d);
}

static bool io_done(struct duo *d, void *arg)
{
    return ((struct duo_io *)arg)->done;
}

static void fua_write_is_durable_on_both(void **state)
{
    struct duo *d = scenario_synced();
    struct duo_io io;

    duo_start(d, DUO_A, REPL_APP_WRITE, REPL_APP_FUA, 3000, 16, 77, &io);
    assert_true(duo_until(d, io_done, &io, 10000));
    assert_int_equal(io.error, 0);
    assert_int_equal(duo_durable_value(d, DUO_A, 3000), 77);
    assert_int_equal(duo_durable_value(d, DUO_B, 3015), 77);
    duo_free(d);
}

static void discard_and_zeroes_reach_both(void **state)
{
    struct duo *d = scenario_synced();
    struct duo_io io;

    assert_int_equal(duo_write(d, DUO_A, 32768, 2048, 5), 0);
    assert_int_equal(duo_discard(d, DUO_A, 32768, 1024), 0);
    duo_start(d, DUO_A, REPL_APP_ZEROES, 0, 33792, 512, 0, &io);
    assert_true(duo_until(d, io_done, &io, 10000));
    assert_int_equal(io.error, 0);
    assert_int_equal(duo_disk_value(d, DUO_B, 32768), 0);
    assert_int_equal(duo_disk_value(d, DUO_B, 33792), 0);
    assert_int_equal(duo_disk_value(d, DUO_B, 34304), 5);
    assert_true(duo_disks_equal(d));
    duo_free(d);
}

static void large_discard_is_taken_whole(void **state)
{
    struct duo_options o;
    duo_options_init(&o);
    o.disk_sectors = 300 * 2048;
    struct duo *d = scenario_synced_with(&o);

    assert_int_equal(duo_write(d, DUO_A, 8, 2048, 5), 0);
    assert_int_equal(duo_discard(d, DUO_A, 0, 128 * 2048 - 8), 0);
    assert_int_equal(duo_disk_value(d, DUO_A, 100), 0);
    assert_true(duo_disks_equal(d));
    duo_free(d);
}

static void roles_swap(void **state)
{
    struct duo *d = scenario_synced();

    assert_int_equal(scenario_primary(d, DUO_B, false), SS_TWO_PRIMARIES);
    assert_int_equal(
        duo_admin(d, DUO_A, (struct repl_admin){.verb = REPL_ADM_SECONDARY, .device_open = true}),
        SS_DEVICE_IN_USE);
    assert_ok(duo_verb(d, DUO_A, REPL_ADM_SECONDARY));
    assert_false(duo_front_writable(d, DUO_A));
    assert_ok(scenario_primary(d, DUO_B, false));
    duo_run(d, 100);
    assert_int_equal(duo_status(d, DUO_A).state.peer, R_PRIMARY);
    assert_int_equal(duo_write(d, DUO_B, 0, 8, 3), 0);
    assert_int_equal(duo_disk_value(d, DUO_A, 0), 3);
    duo_free(d);
}

static void secondary_takes_no_application_io(void **state)
{
    struct duo *d = scenario_synced();
    uint32_t value;

    assert_int_not_equal(duo_write(d, DUO_B, 0, 8, 3), 0);
    assert_int_not_equal(duo_read(d, DUO_B, 0, 8, &value), 0);
    duo_free(d);
}

static void disconnect_is_graceful(void **state)
{
    struct duo *d = scenario_synced();

    assert_ok(duo_verb(d, DUO_B, REPL_ADM_DISCONNECT));
    assert_int_equal(duo_status(d, DUO_B).state.conn, C_STANDALONE);
    duo_run(d, 100);
    struct repl_volume_status a = duo_status(d, DUO_A);
    assert_true(a.state.conn == C_WF_CONNECTION || a.state.conn == C_UNCONNECTED);
    assert_int_equal(a.state.pdsk, D_UNKNOWN);
    assert_int_not_equal(a.uuid[1], 0); /* new current UUID */
    duo_free(d);
}

static void reconnect_resyncs_only_what_changed(void **state)
{
    struct duo *d = scenario_synced();

    assert_ok(duo_verb(d, DUO_B, REPL_ADM_DISCONNECT));
    assert_int_equal(duo_write(d, DUO_A, 40000, 8, 11), 0);
    assert_int_equal(duo_status(d, DUO_A).oos_kib, 4);
    duo_log_clear(d, DUO_A);
    assert_ok(duo_verb(d, DUO_B, REPL_ADM_CONNECT));
    assert_true(duo_wait_in_sync(d, 60000));
    assert_true(duo_logged(d, DUO_A, "[1 bits set]"));
    assert_true(duo_logged(d, DUO_A, "by rule 70"));
    assert_true(duo_logged(d, DUO_B, "by rule 50"));
    assert_int_equal(duo_disk_value(d, DUO_B, 40000), 11);
    assert_true(duo_disks_equal(d));
    duo_free(d);
}

static void writes_during_resync_arrive_too(void **state)
{
    struct duo *d = scenario_synced();
    struct duo_io io[64];

    assert_ok(duo_verb(d, DUO_B, REPL_ADM_DISCONNECT));
    for (uint64_t s = 0; s + 2048 < 100000; s += 2048)
        assert_int_equal(duo_write(d, DUO_A, s, 2048, 1), 0);
    assert_ok(duo_verb(d, DUO_B, REPL_ADM_CONNECT));
    assert_true(scenario_wait_conn(d, DUO_A, C_SYNC_SOURCE, 30000));
    for (int i = 0; i < 64; i++) {
        duo_start(d, DUO_A, REPL_APP_WRITE, 0, (uint64_t)i * 1500, 24, 100 + (uint32_t)i, &io[i]);
        duo_run(d, 5);
    }
    assert_true(duo_wait_in_sync(d, 120000));
    for (int i = 0; i < 64; i++) {
        assert_true(duo_until(d, io_done, &io[i], 10000));
        assert_int_equal(io[i].error, 0);
        assert_int_equal(duo_disk_value(d, DUO_B, (uint64_t)i * 1500), 100 + i);
    }
    assert_true(duo_disks_equal(d));
    duo_free(d);
}

static void overlapping_writes_end_the_same_on_both(void **state)
{
    struct duo *d = scenario_synced();
    struct duo_io io[100];

    for (int i = 0; i < 100; i++)
        duo_start(d, DUO_A, REPL_APP_WRITE, 0, 1000 + (uint64_t)(i * 7 % 20), 16, 200 + (uint32_t)i,
            &io[i]);
    for (int i = 0; i < 100; i++) {
        assert_true(duo_until(d, io_done, &io[i], 10000));
        assert_int_equal(io[i].error, 0);
    }
    assert_true(duo_disks_equal(d));
    duo_free(d);
}

static void many_extents_pass_through_a_small_activity_log(void **state)
{
    struct duo_options o;
    duo_options_init(&o);
    o.disk_sectors = 1024 * 2048; /* 256 extents, 67 slots */
    struct duo *d = scenario_synced_with(&o);
    struct duo_io io[200];

    for (int i = 0; i < 200; i++)
        duo_start(d, DUO_A, REPL_APP_WRITE, 0, (uint64_t)i * 8192, 8, (uint32_t)i + 1, &io[i]);
    for (int i = 0; i < 200; i++) {
        assert_true(duo_until(d, io_done, &io[i], 60000));
        assert_int_equal(io[i].error, 0);
    }
    assert_true(duo_status(d, DUO_A).al_writes >= 3);
    assert_true(duo_disks_equal(d));
    duo_free(d);
}

static void outdated_is_not_promoted(void **state)
{
    struct duo *d = scenario_synced();

    assert_int_equal(duo_verb(d, DUO_B, REPL_ADM_OUTDATE), SS_CONNECTED_OUTDATES);
    assert_ok(duo_verb(d, DUO_B, REPL_ADM_DISCONNECT));
    assert_ok(duo_verb(d, DUO_B, REPL_ADM_OUTDATE));
    assert_int_equal(duo_status(d, DUO_B).state.disk, D_OUTDATED);
    assert_int_equal(scenario_primary(d, DUO_B, false), SS_NO_UP_TO_DATE_DISK);
    duo_free(d);
}

static void invalidate_pulls_everything_again(void **state)
{
    struct duo *d = scenario_synced();

    assert_int_equal(duo_write(d, DUO_A, 5000, 8, 4), 0);
    duo_disk_bytes(d, DUO_B)[5000 * 512] ^= 1;
    assert_ok(duo_verb(d, DUO_B, REPL_ADM_INVALIDATE));
    assert_true(duo_wait_in_sync(d, 120000));
    assert_true(duo_disks_equal(d));
    duo_free(d);
}

static void verify_finds_a_flipped_bit_and_reconnect_repairs_it(void **state)
{
    struct duo_options o;
    duo_options_init(&o);
    strcpy(o.config.net.verify_alg, "sha1");
    struct duo *d = scenario_synced_with(&o);

    assert_int_equal(duo_write(d, DUO_A, 8000, 8, 4), 0);
    duo_disk_bytes(d, DUO_B)[8003 * 512 + 17] ^= 4;
    assert_ok(duo_verb(d, DUO_A, REPL_ADM_VERIFY));
    duo_run(d, 60000);
    assert_int_equal(duo_status(d, DUO_A).state.conn, C_CONNECTED);
    assert_int_equal(duo_status(d, DUO_A).oos_kib, 4);
    assert_int_equal(duo_status(d, DUO_B).oos_kib, 4);
    assert_int_equal(duo_handler_calls(d, DUO_A, REPL_H_OUT_OF_SYNC), 1);
    assert_ok(duo_verb(d, DUO_B, REPL_ADM_DISCONNECT));
    assert_ok(duo_verb(d, DUO_B, REPL_ADM_CONNECT));
    assert_true(duo_wait_in_sync(d, 60000));
    assert_true(duo_disks_equal(d));
    duo_free(d);
}

static void verify_needs_an_algorithm(void **state)
{
    struct duo *d = scenario_synced();

    assert_int_equal(duo_verb(d, DUO_A, REPL_ADM_VERIFY), SS_NO_VERIFY_ALG);
    duo_free(d);
}

static void wrong_secret_never_connects(void **state)
{
    struct duo_options o;
    duo_options_init(&o);
    struct duo *d = duo_new(&o);

    strcpy(duo_config(d, DUO_B)->net.shared_secret, "guessed");
    for (int e = 0; e < DUO_ENDS; e++) {
        duo_create_md(d, (enum duo_end)e);
        duo_up(d, (enum duo_end)e);
    }
    duo_run(d, 60000);
    assert_false(duo_connected(d));
    assert_int_equal(duo_status(d, DUO_A).state.conn, C_STANDALONE);
    assert_false(duo_logged(d, DUO_A, "s3kr1tFoo"));
    duo_free(d);
}

static void different_protocols_stand_alone(void **state)
{
    struct duo_options o;
    duo_options_init(&o);
    struct duo *d = duo_new(&o);

    duo_config(d, DUO_B)->net.wire_protocol = DRBD_PROT_A;
    for (int e = 0; e < DUO_ENDS; e++) {
        duo_create_md(d, (enum duo_end)e);
        duo_up(d, (enum duo_end)e);
    }
    duo_run(d, 60000);
    assert_int_equal(duo_status(d, DUO_A).state.conn, C_STANDALONE);
    assert_int_equal(duo_status(d, DUO_B).state.conn, C_STANDALONE);
    duo_free(d);
}

static void idle_connection_lives_on_pings(void **state)
{
    struct duo *d = scenario_synced();

    duo_log_clear(d, DUO_A);
    duo_run(d, 3600 * 1000);
    assert_true(duo_in_sync(d));
    assert_false(duo_logged(d, DUO_A, "conn( Connected"));
    duo_free(d);
}

static void a_detach_leaves_the_way_free_for_other_requests(void **state)
{
    struct duo *d = scenario_synced();

    /* Nothing is in flight: the disk goes in the very step in which the peer agrees. */
    assert_ok(duo_admin(d, DUO_B, (struct repl_admin){.verb = REPL_ADM_DETACH}));
    assert_int_equal(duo_status(d, DUO_B).state.disk, D_DISKLESS);
    assert_ok(duo_admin(d, DUO_B, (struct repl_admin){.verb = REPL_ADM_DISCONNECT}));
    duo_free(d);
}

static void down_leaves_clean_metadata(void **state)
{
    struct duo *d = scenario_synced();

    assert_int_equal(duo_write(d, DUO_A, 0, 8, 1), 0);
    assert_ok(duo_verb(d, DUO_A, REPL_ADM_SECONDARY));
    assert_ok(duo_verb(d, DUO_B, REPL_ADM_DOWN));
    assert_ok(duo_verb(d, DUO_A, REPL_ADM_DOWN));
    duo_crash(d, DUO_A);
    duo_crash(d, DUO_B);
    duo_up(d, DUO_A);
    duo_up(d, DUO_B);
    assert_true(duo_wait_in_sync(d, 60000));
    assert_false(duo_logged(d, DUO_A, "Began resync as SyncSource (will sync 4"));
    assert_true(duo_disks_equal(d));
    duo_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fresh_pair_connects_inconsistent),
        cmocka_unit_test(unforced_primary_is_refused_without_good_data),
        cmocka_unit_test(first_sync_makes_both_up_to_date),
        cmocka_unit_test(acknowledged_write_is_on_both_disks),
        cmocka_unit_test(every_size_of_write_arrives),
        cmocka_unit_test(flush_is_durable_on_both),
        cmocka_unit_test(fua_write_is_durable_on_both),
        cmocka_unit_test(discard_and_zeroes_reach_both),
        cmocka_unit_test(large_discard_is_taken_whole),
        cmocka_unit_test(roles_swap),
        cmocka_unit_test(secondary_takes_no_application_io),
        cmocka_unit_test(disconnect_is_graceful),
        cmocka_unit_test(reconnect_resyncs_only_what_changed),
        cmocka_unit_test(writes_during_resync_arrive_too),
        cmocka_unit_test(overlapping_writes_end_the_same_on_both),
        cmocka_unit_test(many_extents_pass_through_a_small_activity_log),
        cmocka_unit_test(outdated_is_not_promoted),
        cmocka_unit_test(invalidate_pulls_everything_again),
        cmocka_unit_test(verify_finds_a_flipped_bit_and_reconnect_repairs_it),
        cmocka_unit_test(verify_needs_an_algorithm),
        cmocka_unit_test(wrong_secret_never_connects),
        cmocka_unit_test(different_protocols_stand_alone),
        cmocka_unit_test(idle_connection_lives_on_pings),
        cmocka_unit_test(a_detach_leaves_the_way_free_for_other_requests),
        cmocka_unit_test(down_leaves_clean_metadata),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
