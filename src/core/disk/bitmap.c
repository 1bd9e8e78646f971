/* SPDX-License-Identifier: Apache-2.0 */
#include "bitmap.h"

#include <stdlib.h>
#include <string.h>

#include "hv_assert.h"
#include "hv_endian.h"
#include "md.h"

enum { WORD_BITS = 64, WORD_BYTES = 8, EXTENT_WORDS = BITMAP_EXTENT_BITS / WORD_BITS };

static uint64_t div_up(uint64_t value, uint64_t by)
{
    return (value + by - 1) / by;
}

int bitmap_init(struct bitmap *bm, uint64_t device_sectors)
{
    memset(bm, 0, sizeof *bm);
    if (device_sectors > MD_SECTORS_MAX)
        return HV_EINVAL;
    bm->device_sectors = device_sectors;
    bm->bits = div_up(device_sectors, BITMAP_BIT_SECTORS);
    bm->words = div_up(bm->bits, WORD_BITS);
    bm->pages = (uint32_t)div_up(bm->bits, BITMAP_PAGE_BITS);
    bm->extents = (uint32_t)div_up(bm->bits, BITMAP_EXTENT_BITS);
    /* calloc: what nobody has set costs no memory.  One spare element keeps size 0 valid. */
    bm->word = calloc((uint64_t)bm->pages * BITMAP_PAGE_WORDS + 1, sizeof *bm->word);
    bm->extent_bits = calloc((uint64_t)bm->extents + 1, sizeof *bm->extent_bits);
    bm->dirty = calloc(div_up(bm->pages, WORD_BITS) + 1, sizeof *bm->dirty);
    if (bm->word && bm->extent_bits && bm->dirty)
        return 0;
    bitmap_free(bm);
    return HV_ENOMEM;
}

void bitmap_free(struct bitmap *bm)
{
    free(bm->word);
    free(bm->extent_bits);
    free(bm->dirty);
    memset(bm, 0, sizeof *bm);
}

/* ---- one word -------------------------------------------------------------------------------- */

static void word_changed(struct bitmap *bm, uint64_t index, int64_t by)
{
    bm->weight += (uint64_t)by;
    bm->extent_bits[index / EXTENT_WORDS] = (uint16_t)(bm->extent_bits[index / EXTENT_WORDS] + by);
    bitmap_page_dirty(bm, (uint32_t)(index / BITMAP_PAGE_WORDS));
}

static uint64_t word_set(struct bitmap *bm, uint64_t index, uint64_t mask)
{
    uint64_t fresh = mask & ~bm->word[index];

    if (!fresh)
        return 0;
    int n = __builtin_popcountll(fresh);
    bm->word[index] |= fresh;
    word_changed(bm, index, n);
    return (uint64_t)n;
}

static uint64_t word_clear(struct bitmap *bm, uint64_t index, uint64_t mask)
{
    uint64_t gone = mask & bm->word[index];

    if (!gone)
        return 0;
    int n = __builtin_popcountll(gone);
    bm->word[index] &= ~gone;
    word_changed(bm, index, -n);
    return (uint64_t)n;
}

/* The bits of word `index` that lie in [first, end), as a mask; the word overlaps the range. */
static uint64_t word_mask(uint64_t index, uint64_t first, uint64_t end)
{
    uint64_t mask = UINT64_MAX, start = index * WORD_BITS;

    if (first > start)
        mask &= UINT64_MAX << (first - start);
    if (end < start + WORD_BITS)
        mask &= ~(UINT64_MAX << (end - start));
    return mask;
}

/* The bits of word `index` that the bitmap has. */
static uint64_t word_valid(const struct bitmap *bm, uint64_t index)
{
    if (index * WORD_BITS >= bm->bits)
        return 0;
    return word_mask(index, index * WORD_BITS, bm->bits);
}

/* ---- ranges ---------------------------------------------------------------------------------- */

uint64_t bitmap_set_bits(struct bitmap *bm, uint64_t first, uint64_t end)
{
    uint64_t n = 0;

    if (end > bm->bits)
        end = bm->bits;
    if (first >= end)
        return 0;
    for (uint64_t i = first / WORD_BITS; i <= (end - 1) / WORD_BITS; i++)
        n += word_set(bm, i, word_mask(i, first, end));
    return n;
}

uint64_t bitmap_clear_bits(struct bitmap *bm, uint64_t first, uint64_t end)
{
    uint64_t n = 0;

    if (end > bm->bits)
        end = bm->bits;
    if (first >= end)
        return 0;
    for (uint64_t i = first / WORD_BITS; i <= (end - 1) / WORD_BITS; i++) {
        if (!bm->extent_bits[i / EXTENT_WORDS]) {
            i |= EXTENT_WORDS - 1;
            continue;
        }
        n += word_clear(bm, i, word_mask(i, first, end));
    }
    return n;
}

uint64_t bitmap_count_bits(const struct bitmap *bm, uint64_t first, uint64_t end)
{
    uint64_t n = 0;

    if (end > bm->bits)
        end = bm->bits;
    if (first >= end)
        return 0;
    for (uint64_t i = first / WORD_BITS; i <= (end - 1) / WORD_BITS; i++) {
        if (!bm->extent_bits[i / EXTENT_WORDS]) {
            i |= EXTENT_WORDS - 1;
            continue;
        }
        n += (uint64_t)__builtin_popcountll(bm->word[i] & word_mask(i, first, end));
    }
    return n;
}

bool bitmap_test_bit(const struct bitmap *bm, uint64_t bit)
{
    return bit < bm->bits && bm->word[bit / WORD_BITS] >> bit % WORD_BITS & 1;
}

/* Cuts [*sector, …) at the end of the device and returns its end; false when nothing is left. */
static bool sectors_cut(const struct bitmap *bm, uint64_t sector, uint64_t sectors, uint64_t *end)
{
    if (sector >= bm->device_sectors || !sectors)
        return false;
    uint64_t left = bm->device_sectors - sector;
    *end = sector + (sectors < left ? sectors : left);
    return true;
}

uint64_t bitmap_set_sectors(struct bitmap *bm, uint64_t sector, uint64_t sectors)
{
    uint64_t end;

    if (!sectors_cut(bm, sector, sectors, &end))
        return 0;
    return bitmap_set_bits(bm, sector / BITMAP_BIT_SECTORS, div_up(end, BITMAP_BIT_SECTORS));
}

uint64_t bitmap_clear_sectors(struct bitmap *bm, uint64_t sector, uint64_t sectors)
{
    uint64_t end;

    if (!sectors_cut(bm, sector, sectors, &end))
        return 0;
    uint64_t end_bit = end == bm->device_sectors ? bm->bits : end / BITMAP_BIT_SECTORS;
    return bitmap_clear_bits(bm, div_up(sector, BITMAP_BIT_SECTORS), end_bit);
}

uint64_t bitmap_count_sectors(const struct bitmap *bm, uint64_t sector, uint64_t sectors)
{
    uint64_t end;

    if (!sectors_cut(bm, sector, sectors, &end))
        return 0;
    return bitmap_count_bits(bm, sector / BITMAP_BIT_SECTORS, div_up(end, BITMAP_BIT_SECTORS));
}

static void all_dirty(struct bitmap *bm)
{
    for (uint32_t p = 0; p < bm->pages; p++)
        bitmap_page_dirty(bm, p);
}

void bitmap_set_all(struct bitmap *bm)
{
    bitmap_set_bits(bm, 0, bm->bits);
    all_dirty(bm);
}

void bitmap_clear_all(struct bitmap *bm)
{
    bitmap_clear_bits(bm, 0, bm->bits);
    all_dirty(bm);
}

/* ---- searching ------------------------------------------------------------------------------- */

static uint32_t extent_capacity(const struct bitmap *bm, uint64_t extent)
{
    uint64_t left = bm->bits - extent * BITMAP_EXTENT_BITS;

    return left < BITMAP_EXTENT_BITS ? (uint32_t)left : BITMAP_EXTENT_BITS;
}

/* Whole extents in which nothing can be found are stepped over by their weight. */
static uint64_t next_bit(const struct bitmap *bm, uint64_t from, bool want)
{
    if (from >= bm->bits)
        return BITMAP_NONE;
    uint64_t mask = UINT64_MAX << from % WORD_BITS;
    for (uint64_t i = from / WORD_BITS; i < bm->words; i++, mask = UINT64_MAX) {
        uint64_t extent = i / EXTENT_WORDS;
        uint32_t none = want ? 0 : extent_capacity(bm, extent);
        if (bm->extent_bits[extent] == none) {
            i |= EXTENT_WORDS - 1;
            continue;
        }
        uint64_t found = (want ? bm->word[i] : ~bm->word[i] & word_valid(bm, i)) & mask;
        if (found)
            return i * WORD_BITS + (uint64_t)__builtin_ctzll(found);
    }
    return BITMAP_NONE;
}

uint64_t bitmap_next_set(const struct bitmap *bm, uint64_t from)
{
    return next_bit(bm, from, true);
}

uint64_t bitmap_next_clear(const struct bitmap *bm, uint64_t from)
{
    return next_bit(bm, from, false);
}

uint64_t bitmap_run_end(const struct bitmap *bm, uint64_t from, bool *set)
{
    *set = bitmap_test_bit(bm, from);
    uint64_t end = next_bit(bm, from, !*set);
    return end == BITMAP_NONE ? bm->bits : end;
}

uint32_t bitmap_extent_weight(const struct bitmap *bm, uint64_t extent)
{
    return extent < bm->extents ? bm->extent_bits[extent] : 0;
}

/* ---- pages ----------------------------------------------------------------------------------- */

bool bitmap_page_is_dirty(const struct bitmap *bm, uint32_t page)
{
    return page < bm->pages && bm->dirty[page / WORD_BITS] >> page % WORD_BITS & 1;
}

void bitmap_page_dirty(struct bitmap *bm, uint32_t page)
{
    if (page >= bm->pages || bitmap_page_is_dirty(bm, page))
        return;
    bm->dirty[page / WORD_BITS] |= UINT64_C(1) << page % WORD_BITS;
    bm->dirty_pages++;
}

void bitmap_page_clean(struct bitmap *bm, uint32_t page)
{
    if (!bitmap_page_is_dirty(bm, page))
        return;
    bm->dirty[page / WORD_BITS] &= ~(UINT64_C(1) << page % WORD_BITS);
    bm->dirty_pages--;
}

uint32_t bitmap_next_dirty(const struct bitmap *bm, uint32_t from)
{
    if (!bm->dirty_pages || from >= bm->pages)
        return UINT32_MAX;
    uint64_t mask = UINT64_MAX << from % WORD_BITS;
    for (uint64_t i = from / WORD_BITS; i < div_up(bm->pages, WORD_BITS); i++, mask = UINT64_MAX)
        if (bm->dirty[i] & mask)
            return (uint32_t)(i * WORD_BITS) + (uint32_t)__builtin_ctzll(bm->dirty[i] & mask);
    return UINT32_MAX;
}

uint32_t bitmap_page_of_al_extent(const struct bitmap *bm, uint32_t al_extent)
{
    uint32_t page = al_extent / BITMAP_AL_EXTENTS_PER_PAGE;

    return page < bm->pages ? page : UINT32_MAX;
}

void bitmap_page_write(const struct bitmap *bm, uint32_t page, uint8_t bytes[BITMAP_PAGE_BYTES])
{
    hv_assert(page < bm->pages);
    const uint64_t *word = bm->word + (uint64_t)page * BITMAP_PAGE_WORDS;
    for (int i = 0; i < BITMAP_PAGE_WORDS; i++)
        hv_store_le64(bytes + i * WORD_BYTES, word[i]);
}

void bitmap_page_read(struct bitmap *bm, uint32_t page, const uint8_t bytes[BITMAP_PAGE_BYTES])
{
    hv_assert(page < bm->pages);
    uint64_t first = (uint64_t)page * BITMAP_PAGE_WORDS;
    for (uint64_t i = first; i < first + BITMAP_PAGE_WORDS; i++) {
        uint64_t disk = hv_load_le64(bytes + (i - first) * WORD_BYTES) & word_valid(bm, i);
        if (disk == bm->word[i])
            continue;
        word_clear(bm, i, ~disk);
        word_set(bm, i, disk);
    }
    bitmap_page_clean(bm, page);
}

/* ---- the wire -------------------------------------------------------------------------------- */

void bitmap_words_write(
    const struct bitmap *bm, uint64_t first_word, uint64_t words, uint8_t *bytes)
{
    for (uint64_t i = 0; i < words; i++) {
        uint64_t at = first_word + i;
        hv_store_le64(bytes + i * WORD_BYTES, at < bm->words ? bm->word[at] : 0);
    }
}

uint64_t bitmap_words_merge(
    struct bitmap *bm, uint64_t first_word, uint64_t words, const uint8_t *bytes)
{
    uint64_t n = 0;

    for (uint64_t i = 0; i < words && first_word + i < bm->words; i++) {
        uint64_t at = first_word + i;
        uint64_t theirs = hv_load_le64(bytes + i * WORD_BYTES) & word_valid(bm, at);
        if (theirs)
            n += word_set(bm, at, theirs);
    }
    return n;
}

/* ---- resize ---------------------------------------------------------------------------------- */

/* Copies what both have.  A short last block of the old device may have become a whole one; its bit keeps its
 * meaning. */
static void copy_bits(struct bitmap *to, const struct bitmap *from)
{
    for (uint64_t e = 0; e < from->extents && e < to->extents; e++) {
        if (!from->extent_bits[e])
            continue;
        for (uint64_t i = e * EXTENT_WORDS; i < (e + 1) * EXTENT_WORDS && i < from->words; i++)
            if (from->word[i])
                word_set(to, i, from->word[i] & word_valid(to, i));
    }
}

int bitmap_resize(struct bitmap *bm, uint64_t device_sectors, bool set_new)
{
    struct bitmap to;
    int rc = bitmap_init(&to, device_sectors);

    if (rc)
        return rc;
    copy_bits(&to, bm);
    for (uint32_t p = 0; p < to.pages; p++)
        if (!bitmap_page_is_dirty(bm, p))
            bitmap_page_clean(&to, p);
        else
            bitmap_page_dirty(&to, p);
    if (to.bits > bm->bits) {
        if (set_new)
            bitmap_set_bits(&to, bm->bits, to.bits);
        /* Beyond the old end the disk has whatever was there before (disk §4). */
        for (uint32_t p = (uint32_t)(bm->bits / BITMAP_PAGE_BITS); p < to.pages; p++)
            bitmap_page_dirty(&to, p);
    }
    bitmap_free(bm);
    *bm = to;
    return 0;
}
