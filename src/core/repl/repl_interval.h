/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REPL_INTERVAL_H
#define REPL_INTERVAL_H
/* Which sectors of a volume have something under way.  Two writes that overlap are serialised on both
 * nodes, so that both disks end with the same bytes.  Intervals hang in buckets of 1 MiB; those that
 * cover more than two buckets (large discards) in a list of their own. */
#include <stdbool.h>
#include <stdint.h>

#include "hv_list.h"

enum { REPL_INTERVAL_BUCKETS = 256, REPL_INTERVAL_BUCKET_SHIFT = 11 /* 2048 sectors */ };

struct repl_interval {
    struct hv_list node[2];
    uint64_t sector, end;
    bool active;  /* in the set */
    bool writing; /* excludes the others that are; false: only to be found again */
    bool waited;  /* somebody waits for it to go */
};

struct repl_intervals {
    struct hv_list bucket[2][REPL_INTERVAL_BUCKETS]; /* [which node], by number */
    struct hv_list large;
};

void repl_intervals_init(struct repl_intervals *set);
void repl_interval_add(struct repl_intervals *set, struct repl_interval *iv, uint64_t sector,
    uint64_t sectors, bool writing);
/* Harmless when it is not in a set. */
void repl_interval_remove(struct repl_interval *iv);
/* A writing interval that overlaps, other than `self` (may be NULL); NULL: none. */
struct repl_interval *repl_interval_conflict(struct repl_intervals *set, uint64_t sector,
    uint64_t sectors, const struct repl_interval *self);
/* Calls `want` for those that begin and end exactly there until it says true; that one, or NULL. */
struct repl_interval *repl_interval_exact(struct repl_intervals *set, uint64_t sector,
    uint64_t sectors, bool (*want)(struct repl_interval *iv, void *arg), void *arg);

#endif
