/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ACTLOG_H
#define ACTLOG_H
/* The activity log (disk §3): which 4 MiB extents may differ between the nodes if this Primary
 * crashes now.  Memory only: it says which block has to be written; others write it.
 *
 * One write, from start to end:
 *   actlog_begin()      READY: go on.  JOURNAL: wait until *block has been reported durable.
 *                       FULL: queue the request; try again after any release or journaled.
 *   actlog_seal()       once per turn, after all requests of the turn have begun: the block to write
 *                       now.  Requests that share a block share its write.  First write the dirty
 *                       bitmap pages of block->evicted[], then the block with PREFLUSH and FUA.
 *   actlog_journaled()  it is durable: every request that waited for this block may go on.
 *   actlog_release()    the request is finished on both sides (disk §3.4.6).
 * One block is being written at a time; what begins meanwhile collects in the next one.  When the
 * write of a block fails, the disk is to be detached, and actlog_reset() forgets everything.
 *
 * Journal first, data second.  Dying between them costs one needless resync of a clean extent.  The
 * other order leaves two mirrors that differ, with nothing left to say where. */
#include <stdbool.h>
#include <stdint.h>

#include "hv_error.h"
#include "md.h"

enum {
    ACTLOG_BLOCK_UPDATES_MAX = 64,
    ACTLOG_BLOCK_CONTEXT = 919,
    ACTLOG_REQUEST_EXTENTS_MAX = 32, /* one request covers no more: split larger ones */
};

#define ACTLOG_MAGIC     0x69cb65a2u
#define ACTLOG_MAGIC_83  0x83740267u
#define ACTLOG_NO_EXTENT UINT32_MAX

enum actlog_verdict {
    ACTLOG_READY,
    ACTLOG_JOURNAL,
    ACTLOG_FULL,
    ACTLOG_SUSPENDED, /* the write may start and nothing was pinned: do not release */
};

/* One transaction.  Read only; valid until actlog_journaled() or actlog_reset(). */
struct actlog_block {
    uint64_t sequence; /* grows by one per block: later blocks are durable later */
    bool sealed;       /* bytes, tr_number and position are filled in; no request joins any more */
    uint32_t tr_number;
    uint32_t ring_block;           /* position, in blocks from the start of the ring (disk §3.3) */
    uint8_t bytes[MD_BLOCK_BYTES]; /* copy to an aligned buffer for direct I/O */
    uint32_t updates;
    uint32_t evicted_count;
    uint32_t evicted[ACTLOG_BLOCK_UPDATES_MAX]; /* extents that leave the log with this block */
};

struct actlog;

/* extents: size of the active set, clamped to MD_AL_EXTENTS_MIN … md_al_extents_max(ring size).
 * tr_number: of the first transaction; 0 for a new minor.  The ring on disk must be freshly initialised
 * (md_replay_ring_init()).  HV_ENOMEM. */
HV_MUST_CHECK int actlog_new(struct actlog **al, uint32_t extents, uint32_t stripes,
    uint32_t stripe_blocks, uint32_t tr_number);
void actlog_free(struct actlog *al); /* NULL is fine */
/* Forgets all extents and references, open and sealed blocks; the transaction number goes on. */
void actlog_reset(struct actlog *al);
uint32_t actlog_extents(const struct actlog *al);   /* after clamping: goes into the superblock */
uint32_t actlog_tr_number(const struct actlog *al); /* of the next transaction */

/* Pins every extent under [sector, sector + sectors) before a write.  sectors > 0, at most
 * ACTLOG_REQUEST_EXTENTS_MAX extents.  Memory only; no I/O.
 *   ACTLOG_READY      the write may start
 *   ACTLOG_JOURNAL    *block must be durable first (disk §3.4)
 *   ACTLOG_FULL       nothing pinned; retry after actlog_release() or actlog_journaled()
 *   ACTLOG_SUSPENDED  nothing pinned, and nothing to release; the write may start
 * *block is borrowed until actlog_journaled(); it is NULL for the other verdicts. */
enum actlog_verdict actlog_begin(
    struct actlog *al, uint64_t sector, uint32_t sectors, const struct actlog_block **block);

/* Closes the open block and encodes it: the caller writes it.  NULL when there is nothing to write or
 * a sealed block is still under way (ask again after actlog_journaled()). */
const struct actlog_block *actlog_seal(struct actlog *al);

/* The sealed block is durable. */
void actlog_journaled(struct actlog *al, const struct actlog_block *block);

/* Undoes one actlog_begin() with the same range that said READY or JOURNAL (also when the request is
 * given up before its block was durable).  True when some extent became free, that is, when
 * requests refused with FULL are worth another try. */
bool actlog_release(struct actlog *al, uint64_t sector, uint32_t sectors);

/* Suspended: begin() pins nothing (disk §3.4: all bits set and not connected). */
void actlog_suspend(struct actlog *al);
void actlog_resume(struct actlog *al);
bool actlog_is_suspended(const struct actlog *al);
/* al-updates no: extents are pinned and nothing is ever journaled.  Only while no block is open. */
void actlog_set_updates(struct actlog *al, bool updates);

/* Pinned by a write under way: resync must leave the extent alone. */
bool actlog_extent_active(const struct actlog *al, uint32_t extent);
/* In the set in memory, pinned or not. */
bool actlog_extent_known(const struct actlog *al, uint32_t extent);
/* Any of the four under a 16 MiB resync extent is pinned. */
bool actlog_rs_extent_active(const struct actlog *al, uint64_t rs_extent);
/* No request holds anything and no block is open or sealed. */
bool actlog_is_idle(const struct actlog *al);
/* Extents that the durable part of the log names (what a crash now would mark out of sync), each with
 * its references. */
void actlog_for_each_active(
    const struct actlog *al, void (*each)(void *arg, uint32_t extent, uint32_t refs), void *arg);
/* /proc/drbd's al: pinned extents, and set members. */
uint32_t actlog_pinned_count(const struct actlog *al);
uint32_t actlog_known_count(const struct actlog *al);

#endif
