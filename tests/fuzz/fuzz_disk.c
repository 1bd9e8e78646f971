/* SPDX-License-Identifier: Apache-2.0 */
/* What a disk may hold: superblock, activity log, identifiers typed by hand, and signatures.
 * The first byte chooses; of the rest, missing bytes are zero. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "bitmap.h"
#include "gi.h"
#include "hv_assert.h"
#include "hv_crc32c.h"
#include "hv_endian.h"
#include "md.h"
#include "md_probe.h"
#include "md_replay.h"

enum { RING_BYTES = 8 * MD_BLOCK_BYTES, DEVICE_SECTORS = 1 << 21, SLICE_BYTES = 512 };

static void fuzz_superblock(const uint8_t *data, size_t size)
{
    static const struct md_place places[] = {{MD_INDEX_INTERNAL, DEVICE_SECTORS, DEVICE_SECTORS},
        {MD_INDEX_EXTERNAL, DEVICE_SECTORS, 4096}, {1, DEVICE_SECTORS, 2 * MD_INDEXED_SECTORS}};
    uint8_t block[MD_BLOCK_BYTES] = {0}, again[MD_BLOCK_BYTES];
    struct md_superblock sb, back;
    struct hv_diag diag;

    memcpy(block, data, size < sizeof block ? size : sizeof block);
    if (md_decode(block, &sb, &diag))
        return;
    md_encode(&sb, again);
    hv_assert(!md_decode(again, &back, &diag) && !memcmp(&sb, &back, sizeof sb));
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        struct md_layout l;
        if (md_validate(&sb, &places[i], &diag))
            continue;
        md_layout_stored(&sb, &places[i], &l);
        hv_assert(l.bm_sector + l.bm_sectors <= places[i].md_sectors);
        hv_assert(l.al_sector + l.al_sectors <= places[i].md_sectors);
        hv_assert(l.sb_sector + MD_BLOCK_SECTORS <= places[i].md_sectors);
    }
}

/* Slices of the input, spread over the ring; the checksums are made good, or nothing would get past
 * them. */
static void fuzz_ring(const uint8_t *data, size_t size, size_t unit)
{
    static uint8_t ring[RING_BYTES];
    static struct md_replay replay;
    struct bitmap bm;
    struct hv_diag diag;
    uint32_t beyond;

    md_replay_ring_init(ring, sizeof ring);
    if (unit == MD_SECTOR_BYTES)
        memset(ring, 0, sizeof ring);
    for (size_t at = 0, i = 0; at < size && i < RING_BYTES / unit; at += SLICE_BYTES, i++) {
        uint8_t *block = ring + i * unit;
        size_t n = size - at < SLICE_BYTES ? size - at : SLICE_BYTES;
        memset(block, 0xff, unit);
        memcpy(block, data + at, n);
        if (unit == MD_SECTOR_BYTES)
            continue;
        hv_store_be32(block, ACTLOG_MAGIC);
        hv_store_be32(block + 8, 0);
        hv_store_be32(block + 8, hv_crc32c(0, block, MD_BLOCK_BYTES));
    }
    if (md_replay(ring, sizeof ring, 2, 4, true, &replay, &diag) ||
        bitmap_init(&bm, DEVICE_SECTORS))
        return;
    hv_assert(replay.count <= MD_REPLAY_SLOTS && replay.valid <= RING_BYTES / MD_SECTOR_BYTES);
    md_replay_apply(&replay, &bm, &beyond);
    hv_assert(beyond <= replay.count && bm.weight <= bm.bits);
    bitmap_free(&bm);
}

static void fuzz_gi(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    struct gi gi = {{1, 2, 3, 4}, 0};
    struct hv_diag diag;

    if (!text)
        return;
    memcpy(text, data, size);
    text[size] = '\0';
    if (!gi_parse(text, &gi, &diag)) {
        struct hv_text printed = {0};
        struct gi again = {{0}, 0};
        gi_format_get(&printed, &gi);
        hv_assert(!gi_parse(printed.s, &again, &diag));
        hv_assert(!memcmp(gi.uuid, again.uuid, sizeof gi.uuid) && gi.flags == again.flags);
        hv_text_free(&printed);
    }
    free(text);
}

static void fuzz_probe(const uint8_t *data, size_t size)
{
    static uint8_t start[MD_PROBE_BYTES];
    static const size_t places[] = {0, 512, 1024, 4096 - 10, 4096, 32768, 65536};

    memset(start, 0, sizeof start);
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
        memcpy(start + places[i], data, size < SLICE_BYTES ? size : SLICE_BYTES);
    struct md_probe p = md_probe(start, sizeof start);
    hv_assert(p.what || !p.fills_device);
    md_probe(data, size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    switch (data[0] % 5) {
    case 0:
        fuzz_superblock(data + 1, size - 1);
        break;
    case 1:
        fuzz_ring(data + 1, size - 1, MD_BLOCK_BYTES);
        break;
    case 2:
        fuzz_ring(data + 1, size - 1, MD_SECTOR_BYTES);
        break;
    case 3:
        fuzz_gi(data + 1, size - 1);
        break;
    default:
        fuzz_probe(data + 1, size - 1);
    }
    return 0;
}
