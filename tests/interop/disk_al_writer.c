/* SPDX-License-Identifier: Apache-2.0 */
/* Leaves on a file what a Primary leaves that dies in the middle of its work: superblock as in use, a
 * bitmap with some bits, and an activity log written by src/core/disk/actlog.  For test_drbdmeta.sh.
 *
 *   disk_al_writer FILE SEED ACTIVE_SET LA_SECTORS [83|torn|secondary]
 *
 * FILE has internal metadata (create-md of whoever). */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "actlog.h"
#include "hv_endian.h"
#include "hv_prng.h"
#include "md.h"

enum { REQUESTS_MAX = 64, STEPS = 1500, PAIRS_83 = 62 };

struct image {
    int fd;
    struct md_place place;
    struct md_superblock sb;
    struct md_layout layout;
    struct hv_prng prng;
};

static void die(const char *what)
{
    fprintf(stderr, "disk_al_writer: %s\n", what);
    exit(2);
}

static void put(const struct image *m, uint64_t sector, const void *bytes, size_t n)
{
    if (pwrite(m->fd, bytes, n, (off_t)(sector * MD_SECTOR_BYTES)) != (ssize_t)n)
        die("cannot write");
}

static void image_open(struct image *m, const char *path)
{
    uint8_t block[MD_BLOCK_BYTES];
    struct hv_diag diag;
    struct stat st;
    uint64_t at;

    m->fd = open(path, O_RDWR);
    if (m->fd < 0 || fstat(m->fd, &st))
        die("cannot open the file");
    uint64_t sectors = (uint64_t)st.st_size / MD_SECTOR_BYTES;
    m->place = (struct md_place){MD_INDEX_INTERNAL, sectors, sectors};
    if (md_superblock_sector(&m->place, &at, &diag) ||
        pread(m->fd, block, sizeof block, (off_t)(at * MD_SECTOR_BYTES)) != sizeof block ||
        md_decode(block, &m->sb, &diag) || md_check_attach(&m->sb, &m->place, &diag))
        die("no clean metadata");
    md_layout_stored(&m->sb, &m->place, &m->layout);
}

static void mark_in_use(
    struct image *m, uint64_t la_sectors, uint32_t extents, bool primary, uint32_t magic)
{
    uint8_t block[MD_BLOCK_BYTES];

    m->sb.la_size_sectors = la_sectors;
    m->sb.al_extents = extents;
    m->sb.magic = magic;
    m->sb.flags = MDF_CONSISTENT | MDF_WAS_UP_TO_DATE | (primary ? MDF_PRIMARY_IND : 0);
    m->sb.uuid[MD_UUID_CURRENT] = hv_prng_next(&m->prng);
    md_encode(&m->sb, block);
    put(m, m->layout.sb_sector, block, sizeof block);
    for (int i = 0; i < 20; i++) {
        uint8_t byte = (uint8_t)hv_prng_next(&m->prng);
        uint64_t at =
            m->layout.bm_sector * MD_SECTOR_BYTES + hv_prng_below(&m->prng, la_sectors / 64);
        if (pwrite(m->fd, &byte, 1, (off_t)at) != 1)
            die("cannot write");
    }
}

static void write_log(struct image *m, uint32_t extents, bool torn)
{
    struct request {
        uint64_t sector;
        uint32_t sectors;
    } held[REQUESTS_MAX];
    uint32_t n = 0;
    struct actlog *al;
    const struct actlog_block *b;

    if (actlog_new(&al, extents, m->sb.al_stripes, m->sb.al_stripe_blocks,
            (uint32_t)hv_prng_next(&m->prng)))
        die("out of memory");
    for (int step = 0; step < STEPS; step++) {
        bool begin = n < REQUESTS_MAX && hv_prng_below(&m->prng, 2);
        if (begin) {
            struct request *r = &held[n];
            r->sectors = 1 + (uint32_t)hv_prng_below(&m->prng, 2048);
            r->sector = hv_prng_below(&m->prng, m->sb.la_size_sectors - r->sectors);
            n += actlog_begin(al, r->sector, r->sectors, &b) != ACTLOG_FULL;
        } else if (n) {
            uint32_t i = (uint32_t)hv_prng_below(&m->prng, n);
            actlog_release(al, held[i].sector, held[i].sectors);
            held[i] = held[--n];
        }
        if (hv_prng_below(&m->prng, 3) || !(b = actlog_seal(al)))
            continue;
        uint64_t at = m->layout.al_sector + (uint64_t)b->ring_block * MD_BLOCK_SECTORS;
        bool last = step > STEPS - 20;
        put(m, at, b->bytes, torn && last ? 512 : MD_BLOCK_BYTES);
        if (torn && last)
            break;
        actlog_journaled(al, b);
    }
    actlog_free(al);
}

/* The log of DRBD 8.3: a ring of sectors, each one change and a piece of context. */
static void write_log_83(struct image *m)
{
    static const uint8_t zeros[MD_BLOCK_BYTES];
    uint32_t slots[PAIRS_83 - 1];
    uint32_t extents = (uint32_t)(m->sb.la_size_sectors / MD_AL_EXTENT_SECTORS);
    uint32_t ring_sectors = (m->sb.al_extents + PAIRS_83 - 2) / (PAIRS_83 - 1) + 1;

    for (uint64_t at = 0; at < m->layout.al_sectors; at += MD_BLOCK_SECTORS)
        put(m, m->layout.al_sector + at, zeros, sizeof zeros);
    memset(slots, 0xff, sizeof slots);
    for (uint32_t number = 0; number < 100; number++) {
        uint8_t s[MD_SECTOR_BYTES] = {0};
        uint32_t slot = (uint32_t)hv_prng_below(&m->prng, PAIRS_83 - 1), sum = 0;
        uint32_t extent = (uint32_t)hv_prng_below(&m->prng, extents);
        hv_store_be32(s, ACTLOG_MAGIC_83);
        hv_store_be32(s + 4, number);
        for (uint32_t i = 0; i < PAIRS_83; i++) {
            uint32_t e = i ? slots[i - 1] : extent;
            hv_store_be32(s + 8 + i * 8, i ? i - 1 : slot);
            hv_store_be32(s + 12 + i * 8, e);
            sum ^= e;
        }
        hv_store_be32(s + 8 + PAIRS_83 * 8, sum);
        slots[slot] = extent;
        put(m, m->layout.al_sector + number % ring_sectors, s, sizeof s);
    }
}

int main(int argc, char **argv)
{
    struct image m;

    if (argc < 5)
        die("FILE SEED ACTIVE_SET LA_SECTORS [83|torn|secondary]");
    const char *how = argc > 5 ? argv[5] : "";
    uint32_t extents = (uint32_t)strtoul(argv[3], NULL, 10);
    hv_prng_seed(&m.prng, strtoull(argv[2], NULL, 10));
    image_open(&m, argv[1]);
    bool old = !strcmp(how, "83"); /* drbdmeta tells the two logs apart by the magic */
    mark_in_use(&m, strtoull(argv[4], NULL, 10), extents, strcmp(how, "secondary") != 0,
        old ? MD_MAGIC_CLEAN : MD_MAGIC_UNCLEAN);
    if (old)
        write_log_83(&m);
    else
        write_log(&m, extents, !strcmp(how, "torn"));
    return close(m.fd) ? 2 : 0;
}
