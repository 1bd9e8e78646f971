/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BITMAP_H
#define BITMAP_H
/* The out-of-sync bitmap in memory (disk §4): bit n is the 4 KiB block n, sectors 8n … 8n+7.
 * Weights (set bits, in all and for each 16 MiB resync extent) are kept as bits change.  Each 4 KiB
 * page of its on-disk form (32768 bits, 128 MiB of data) remembers whether it changed since it was
 * last taken for writing.  Allocates in bitmap_init() and bitmap_resize() only; pages nobody touched
 * cost no memory beyond the address space.  Ranges beyond the end are cut, never an error. */
#include <stdbool.h>
#include <stdint.h>

#include "hv_error.h"

enum {
    BITMAP_BIT_SECTORS = 8,
    BITMAP_BIT_BYTES = 4096,
    BITMAP_PAGE_BYTES = 4096,
    BITMAP_PAGE_BITS = 32768,
    BITMAP_PAGE_WORDS = 512,
    BITMAP_EXTENT_BITS = 4096, /* a 16 MiB resync extent */
    BITMAP_AL_EXTENTS_PER_PAGE = 32,
};

#define BITMAP_NONE UINT64_MAX

/* Read the fields, change them through the functions. */
struct bitmap {
    uint64_t device_sectors;
    uint64_t bits;   /* ceil(device_sectors / 8) */
    uint64_t words;  /* ceil(bits / 64) */
    uint64_t weight; /* set bits */
    uint32_t pages;  /* 4 KiB pages of the on-disk form */
    uint32_t extents;
    uint64_t *word;        /* [pages * 512]; bits beyond `bits` are 0 */
    uint16_t *extent_bits; /* [extents]: set bits, 0 … 4096 */
    uint64_t *dirty;       /* [ceil(pages / 64)] */
    uint32_t dirty_pages;
};

/* All clear, no page dirty.  HV_ENOMEM; HV_EINVAL beyond 1 PiB. */
HV_MUST_CHECK int bitmap_init(struct bitmap *bm, uint64_t device_sectors);
void bitmap_free(struct bitmap *bm); /* harmless on a zeroed struct, and twice */
/* Keeps the bits that stay; new ones are set when set_new.  On HV_ENOMEM nothing changed.  Pages
 * whose disk form changed (the tail, new set bits) become dirty. */
HV_MUST_CHECK int bitmap_resize(struct bitmap *bm, uint64_t device_sectors, bool set_new);

/* Bits [first, end); each returns how many bits changed. */
uint64_t bitmap_set_bits(struct bitmap *bm, uint64_t first, uint64_t end);
uint64_t bitmap_clear_bits(struct bitmap *bm, uint64_t first, uint64_t end);
uint64_t bitmap_count_bits(const struct bitmap *bm, uint64_t first, uint64_t end);
bool bitmap_test_bit(const struct bitmap *bm, uint64_t bit);

/* Sectors [sector, sector + sectors).  Set: every block touched.  Clear: only blocks covered whole,
 * where the short block at the end of the device counts as whole when covered to the end (disk §4).
 * Test and count: every block touched. */
uint64_t bitmap_set_sectors(struct bitmap *bm, uint64_t sector, uint64_t sectors);
uint64_t bitmap_clear_sectors(struct bitmap *bm, uint64_t sector, uint64_t sectors);
uint64_t bitmap_count_sectors(const struct bitmap *bm, uint64_t sector, uint64_t sectors);

void bitmap_set_all(struct bitmap *bm);   /* every page dirty */
void bitmap_clear_all(struct bitmap *bm); /* every page dirty */

/* The first set (clear) bit at or after `from`, or BITMAP_NONE. */
uint64_t bitmap_next_set(const struct bitmap *bm, uint64_t from);
uint64_t bitmap_next_clear(const struct bitmap *bm, uint64_t from);

/* Of one 16 MiB resync extent; 0 beyond the end. */
uint32_t bitmap_extent_weight(const struct bitmap *bm, uint64_t extent);

/* The on-disk form.  Page n holds bits n·32768 …, least significant bit first, little-endian; beyond
 * the end of the bitmap it is zero.  n < pages. */
void bitmap_page_write(const struct bitmap *bm, uint32_t page, uint8_t bytes[BITMAP_PAGE_BYTES]);
/* Replaces the page's bits by what the disk has; bits beyond the end are ignored.  The page is clean
 * afterwards. */
void bitmap_page_read(struct bitmap *bm, uint32_t page, const uint8_t bytes[BITMAP_PAGE_BYTES]);

/* Dirty pages.  Taking a page's bytes for writing: bitmap_page_write(), then bitmap_page_clean();
 * a bit changed later makes it dirty again; if the write fails, bitmap_page_dirty(). */
bool bitmap_page_is_dirty(const struct bitmap *bm, uint32_t page);
void bitmap_page_dirty(struct bitmap *bm, uint32_t page);
void bitmap_page_clean(struct bitmap *bm, uint32_t page);
/* The first dirty page at or after `from`, or UINT32_MAX. */
uint32_t bitmap_next_dirty(const struct bitmap *bm, uint32_t from);
/* The page with the bits of one activity-log extent (4 MiB), for the pages that must be on disk
 * before the extent leaves the activity log; UINT32_MAX beyond the end. */
uint32_t bitmap_page_of_al_extent(const struct bitmap *bm, uint32_t al_extent);

/* The wire exchange (plain P_BITMAP: 64-bit little-endian words).  `words` counts 64-bit words. */
void bitmap_words_write(
    const struct bitmap *bm, uint64_t first_word, uint64_t words, uint8_t *bytes);
/* OR-s the peer's words in; beyond the end is ignored.  Returns how many bits became set. */
uint64_t bitmap_words_merge(
    struct bitmap *bm, uint64_t first_word, uint64_t words, const uint8_t *bytes);

/* The run that starts at bit `from`: its value goes to *set, its end (first bit of the other value,
 * or `bits`) is returned.  from < bits.  For the run-length code and for ranges to resync. */
uint64_t bitmap_run_end(const struct bitmap *bm, uint64_t from, bool *set);

#endif
