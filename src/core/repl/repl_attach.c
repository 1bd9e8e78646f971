/* SPDX-License-Identifier: Apache-2.0 */
/* Attach (disk §2.3, §2.4, §3.5): read the superblock, judge it, replay the activity log if the node
 * crashed, read the bitmap, start with a fresh ring, and say what the disk is worth. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "repl_control.h"

/* Numbers of drbdsetup (admin §4). */
enum {
    ERR_MD_DISK_TOO_SMALL = 112,
    ERR_IO_MD_DISK = 118,
    ERR_MD_INVALID = 119,
    ERR_NOMEM = 122,
    ERR_DISK_CONFIGURED = 124,
    ERR_NOMEM_BITMAP = 140,
    ERR_DATA_NOT_CURRENT = 150,
    ERR_IMPLICIT_SHRINK = 170,
};

static void next_read(struct repl_volume *v);

void repl_attach_free(struct repl_volume *v)
{
    free(v->ctl.att.ring);
    free(v->ctl.att.replay);
    v->ctl.att.ring = NULL;
    v->ctl.att.replay = NULL;
}

static void give_up(struct repl_volume *v, int retcode, const char *text)
{
    struct repl_attach_ctl *a = &v->ctl.att;
    struct drbd_state ns = v->state;

    a->phase = REPL_ATT_IDLE;
    a->over = true;
    a->retcode = retcode;
    snprintf(a->text, sizeof a->text, "%s", text);
    repl_volume_log(v, HV_LOG_ERROR, "attach: %s", text);
    repl_attach_free(v);
    ns.disk = D_DISKLESS;
    repl_state_change(v, ns, REPL_CHG_HARD, "attach failed");
    v->ctl.going_diskless = true;
}

/* --- the end: what the disk is worth --- */

static void superblock_durable(struct repl_volume *v, void *arg, int error)
{
    struct repl_attach_ctl *a = &v->ctl.att;

    a->over = true;
    a->retcode = error ? ERR_IO_MD_DISK : SS_SUCCESS;
    snprintf(a->text, sizeof a->text, "%s", error ? "the metadata cannot be written" : "");
}

/* The state that the flags name (disk §2.4). */
static void worth(const struct repl_volume *v, struct drbd_state *ns)
{
    uint32_t f = v->md.flags;

    if (!(f & MDF_CONSISTENT))
        ns->disk = D_INCONSISTENT;
    else
        ns->disk = f & MDF_WAS_UP_TO_DATE ? D_CONSISTENT : D_OUTDATED;
    if (f & MDF_PEER_OUT_DATED)
        ns->pdsk = D_OUTDATED;
    if (ns->disk == D_CONSISTENT &&
        (ns->pdsk == D_OUTDATED || repl_fencing_policy(v->r) == REPL_FENCE_DONT_CARE))
        ns->disk = D_UP_TO_DATE;
}

static void finish(struct repl_volume *v)
{
    struct repl_attach_ctl *a = &v->ctl.att;
    struct drbd_state ns = v->state, was = v->state;
    bool crashed = v->md.flags & (MDF_CRASHED_PRIMARY | MDF_PRIMARY_IND);

    repl_attach_free(v);
    a->phase = REPL_ATT_IDLE;
    v->ctl.crashed_primary = crashed && !(was.role == R_PRIMARY && was.susp_nod);
    worth(v, &ns);
    v->md.flags &= ~(uint32_t)MDF_AL_DISABLED;
    if (!v->config.disk.al_updates)
        v->md.flags |= MDF_AL_DISABLED;
    repl_md_mark(v);
    if (was.conn == C_CONNECTED) {
        v->ctl.negotiated = ns.disk;
        v->ctl.negotiated_pdsk = ns.pdsk;
        ns = was;
        ns.disk = D_NEGOTIATING;
        v->peer_uuids_valid = false;
    }
    if (repl_state_change(v, ns, REPL_CHG_VERBOSE, "attach") < SS_SUCCESS) {
        give_up(v, ERR_DISK_CONFIGURED, "the state does not allow an attach now");
        return;
    }
    if (a->set_all) {
        repl_volume_log(v, HV_LOG_INFO, "Assuming that all blocks are out of sync (aka FullSync)");
        bitmap_set_all(&v->bm);
        v->md.flags |= MDF_FULL_SYNC;
        repl_md_mark(v);
        repl_sync_full_bitmap_write(v);
    }
    if (v->bm.weight == v->bm.bits && v->state.conn < C_CONNECTED)
        actlog_suspend(v->al);
    v->ctl.primary_durable = v->state.role == R_PRIMARY;
    repl_uuid_role_bit(v);
    repl_md_sync(v, superblock_durable, NULL);
}

/* --- writing what a replay changed --- */

static void superblock_written(struct repl_volume *v, void *arg, int error, struct hv_buf *buf)
{
    if (error)
        give_up(v, ERR_IO_MD_DISK, "the superblock cannot be written");
    else
        finish(v);
}

/* "In use" is durable before the first write: the activity log counts from here. */
static void write_superblock(struct repl_volume *v)
{
    struct hv_buf *buf = hv_buf_alloc(v->r->config.bufs, MD_BLOCK_BYTES);
    struct md_superblock sb = v->md;

    if (!buf) {
        give_up(v, ERR_NOMEM, "out of buffers");
        return;
    }
    sb.magic = MD_MAGIC_UNCLEAN;
    sb.flags &= ~(uint32_t)MDF_AL_CLEAN;
    if (v->state.role == R_PRIMARY)
        sb.flags |= MDF_PRIMARY_IND;
    if (v->ctl.att.set_all)
        sb.flags |= MDF_FULL_SYNC;
    md_encode(&sb, buf->data);
    buf->length_bytes = MD_BLOCK_BYTES;
    repl_io(v, REPL_FX_MD_WRITE, v->layout.sb_sector, buf, 0, MD_BLOCK_BYTES,
        REPL_IO_PREFLUSH | REPL_IO_FUA, superblock_written, NULL);
}

static void ring_written(struct repl_volume *v, void *arg, int error, struct hv_buf *buf);

static void write_ring(struct repl_volume *v)
{
    struct repl_attach_ctl *a = &v->ctl.att;
    uint64_t left = a->end_bytes - a->at_bytes;
    uint32_t n = left < REPL_ATTACH_CHUNK_BYTES ? (uint32_t)left : REPL_ATTACH_CHUNK_BYTES;
    struct hv_buf *buf;

    if (!n) {
        write_superblock(v);
        return;
    }
    buf = hv_buf_alloc(v->r->config.bufs, n);
    if (!buf) {
        give_up(v, ERR_NOMEM, "out of buffers");
        return;
    }
    md_replay_ring_init(buf->data, n);
    buf->length_bytes = n;
    /* The bits that the log stood for are on disk before it is forgotten. */
    repl_io(v, REPL_FX_MD_WRITE, v->layout.al_sector + a->at_bytes / 512, buf, 0, n,
        REPL_IO_PREFLUSH | REPL_IO_FUA, ring_written, NULL);
    a->at_bytes += n;
}

static void ring_written(struct repl_volume *v, void *arg, int error, struct hv_buf *buf)
{
    if (error)
        give_up(v, ERR_IO_MD_DISK, "the activity log cannot be written");
    else
        write_ring(v);
}

static void bitmap_written(struct repl_volume *v, void *arg, int error)
{
    struct repl_attach_ctl *a = &v->ctl.att;

    if (error) {
        give_up(v, ERR_IO_MD_DISK, "the bitmap cannot be written");
        return;
    }
    a->phase = REPL_ATT_WRITE_RING;
    a->at_bytes = 0;
    a->end_bytes = v->layout.al_sectors * 512;
    write_ring(v);
}

/* --- after reading --- */

static int replay(struct repl_volume *v)
{
    struct repl_attach_ctl *a = &v->ctl.att;
    bool primary = v->md.flags & MDF_PRIMARY_IND;
    struct hv_diag diag = {.text = ""};
    uint32_t beyond = 0;
    uint64_t bits;
    int rv = md_replay(a->ring, v->layout.al_sectors * 512, v->md.al_stripes,
        v->md.al_stripe_blocks, primary, a->replay, &diag);

    if (rv) {
        give_up(v, ERR_MD_INVALID, diag.text);
        return rv;
    }
    if (!primary)
        return 0;
    bits = md_replay_apply(a->replay, &v->bm, &beyond);
    repl_volume_log(v, HV_LOG_INFO, "Marked additional %llu KB as out-of-sync based on AL.",
        (unsigned long long)(bits * (BITMAP_BIT_BYTES / 1024)));
    if (beyond)
        repl_volume_log(v, HV_LOG_WARN, "%u extents beyond end of bitmap", beyond);
    return 0;
}

/* Everything is in memory: the size of now, the log's extents, and a fresh log. */
static void all_read(struct repl_volume *v)
{
    struct repl_attach_ctl *a = &v->ctl.att;
    uint64_t size = repl_size_agree(
        0, v->layout.usable_sectors, v->md.la_size_sectors, v->config.disk.size_sectors);

    if (a->unclean && replay(v))
        return;
    if (bitmap_resize(&v->bm, size, true) || actlog_new(&v->al, v->config.disk.al_extents,
                                                 v->md.al_stripes, v->md.al_stripe_blocks, 0)) {
        give_up(v, ERR_NOMEM_BITMAP, "out of memory for the bitmap");
        return;
    }
    actlog_set_updates(v->al, v->config.disk.al_updates);
    v->md.al_extents = actlog_extents(v->al);
    v->size_sectors = size;
    if (!v->md.la_size_sectors)
        a->set_all = true;
    v->md.la_size_sectors = size;
    repl_volume_log(v, HV_LOG_INFO, "size = %llu KB", (unsigned long long)(size / 2));
    a->phase = REPL_ATT_WRITE_BITMAP;
    repl_bm_write(v, 0, UINT32_MAX, bitmap_written, NULL);
}

/* --- reading ring and bitmap, a few chunks at a time --- */

static void begin_bitmap(struct repl_volume *v)
{
    struct repl_attach_ctl *a = &v->ctl.att;

    a->phase = REPL_ATT_BITMAP;
    a->at_bytes = 0;
    a->end_bytes = a->set_all ? 0 : (uint64_t)v->bm.pages * BITMAP_PAGE_BYTES;
    next_read(v);
}

static void take_chunk(struct repl_volume *v, uint64_t at, const struct hv_buf *buf)
{
    struct repl_attach_ctl *a = &v->ctl.att;
    uint64_t n = a->end_bytes - at;

    if (n > REPL_ATTACH_CHUNK_BYTES)
        n = REPL_ATTACH_CHUNK_BYTES;
    if (a->phase == REPL_ATT_RING) {
        memcpy(a->ring + at, buf->data, n);
        return;
    }
    for (uint64_t i = 0; i < n; i += BITMAP_PAGE_BYTES)
        bitmap_page_read(&v->bm, (uint32_t)((at + i) / BITMAP_PAGE_BYTES), buf->data + i);
}

static void chunk_read(struct repl_volume *v, void *arg, int error, struct hv_buf *buf)
{
    struct repl_attach_ctl *a = &v->ctl.att;

    a->reads--;
    if (error)
        a->error = error;
    else if (!a->error)
        take_chunk(v, (uint64_t)(uintptr_t)arg * REPL_ATTACH_CHUNK_BYTES, buf);
    hv_buf_put(buf);
    next_read(v);
}

static void next_read(struct repl_volume *v)
{
    struct repl_attach_ctl *a = &v->ctl.att;
    uint64_t base = a->phase == REPL_ATT_RING ? v->layout.al_sector : v->layout.bm_sector;

    while (!a->error && a->at_bytes < a->end_bytes && a->reads < REPL_ATTACH_READS) {
        uint64_t left = a->end_bytes - a->at_bytes, chunk = a->at_bytes / REPL_ATTACH_CHUNK_BYTES;
        uint32_t n = left < REPL_ATTACH_CHUNK_BYTES ? (uint32_t)left : REPL_ATTACH_CHUNK_BYTES;
        struct hv_buf *buf = hv_buf_alloc(v->r->config.bufs, n);
        if (!buf && a->reads)
            return; /* those under way bring theirs back */
        if (!buf) {
            a->error = HV_ENOMEM;
            break;
        }
        a->reads++;
        repl_io(v, REPL_FX_MD_READ, base + a->at_bytes / 512, buf, 0, n, 0, chunk_read,
            (void *)(uintptr_t)chunk);
        a->at_bytes += n;
    }
    if (a->reads)
        return;
    if (a->error)
        give_up(v, ERR_IO_MD_DISK, "the metadata cannot be read");
    else if (a->phase == REPL_ATT_RING)
        begin_bitmap(v);
    else
        all_read(v);
}

/* --- the superblock --- */

/* True when somebody has seen newer data than this disk has. */
static bool not_current(const struct repl_volume *v)
{
    const struct drbd_state *s = &v->state;
    const uint64_t role_bit = 1;

    return v->exposed_uuid && s->pdsk != D_UP_TO_DATE &&
           (s->role == R_PRIMARY || s->peer == R_PRIMARY) &&
           (v->exposed_uuid & ~role_bit) != (v->md.uuid[MD_UUID_CURRENT] & ~role_bit);
}

static bool shrinks(struct repl_volume *v)
{
    uint64_t user = v->config.disk.size_sectors;
    uint64_t size = repl_size_agree(0, v->layout.usable_sectors, v->md.la_size_sectors, user);

    return (v->md.flags & MDF_CONSISTENT) && size < v->md.la_size_sectors && size != user;
}

static void judge(struct repl_volume *v)
{
    struct repl_attach_ctl *a = &v->ctl.att;
    bool crashed = v->md.flags & (MDF_CRASHED_PRIMARY | MDF_PRIMARY_IND);

    if (not_current(v)) {
        give_up(v, ERR_DATA_NOT_CURRENT, "Can only attach to the data we lost last");
        return;
    }
    if (shrinks(v)) {
        give_up(v, ERR_IMPLICIT_SHRINK,
            "Implicit device shrinking not allowed: the backing device is smaller than it was");
        return;
    }
    a->unclean = !md_is_clean(&v->md);
    a->set_all = (v->md.flags & MDF_FULL_SYNC) || (crashed && (v->md.flags & MDF_AL_DISABLED));
    bitmap_free(&v->bm);
    if (bitmap_init(&v->bm, v->md.la_size_sectors)) {
        give_up(v, ERR_NOMEM_BITMAP, "out of memory for the bitmap");
        return;
    }
    if (!a->unclean) {
        begin_bitmap(v);
        return;
    }
    a->ring = malloc(v->layout.al_sectors * 512);
    a->replay = malloc(sizeof *a->replay);
    if (!a->ring || !a->replay) {
        give_up(v, ERR_NOMEM, "out of memory for the activity log");
        return;
    }
    a->phase = REPL_ATT_RING;
    a->at_bytes = 0;
    a->end_bytes = v->layout.al_sectors * 512;
    next_read(v);
}

static void superblock_read(struct repl_volume *v, void *arg, int error, struct hv_buf *buf)
{
    struct hv_diag diag = {.text = ""};
    int rv;

    if (error) {
        hv_buf_put(buf);
        give_up(v, ERR_IO_MD_DISK, "the superblock cannot be read");
        return;
    }
    rv = md_decode(buf->data, &v->md, &diag);
    if (!rv)
        rv = md_validate(&v->md, &v->place, &diag);
    hv_buf_put(buf);
    if (rv) {
        give_up(v, ERR_MD_INVALID, diag.text);
        return;
    }
    md_layout_stored(&v->md, &v->place, &v->layout);
    judge(v);
}

void repl_attach_begin(struct repl_volume *v, const struct repl_attach *attach)
{
    struct repl_attach_ctl *a = &v->ctl.att;
    struct drbd_state ns = v->state;
    struct hv_diag diag = {.text = ""};
    struct hv_buf *buf;
    uint64_t sector;

    repl_attach_free(v);
    memset(a, 0, sizeof *a);
    memset(&v->ctl.md, 0, sizeof v->ctl.md);
    v->attach = *attach;
    v->disk_open = true;
    v->ctl.going_diskless = v->ctl.was_io_error = v->ctl.was_read_error = false;
    v->ctl.md_uuid_pending = false;
    v->place = (struct md_place){.index = attach->md_index,
        .backing_sectors = attach->backing_sectors,
        .md_sectors = attach->md_sectors};
    a->phase = REPL_ATT_SUPERBLOCK;
    ns.disk = D_ATTACHING;
    if (repl_state_change(v, ns, REPL_CHG_VERBOSE, "attach") < SS_SUCCESS) {
        give_up(v, ERR_DISK_CONFIGURED, "the state does not allow an attach now");
        return;
    }
    if (md_superblock_sector(&v->place, &sector, &diag)) {
        give_up(v, ERR_MD_DISK_TOO_SMALL, diag.text);
        return;
    }
    buf = hv_buf_alloc(v->r->config.bufs, MD_BLOCK_BYTES);
    if (!buf) {
        give_up(v, ERR_NOMEM, "out of buffers");
        return;
    }
    repl_io(v, REPL_FX_MD_READ, sector, buf, 0, MD_BLOCK_BYTES, 0, superblock_read, NULL);
}

bool repl_attach_over(const struct repl_volume *v)
{
    return v->ctl.att.over;
}
