/* SPDX-License-Identifier: Apache-2.0 */
/* How large the device is: what both can hold, agreed at every connect and resize (wire §6.3). */
#include "repl_control.h"

static uint64_t min_not_zero(uint64_t a, uint64_t b)
{
    if (!a || !b)
        return a ? a : b;
    return a < b ? a : b;
}

uint64_t repl_size_agree(
    uint64_t peer_sectors, uint64_t my_sectors, uint64_t last_sectors, uint64_t user_sectors)
{
    uint64_t size;

    if (peer_sectors && my_sectors)
        size = peer_sectors < my_sectors ? peer_sectors : my_sectors;
    else if (last_sectors)
        size = min_not_zero(min_not_zero(last_sectors, my_sectors), peer_sectors);
    else
        size = my_sectors ? my_sectors : peer_sectors;
    return user_sectors && user_sectors <= size ? user_sectors : size;
}

int repl_size_apply(struct repl_volume *v, uint64_t sectors, bool set_new)
{
    uint64_t before = v->size_sectors;
    int rv;

    if (sectors == before)
        return 0;
    if (v->disk_open) {
        rv = bitmap_resize(&v->bm, sectors, set_new);
        if (rv) {
            repl_volume_log(v, HV_LOG_ERROR, "OUT OF MEMORY! Could not allocate bitmap!");
            return rv;
        }
        v->md.la_size_sectors = sectors;
        v->size_sectors = sectors;
        repl_md_mark(v);
        repl_bm_write(v, 0, UINT32_MAX, NULL, NULL);
        repl_md_sync(v, NULL, NULL);
    }
    v->size_sectors = sectors;
    repl_volume_log(v, HV_LOG_INFO, "size = %llu KB", (unsigned long long)(sectors / 2));
    repl_changed(v->r, v->index);
    return 0;
}

/* The new space is resynced: from the Primary, or from whoever resolves conflicts. */
void repl_resync_after_grow(struct repl_volume *v)
{
    bool source = v->r->resolve_conflicts;
    struct drbd_state ns = v->state;

    if (v->state.role != v->state.peer)
        source = v->state.role == R_PRIMARY;
    repl_volume_log(v, HV_LOG_INFO, "Resync of new storage after online grow");
    if (source) {
        repl_sync_begin(v, C_SYNC_SOURCE);
        return;
    }
    ns.conn = C_WF_SYNC_UUID;
    repl_state_change(v, ns, REPL_CHG_VERBOSE, "online grow");
}

static int too_small(struct repl_volume *v, uint64_t peer, uint64_t mine, const char *more)
{
    repl_volume_log(v, HV_LOG_ERROR, "The peer's disk size is too small! (%llu < %llu sectors)%s",
        (unsigned long long)peer, (unsigned long long)mine, more);
    return HV_EAUTH;
}

static int sizes_with_disk(struct repl_volume *v, const struct drbd_sizes *p)
{
    uint64_t user = p->user_sectors, size;

    if (v->state.conn == C_WF_REPORT_PARAMS)
        user = min_not_zero(v->config.disk.size_sectors, user);
    size = repl_size_agree(p->disk_sectors, v->layout.usable_sectors, v->md.la_size_sectors, user);
    if (user > size)
        repl_volume_log(v, HV_LOG_ERROR, "Requested disk size is too big (%llu > %llu)",
            (unsigned long long)user, (unsigned long long)size);
    if (size < v->size_sectors && v->state.disk >= D_OUTDATED &&
        (v->state.conn < C_CONNECTED || v->state.pdsk == D_DISKLESS))
        return too_small(v, size, v->size_sectors, "");
    if (user != v->config.disk.size_sectors) {
        v->config.disk.size_sectors = user;
        repl_volume_log(
            v, HV_LOG_INFO, "Peer sets u_size to %llu sectors", (unsigned long long)user);
    }
    return repl_size_apply(v, size, !(p->dds_flags & DRBD_DDS_NO_RESYNC)) ? HV_EPROTO : 0;
}

static int sizes_without_disk(struct repl_volume *v, const struct drbd_sizes *p)
{
    uint64_t size = p->current_sectors ? p->current_sectors
                                       : (p->user_sectors ? p->user_sectors : p->disk_sectors);

    if (!size || size == v->size_sectors)
        return 0;
    if (size > MD_SECTORS_MAX)
        return repl_peer_lied(v->r, "a device of %llu sectors", (unsigned long long)size);
    if (v->size_sectors && !p->disk_sectors) {
        repl_volume_log(v, HV_LOG_WARN,
            "Ignored diskless peer device size (peer:%llu != me:%llu sectors)!",
            (unsigned long long)size, (unsigned long long)v->size_sectors);
        return 0;
    }
    if (size < v->size_sectors && v->state.role == R_PRIMARY)
        return too_small(v, size, v->size_sectors, "; demote me first!");
    return repl_size_apply(v, size, false) ? HV_EPROTO : 0;
}

int repl_recv_sizes(struct repl *r, struct repl_volume *v, struct repl_packet *p)
{
    uint64_t before = v->size_sectors;
    struct drbd_sizes peer;
    struct hv_reader reader;
    bool disk = repl_has_disk(v, D_NEGOTIATING), grew, asked;
    int rv;

    hv_reader_init(&reader, p->sub, p->sub_bytes);
    if (drbd_sizes_decode(&reader, &peer, r->agreed_features))
        return repl_peer_lied(r, "bad P_SIZES");
    v->ctl.peer_disk_sectors = peer.disk_sectors;
    rv = disk ? sizes_with_disk(v, &peer) : sizes_without_disk(v, &peer);
    if (rv)
        return rv;
    v->peer_max_bio_bytes = peer.max_bio_bytes < 4096 ? 4096 : peer.max_bio_bytes;
    if (disk)
        v->md.la_peer_max_bio_bytes = peer.max_bio_bytes;
    if (v->state.conn <= C_WF_REPORT_PARAMS)
        return 0;
    if (peer.current_sectors != v->size_sectors)
        repl_send_sizes(v, false, peer.dds_flags);
    asked = v->ctl.resize_asked;
    v->ctl.resize_asked = false;
    grew = disk && before && v->size_sectors > before;
    if (!asked && !(grew && v->state.conn == C_CONNECTED))
        return 0;
    if (v->state.pdsk < D_INCONSISTENT || v->state.disk < D_INCONSISTENT)
        v->ctl.resync_after_neg = true;
    else if (peer.dds_flags & DRBD_DDS_NO_RESYNC)
        repl_volume_log(v, HV_LOG_INFO, "Resync of new storage suppressed with --assume-clean");
    else if (v->bm.weight || grew)
        repl_resync_after_grow(v);
    return 0;
}
