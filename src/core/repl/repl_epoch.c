/* SPDX-License-Identifier: Apache-2.0 */
/* The transfer log (wire §9.5, sending side): epochs, barriers, barrier acks, and overdue requests. */
#include "repl_int.h"

static struct repl_epoch *epoch_open(struct repl *r)
{
    struct repl_data *d = &r->data;
    struct repl_epoch *e = d->epoch_open;

    if (!e) {
        e = repl_pool_get(&d->epochs);
        hv_assert(e); /* there are more than requests, and none is empty */
        hv_list_init(&e->reqs);
        e->id = ++d->epoch_id;
        e->number = d->epoch_number++;
        e->writes = 0;
        e->barrier_sent_ms = 0;
        hv_list_init(&e->link);
        hv_list_push_back(&d->epoch_list, &e->link);
        d->epoch_open = e;
    }
    return e;
}

void repl_epoch_send_barrier(struct repl *r)
{
    struct repl_epoch *e = r->data.epoch_unsent;
    struct drbd_barrier barrier;
    uint8_t sub[DRBD_SUB_BYTES_MAX];
    struct hv_writer w;

    if (!e)
        return;
    r->data.epoch_unsent = NULL;
    barrier.barrier = e->number;
    hv_writer_init(&w, sub, sizeof sub);
    drbd_barrier_encode(&w, &barrier);
    e->barrier_sent_ms = r->now_ms ? r->now_ms : 1;
    repl_send(r, DRBD_SOCK_DATA, 0, P_BARRIER, sub, (uint32_t)hv_writer_length(&w), NULL, 0, 0);
    repl_timer_clear(r, REPL_T_BARRIER);
    repl_request_timer_arm(r);
}

/* Before a packet of the next epoch goes out: the barrier of the one before. */
void repl_epoch_add(struct repl_req *q)
{
    struct repl *r = q->v->r;
    struct repl_epoch *e;

    repl_epoch_send_barrier(r);
    e = epoch_open(r);
    q->epoch = e;
    e->writes++;
    hv_list_push_back(&e->reqs, &q->log);
    if (e->writes >= r->config.net.max_epoch_size)
        repl_epoch_close(r);
}

void repl_epoch_close(struct repl *r)
{
    struct repl_data *d = &r->data;

    if (!d->epoch_open)
        return;
    hv_assert(!d->epoch_unsent); /* opening one sends the barrier of the last */
    d->epoch_unsent = d->epoch_open;
    d->epoch_open = NULL;
}

void repl_epoch_kick(struct repl *r)
{
    repl_epoch_close(r);
    repl_epoch_send_barrier(r);
}

/* A barrier goes out ahead of the next write.  When there is nothing on its way that a next write
 * could follow, at once, and otherwise a moment later: what the activity log pins waits for its ack. */
void repl_epoch_end_of_step(struct repl *r)
{
    if (!r->data.epoch_unsent)
        return;
    if (hv_list_empty(&r->data.unacked))
        repl_epoch_send_barrier(r);
    else if (!repl_timer_armed(r, REPL_T_BARRIER))
        repl_timer_set(r, REPL_T_BARRIER, r->now_ms + REPL_BARRIER_IDLE_MS);
}

static void epoch_free(struct repl *r, struct repl_epoch *e)
{
    hv_list_remove(&e->link);
    repl_pool_put(&r->data.epochs, e);
}

static void flushes_acked(struct repl *r, uint64_t epoch_id)
{
    struct hv_list *list = &r->data.flushes;

    while (!hv_list_empty(list)) {
        struct repl_op *op = hv_list_first(list, struct repl_op, wait.link);

        if (op->flush_epoch > epoch_id)
            break;
        repl_op_flush_acked(op, REPL_PART_OK);
    }
}

static bool all_answered(const struct repl *r, const struct repl_epoch *e)
{
    struct hv_list *n;

    if (r->config.net.wire_protocol == DRBD_PROT_A)
        return true;
    hv_list_each(n, &e->reqs)
    {
        if (hv_container_of(n, struct repl_req, log)->remote == REPL_PART_PENDING)
            return false;
    }
    return true;
}

int repl_recv_barrier_ack(struct repl *r, struct repl_volume *v, struct repl_packet *p)
{
    struct drbd_barrier_ack ack;
    struct hv_reader rd;
    struct repl_epoch *e;
    uint64_t id;

    hv_reader_init(&rd, p->sub, p->sub_bytes);
    if (drbd_barrier_ack_decode(&rd, &ack))
        return repl_peer_lied(r, "short P_BARRIER_ACK");
    if (hv_list_empty(&r->data.epoch_list))
        return repl_peer_lied(r, "BAD! BarrierAck #%u received, expected none", ack.barrier);
    e = hv_list_first(&r->data.epoch_list, struct repl_epoch, link);
    if (!e->barrier_sent_ms || e->number != ack.barrier || e->writes != ack.set_size)
        return repl_peer_lied(r,
            "BAD! BarrierAck #%u received with n_writes=%u, expected #%u with "
            "n_writes=%u",
            ack.barrier, ack.set_size, e->number, e->writes);
    if (!all_answered(r, e))
        return repl_peer_lied(r, "BarrierAck #%u before the acks of its writes", ack.barrier);
    id = e->id;
    while (!hv_list_empty(&e->reqs)) {
        struct repl_req *q = hv_list_first(&e->reqs, struct repl_req, log);

        hv_list_remove(&q->log);
        q->epoch = NULL;
        repl_write_barrier_acked(q);
    }
    epoch_free(r, e);
    flushes_acked(r, id);
    repl_request_timer_arm(r);
    return 0;
}

/* Everything in the log becomes a question: sent again, or out of sync (repl_write_resolve_lost()). */
void repl_epoch_disconnected(struct repl *r)
{
    struct repl_data *d = &r->data;

    while (!hv_list_empty(&d->epoch_list)) {
        struct repl_epoch *e = hv_list_first(&d->epoch_list, struct repl_epoch, link);

        while (!hv_list_empty(&e->reqs)) {
            struct repl_req *q = hv_list_first(&e->reqs, struct repl_req, log);

            hv_list_remove(&q->log);
            hv_list_remove(&q->unacked);
            hv_list_remove(&q->wait.link);
            q->epoch = NULL;
            q->lost = true;
            if (q->remote == REPL_PART_PENDING)
                q->remote = REPL_PART_LOST;
            hv_list_push_back(&q->v->data.lost, &q->log);
        }
        epoch_free(r, e);
    }
    d->epoch_open = d->epoch_unsent = NULL;
    while (!hv_list_empty(&d->flushes)) {
        struct repl_op *op = hv_list_first(&d->flushes, struct repl_op, wait.link);

        hv_list_remove(&op->wait.link);
        op->remote = REPL_PART_LOST;
        hv_list_push_back(&op->v->data.lost_flush, &op->wait.link);
    }
}

/* --- overdue (wire §13: timeout × ko-count) --- */

static uint64_t limit_ms(const struct repl *r)
{
    return (uint64_t)r->config.net.timeout_ds * 100 * r->config.net.ko_count;
}

/* When the oldest thing that the peer owes an answer to was sent; 0: it owes nothing. */
static uint64_t oldest_ms(const struct repl *r)
{
    const struct repl_data *d = &r->data;
    uint64_t oldest = 0;

    if (!hv_list_empty(&d->epoch_list))
        oldest = hv_list_first(&d->epoch_list, struct repl_epoch, link)->barrier_sent_ms;
    if (!hv_list_empty(&d->unacked)) {
        uint64_t sent_ms = hv_list_first(&d->unacked, struct repl_req, unacked)->sent_ms;

        if (!oldest || sent_ms < oldest)
            oldest = sent_ms;
    }
    return oldest;
}

/* Armed once and looked at when it comes: requests come and go much faster. */
void repl_request_timer_arm(struct repl *r)
{
    if (limit_ms(r) && r->data.connected && !repl_timer_armed(r, REPL_T_REQUEST) && oldest_ms(r))
        repl_timer_set(r, REPL_T_REQUEST, oldest_ms(r) + limit_ms(r));
}

void repl_request_timer(struct repl *r)
{
    uint64_t oldest = oldest_ms(r);

    if (oldest && limit_ms(r) && r->data.connected && r->now_ms >= oldest + limit_ms(r)) {
        repl_log(r, HV_LOG_WARN,
            "Remote failed to finish a request within %llums > ko-count (%u) * timeout (%u * 0.1s)",
            (unsigned long long)(r->now_ms - oldest), r->config.net.ko_count,
            r->config.net.timeout_ds);
        repl_conn_drop(r, C_TIMEOUT, "a request is overdue");
        return;
    }
    repl_request_timer_arm(r);
}
