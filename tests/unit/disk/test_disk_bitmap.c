/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bitmap.h"
#include "hv_prng.h"

static struct bitmap bitmap_of(uint64_t sectors)
{
    struct bitmap bm;

    assert_int_equal(bitmap_init(&bm, sectors), 0);
    return bm;
}

/* Everything the bitmap keeps as it goes must equal what counting says. */
static void check_weights(const struct bitmap *bm)
{
    uint64_t all = 0;

    for (uint32_t e = 0; e < bm->extents; e++) {
        uint64_t n = 0;
        for (uint64_t b = (uint64_t)e * BITMAP_EXTENT_BITS;
             b < (uint64_t)(e + 1) * BITMAP_EXTENT_BITS; b++)
            n += bitmap_test_bit(bm, b);
        assert_int_equal(bitmap_extent_weight(bm, e), n);
        all += n;
    }
    assert_int_equal(bm->weight, all);
    assert_int_equal(bitmap_count_bits(bm, 0, UINT64_MAX), all);
}

static void set_covers_partial_blocks(void **state)
{
    struct bitmap bm = bitmap_of(8000);

    assert_int_equal(bitmap_set_sectors(&bm, 15, 2), 2);
    assert_true(bitmap_test_bit(&bm, 1));
    assert_true(bitmap_test_bit(&bm, 2));
    assert_int_equal(bm.weight, 2);
    assert_int_equal(bitmap_count_sectors(&bm, 8, 1), 1);
    assert_int_equal(bitmap_count_sectors(&bm, 0, 8), 0);
    bitmap_free(&bm);
}

static void clear_covers_whole_blocks_only(void **state)
{
    struct bitmap bm = bitmap_of(8000);

    bitmap_set_all(&bm);
    assert_int_equal(bitmap_clear_sectors(&bm, 7, 10), 1); /* blocks 0 and 2 are touched only */
    assert_false(bitmap_test_bit(&bm, 1));
    assert_int_equal(bitmap_clear_sectors(&bm, 1, 6), 0);
    bitmap_free(&bm);
}

static void short_last_block_is_cleared_to_the_end(void **state)
{
    struct bitmap bm = bitmap_of(8003);

    assert_int_equal(bm.bits, 1001);
    bitmap_set_all(&bm);
    assert_int_equal(bitmap_clear_sectors(&bm, 8000, 2), 0);
    assert_int_equal(bitmap_clear_sectors(&bm, 8000, 3), 1);
    assert_int_equal(bitmap_set_sectors(&bm, 8002, 1), 1);
    assert_int_equal(bitmap_clear_sectors(&bm, 8001, 100), 0);
    bitmap_free(&bm);
}

static void ranges_beyond_the_end_are_cut(void **state)
{
    struct bitmap bm = bitmap_of(800);

    assert_int_equal(bitmap_set_sectors(&bm, 792, UINT64_MAX), 1);
    assert_int_equal(bitmap_set_sectors(&bm, 800, 8), 0);
    assert_int_equal(bitmap_set_bits(&bm, 50, UINT64_MAX), 49);
    assert_int_equal(bitmap_clear_bits(&bm, 0, UINT64_MAX), 50);
    assert_int_equal(bitmap_next_set(&bm, 0), BITMAP_NONE);
    assert_int_equal(bitmap_next_set(&bm, UINT64_MAX), BITMAP_NONE);
    bitmap_free(&bm);
}

static void empty_device(void **state)
{
    struct bitmap bm = bitmap_of(0);

    bitmap_set_all(&bm);
    assert_int_equal(bm.weight, 0);
    assert_int_equal(bitmap_next_set(&bm, 0), BITMAP_NONE);
    assert_int_equal(bitmap_next_dirty(&bm, 0), UINT32_MAX);
    assert_int_equal(bitmap_resize(&bm, 80, true), 0);
    assert_int_equal(bm.weight, 10);
    bitmap_free(&bm);
}

static void pages_round_trip_and_mask_the_tail(void **state)
{
    struct bitmap bm = bitmap_of(BITMAP_PAGE_BITS * 8 + 24); /* three bits on a second page */
    uint8_t page[BITMAP_PAGE_BYTES];

    assert_int_equal(bm.pages, 2);
    memset(page, 0xff, sizeof page);
    bitmap_page_read(&bm, 1, page);
    assert_int_equal(bm.weight, 3);
    assert_false(bitmap_page_is_dirty(&bm, 1));
    bitmap_page_write(&bm, 1, page);
    assert_int_equal(page[0], 7);
    assert_int_equal(page[1], 0);
    memset(page, 0, sizeof page);
    page[2] = 0x10; /* least significant bit first: bit 20 */
    bitmap_page_read(&bm, 0, page);
    assert_true(bitmap_test_bit(&bm, 20));
    bitmap_page_read(&bm, 0, page);
    assert_int_equal(bm.weight, 4);
    check_weights(&bm);
    bitmap_free(&bm);
}

static void only_changes_make_a_page_dirty(void **state)
{
    struct bitmap bm = bitmap_of(UINT64_C(8) * BITMAP_PAGE_BITS * 200);

    assert_int_equal(bitmap_next_dirty(&bm, 0), UINT32_MAX);
    bitmap_set_bits(&bm, 150 * BITMAP_PAGE_BITS, 150 * BITMAP_PAGE_BITS + 1);
    bitmap_set_bits(&bm, 3 * BITMAP_PAGE_BITS - 1, 3 * BITMAP_PAGE_BITS + 1);
    assert_int_equal(bm.dirty_pages, 3);
    assert_int_equal(bitmap_next_dirty(&bm, 0), 2);
    assert_int_equal(bitmap_next_dirty(&bm, 4), 150);
    for (uint32_t p = bitmap_next_dirty(&bm, 0); p != UINT32_MAX; p = bitmap_next_dirty(&bm, p))
        bitmap_page_clean(&bm, p);
    assert_int_equal(bm.dirty_pages, 0);
    bitmap_set_bits(&bm, 3 * BITMAP_PAGE_BITS - 1, 3 * BITMAP_PAGE_BITS + 1);
    assert_int_equal(bm.dirty_pages, 0);
    bitmap_clear_bits(&bm, 0, bm.bits);
    assert_int_equal(bm.dirty_pages, 3);
    assert_int_equal(bitmap_page_of_al_extent(&bm, 150 * 32 + 31), 150);
    assert_int_equal(bitmap_page_of_al_extent(&bm, 200 * 32), UINT32_MAX);
    bitmap_free(&bm);
}

static void wire_words_are_ored_in(void **state)
{
    struct bitmap bm = bitmap_of(8 * 130), peer = bitmap_of(8 * 130);
    uint8_t bytes[4 * 8];

    bitmap_set_bits(&bm, 0, 10);
    bitmap_set_bits(&peer, 5, 70);
    bitmap_words_write(&peer, 0, 4, bytes);
    assert_int_equal(bytes[8], 0x3f);
    assert_int_equal(bytes[24], 0);
    assert_int_equal(bitmap_words_merge(&bm, 0, 4, bytes), 60);
    assert_int_equal(bm.weight, 70);
    memset(bytes, 0xff, sizeof bytes);
    assert_int_equal(bitmap_words_merge(&bm, 2, 2, bytes), 2);
    assert_int_equal(bitmap_words_merge(&bm, UINT64_C(1) << 60, 2, bytes), 0);
    check_weights(&bm);
    bitmap_free(&bm);
    bitmap_free(&peer);
}

static void runs_cover_the_bitmap(void **state)
{
    struct bitmap bm = bitmap_of(8 * 100000);
    uint64_t set_bits = 0, at = 0;
    bool set, before = true;

    bitmap_set_bits(&bm, 64, 128);
    bitmap_set_bits(&bm, 4096, 90000);
    for (int runs = 0; at < bm.bits; runs++) {
        uint64_t end = bitmap_run_end(&bm, at, &set);
        assert_true(runs == 0 || set != before);
        before = set;
        set_bits += set ? end - at : 0;
        at = end;
    }
    assert_int_equal(at, bm.bits);
    assert_int_equal(set_bits, bm.weight);
    bitmap_free(&bm);
}

static void resize_keeps_sets_and_forgets(void **state)
{
    struct bitmap bm = bitmap_of(8 * 70000);

    bitmap_set_bits(&bm, 69990, 70000);
    bitmap_set_bits(&bm, 1, 2);
    for (uint32_t p = 0; p < bm.pages; p++)
        bitmap_page_clean(&bm, p);
    assert_int_equal(bitmap_resize(&bm, 8 * 70010, true), 0);
    assert_int_equal(bm.weight, 21);
    assert_false(bitmap_page_is_dirty(&bm, 0));
    assert_true(bitmap_page_is_dirty(&bm, 2));
    assert_int_equal(bitmap_resize(&bm, 8 * 69995, false), 0);
    assert_int_equal(bm.weight, 6);
    check_weights(&bm);
    assert_int_equal(bitmap_resize(&bm, 8 * 70000, false), 0);
    assert_int_equal(bm.weight, 6);
    assert_int_equal(bitmap_resize(&bm, UINT64_MAX, false), HV_EINVAL);
    assert_int_equal(bm.bits, 70000);
    bitmap_free(&bm);
}

/* Against an array of bytes, one a bit. */
static void random_operations_match_a_plain_array(void **state)
{
    enum { BITS = 3 * BITMAP_PAGE_BITS + 777 };
    struct bitmap bm = bitmap_of(BITS * UINT64_C(8) - 5);
    uint8_t *model = calloc(BITS, 1);
    struct hv_prng prng;

    hv_prng_seed(&prng, 42);
    for (int i = 0; i < 4000; i++) {
        uint64_t a = hv_prng_below(&prng, BITS), b = a + hv_prng_below(&prng, 200 + i), n = 0;
        bool set = hv_prng_below(&prng, 2);
        b = b > BITS ? BITS : b;
        for (uint64_t k = a; k < b; k++) {
            n += model[k] != set;
            model[k] = set;
        }
        assert_int_equal(set ? bitmap_set_bits(&bm, a, b) : bitmap_clear_bits(&bm, a, b), n);
        uint64_t from = hv_prng_below(&prng, BITS), s = from, c = from;
        while (s < BITS && !model[s])
            s++;
        while (c < BITS && model[c])
            c++;
        assert_int_equal(bitmap_next_set(&bm, from), s < BITS ? s : BITMAP_NONE);
        assert_int_equal(bitmap_next_clear(&bm, from), c < BITS ? c : BITMAP_NONE);
    }
    check_weights(&bm);
    for (uint64_t k = 0; k < BITS; k++)
        assert_int_equal(bitmap_test_bit(&bm, k), model[k]);
    free(model);
    bitmap_free(&bm);
}

/* 16 TiB: 512 MiB of bits, of which only those touched cost memory. */
static void sixteen_tebibytes(void **state)
{
    struct bitmap bm = bitmap_of(UINT64_C(1) << 35);

    assert_int_equal(bm.bits, UINT64_C(1) << 32);
    assert_int_equal(bitmap_set_sectors(&bm, (UINT64_C(1) << 35) - 1, 1), 1);
    assert_int_equal(bitmap_next_set(&bm, 0), (UINT64_C(1) << 32) - 1);
    bitmap_clear_all(&bm);
    assert_int_equal(bm.weight, 0);
    assert_int_equal(bm.dirty_pages, bm.pages);
    bitmap_free(&bm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(set_covers_partial_blocks),
        cmocka_unit_test(clear_covers_whole_blocks_only),
        cmocka_unit_test(short_last_block_is_cleared_to_the_end),
        cmocka_unit_test(ranges_beyond_the_end_are_cut),
        cmocka_unit_test(empty_device),
        cmocka_unit_test(pages_round_trip_and_mask_the_tail),
        cmocka_unit_test(only_changes_make_a_page_dirty),
        cmocka_unit_test(wire_words_are_ored_in),
        cmocka_unit_test(runs_cover_the_bitmap),
        cmocka_unit_test(resize_keeps_sets_and_forgets),
        cmocka_unit_test(random_operations_match_a_plain_array),
        cmocka_unit_test(sixteen_tebibytes),
    };
    return cmocka_run_group_tests_name("bitmap", tests, NULL, NULL);
}
