/* SPDX-License-Identifier: Apache-2.0 */
/* duo_repl's network: reliable byte streams with latency, a link that can be cut, resets from a node that
 * forgot its connections. */
#include <stdlib.h>
#include <string.h>

#include "duo_int.h"
#include "hv_assert.h"
#include "hv_error.h"

enum { SYN_RETRY_MS = 1000 };

static enum duo_end other(enum duo_end end)
{
    return end == DUO_A ? DUO_B : DUO_A;
}

static struct duo_conn *conn_find(struct duo *d, enum duo_end end, uint32_t sock)
{
    for (int i = 0; i < DUO_CONNS_MAX; i++)
        if (d->conn[i].used && !d->conn[i].closed[end] && d->conn[i].sock[end] == sock)
            return &d->conn[i];
    return NULL;
}

void duo_net_connect(struct duo *d, enum duo_end end, uint32_t sock)
{
    hv_assert(sock & 1);
    for (int i = 0; i < DUO_CONNS_MAX; i++) {
        struct duo_conn *c = &d->conn[i];
        if (c->used)
            continue;
        memset(c, 0, sizeof *c);
        c->used = true;
        c->connector = end;
        c->sock[end] = sock;
        c->incarnation[end] = d->node[end].incarnation;
        c->ready_ms = d->now_ms + DUO_LATENCY_MS;
        return;
    }
    hv_assert(!"more connections than any sane engine makes");
}

static void stream_add(struct duo_stream *s, const uint8_t *bytes, uint32_t n)
{
    if (s->tail + n > s->capacity) {
        s->capacity = (s->tail + n) * 2;
        s->bytes = realloc(s->bytes, s->capacity);
        hv_assert(s->bytes);
    }
    memcpy(s->bytes + s->tail, bytes, n);
    s->tail += n;
}

static void conn_free_if_over(struct duo_conn *c)
{
    bool never = !c->established && c->closed[c->connector];

    if (!never && !(c->closed[0] && c->closed[1]))
        return;
    free(c->to[0].bytes);
    free(c->to[1].bytes);
    memset(c, 0, sizeof *c);
}

void duo_net_send(struct duo *d, enum duo_end end, struct repl_effect *fx)
{
    struct duo_conn *c = conn_find(d, end, fx->send.sock);

    if (c && c->established) {
        struct duo_stream *s = &c->to[other(end)];
        if (s->head == s->tail)
            c->next_ms[other(end)] = d->now_ms + DUO_LATENCY_MS;
        stream_add(s, fx->send.head, fx->send.head_bytes);
        if (fx->send.buf)
            stream_add(s, fx->send.buf->data + fx->send.offset_bytes, fx->send.length_bytes);
    }
    hv_buf_put(fx->send.buf);
}

void duo_net_close(struct duo *d, enum duo_end end, uint32_t sock)
{
    struct duo_conn *c = conn_find(d, end, sock);

    if (!c)
        return;
    c->closed[end] = true;
    c->to[other(end)].eof_queued = true;
    if (c->next_ms[other(end)] < d->now_ms + DUO_LATENCY_MS)
        c->next_ms[other(end)] = d->now_ms + DUO_LATENCY_MS;
    conn_free_if_over(c);
}

/* The node is gone: its side says nothing any more; the peer learns it from a reset, once something
 * reaches a node that is back. */
void duo_net_crash(struct duo *d, enum duo_end end)
{
    for (int i = 0; i < DUO_CONNS_MAX; i++) {
        struct duo_conn *c = &d->conn[i];
        if (!c->used || c->closed[end] || (!c->established && c->connector != end))
            continue;
        c->closed[end] = true;
        c->reset[end] = true;
        /* What it had given to TCP dies with it. */
        c->to[other(end)].head = c->to[other(end)].tail = 0;
        conn_free_if_over(c);
    }
}

static void tell_closed(struct duo *d, enum duo_end end, struct duo_conn *c, int error)
{
    struct repl_event ev = {.kind = REPL_EV_SOCK_CLOSED, .error = error};

    if (c->to[end].eof_told)
        return;
    c->to[end].eof_told = true;
    ev.net.sock = c->sock[end];
    duo_step(d, end, &ev);
}

/* Bytes on their way to `end`. */
static bool deliver(struct duo *d, struct duo_conn *c, enum duo_end end)
{
    struct duo_stream *s = &c->to[end];
    struct duo_node *n = &d->node[end];
    uint32_t length = s->tail - s->head;

    if (d->now_ms < c->next_ms[end] || !d->link_up)
        return false;
    if (c->closed[end]) {
        /* Nobody there: a node that is up answers with a reset. */
        if (length == 0 || !n->r || c->closed[other(end)])
            return false;
        s->head = s->tail = 0;
        tell_closed(d, other(end), c, HV_EIO);
        return true;
    }
    if (length == 0) {
        if (!s->eof_queued || s->eof_told)
            return false;
        tell_closed(d, end, c, c->reset[other(end)] ? HV_EIO : 0);
        return true;
    }
    if (!n->r || !repl_recv_ready(n->r, c->sock[end]))
        return false;
    if (length > DUO_CHUNK_BYTES)
        length = DUO_CHUNK_BYTES;
    uint8_t *to;
    uint32_t want = repl_recv_want(n->r, c->sock[end], &to);
    struct repl_event ev = {.kind = REPL_EV_RECV};
    uint8_t chunk[DUO_CHUNK_BYTES];
    if (want) {
        ev.kind = REPL_EV_RECV_DIRECT;
        if (length > want)
            length = want;
        memcpy(to, s->bytes + s->head, length);
    } else {
        /* Odd sizes, so that packets are cut anywhere. */
        if (length > 1 && hv_prng_below(&d->prng, 4) == 0)
            length = 1 + (uint32_t)hv_prng_below(&d->prng, length);
        memcpy(chunk, s->bytes + s->head, length);
    }
    s->head += length;
    if (s->head == s->tail)
        s->head = s->tail = 0;
    ev.net.sock = c->sock[end];
    ev.net.bytes = chunk;
    ev.net.length_bytes = length;
    uint32_t sender = c->sock[other(end)];
    bool sender_open = !c->closed[other(end)];
    duo_step(d, end, &ev);
    if (sender_open && c->used && !c->closed[other(end)] && c->sock[other(end)] == sender) {
        struct repl_event sent = {.kind = REPL_EV_SENT};
        sent.net.sock = sender;
        sent.net.length_bytes = length;
        duo_step(d, other(end), &sent);
    }
    return true;
}

static bool establish(struct duo *d, struct duo_conn *c)
{
    enum duo_end to = other(c->connector);
    struct duo_node *n = &d->node[to];
    struct repl_event ev = {.kind = REPL_EV_CONNECTED};

    if (d->now_ms < c->ready_ms)
        return false;
    if (!d->link_up || !n->r) {
        c->ready_ms = d->now_ms + SYN_RETRY_MS;
        return true;
    }
    ev.net.sock = c->sock[c->connector];
    if (!n->listening) {
        ev.kind = REPL_EV_CONN_FAILED;
        ev.error = HV_EIO;
        enum duo_end who = c->connector;
        memset(c, 0, sizeof *c);
        duo_step(d, who, &ev);
        return true;
    }
    c->established = true;
    c->sock[to] = n->next_accept_sock += 2;
    c->incarnation[to] = n->incarnation;
    struct repl_event accepted = {.kind = REPL_EV_ACCEPTED};
    accepted.net.sock = c->sock[to];
    duo_step(d, c->connector, &ev);
    if (c->used && !c->closed[to])
        duo_step(d, to, &accepted);
    return true;
}

bool duo_net_turn(struct duo *d)
{
    bool moved = false;

    for (int i = 0; i < DUO_CONNS_MAX; i++) {
        struct duo_conn *c = &d->conn[i];
        if (!c->used)
            continue;
        if (!c->established) {
            moved |= establish(d, c);
            continue;
        }
        for (int end = 0; end < DUO_ENDS && c->used; end++)
            moved |= deliver(d, c, (enum duo_end)end);
    }
    return moved;
}

uint64_t duo_net_next(const struct duo *d)
{
    uint64_t next = UINT64_MAX;

    for (int i = 0; i < DUO_CONNS_MAX; i++) {
        const struct duo_conn *c = &d->conn[i];
        if (!c->used)
            continue;
        if (!c->established) {
            if (c->ready_ms < next)
                next = c->ready_ms;
            continue;
        }
        for (int end = 0; end < DUO_ENDS && d->link_up; end++) {
            const struct duo_stream *s = &c->to[end];
            bool pending = s->head != s->tail || (s->eof_queued && !s->eof_told && !c->closed[end]);
            if (pending && c->next_ms[end] > d->now_ms && c->next_ms[end] < next)
                next = c->next_ms[end];
        }
    }
    return next;
}

void duo_net_free(struct duo *d)
{
    for (int i = 0; i < DUO_CONNS_MAX; i++) {
        free(d->conn[i].to[0].bytes);
        free(d->conn[i].to[1].bytes);
    }
}
