/* SPDX-License-Identifier: Apache-2.0 */
/* What applications ask for: the gate (wire §9.1), pieces, reads on either path (wire §10), flushes,
 * and the answer. */
#include <string.h>

#include "repl_int.h"

bool repl_io_suspended(const struct repl_volume *v)
{
    return v->state.susp || v->state.susp_nod || v->state.susp_fen;
}

bool repl_gate_open(const struct repl_volume *v)
{
    const struct drbd_state *s = &v->state;

    return !repl_io_suspended(v) && s->conn != C_WF_BITMAP_T && s->conn != C_WF_SYNC_UUID &&
           !(s->conn == C_WF_BITMAP_S && v->r->agreed_version < 96) && s->disk != D_ATTACHING &&
           s->disk != D_NEGOTIATING;
}

bool repl_disk_usable(const struct repl_volume *v)
{
    return v->disk_open && v->state.disk >= D_INCONSISTENT;
}

bool repl_peer_has_data(const struct repl_volume *v)
{
    return v->r->data.connected && v->state.conn >= C_CONNECTED && v->state.pdsk == D_UP_TO_DATE;
}

/* --- requests --- */

struct repl_req *repl_req_new(struct repl_op *op)
{
    struct repl_req *q = repl_pool_get(&op->v->r->data.reqs);
    uint32_t gen;

    if (!q)
        return NULL;
    gen = q->gen + 1;
    memset(q, 0, sizeof *q);
    q->gen = gen;
    q->used = true;
    q->op = op;
    q->v = op->v;
    q->kind = op->op;
    q->flags = op->flags;
    q->sector = op->next_sector;
    hv_list_init(&q->wait.link);
    hv_list_init(&q->log);
    hv_list_init(&q->unacked);
    hv_list_init(&q->local_link);
    return q;
}

void repl_req_drop_buf(struct repl_req *q)
{
    hv_buf_put(q->buf);
    q->buf = NULL;
}

void repl_req_free(struct repl_req *q)
{
    struct repl_volume *v = q->v;
    struct hv_list *waiting = &v->data.no_reqs;

    hv_list_remove(&q->wait.link);
    hv_list_remove(&q->log);
    hv_list_remove(&q->unacked);
    hv_list_remove(&q->local_link);
    repl_req_drop_buf(q);
    q->used = false;
    repl_pool_put(&v->r->data.reqs, q);
    if (!hv_list_empty(waiting))
        repl_wake_one(v->r, hv_list_first(waiting, struct repl_waiter, link));
}

uint64_t repl_req_id(const struct repl_req *q)
{
    return (uint64_t)q->gen << 32 | repl_pool_index(&q->v->r->data.reqs, q);
}

struct repl_req *repl_req_find(struct repl_volume *v, uint64_t block_id)
{
    struct repl_req *q = repl_pool_at(&v->r->data.reqs, (uint32_t)block_id);

    return q && q->used && q->gen == (uint32_t)(block_id >> 32) && q->v == v ? q : NULL;
}

/* --- ops --- */

static void op_run(struct repl_op *op);

static void op_go(struct repl_waiter *w)
{
    op_run(hv_container_of(w, struct repl_op, wait));
}

static void op_answer(struct repl_op *op)
{
    struct repl_volume *v = op->v;
    struct repl_effect *fx = repl_fx(v->r, REPL_FX_APP_DONE);

    fx->token = op->token;
    fx->app.error = op->error;
    if (op->op == REPL_APP_READ)
        fx->app.buf = op->buf;
    else
        hv_buf_put(op->buf);
    op->buf = NULL;
    v->data.ap_count--;
    hv_list_remove(&op->wait.link);
    repl_pool_put(&v->r->data.ops, op);
}

static void op_wait(struct repl_op *op, struct hv_list *list)
{
    op->wait.go = op_go;
    hv_list_push_back(list, &op->wait.link);
}

/* What one packet may carry now, and what the activity log takes at once. */
static uint32_t piece_bytes(const struct repl_op *op)
{
    const struct repl_volume *v = op->v;
    const struct repl *r = v->r;
    uint64_t left = (op->end_sector - op->next_sector) * DRBD_SECTOR_BYTES, max;

    if (op->op == REPL_APP_DISCARD || op->op == REPL_APP_ZEROES) {
        uint64_t last = op->next_sector / MD_AL_EXTENT_SECTORS + ACTLOG_REQUEST_EXTENTS_MAX;

        max = (last * MD_AL_EXTENT_SECTORS - op->next_sector) * DRBD_SECTOR_BYTES;
        if (r->data.connected && max > drbd_discard_bytes_max(r->agreed_features))
            max = drbd_discard_bytes_max(r->agreed_features);
    } else {
        max = REPL_IO_BYTES_MAX;
        if (r->data.connected && max > drbd_bio_bytes_max(r->agreed_version))
            max = drbd_bio_bytes_max(r->agreed_version);
    }
    return (uint32_t)(left < max ? left : max);
}

static void read_begin(struct repl_req *q);

static void op_next_piece(struct repl_op *op)
{
    struct repl_req *q = repl_req_new(op);

    if (!q) {
        /* Requests come back with barrier acks. */
        repl_epoch_kick(op->v->r);
        op_wait(op, &op->v->data.no_reqs);
        return;
    }
    q->length_bytes = piece_bytes(op);
    q->offset_bytes = (uint32_t)((op->next_sector - op->first_sector) * DRBD_SECTOR_BYTES);
    if (op->op == REPL_APP_READ)
        read_begin(q);
    else
        repl_write_begin(q);
}

static void flush_begin(struct repl_op *op);

static void op_continue(struct repl_op *op)
{
    const struct repl *r = op->v->r;

    if (op->next_sector < op->end_sector && !op->error)
        op_next_piece(op);
    else if ((op->flags & REPL_APP_FUA) && !op->flushing && !op->error && r->data.connected &&
             r->agreed_version < 95)
        flush_begin(op); /* such a peer is never told of FUA (wire §3.2) */
    else
        op_answer(op);
}

/* A write that only this disk has may be acknowledged only when the new current UUID says so on disk
 * (else, after a crash, the peer's older data would look just as new), and not while we are not allowed
 * to go on alone. */
static bool hold_back(const struct repl_volume *v, bool fresh_loss)
{
    return v->ctl.md_uuid_pending || (fresh_loss && repl_io_suspended(v));
}

void repl_held_check(struct repl_volume *v)
{
    if (v->ctl.md_uuid_pending || repl_io_suspended(v))
        return;
    while (!hv_list_empty(&v->data.held)) {
        struct repl_op *op = hv_list_first(&v->data.held, struct repl_op, wait.link);

        hv_list_remove(&op->wait.link);
        op_continue(op);
    }
}

void repl_op_piece_done(
    struct repl_op *op, struct repl_req *q, int error, bool alone, bool fresh_loss)
{
    if (error == HV_EAGAIN) {
        op_continue(op); /* nothing was done: in smaller pieces */
        return;
    }
    if (error == HV_EIO && repl_io_suspended(op->v)) {
        op_wait(op, &op->v->data.gated); /* on-no-data suspend-io: once more when there is data */
        return;
    }
    if (error)
        op->error = error;
    else
        op->next_sector += q->length_bytes / DRBD_SECTOR_BYTES;
    if (alone && hold_back(op->v, fresh_loss))
        hv_list_push_back(&op->v->data.held, &op->wait.link);
    else
        op_continue(op);
}

static void op_run(struct repl_op *op)
{
    if (!repl_gate_open(op->v)) {
        op_wait(op, &op->v->data.gated);
    } else if (op->v->state.role != R_PRIMARY) {
        op->error = HV_EPERM;
        op_answer(op);
    } else if (op->op == REPL_APP_FLUSH) {
        flush_begin(op);
    } else {
        op_next_piece(op);
    }
}

static int op_check(const struct repl_volume *v, const struct repl_op *op, uint32_t length_bytes)
{
    uint64_t sectors = length_bytes / DRBD_SECTOR_BYTES;
    bool data = op->op == REPL_APP_READ || op->op == REPL_APP_WRITE;

    if (op->op == REPL_APP_FLUSH)
        return 0;
    if (length_bytes == 0 || length_bytes % DRBD_SECTOR_BYTES != 0 ||
        op->first_sector > v->size_sectors || sectors > v->size_sectors - op->first_sector)
        return HV_EINVAL;
    if (data &&
        (!op->buf || length_bytes > REPL_IO_BYTES_MAX || op->buf->capacity_bytes < length_bytes))
        return HV_EINVAL;
    return 0;
}

void repl_data_app(struct repl *r, const struct repl_event *ev)
{
    struct repl_volume *v;
    struct repl_op *op;

    hv_assert(ev->app.volume < r->config.volumes);
    v = &r->volumes[ev->app.volume];
    op = repl_pool_get(&r->data.ops);
    hv_assert(op); /* the host must not offer more than requests_max */
    memset(op, 0, sizeof *op);
    hv_list_init(&op->wait.link);
    op->v = v;
    op->token = ev->token;
    op->op = ev->app.op;
    op->flags = ev->app.flags;
    op->buf = ev->app.buf;
    op->first_sector = op->next_sector = ev->app.sector;
    op->end_sector = ev->app.sector + ev->app.length_bytes / DRBD_SECTOR_BYTES;
    v->data.ap_count++;
    op->error = op_check(v, op, ev->app.length_bytes);
    if (op->error)
        op_answer(op);
    else
        op_run(op);
}

/* --- flush --- */

static void flush_check(struct repl_op *op)
{
    bool ok = op->local == REPL_PART_OK || op->remote == REPL_PART_OK;
    bool alone = op->remote != REPL_PART_OK;

    if (op->local == REPL_PART_PENDING || op->remote == REPL_PART_PENDING ||
        op->remote == REPL_PART_LOST)
        return;
    if (!ok && repl_io_suspended(op->v)) {
        op_wait(op, &op->v->data.gated);
        return;
    }
    op->error = ok ? 0 : HV_EIO;
    if (alone && hold_back(op->v, op->remote == REPL_PART_FAILED))
        hv_list_push_back(&op->v->data.held, &op->wait.link);
    else
        op_answer(op);
}

static void flush_local_done(struct repl_volume *v, void *arg, int error, struct hv_buf *buf)
{
    struct repl_op *op = arg;

    v->data.local_out--;
    op->local = error ? REPL_PART_FAILED : REPL_PART_OK;
    if (error)
        repl_disk_failed(v, REPL_DISK_WRITE, 0);
    flush_check(op);
}

/* Everything sent before is stable at the peer once all its epochs are acked (wire §9.5). */
static void flush_remote(struct repl_op *op)
{
    struct repl_data *d = &op->v->r->data;

    if (d->connected && !hv_list_empty(&d->epoch_list)) {
        repl_epoch_kick(op->v->r);
        op->flush_epoch = hv_list_last(&d->epoch_list, struct repl_epoch, link)->id;
        op->remote = REPL_PART_PENDING;
        hv_list_push_back(&d->flushes, &op->wait.link);
    } else {
        op->remote = repl_peer_has_data(op->v) ? REPL_PART_OK : REPL_PART_NONE;
    }
}

/* A flush reaches both disks before it is acknowledged: that is stricter than the kernel, whose
 * Primary closes the epoch and does not wait for its barrier ack.  With it, a node that takes over has
 * everything that any application was ever told is stable, whatever happened to the power meanwhile. */
static void flush_begin(struct repl_op *op)
{
    struct repl_volume *v = op->v;

    op->flushing = true;
    op->local = REPL_PART_NONE;
    if (repl_disk_usable(v)) {
        op->local = REPL_PART_PENDING;
        v->data.local_out++;
        repl_io(v, REPL_FX_FLUSH, 0, NULL, 0, 0, 0, flush_local_done, op);
    }
    flush_remote(op);
    flush_check(op);
}

void repl_op_flush_acked(struct repl_op *op, enum repl_part remote)
{
    hv_list_remove(&op->wait.link);
    op->remote = remote;
    flush_check(op);
}

/* After a lost connection: asked again when it is back, given up when it may be. */
void repl_op_flush_resolve(struct repl_volume *v)
{
    bool back = v->r->data.connected && v->state.conn >= C_CONNECTED;

    if (!back && repl_io_suspended(v))
        return;
    while (!hv_list_empty(&v->data.lost_flush)) {
        struct repl_op *op = hv_list_first(&v->data.lost_flush, struct repl_op, wait.link);

        hv_list_remove(&op->wait.link);
        if (back)
            flush_remote(op);
        else
            op->remote = REPL_PART_FAILED;
        flush_check(op);
    }
}

/* --- reads --- */

static void read_go(struct repl_waiter *w);

static void read_done(struct repl_req *q, int error)
{
    struct repl_op *op = q->op;

    repl_op_piece_done(op, q, error, false, false);
    repl_req_free(q);
}

static void read_local_done(struct repl_volume *v, void *arg, int error, struct hv_buf *buf)
{
    struct repl_req *q = arg;

    v->data.local_out--;
    hv_buf_put(buf);
    if (!error) {
        read_done(q, 0);
        return;
    }
    /* The peer has these blocks; nobody knows what is here. */
    repl_oos_set(v, q->sector, q->length_bytes / DRBD_SECTOR_BYTES);
    repl_disk_failed(v, REPL_DISK_READ, q->sector);
    read_go(&q->wait);
}

static bool may_read_here(struct repl_volume *v, const struct repl_req *q)
{
    if (q->tried_local || !repl_disk_usable(v))
        return false;
    if (v->state.disk == D_UP_TO_DATE)
        return true;
    return v->state.disk == D_INCONSISTENT &&
           bitmap_count_sectors(&v->bm, q->sector, q->length_bytes / DRBD_SECTOR_BYTES) == 0;
}

static void read_remote(struct repl_req *q)
{
    struct repl_volume *v = q->v;

    q->tried_remote = true;
    q->remote = REPL_PART_PENDING;
    q->sent_ms = v->r->now_ms;
    hv_list_push_back(&v->r->data.unacked, &q->unacked);
    repl_epoch_send_barrier(v->r);
    repl_send_block_req(v, P_DATA_REQUEST, q->sector, repl_req_id(q), q->length_bytes, NULL, 0);
    repl_request_timer_arm(v->r);
}

static void read_go(struct repl_waiter *w)
{
    struct repl_req *q = hv_container_of(w, struct repl_req, wait);
    struct repl_volume *v = q->v;

    if (may_read_here(v, q)) {
        q->tried_local = true;
        v->data.local_out++;
        v->read_sectors += q->length_bytes / DRBD_SECTOR_BYTES;
        v->data.app_sectors += q->length_bytes / DRBD_SECTOR_BYTES;
        repl_io(v, REPL_FX_READ, q->sector, hv_buf_get(q->op->buf), q->offset_bytes,
            q->length_bytes, 0, read_local_done, q);
    } else if (!q->tried_remote && repl_peer_has_data(v)) {
        read_remote(q);
    } else {
        if (!repl_io_suspended(v))
            repl_volume_log(v, HV_LOG_ERROR,
                "IO ERROR: neither local nor remote data, sector %llu+%u",
                (unsigned long long)q->sector, q->length_bytes / DRBD_SECTOR_BYTES);
        read_done(q, HV_EIO);
    }
}

static void read_begin(struct repl_req *q)
{
    q->wait.go = read_go;
    read_go(&q->wait);
}

/* Where they go is decided at the end of the step, when the state is what it will be. */
void repl_reads_lost(struct repl *r)
{
    struct hv_list *n, *tmp;

    hv_list_each_safe(n, tmp, &r->data.unacked)
    {
        struct repl_req *q = hv_container_of(n, struct repl_req, unacked);

        if (q->kind != REPL_APP_READ)
            continue;
        hv_list_remove(&q->unacked);
        q->remote = REPL_PART_NONE;
        q->tried_remote = false;
        hv_list_push_back(&r->data.ready, &q->wait.link);
    }
}

static struct repl_req *read_of(struct repl_volume *v, uint64_t block_id, uint64_t sector)
{
    struct repl_req *q = repl_req_find(v, block_id);

    if (!q || q->kind != REPL_APP_READ || q->remote != REPL_PART_PENDING || q->sector != sector)
        return NULL;
    return q;
}

int repl_recv_data_reply(struct repl *r, struct repl_volume *v, struct repl_packet *p)
{
    struct drbd_data data;
    struct hv_reader rd;
    struct repl_req *q;
    int rc;

    hv_reader_init(&rd, p->sub, p->sub_bytes);
    rc = drbd_data_decode(&rd, &data);
    q = rc ? NULL : read_of(v, data.block_id, data.sector);
    if (!q || p->data_bytes != q->length_bytes)
        rc = repl_peer_lied(r, "P_DATA_REPLY that nobody asked for");
    else
        rc = repl_digest_check(r, p);
    hv_buf_put(p->buf);
    p->buf = NULL;
    if (rc)
        return rc;
    hv_list_remove(&q->unacked);
    q->remote = REPL_PART_OK;
    v->recv_sectors += q->length_bytes / DRBD_SECTOR_BYTES;
    read_done(q, 0);
    return 0;
}

int repl_recv_neg_dreply(struct repl *r, struct repl_volume *v, struct repl_packet *p)
{
    struct drbd_block_ack ack;
    struct hv_reader rd;
    struct repl_req *q;

    hv_reader_init(&rd, p->sub, p->sub_bytes);
    if (drbd_block_ack_decode(&rd, &ack))
        return repl_peer_lied(r, "short P_NEG_DREPLY");
    q = read_of(v, ack.block_id, ack.sector);
    if (!q)
        return repl_peer_lied(r, "P_NEG_DREPLY that nobody asked for");
    hv_list_remove(&q->unacked);
    q->remote = REPL_PART_FAILED;
    repl_volume_log(v, HV_LOG_WARN, "Got NegDReply; Sector %llus, len %u.",
        (unsigned long long)ack.sector, q->length_bytes);
    read_go(&q->wait);
    return 0;
}
