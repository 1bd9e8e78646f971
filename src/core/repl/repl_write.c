/* SPDX-License-Identifier: Apache-2.0 */
/* Application writes, discards and zeroes: overlap → resync extent → activity log → both disks; and
 * the rules of their completion (wire §9.1 to §9.4). */
#include "repl_int.h"

bool repl_replicates(const struct repl_volume *v, const struct drbd_state *s)
{
    if (!v->r->data.connected || s->conn < C_CONNECTED)
        return false;
    return s->conn < C_AHEAD && s->conn != C_WF_BITMAP_S &&
           (s->pdsk == D_UP_TO_DATE || (s->pdsk >= D_INCONSISTENT && s->conn >= C_WF_BITMAP_T));
}

static bool tells_oos(const struct repl_volume *v)
{
    return v->r->data.connected && (v->state.conn == C_AHEAD || v->state.conn == C_WF_BITMAP_S);
}

static uint32_t sectors_of(const struct repl_req *q)
{
    return q->length_bytes / DRBD_SECTOR_BYTES;
}

static void interval_over(struct repl_req *q)
{
    bool waited = q->iv.active && q->iv.waited;

    repl_interval_remove(&q->iv);
    if (waited)
        repl_wake(q->v->r, &q->v->data.iv_wait);
}

/* --- the end --- */

static bool remote_settled(const struct repl_req *q)
{
    if (q->remote ==
        REPL_PART_PENDING) /* protocol A: with the local disk failed, only the peer counts */
        return q->handed && q->local == REPL_PART_OK;
    return q->remote != REPL_PART_LOST;
}

static void answer(struct repl_req *q)
{
    struct repl *r = q->v->r;
    struct repl_op *op = q->op;
    bool pending = q->remote == REPL_PART_PENDING;
    bool ok = q->local == REPL_PART_OK || q->remote == REPL_PART_OK;

    q->op = NULL;
    interval_over(q);
    /* wire §9.5 (a): what is written from now on may depend on this one. */
    if (q->epoch && q->epoch == r->data.epoch_open)
        repl_epoch_close(r);
    if (!ok)
        repl_volume_log(q->v, HV_LOG_ERROR,
            "IO ERROR: neither local nor remote data, sector %llu+%u",
            (unsigned long long)q->sector, sectors_of(q));
    repl_op_piece_done(op, q, ok ? 0 : HV_EIO, !pending && q->remote != REPL_PART_OK,
        q->remote == REPL_PART_FAILED);
}

/* Answers the application and lets go of the request, each as soon as it may be. */
void repl_write_check(struct repl_req *q)
{
    if (q->local != REPL_PART_PENDING && q->remote != REPL_PART_PENDING &&
        q->remote != REPL_PART_LOST && !q->io_out)
        repl_req_drop_buf(q);
    if (q->op && q->local != REPL_PART_PENDING && remote_settled(q))
        answer(q);
    if (q->op || q->io_out || q->epoch || q->lost || q->remote == REPL_PART_PENDING)
        return;
    if (q->local == REPL_PART_OK && q->remote == REPL_PART_OK && q->rs_acked)
        repl_oos_clear(q->v, q->sector, sectors_of(q), true);
    repl_al_release(q->v, &q->pin);
    repl_req_free(q);
}

/* --- the local part --- */

static void disk_timer_arm(struct repl_volume *v)
{
    struct repl_req *q;

    if (v->config.disk.disk_timeout_ds == 0 || repl_volume_timer_armed(v, REPL_VT_DISK) ||
        hv_list_empty(&v->data.local_fifo))
        return;
    q = hv_list_first(&v->data.local_fifo, struct repl_req, local_link);
    repl_volume_timer_set(
        v, REPL_VT_DISK, q->local_ms + (uint64_t)v->config.disk.disk_timeout_ds * 100);
}

static void local_failed(struct repl_req *q)
{
    q->local = REPL_PART_FAILED;
    repl_oos_set(q->v, q->sector, sectors_of(q));
    repl_disk_failed(q->v, REPL_DISK_WRITE, q->sector);
}

/* Only writes: a read that is given up could still scribble over its buffer. */
void repl_write_disk_timeout(struct repl_volume *v)
{
    uint64_t limit_ms = (uint64_t)v->config.disk.disk_timeout_ds * 100;

    while (limit_ms && !hv_list_empty(&v->data.local_fifo)) {
        struct repl_req *q = hv_list_first(&v->data.local_fifo, struct repl_req, local_link);

        if (q->local_ms + limit_ms > v->r->now_ms)
            break;
        repl_volume_log(v, HV_LOG_WARN, "Local backing device failed to meet the disk-timeout");
        hv_list_remove(&q->local_link);
        local_failed(q);
        repl_write_check(q);
    }
    disk_timer_arm(v);
}

static void local_done(struct repl_volume *v, void *arg, int error, struct hv_buf *buf)
{
    struct repl_req *q = arg;

    v->data.local_out--;
    q->io_out = false;
    hv_list_remove(&q->local_link);
    if (q->local == REPL_PART_PENDING) {
        q->local = REPL_PART_OK;
        if (error)
            local_failed(q);
    }
    repl_write_check(q);
}

static void write_local(struct repl_req *q)
{
    struct repl_volume *v = q->v;
    enum repl_effect_kind kind = REPL_FX_WRITE;
    uint32_t flags = q->flags & REPL_APP_FUA ? REPL_IO_FUA : 0;

    if (q->kind == REPL_APP_DISCARD) {
        kind = repl_discard_effect(v, &flags);
    } else if (q->kind == REPL_APP_ZEROES) {
        kind = REPL_FX_ZEROES;
        flags |= q->flags & REPL_APP_MAY_UNMAP ? REPL_IO_MAY_UNMAP : 0;
    }
    q->local = REPL_PART_PENDING;
    q->io_out = true;
    q->local_ms = v->r->now_ms;
    hv_list_push_back(&v->data.local_fifo, &q->local_link);
    disk_timer_arm(v);
    v->data.local_out++;
    v->write_sectors += sectors_of(q);
    repl_io(v, kind, q->sector, q->buf ? hv_buf_get(q->buf) : NULL, q->offset_bytes,
        q->length_bytes, flags, local_done, q);
}

/* --- the remote part --- */

static uint32_t dp_flags_of(const struct repl_req *q)
{
    const struct repl *r = q->v->r;
    enum drbd_conn conn = q->v->state.conn;
    uint32_t flags = DP_RW_SYNC;

    /* A FUA write is stable on both disks when it is acknowledged, as a flush is. */
    if (q->flags & REPL_APP_FUA)
        flags |= DP_FUA;
    if (q->kind == REPL_APP_DISCARD)
        flags |= DP_DISCARD;
    if (q->kind == REPL_APP_ZEROES)
        flags |= DP_ZEROES | (q->flags & REPL_APP_MAY_UNMAP ? DP_DISCARD : 0);
    if (conn >= C_SYNC_SOURCE && conn <= C_PAUSED_SYNC_T)
        flags |= DP_MAY_SET_IN_SYNC;
    if (r->config.net.wire_protocol == DRBD_PROT_C || (flags & DP_MAY_SET_IN_SYNC))
        flags |= DP_SEND_WRITE_ACK;
    else if (r->config.net.wire_protocol == DRBD_PROT_B)
        flags |= DP_SEND_RECEIVE_ACK;
    return drbd_dp_flags_for(flags, r->agreed_version);
}

static void write_remote(struct repl_req *q)
{
    struct repl_volume *v = q->v;
    struct repl *r = v->r;
    struct drbd_trim trim = {.size_bytes = q->length_bytes};
    uint8_t sub[DRBD_SUB_BYTES_MAX];
    struct hv_writer w;

    q->remote = REPL_PART_PENDING;
    q->sent_ms = r->now_ms;
    q->handed = q->rs_acked = false;
    repl_epoch_add(q);
    trim.data = (struct drbd_data){.sector = q->sector,
        .block_id = repl_req_id(q),
        .seq_num = ++v->packet_seq,
        .dp_flags = dp_flags_of(q)};
    hv_writer_init(&w, sub, sizeof sub);
    if (q->kind == REPL_APP_WRITE) {
        uint8_t digest[HV_DIGEST_BYTES_MAX];

        drbd_data_encode(&w, &trim.data);
        hv_write_bytes(
            &w, digest, repl_integrity_digest(r, q->buf, q->offset_bytes, q->length_bytes, digest));
        repl_send(r, DRBD_SOCK_DATA, v->config.vnr, P_DATA, sub, (uint32_t)hv_writer_length(&w),
            hv_buf_get(q->buf), q->offset_bytes, q->length_bytes);
    } else {
        drbd_trim_encode(&w, &trim);
        repl_send(r, DRBD_SOCK_DATA, v->config.vnr, q->kind == REPL_APP_DISCARD ? P_TRIM : P_ZEROES,
            sub, (uint32_t)hv_writer_length(&w), NULL, 0, 0);
    }
    v->send_sectors += sectors_of(q);
    hv_list_push_back(&r->data.unacked, &q->unacked);
    if (r->config.net.wire_protocol == DRBD_PROT_A) {
        q->handed_at = repl_sock_given_total(r, DRBD_SOCK_DATA);
        hv_list_push_back(&r->data.handing, &q->wait.link);
    }
    repl_request_timer_arm(r);
}

/* The peer will not have these blocks. */
static void note_oos(struct repl_req *q)
{
    if (repl_oos_set(q->v, q->sector, sectors_of(q)) > 0 && tells_oos(q->v)) {
        repl_epoch_send_barrier(q->v->r);
        repl_oos_send(q->v, q->sector, q->length_bytes);
    }
}

void repl_write_handed(struct repl *r)
{
    uint64_t taken = repl_sock_sent_total(r, DRBD_SOCK_DATA);

    while (!hv_list_empty(&r->data.handing)) {
        struct repl_req *q = hv_list_first(&r->data.handing, struct repl_req, wait.link);

        if (q->handed_at > taken)
            break;
        hv_list_remove(&q->wait.link);
        q->handed = true;
        repl_write_check(q);
    }
}

/* --- the beginning --- */

/* Can this peer be told?  Without P_TRIM or P_ZEROES the front writes zeroes instead. */
static bool can_send(const struct repl_req *q)
{
    const struct repl *r = q->v->r;

    if (q->kind == REPL_APP_DISCARD)
        return r->agreed_features & DRBD_FF_TRIM;
    if (q->kind ==
        REPL_APP_ZEROES) /* wire §9.2: the kernel expects a digest that it does not send */
        return (r->agreed_features & DRBD_FF_WZEROES) && !r->config.net.integrity_alg[0];
    return true;
}

/* Nothing was begun: back to the op, as if it had not been tried. */
static void give_up(struct repl_req *q, int error)
{
    struct repl_op *op = q->op;

    q->op = NULL;
    interval_over(q);
    repl_op_piece_done(op, q, error, false, false);
    repl_write_check(q);
}

static void write_start(struct repl_req *q)
{
    struct repl_volume *v = q->v;
    bool replicate = repl_replicates(v, &v->state);
    bool here = repl_disk_usable(v);

    if (!(here && v->state.disk == D_UP_TO_DATE) && !(replicate && repl_peer_has_data(v))) {
        if (!repl_io_suspended(v))
            repl_volume_log(v, HV_LOG_ERROR,
                "IO ERROR: neither local nor remote data, sector %llu+%u",
                (unsigned long long)q->sector, sectors_of(q));
        give_up(q, HV_EIO);
        return;
    }
    if (replicate && !can_send(q)) {
        give_up(q, HV_EUNSUPPORTED);
        return;
    }
    if (q->kind == REPL_APP_WRITE)
        q->buf = hv_buf_get(q->op->buf);
    v->data.app_sectors += sectors_of(q);
    if (replicate)
        write_remote(q);
    else
        note_oos(q);
    if (here)
        write_local(q);
    repl_write_check(q);
}

/* A connection to an older peer may have come while the request waited. */
static bool too_large(const struct repl_req *q)
{
    const struct repl *r = q->v->r;

    if (!r->data.connected)
        return false;
    return q->length_bytes > (q->kind == REPL_APP_WRITE
                                     ? drbd_bio_bytes_max(r->agreed_version)
                                     : drbd_discard_bytes_max(r->agreed_features));
}

static void write_go(struct repl_waiter *w)
{
    struct repl_req *q = hv_container_of(w, struct repl_req, wait);
    struct repl_volume *v = q->v;

    if (!q->iv.active) {
        struct repl_interval *iv =
            repl_interval_conflict(&v->data.intervals, q->sector, sectors_of(q), NULL);

        if (iv) {
            iv->waited = true;
            hv_list_push_back(&v->data.iv_wait, &w->link);
            return;
        }
        repl_interval_add(&v->data.intervals, &q->iv, q->sector, sectors_of(q), true);
    }
    /* Once pinned it goes first: resync waits for the pin. */
    if (!repl_al_pinned(v, &q->pin) && repl_rs_blocks(v, q->sector, sectors_of(q))) {
        /* Resync reads wait for intervals: this one must not be waited for while it waits. */
        interval_over(q);
        hv_list_push_back(&v->data.rs_wait, &w->link);
        return;
    }
    if (!repl_al_begin(v, &q->pin, q->sector, sectors_of(q), w))
        return;
    if (!repl_gate_open(v))
        hv_list_push_back(&v->data.gated, &w->link);
    else if (too_large(q))
        give_up(q, HV_EAGAIN);
    else
        write_start(q);
}

void repl_write_begin(struct repl_req *q)
{
    q->wait.go = write_go;
    write_go(&q->wait);
}

/* --- what the peer says --- */

static void unlink_acked(struct repl_req *q)
{
    hv_list_remove(&q->unacked);
    hv_list_remove(&q->wait.link); /* `handing` */
}

static int acked(struct repl *r, struct repl_req *q, unsigned command)
{
    uint8_t protocol = r->config.net.wire_protocol;

    if (command == P_NEG_ACK) {
        if (q->remote != REPL_PART_PENDING &&
            (q->remote != REPL_PART_OK || protocol == DRBD_PROT_C))
            return repl_peer_lied(r, "P_NEG_ACK for a request already answered");
        repl_volume_log(q->v, HV_LOG_WARN, "Got NegAck packet. Peer is in troubles?");
        q->remote = REPL_PART_FAILED;
        repl_oos_set(q->v, q->sector, sectors_of(q));
    } else {
        if (q->remote != REPL_PART_PENDING || (command == P_RECV_ACK && protocol != DRBD_PROT_B))
            return repl_peer_lied(
                r, "%s for a request that does not wait for it", drbd_packet_name(command));
        q->remote = REPL_PART_OK;
        q->rs_acked = command == P_RS_WRITE_ACK;
    }
    unlink_acked(q);
    repl_write_check(q);
    return 0;
}

int repl_recv_write_ack(struct repl *r, struct repl_volume *v, struct repl_packet *p)
{
    struct drbd_block_ack ack;
    struct hv_reader rd;
    struct repl_req *q;
    int rc;

    hv_reader_init(&rd, p->sub, p->sub_bytes);
    if (drbd_block_ack_decode(&rd, &ack))
        return repl_peer_lied(r, "short %s", drbd_packet_name(p->command));
    rc = repl_range_check(
        v, drbd_packet_name(p->command), ack.sector, ack.size_bytes, DRBD_DISCARD_BYTES_MAX);
    if (rc)
        return rc;
    if (ack.block_id == DRBD_ID_SYNCER)
        return repl_recv_rs_ack(r, v, p);
    q = repl_req_find(v, ack.block_id);
    if (q && q->kind != REPL_APP_READ && q->epoch && q->sector == ack.sector &&
        q->length_bytes == ack.size_bytes)
        return acked(r, q, p->command);
    if (p->command != P_NEG_ACK || r->config.net.wire_protocol == DRBD_PROT_C)
        return repl_peer_lied(
            r, "%s for a request that there is not", drbd_packet_name(p->command));
    /* Protocols A and B: the request may be gone (wire §9.4). */
    repl_oos_set(v, ack.sector, ack.size_bytes / DRBD_SECTOR_BYTES);
    return 0;
}

/* The epoch is stable at the peer; the request has left it. */
void repl_write_barrier_acked(struct repl_req *q)
{
    if (q->remote == REPL_PART_PENDING) /* protocol A: this is the only ack there is */
        q->remote = REPL_PART_OK;
    unlink_acked(q);
    repl_write_check(q);
}

/* --- a lost connection --- */

/* wire §14.2, RESEND: what was not acked goes out again; what was acked counts as stable. */
static void resend(struct repl_req *q)
{
    q->lost = false;
    hv_list_remove(&q->log);
    if (q->remote == REPL_PART_LOST) {
        if (repl_replicates(q->v, &q->v->state) && can_send(q) && !too_large(q)) {
            write_remote(q);
        } else {
            q->remote = REPL_PART_FAILED;
            note_oos(q);
        }
    }
    repl_write_check(q);
}

/* The peer may have it or not, on its disk or only in its cache: out of sync. */
static void fail(struct repl_req *q)
{
    q->lost = false;
    hv_list_remove(&q->log);
    repl_oos_set(q->v, q->sector, sectors_of(q));
    if (q->remote == REPL_PART_LOST)
        q->remote = REPL_PART_FAILED;
    q->rs_acked = false;
    repl_write_check(q);
}

void repl_write_resolve_lost(struct repl_volume *v)
{
    bool back = v->r->data.connected && v->state.conn >= C_CONNECTED;

    if (!back && repl_io_suspended(v))
        return;
    while (!hv_list_empty(&v->data.lost)) {
        struct repl_req *q = hv_list_first(&v->data.lost, struct repl_req, log);

        back ? resend(q) : fail(q);
    }
}
