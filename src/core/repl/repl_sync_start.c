/* SPDX-License-Identifier: Apache-2.0 */
/* From "there is something to resync" to the first request (wire §11.4): full-sync bitmaps, the P_SYNC_UUID, the
 * before-resync handlers, and the superblock that has to be durable first.
 *
 * What comes on the data socket meanwhile waits (repl_hold()): it belongs to the resync. */
#include "repl_control.h"

/* --- the bitmap of a full sync --- */

static void full_bitmap_durable(struct repl_volume *v, void *arg, int error)
{
    if (error || !v->disk_open)
        return;
    v->md.flags &= ~(uint32_t)MDF_FULL_SYNC;
    repl_md_mark(v);
}

/* FULL_SYNC stands in the superblock until every page is written. */
void repl_sync_full_bitmap_write(struct repl_volume *v)
{
    repl_md_sync(v, NULL, NULL);
    repl_bm_write(v, 0, UINT32_MAX, full_bitmap_durable, NULL);
}

/* --- starting --- */

/* The disk says Inconsistent: now resync data may overwrite it. */
static void target_durable(struct repl_volume *v, void *arg, int error)
{
    repl_unhold(v);
    v->ctl.sync_side = C_STANDALONE;
    if (!error && (v->state.conn == C_SYNC_TARGET || v->state.conn == C_PAUSED_SYNC_T))
        repl_resync_start(v);
}

static void start(struct repl_volume *v)
{
    enum drbd_conn side = v->ctl.sync_side;
    struct drbd_state ns = v->state;

    ns.conn = side;
    if (side == C_SYNC_TARGET)
        ns.disk = D_INCONSISTENT;
    else
        ns.pdsk = D_INCONSISTENT;
    if (repl_state_change(v, ns, REPL_CHG_VERBOSE, "resync starts") < SS_SUCCESS ||
        v->state.conn < C_CONNECTED) {
        repl_unhold(v);
        v->ctl.sync_side = C_STANDALONE;
        return;
    }
    if (side == C_SYNC_TARGET) {
        repl_md_sync(v, target_durable, NULL);
        return;
    }
    repl_unhold(v);
    v->ctl.sync_side = C_STANDALONE;
}

static void handler_answered(struct repl *r, struct repl_volume *v, int exit_code)
{
    bool target = v->ctl.sync_side == C_SYNC_TARGET;

    if (v->ctl.sync_side == C_STANDALONE || v->state.conn < C_CONNECTED)
        return;
    if (exit_code > 0 && (target || exit_code != 3)) {
        repl_volume_log(v, HV_LOG_INFO,
            "before-resync-%s handler returned %d, dropping connection.",
            target ? "target" : "source", exit_code);
        repl_conn_drop(r, C_DISCONNECTING, "before-resync handler");
        return;
    }
    start(v);
}

void repl_sync_begin(struct repl_volume *v, enum drbd_conn side)
{
    if (v->ctl.sync_side != C_STANDALONE)
        return;
    if (v->state.conn >= C_SYNC_SOURCE && v->state.conn < C_AHEAD) {
        repl_volume_log(v, HV_LOG_ERROR, "Resync already running!");
        return;
    }
    if (!repl_has_disk(v, D_NEGOTIATING))
        return;
    v->ctl.sync_side = side;
    repl_hold(v);
    repl_handler(v->r,
        side == C_SYNC_TARGET ? REPL_H_BEFORE_RESYNC_TARGET : REPL_H_BEFORE_RESYNC_SOURCE, v,
        handler_answered);
}

/* --- P_SYNC_UUID --- */

static void sync_uuid_apply(struct repl_volume *v)
{
    v->ctl.sync_uuid_held = false;
    repl_unhold(v);
    if (!repl_has_disk(v, D_NEGOTIATING))
        return;
    repl_uuid_set_current(v, v->ctl.sync_uuid);
    v->md.uuid[MD_UUID_BITMAP] = 0;
    repl_uuid_log(v, "updated sync uuid");
    repl_sync_begin(v, C_SYNC_TARGET);
}

void repl_sync_uuid_retry(struct repl_volume *v)
{
    enum drbd_conn conn = v->state.conn;

    if (!v->ctl.sync_uuid_held)
        return;
    if (conn == C_WF_SYNC_UUID || conn == C_BEHIND)
        sync_uuid_apply(v);
    else if (conn < C_CONNECTED || v->state.disk < D_NEGOTIATING) {
        v->ctl.sync_uuid_held = false;
        repl_unhold(v);
    }
}

int repl_recv_sync_uuid(struct repl *r, struct repl_volume *v, struct repl_packet *p)
{
    struct hv_reader reader;
    uint64_t uuid;

    hv_reader_init(&reader, p->sub, p->sub_bytes);
    if (drbd_u64_decode(&reader, &uuid))
        return repl_peer_lied(r, "bad P_SYNC_UUID");
    switch (v->state.conn) {
    case C_STARTING_SYNC_T:
    case C_WF_BITMAP_T:
    case C_WF_SYNC_UUID:
    case C_BEHIND:
        break;
    default:
        return repl_peer_lied(r, "P_SYNC_UUID in state %s", drbd_conn_name(v->state.conn));
    }
    v->ctl.sync_uuid = uuid;
    v->ctl.sync_uuid_held = true;
    repl_hold(v);
    repl_sync_uuid_retry(v);
    return 0;
}

/* --- a full sync that somebody asked for --- */

static void full_sync_ready(struct repl_volume *v, void *arg, int error)
{
    struct drbd_state ns = v->state;

    full_bitmap_durable(v, arg, error);
    if (error)
        return;
    if (v->state.conn == C_STARTING_SYNC_T) {
        ns.conn = C_WF_SYNC_UUID;
        repl_state_change(v, ns, REPL_CHG_VERBOSE, "full sync");
    } else if (v->state.conn == C_STARTING_SYNC_S) {
        repl_sync_begin(v, C_SYNC_SOURCE);
    }
}

void repl_sync_full(struct repl_volume *v)
{
    if (!repl_has_disk(v, D_INCONSISTENT))
        return;
    v->md.flags |= MDF_FULL_SYNC;
    repl_md_mark(v);
    bitmap_set_all(&v->bm);
    repl_md_sync(v, NULL, NULL);
    repl_bm_write(v, 0, UINT32_MAX, full_sync_ready, NULL);
}
