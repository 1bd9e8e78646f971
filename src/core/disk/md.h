/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MD_H
#define MD_H
/* Meta data "v08" of DRBD 8.4: where it lies (disk §1) and its superblock (disk §2).  Pure: bytes in,
 * structs out, and back.  Sectors are 512 bytes; a metadata block is 4096 bytes, 8 sectors. */
#include <stdbool.h>
#include <stdint.h>

#include "hv_error.h"

enum {
    MD_SECTOR_BYTES = 512,
    MD_BLOCK_BYTES = 4096,
    MD_BLOCK_SECTORS = 8,
    MD_AL_EXTENT_SECTORS = 8192, /* 4 MiB of data: one extent of the activity log */
    MD_AL_EXTENT_BITS = 1024,
    MD_RS_EXTENT_SECTORS = 32768, /* 16 MiB of data: one resync extent, one bitmap sector */
    MD_AL_STRIPES_DEFAULT = 1,
    MD_AL_STRIPE_BLOCKS_DEFAULT = 8,
    MD_AL_EXTENTS_DEFAULT = 1237,
    MD_AL_EXTENTS_MIN = 67,
    MD_AL_EXTENTS_MAX = 65534,
    MD_AL_EXTENTS_CREATED = 257, /* what create-md writes */
    MD_INDEXED_SECTORS = 262144, /* 128 MiB a slot of an indexed external device */
};

#define MD_MAGIC_CLEAN       0x8374026bu /* v08 */
#define MD_MAGIC_UNCLEAN     0x8374026cu /* 8.4, in use or crashed: replay the activity log first */
#define MD_UUID_JUST_CREATED UINT64_C(4)
/* 1 PiB.  The kernel's own cap (2^51 sectors, disk §1) lies beyond what it supports and beyond what the
 * 32-bit extent numbers of the activity log can name. */
#define MD_SECTORS_MAX (UINT64_C(1) << 41)

/* Superblock flags (disk §2.2). */
enum md_flag {
    MDF_CONSISTENT = 0x001,
    MDF_PRIMARY_IND = 0x002,
    MDF_CONNECTED_IND = 0x004,
    MDF_FULL_SYNC = 0x008,
    MDF_WAS_UP_TO_DATE = 0x010,
    MDF_PEER_OUT_DATED = 0x020,
    MDF_CRASHED_PRIMARY = 0x040,
    MDF_AL_CLEAN = 0x080,
    MDF_AL_DISABLED = 0x100,
};

enum md_uuid { MD_UUID_CURRENT, MD_UUID_BITMAP, MD_UUID_HISTORY_0, MD_UUID_HISTORY_1, MD_UUIDS };

/* meta-disk index; n >= 0 is DEV[n]. */
enum md_index {
    MD_INDEX_INTERNAL = -3,     /* meta-disk internal */
    MD_INDEX_EXTERNAL = -2,     /* meta-disk DEV: flexible */
    MD_INDEX_INTERNAL_OLD = -1, /* an old name for internal, laid out the same */
};

struct md_superblock {
    uint64_t la_size_sectors; /* last agreed size; 0: never */
    uint64_t uuid[MD_UUIDS];
    uint64_t device_uuid;
    uint32_t flags; /* MDF_* */
    uint32_t magic; /* MD_MAGIC_* */
    uint32_t md_size_sectors;
    int32_t al_offset_sectors; /* from the superblock */
    uint32_t al_extents;       /* size of the active set */
    int32_t bm_offset_sectors; /* from the superblock */
    uint32_t bm_bytes_per_bit;
    uint32_t la_peer_max_bio_bytes;
    uint32_t al_stripes;
    uint32_t al_stripe_blocks;
};

/* What the metadata lies on. */
struct md_place {
    int index;                /* enum md_index, or n >= 0 */
    uint64_t backing_sectors; /* the data device */
    uint64_t md_sectors;      /* the device with the metadata; internal: the same number */
};

/* Where everything is, in sectors from the start of the device that carries the metadata. */
struct md_layout {
    uint64_t sb_sector;
    uint64_t al_sector, al_sectors;
    uint64_t bm_sector, bm_sectors;
    uint64_t md_size_sectors;
    uint64_t usable_sectors; /* the most that can be replicated: d_size of P_SIZES (disk §1) */
    int32_t al_offset_sectors, bm_offset_sectors; /* from sb_sector, as the superblock has them */
};

static inline bool md_is_internal(int index)
{
    return index == MD_INDEX_INTERNAL || index == MD_INDEX_INTERNAL_OLD;
}

/* Sector of the superblock; HV_EINVAL when the device is too small to have one. */
HV_MUST_CHECK int md_superblock_sector(
    const struct md_place *place, uint64_t *sector, struct hv_diag *diag);

/* The layout that fresh metadata would get (disk §1), for an activity log of stripes × stripe_blocks
 * blocks of 4 KiB.  HV_EINVAL with a sentence when it does not fit. */
HV_MUST_CHECK int md_layout_compute(const struct md_place *place, uint32_t al_stripes,
    uint32_t al_stripe_blocks, struct md_layout *layout, struct hv_diag *diag);

/* The layout that the superblock names.  The superblock must have passed md_validate(). */
void md_layout_stored(
    const struct md_superblock *sb, const struct md_place *place, struct md_layout *layout);

/* Fresh metadata (disk §2.1): just created, clean, current uuid 4.  Layout as md_layout_compute(). */
HV_MUST_CHECK int md_create(struct md_superblock *sb, const struct md_place *place,
    uint32_t al_stripes, uint32_t al_stripe_blocks, uint64_t device_uuid, struct hv_diag *diag);

/* 4096 bytes.  Encoding writes what the struct says, bytes 96… are zero. */
void md_encode(const struct md_superblock *sb, uint8_t bytes[MD_BLOCK_BYTES]);
/* Reads any v08 or "unclean" superblock; HV_EPROTO with a sentence for another magic (the sentence
 * tells old and new formats from garbage).  Stripes 0/0 become the defaults.  Nothing else is judged. */
HV_MUST_CHECK int md_decode(
    const uint8_t bytes[MD_BLOCK_BYTES], struct md_superblock *sb, struct hv_diag *diag);

/* Every rule of disk §2.3 but clean: HV_EPROTO and a sentence for the first one broken. */
HV_MUST_CHECK int md_validate(
    const struct md_superblock *sb, const struct md_place *place, struct hv_diag *diag);
/* Both: what attach asks for.  HV_ESTATE when all is well but the activity log was not applied. */
HV_MUST_CHECK int md_check_attach(
    const struct md_superblock *sb, const struct md_place *place, struct hv_diag *diag);
bool md_is_clean(const struct md_superblock *sb); /* v08 magic and MDF_AL_CLEAN */

/* The largest active set a ring of so many blocks can describe (disk §3.1). */
uint32_t md_al_extents_max(uint64_t al_blocks);

#endif
