/* SPDX-License-Identifier: Apache-2.0 */
/* The peer's writes and their epochs, receiving side (wire §9.3, §9.5). */
#include <string.h>

#include "repl_int.h"

/* --- epochs --- */

char repl_write_ordering(const struct repl *r)
{
    bool flush = !r->data.flush_broken, drain = true;

    for (uint32_t i = 0; i < r->config.volumes; i++) {
        flush &= r->volumes[i].config.disk.disk_flushes;
        drain &= r->volumes[i].config.disk.disk_drain;
    }
    return flush ? 'f' : drain ? 'd' : 'n';
}

static struct repl_peer_epoch *epoch_open(struct repl *r)
{
    struct repl_data *d = &r->data;
    struct repl_peer_epoch *e;

    if (!hv_list_empty(&d->peer_epoch_list)) {
        e = hv_list_last(&d->peer_epoch_list, struct repl_peer_epoch, link);
        if (!e->closed)
            return e;
    }
    e = repl_pool_get(&d->peer_epochs);
    if (!e)
        return NULL;
    memset(e, 0, sizeof *e);
    hv_list_init(&e->link);
    hv_list_init(&e->held);
    hv_list_push_back(&d->peer_epoch_list, &e->link);
    return e;
}

static struct repl_peer_epoch *epoch_oldest(const struct repl *r)
{
    return hv_list_first(&r->data.peer_epoch_list, struct repl_peer_epoch, link);
}

static void epoch_free(struct repl *r, struct repl_peer_epoch *e)
{
    hv_list_remove(&e->link);
    hv_list_remove(&e->held);
    repl_pool_put(&r->data.peer_epochs, e);
}

static void epochs_check(struct repl *r);

static void epoch_flushed(struct repl_volume *v, void *arg, int error, struct hv_buf *buf)
{
    struct repl *r = v->r;

    r->data.peer_io--;
    v->data.local_out--;
    if (error == HV_EUNSUPPORTED && !r->data.flush_broken) {
        repl_volume_log(
            v, HV_LOG_WARN, "local disk flush failed with status %d, write ordering: drain", error);
        r->data.flush_broken = true;
    } else if (error && error != HV_EUNSUPPORTED) {
        /* What was acknowledged since the last flush may be lost: the barrier ack must not be sent,
         * and the Primary marks all of it out of sync when the connection goes. */
        repl_volume_log(v, HV_LOG_ERROR, "local disk flush failed with status %d", error);
        repl_disk_failed(v, REPL_DISK_WRITE, 0);
        if (arg == (void *)(uintptr_t)r->data.conn_gen && r->data.connected)
            repl_conn_drop(r, C_PROTOCOL_ERROR, "a flush failed");
        return;
    }
    if (arg != (void *)(uintptr_t)r->data.conn_gen || hv_list_empty(&r->data.peer_epoch_list))
        return;
    epoch_oldest(r)->flushes--;
    epochs_check(r);
}

static void flush_volume(struct repl_volume *v)
{
    v->data.unflushed = false;
    v->r->data.peer_io++;
    v->data.local_out++;
    repl_io(
        v, REPL_FX_FLUSH, 0, NULL, 0, 0, 0, epoch_flushed, (void *)(uintptr_t)v->r->data.conn_gen);
}

/* Flushes what the epoch wrote; true: there is nothing (more) to wait for. */
static bool epoch_flush(struct repl *r, struct repl_peer_epoch *e)
{
    if (e->flushed || repl_write_ordering(r) != 'f')
        return true;
    e->flushed = true;
    for (uint32_t i = 0; i < r->config.volumes; i++) {
        struct repl_volume *v = &r->volumes[i];

        if (v->data.unflushed && repl_disk_usable(v)) {
            e->flushes++;
            flush_volume(v);
        }
    }
    return e->flushes == 0;
}

static void epoch_ack(struct repl *r, const struct repl_peer_epoch *e)
{
    struct drbd_barrier_ack ack = {.barrier = e->barrier, .set_size = e->writes};
    uint8_t sub[DRBD_SUB_BYTES_MAX];
    struct hv_writer w;

    hv_writer_init(&w, sub, sizeof sub);
    drbd_barrier_ack_encode(&w, &ack);
    repl_send(r, DRBD_SOCK_META, 0, P_BARRIER_ACK, sub, (uint32_t)hv_writer_length(&w), NULL, 0, 0);
}

/* The oldest epochs that are over are acked in order; the writes of the next one may then start. */
static void epochs_check(struct repl *r)
{
    while (!hv_list_empty(&r->data.peer_epoch_list)) {
        struct repl_peer_epoch *e = epoch_oldest(r);

        if (!e->closed || e->active > 0 || e->flushes > 0 || !epoch_flush(r, e))
            return;
        epoch_ack(r, e);
        epoch_free(r, e);
        if (!hv_list_empty(&r->data.peer_epoch_list))
            repl_wake(r, &epoch_oldest(r)->held);
    }
}

/* A write of a later epoch may depend on any of an earlier one, and this node may be the one that
 * survives: it must not become durable first.  (The kernel's Primary does not wait for barrier acks when
 * its application flushes, so nothing but this order protects that application.) */
static bool may_start(const struct repl *r, const struct repl_peer_epoch *e)
{
    return e == epoch_oldest(r) || repl_write_ordering(r) == 'n';
}

int repl_recv_barrier(struct repl *r, struct repl_volume *v, struct repl_packet *p)
{
    struct drbd_barrier barrier;
    struct repl_peer_epoch *e;
    struct hv_reader rd;

    hv_reader_init(&rd, p->sub, p->sub_bytes);
    if (drbd_barrier_decode(&rd, &barrier))
        return repl_peer_lied(r, "short P_BARRIER");
    e = epoch_open(r);
    if (!e)
        return repl_peer_lied(r, "too many barriers");
    e->barrier = barrier.barrier;
    e->closed = true;
    epochs_check(r);
    return 0;
}

/* The incomplete epochs are forgotten.  What was written and acked but not flushed is flushed now, so that
 * a Primary that comes back and resends only what was not acked finds the rest on this disk. */
void repl_peer_epochs_disconnected(struct repl *r)
{
    while (!hv_list_empty(&r->data.peer_epoch_list))
        epoch_free(r, epoch_oldest(r));
    if (repl_write_ordering(r) != 'f')
        return;
    for (uint32_t i = 0; i < r->config.volumes; i++)
        if (r->volumes[i].data.unflushed && repl_disk_usable(&r->volumes[i]))
            flush_volume(&r->volumes[i]);
}

/* --- writes --- */

static void write_over(struct repl_peer_req *p)
{
    struct repl *r = p->v->r;
    struct repl_peer_epoch *e = p->epoch;

    repl_peer_end(p);
    if (e) {
        hv_assert(e->active > 0);
        if (--e->active == 0)
            epochs_check(r);
    }
}

static void write_refused(struct repl_peer_req *p)
{
    repl_send_ack(p->v, P_NEG_ACK, p->sector, p->block_id, p->length_bytes);
    write_over(p);
}

static void write_acked(struct repl_peer_req *p)
{
    struct repl_volume *v = p->v;
    uint64_t sectors = p->length_bytes / DRBD_SECTOR_BYTES;
    bool in_sync = v->state.conn >= C_SYNC_SOURCE && v->state.conn <= C_PAUSED_SYNC_T &&
                   (p->dp_flags & DP_MAY_SET_IN_SYNC);

    if (in_sync)
        repl_oos_clear(v, p->sector, sectors, true);
    if (p->dp_flags & DP_SEND_WRITE_ACK)
        repl_send_ack(
            v, in_sync ? P_RS_WRITE_ACK : P_WRITE_ACK, p->sector, p->block_id, p->length_bytes);
}

static void write_done(struct repl_volume *v, void *arg, int error, struct hv_buf *buf)
{
    struct repl_peer_req *p = arg;
    uint64_t sector = p->sector;

    repl_peer_io_over(p);
    if (error) {
        repl_oos_set(v, p->sector, p->length_bytes / DRBD_SECTOR_BYTES);
        if (!p->dead)
            repl_send_ack(v, P_NEG_ACK, p->sector, p->block_id, p->length_bytes);
    } else {
        v->data.unflushed = true;
        if (!p->dead)
            write_acked(p);
    }
    write_over(p);
    if (error) /* last: it may end the connection and all that belongs to it */
        repl_disk_failed(v, REPL_DISK_WRITE, sector);
}

enum repl_effect_kind repl_discard_effect(const struct repl_volume *v, uint32_t *flags)
{
    if (v->attach.can_discard)
        return REPL_FX_DISCARD;
    *flags |= REPL_IO_MAY_UNMAP;
    return REPL_FX_ZEROES;
}

static void write_to_disk(struct repl_peer_req *p)
{
    struct repl_volume *v = p->v;
    enum repl_effect_kind kind = REPL_FX_WRITE;
    uint32_t flags = p->dp_flags & DP_FUA ? REPL_IO_FUA : 0;

    if (p->command == P_TRIM) {
        kind = REPL_FX_ZEROES; /* wire §4: without WZEROES a trim has to leave zeroes */
        if (v->r->agreed_features & DRBD_FF_WZEROES)
            kind = repl_discard_effect(v, &flags);
    } else if (p->command == P_ZEROES) {
        kind = REPL_FX_ZEROES;
        flags |= p->dp_flags & DP_DISCARD ? REPL_IO_MAY_UNMAP : 0;
    }
    repl_peer_io(p, kind, flags, write_done);
}

static void write_go(struct repl_waiter *w)
{
    struct repl_peer_req *p = hv_container_of(w, struct repl_peer_req, wait);
    struct repl_volume *v = p->v;
    uint64_t sectors = p->length_bytes / DRBD_SECTOR_BYTES;

    if (!may_start(v->r, p->epoch)) {
        hv_list_push_back(&p->epoch->held, &w->link);
        return;
    }
    if (!p->iv.active) {
        struct repl_interval *iv =
            repl_interval_conflict(&v->data.intervals, p->sector, sectors, NULL);

        if (iv) {
            iv->waited = true;
            hv_list_push_back(&v->data.iv_wait, &w->link);
            return;
        }
        repl_interval_add(&v->data.intervals, &p->iv, p->sector, sectors, true);
    }
    /* The only copy is here: differences are recorded as a Primary does (wire §9.3). */
    if (v->state.pdsk < D_INCONSISTENT) {
        repl_oos_set(v, p->sector, sectors);
        if (!repl_al_begin(v, &p->pin, p->sector, sectors, w))
            return;
    }
    if (repl_disk_usable(v))
        write_to_disk(p);
    else
        write_refused(p);
}

/* Takes the packet's buffer. */
static int write_begin(
    struct repl_volume *v, struct repl_packet *pk, const struct drbd_data *data, uint32_t bytes)
{
    struct repl *r = v->r;
    struct repl_peer_epoch *e = epoch_open(r);
    struct repl_peer_req *p = e ? repl_peer_new(v, REPL_PEER_WRITE, data->sector, bytes) : NULL;

    if (!p) {
        hv_buf_put(pk->buf);
        return HV_EPROTO;
    }
    p->command = pk->command;
    p->block_id = data->block_id;
    p->dp_flags = data->dp_flags;
    p->buf = pk->buf;
    p->offset_bytes = pk->buf_offset_bytes;
    repl_peer_charge(p, pk->data_bytes);
    if (r->agreed_version < 100)
        p->dp_flags |= r->config.net.wire_protocol == DRBD_PROT_C   ? DP_SEND_WRITE_ACK
                       : r->config.net.wire_protocol == DRBD_PROT_B ? DP_SEND_RECEIVE_ACK
                                                                    : 0;
    p->epoch = e;
    p->wait.go = write_go;
    e->writes++;
    e->active++;
    v->recv_sectors += bytes / DRBD_SECTOR_BYTES;
    v->data.app_sectors += bytes / DRBD_SECTOR_BYTES;
    if (!repl_disk_usable(v)) {
        write_refused(p);
        return 0;
    }
    if (p->dp_flags & DP_SEND_RECEIVE_ACK)
        repl_send_ack(v, P_RECV_ACK, p->sector, p->block_id, p->length_bytes);
    write_go(&p->wait);
    return 0;
}

static int write_allowed(struct repl_volume *v, const struct repl_packet *pk)
{
    if (v->state.conn < C_CONNECTED && v->state.conn != C_WF_REPORT_PARAMS)
        return repl_peer_lied(
            v->r, "%s while %s", drbd_packet_name(pk->command), drbd_conn_name(v->state.conn));
    if (v->state.role == R_PRIMARY)
        return repl_peer_lied(
            v->r, "%s, but this node is the Primary", drbd_packet_name(pk->command));
    return 0;
}

int repl_recv_data(struct repl *r, struct repl_volume *v, struct repl_packet *p)
{
    struct drbd_data data;
    struct hv_reader rd;
    int rc;

    hv_reader_init(&rd, p->sub, p->sub_bytes);
    rc = drbd_data_decode(&rd, &data);
    if (!rc)
        rc = repl_range_check(
            v, "P_DATA", data.sector, p->data_bytes, drbd_bio_bytes_max(r->agreed_version));
    if (!rc)
        rc = write_allowed(v, p);
    if (!rc)
        rc = repl_digest_check(r, p);
    if (rc) {
        hv_buf_put(p->buf);
        p->buf = NULL;
        return rc;
    }
    rc = write_begin(v, p, &data, p->data_bytes);
    p->buf = NULL;
    return rc;
}

int repl_recv_trim(struct repl *r, struct repl_volume *v, struct repl_packet *p)
{
    struct drbd_trim trim;
    struct hv_reader rd;
    uint32_t feature = p->command == P_TRIM ? DRBD_FF_TRIM : DRBD_FF_WZEROES;
    int rc;

    hv_reader_init(&rd, p->sub, p->sub_bytes);
    if (drbd_trim_decode(&rd, &trim))
        return repl_peer_lied(r, "short %s", drbd_packet_name(p->command));
    if (!(r->agreed_features & feature))
        return repl_peer_lied(r, "%s was not agreed upon", drbd_packet_name(p->command));
    rc = repl_range_check(v, drbd_packet_name(p->command), trim.data.sector, trim.size_bytes,
        drbd_discard_bytes_max(r->agreed_features));
    if (!rc)
        rc = write_allowed(v, p);
    return rc ? rc : write_begin(v, p, &trim.data, trim.size_bytes);
}
