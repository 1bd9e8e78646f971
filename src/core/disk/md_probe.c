/* SPDX-License-Identifier: Apache-2.0 */
#include "md_probe.h"

#include <string.h>

#include "hv_endian.h"

static uint16_t le16(const uint8_t *b)
{
    return (uint16_t)(b[0] | b[1] << 8);
}

static uint32_t le32(const uint8_t *b)
{
    return (uint32_t)le16(b) | (uint32_t)le16(b + 2) << 16;
}

static bool has(const uint8_t *bytes, size_t at, const char *magic)
{
    return !memcmp(bytes + at, magic, strlen(magic));
}

static bool file_system(struct md_probe *p, const char *what, uint64_t blocks, uint64_t block_bytes)
{
    *p = (struct md_probe){.what = what,
        .fills_device = true,
        .size_known = true,
        .is_file_system = true,
        .size_bytes = blocks * block_bytes};
    return true;
}

static bool probe_ext(const uint8_t *bytes, struct md_probe *p)
{
    enum { AT = 1024, COMPAT_JOURNAL = 0x4, INCOMPAT_EXTENTS = 0x40, INCOMPAT_64BIT = 0x80 };
    const uint8_t *sb = bytes + AT;

    if (le16(sb + 56) != 0xef53 || le32(sb + 24) > 6)
        return false;
    uint32_t incompat = le32(sb + 96);
    uint64_t blocks = le32(sb + 4);
    if (incompat & INCOMPAT_64BIT)
        blocks |= (uint64_t)le32(sb + 336) << 32;
    const char *what = incompat & INCOMPAT_EXTENTS      ? "ext4 filesystem"
                       : le32(sb + 92) & COMPAT_JOURNAL ? "ext3 filesystem"
                                                        : "ext2 filesystem";
    return file_system(p, what, blocks, UINT64_C(1024) << le32(sb + 24));
}

static bool probe_xfs(const uint8_t *bytes, struct md_probe *p)
{
    return has(bytes, 0, "XFSB") &&
           file_system(p, "xfs filesystem", hv_load_be64(bytes + 8), hv_load_be32(bytes + 4));
}

static bool probe_btrfs(const uint8_t *bytes, struct md_probe *p)
{
    enum { AT = 65536 };

    return has(bytes, AT + 64, "_BHRfS_M") &&
           file_system(p, "btrfs filesystem", hv_load_le64(bytes + AT + 112), 1);
}

static bool probe_reiser(const uint8_t *bytes, struct md_probe *p)
{
    enum { AT = 65536 };

    return (has(bytes, AT + 52, "ReIsErFs") || has(bytes, AT + 52, "ReIsEr2Fs")) &&
           file_system(p, "reiser filesystem", le32(bytes + AT), le16(bytes + AT + 44));
}

static bool probe_jfs(const uint8_t *bytes, struct md_probe *p)
{
    enum { AT = 32768 };

    return has(bytes, AT, "JFS1") &&
           file_system(p, "JFS filesystem", hv_load_le64(bytes + AT + 8), 512);
}

static bool probe_ntfs(const uint8_t *bytes, struct md_probe *p)
{
    return has(bytes, 3, "NTFS    ") &&
           file_system(p, "NTFS filesystem", hv_load_le64(bytes + 40), le16(bytes + 11));
}

/* The label may be in any of the first four sectors; the size stands after the volume's 32-byte id. */
static bool probe_lvm(const uint8_t *bytes, struct md_probe *p)
{
    for (size_t at = 0; at < 4 * 512; at += 512) {
        if (!has(bytes, at, "LABELONE") || !has(bytes, at + 24, "LVM2 001"))
            continue;
        uint32_t header = le32(bytes + at + 20);
        *p = (struct md_probe){.what = "LVM2 physical volume signature", .fills_device = true};
        if (header >= 32 && header <= 512 - 40) {
            p->size_bytes = hv_load_le64(bytes + at + header + 32);
            p->size_known = p->size_bytes > 0;
        }
        return true;
    }
    return false;
}

static bool probe_rest(const uint8_t *bytes, struct md_probe *p)
{
    if (has(bytes, 4096 - 10, "SWAPSPACE2") || has(bytes, 4096 - 10, "SWAP-SPACE"))
        *p = (struct md_probe){.what = "swap space signature", .fills_device = true};
    else if (has(bytes, 0, "LUKS\xba\xbe"))
        *p = (struct md_probe){.what = "LUKS encrypted volume", .fills_device = true};
    else if (has(bytes, 4096, "\xfc\x4e\x2b\xa9"))
        *p = (struct md_probe){.what = "Linux software RAID member", .fills_device = true};
    else if (has(bytes, 512, "EFI PART"))
        *p = (struct md_probe){.what = "GPT partition table"};
    else if (has(bytes, 510, "\x55\xaa"))
        *p = (struct md_probe){.what = "partition table or boot sector"};
    else
        return false;
    return true;
}

struct md_probe md_probe(const uint8_t *bytes, size_t length_bytes)
{
    static bool (*const probes[])(const uint8_t *, struct md_probe *) = {probe_ext, probe_xfs,
        probe_btrfs, probe_reiser, probe_jfs, probe_lvm, probe_ntfs, probe_rest};
    struct md_probe p = {0};

    if (length_bytes >= MD_PROBE_BYTES)
        for (size_t i = 0; i < sizeof probes / sizeof probes[0]; i++)
            if (probes[i](bytes, &p))
                return p;
    for (size_t i = 0; i < length_bytes && i < MD_PROBE_BYTES; i++)
        if (bytes[i]) {
            p.what = "some data";
            break;
        }
    return p;
}
