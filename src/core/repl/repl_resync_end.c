/* SPDX-License-Identifier: Apache-2.0 */
/* The end of a resync or verify (wire §11.4).  Target: flush the data, write the bitmap, ping (so that the
 * source has all our acks), then the UUIDs and the state.  Source: told by P_STATE. */
#include "repl_int.h"

static void *serial_arg(const struct repl_volume *v)
{
    return (void *)(uintptr_t)v->data.rs.serial;
}

static bool is_current(const struct repl_volume *v, const void *arg)
{
    return v->data.rs.active && arg == serial_arg(v);
}

static void ping(struct repl_volume *v)
{
    v->data.rs.stage = RS_PING;
    repl_ping(v->r);
}

static void bitmap_written(struct repl_volume *v, void *arg, int error)
{
    if (!is_current(v, arg))
        return;
    if (error)
        repl_disk_failed(v, REPL_DISK_META, v->layout.bm_sector);
    else
        ping(v);
}

static void data_flushed(struct repl_volume *v, void *arg, int error, struct hv_buf *buf)
{
    v->data.local_out--;
    if (!is_current(v, arg))
        return;
    if (error && error != HV_EUNSUPPORTED) {
        repl_disk_failed(v, REPL_DISK_WRITE, 0);
        return;
    }
    repl_clears_durable(v, v->data.rs_clears);
    v->data.rs.stage = RS_BITMAP;
    repl_bm_write(v, 0, v->bm.pages, bitmap_written, arg);
}

void repl_rs_check(struct repl_volume *v)
{
    struct repl_resync *rs = &v->data.rs;

    if (!rs->active || rs->verify || rs->stage != RS_RUN || v->bm.weight > rs->failed_bits)
        return;
    if (rs->source) {
        if (rs->peer_done)
            ping(v);
        return;
    }
    if (!rs->saved || rs->pending > 0 || !repl_disk_usable(v))
        return;
    repl_volume_timer_clear(v, REPL_VT_RESYNC);
    repl_rs_unlock_half(v);
    rs->stage = RS_FLUSH;
    v->data.rs_clears = v->data.clears;
    v->data.local_out++;
    repl_io(v, REPL_FX_FLUSH, 0, NULL, 0, 0, 0, data_flushed, serial_arg(v));
}

void repl_resync_peer_done(struct repl_volume *v)
{
    if (!v->data.rs.active || v->data.rs.verify || !v->data.rs.source)
        return;
    v->data.rs.peer_done = true;
    repl_rs_check(v);
}

void repl_verify_peer_done(struct repl_volume *v)
{
    if (v->data.rs.active && v->data.rs.verify && v->state.conn == C_VERIFY_T)
        repl_rs_finish(v);
}

void repl_rs_pinged(struct repl_volume *v)
{
    repl_rs_finish(v);
}

void repl_rs_log_done(struct repl_volume *v, uint64_t bits)
{
    struct repl_resync *rs = &v->data.rs;
    uint64_t total_ms = v->r->now_ms - rs->start_ms, seconds;

    seconds = total_ms > rs->paused_ms ? (total_ms - rs->paused_ms) / 1000 : 0;
    if (seconds == 0)
        seconds = 1;
    repl_volume_log(v, HV_LOG_INFO, "%s done (total %llu sec; paused %llu sec; %llu K/sec)",
        rs->verify ? "Online verify" : "Resync",
        (unsigned long long)(seconds + rs->paused_ms / 1000),
        (unsigned long long)(rs->paused_ms / 1000), (unsigned long long)(bits * 4 / seconds));
}

static void log_equal(struct repl_volume *v)
{
    const struct repl_resync *rs = &v->data.rs;
    uint64_t total = rs->total_bits, same = rs->same_bits;

    if (rs->csums && total > 0)
        repl_volume_log(v, HV_LOG_INFO,
            "%llu %% had equal checksums, eliminated: %lluK; transferred %lluK total %lluK",
            (unsigned long long)(same * 100 / total), (unsigned long long)same * 4,
            (unsigned long long)(total > same ? total - same : 0) * 4,
            (unsigned long long)total * 4);
    if (rs->failed_bits > 0)
        repl_volume_log(
            v, HV_LOG_ERROR, "            %llu failed blocks", (unsigned long long)rs->failed_bits);
}

static void finish_verify(struct repl_volume *v)
{
    struct repl_resync *rs = &v->data.rs;
    struct drbd_state want = v->state;
    uint64_t found = rs->ov_found_bits;

    repl_ov_note(v, UINT64_MAX, 0, true);
    repl_rs_log_done(v, rs->total_bits - rs->ov_left_bits);
    if (found > 0)
        repl_volume_log(v, HV_LOG_CRIT, "Online verify found %llu 4k block out of sync!",
            (unsigned long long)found);
    rs->active = false;
    rs->serial++;
    repl_volume_timer_clear(v, REPL_VT_RESYNC);
    repl_rs_unlock_half(v);
    want.conn = C_CONNECTED;
    (void)repl_state_change(v, want, REPL_CHG_VERBOSE, "online verify finished");
    repl_bitmap_save(v);
    if (found > 0)
        repl_handler(v->r, REPL_H_OUT_OF_SYNC, v, NULL);
}

/* wire §11.4: both of us in sync again, in all volumes: a fence that was put up can go. */
static void unfence(struct repl_volume *v)
{
    const struct repl *r = v->r;

    if (v->config.disk.fencing == REPL_FENCE_DONT_CARE)
        return;
    for (uint32_t i = 0; i < r->config.volumes; i++)
        if (r->volumes[i].state.disk != D_UP_TO_DATE || r->volumes[i].state.pdsk != D_UP_TO_DATE)
            return;
    repl_handler(v->r, REPL_H_UNFENCE_PEER, NULL, NULL);
}

static void finish_resync(struct repl_volume *v)
{
    struct repl_resync *rs = &v->data.rs;
    struct drbd_state want = v->state;
    bool source = rs->source, failed = rs->failed_bits > 0;

    repl_rs_log_done(v, rs->total_bits);
    log_equal(v);
    rs->active = false;
    rs->serial++;
    repl_volume_timer_clear(v, REPL_VT_RESYNC);
    repl_rs_unlock_half(v);
    want.conn = C_CONNECTED;
    want.disk = source || !failed ? D_UP_TO_DATE : D_INCONSISTENT;
    want.pdsk = !source || !failed ? D_UP_TO_DATE : D_INCONSISTENT;
    if (!failed)
        repl_uuid_sync_finished(v);
    (void)repl_state_change(v, want, REPL_CHG_HARD | REPL_CHG_VERBOSE, "resync finished");
    repl_md_mark(v);
    repl_md_sync(v, NULL, NULL);
    repl_bitmap_save(v);
    if (!source)
        repl_handler(v->r, REPL_H_AFTER_RESYNC_TARGET, v, NULL);
    else if (!failed)
        unfence(v);
}

void repl_rs_finish(struct repl_volume *v)
{
    if (v->state.conn <= C_CONNECTED)
        return;
    v->data.rs.verify ? finish_verify(v) : finish_resync(v);
}
