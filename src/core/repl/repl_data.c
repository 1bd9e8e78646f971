/* SPDX-License-Identifier: Apache-2.0 */
/* Pools, dispatch and the end of each step. */
#include <stdlib.h>
#include <string.h>

#include "repl_int.h"

int repl_pool_init(struct repl_pool *pool, size_t item_bytes, uint32_t capacity)
{
    *pool = (struct repl_pool){.item_bytes = item_bytes, .capacity = capacity};
    hv_list_init(&pool->free);
    pool->memory = calloc(capacity, item_bytes);
    return pool->memory ? 0 : HV_ENOMEM;
}

void *repl_pool_get(struct repl_pool *pool)
{
    if (!hv_list_empty(&pool->free)) {
        struct hv_list *n = pool->free.next;

        hv_list_remove(n);
        pool->used++;
        return n;
    }
    if (pool->fresh == pool->capacity)
        return NULL;
    pool->used++;
    return pool->memory + pool->item_bytes * pool->fresh++;
}

void repl_pool_put(struct repl_pool *pool, void *item)
{
    struct hv_list *n = item;

    hv_assert(pool->used > 0);
    pool->used--;
    hv_list_init(n);
    hv_list_push_front(&pool->free, n);
}

uint32_t repl_pool_index(const struct repl_pool *pool, const void *item)
{
    return (uint32_t)((size_t)((const uint8_t *)item - pool->memory) / pool->item_bytes);
}

void *repl_pool_at(const struct repl_pool *pool, uint32_t index)
{
    return index < pool->fresh ? pool->memory + pool->item_bytes * index : NULL;
}

void repl_wake(struct repl *r, struct hv_list *list)
{
    while (!hv_list_empty(list)) {
        struct hv_list *n = list->next;

        hv_list_remove(n);
        hv_list_push_back(&r->data.ready, n);
    }
}

void repl_wake_one(struct repl *r, struct repl_waiter *w)
{
    hv_list_remove(&w->link);
    hv_list_push_back(&r->data.ready, &w->link);
}

static void volume_init(struct repl_volume_data *vd)
{
    struct hv_list *lists[] = {&vd->gated, &vd->no_reqs, &vd->held, &vd->iv_wait, &vd->rs_wait,
        &vd->rs_lock_wait, &vd->lost, &vd->lost_flush, &vd->local_fifo, &vd->al_open,
        &vd->al_sealed, &vd->al_full};

    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        hv_list_init(lists[i]);
    repl_intervals_init(&vd->intervals);
    vd->al_gen = 1;
}

static uint64_t peer_bytes_max(const struct repl_config *config)
{
    uint64_t bytes = (uint64_t)config->net.max_buffers * 4096;

    return bytes > REPL_PEER_BYTES_MIN ? bytes : REPL_PEER_BYTES_MIN;
}

int repl_data_new(struct repl *r)
{
    struct repl_data *d = &r->data;
    uint32_t reqs = r->config.requests_max + REPL_REQS_EXTRA;
    struct hv_list *lists[] = {&d->ready, &d->epoch_list, &d->unacked, &d->handing, &d->flushes,
        &d->peer_all, &d->peer_epoch_list, &d->reads_wait};

    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        hv_list_init(lists[i]);
    d->peer_bytes_max = peer_bytes_max(&r->config);
    for (uint32_t i = 0; i < r->config.volumes; i++)
        volume_init(&r->volumes[i].data);
    if (repl_pool_init(&d->ops, sizeof(struct repl_op), r->config.requests_max) ||
        repl_pool_init(&d->reqs, sizeof(struct repl_req), reqs) ||
        repl_pool_init(&d->epochs, sizeof(struct repl_epoch), reqs + 2) ||
        repl_pool_init(&d->peer_reqs, sizeof(struct repl_peer_req), REPL_PEER_REQS) ||
        repl_pool_init(&d->peer_epochs, sizeof(struct repl_peer_epoch), REPL_PEER_REQS + 64))
        return HV_ENOMEM;
    for (uint32_t i = 0; i < r->config.volumes; i++) {
        r->volumes[i].data.al_buf = hv_buf_alloc(r->config.bufs, MD_BLOCK_BYTES);
        if (!r->volumes[i].data.al_buf)
            return HV_ENOMEM;
    }
    return 0;
}

static void free_bufs(struct repl_data *d)
{
    for (uint32_t i = 0; i < d->ops.fresh; i++) {
        struct repl_op *op = repl_pool_at(&d->ops, i);

        hv_buf_put(op->buf);
    }
    for (uint32_t i = 0; i < d->reqs.fresh; i++) {
        struct repl_req *q = repl_pool_at(&d->reqs, i);

        hv_buf_put(q->buf);
    }
    for (uint32_t i = 0; i < d->peer_reqs.fresh; i++) {
        struct repl_peer_req *p = repl_pool_at(&d->peer_reqs, i);

        hv_buf_put(p->buf);
    }
}

void repl_data_free(struct repl *r)
{
    struct repl_data *d = &r->data;

    free_bufs(d);
    for (uint32_t i = 0; r->volumes && i < r->config.volumes; i++)
        hv_buf_put(r->volumes[i].data.al_buf);
    free(d->ops.memory);
    free(d->reqs.memory);
    free(d->epochs.memory);
    free(d->peer_reqs.memory);
    free(d->peer_epochs.memory);
}

/* Each op is answered once; each request goes to the disk and to the peer once, behind at most one
 * barrier, and may set an out-of-sync mark; each peer request has at most one disk access, one answer and
 * one flush on its way.  Packets that are refused on the spot are answered with one packet: a receive of
 * 256 KiB holds no more than 6554 of them.  Metadata: activity log and bitmap pages. */
uint32_t repl_data_effects_max(const struct repl_config *config)
{
    uint32_t reqs = config->requests_max + REPL_REQS_EXTRA;

    return config->requests_max * 2 + reqs * 3 + REPL_PEER_REQS * 3 + 6600 +
           config->volumes * (128 + 2 * REPL_PEER_REQS_OWN / 8) + 64;
}

static int recv_nothing(struct repl *r, struct repl_volume *v, struct repl_packet *p)
{
    return 0;
}

/* Both exist between two Primaries only (wire §9.6), which this engine does not allow. */
static int recv_conflict(struct repl *r, struct repl_volume *v, struct repl_packet *p)
{
    return repl_peer_lied(
        r, "%s came, but there is only one Primary", drbd_packet_name(p->command));
}

static const struct {
    unsigned command;
    repl_packet_fn fn;
} packet_table[] = {
    {P_DATA, repl_recv_data},
    {P_DATA_REPLY, repl_recv_data_reply},
    {P_RS_DATA_REPLY, repl_recv_rs_reply},
    {P_BARRIER, repl_recv_barrier},
    {P_UNPLUG_REMOTE, recv_nothing},
    {P_DATA_REQUEST, repl_recv_data_request},
    {P_RS_DATA_REQUEST, repl_recv_rs_request},
    {P_RECV_ACK, repl_recv_write_ack},
    {P_WRITE_ACK, repl_recv_write_ack},
    {P_RS_WRITE_ACK, repl_recv_write_ack},
    {P_SUPERSEDED, recv_conflict},
    {P_NEG_ACK, repl_recv_write_ack},
    {P_NEG_DREPLY, repl_recv_neg_dreply},
    {P_NEG_RS_DREPLY, repl_recv_rs_neg},
    {P_BARRIER_ACK, repl_recv_barrier_ack},
    {P_OV_REQUEST, repl_recv_ov_request},
    {P_OV_REPLY, repl_recv_ov_reply},
    {P_OV_RESULT, repl_recv_ov_result},
    {P_CSUM_RS_REQUEST, repl_recv_rs_request},
    {P_RS_IS_IN_SYNC, repl_recv_rs_ack},
    {P_OUT_OF_SYNC, repl_recv_out_of_sync},
    {P_RS_CANCEL, repl_recv_rs_neg},
    {P_RETRY_WRITE, recv_conflict},
    {P_TRIM, repl_recv_trim},
    {P_RS_THIN_REQ, repl_recv_rs_request},
    {P_RS_DEALLOCATED, repl_recv_rs_deallocated},
    {P_ZEROES, repl_recv_trim},
};

repl_packet_fn repl_data_packet(unsigned command)
{
    for (size_t i = 0; i < sizeof packet_table / sizeof packet_table[0]; i++)
        if (packet_table[i].command == command)
            return packet_table[i].fn;
    return NULL;
}

bool repl_data_recv_ready(const struct repl *r)
{
    const struct repl_data *d = &r->data;

    return repl_pool_left(&d->peer_reqs) >= REPL_PEER_REQS_SPARE &&
           d->peer_bytes + REPL_PEER_BYTES_SPARE <= d->peer_bytes_max;
}

bool repl_data_app_ready(const struct repl *r, uint16_t volume)
{
    return volume < r->config.volumes && repl_pool_left(&r->data.ops) > 0;
}

bool repl_data_app_idle(const struct repl *r)
{
    return r->data.ops.used == 0;
}

void repl_data_timer(struct repl *r, enum repl_timer timer)
{
    if (timer == REPL_T_BARRIER)
        repl_epoch_send_barrier(r);
    else if (timer == REPL_T_REQUEST)
        repl_request_timer(r);
}

void repl_data_volume_timer(struct repl_volume *v, enum repl_volume_timer timer)
{
    if (timer == REPL_VT_RESYNC && v->data.rs.active)
        v->data.rs.verify ? repl_ov_tick(v) : repl_rs_tick(v);
    else if (timer == REPL_VT_DISK)
        repl_write_disk_timeout(v);
}

void repl_data_after_state(struct repl_volume *v, struct drbd_state from, struct drbd_state to)
{
    if (from.disk > D_FAILED && to.disk <= D_FAILED)
        repl_al_disk_lost(v);
    /* wire §9.5 (d): what is replicated and what is not must not share an epoch. */
    if (repl_replicates(v, &from) != repl_replicates(v, &to))
        repl_epoch_close(v->r);
    repl_rs_after_state(v, from, to);
}

void repl_data_sent(struct repl *r, enum drbd_socket socket)
{
    if (socket != DRBD_SOCK_DATA)
        return;
    repl_write_handed(r);
    repl_peer_reads_wake(r);
}

void repl_data_ping_acked(struct repl *r)
{
    for (uint32_t i = 0; i < r->config.volumes; i++)
        if (r->volumes[i].data.rs.active && r->volumes[i].data.rs.stage == RS_PING)
            repl_rs_pinged(&r->volumes[i]);
}

void repl_data_connected(struct repl *r)
{
    r->data.connected = true;
    r->data.epoch_number = 0;
}

void repl_data_disconnected(struct repl *r)
{
    struct repl_data *d = &r->data;

    if (!d->connected)
        return;
    d->connected = false;
    d->conn_gen++;
    repl_epoch_disconnected(r);
    repl_reads_lost(r);
    repl_peer_epochs_disconnected(r);
    repl_peer_disconnected(r);
    repl_timer_clear(r, REPL_T_BARRIER);
    repl_timer_clear(r, REPL_T_REQUEST);
}

bool repl_data_peer_idle(const struct repl *r)
{
    return r->data.peer_io == 0;
}

bool repl_data_disk_idle(const struct repl_volume *v)
{
    return v->data.local_out == 0 && v->data.al_pages == 0;
}

static void run_ready(struct repl *r)
{
    while (!hv_list_empty(&r->data.ready)) {
        struct repl_waiter *w = hv_list_first(&r->data.ready, struct repl_waiter, link);

        hv_list_remove(&w->link);
        w->go(w);
    }
}

void repl_data_end_of_step(struct repl *r)
{
    do {
        run_ready(r);
        for (uint32_t i = 0; i < r->config.volumes; i++) {
            struct repl_volume *v = &r->volumes[i];

            if (!hv_list_empty(&v->data.lost))
                repl_write_resolve_lost(v);
            if (!hv_list_empty(&v->data.lost_flush))
                repl_op_flush_resolve(v);
            if (!hv_list_empty(&v->data.held))
                repl_held_check(v);
            if (!hv_list_empty(&v->data.gated) && repl_gate_open(v))
                repl_wake(r, &v->data.gated);
        }
        run_ready(r);
        for (uint32_t i = 0; i < r->config.volumes; i++)
            repl_al_seal(&r->volumes[i]);
    } while (!hv_list_empty(&r->data.ready));
    repl_epoch_end_of_step(r);
}

static void status_resync(
    const struct repl_volume *v, uint64_t now_ms, struct repl_volume_status *out)
{
    const struct repl_resync *rs = &v->data.rs;
    uint64_t left = repl_rs_left_bits(v), ms;
    uint32_t oldest = (rs->mark + 1) % REPL_RS_MARKS;

    if (!rs->active)
        return;
    out->rs_verify = rs->verify;
    out->rs_total_kib = rs->total_bits * 4;
    out->rs_left_kib = left * 4;
    out->rs_failed_kib = rs->failed_bits * 4;
    out->rs_want_kib = rs->want_kib;
    out->rs_start_ago_ms = (uint32_t)(now_ms - rs->start_ms);
    out->rs_stalled = now_ms - rs->changed_ms > 180000;
    ms = now_ms - rs->mark_ms[oldest];
    if (ms > 0 && rs->mark_left[oldest] > left)
        out->rs_speed_kib = (rs->mark_left[oldest] - left) * 4000 / ms;
    ms = now_ms - rs->start_ms - rs->paused_ms;
    if (ms > 0 && rs->total_bits > left)
        out->rs_average_kib = (rs->total_bits - left) * 4000 / ms;
    if (out->rs_speed_kib > 0)
        out->rs_eta_ms = left * 4000 / out->rs_speed_kib;
}

void repl_data_status(const struct repl_volume *v, uint64_t now_ms, struct repl_volume_status *out)
{
    const struct repl_data *d = &v->r->data;
    struct hv_list *n;

    out->ns_kib = v->send_sectors / 2;
    out->nr_kib = v->recv_sectors / 2;
    out->dw_kib = v->write_sectors / 2;
    out->dr_kib = v->read_sectors / 2;
    out->al_writes = v->al_writes;
    out->bm_writes = v->bm_writes;
    out->lo = v->data.local_out;
    out->ap = v->data.ap_count;
    out->pe = v->data.rs.pending;
    hv_list_each(n, &d->unacked) out->pe++;
    out->ua = 0;
    hv_list_each(n, &d->peer_all)
    {
        const struct repl_peer_req *p = hv_container_of(n, struct repl_peer_req, all);

        if (p->v == v && p->kind <= REPL_PEER_RS_READ && !p->dead)
            out->ua++;
    }
    out->ep = d->peer_epochs.used > 0 ? d->peer_epochs.used : 1;
    out->wo = repl_write_ordering(v->r);
    out->oos_kib = v->bm.weight * 4;
    out->al_suspended = v->al && actlog_is_suspended(v->al);
    status_resync(v, now_ms, out);
}
