/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "hv_endian.h"
#include "hv_prng.h"
#include "md.h"

/* Written by a kernel (disk §2): a device of 33 591 296 bytes, internal, after a clean down. */
static const uint8_t sample[96] = {0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xff, 0xf8, 0xb4, 0x88, 0xcd,
    0x68, 0x7c, 0x41, 0x3b, 0xb4, 0, 0, 0, 0, 0, 0, 0, 0, 0xdb, 0x9b, 0x6b, 0x11, 0x03, 0xae, 0xff,
    0xdc, 0xdb, 0x9a, 0x6b, 0x11, 0x03, 0xae, 0xff, 0xdc, 0x1c, 0xb3, 0x45, 0xa5, 0x2f, 0x3e, 0xab,
    0xc8, 0, 0, 0, 0, 0, 0, 0, 0, 0x00, 0x00, 0x00, 0x11, 0x83, 0x74, 0x02, 0x6c, 0x00, 0x00, 0x00,
    0x50, 0xff, 0xff, 0xff, 0xc0, 0x00, 0x00, 0x04, 0xd5, 0xff, 0xff, 0xff, 0xb8, 0x00, 0x00, 0x10,
    0x00, 0x00, 0x10, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x08};

static const struct md_place sample_place = {MD_INDEX_INTERNAL, 65608, 65608};

static struct md_superblock sample_superblock(void)
{
    uint8_t bytes[MD_BLOCK_BYTES] = {0};
    struct md_superblock sb;
    struct hv_diag diag;

    memcpy(bytes, sample, sizeof sample);
    assert_int_equal(md_decode(bytes, &sb, &diag), 0);
    return sb;
}

static void sample_is_read(void **state)
{
    struct md_superblock sb = sample_superblock();

    assert_int_equal(sb.la_size_sectors, 65528);
    assert_int_equal(sb.uuid[MD_UUID_CURRENT], 0xb488cd687c413bb4);
    assert_int_equal(sb.uuid[MD_UUID_HISTORY_1], 0xdb9a6b1103aeffdc);
    assert_int_equal(sb.device_uuid, 0x1cb345a52f3eabc8);
    assert_int_equal(sb.flags, MDF_CONSISTENT | MDF_WAS_UP_TO_DATE);
    assert_int_equal(sb.magic, MD_MAGIC_UNCLEAN);
    assert_int_equal(sb.md_size_sectors, 80);
    assert_int_equal(sb.al_offset_sectors, -64);
    assert_int_equal(sb.al_extents, 1237);
    assert_int_equal(sb.bm_offset_sectors, -72);
    assert_int_equal(sb.la_peer_max_bio_bytes, 1048576);
    assert_int_equal(sb.al_stripes, 1);
    assert_int_equal(sb.al_stripe_blocks, 8);
}

static void sample_is_written_back_byte_for_byte(void **state)
{
    struct md_superblock sb = sample_superblock();
    uint8_t bytes[MD_BLOCK_BYTES], want[MD_BLOCK_BYTES] = {0};

    memcpy(want, sample, sizeof sample);
    memset(bytes, 0xaa, sizeof bytes);
    md_encode(&sb, bytes);
    assert_memory_equal(bytes, want, sizeof want);
}

static void sample_is_valid_but_unclean(void **state)
{
    struct md_superblock sb = sample_superblock();
    struct hv_diag diag;

    assert_int_equal(md_validate(&sb, &sample_place, &diag), 0);
    assert_int_equal(md_check_attach(&sb, &sample_place, &diag), HV_ESTATE);
    assert_non_null(strstr(diag.text, "apply-al"));
    sb.magic = MD_MAGIC_CLEAN;
    assert_int_equal(md_check_attach(&sb, &sample_place, &diag), HV_ESTATE);
    sb.flags |= MDF_AL_CLEAN;
    assert_int_equal(md_check_attach(&sb, &sample_place, &diag), 0);
}

static void layout_internal(void **state)
{
    struct md_layout l, stored;
    struct hv_diag diag;
    struct md_superblock sb = sample_superblock();

    assert_int_equal(md_layout_compute(&sample_place, 1, 8, &l, &diag), 0);
    assert_int_equal(l.sb_sector, 65600);
    assert_int_equal(l.al_offset_sectors, -64);
    assert_int_equal(l.bm_offset_sectors, -72);
    assert_int_equal(l.md_size_sectors, 80);
    assert_int_equal(l.al_sector, 65536);
    assert_int_equal(l.bm_sector, 65528);
    assert_int_equal(l.usable_sectors, 65528);
    md_layout_stored(&sb, &sample_place, &stored);
    assert_memory_equal(&l, &stored, sizeof l);
}

static void layout_external(void **state)
{
    struct md_layout l;
    struct hv_diag diag;
    struct md_place place = {MD_INDEX_EXTERNAL, UINT64_C(1) << 40, 4096};

    assert_int_equal(md_layout_compute(&place, 1, 8, &l, &diag), 0);
    assert_int_equal(l.sb_sector, 0);
    assert_int_equal(l.al_sector, 8);
    assert_int_equal(l.bm_sector, 72);
    assert_int_equal(l.md_size_sectors, 4096);
    assert_int_equal(l.usable_sectors, (4096 - 72) * UINT64_C(32768));
    place.backing_sectors = 1000001;
    assert_int_equal(md_layout_compute(&place, 1, 8, &l, &diag), 0);
    assert_int_equal(l.usable_sectors, 1000001);
    assert_int_equal(md_layout_compute(&place, 4, 16, &l, &diag), 0);
    assert_int_equal(l.bm_sector, 8 + 4 * 16 * 8);
}

static void layout_indexed(void **state)
{
    struct md_layout l;
    struct hv_diag diag;
    struct md_place place = {2, UINT64_C(1) << 40, 3 * 262144};

    assert_int_equal(md_layout_compute(&place, 1, 8, &l, &diag), 0);
    assert_int_equal(l.sb_sector, 524288);
    assert_int_equal(l.bm_sector, 524288 + 72);
    assert_int_equal(l.md_size_sectors, 262144);
    assert_int_equal(l.usable_sectors, (262144 - 64 - 8) * UINT64_C(32768));
    assert_int_equal(md_layout_compute(&place, 2, 8, &l, &diag), HV_EINVAL);
    place.index = 3;
    assert_int_equal(md_layout_compute(&place, 1, 8, &l, &diag), HV_EINVAL);
}

static void layout_refuses_what_does_not_fit(void **state)
{
    struct md_layout l;
    struct hv_diag diag;
    struct md_place tiny = {MD_INDEX_INTERNAL, 100, 100}, big = {MD_INDEX_INTERNAL, 4096, 4096};
    struct md_superblock sb;

    assert_int_equal(md_layout_compute(&tiny, 1, 8, &l, &diag), HV_EINVAL);
    assert_int_equal(md_layout_compute(&big, 1, 7, &l, &diag), HV_EINVAL);
    assert_int_equal(md_layout_compute(&big, 64, 8, &l, &diag), HV_EINVAL);
    assert_int_equal(md_layout_compute(&big, 0, 0, &l, &diag), HV_EINVAL);
    assert_int_equal(md_layout_compute(&big, UINT32_MAX, UINT32_MAX, &l, &diag), HV_EINVAL);
    tiny.backing_sectors = tiny.md_sectors = 2047;
    assert_int_equal(md_create(&sb, &tiny, 1, 8, 1, &diag), HV_EINVAL);
    assert_non_null(strstr(diag.text, "1 MiB"));
}

static void created_metadata_can_be_attached(void **state)
{
    static const struct md_place places[] = {{MD_INDEX_INTERNAL, 2097152, 2097152},
        {MD_INDEX_EXTERNAL, 2097152, 8192}, {0, 2097152, 262144}};

    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        struct md_superblock sb, again;
        struct hv_diag diag;
        uint8_t bytes[MD_BLOCK_BYTES];
        assert_int_equal(md_create(&sb, &places[i], 1, 8, 77, &diag), 0);
        assert_int_equal(md_check_attach(&sb, &places[i], &diag), 0);
        assert_int_equal(sb.uuid[MD_UUID_CURRENT], 4);
        assert_int_equal(sb.flags, MDF_AL_CLEAN);
        assert_int_equal(sb.al_extents, 257);
        md_encode(&sb, bytes);
        assert_int_equal(md_decode(bytes, &again, &diag), 0);
        assert_memory_equal(&sb, &again, sizeof sb);
    }
}

static void other_formats_are_named(void **state)
{
    static const struct {
        uint32_t magic;
        const char *says;
    } rows[] = {{0x83740269, "v06"}, {0x8374026a, "v07"}, {0x8374026d, "v09"}, {0, "no valid"},
        {0x6b027483, "no valid"}};

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint8_t bytes[MD_BLOCK_BYTES] = {0};
        struct md_superblock sb;
        struct hv_diag diag;
        hv_store_be32(bytes + 60, rows[i].magic);
        assert_int_equal(md_decode(bytes, &sb, &diag), HV_EPROTO);
        assert_non_null(strstr(diag.text, rows[i].says));
    }
}

static void no_stripes_mean_the_default(void **state)
{
    struct md_superblock sb = sample_superblock();
    struct hv_diag diag;
    uint8_t bytes[MD_BLOCK_BYTES];

    sb.al_stripes = sb.al_stripe_blocks = 0;
    md_encode(&sb, bytes);
    assert_int_equal(md_decode(bytes, &sb, &diag), 0);
    assert_int_equal(sb.al_stripes, 1);
    assert_int_equal(sb.al_stripe_blocks, 8);
}

/* Each row breaks one rule of disk §2.3; the sentence must be about that rule. */
static void every_rule_refuses(void **state)
{
    struct md_superblock good = sample_superblock();
    struct hv_diag diag;
    struct {
        struct md_superblock sb;
        const char *says;
    } rows[12];
    size_t n = 0;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        rows[i].sb = good;
    rows[n].sb.bm_bytes_per_bit = 8192, rows[n++].says = "4096 bytes";
    rows[n].sb.al_stripes = 0, rows[n++].says = "only one of";
    rows[n].sb.al_stripe_blocks = 4, rows[n++].says = "smaller than 32 KiB";
    rows[n].sb.al_stripe_blocks = 16, rows[n++].says = "stripes say";
    rows[n].sb.al_offset_sectors = 8, rows[n++].says = "after the superblock";
    rows[n].sb.bm_offset_sectors = -56, rows[n++].says = "overlaps";
    rows[n].sb.md_size_sectors = 88, rows[n++].says = "its parts";
    rows[n].sb.bm_offset_sectors = -73, rows[n].sb.md_size_sectors = 81;
    rows[n++].says = "aligned";
    rows[n].sb.la_size_sectors = 9 * 32768, rows[n++].says = "last agreed size";
    rows[n].sb.la_size_sectors = UINT64_MAX, rows[n++].says = "last agreed size";
    rows[n].sb.bm_offset_sectors = -65608, rows[n].sb.md_size_sectors = 65616;
    rows[n++].says = "does not fit";
    rows[n].sb.magic = 1, rows[n++].says = "magic";
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(md_validate(&rows[i].sb, &sample_place, &diag), HV_EPROTO);
        if (!strstr(diag.text, rows[i].says))
            fail_msg("row %zu: expected '%s' in '%s'", i, rows[i].says, diag.text);
    }
}

static void external_rules_refuse(void **state)
{
    struct md_place place = {MD_INDEX_EXTERNAL, 65536, 4096}, indexed = {0, 65536, 262144};
    struct md_superblock good, sb;
    struct hv_diag diag;

    assert_int_equal(md_create(&good, &place, 1, 8, 0, &diag), 0);
    sb = good, sb.al_offset_sectors = -64;
    assert_int_equal(md_validate(&sb, &place, &diag), HV_EPROTO);
    sb = good, sb.bm_offset_sectors = 64;
    assert_int_equal(md_validate(&sb, &place, &diag), HV_EPROTO);
    sb = good, sb.bm_offset_sectors = 80;
    assert_int_equal(md_validate(&sb, &place, &diag), HV_EPROTO);
    sb = good, sb.md_size_sectors = 4104;
    assert_int_equal(md_validate(&sb, &place, &diag), HV_EPROTO);
    sb = good, sb.md_size_sectors = 64;
    assert_int_equal(md_validate(&sb, &place, &diag), HV_EPROTO);
    assert_int_equal(md_validate(&good, &indexed, &diag), HV_EPROTO);
    assert_non_null(strstr(diag.text, "indexed"));
    place.md_sectors = 1024;
    assert_int_equal(md_validate(&good, &place, &diag), HV_EPROTO);
}

/* Whatever a disk holds: judged, or its layout lies within the device. */
static void random_superblocks_are_judged(void **state)
{
    struct hv_prng prng;
    uint32_t accepted = 0;

    hv_prng_seed(&prng, 2026);
    for (int i = 0; i < 200000; i++) {
        struct md_superblock sb = sample_superblock();
        struct md_layout l;
        struct hv_diag diag;
        uint8_t bytes[MD_BLOCK_BYTES];
        md_encode(&sb, bytes);
        for (uint64_t flips = 1 + hv_prng_below(&prng, 3); flips; flips--)
            bytes[56 + hv_prng_below(&prng, 40)] ^= (uint8_t)(1u << hv_prng_below(&prng, 8));
        if (md_decode(bytes, &sb, &diag) || md_validate(&sb, &sample_place, &diag))
            continue;
        accepted++;
        md_layout_stored(&sb, &sample_place, &l);
        assert_true(l.bm_sector + l.bm_sectors <= l.al_sector);
        assert_true(l.al_sector + l.al_sectors <= l.sb_sector);
        assert_true(l.bm_sectors * MD_RS_EXTENT_SECTORS >= sb.la_size_sectors);
        assert_true(l.usable_sectors <= l.bm_sector);
    }
    assert_true(accepted > 0);
}

static void active_set_limits(void **state)
{
    assert_int_equal(md_al_extents_max(8), 6433);
    assert_int_equal(md_al_extents_max(72), 71 * 919);
    assert_int_equal(md_al_extents_max(73), 65534);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sample_is_read),
        cmocka_unit_test(sample_is_written_back_byte_for_byte),
        cmocka_unit_test(sample_is_valid_but_unclean),
        cmocka_unit_test(layout_internal),
        cmocka_unit_test(layout_external),
        cmocka_unit_test(layout_indexed),
        cmocka_unit_test(layout_refuses_what_does_not_fit),
        cmocka_unit_test(created_metadata_can_be_attached),
        cmocka_unit_test(other_formats_are_named),
        cmocka_unit_test(no_stripes_mean_the_default),
        cmocka_unit_test(every_rule_refuses),
        cmocka_unit_test(external_rules_refuse),
        cmocka_unit_test(random_superblocks_are_judged),
        cmocka_unit_test(active_set_limits),
    };
    return cmocka_run_group_tests_name("md", tests, NULL, NULL);
}
