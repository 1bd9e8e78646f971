/* SPDX-License-Identifier: Apache-2.0 */
/* The data path under load and under every option that changes it: whatever happens to the link, the
 * disks and the administrator's mind, both disks are equal in the end. */
#include "scenario.h"

#include <stdio.h>

#include "hv_error.h"
#include "hv_prng.h"

enum { FLIGHT = 48, ROUNDS = 1200 };

struct load {
    struct duo *d;
    struct hv_prng prng;
    struct duo_io io[FLIGHT];
    bool busy[FLIGHT];
    uint32_t value;
    uint64_t span_sectors;
    unsigned errors;
};

static void load_init(struct load *l, struct duo *d, uint64_t span_sectors)
{
    memset(l, 0, sizeof *l);
    l->d = d;
    l->span_sectors = span_sectors;
    hv_prng_seed(&l->prng, 5);
}

static void start_one(struct load *l, int i)
{
    uint64_t sector = hv_prng_below(&l->prng, l->span_sectors - 256);
    uint32_t sectors = 1 + (uint32_t)hv_prng_below(&l->prng, hv_prng_below(&l->prng, 4) ? 16 : 200);
    uint32_t flags = hv_prng_below(&l->prng, 10) ? 0 : REPL_APP_FUA;

    l->busy[i] = true;
    switch (hv_prng_below(&l->prng, 12)) {
    case 0:
        duo_start(l->d, DUO_A, REPL_APP_FLUSH, 0, 0, 0, 0, &l->io[i]);
        break;
    case 1:
        duo_start(l->d, DUO_A, REPL_APP_READ, 0, sector, sectors, 0, &l->io[i]);
        break;
    case 2:
        duo_start(l->d, DUO_A, REPL_APP_DISCARD, 0, sector & ~7ull, 8 * sectors, 0, &l->io[i]);
        break;
    default:
        duo_start(l->d, DUO_A, REPL_APP_WRITE, flags, sector, sectors, ++l->value, &l->io[i]);
        break;
    }
}

static void load_round(struct load *l)
{
    for (int i = 0; i < FLIGHT; i++) {
        if (l->busy[i] && l->io[i].done) {
            l->errors += l->io[i].error != 0;
            l->busy[i] = false;
        }
        if (!l->busy[i] && hv_prng_below(&l->prng, 3) == 0)
            start_one(l, i);
    }
    duo_run(l->d, 1 + hv_prng_below(&l->prng, 4));
}

static void load_for(struct load *l, uint64_t ms)
{
    uint64_t until = duo_now_ms(l->d) + ms;

    while (duo_now_ms(l->d) < until)
        load_round(l);
}

static bool all_done(struct duo *d, void *arg)
{
    struct load *l = arg;

    for (int i = 0; i < FLIGHT; i++)
        if (l->busy[i] && !l->io[i].done)
            return false;
    return true;
}

static void load_end(struct load *l)
{
    assert_true(duo_until(l->d, all_done, l, 120000));
    for (int i = 0; i < FLIGHT; i++)
        l->errors += l->busy[i] && l->io[i].error;
    assert_int_equal(l->errors, 0);
}

static struct duo_options options(void)
{
    struct duo_options o;

    duo_options_init(&o);
    o.disk_sectors = 64 * 2048;
    return o;
}

/* Load; every now and then `upset` does something; in the end all is in sync and equal.  `said` (may be
 * NULL): a line of the Primary's that proves that it was as wild as it should be. */
static void live(
    struct duo_options o, void (*upset)(struct load *l, unsigned nth), const char *said)
{
    struct duo *d = scenario_synced_with(&o);
    struct load l;

    load_init(&l, d, 100000);
    duo_log_clear(d, DUO_A);
    for (unsigned n = 0; n < ROUNDS; n++) {
        load_round(&l);
        if (upset && n % 150 == 100)
            upset(&l, n / 150);
    }
    load_end(&l);
    assert_true(duo_wait_in_sync(d, 300000));
    duo_run(d, 1000);
    if (said)
        assert_true(duo_logged(d, DUO_A, said));
    assert_int_equal(duo_status(d, DUO_A).oos_kib, 0);
    assert_int_equal(duo_status(d, DUO_B).oos_kib, 0);
    assert_true(duo_disks_equal(d));
    duo_free(d);
}

static void reconnect(struct load *l, unsigned nth)
{
    struct duo *d = l->d;
    assert_ok(duo_verb(d, nth % 2 ? DUO_B : DUO_A, REPL_ADM_DISCONNECT));
    duo_run(d, 50);
    assert_ok(duo_verb(d, nth % 2 ? DUO_B : DUO_A, REPL_ADM_CONNECT));
}

static void flap(struct load *l, unsigned nth)
{
    struct duo *d = l->d;
    /* Long enough to be noticed, or not. */
    duo_link(d, false);
    load_for(l, nth % 4 == 0 ? 500 : 3000);
    duo_link(d, true);
    assert_true(
        duo_wait_in_sync(d, 120000)); /* or the rest of the load is one long disconnection */
}

static void protocol_c_under_load(void **state)
{
    live(options(), NULL, NULL);
}

static void reconnects_under_load(void **state)
{
    live(options(), reconnect, "Resync done");
}

static void link_cuts_under_load(void **state)
{
    struct duo_options o = options();

    o.config.net.ping_int_s = 1;
    o.config.net.connect_int_s = 1;
    live(o, flap, "PingAck did not arrive in time.");
}

static void protocol_a_under_load(void **state)
{
    struct duo_options o = options();

    o.config.net.wire_protocol = DRBD_PROT_A;
    live(o, reconnect, "Resync done");
}

static void protocol_b_under_load(void **state)
{
    struct duo_options o = options();

    o.config.net.wire_protocol = DRBD_PROT_B;
    live(o, reconnect, "Resync done");
}

static void digests_under_load(void **state)
{
    struct duo_options o = options();

    strcpy(o.config.net.integrity_alg, "sha1");
    live(o, reconnect, "Resync done");
}

static void checksums_under_load(void **state)
{
    struct duo_options o = options();

    strcpy(o.config.net.csums_alg, "sha1");
    live(o, reconnect, "Resync done");
}

static void thin_resync_under_load(void **state)
{
    struct duo_options o = options();

    o.config.volume[0].disk.rs_discard_granularity_bytes = 65536;
    live(o, reconnect, "Resync done");
}

static void short_epochs_under_load(void **state)
{
    struct duo_options o = options();

    o.config.net.max_epoch_size = 1;
    live(o, reconnect, "Resync done");
}

static void without_activity_log_under_load(void **state)
{
    struct duo_options o = options();

    o.config.volume[0].disk.al_updates = false;
    live(o, reconnect, "Resync done");
}

static void fixed_rate_under_load(void **state)
{
    struct duo_options o = options();

    o.config.volume[0].disk.c_plan_ahead_ds = 0;
    o.config.net.max_buffers = 32;
    live(o, reconnect, "Resync done");
}

static void drain_only_under_load(void **state)
{
    struct duo_options o = options();

    o.config.volume[0].disk.disk_flushes = false;
    live(o, reconnect, "Resync done");
}

static void pause(struct load *l, unsigned nth)
{
    struct duo *d = l->d;
    assert_ok(duo_verb(d, DUO_B, REPL_ADM_DISCONNECT));
    for (uint64_t s = 0; s < 32 * 2048; s += 2048)
        assert_int_equal(duo_write(d, DUO_A, s, 512, nth), 0);
    assert_ok(duo_verb(d, DUO_B, REPL_ADM_CONNECT));
    if (!scenario_wait_conn(
            d, nth % 2 ? DUO_A : DUO_B, nth % 2 ? C_SYNC_SOURCE : C_SYNC_TARGET, 5000))
        return;
    assert_ok(duo_verb(d, nth % 2 ? DUO_A : DUO_B, REPL_ADM_PAUSE_SYNC));
    duo_run(d, 500);
    assert_ok(duo_verb(d, nth % 2 ? DUO_A : DUO_B, REPL_ADM_RESUME_SYNC));
}

static void pauses_under_load(void **state)
{
    live(options(), pause, "PausedSyncS");
}

static void verify(struct load *l, unsigned nth)
{
    struct duo *d = l->d;
    if (duo_in_sync(d))
        duo_verb(d, nth % 2 ? DUO_B : DUO_A, REPL_ADM_VERIFY);
}

static void verify_under_load(void **state)
{
    struct duo_options o = options();

    strcpy(o.config.net.verify_alg, "sha1");
    live(o, verify, "Online verify done");
}

static void suspend(struct load *l, unsigned nth)
{
    struct duo *d = l->d;
    assert_ok(duo_verb(d, DUO_A, REPL_ADM_SUSPEND_IO));
    duo_run(d, 100);
    if (nth % 2)
        reconnect(l, nth);
    assert_ok(duo_verb(d, DUO_A, REPL_ADM_RESUME_IO));
}

static void suspensions_under_load(void **state)
{
    live(options(), suspend, NULL);
}

static void detach_peer(struct load *l, unsigned nth)
{
    struct duo *d = l->d;
    struct repl_admin detach = {.verb = REPL_ADM_DETACH};

    if (!duo_in_sync(d))
        return;
    assert_ok(duo_admin(d, DUO_B, detach));
    duo_run(d, 100);
    duo_attach(d, DUO_B);
}

static void peer_detaches_under_load(void **state)
{
    live(options(), detach_peer, "pdsk( UpToDate -> Failed");
}

static void detach_own(struct load *l, unsigned nth)
{
    struct duo *d = l->d;
    struct repl_admin detach = {.verb = REPL_ADM_DETACH};

    if (!duo_in_sync(d))
        return;
    assert_ok(duo_admin(d, DUO_A, detach));
    duo_run(d, 100);
    duo_attach(d, DUO_A);
}

static void primary_detaches_under_load(void **state)
{
    live(options(), detach_own, "disk( UpToDate -> Failed");
}

static void peer_crashes(struct load *l, unsigned nth)
{
    struct duo *d = l->d;
    duo_crash(d, DUO_B);
    load_for(l, 3000);
    duo_up(d, DUO_B);
    assert_true(duo_wait_in_sync(d, 120000));
}

static void peer_dies_under_load(void **state)
{
    struct duo_options o = options();

    o.config.net.ping_int_s = 1;
    live(o, peer_crashes, "new current UUID");
}

static void checksum_resync_sends_only_what_differs(void **state)
{
    struct duo_options o = options();
    struct duo *d;

    strcpy(o.config.net.csums_alg, "sha1");
    d = scenario_synced_with(&o);
    assert_int_equal(duo_write(d, DUO_A, 0, 2048, 1), 0);
    assert_ok(duo_verb(d, DUO_B, REPL_ADM_DISCONNECT));
    assert_int_equal(duo_write(d, DUO_A, 0, 2048, 1), 0);
    assert_int_equal(duo_write(d, DUO_A, 4096, 64, 2), 0);
    duo_log_clear(d, DUO_B);
    assert_ok(duo_verb(d, DUO_B, REPL_ADM_CONNECT));
    assert_true(duo_wait_in_sync(d, 60000));
    assert_true(duo_logged(d, DUO_B, "had equal checksums, eliminated: 1024K; transferred 32K"));
    assert_true(duo_disks_equal(d));
    duo_free(d);
}

static void frozen_writes_are_sent_again(void **state)
{
    struct duo_options o = options();
    struct duo_io io;
    struct duo *d;

    o.config.volume[0].disk.fencing = REPL_FENCE_RESOURCE_AND_STONITH;
    o.config.net.ping_int_s = 1;
    o.config.net.connect_int_s = 1;
    d = scenario_synced_with(&o);
    duo_handler_exit(d, DUO_A, REPL_H_FENCE_PEER, 1); /* a broken handler: stays frozen */
    duo_link(d, false);
    duo_start(d, DUO_A, REPL_APP_WRITE, 0, 800, 8, 5, &io);
    duo_run(d, 5000);
    assert_false(io.done);
    assert_true(duo_status(d, DUO_A).state.susp_fen);
    duo_link(d, true);
    assert_true(duo_wait_in_sync(d, 30000));
    duo_run(d, 100);
    assert_true(io.done);
    assert_int_equal(io.error, 0);
    assert_int_equal(duo_disk_value(d, DUO_B, 800), 5);
    assert_int_equal(duo_status(d, DUO_A).oos_kib, 0);
    assert_true(duo_disks_equal(d));
    duo_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(protocol_c_under_load),
        cmocka_unit_test(reconnects_under_load),
        cmocka_unit_test(link_cuts_under_load),
        cmocka_unit_test(protocol_a_under_load),
        cmocka_unit_test(protocol_b_under_load),
        cmocka_unit_test(digests_under_load),
        cmocka_unit_test(checksums_under_load),
        cmocka_unit_test(thin_resync_under_load),
        cmocka_unit_test(short_epochs_under_load),
        cmocka_unit_test(without_activity_log_under_load),
        cmocka_unit_test(fixed_rate_under_load),
        cmocka_unit_test(drain_only_under_load),
        cmocka_unit_test(pauses_under_load),
        cmocka_unit_test(verify_under_load),
        cmocka_unit_test(suspensions_under_load),
        cmocka_unit_test(peer_detaches_under_load),
        cmocka_unit_test(primary_detaches_under_load),
        cmocka_unit_test(peer_dies_under_load),
        cmocka_unit_test(checksum_resync_sends_only_what_differs),
        cmocka_unit_test(frozen_writes_are_sent_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
