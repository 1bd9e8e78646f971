/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "actlog.h"
#include "bitmap.h"
#include "hv_endian.h"
#include "hv_prng.h"
#include "md_replay.h"

enum { EXTENT = MD_AL_EXTENT_SECTORS };

static struct actlog *actlog_of(uint32_t extents)
{
    struct actlog *al;

    assert_int_equal(actlog_new(&al, extents, 1, 8, 0), 0);
    return al;
}

static void journal_all(struct actlog *al)
{
    const struct actlog_block *b;

    while ((b = actlog_seal(al)))
        actlog_journaled(al, b);
}

/* The block that a kernel wrote (disk §3.3). */
static void first_transaction_is_the_kernels(void **state)
{
    struct actlog *al = actlog_of(1237);
    const struct actlog_block *wait, *b;

    assert_int_equal(actlog_begin(al, 100, 8, &wait), ACTLOG_JOURNAL);
    assert_false(wait->sealed);
    b = actlog_seal(al);
    assert_ptr_equal(b, wait);
    assert_true(b->sealed);
    assert_int_equal(b->tr_number, 0);
    assert_int_equal(b->ring_block, 0);
    assert_int_equal(b->evicted_count, 0);
    assert_int_equal(hv_load_be32(b->bytes + 8), 0x6bc1e3dc);
    assert_int_equal(hv_load_be16(b->bytes + 36), 1236);
    actlog_free(al);
}

static void known_extent_is_ready(void **state)
{
    struct actlog *al = actlog_of(67);
    const struct actlog_block *wait;

    assert_int_equal(actlog_begin(al, 0, 8, &wait), ACTLOG_JOURNAL);
    journal_all(al);
    assert_int_equal(actlog_begin(al, EXTENT - 8, 8, &wait), ACTLOG_READY);
    assert_null(wait);
    assert_true(actlog_extent_active(al, 0));
    assert_false(actlog_release(al, 0, 8));
    assert_true(actlog_release(al, EXTENT - 8, 8));
    assert_false(actlog_extent_active(al, 0));
    assert_true(actlog_extent_known(al, 0));
    assert_int_equal(actlog_begin(al, 0, 8, &wait), ACTLOG_READY);
    actlog_free(al);
}

static void requests_of_a_turn_share_a_block(void **state)
{
    struct actlog *al = actlog_of(1237);
    const struct actlog_block *a, *b, *c;

    assert_int_equal(actlog_begin(al, 0, 8, &a), ACTLOG_JOURNAL);
    assert_int_equal(actlog_begin(al, 5 * EXTENT - 8, 16, &b), ACTLOG_JOURNAL);
    assert_int_equal(actlog_begin(al, 8, 8, &c), ACTLOG_JOURNAL); /* the same extent as the first */
    assert_ptr_equal(a, b);
    assert_ptr_equal(a, c);
    assert_int_equal(actlog_seal(al)->updates, 3);
    actlog_free(al);
}

static void next_block_waits_for_the_one_under_way(void **state)
{
    struct actlog *al = actlog_of(1237);
    const struct actlog_block *first, *second, *third, *wait;

    actlog_begin(al, 0, 8, &first);
    assert_ptr_equal(actlog_seal(al), first);
    assert_int_equal(actlog_begin(al, EXTENT, 8, &second), ACTLOG_JOURNAL);
    assert_ptr_not_equal(first, second);
    assert_true(second->sequence > first->sequence);
    assert_null(actlog_seal(al));
    /* An extent that waits for the first block, and one that waits for the second. */
    assert_int_equal(actlog_begin(al, 0, 8, &wait), ACTLOG_JOURNAL);
    assert_ptr_equal(wait, first);
    assert_int_equal(actlog_begin(al, EXTENT - 8, 16, &wait), ACTLOG_JOURNAL);
    assert_ptr_equal(wait, second);
    actlog_journaled(al, first);
    assert_int_equal(actlog_begin(al, 0, 8, &wait), ACTLOG_READY);
    assert_ptr_equal(actlog_seal(al), second);
    assert_int_equal(second->tr_number, 1);
    actlog_begin(al, 2 * EXTENT, 8, &third);
    assert_ptr_equal(third, first); /* its memory is used again */
    actlog_free(al);
}

static void full_when_every_slot_is_pinned(void **state)
{
    struct actlog *al = actlog_of(67);
    const struct actlog_block *wait;

    for (uint64_t e = 0; e < 66; e++) {
        assert_int_equal(actlog_begin(al, e * EXTENT, 8, &wait), ACTLOG_JOURNAL);
        journal_all(al);
    }
    assert_int_equal(actlog_begin(al, 101 * EXTENT - 8, 16, &wait), ACTLOG_FULL);
    assert_false(actlog_extent_known(al, 100)); /* nothing was pinned */
    assert_int_equal(actlog_begin(al, 100 * EXTENT, 8, &wait), ACTLOG_JOURNAL);
    journal_all(al);
    assert_int_equal(actlog_begin(al, 200 * EXTENT, 8, &wait), ACTLOG_FULL);
    assert_true(actlog_release(al, 7 * EXTENT, 8));
    assert_int_equal(actlog_begin(al, 200 * EXTENT, 8, &wait), ACTLOG_JOURNAL);
    const struct actlog_block *b = actlog_seal(al);
    assert_int_equal(b->evicted_count, 1);
    assert_int_equal(b->evicted[0], 7);
    actlog_free(al);
}

static void full_when_the_block_is_full(void **state)
{
    struct actlog *al = actlog_of(1237);
    const struct actlog_block *wait;

    for (uint64_t e = 0; e < 64; e++)
        assert_int_equal(actlog_begin(al, e * EXTENT, 8, &wait), ACTLOG_JOURNAL);
    assert_int_equal(actlog_begin(al, 64 * EXTENT, 8, &wait), ACTLOG_FULL);
    assert_int_equal(actlog_begin(al, 63 * EXTENT, 8, &wait), ACTLOG_JOURNAL);
    const struct actlog_block *b = actlog_seal(al);
    assert_int_equal(b->updates, 64);
    assert_int_equal(actlog_begin(al, 64 * EXTENT, 8, &wait), ACTLOG_JOURNAL);
    assert_ptr_not_equal(wait, b);
    actlog_free(al);
}

static void longest_idle_is_given_away_first(void **state)
{
    struct actlog *al = actlog_of(67);
    const struct actlog_block *wait;

    for (uint64_t e = 0; e < 67; e++) {
        actlog_begin(al, e * EXTENT, 8, &wait);
        journal_all(al);
    }
    for (uint64_t e = 67; e-- > 0;)
        actlog_release(al, e * EXTENT, 8);
    actlog_begin(al, 66 * EXTENT, 8, &wait); /* used again: now the youngest */
    actlog_release(al, 66 * EXTENT, 8);
    actlog_begin(al, 1000 * EXTENT, 8, &wait);
    assert_int_equal(wait->evicted[0], 65);
    actlog_free(al);
}

static void a_request_never_evicts_its_own_extents(void **state)
{
    struct actlog *al = actlog_of(67);
    const struct actlog_block *wait;

    for (uint64_t e = 0; e < 67; e++) {
        actlog_begin(al, e * EXTENT, 8, &wait);
        journal_all(al);
    }
    actlog_release(al, 66 * EXTENT, 8);
    /* 66 is the only idle one, and the request itself needs it. */
    assert_int_equal(actlog_begin(al, 67 * EXTENT - 8, 16, &wait), ACTLOG_FULL);
    actlog_release(al, 3 * EXTENT, 8);
    assert_int_equal(actlog_begin(al, 67 * EXTENT - 8, 16, &wait), ACTLOG_JOURNAL);
    assert_int_equal(wait->evicted[0], 3);
    actlog_free(al);
}

static void given_up_before_durable(void **state)
{
    struct actlog *al = actlog_of(67);
    const struct actlog_block *wait;

    actlog_begin(al, 0, 8, &wait);
    assert_false(actlog_release(al, 0, 8)); /* not free before the disk knows */
    assert_false(actlog_is_idle(al));
    journal_all(al);
    assert_true(actlog_is_idle(al));
    assert_int_equal(actlog_begin(al, 0, 8, &wait), ACTLOG_READY);
    actlog_free(al);
}

static void suspended_pins_nothing(void **state)
{
    struct actlog *al = actlog_of(67);
    const struct actlog_block *wait;

    actlog_suspend(al);
    assert_int_equal(actlog_begin(al, 0, 8, &wait), ACTLOG_SUSPENDED);
    assert_true(actlog_is_idle(al));
    actlog_resume(al);
    assert_int_equal(actlog_begin(al, 0, 8, &wait), ACTLOG_JOURNAL);
    actlog_free(al);
}

static void without_updates_nothing_is_journaled_until_they_are_back(void **state)
{
    struct actlog *al = actlog_of(67);
    const struct actlog_block *wait;

    actlog_set_updates(al, false);
    assert_int_equal(actlog_begin(al, 0, 8, &wait), ACTLOG_READY);
    assert_null(actlog_seal(al));
    assert_true(actlog_extent_active(al, 0));
    actlog_set_updates(al, true);
    assert_int_equal(actlog_begin(al, 0, 8, &wait), ACTLOG_JOURNAL); /* the disk does not know it */
    actlog_free(al);
}

static void resync_extent_covers_four(void **state)
{
    struct actlog *al = actlog_of(67);
    const struct actlog_block *wait;

    actlog_begin(al, 7 * EXTENT, 8, &wait);
    assert_true(actlog_rs_extent_active(al, 1));
    assert_false(actlog_rs_extent_active(al, 0));
    assert_false(actlog_rs_extent_active(al, 2));
    actlog_free(al);
}

static void size_is_clamped_to_the_ring(void **state)
{
    struct actlog *al = actlog_of(1);

    assert_int_equal(actlog_extents(al), MD_AL_EXTENTS_MIN);
    actlog_free(al);
    al = actlog_of(65534);
    assert_int_equal(actlog_extents(al), 7 * 919);
    actlog_free(al);
}

/* ---- the model: a Primary that may crash at any point ----------------------------------------- */

enum { WORLD_EXTENTS = 400, REQUESTS_MAX = 96, STRIPES = 2, STRIPE_BLOCKS = 5 };

struct request {
    uint64_t sector;
    uint32_t sectors;
    uint64_t waits_for; /* sequence of a block; 0: its data may already be on the disk */
};

struct world {
    struct hv_prng prng;
    struct actlog *al;
    uint8_t ring[STRIPES * STRIPE_BLOCKS * MD_BLOCK_BYTES];
    const struct actlog_block *writing;
    struct request request[REQUESTS_MAX];
    uint32_t requests;
    bool out_of_sync[WORLD_EXTENTS]; /* in memory */
    bool on_disk[WORLD_EXTENTS];     /* that bit as the disk has it */
    struct md_replay replay;
};

static void world_begin(struct world *w)
{
    struct request *r = &w->request[w->requests];
    const struct actlog_block *wait;

    if (w->requests == REQUESTS_MAX)
        return;
    r->sectors = 1 + (uint32_t)hv_prng_below(&w->prng, 3 * EXTENT);
    r->sector = hv_prng_below(&w->prng, (uint64_t)WORLD_EXTENTS * EXTENT - r->sectors);
    enum actlog_verdict v = actlog_begin(w->al, r->sector, r->sectors, &wait);
    if (v == ACTLOG_FULL)
        return;
    assert_true(v == ACTLOG_READY || (v == ACTLOG_JOURNAL && wait));
    r->waits_for = wait ? wait->sequence : 0;
    w->requests++;
}

/* Bitmap pages of what leaves the log first, then the block. */
static void world_seal(struct world *w)
{
    if (w->writing || !(w->writing = actlog_seal(w->al)))
        return;
    for (uint32_t i = 0; i < w->writing->evicted_count; i++) {
        uint32_t e = w->writing->evicted[i];
        assert_false(actlog_extent_active(w->al, e) && !actlog_extent_known(w->al, e));
        w->on_disk[e] = w->out_of_sync[e];
    }
}

static void world_durable(struct world *w)
{
    if (!w->writing)
        return;
    memcpy(w->ring + (size_t)w->writing->ring_block * MD_BLOCK_BYTES, w->writing->bytes,
        MD_BLOCK_BYTES);
    for (uint32_t i = 0; i < w->requests; i++)
        if (w->request[i].waits_for <= w->writing->sequence)
            w->request[i].waits_for = 0;
    actlog_journaled(w->al, w->writing);
    w->writing = NULL;
}

/* A request ends; half of the time its peer is gone, so that its blocks are out of sync. */
static void world_finish(struct world *w)
{
    if (!w->requests)
        return;
    uint32_t i = (uint32_t)hv_prng_below(&w->prng, w->requests);
    struct request r = w->request[i];
    if (!r.waits_for && hv_prng_below(&w->prng, 2))
        for (uint64_t e = r.sector / EXTENT; e <= (r.sector + r.sectors - 1) / EXTENT; e++)
            w->out_of_sync[e] = true;
    actlog_release(w->al, r.sector, r.sectors);
    w->request[i] = w->request[--w->requests];
}

/* The block being written may be there, torn, or not at all. */
static void world_crash(struct world *w)
{
    static uint8_t ring[sizeof w->ring];
    bool named[WORLD_EXTENTS] = {false};
    struct hv_diag diag;

    memcpy(ring, w->ring, sizeof ring);
    if (w->writing) {
        size_t cuts[] = {0, 512, 2048, MD_BLOCK_BYTES};
        memcpy(ring + (size_t)w->writing->ring_block * MD_BLOCK_BYTES, w->writing->bytes,
            cuts[hv_prng_below(&w->prng, 4)]);
    }
    assert_int_equal(
        md_replay(ring, sizeof ring, STRIPES, STRIPE_BLOCKS, true, &w->replay, &diag), 0);
    assert_true(w->replay.corrupt <= 1);
    for (uint32_t i = 0; i < w->replay.count; i++)
        named[w->replay.extents[i]] = true;
    for (uint32_t i = 0; i < w->requests; i++) {
        const struct request *r = &w->request[i];
        for (uint64_t e = r->sector / EXTENT; e <= (r->sector + r->sectors - 1) / EXTENT; e++)
            assert_true(r->waits_for || named[e]);
    }
    for (uint32_t e = 0; e < WORLD_EXTENTS; e++)
        assert_true(!w->out_of_sync[e] || w->on_disk[e] || named[e]);
}

static void world_run(uint64_t seed)
{
    struct world *w = calloc(1, sizeof *w);

    hv_prng_seed(&w->prng, seed);
    uint32_t sizes[] = {67, 267, 2000}; /* the last needs three contexts to describe it */
    uint32_t slots = sizes[hv_prng_below(&w->prng, 3)];
    uint32_t number = (uint32_t)hv_prng_next(&w->prng);
    assert_int_equal(actlog_new(&w->al, slots, STRIPES, STRIPE_BLOCKS, number), 0);
    md_replay_ring_init(w->ring, sizeof w->ring);
    for (int i = 0; i < 600; i++) {
        switch (hv_prng_below(&w->prng, 8)) {
        case 0:
        case 1:
        case 2:
            world_begin(w);
            break;
        case 3:
            world_seal(w);
            break;
        case 4:
            world_durable(w);
            break;
        case 5:
        case 6:
            world_finish(w);
            break;
        default:
            if (i % 4 == 0)
                world_crash(w);
        }
    }
    actlog_free(w->al);
    free(w);
}

static void replay_covers_whatever_a_crash_leaves(void **state)
{
    for (uint64_t seed = 1; seed <= 60; seed++)
        world_run(seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_transaction_is_the_kernels),
        cmocka_unit_test(known_extent_is_ready),
        cmocka_unit_test(requests_of_a_turn_share_a_block),
        cmocka_unit_test(next_block_waits_for_the_one_under_way),
        cmocka_unit_test(full_when_every_slot_is_pinned),
        cmocka_unit_test(full_when_the_block_is_full),
        cmocka_unit_test(longest_idle_is_given_away_first),
        cmocka_unit_test(a_request_never_evicts_its_own_extents),
        cmocka_unit_test(given_up_before_durable),
        cmocka_unit_test(suspended_pins_nothing),
        cmocka_unit_test(without_updates_nothing_is_journaled_until_they_are_back),
        cmocka_unit_test(resync_extent_covers_four),
        cmocka_unit_test(size_is_clamped_to_the_ring),
        cmocka_unit_test(replay_covers_whatever_a_crash_leaves),
    };
    return cmocka_run_group_tests_name("actlog", tests, NULL, NULL);
}
