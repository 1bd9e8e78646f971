/* SPDX-License-Identifier: Apache-2.0 */
/* A disk that fails, and the way from Failed to Diskless (admin §1.4 on-io-error, disk §4). */
#include "repl_control.h"

void repl_disk_failed(struct repl_volume *v, enum repl_disk_error what, uint64_t sector)
{
    static const char *const names[] = {
        [REPL_DISK_READ] = "read", [REPL_DISK_WRITE] = "write", [REPL_DISK_META] = "metadata I/O"};
    struct drbd_state ns = v->state;

    if (v->ctl.att.phase != REPL_ATT_IDLE || v->state.disk <= D_FAILED)
        return;
    if (what != REPL_DISK_META && v->config.disk.on_io_error == REPL_IOE_PASS_ON) {
        repl_volume_log(v, HV_LOG_ERROR, "Local IO failed: %s, sector %llu.", names[what],
            (unsigned long long)sector);
        if (ns.disk <= D_INCONSISTENT)
            return;
        ns.disk = D_INCONSISTENT;
        repl_state_change(v, ns, REPL_CHG_HARD, "local I/O error");
        return;
    }
    repl_volume_log(v, HV_LOG_ERROR, "Local IO failed: %s, sector %llu. Detaching...", names[what],
        (unsigned long long)sector);
    v->ctl.was_io_error = true;
    v->ctl.was_read_error |= what == REPL_DISK_READ;
    ns.disk = D_FAILED;
    repl_state_change(v, ns, REPL_CHG_HARD, "local I/O error");
}

static void ask_for_full_sync(struct repl_volume *v)
{
    v->md.flags |= MDF_FULL_SYNC;
    repl_md_mark(v);
    repl_md_sync(v, NULL, NULL);
}

static void last_bitmap_written(struct repl_volume *v, void *arg, int error)
{
    if (error && v->ctl.was_read_error)
        ask_for_full_sync(v);
}

/* A bit that is clear on disk while its block is still in a volatile cache would be a difference that
 * nobody knows of after a power failure (as repl_bitmap_save()). */
static void last_data_flushed(struct repl_volume *v, void *arg, int error, struct hv_buf *buf)
{
    if (error && error != HV_EUNSUPPORTED)
        ask_for_full_sync(v);
    else
        repl_bm_write(v, 0, UINT32_MAX, last_bitmap_written, NULL);
}

static void close_disk(struct repl_volume *v)
{
    struct drbd_state ns = v->state;

    v->ctl.going_diskless = false;
    v->disk_open = false;
    repl_volume_timer_clear(v, REPL_VT_MD);
    ns.disk = D_DISKLESS;
    repl_state_change(v, ns, REPL_CHG_HARD, "detached");
    repl_fx(v->r, REPL_FX_CLOSE_DISK)->io.volume = v->index;
    bitmap_free(&v->bm);
    actlog_free(v->al);
    v->al = NULL;
}

/* Failed: first everything that uses the disk ends, then the bitmap and the superblock are written once more,
 * as far as they can be, then the disk is closed. */
void repl_disk_settle(struct repl_volume *v)
{
    if (!v->disk_open)
        return;
    if (v->state.disk == D_FAILED && !v->ctl.going_diskless && repl_data_disk_idle(v)) {
        v->ctl.going_diskless = true;
        repl_io(v, REPL_FX_FLUSH, 0, NULL, 0, 0, 0, last_data_flushed, NULL);
        repl_md_sync(v, NULL, NULL);
    }
    if (v->ctl.going_diskless && !v->ios && repl_md_idle(v) && repl_data_disk_idle(v))
        close_disk(v);
}
