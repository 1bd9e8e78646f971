/* SPDX-License-Identifier: Apache-2.0 */
/* What to do with the other's data now that we are connected (wire §7.1). */
#include <stdlib.h>
#include <string.h>

#include "repl_control.h"
#include "repl_decision.h"

static void log_side(
    struct repl_volume *v, const char *who, const uint64_t *u, uint64_t bits, uint64_t flags)
{
    repl_volume_log(v, HV_LOG_INFO, "%s %016llX:%016llX:%016llX:%016llX bits:%llu flags:%llX", who,
        (unsigned long long)u[0], (unsigned long long)u[1], (unsigned long long)u[2],
        (unsigned long long)u[3], (unsigned long long)bits, (unsigned long long)flags);
}

static int compare(struct repl_volume *v, enum drbd_role peer_role)
{
    struct repl *r = v->r;
    struct repl_gi g = {.self_primary = v->state.role == R_PRIMARY,
        .peer_primary = peer_role == R_PRIMARY,
        .self_crashed = v->ctl.crashed_primary,
        .peer_crashed = v->peer_uuids.flags & DRBD_UUID_FLAG_CRASHED_PRIMARY,
        .resolve_conflicts = r->resolve_conflicts,
        .version = r->agreed_version,
        .features = r->agreed_features};
    int result;

    memcpy(g.self, v->md.uuid, sizeof g.self);
    memcpy(g.peer, v->peer_uuids.uuid, sizeof g.peer);
    repl_volume_log(v, HV_LOG_INFO, "drbd_sync_handshake:");
    log_side(v, "self", g.self, v->ctl.comm_bm_set, v->ctl.crashed_primary ? 2 : 0);
    log_side(v, "peer", g.peer, v->peer_uuids.dirty_bits, v->peer_uuids.flags);
    result = repl_gi_compare(&g);
    repl_volume_log(v, HV_LOG_INFO, "uuid_compare()=%d by rule %d", result, g.rule);
    memcpy(v->peer_uuids.uuid, g.peer, sizeof g.peer);
    if (g.self_changed) {
        memcpy(v->md.uuid, g.self, sizeof g.self);
        repl_md_mark(v);
    }
    return result;
}

/* Step 2: one disk is Inconsistent, the other is not. */
static int prefer_consistent(
    struct repl_volume *v, int hg, enum drbd_disk mine, enum drbd_disk peer)
{
    bool full = hg == REPL_GI_SPLIT_BRAIN || abs(hg) == 2;

    if (!((mine == D_INCONSISTENT && peer > D_INCONSISTENT) ||
            (peer == D_INCONSISTENT && mine > D_INCONSISTENT)))
        return hg;
    hg = mine > D_INCONSISTENT ? 1 : -1;
    if (full)
        hg *= 2;
    repl_volume_log(
        v, HV_LOG_INFO, "Becoming sync %s due to disk states.", hg > 0 ? "source" : "target");
    return hg;
}

static int apply_policies(struct repl_volume *v, int hg, enum drbd_role peer_role)
{
    const struct repl_net_config *net = &v->r->config.net;
    bool forced = hg == REPL_GI_SPLIT_BRAIN;
    struct repl_after_sb a = {.policy_0pri = (enum drbd_after_sb)net->after_sb_0pri,
        .policy_1pri = (enum drbd_after_sb)net->after_sb_1pri,
        .policy_2pri = (enum drbd_after_sb)net->after_sb_2pri,
        .self_primary = v->state.role == R_PRIMARY,
        .peer_primary = peer_role == R_PRIMARY,
        .self_bitmap_uuid = v->md.uuid[MD_UUID_BITMAP],
        .peer_bitmap_uuid = v->peer_uuids.uuid[DRBD_UUID_BITMAP],
        .self_changes = v->ctl.comm_bm_set,
        .peer_changes = v->peer_uuids.dirty_bits,
        .resolve_conflicts = v->r->resolve_conflicts};
    int primaries = a.self_primary + a.peer_primary;
    int result = repl_after_sb(&a);

    if (a.call_helper) {
        /* The loser would have to become Secondary, which its users decide: the device may be open. */
        repl_handler(v->r, REPL_H_PRI_LOST_AFTER_SB, v, NULL);
        result = REPL_GI_SPLIT_BRAIN;
    }
    if (abs(result) >= 100)
        return hg;
    repl_volume_log(v, HV_LOG_WARN,
        "Split-Brain detected, %d primaries, automatically solved. "
        "Sync from %s node",
        primaries, result < 0 ? "peer" : "this");
    if (forced) {
        repl_volume_log(v, HV_LOG_WARN, "Doing a full sync, since UUIDs where ambiguous.");
        result *= 2;
    }
    return result;
}

/* Steps 3 to 6. */
static int solve_split_brain(struct repl_volume *v, int hg, enum drbd_role peer_role)
{
    bool peer_discards = v->peer_uuids.flags & DRBD_UUID_FLAG_DISCARD_MY_DATA;
    bool auto_ok = hg == REPL_GI_SPLIT_BRAIN_AUTO || v->r->config.net.always_asbp;

    repl_handler(v->r, REPL_H_INITIAL_SPLIT_BRAIN, v, NULL);
    if (auto_ok)
        hg = apply_policies(v, hg, peer_role);
    if (hg == REPL_GI_SPLIT_BRAIN_AUTO)
        hg = REPL_GI_SPLIT_BRAIN;
    if (hg != REPL_GI_SPLIT_BRAIN)
        return hg;
    if (v->r->ctl.discarding && !peer_discards)
        hg = -1;
    if (!v->r->ctl.discarding && peer_discards)
        hg = 1;
    if (abs(hg) < 100) {
        repl_volume_log(v, HV_LOG_WARN, "Split-Brain detected, manually solved. Sync from %s node",
            hg < 0 ? "peer" : "this");
        return hg;
    }
    v->r->ctl.split_brain = true;
    repl_changed(v->r, -1);
    repl_volume_log(v, HV_LOG_CRIT, "Split-Brain detected but unresolved, dropping connection!");
    repl_handler(v->r, REPL_H_SPLIT_BRAIN, v, NULL);
    return hg;
}

/* Step 8: a Primary with data is told to throw it away. */
static bool primary_may_be_target(struct repl_volume *v)
{
    switch (v->r->config.net.rr_conflict) {
    case REPL_RR_CALL_PRI_LOST:
        repl_handler(v->r, REPL_H_PRI_LOST, v, NULL);
        break;
    case REPL_RR_VIOLENTLY:
        repl_volume_log(
            v, HV_LOG_WARN, "Becoming SyncTarget, violating the stable-data assumption");
        return true;
    case REPL_RR_DISCONNECT:
        break;
    }
    repl_volume_log(v, HV_LOG_ERROR, "I shall become SyncTarget, but I am primary!");
    return false;
}

static bool unrelated(struct repl_volume *v, int hg)
{
    if (hg == REPL_GI_UNRELATED) {
        repl_volume_log(v, HV_LOG_CRIT, "Unrelated data, aborting!");
    } else if (hg < -0x10000) {
        repl_volume_log(v, HV_LOG_CRIT,
            "To resolve this both sides have to support at least protocol %d and feature flags "
            "0x%x",
            (-hg) & 0xff, ((-hg) >> 8) & 0xff);
    } else if (hg < REPL_GI_UNRELATED) {
        repl_volume_log(v, HV_LOG_CRIT,
            "To resolve this both sides have to support at least protocol %d", -hg - 1000);
    } else {
        return false;
    }
    return true;
}

static enum drbd_conn act(struct repl_volume *v, int hg)
{
    if (abs(hg) >= 2) {
        repl_volume_log(v, HV_LOG_INFO,
            "Writing the whole bitmap, full sync required after drbd_sync_handshake.");
        v->md.flags |= MDF_FULL_SYNC;
        repl_md_mark(v);
        bitmap_set_all(&v->bm);
        repl_sync_full_bitmap_write(v);
    }
    if (hg > 0)
        return C_WF_BITMAP_S;
    if (hg < 0)
        return C_WF_BITMAP_T;
    if (v->bm.weight)
        repl_volume_log(v, HV_LOG_INFO, "No resync, but %llu bits in bitmap!",
            (unsigned long long)v->bm.weight);
    return C_CONNECTED;
}

enum drbd_conn repl_sync_handshake(
    struct repl_volume *v, enum drbd_role peer_role, enum drbd_disk peer_disk)
{
    enum drbd_disk mine = v->state.disk == D_NEGOTIATING ? v->ctl.negotiated : v->state.disk;
    int hg = compare(v, peer_role);

    if (unrelated(v, hg))
        return C_MASK;
    hg = prefer_consistent(v, hg, mine, peer_disk);
    if (abs(hg) == 100) {
        hg = solve_split_brain(v, hg, peer_role);
        if (hg == REPL_GI_SPLIT_BRAIN)
            return C_MASK;
    }
    if (hg > 0 && mine <= D_INCONSISTENT) {
        repl_volume_log(v, HV_LOG_ERROR, "I shall become SyncSource, but I am inconsistent!");
        return C_MASK;
    }
    if (hg < 0 && v->state.role == R_PRIMARY && v->state.disk >= D_CONSISTENT &&
        !primary_may_be_target(v))
        return C_MASK;
    if (v->r->config.net.dry_run || v->r->ctl.dry_run) {
        v->r->ctl.dry_run = true;
        repl_volume_log(v, HV_LOG_INFO, "dry-run connect: %s%s",
            hg == 0 ? "No resync, would become Connected immediately."
                    : (hg > 0 ? "Would become SyncSource, doing a "
                              : "Would become SyncTarget, doing a "),
            hg == 0 ? "" : (abs(hg) >= 2 ? "full resync." : "bitmap based resync."));
        return C_MASK;
    }
    return act(v, hg);
}
