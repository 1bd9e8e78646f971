/* SPDX-License-Identifier: Apache-2.0 */
/* What the control half does after a state change (wire §6.6.11, §6.7, §7.2, §8, §11.4). */
#include "repl_control.h"

/* Contact to the peer's data is lost (wire §7.2a). */
static bool lost_peer_data(enum drbd_disk from, enum drbd_disk to)
{
    bool had = from == D_INCONSISTENT || from == D_CONSISTENT || from == D_UP_TO_DATE;
    bool gone = to < D_INCONSISTENT || to == D_UNKNOWN || to == D_OUTDATED;
    bool worse = from == D_UNKNOWN && (to == D_DISKLESS || to == D_FAILED || to == D_OUTDATED);

    return (had && gone) || worse;
}

static bool no_data_anywhere(const struct drbd_state *s)
{
    return s->role == R_PRIMARY && s->disk < D_UP_TO_DATE && s->pdsk < D_UP_TO_DATE;
}

static void thaw_no_data(
    struct repl_volume *v, const struct drbd_state *from, const struct drbd_state *to)
{
    struct drbd_state mask = {.susp_nod = true}, val = {.susp_nod = false};
    bool connected = from->conn < C_CONNECTED && to->conn >= C_CONNECTED;
    bool attached =
        (from->disk == D_ATTACHING || from->disk == D_NEGOTIATING) && to->disk > D_NEGOTIATING;

    if (to->susp_nod && (connected || attached) && !no_data_anywhere(to))
        repl_all_change(v->r, &mask, &val, 0, "data is back");
}

/* Frozen for fencing: the peer is fenced, or it is back. */
static void thaw_fencing(
    struct repl_volume *v, const struct drbd_state *from, const struct drbd_state *to)
{
    struct drbd_state mask = {.susp_fen = true}, val = {.susp_fen = false};

    if (!to->susp_fen)
        return;
    if (from->pdsk > D_OUTDATED && to->pdsk <= D_OUTDATED) {
        repl_thaw_fenced(v);
    } else if (from->conn < C_CONNECTED && to->conn >= C_CONNECTED) {
        v->ctl.new_cur_uuid = false;
        repl_all_change(v->r, &mask, &val, REPL_CHG_HARD, "peer is back");
    }
}

static void new_uuid_if_due(
    struct repl_volume *v, const struct drbd_state *from, const struct drbd_state *to)
{
    bool mine =
        repl_has_disk(v, D_UP_TO_DATE) && to->disk >= D_UP_TO_DATE && !v->md.uuid[MD_UUID_BITMAP];

    if (lost_peer_data(from->pdsk, to->pdsk) && mine &&
        (to->role == R_PRIMARY || to->peer == R_PRIMARY)) {
        /* Frozen and cut off, we may not yet go on alone.  But a peer that says itself that its disk is
         * gone cannot take over, and from now on only this disk has what is written. */
        if (repl_suspended(v) && to->conn < C_CONNECTED) {
            v->ctl.new_cur_uuid = true;
        } else {
            repl_uuid_new_current(v);
            if (to->conn >= C_CONNECTED)
                repl_send_uuids(v);
        }
        return;
    }
    /* A diskless peer becomes Primary: it writes to our disk alone. */
    if (to->pdsk < D_INCONSISTENT && mine && from->peer != R_PRIMARY && to->peer == R_PRIMARY) {
        repl_uuid_new_current(v);
        repl_send_uuids(v);
    }
}

static void write_bitmap_if_due(
    struct repl_volume *v, const struct drbd_state *from, const struct drbd_state *to)
{
    bool demoted = from->role == R_PRIMARY && to->role == R_SECONDARY && to->conn <= C_CONNECTED;
    bool peer_demoted =
        to->pdsk < D_INCONSISTENT && from->peer == R_PRIMARY && to->peer == R_SECONDARY;
    bool sync_over = from->conn > C_CONNECTED && to->conn <= C_CONNECTED;
    bool lost = from->conn >= C_CONNECTED && to->conn < C_CONNECTED;

    if ((demoted || peer_demoted || sync_over || lost) && repl_has_disk(v, D_INCONSISTENT))
        repl_bitmap_save(v);
}

static void tell_peer(
    struct repl_volume *v, const struct drbd_state *from, const struct drbd_state *to)
{
    bool isp = from->aftr_isp != to->aftr_isp || from->user_isp != to->user_isp;

    if (to->conn < C_CONNECTED)
        return;
    if (from->disk == D_ATTACHING && to->disk == D_NEGOTIATING) {
        repl_send_sizes(v, false, 0);
        repl_send_uuids(v);
        repl_send_state(v, to);
    }
    if (isp)
        repl_send_state(v, to);
    if (from->conn == C_WF_REPORT_PARAMS)
        repl_send_state(v, to);
    if (from->conn != C_AHEAD && to->conn == C_AHEAD)
        repl_send_state(v, to);
    if (from->disk != D_FAILED && to->disk == D_FAILED)
        repl_send_state(v, to);
    if (from->disk != D_DISKLESS && to->disk == D_DISKLESS)
        repl_send_state(v, to);
    if (from->disk == D_UP_TO_DATE && to->disk == D_INCONSISTENT)
        repl_send_state(v, to);
    /* The end of a resync is told by its target (wire §11.4), that of a verify by who began it. */
    if (from->disk < D_UP_TO_DATE && from->conn >= C_SYNC_SOURCE && to->conn == C_CONNECTED)
        repl_send_state(v, to);
    if (from->conn == C_VERIFY_S && to->conn == C_CONNECTED &&
        ((v->r->agreed_version >= 97 && v->r->agreed_version != 100)))
        repl_send_state(v, to);
}

static void sync_steps(
    struct repl_volume *v, const struct drbd_state *from, const struct drbd_state *to)
{
    bool was_source = from->conn == C_SYNC_SOURCE || from->conn == C_PAUSED_SYNC_S;
    bool is_source = to->conn == C_SYNC_SOURCE || to->conn == C_PAUSED_SYNC_S;

    if (is_source && !was_source && repl_has_disk(v, D_NEGOTIATING))
        repl_uuid_sync_started(v);
    if (from->pdsk == D_DISKLESS && to->pdsk > D_DISKLESS && to->pdsk != D_UNKNOWN) {
        repl_send_uuids(v);
        repl_send_state(v, to);
    }
    if (from->conn != C_WF_BITMAP_S && to->conn == C_WF_BITMAP_S && v->state.conn == C_WF_BITMAP_S)
        repl_bitmap_send_start(v);
    if (from->conn <= C_CONNECTED && to->conn == C_WF_BITMAP_T)
        v->ctl.bm_receiving = false;
}

void repl_ctl_after_state(
    struct repl_volume *v, const struct drbd_state *from, const struct drbd_state *to)
{
    if (from->conn == C_WF_REPORT_PARAMS && to->conn != C_WF_REPORT_PARAMS) {
        bool all = true;
        for (uint32_t i = 0; i < v->r->config.volumes; i++)
            all = all && v->r->volumes[i].state.conn != C_WF_REPORT_PARAMS;
        if (all)
            v->r->ctl.state_sent = false;
    }
    if (from->conn < C_CONNECTED && to->conn >= C_CONNECTED)
        v->r->ctl.split_brain = false;
    if (no_data_anywhere(to) && !no_data_anywhere(from))
        repl_handler(v->r, REPL_H_PRI_ON_INCON_DEGR, v, NULL);
    thaw_no_data(v, from, to);
    thaw_fencing(v, from, to);
    if (to->conn >= C_CONNECTED)
        v->ctl.new_cur_uuid = false;
    sync_steps(v, from, to);
    new_uuid_if_due(v, from, to);
    write_bitmap_if_due(v, from, to);
    tell_peer(v, from, to);
    if ((from->conn != C_STARTING_SYNC_T && to->conn == C_STARTING_SYNC_T) ||
        (from->conn != C_STARTING_SYNC_S && to->conn == C_STARTING_SYNC_S))
        repl_sync_full(v);
    if (from->disk > D_NEGOTIATING && to->disk == D_FAILED && v->ctl.was_io_error) {
        v->ctl.was_io_error = false;
        if (v->config.disk.on_io_error == REPL_IOE_CALL_HANDLER)
            repl_handler(v->r, REPL_H_LOCAL_IO_ERROR, v, NULL);
    }
    if (v->ctl.resync_after_neg && to->disk > D_NEGOTIATING && to->pdsk > D_NEGOTIATING) {
        v->ctl.resync_after_neg = false;
        if (to->conn == C_CONNECTED)
            repl_resync_after_grow(v);
    }
    if (v->ctl.sync_uuid_held)
        repl_sync_uuid_retry(v);
    if (v->ctl.md.dirty && v->disk_open)
        repl_md_sync(v, NULL, NULL);
}
