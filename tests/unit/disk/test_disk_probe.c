/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "hv_endian.h"
#include "md_probe.h"

static uint8_t start[MD_PROBE_BYTES];

static int reset(void **state)
{
    memset(start, 0, sizeof start);
    return 0;
}

static void put_le(size_t at, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++, value >>= 8)
        start[at + (size_t)i] = (uint8_t)value;
}

static void put(size_t at, const char *text)
{
    memcpy(start + at, text, strlen(text));
}

static void zeros_are_nothing(void **state)
{
    assert_null(md_probe(start, sizeof start).what);
    start[MD_PROBE_BYTES - 1] = 1;
    assert_string_equal(md_probe(start, sizeof start).what, "some data");
    assert_null(md_probe(start, 512).what);
}

static void ext_with_its_size(void **state)
{
    put_le(1024 + 4, 1000, 4);
    put_le(1024 + 24, 2, 4);
    put_le(1024 + 56, 0xef53, 2);
    struct md_probe p = md_probe(start, sizeof start);
    assert_string_equal(p.what, "ext2 filesystem");
    assert_true(p.fills_device && p.size_known && p.is_file_system);
    assert_int_equal(p.size_bytes, 1000 * 4096);
    put_le(1024 + 92, 4, 4);
    assert_string_equal(md_probe(start, sizeof start).what, "ext3 filesystem");
    put_le(1024 + 96, 0x40 | 0x80, 4);
    put_le(1024 + 336, 1, 4);
    p = md_probe(start, sizeof start);
    assert_string_equal(p.what, "ext4 filesystem");
    assert_int_equal(p.size_bytes, ((UINT64_C(1) << 32) + 1000) * 4096);
}

static void xfs_with_its_size(void **state)
{
    put(0, "XFSB");
    hv_store_be32(start + 4, 4096);
    hv_store_be64(start + 8, 500);
    struct md_probe p = md_probe(start, sizeof start);
    assert_string_equal(p.what, "xfs filesystem");
    assert_int_equal(p.size_bytes, 500 * 4096);
}

static void btrfs_with_its_size(void **state)
{
    put(65536 + 64, "_BHRfS_M");
    put_le(65536 + 112, 123456789, 8);
    struct md_probe p = md_probe(start, sizeof start);
    assert_string_equal(p.what, "btrfs filesystem");
    assert_int_equal(p.size_bytes, 123456789);
}

static void lvm_with_its_size(void **state)
{
    put(512, "LABELONE");
    put(512 + 24, "LVM2 001");
    struct md_probe p = md_probe(start, sizeof start);
    assert_string_equal(p.what, "LVM2 physical volume signature");
    assert_true(p.fills_device);
    assert_false(p.size_known || p.is_file_system);
    put_le(512 + 20, 32, 4);
    put_le(512 + 64, 1 << 30, 8);
    p = md_probe(start, sizeof start);
    assert_true(p.size_known);
    assert_int_equal(p.size_bytes, 1 << 30);
    put_le(512 + 20, 0xfffffff0, 4); /* points nowhere */
    assert_false(md_probe(start, sizeof start).size_known);
}

static void things_without_a_size(void **state)
{
    put(4096 - 10, "SWAPSPACE2");
    struct md_probe p = md_probe(start, sizeof start);
    assert_string_equal(p.what, "swap space signature");
    assert_true(p.fills_device && !p.size_known);
    reset(NULL);
    put(0, "LUKS\xba\xbe");
    assert_string_equal(md_probe(start, sizeof start).what, "LUKS encrypted volume");
}

static void partition_tables_are_named(void **state)
{
    start[510] = 0x55, start[511] = 0xaa;
    struct md_probe p = md_probe(start, sizeof start);
    assert_string_equal(p.what, "partition table or boot sector");
    assert_false(p.fills_device);
    put(512, "EFI PART");
    assert_string_equal(md_probe(start, sizeof start).what, "GPT partition table");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(zeros_are_nothing, reset),
        cmocka_unit_test_setup(ext_with_its_size, reset),
        cmocka_unit_test_setup(xfs_with_its_size, reset),
        cmocka_unit_test_setup(btrfs_with_its_size, reset),
        cmocka_unit_test_setup(lvm_with_its_size, reset),
        cmocka_unit_test_setup(things_without_a_size, reset),
        cmocka_unit_test_setup(partition_tables_are_named, reset),
    };
    return cmocka_run_group_tests_name("probe", tests, NULL, NULL);
}
