/* SPDX-License-Identifier: Apache-2.0 */
#include "actlog.h"

#include <stdlib.h>
#include <string.h>

#include "hv_assert.h"
#include "hv_crc32c.h"
#include "hv_cursor.h"
#include "hv_endian.h"
#include "md_replay.h"

enum { NO_SLOT = UINT16_MAX, BLOCKS = 2, CRC_BYTES = 8 };

_Static_assert((int)MD_AL_EXTENTS_MAX < (int)NO_SLOT, "slot numbers and 'none' fit into 16 bits");

/* `extent` is what the slot holds in memory, `durable` what the log on disk says it holds.  They differ
 * while the change waits in `pending`, and for as long as updates are switched off. */
struct slot {
    uint32_t extent, durable;
    uint32_t refs;
    uint16_t hash_next;
    uint16_t lru_prev, lru_next; /* linked while extent is known, refs == 0 and not pending */
    struct pending_block *pending;
};

struct pending_block {
    struct actlog_block block;
    uint16_t slot[ACTLOG_BLOCK_UPDATES_MAX];
};

struct actlog {
    struct slot *slot; /* [extents] */
    uint16_t *hash;    /* [hash_mask + 1], heads */
    uint32_t extents, hash_mask;
    uint32_t stripes, stripe_blocks;
    uint32_t free_slots; /* never used so far: 0 … free_slots - 1; handed out from the top */
    uint32_t idle;       /* slots in the LRU list */
    uint32_t pinned;
    uint16_t lru_oldest, lru_newest;
    uint32_t tr_number, context_start;
    uint64_t sequence;
    bool suspended, updates;
    struct pending_block *open, *sealed; /* into blocks[]; NULL: none */
    struct pending_block blocks[BLOCKS];
};

/* ---- slots, their hash and their age --------------------------------------------------------- */

static uint16_t *hash_head(const struct actlog *al, uint32_t extent)
{
    return &al->hash[(extent * UINT32_C(2654435761)) >> 7 & al->hash_mask];
}

static struct slot *slot_find(const struct actlog *al, uint32_t extent)
{
    for (uint16_t i = *hash_head(al, extent); i != NO_SLOT; i = al->slot[i].hash_next)
        if (al->slot[i].extent == extent)
            return &al->slot[i];
    return NULL;
}

static uint16_t slot_number(const struct actlog *al, const struct slot *s)
{
    return (uint16_t)(s - al->slot);
}

static void hash_insert(struct actlog *al, struct slot *s)
{
    uint16_t *head = hash_head(al, s->extent);

    s->hash_next = *head;
    *head = slot_number(al, s);
}

static void hash_remove(struct actlog *al, const struct slot *s)
{
    uint16_t *at = hash_head(al, s->extent), number = slot_number(al, s);

    while (*at != number) {
        hv_assert(*at != NO_SLOT);
        at = &al->slot[*at].hash_next;
    }
    *at = s->hash_next;
}

static void lru_push_newest(struct actlog *al, struct slot *s)
{
    uint16_t number = slot_number(al, s);

    s->lru_next = NO_SLOT;
    s->lru_prev = al->lru_newest;
    if (al->lru_newest != NO_SLOT)
        al->slot[al->lru_newest].lru_next = number;
    else
        al->lru_oldest = number;
    al->lru_newest = number;
    al->idle++;
}

static void lru_remove(struct actlog *al, const struct slot *s)
{
    if (s->lru_prev != NO_SLOT)
        al->slot[s->lru_prev].lru_next = s->lru_next;
    else
        al->lru_oldest = s->lru_next;
    if (s->lru_next != NO_SLOT)
        al->slot[s->lru_next].lru_prev = s->lru_prev;
    else
        al->lru_newest = s->lru_prev;
    al->idle--;
}

static void slot_pin(struct actlog *al, struct slot *s)
{
    if (s->refs++)
        return;
    al->pinned++;
    if (!s->pending)
        lru_remove(al, s);
}

static bool slot_unpin(struct actlog *al, struct slot *s)
{
    hv_assert(s->refs > 0);
    if (--s->refs)
        return false;
    al->pinned--;
    if (s->pending)
        return false; /* may be given away only once the disk knows about it */
    lru_push_newest(al, s);
    return true;
}

/* ---- life ------------------------------------------------------------------------------------ */

int actlog_new(struct actlog **out, uint32_t extents, uint32_t stripes, uint32_t stripe_blocks,
    uint32_t tr_number)
{
    uint32_t max = md_al_extents_max((uint64_t)stripes * stripe_blocks), buckets = 1;
    struct actlog *al = calloc(1, sizeof *al);

    hv_assert(max >= MD_AL_EXTENTS_MIN);
    if (extents < MD_AL_EXTENTS_MIN)
        extents = MD_AL_EXTENTS_MIN;
    if (extents > max)
        extents = max;
    while (buckets < extents)
        buckets *= 2;
    if (!al)
        return HV_ENOMEM;
    al->slot = calloc(extents, sizeof *al->slot);
    al->hash = calloc(buckets, sizeof *al->hash);
    if (!al->slot || !al->hash) {
        actlog_free(al);
        return HV_ENOMEM;
    }
    al->extents = extents;
    al->hash_mask = buckets - 1;
    al->stripes = stripes;
    al->stripe_blocks = stripe_blocks;
    al->tr_number = tr_number;
    al->updates = true;
    actlog_reset(al);
    *out = al;
    return 0;
}

void actlog_free(struct actlog *al)
{
    if (!al)
        return;
    free(al->slot);
    free(al->hash);
    free(al);
}

void actlog_reset(struct actlog *al)
{
    for (uint32_t i = 0; i < al->extents; i++)
        al->slot[i] = (struct slot){.extent = ACTLOG_NO_EXTENT, .durable = ACTLOG_NO_EXTENT};
    for (uint32_t i = 0; i <= al->hash_mask; i++)
        al->hash[i] = NO_SLOT;
    al->lru_oldest = al->lru_newest = NO_SLOT;
    al->free_slots = al->extents;
    al->idle = al->pinned = 0;
    al->context_start = 0;
    al->open = al->sealed = NULL;
}

uint32_t actlog_extents(const struct actlog *al)
{
    return al->extents;
}

uint32_t actlog_tr_number(const struct actlog *al)
{
    return al->tr_number;
}

/* ---- begin ----------------------------------------------------------------------------------- */

static void extent_range(uint64_t sector, uint32_t sectors, uint32_t *first, uint32_t *last)
{
    hv_assert(sectors > 0 && sector < MD_SECTORS_MAX);
    *first = (uint32_t)(sector / MD_AL_EXTENT_SECTORS);
    *last = (uint32_t)((sector + sectors - 1) / MD_AL_EXTENT_SECTORS);
    hv_assert(*last - *first < ACTLOG_REQUEST_EXTENTS_MAX);
}

/* Known in memory, yet the log on disk does not say so and no block is about to: it was taken while
 * updates were off. */
static bool slot_needs_update(const struct actlog *al, const struct slot *s)
{
    return al->updates && !s->pending && s->durable != s->extent;
}

static bool request_fits(const struct actlog *al, uint32_t first, uint32_t last)
{
    uint32_t missing = 0, updates = 0, idle_wanted = 0;

    for (uint32_t e = first; e <= last; e++) {
        const struct slot *s = slot_find(al, e);
        if (!s)
            missing++;
        else if (!s->refs && !s->pending)
            idle_wanted++; /* the request needs it itself: not to be given away */
        if (!s ? al->updates : slot_needs_update(al, s))
            updates++;
    }
    uint32_t used = al->open ? al->open->block.updates : 0;
    return missing <= al->free_slots + al->idle - idle_wanted &&
           used + updates <= ACTLOG_BLOCK_UPDATES_MAX;
}

static struct pending_block *block_open(struct actlog *al)
{
    if (!al->open) {
        al->open = al->sealed == &al->blocks[0] ? &al->blocks[1] : &al->blocks[0];
        struct actlog_block *b = &al->open->block;
        b->sequence = ++al->sequence;
        b->sealed = false;
        b->updates = b->evicted_count = 0;
    }
    return al->open;
}

static void block_add(struct actlog *al, struct slot *s)
{
    struct pending_block *p = block_open(al);

    hv_assert(p->block.updates < ACTLOG_BLOCK_UPDATES_MAX);
    if (s->durable != ACTLOG_NO_EXTENT)
        p->block.evicted[p->block.evicted_count++] = s->durable;
    p->slot[p->block.updates++] = slot_number(al, s);
    s->pending = p;
}

/* A slot for an extent that has none: one never used, or the one idle for longest. */
static struct slot *slot_take(struct actlog *al, uint32_t extent)
{
    struct slot *s;

    if (al->free_slots) {
        s = &al->slot[--al->free_slots];
    } else {
        hv_assert(al->lru_oldest != NO_SLOT);
        s = &al->slot[al->lru_oldest];
        lru_remove(al, s);
        hash_remove(al, s);
    }
    s->extent = extent;
    s->refs = 1;
    al->pinned++;
    hash_insert(al, s);
    return s;
}

enum actlog_verdict actlog_begin(
    struct actlog *al, uint64_t sector, uint32_t sectors, const struct actlog_block **block)
{
    uint32_t first, last;

    *block = NULL;
    if (al->suspended)
        return ACTLOG_SUSPENDED;
    extent_range(sector, sectors, &first, &last);
    if (!request_fits(al, first, last))
        return ACTLOG_FULL;
    /* What is there is pinned before anything is given away for what is not. */
    for (uint32_t e = first; e <= last; e++) {
        struct slot *s = slot_find(al, e);
        if (s)
            slot_pin(al, s);
    }
    const struct pending_block *wait = NULL;
    for (uint32_t e = first; e <= last; e++) {
        struct slot *s = slot_find(al, e);
        if (!s)
            s = slot_take(al, e);
        if (slot_needs_update(al, s))
            block_add(al, s);
        if (s->pending && (!wait || s->pending->block.sequence > wait->block.sequence))
            wait = s->pending;
    }
    if (!wait)
        return ACTLOG_READY;
    *block = &wait->block;
    return ACTLOG_JOURNAL;
}

/* ---- the transaction ------------------------------------------------------------------------- */

/* disk §3.2.  The context is what the log on disk already says: updates come on top of it. */
static void block_encode(struct actlog *al, struct pending_block *p)
{
    struct hv_writer w;
    struct actlog_block *b = &p->block;

    hv_writer_init(&w, b->bytes, sizeof b->bytes);
    hv_write_be32(&w, ACTLOG_MAGIC);
    hv_write_be32(&w, b->tr_number);
    hv_write_be32(&w, 0);
    hv_write_be16(&w, 0);
    hv_write_be16(&w, (uint16_t)b->updates);
    hv_write_be16(&w, (uint16_t)al->extents);
    hv_write_be16(&w, (uint16_t)al->context_start);
    hv_write_zeros(&w, 16);
    for (uint32_t i = 0; i < ACTLOG_BLOCK_UPDATES_MAX; i++)
        hv_write_be16(&w, i < b->updates ? p->slot[i] : NO_SLOT);
    for (uint32_t i = 0; i < ACTLOG_BLOCK_UPDATES_MAX; i++)
        hv_write_be32(&w, i < b->updates ? al->slot[p->slot[i]].extent : ACTLOG_NO_EXTENT);
    for (uint32_t i = 0; i < ACTLOG_BLOCK_CONTEXT; i++) {
        uint32_t n = al->context_start + i;
        hv_write_be32(&w, n < al->extents ? al->slot[n].durable : ACTLOG_NO_EXTENT);
    }
    hv_assert(!w.bad && hv_writer_length(&w) == sizeof b->bytes);
    hv_store_be32(b->bytes + CRC_BYTES, hv_crc32c(0, b->bytes, sizeof b->bytes));
}

const struct actlog_block *actlog_seal(struct actlog *al)
{
    if (!al->open || al->sealed)
        return NULL;
    struct actlog_block *b = &al->open->block;
    b->tr_number = al->tr_number++;
    b->ring_block = md_replay_ring_block(b->tr_number, al->stripes, al->stripe_blocks);
    b->sealed = true;
    block_encode(al, al->open);
    al->context_start += ACTLOG_BLOCK_CONTEXT;
    if (al->context_start >= al->extents)
        al->context_start = 0;
    al->sealed = al->open;
    al->open = NULL;
    return &al->sealed->block;
}

void actlog_journaled(struct actlog *al, const struct actlog_block *block)
{
    struct pending_block *p = al->sealed;

    hv_assert(p && block == &p->block);
    for (uint32_t i = 0; i < p->block.updates; i++) {
        struct slot *s = &al->slot[p->slot[i]];
        s->durable = s->extent;
        s->pending = NULL;
        if (!s->refs)
            lru_push_newest(al, s);
    }
    al->sealed = NULL;
}

bool actlog_release(struct actlog *al, uint64_t sector, uint32_t sectors)
{
    uint32_t first, last;
    bool freed = false;

    extent_range(sector, sectors, &first, &last);
    for (uint32_t e = first; e <= last; e++) {
        struct slot *s = slot_find(al, e);
        hv_assert(s);
        freed |= slot_unpin(al, s);
    }
    return freed;
}

/* ---- switches and questions ------------------------------------------------------------------ */

void actlog_suspend(struct actlog *al)
{
    al->suspended = true;
}

void actlog_resume(struct actlog *al)
{
    al->suspended = false;
}

bool actlog_is_suspended(const struct actlog *al)
{
    return al->suspended;
}

void actlog_set_updates(struct actlog *al, bool updates)
{
    hv_assert(!al->open && !al->sealed);
    al->updates = updates;
}

bool actlog_extent_active(const struct actlog *al, uint32_t extent)
{
    const struct slot *s = slot_find(al, extent);

    return s && s->refs;
}

bool actlog_extent_known(const struct actlog *al, uint32_t extent)
{
    return slot_find(al, extent) != NULL;
}

bool actlog_rs_extent_active(const struct actlog *al, uint64_t rs_extent)
{
    enum { PER_RS = MD_RS_EXTENT_SECTORS / MD_AL_EXTENT_SECTORS };

    for (uint32_t i = 0; i < PER_RS; i++)
        if (actlog_extent_active(al, (uint32_t)(rs_extent * PER_RS + i)))
            return true;
    return false;
}

bool actlog_is_idle(const struct actlog *al)
{
    return !al->pinned && !al->open && !al->sealed;
}

void actlog_for_each_active(
    const struct actlog *al, void (*each)(void *arg, uint32_t extent, uint32_t refs), void *arg)
{
    for (uint32_t i = 0; i < al->extents; i++) {
        const struct slot *s = &al->slot[i];
        if (s->durable != ACTLOG_NO_EXTENT)
            each(arg, s->durable, s->durable == s->extent ? s->refs : 0);
    }
}

uint32_t actlog_pinned_count(const struct actlog *al)
{
    return al->pinned;
}

uint32_t actlog_known_count(const struct actlog *al)
{
    return al->extents - al->free_slots;
}
