/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "actlog.h"
#include "bitmap.h"
#include "hv_crc32c.h"
#include "hv_endian.h"
#include "md.h"
#include "md_replay.h"

/* The ends of the two images: bitmap, activity log, superblock (internal, 1 GiB device). */
enum {
    TAIL_BYTES = 69632,
    BM_BYTES = 32768,
    AL_BYTES = 32768,
    AL_AT = BM_BYTES,
    SB_AT = BM_BYTES + AL_BYTES
};

static const struct md_place place = {MD_INDEX_INTERNAL, 2097152, 2097152};

static uint8_t *fixture(const char *name)
{
    char path[512];
    uint8_t *bytes = malloc(TAIL_BYTES);

    snprintf(path, sizeof path, "%s/%s-tail.bin", FIXTURES, name);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    assert_int_equal(fread(bytes, 1, TAIL_BYTES, f), TAIL_BYTES);
    fclose(f);
    return bytes;
}

static struct md_replay *replay_of(const uint8_t *ring, bool primary, int want)
{
    struct md_replay *r = malloc(sizeof *r);
    struct hv_diag diag;

    assert_int_equal(md_replay(ring, AL_BYTES, 1, 8, primary, r, &diag), want);
    return r;
}

/* What drbdmeta apply-al made of the first image, we make of it: bitmap, ring and superblock. */
static void crashed_primary_becomes_what_drbdmeta_makes_of_it(void **state)
{
    uint8_t *image = fixture("crashed-primary"), *want = fixture("after-apply-al");
    struct md_superblock sb;
    struct hv_diag diag;
    struct bitmap bm;
    struct md_layout l;
    uint32_t beyond;

    assert_int_equal(md_decode(image + SB_AT, &sb, &diag), 0);
    assert_int_equal(md_check_attach(&sb, &place, &diag), HV_ESTATE);
    assert_true(sb.flags & MDF_PRIMARY_IND);
    md_layout_stored(&sb, &place, &l);
    assert_int_equal(l.bm_sector * 512, 1073672192);
    assert_int_equal(bitmap_init(&bm, sb.la_size_sectors), 0);
    for (uint32_t p = 0; p < bm.pages; p++)
        bitmap_page_read(&bm, p, image + p * BITMAP_PAGE_BYTES);
    struct md_replay *r = replay_of(image + AL_AT, true, 0);
    assert_int_equal(r->corrupt, 0);
    assert_int_equal(r->count, 64);
    assert_int_equal(md_replay_apply(r, &bm, &beyond), 65536);
    assert_int_equal(beyond, 0);
    for (uint32_t p = 0; p < bm.pages; p++)
        bitmap_page_write(&bm, p, image + p * BITMAP_PAGE_BYTES);
    md_replay_ring_init(image + AL_AT, AL_BYTES);
    sb.magic = MD_MAGIC_CLEAN;
    sb.flags |= MDF_AL_CLEAN;
    md_encode(&sb, image + SB_AT);
    assert_memory_equal(image, want, TAIL_BYTES);
    assert_int_equal(md_check_attach(&sb, &place, &diag), 0);
    free(r);
    free(image);
    free(want);
    bitmap_free(&bm);
}

/* A torn block costs at most what only it knew. */
static void one_torn_block_is_survived(void **state)
{
    for (int b = 0; b < 8; b++) {
        uint8_t *image = fixture("crashed-primary");
        image[AL_AT + b * MD_BLOCK_BYTES + 700] ^= 1;
        struct md_replay *r = replay_of(image + AL_AT, true, 0);
        assert_int_equal(r->corrupt, 1);
        assert_int_equal(r->transactions, 7);
        assert_true(r->count >= 63);
        free(r);
        free(image);
    }
}

static void unusable_log_is_an_error_for_a_primary_only(void **state)
{
    uint8_t ring[AL_BYTES];

    memset(ring, 0x5a, sizeof ring);
    struct md_replay *r = replay_of(ring, true, HV_EPROTO);
    free(r);
    r = replay_of(ring, false, 0);
    assert_int_equal(r->count, 0);
    assert_int_equal(r->corrupt, 8);
    free(r);
}

static void initialised_ring_holds_nothing(void **state)
{
    uint8_t ring[AL_BYTES];

    md_replay_ring_init(ring, sizeof ring);
    assert_int_equal(hv_load_be32(ring + 8), 0x709cc651);
    assert_int_equal(hv_load_be32(ring + 7 * MD_BLOCK_BYTES + 8), 0x709cc651);
    struct md_replay *r = replay_of(ring, true, 0);
    assert_int_equal(r->valid, 8);
    assert_int_equal(r->transactions, 0);
    assert_int_equal(r->count, 0);
    free(r);
}

static void seal(uint8_t *block)
{
    hv_store_be32(block + 8, 0);
    hv_store_be32(block + 8, hv_crc32c(0, block, MD_BLOCK_BYTES));
}

/* A transaction that puts one extent into one slot and knows nothing else. */
static void block_make(uint8_t *block, uint32_t number, uint16_t slot, uint32_t extent)
{
    memset(block, 0xff, MD_BLOCK_BYTES);
    memset(block, 0, 36);
    hv_store_be32(block, ACTLOG_MAGIC);
    hv_store_be32(block + 4, number);
    hv_store_be16(block + 14, 1);
    hv_store_be16(block + 36, slot);
    hv_store_be32(block + 164, extent);
    seal(block);
}

static void numbers_wrap_around(void **state)
{
    uint8_t ring[AL_BYTES];

    md_replay_ring_init(ring, sizeof ring);
    block_make(ring + 6 * MD_BLOCK_BYTES, 0xfffffffe, 1, 10);
    block_make(ring + 7 * MD_BLOCK_BYTES, 0xffffffff, 1, 11);
    block_make(ring, 0, 1, 12);
    block_make(ring + MD_BLOCK_BYTES, 1, 2, 13);
    struct md_replay *r = replay_of(ring, true, 0);
    assert_int_equal(r->oldest, 0xfffffffe);
    assert_int_equal(r->newest, 1);
    assert_int_equal(r->count, 2);
    assert_int_equal(r->extents[0], 12);
    assert_int_equal(r->extents[1], 13);
    free(r);
}

/* Fields at the edge of what 16 bits hold, with a good checksum. */
static void hostile_transactions_stay_in_bounds(void **state)
{
    uint8_t ring[AL_BYTES];

    md_replay_ring_init(ring, sizeof ring);
    block_make(ring, 5, 0xfffe, 0xfffffffe);
    hv_store_be16(ring + 16, 0xffff);
    hv_store_be16(ring + 18, 0xffff);
    hv_store_be32(ring + 420, 77);
    hv_store_be32(ring + 424, 78); /* its slot would be 65536 */
    seal(ring);
    block_make(ring + MD_BLOCK_BYTES, 6, 3, 9);
    hv_store_be16(ring + MD_BLOCK_BYTES + 14, 65); /* more updates than there is room for */
    seal(ring + MD_BLOCK_BYTES);
    struct md_replay *r = replay_of(ring, true, 0);
    struct bitmap bm;
    uint32_t beyond;
    assert_int_equal(r->corrupt, 1);
    assert_int_equal(r->count, 2);
    assert_int_equal(r->extents[0], 77);
    assert_int_equal(r->extents[1], 0xfffffffe);
    assert_int_equal(bitmap_init(&bm, 78 * MD_AL_EXTENT_SECTORS - 8), 0);
    assert_int_equal(md_replay_apply(r, &bm, &beyond), MD_AL_EXTENT_BITS - 1);
    assert_int_equal(beyond, 1);
    bitmap_free(&bm);
    free(r);
}

static void size_must_match_the_stripes(void **state)
{
    uint8_t ring[AL_BYTES] = {0};
    struct md_replay *r = malloc(sizeof *r);
    struct hv_diag diag;

    assert_int_equal(md_replay(ring, AL_BYTES, 2, 8, false, r, &diag), HV_EINVAL);
    assert_int_equal(md_replay(ring, AL_BYTES - 1, 1, 8, false, r, &diag), HV_EINVAL);
    free(r);
}

static void stripes_interleave(void **state)
{
    assert_int_equal(md_replay_ring_block(0, 4, 8), 0);
    assert_int_equal(md_replay_ring_block(1, 4, 8), 8);
    assert_int_equal(md_replay_ring_block(3, 4, 8), 24);
    assert_int_equal(md_replay_ring_block(4, 4, 8), 1);
    assert_int_equal(md_replay_ring_block(31, 4, 8), 31);
    assert_int_equal(md_replay_ring_block(32, 4, 8), 0);
    assert_int_equal(md_replay_ring_block(10, 1, 8), 2);
}

/* The log of DRBD 8.3: sectors with a change, its context, and an XOR. */
static void sector_make_83(uint8_t *s, uint32_t number, uint32_t slot, uint32_t extent)
{
    uint32_t xor = 0;

    hv_store_be32(s, ACTLOG_MAGIC_83);
    hv_store_be32(s + 4, number);
    for (uint32_t i = 0; i < 62; i++) {
        uint32_t e = i == 0 ? extent : i == 1 ? 500 : ACTLOG_NO_EXTENT;
        hv_store_be32(s + 8 + i * 8, i == 0 ? slot : i);
        hv_store_be32(s + 8 + i * 8 + 4, e);
        xor ^= e;
    }
    hv_store_be32(s + 504, xor);
}

static void ring_of_83_is_read(void **state)
{
    uint8_t ring[AL_BYTES] = {0};

    sector_make_83(ring, 1, 7, 100);
    sector_make_83(ring + 512, 2, 7, 101);
    sector_make_83(ring + 1024, 3, 1, 102); /* the change wins over its own context */
    struct md_replay *r = replay_of(ring, true, 0);
    assert_true(r->format_83);
    assert_int_equal(r->transactions, 3);
    assert_int_equal(r->count, 2);
    assert_int_equal(r->extents[0], 101);
    assert_int_equal(r->extents[1], 102);
    ring[520] ^= 1;
    free(r);
    r = replay_of(ring, true, 0);
    assert_int_equal(r->transactions, 3); /* the XOR covers extents, not slots */
    free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crashed_primary_becomes_what_drbdmeta_makes_of_it),
        cmocka_unit_test(one_torn_block_is_survived),
        cmocka_unit_test(unusable_log_is_an_error_for_a_primary_only),
        cmocka_unit_test(initialised_ring_holds_nothing),
        cmocka_unit_test(numbers_wrap_around),
        cmocka_unit_test(hostile_transactions_stay_in_bounds),
        cmocka_unit_test(size_must_match_the_stripes),
        cmocka_unit_test(stripes_interleave),
        cmocka_unit_test(ring_of_83_is_read),
    };
    return cmocka_run_group_tests_name("replay", tests, NULL, NULL);
}
