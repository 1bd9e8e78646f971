/* SPDX-License-Identifier: Apache-2.0 */
#include "md.h"

#include <string.h>

#include "hv_assert.h"
#include "hv_cursor.h"
#include "hv_endian.h"

#define MD_MAGIC_V06 0x83740269u
#define MD_MAGIC_V07 0x8374026au
#define MD_MAGIC_V09 0x8374026du

enum {
    MD_MAGIC_BYTES = 60, /* where the magic stands in the superblock */
    MD_AL_BLOCKS_MIN = 8,
    MD_AL_BLOCKS_MAX = 4 * 1024 * 1024, /* 16 GiB */
    MD_INDEXED_AL_SECTORS = 64,
    MD_DEVICE_SECTORS_MIN = 2048,  /* 1 MiB, or the kernel does not attach (disk §1) */
    MD_INDEX_MAX = 1024 * 1024,    /* 128 TiB of indexed metadata */
    MD_INTERNAL_SECTORS_MIN = 136, /* 68 KiB, or there is no room for data */
};

static uint64_t round_up(uint64_t value, uint64_t to)
{
    return (value + to - 1) / to * to;
}

uint32_t md_al_extents_max(uint64_t al_blocks)
{
    if (al_blocks > 72)
        return MD_AL_EXTENTS_MAX;
    return al_blocks > 1 ? (uint32_t)(al_blocks - 1) * 919 : 0;
}

int md_superblock_sector(const struct md_place *place, uint64_t *sector, struct hv_diag *diag)
{
    if (place->index < MD_INDEX_INTERNAL || place->index > MD_INDEX_MAX) {
        hv_diag_set(diag, "meta-disk index %d is out of range", place->index);
        return HV_EINVAL;
    }
    if (md_is_internal(place->index)) {
        if (place->md_sectors < MD_INTERNAL_SECTORS_MIN) {
            hv_diag_set(diag, "a device of %llu bytes is too small for internal meta data",
                (unsigned long long)place->md_sectors * MD_SECTOR_BYTES);
            return HV_EINVAL;
        }
        *sector = place->md_sectors / MD_BLOCK_SECTORS * MD_BLOCK_SECTORS - MD_BLOCK_SECTORS;
        return 0;
    }
    *sector = place->index < 0 ? 0 : (uint64_t)place->index * MD_INDEXED_SECTORS;
    uint64_t need = place->index < 0 ? MD_BLOCK_SECTORS : *sector + MD_INDEXED_SECTORS;
    if (place->md_sectors < need) {
        hv_diag_set(diag, "the meta data device has %llu sectors, index %d needs %llu",
            (unsigned long long)place->md_sectors, place->index, (unsigned long long)need);
        return HV_EINVAL;
    }
    return 0;
}

/* Offsets in the struct decide; the rest follows from them. */
static void layout_fill(struct md_layout *l, const struct md_place *place, uint64_t sb_sector,
    uint64_t al_sectors, uint64_t bm_sectors)
{
    bool internal = md_is_internal(place->index);

    l->sb_sector = sb_sector;
    l->al_sectors = al_sectors;
    l->bm_sectors = bm_sectors;
    l->al_sector = sb_sector + (uint64_t)(int64_t)l->al_offset_sectors;
    l->bm_sector = sb_sector + (uint64_t)(int64_t)l->bm_offset_sectors;
    uint64_t covered = bm_sectors * MD_RS_EXTENT_SECTORS;
    uint64_t usable = internal ? l->bm_sector : place->backing_sectors;
    if (usable > covered)
        usable = covered;
    l->usable_sectors = usable < MD_SECTORS_MAX ? usable : MD_SECTORS_MAX;
}

static int al_size_check(uint64_t stripes, uint64_t stripe_blocks, struct hv_diag *diag)
{
    uint64_t blocks = stripes * stripe_blocks;

    if (stripes && stripe_blocks && blocks >= MD_AL_BLOCKS_MIN && blocks <= MD_AL_BLOCKS_MAX)
        return 0;
    hv_diag_set(diag,
        "an activity log of %llu stripes of %llu KiB cannot be: in all at least 32 KiB and at "
        "most 16 GiB",
        (unsigned long long)stripes, (unsigned long long)stripe_blocks * 4);
    return HV_EINVAL;
}

static int layout_internal(
    const struct md_place *place, uint64_t sb_sector, uint64_t al_sectors, struct md_layout *l)
{
    uint64_t bm_sectors =
        round_up(round_up(place->backing_sectors, MD_RS_EXTENT_SECTORS) / MD_RS_EXTENT_SECTORS,
            MD_BLOCK_SECTORS);

    if (al_sectors + bm_sectors >= sb_sector || al_sectors + bm_sectors > INT32_MAX)
        return HV_EINVAL;
    l->al_offset_sectors = -(int32_t)al_sectors;
    l->bm_offset_sectors = -(int32_t)(al_sectors + bm_sectors);
    l->md_size_sectors = bm_sectors + al_sectors + MD_BLOCK_SECTORS;
    layout_fill(l, place, sb_sector, al_sectors, bm_sectors);
    return 0;
}

static int layout_external(
    const struct md_place *place, uint64_t sb_sector, uint64_t al_sectors, struct md_layout *l)
{
    uint64_t size = place->index < 0 ? place->md_sectors : MD_INDEXED_SECTORS;
    uint64_t bm_offset = MD_BLOCK_SECTORS + al_sectors;

    if (size < bm_offset + MD_BLOCK_SECTORS)
        return HV_EINVAL;
    if (size > UINT32_MAX) /* more than any bitmap needs; the field has 32 bits */
        size = UINT32_MAX / MD_BLOCK_SECTORS * MD_BLOCK_SECTORS;
    l->al_offset_sectors = MD_BLOCK_SECTORS;
    l->bm_offset_sectors = (int32_t)bm_offset;
    l->md_size_sectors = size;
    layout_fill(
        l, place, sb_sector, al_sectors, (size - bm_offset) / MD_BLOCK_SECTORS * MD_BLOCK_SECTORS);
    return 0;
}

int md_layout_compute(const struct md_place *place, uint32_t al_stripes, uint32_t al_stripe_blocks,
    struct md_layout *layout, struct hv_diag *diag)
{
    uint64_t sb_sector;
    int rc = md_superblock_sector(place, &sb_sector, diag);

    if (!rc)
        rc = al_size_check(al_stripes, al_stripe_blocks, diag);
    if (rc)
        return rc;
    uint64_t al_sectors = (uint64_t)al_stripes * al_stripe_blocks * MD_BLOCK_SECTORS;
    if (place->index >= 0 && (al_stripes != 1 || al_stripe_blocks != MD_AL_STRIPE_BLOCKS_DEFAULT)) {
        hv_diag_set(diag, "indexed meta data has an activity log of 1 stripe of 32 KiB only");
        return HV_EINVAL;
    }
    memset(layout, 0, sizeof *layout);
    rc = md_is_internal(place->index) ? layout_internal(place, sb_sector, al_sectors, layout)
                                      : layout_external(place, sb_sector, al_sectors, layout);
    if (rc)
        hv_diag_set(diag, "a device of %llu bytes is too small for the meta data",
            (unsigned long long)place->md_sectors * MD_SECTOR_BYTES);
    return rc;
}

void md_layout_stored(
    const struct md_superblock *sb, const struct md_place *place, struct md_layout *layout)
{
    uint64_t sb_sector, bm_sectors;
    struct hv_diag diag;
    int rc = md_superblock_sector(place, &sb_sector, &diag);

    hv_assert(rc == 0);
    memset(layout, 0, sizeof *layout);
    layout->al_offset_sectors = sb->al_offset_sectors;
    layout->bm_offset_sectors = sb->bm_offset_sectors;
    layout->md_size_sectors = sb->md_size_sectors;
    if (md_is_internal(place->index))
        bm_sectors = (uint64_t)((int64_t)sb->al_offset_sectors - sb->bm_offset_sectors);
    else
        bm_sectors = (uint64_t)((int64_t)sb->md_size_sectors - sb->bm_offset_sectors) /
                     MD_BLOCK_SECTORS * MD_BLOCK_SECTORS;
    layout_fill(layout, place, sb_sector,
        (uint64_t)sb->al_stripes * sb->al_stripe_blocks * MD_BLOCK_SECTORS, bm_sectors);
}

/* The kernel would not attach it, so we neither create nor accept it (disk §1). */
static bool device_too_small(const struct md_place *place, struct hv_diag *diag)
{
    if (place->md_sectors >= MD_DEVICE_SECTORS_MIN)
        return false;
    hv_diag_set(diag, "the device for the meta data has only %llu bytes; it needs at least 1 MiB",
        (unsigned long long)place->md_sectors * MD_SECTOR_BYTES);
    return true;
}

int md_create(struct md_superblock *sb, const struct md_place *place, uint32_t al_stripes,
    uint32_t al_stripe_blocks, uint64_t device_uuid, struct hv_diag *diag)
{
    struct md_layout l;
    int rc = device_too_small(place, diag)
                 ? HV_EINVAL
                 : md_layout_compute(place, al_stripes, al_stripe_blocks, &l, diag);

    if (rc)
        return rc;
    *sb = (struct md_superblock){
        .uuid = {[MD_UUID_CURRENT] = MD_UUID_JUST_CREATED},
        .device_uuid = device_uuid,
        .flags = MDF_AL_CLEAN,
        .magic = MD_MAGIC_CLEAN,
        .md_size_sectors = (uint32_t)l.md_size_sectors,
        .al_offset_sectors = l.al_offset_sectors,
        .al_extents = MD_AL_EXTENTS_CREATED,
        .bm_offset_sectors = l.bm_offset_sectors,
        .bm_bytes_per_bit = MD_BLOCK_BYTES,
        .al_stripes = al_stripes,
        .al_stripe_blocks = al_stripe_blocks,
    };
    return 0;
}

void md_encode(const struct md_superblock *sb, uint8_t bytes[MD_BLOCK_BYTES])
{
    struct hv_writer w;

    hv_writer_init(&w, bytes, MD_BLOCK_BYTES);
    hv_write_be64(&w, sb->la_size_sectors);
    for (int i = 0; i < MD_UUIDS; i++)
        hv_write_be64(&w, sb->uuid[i]);
    hv_write_be64(&w, sb->device_uuid);
    hv_write_be64(&w, 0);
    hv_write_be32(&w, sb->flags);
    hv_write_be32(&w, sb->magic);
    hv_write_be32(&w, sb->md_size_sectors);
    hv_write_be32(&w, (uint32_t)sb->al_offset_sectors);
    hv_write_be32(&w, sb->al_extents);
    hv_write_be32(&w, (uint32_t)sb->bm_offset_sectors);
    hv_write_be32(&w, sb->bm_bytes_per_bit);
    hv_write_be32(&w, sb->la_peer_max_bio_bytes);
    hv_write_be32(&w, sb->al_stripes);
    hv_write_be32(&w, sb->al_stripe_blocks);
    hv_write_zeros(&w, MD_BLOCK_BYTES - hv_writer_length(&w));
    hv_assert(!w.bad);
}

static const char *magic_name(uint32_t magic)
{
    switch (magic) {
    case MD_MAGIC_V06:
        return "there is meta data of DRBD 0.6 (v06): convert it with drbdmeta";
    case MD_MAGIC_V07:
        return "there is meta data of DRBD 0.7 (v07): convert it with drbdmeta";
    case MD_MAGIC_V09:
        return "there is meta data of DRBD 9 (v09): convert it with drbdmeta to v08";
    default:
        return "there is no valid meta data";
    }
}

int md_decode(const uint8_t bytes[MD_BLOCK_BYTES], struct md_superblock *sb, struct hv_diag *diag)
{
    struct hv_reader r;
    uint32_t magic = hv_load_be32(bytes + MD_MAGIC_BYTES);

    memset(sb, 0, sizeof *sb);
    if (magic != MD_MAGIC_CLEAN && magic != MD_MAGIC_UNCLEAN) {
        hv_diag_set(diag, "%s", magic_name(magic));
        return HV_EPROTO;
    }
    hv_reader_init(&r, bytes, MD_BLOCK_BYTES);
    sb->la_size_sectors = hv_read_be64(&r);
    for (int i = 0; i < MD_UUIDS; i++)
        sb->uuid[i] = hv_read_be64(&r);
    sb->device_uuid = hv_read_be64(&r);
    hv_read_be64(&r);
    sb->flags = hv_read_be32(&r);
    sb->magic = hv_read_be32(&r);
    sb->md_size_sectors = hv_read_be32(&r);
    sb->al_offset_sectors = (int32_t)hv_read_be32(&r);
    sb->al_extents = hv_read_be32(&r);
    sb->bm_offset_sectors = (int32_t)hv_read_be32(&r);
    sb->bm_bytes_per_bit = hv_read_be32(&r);
    sb->la_peer_max_bio_bytes = hv_read_be32(&r);
    sb->al_stripes = hv_read_be32(&r);
    sb->al_stripe_blocks = hv_read_be32(&r);
    if (!sb->al_stripes && !sb->al_stripe_blocks) { /* written before there were stripes */
        sb->al_stripes = MD_AL_STRIPES_DEFAULT;
        sb->al_stripe_blocks = MD_AL_STRIPE_BLOCKS_DEFAULT;
    }
    return 0;
}

bool md_is_clean(const struct md_superblock *sb)
{
    return sb->magic == MD_MAGIC_CLEAN && (sb->flags & MDF_AL_CLEAN);
}

static int refuse(struct hv_diag *diag, const char *what)
{
    hv_diag_set(diag, "the meta data is damaged: %s", what);
    return HV_EPROTO;
}

/* The offsets must describe exactly the log that the stripes describe, and what is left is bitmap. */
static int validate_offsets(
    const struct md_superblock *sb, const struct md_place *place, struct hv_diag *diag)
{
    int64_t al = sb->al_offset_sectors, bm = sb->bm_offset_sectors;
    int64_t al_sectors, bm_sectors;
    int64_t want_al = (int64_t)sb->al_stripes * sb->al_stripe_blocks * MD_BLOCK_SECTORS;

    if (md_is_internal(place->index)) {
        if (al >= 0)
            return refuse(diag, "internal, yet its activity log lies after the superblock");
        if (bm > al)
            return refuse(diag, "the bitmap overlaps the activity log");
        al_sectors = -al;
        bm_sectors = al - bm;
        if ((int64_t)sb->md_size_sectors != MD_BLOCK_SECTORS - bm)
            return refuse(diag, "its size is not that of its parts");
    } else {
        if (al != MD_BLOCK_SECTORS)
            return refuse(diag, "external, yet its activity log does not follow the superblock");
        if (bm < al + want_al)
            return refuse(diag, "the bitmap overlaps the activity log");
        al_sectors = bm - al;
        bm_sectors = (int64_t)sb->md_size_sectors - bm;
    }
    if (place->index >= 0 &&
        (sb->md_size_sectors != MD_INDEXED_SECTORS ||
            bm != MD_BLOCK_SECTORS + MD_INDEXED_AL_SECTORS || sb->al_stripes != 1 ||
            sb->al_stripe_blocks != MD_AL_STRIPE_BLOCKS_DEFAULT))
        return refuse(diag, "indexed, yet not of the one layout that indexed meta data has");
    if (al % MD_BLOCK_SECTORS || bm % MD_BLOCK_SECTORS)
        return refuse(diag, "its parts are not aligned to 4 KiB");
    if (al_sectors != want_al)
        return refuse(diag, "the activity log does not have the size that its stripes say");
    if (bm_sectors < 0)
        return refuse(diag, "there is no room for the bitmap");
    if (sb->la_size_sectors > MD_SECTORS_MAX ||
        (uint64_t)bm_sectors * MD_RS_EXTENT_SECTORS < sb->la_size_sectors)
        return refuse(diag, "the bitmap is too small for the last agreed size");
    return 0;
}

int md_validate(const struct md_superblock *sb, const struct md_place *place, struct hv_diag *diag)
{
    uint64_t sb_sector;
    int rc = md_superblock_sector(place, &sb_sector, diag);

    if (rc)
        return rc;
    if (sb->magic != MD_MAGIC_CLEAN && sb->magic != MD_MAGIC_UNCLEAN)
        return refuse(diag, "unknown magic");
    if (device_too_small(place, diag))
        return HV_EPROTO;
    if (sb->bm_bytes_per_bit != MD_BLOCK_BYTES)
        return refuse(diag, "one bit of its bitmap is not 4096 bytes");
    if (!sb->al_stripes != !sb->al_stripe_blocks)
        return refuse(diag, "only one of al-stripes and al-stripe-size is set");
    if (al_size_check(sb->al_stripes, sb->al_stripe_blocks, diag))
        return refuse(diag, "its activity log is smaller than 32 KiB or larger than 16 GiB");
    rc = validate_offsets(sb, place, diag);
    if (rc)
        return rc;
    if (md_is_internal(place->index) ? sb_sector < (uint64_t) - (int64_t)sb->bm_offset_sectors
                                     : place->md_sectors - sb_sector < sb->md_size_sectors)
        return refuse(diag, "it does not fit on the device");
    return 0;
}

int md_check_attach(
    const struct md_superblock *sb, const struct md_place *place, struct hv_diag *diag)
{
    int rc = md_validate(sb, place, diag);

    if (rc || md_is_clean(sb))
        return rc;
    hv_diag_set(
        diag, "the meta data is unclean: the activity log must be applied first (apply-al)");
    return HV_ESTATE;
}
