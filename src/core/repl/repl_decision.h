/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REPL_DECISION_H
#define REPL_DECISION_H
/* Who has the newest data: the comparison of the generation identifiers (wire §7), pure. */
#include <stdbool.h>
#include <stdint.h>

#include "drbd_packet.h"

enum {
    REPL_GI_SPLIT_BRAIN_AUTO = 100,
    REPL_GI_SPLIT_BRAIN = -100,
    REPL_GI_UNRELATED = -1000,
    REPL_GI_NEEDS_VERSION = -1000,     /* minus the version: −1091 */
    REPL_GI_NEEDS_FEATURES = -0x10000, /* minus version | flags << 8 */
};

struct repl_gi {
    uint64_t self[DRBD_UUIDS], peer[DRBD_UUIDS]; /* corrected in place by rules 34, 35, 51, 71 */
    bool self_changed;                           /* … and self has to be written */
    bool self_primary, peer_primary;
    bool self_crashed, peer_crashed; /* crashed as Primary */
    bool resolve_conflicts;
    int version;
    uint32_t features;
    int rule; /* out: which rule decided */
};

/* 0: no resync; ±1 by bitmap, ±2 in full, + when self is the source; or one of REPL_GI_*. */
int repl_gi_compare(struct repl_gi *g);

/* The configured policy after a split brain, for so many Primaries as there are (wire §7.1.4). */
struct repl_after_sb {
    enum drbd_after_sb policy_0pri, policy_1pri, policy_2pri;
    bool self_primary, peer_primary;
    uint64_t self_bitmap_uuid, peer_bitmap_uuid; /* bit 0: was Primary when they diverged */
    uint64_t self_changes, peer_changes;         /* dirty bits */
    bool resolve_conflicts;
    bool call_helper; /* out: the Primary that loses has to become Secondary first */
};

/* −1: mine is discarded, 1: the peer's, −100: not solved. */
int repl_after_sb(struct repl_after_sb *a);

#endif
