/* SPDX-License-Identifier: Apache-2.0 */
#include "md_replay.h"

#include <stdlib.h>
#include <string.h>

#include "hv_assert.h"
#include "hv_crc32c.h"
#include "hv_endian.h"

/* One transaction (disk §3.2): where its fields lie. */
enum {
    AT_TR_NUMBER = 4,
    AT_CRC = 8,
    AT_TYPE = 12,
    AT_UPDATES = 14,
    AT_CONTEXT_SIZE = 16,
    AT_CONTEXT_START = 18,
    AT_UPDATE_SLOT = 36,
    AT_UPDATE_EXTENT = 164,
    AT_CONTEXT = 420,
    TYPE_UPDATE = 0,
    TYPE_INITIALIZED = 0xffff,
    NO_SLOT = 0xffff,
};

/* DRBD 8.3: 512-byte sectors; magic, number, 62 pairs (slot, extent), XOR of the extents. */
enum { AT_PAIRS_83 = 8, PAIRS_83 = 62, AT_XOR_83 = AT_PAIRS_83 + PAIRS_83 * 8 };

uint32_t md_replay_ring_block(uint32_t tr_number, uint32_t stripes, uint32_t stripe_blocks)
{
    uint64_t blocks = (uint64_t)stripes * stripe_blocks, t = tr_number % blocks;

    return (uint32_t)(t % stripes * stripe_blocks + t / stripes);
}

void md_replay_block_init(uint8_t bytes[MD_BLOCK_BYTES])
{
    memset(bytes, 0, MD_BLOCK_BYTES);
    hv_store_be32(bytes, ACTLOG_MAGIC);
    hv_store_be16(bytes + AT_TYPE, TYPE_INITIALIZED);
    hv_store_be32(bytes + AT_CRC, hv_crc32c(0, bytes, MD_BLOCK_BYTES));
}

void md_replay_ring_init(uint8_t *ring, size_t ring_bytes)
{
    hv_assert(ring_bytes % MD_BLOCK_BYTES == 0);
    for (size_t at = 0; at < ring_bytes; at += MD_BLOCK_BYTES)
        md_replay_block_init(ring + at);
}

/* ---- reading one transaction ----------------------------------------------------------------- */

static bool block_valid(const uint8_t *b)
{
    static const uint8_t zero[4];

    if (hv_load_be32(b) != ACTLOG_MAGIC)
        return false;
    uint32_t crc = hv_crc32c(0, b, AT_CRC);
    crc = hv_crc32c(crc, zero, sizeof zero);
    crc = hv_crc32c(crc, b + AT_TYPE, MD_BLOCK_BYTES - AT_TYPE);
    if (crc != hv_load_be32(b + AT_CRC))
        return false;
    uint16_t type = hv_load_be16(b + AT_TYPE);
    return type == TYPE_INITIALIZED ||
           (type == TYPE_UPDATE && hv_load_be16(b + AT_UPDATES) <= ACTLOG_BLOCK_UPDATES_MAX);
}

static bool sector_valid_83(const uint8_t *s)
{
    uint32_t xor = 0;

    if (hv_load_be32(s) != ACTLOG_MAGIC_83)
        return false;
    for (int i = 0; i < PAIRS_83; i++)
        xor ^= hv_load_be32(s + AT_PAIRS_83 + i * 8 + 4);
    return xor == hv_load_be32(s + AT_XOR_83);
}

/* Context first (what was there before), then the updates on top of it (disk §3.5). */
static void block_apply(uint32_t *slots, const uint8_t *b)
{
    uint32_t size = hv_load_be16(b + AT_CONTEXT_SIZE), start = hv_load_be16(b + AT_CONTEXT_START);
    uint32_t updates = hv_load_be16(b + AT_UPDATES);

    for (uint32_t i = 0; i < ACTLOG_BLOCK_CONTEXT && start + i < MD_REPLAY_SLOTS; i++) {
        uint32_t extent = hv_load_be32(b + AT_CONTEXT + i * 4);
        if (extent != ACTLOG_NO_EXTENT || start + i < size)
            slots[start + i] = extent;
    }
    for (uint32_t i = 0; i < updates; i++) {
        uint16_t slot = hv_load_be16(b + AT_UPDATE_SLOT + i * 2);
        if (slot != NO_SLOT)
            slots[slot] = hv_load_be32(b + AT_UPDATE_EXTENT + i * 4);
    }
}

/* The first pair is the change, the others are context: so from the last to the first. */
static void sector_apply_83(uint32_t *slots, const uint8_t *s)
{
    for (int i = PAIRS_83 - 1; i >= 0; i--) {
        uint32_t slot = hv_load_be32(s + AT_PAIRS_83 + i * 8);
        uint32_t extent = hv_load_be32(s + AT_PAIRS_83 + i * 8 + 4);
        if (slot < MD_REPLAY_SLOTS && extent != ACTLOG_NO_EXTENT)
            slots[slot] = extent;
    }
}

/* ---- the ring -------------------------------------------------------------------------------- */

/* The two formats, as replay sees them. */
struct format {
    size_t unit_bytes;
    bool (*valid)(const uint8_t *unit);
    void (*apply)(uint32_t *slots, const uint8_t *unit);
};

static const struct format format_84 = {MD_BLOCK_BYTES, block_valid, block_apply};
static const struct format format_83 = {MD_SECTOR_BYTES, sector_valid_83, sector_apply_83};

static bool unit_is_update(const struct format *f, const uint8_t *unit)
{
    return f == &format_83 || hv_load_be16(unit + AT_TYPE) == TYPE_UPDATE;
}

/* Transactions carry numbers that wrap: "newer" is a positive signed difference. */
static void ring_scan(
    const struct format *f, const uint8_t *ring, size_t ring_bytes, struct md_replay *out)
{
    bool first = true;

    out->valid = out->transactions = 0;
    for (size_t at = 0; at < ring_bytes; at += f->unit_bytes) {
        const uint8_t *unit = ring + at;
        if (!f->valid(unit))
            continue;
        out->valid++;
        if (!unit_is_update(f, unit))
            continue;
        uint32_t number = hv_load_be32(unit + AT_TR_NUMBER);
        out->transactions++;
        if (first || (int32_t)(number - out->newest) > 0)
            out->newest = number;
        first = false;
    }
}

struct aged {
    uint32_t age; /* transactions before the newest */
    const uint8_t *unit;
};

static int older_first(const void *a, const void *b)
{
    const struct aged *x = a, *y = b;

    return (x->age < y->age) - (x->age > y->age);
}

static int ring_apply(const struct format *f, const uint8_t *ring, size_t ring_bytes,
    struct md_replay *out, uint32_t *slots)
{
    struct aged *aged = malloc((size_t)out->transactions * sizeof *aged + 1);
    uint32_t n = 0;

    if (!aged)
        return HV_ENOMEM;
    for (size_t at = 0; at < ring_bytes; at += f->unit_bytes)
        if (f->valid(ring + at) && unit_is_update(f, ring + at))
            aged[n++] =
                (struct aged){out->newest - hv_load_be32(ring + at + AT_TR_NUMBER), ring + at};
    qsort(aged, n, sizeof *aged, older_first);
    if (n)
        out->oldest = out->newest - aged[0].age;
    for (uint32_t i = 0; i < n; i++)
        f->apply(slots, aged[i].unit);
    free(aged);
    return 0;
}

static int by_extent(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

/* From slots, most of them empty, to extents in order, each once. */
static void collect(struct md_replay *out)
{
    uint32_t used = 0, n = 0;

    for (uint32_t i = 0; i < MD_REPLAY_SLOTS; i++)
        if (out->extents[i] != ACTLOG_NO_EXTENT)
            out->extents[used++] = out->extents[i];
    qsort(out->extents, used, sizeof out->extents[0], by_extent);
    for (uint32_t i = 0; i < used; i++)
        if (!n || out->extents[n - 1] != out->extents[i])
            out->extents[n++] = out->extents[i];
    out->count = n;
}

int md_replay(const uint8_t *ring, size_t ring_bytes, uint32_t stripes, uint32_t stripe_blocks,
    bool primary, struct md_replay *out, struct hv_diag *diag)
{
    const struct format *f = &format_84;

    memset(out, 0, sizeof *out);
    if (ring_bytes % MD_BLOCK_BYTES ||
        (uint64_t)stripes * stripe_blocks != ring_bytes / MD_BLOCK_BYTES) {
        hv_diag_set(diag, "the activity log does not have the size that its stripes say");
        return HV_EINVAL;
    }
    out->blocks = (uint32_t)(ring_bytes / MD_BLOCK_BYTES);
    ring_scan(f, ring, ring_bytes, out);
    out->corrupt = out->blocks - out->valid;
    if (!out->valid) {
        f = &format_83;
        ring_scan(f, ring, ring_bytes, out);
        out->format_83 = out->valid > 0;
    }
    if (!out->valid && primary) {
        hv_diag_set(diag,
            "no usable activity log found: its %u blocks are all damaged, and this node was "
            "Primary; which blocks differ from the peer is not known",
            out->blocks);
        return HV_EPROTO;
    }
    memset(out->extents, 0xff, sizeof out->extents);
    int rc = ring_apply(f, ring, ring_bytes, out, out->extents);
    if (rc) {
        hv_diag_set(diag, "out of memory");
        return rc;
    }
    collect(out);
    return 0;
}

uint64_t md_replay_apply(const struct md_replay *replay, struct bitmap *bm, uint32_t *beyond)
{
    uint64_t n = 0;

    *beyond = 0;
    for (uint32_t i = 0; i < replay->count; i++) {
        uint64_t first = (uint64_t)replay->extents[i] * MD_AL_EXTENT_BITS;
        if (first >= bm->bits)
            ++*beyond;
        else
            n += bitmap_set_bits(bm, first, first + MD_AL_EXTENT_BITS);
    }
    return n;
}
