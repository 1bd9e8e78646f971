/* SPDX-License-Identifier: Apache-2.0 */
/* What administrators do to a connected pair: detach and attach, full syncs, new identifiers, growth, and
 * leaving under a fencing policy. */
#include "scenario.h"

#include "hv_error.h"
#include "md.h"
#include "md_replay.h"

static void secondary_is_detached_and_attached(void **state)
{
    struct duo *d = scenario_synced();

    assert_ok(duo_verb(d, DUO_B, REPL_ADM_DETACH));
    assert_int_equal(duo_status(d, DUO_B).state.disk, D_DISKLESS);
    duo_run(d, 100);
    assert_int_equal(duo_status(d, DUO_A).state.pdsk, D_DISKLESS);
    assert_int_equal(duo_write(d, DUO_A, 1000, 8, 3), 0);
    assert_ok(duo_attach(d, DUO_B));
    assert_true(duo_wait_in_sync(d, 60000));
    assert_int_equal(duo_disk_value(d, DUO_B, 1000), 3);
    assert_true(duo_disks_equal(d));
    duo_free(d);
}

static void primary_is_detached_and_attached(void **state)
{
    struct duo *d = scenario_synced();
    uint32_t value;

    assert_ok(duo_verb(d, DUO_A, REPL_ADM_DETACH));
    assert_int_equal(duo_write(d, DUO_A, 1000, 8, 3), 0);
    assert_int_equal(duo_read(d, DUO_A, 1000, 8, &value), 0);
    assert_int_equal(value, 3);
    assert_ok(duo_attach(d, DUO_A));
    assert_true(duo_wait_in_sync(d, 60000));
    assert_int_equal(duo_status(d, DUO_A).state.role, R_PRIMARY);
    assert_int_equal(duo_disk_value(d, DUO_A, 1000), 3);
    assert_true(duo_disks_equal(d));
    duo_free(d);
}

static void last_good_disk_is_not_detached(void **state)
{
    struct duo *d = scenario_synced();

    assert_ok(duo_verb(d, DUO_B, REPL_ADM_DISCONNECT));
    assert_int_equal(duo_verb(d, DUO_A, REPL_ADM_DETACH), SS_NO_UP_TO_DATE_DISK);
    assert_int_equal(duo_status(d, DUO_A).state.disk, D_UP_TO_DATE);
    duo_free(d);
}

static void invalidate_remote_pushes_everything_again(void **state)
{
    struct duo *d = scenario_synced();

    duo_disk_bytes(d, DUO_B)[7000 * 512] ^= 1;
    assert_ok(duo_verb(d, DUO_A, REPL_ADM_INVALIDATE_REMOTE));
    assert_true(duo_wait_in_sync(d, 120000));
    assert_true(duo_disks_equal(d));
    duo_free(d);
}

static void invalidate_alone_makes_a_full_sync_target(void **state)
{
    struct duo *d = scenario_synced();

    assert_ok(duo_verb(d, DUO_B, REPL_ADM_DISCONNECT));
    assert_ok(duo_verb(d, DUO_B, REPL_ADM_INVALIDATE));
    assert_int_equal(duo_status(d, DUO_B).state.disk, D_INCONSISTENT);
    assert_true(duo_status(d, DUO_B).oos_kib > 60000);
    duo_disk_bytes(d, DUO_B)[7000 * 512] ^= 1;
    assert_ok(duo_verb(d, DUO_B, REPL_ADM_CONNECT));
    assert_true(duo_wait_in_sync(d, 120000));
    assert_true(duo_disks_equal(d));
    duo_free(d);
}

static void fresh_disks_may_be_declared_equal(void **state)
{
    struct duo_options o;
    duo_options_init(&o);
    struct duo *d = scenario_fresh(&o);

    assert_true(duo_until(d, scenario_connected, NULL, 30000));
    duo_run(d, 100); /* the handshake's last words are in */
    assert_ok(duo_admin(
        d, DUO_A, (struct repl_admin){.verb = REPL_ADM_NEW_CURRENT_UUID, .clear_bitmap = true}));
    assert_true(duo_wait_in_sync(d, 5000));
    assert_int_equal(duo_status(d, DUO_A).oos_kib, 0);
    assert_int_equal(duo_status(d, DUO_B).oos_kib, 0);
    assert_false(duo_logged(d, DUO_A, "Began resync"));
    assert_ok(scenario_primary(d, DUO_A, false));
    duo_free(d);
}

static void new_identifiers_need_a_stand_alone_node(void **state)
{
    struct duo *d = scenario_synced();

    assert_int_equal(duo_verb(d, DUO_A, REPL_ADM_NEW_CURRENT_UUID), 151);
    duo_free(d);
}

static void leaving_primary_outdates_the_peer_it_leaves(void **state)
{
    struct duo_options o;
    duo_options_init(&o);
    o.config.volume[0].disk.fencing = REPL_FENCE_RESOURCE_ONLY;
    struct duo *d = scenario_synced_with(&o);

    assert_ok(duo_verb(d, DUO_A, REPL_ADM_DISCONNECT));
    duo_run(d, 1000);
    assert_int_equal(duo_status(d, DUO_A).state.conn, C_STANDALONE);
    assert_int_equal(duo_status(d, DUO_A).state.pdsk, D_OUTDATED);
    assert_int_equal(duo_status(d, DUO_B).state.disk, D_OUTDATED);
    assert_int_equal(scenario_primary(d, DUO_B, false), SS_NO_UP_TO_DATE_DISK);
    assert_ok(duo_verb(d, DUO_A, REPL_ADM_CONNECT));
    assert_true(duo_wait_in_sync(d, 60000));
    duo_free(d);
}

static void leaving_secondary_outdates_itself(void **state)
{
    struct duo_options o;
    duo_options_init(&o);
    o.config.volume[0].disk.fencing = REPL_FENCE_RESOURCE_ONLY;
    struct duo *d = scenario_synced_with(&o);

    assert_ok(duo_verb(d, DUO_B, REPL_ADM_DISCONNECT));
    assert_int_equal(duo_status(d, DUO_B).state.disk, D_OUTDATED);
    assert_int_equal(duo_status(d, DUO_A).state.pdsk, D_OUTDATED);
    assert_int_equal(duo_write(d, DUO_A, 8, 8, 4), 0);
    assert_ok(duo_verb(d, DUO_B, REPL_ADM_CONNECT));
    assert_true(duo_wait_in_sync(d, 60000));
    assert_true(duo_disks_equal(d));
    duo_free(d);
}

static void refusing_handler_keeps_a_resync_from_starting(void **state)
{
    struct duo *d = scenario_synced();

    duo_handler_exit(d, DUO_B, REPL_H_BEFORE_RESYNC_TARGET, 1);
    assert_ok(duo_verb(d, DUO_B, REPL_ADM_DISCONNECT));
    assert_int_equal(duo_write(d, DUO_A, 8, 8, 4), 0);
    assert_ok(duo_verb(d, DUO_B, REPL_ADM_CONNECT));
    assert_true(scenario_wait_conn(d, DUO_B, C_STANDALONE, 30000));
    assert_int_equal(duo_disk_value(d, DUO_B, 8), 0);
    duo_free(d);
}

static void both_connect_at_the_same_moment(void **state)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct duo_options o;
        int answer[DUO_ENDS];
        duo_options_init(&o);
        o.seed = seed;
        struct duo *d = scenario_synced_with(&o);
        for (int e = 0; e < DUO_ENDS; e++)
            assert_ok(duo_verb(d, (enum duo_end)e, REPL_ADM_DISCONNECT));
        for (int e = 0; e < DUO_ENDS; e++)
            duo_admin_start(
                d, (enum duo_end)e, (struct repl_admin){.verb = REPL_ADM_CONNECT}, &answer[e]);
        assert_true(duo_wait_in_sync(d, 3000));
        duo_free(d);
    }
}

static void a_peer_that_answers_is_found_alive_and_a_dead_one_dead(void **state)
{
    struct duo *d = scenario_synced();
    uint64_t t0 = duo_now_ms(d);

    assert_ok(duo_verb(d, DUO_B, REPL_ADM_PING_PEER));
    assert_true(duo_connected(d));
    assert_in_range(duo_now_ms(d) - t0, 0, 100);
    duo_crash(d, DUO_A);
    t0 = duo_now_ms(d);
    assert_ok(duo_verb(d, DUO_B, REPL_ADM_PING_PEER));
    assert_true(duo_status(d, DUO_B).state.conn < C_CONNECTED);
    assert_in_range(duo_now_ms(d) - t0, 400, 600);
    duo_free(d);
}

static void device_in_use_stays_primary(void **state)
{
    struct duo *d = scenario_synced();

    assert_int_equal(
        duo_admin(d, DUO_A, (struct repl_admin){.verb = REPL_ADM_SECONDARY, .device_open = true}),
        SS_DEVICE_IN_USE);
    assert_true(duo_front_writable(d, DUO_A));
    assert_ok(duo_verb(d, DUO_A, REPL_ADM_SECONDARY));
    assert_false(duo_front_writable(d, DUO_A));
    duo_free(d);
}

static void second_primary_is_refused(void **state)
{
    struct duo *d = scenario_synced();

    assert_int_equal(scenario_primary(d, DUO_B, false), SS_TWO_PRIMARIES);
    assert_int_equal(scenario_primary(d, DUO_B, true), SS_TWO_PRIMARIES);
    assert_true(duo_connected(d));
    duo_free(d);
}

static void discarded_data_is_replaced(void **state)
{
    struct duo *d = scenario_synced();
    struct repl_net_config net;

    duo_link(d, false);
    duo_run(d, 20000);
    assert_ok(scenario_primary(d, DUO_B, false));
    assert_int_equal(duo_write(d, DUO_A, 8, 8, 1), 0);
    assert_int_equal(duo_write(d, DUO_B, 8, 8, 2), 0);
    assert_ok(duo_verb(d, DUO_B, REPL_ADM_SECONDARY));
    assert_ok(duo_verb(d, DUO_B, REPL_ADM_DISCONNECT));
    duo_link(d, true);
    net = duo_config(d, DUO_B)->net;
    net.discard_my_data = true;
    assert_ok(duo_admin(d, DUO_B, (struct repl_admin){.verb = REPL_ADM_CONNECT, .net = &net}));
    assert_true(duo_wait_in_sync(d, 60000));
    assert_int_equal(duo_disk_value(d, DUO_B, 8), 1);
    assert_true(duo_disks_equal(d));
    duo_free(d);
}

enum { SMALL_SECTORS = 40 * 2048, LARGE_SECTORS = 64 * 2048 };

static struct repl_attach backing(uint64_t sectors)
{
    return (struct repl_attach){.backing_sectors = sectors,
        .md_index = MD_INDEX_INTERNAL,
        .md_sectors = sectors,
        .logical_block_bytes = 512,
        .physical_block_bytes = 4096,
        .max_io_bytes = 1 << 20,
        .can_discard = true};
}

/* Metadata at the end of the first part of the disk. */
static void small_up(struct duo *d, enum duo_end end)
{
    const struct md_place place = {MD_INDEX_INTERNAL, SMALL_SECTORS, SMALL_SECTORS};
    uint8_t *bytes = duo_disk_bytes(d, end);
    struct md_superblock sb;
    struct md_layout layout;
    struct hv_diag diag;

    assert_int_equal(md_create(&sb, &place, 1, 8, 1, &diag), 0);
    assert_int_equal(md_layout_compute(&place, 1, 8, &layout, &diag), 0);
    md_encode(&sb, bytes + layout.sb_sector * 512);
    md_replay_ring_init(bytes + layout.al_sector * 512, layout.al_sectors * 512);
    duo_boot(d, end);
    assert_ok(duo_admin(
        d, end, (struct repl_admin){.verb = REPL_ADM_ATTACH, .attach = backing(SMALL_SECTORS)}));
    assert_ok(duo_verb(d, end, REPL_ADM_CONNECT));
}

static void both_grow_while_in_use(void **state)
{
    const struct repl_admin grow = {.verb = REPL_ADM_RESIZE, .attach = backing(LARGE_SECTORS)};
    struct duo_options o;
    uint64_t before;
    uint32_t value;

    duo_options_init(&o);
    o.disk_sectors = LARGE_SECTORS;
    struct duo *d = duo_new(&o);
    small_up(d, DUO_A);
    small_up(d, DUO_B);
    assert_true(duo_until(d, scenario_connected, NULL, 30000));
    assert_ok(scenario_primary(d, DUO_A, true));
    assert_true(duo_wait_in_sync(d, 60000));
    assert_int_equal(duo_write(d, DUO_A, 80000, 8, 5), 0);
    before = duo_status(d, DUO_A).size_sectors;

    assert_ok(duo_admin(d, DUO_A, grow));
    duo_run(d, 1000);
    assert_int_equal(duo_status(d, DUO_A).size_sectors, before);
    assert_ok(duo_admin(d, DUO_B, grow));
    duo_run(d, 1000);
    assert_true(duo_wait_in_sync(d, 60000));
    assert_true(duo_status(d, DUO_A).size_sectors > before + 40000);
    assert_int_equal(duo_status(d, DUO_B).size_sectors, duo_status(d, DUO_A).size_sectors);
    assert_int_equal(duo_write(d, DUO_A, before + 1000, 8, 6), 0);
    assert_int_equal(duo_disk_value(d, DUO_B, before + 1000), 6);

    /* The metadata is where the next attach looks for it. */
    assert_int_equal(duo_flush(d, DUO_A), 0);
    for (int e = 0; e < DUO_ENDS; e++)
        duo_crash(d, (enum duo_end)e);
    for (int e = 0; e < DUO_ENDS; e++)
        duo_up(d, (enum duo_end)e);
    assert_true(duo_wait_in_sync(d, 60000));
    assert_ok(scenario_primary(d, DUO_A, false));
    assert_int_equal(duo_read(d, DUO_A, 80000, 8, &value), 0);
    assert_int_equal(value, 5);
    assert_int_equal(duo_read(d, DUO_A, before + 1000, 8, &value), 0);
    assert_int_equal(value, 6);
    assert_true(duo_disks_equal(d));
    duo_free(d);
}

static void resize_needs_a_primary(void **state)
{
    struct duo_options o;
    duo_options_init(&o);
    struct duo *d = scenario_fresh(&o);

    assert_true(duo_until(d, scenario_connected, NULL, 30000));
    assert_int_equal(
        duo_admin(d, DUO_A,
            (struct repl_admin){.verb = REPL_ADM_RESIZE, .attach = backing(LARGE_SECTORS)}),
        131);
    duo_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(secondary_is_detached_and_attached),
        cmocka_unit_test(primary_is_detached_and_attached),
        cmocka_unit_test(last_good_disk_is_not_detached),
        cmocka_unit_test(invalidate_remote_pushes_everything_again),
        cmocka_unit_test(invalidate_alone_makes_a_full_sync_target),
        cmocka_unit_test(fresh_disks_may_be_declared_equal),
        cmocka_unit_test(new_identifiers_need_a_stand_alone_node),
        cmocka_unit_test(leaving_primary_outdates_the_peer_it_leaves),
        cmocka_unit_test(leaving_secondary_outdates_itself),
        cmocka_unit_test(refusing_handler_keeps_a_resync_from_starting),
        cmocka_unit_test(both_connect_at_the_same_moment),
        cmocka_unit_test(a_peer_that_answers_is_found_alive_and_a_dead_one_dead),
        cmocka_unit_test(device_in_use_stays_primary),
        cmocka_unit_test(second_primary_is_refused),
        cmocka_unit_test(discarded_data_is_replaced),
        cmocka_unit_test(both_grow_while_in_use),
        cmocka_unit_test(resize_needs_a_primary),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
