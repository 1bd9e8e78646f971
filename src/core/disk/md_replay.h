/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MD_REPLAY_H
#define MD_REPLAY_H
/* Replay of the activity log (disk §3.5), mandatory before attach: from the bytes of the ring to the
 * extents that may differ.  Pure; the caller reads the ring, sets the extents' bits, writes the bitmap,
 * then the fresh ring, and last the superblock. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "actlog.h"
#include "bitmap.h"
#include "hv_error.h"
#include "md.h"

enum { MD_REPLAY_SLOTS = 65536 };

struct md_replay {
    uint32_t blocks;         /* in the ring */
    uint32_t valid, corrupt; /* of them */
    uint32_t transactions;   /* valid ones that are updates, not just initialised */
    uint32_t oldest, newest; /* tr_number, when transactions > 0 */
    bool format_83;          /* a ring as DRBD 8.3 wrote it */
    uint32_t count;
    uint32_t extents[MD_REPLAY_SLOTS]; /* [count], ascending, each once */
};

/* ring: ring_bytes = blocks × 4096, as on disk.  `primary` is MDF_PRIMARY_IND of the superblock: the extents
 * are reported either way, yet an unusable log is an error (HV_EPROTO) only then.
 * Apply the extents only when the node was Primary. */
HV_MUST_CHECK int md_replay(const uint8_t *ring, size_t ring_bytes, uint32_t stripes,
    uint32_t stripe_blocks, bool primary, struct md_replay *out, struct hv_diag *diag);

/* Sets the bits of every extent; returns how many bits became set.  *beyond counts extents that lie
 * past the end of the bitmap. */
uint64_t md_replay_apply(const struct md_replay *replay, struct bitmap *bm, uint32_t *beyond);

/* An initialised ring: each block the same (magic, type "initialised", checksum). */
void md_replay_block_init(uint8_t bytes[MD_BLOCK_BYTES]);
void md_replay_ring_init(uint8_t *ring, size_t ring_bytes);

/* Position in the ring, in blocks, of the transaction with this number (disk §3.3). */
uint32_t md_replay_ring_block(uint32_t tr_number, uint32_t stripes, uint32_t stripe_blocks);

#endif
