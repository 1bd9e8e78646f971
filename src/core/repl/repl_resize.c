/* SPDX-License-Identifier: Apache-2.0 */
/* A backing device has grown: internal metadata moves to its new end, the peer is asked for its size, and
 * the device becomes what both can hold (wire §6.3, disk §2.3).
 *
 * The move: I/O stands still and the activity log is idle.  The superblock at the new place says first
 * "everything is out of sync, no log"; then bitmap and ring follow; then it says what is true.  A crash in
 * between costs a full sync. */
#include "repl_admin.h"

enum { Z_FREEZE, Z_MARKED, Z_BITMAP, Z_RING, Z_DONE };

static void io_over(struct repl_volume *v, void *arg, int error)
{
    struct repl_admin_action *a = &v->r->ctl.admin;

    if (a->md_serial != (uint32_t)(uintptr_t)arg)
        return;
    a->md_waiting--;
    if (error)
        a->md_error = error;
}

static void ring_over(struct repl_volume *v, void *arg, int error, struct hv_buf *buf)
{
    io_over(v, arg, error);
}

static void freeze(struct repl *r, bool on)
{
    struct drbd_state mask = {.susp = true}, val = {.susp = on};

    repl_all_change(r, &mask, &val, REPL_CHG_HARD, "resize");
}

static int new_layout(
    struct repl *r, struct repl_volume *v, const struct repl_attach *attach, struct md_layout *out)
{
    struct md_place place = {.index = attach->md_index,
        .backing_sectors = attach->backing_sectors,
        .md_sectors = attach->md_sectors};
    struct hv_diag diag = {.text = ""};

    if (md_layout_compute(&place, v->md.al_stripes, v->md.al_stripe_blocks, out, &diag)) {
        repl_admin_text(r, diag.text);
        return ERR_INVALID_REQUEST;
    }
    if (out->usable_sectors < v->size_sectors) {
        repl_admin_text(r, "the backing device is smaller than the volume");
        return ERR_INVALID_REQUEST;
    }
    return SS_SUCCESS;
}

static int check(struct repl *r, struct repl_volume *v, const struct repl_admin_action *a)
{
    const struct drbd_state *s = &v->state;

    if (!repl_has_disk(v, D_INCONSISTENT))
        return ERR_NO_DISK;
    if (s->conn > C_CONNECTED)
        return ERR_RESIZE_RESYNC;
    if (s->role == R_SECONDARY && s->peer == R_SECONDARY)
        return ERR_NO_PRIMARY;
    if (a->args.attach.md_index != v->attach.md_index)
        return ERR_INVALID_REQUEST;
    return SS_SUCCESS;
}

static int start_wait(struct repl *r, struct repl_admin_action *a)
{
    a->md_serial = ++r->ctl.md_serial;
    a->md_waiting = 1;
    a->md_error = 0;
    return REPL_ADMIN_WAIT;
}

static int write_ring(struct repl *r, struct repl_admin_action *a, struct repl_volume *v)
{
    uint64_t bytes = v->layout.al_sectors * 512;
    struct hv_buf *buf;

    start_wait(r, a);
    a->md_waiting = 0;
    for (uint64_t at = 0; at < bytes; at += REPL_ATTACH_CHUNK_BYTES) {
        uint64_t n = bytes - at < REPL_ATTACH_CHUNK_BYTES ? bytes - at : REPL_ATTACH_CHUNK_BYTES;
        buf = hv_buf_alloc(r->config.bufs, (uint32_t)n);
        if (!buf) {
            a->md_error = HV_ENOMEM;
            return SS_SUCCESS;
        }
        md_replay_ring_init(buf->data, (size_t)n);
        buf->length_bytes = (uint32_t)n;
        a->md_waiting++;
        repl_io(v, REPL_FX_MD_WRITE, v->layout.al_sector + at / 512, buf, 0, (uint32_t)n,
            REPL_IO_PREFLUSH | REPL_IO_FUA, ring_over, (void *)(uintptr_t)a->md_serial);
    }
    return SS_SUCCESS;
}

static int begin_move(struct repl *r, struct repl_admin_action *a, struct repl_volume *v)
{
    struct md_layout layout;
    int rv = new_layout(r, v, &a->args.attach, &layout);

    if (rv != SS_SUCCESS)
        return rv;
    v->attach = a->args.attach;
    v->place.backing_sectors = a->args.attach.backing_sectors;
    v->place.md_sectors = a->args.attach.md_sectors;
    v->layout = layout;
    v->md.md_size_sectors = (uint32_t)layout.md_size_sectors;
    v->md.al_offset_sectors = layout.al_offset_sectors;
    v->md.bm_offset_sectors = layout.bm_offset_sectors;
    v->md.flags |= MDF_FULL_SYNC | MDF_AL_DISABLED;
    for (uint32_t page = 0; page < v->bm.pages; page++)
        bitmap_page_dirty(&v->bm, page);
    actlog_reset(v->al);
    repl_md_mark(v);
    start_wait(r, a);
    repl_md_sync(v, io_over, (void *)(uintptr_t)a->md_serial);
    a->phase = Z_MARKED;
    return SS_SUCCESS;
}

/* The metadata is where it belongs: the size of now, and a word to the peer. */
static int settle_size(struct repl *r, struct repl_admin_action *a, struct repl_volume *v)
{
    unsigned dds =
        (a->args.force ? DRBD_DDS_FORCED : 0) | (a->args.clear_bitmap ? DRBD_DDS_NO_RESYNC : 0);
    bool connected = v->state.conn == C_CONNECTED;
    uint64_t peer = connected ? v->ctl.peer_disk_sectors : 0, size, before = v->size_sectors;

    v->md.flags &= ~(uint32_t)(MDF_FULL_SYNC | MDF_AL_DISABLED);
    if (!v->config.disk.al_updates)
        v->md.flags |= MDF_AL_DISABLED;
    repl_md_mark(v);
    freeze(r, false);
    if (a->args.force && connected)
        peer = v->layout.usable_sectors;
    /* Alone, the device grows to what this disk holds only when told that the peer has the space. */
    size = repl_size_agree(peer, v->layout.usable_sectors,
        a->args.force ? v->layout.usable_sectors : v->md.la_size_sectors,
        v->config.disk.size_sectors);
    if (size > before && repl_size_apply(v, size, !a->args.clear_bitmap))
        return ERR_NOMEM_BITMAP;
    if (connected) {
        v->ctl.resize_asked = size > before;
        repl_send_uuids(v);
        repl_send_sizes(v, true, dds);
    }
    a->phase = Z_DONE;
    return SS_SUCCESS;
}

static int move_step(struct repl *r, struct repl_admin_action *a, struct repl_volume *v)
{
    if (a->phase != Z_FREEZE && a->md_waiting)
        return REPL_ADMIN_WAIT;
    if (a->phase != Z_FREEZE && (a->md_error || v->state.disk < D_INCONSISTENT)) {
        freeze(r, false);
        return 118; /* ERR_IO_MD_DISK */
    }
    switch (a->phase) {
    case Z_FREEZE:
        if (!actlog_is_idle(v->al) || !repl_md_idle(v))
            return REPL_ADMIN_WAIT;
        return begin_move(r, a, v);
    case Z_MARKED:
        start_wait(r, a);
        repl_bm_write(v, 0, UINT32_MAX, io_over, (void *)(uintptr_t)a->md_serial);
        a->phase = Z_BITMAP;
        return SS_SUCCESS;
    case Z_BITMAP:
        a->phase = Z_RING;
        return write_ring(r, a, v);
    default:
        return settle_size(r, a, v);
    }
}

int repl_verb_resize(struct repl *r, struct repl_admin_action *a)
{
    struct repl_volume *v = &r->volumes[a->volume];
    int rv;

    if (!a->changed) {
        rv = check(r, v, a);
        if (rv != SS_SUCCESS)
            return rv;
        a->changed = true;
        freeze(r, true);
    }
    while (a->phase != Z_DONE) {
        rv = move_step(r, a, v);
        if (rv == REPL_ADMIN_WAIT)
            return rv;
        if (rv != SS_SUCCESS) {
            freeze(r, false);
            return rv;
        }
    }
    return repl_admin_durable(r, a, v);
}
