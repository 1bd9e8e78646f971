/* SPDX-License-Identifier: Apache-2.0 */
#include "net.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hv_assert.h"

enum {
    NET_RECV_BYTES = 256 * 1024,
    NET_HEAD_BYTES = 512, /* several heads without payload share an item */
    NET_IOV_MAX = 256,
    NET_ITEMS_CHUNK = 64,
    NET_LINGER_MS = 2000,
    NET_ACCEPT_RETRY_MS = 100
};

/* Heads, then at most one payload. */
struct net_item {
    struct hv_list link;
    struct hv_buf *buf;
    uint32_t offset_bytes, length_bytes;
    uint32_t head_bytes;
    uint8_t head[NET_HEAD_BYTES];
};

struct net_chunk {
    struct net_chunk *next;
    struct net_item items[NET_ITEMS_CHUNK];
};

struct net {
    struct loop *loop;
    struct net_config config;
    struct loop_hook hook;
    struct hv_list socks, listeners;
    struct hv_list free_items;
    struct net_chunk *chunks; /* only ever grows, to the longest queue there was */
};

struct net_sock {
    struct net *net;
    struct hv_list link;
    int fd;
    const struct net_sock_ops *ops;
    void *arg;
    struct net_addr peer;
    bool connecting, up, eof, closing, shut;
    int ended; /* an error of sending, told by closed() */
    struct loop_op recv_op, send_op, connect_op;
    struct loop_timer timer; /* connecting: limit; closing: linger */
    struct loop_task gone_task, ended_task;
    bool direct;
    uint8_t *in;
    struct hv_list queue;
    uint32_t queued_bytes;
    uint32_t first_sent_bytes; /* of the first item, already sent */
    struct hv_list *in_flight_last;
    struct msghdr msg;
    struct iovec iov[NET_IOV_MAX];
};

struct net_listener {
    struct net *net;
    struct hv_list link;
    int fd;
    bool closing;
    const struct net_listener_ops *ops;
    void *arg;
    struct loop_op accept_op;
    struct loop_timer retry;
};

/* ---------------------------------------------------------------------------------------------- items */

static struct net_item *item_alloc(struct net *net)
{
    if (hv_list_empty(&net->free_items)) {
        struct net_chunk *c = malloc(sizeof *c);
        hv_assert(c);
        c->next = net->chunks;
        net->chunks = c;
        for (int i = 0; i < NET_ITEMS_CHUNK; i++)
            hv_list_push_back(&net->free_items, &c->items[i].link);
    }
    struct net_item *item = hv_list_first(&net->free_items, struct net_item, link);
    hv_list_remove(&item->link);
    item->buf = NULL;
    item->head_bytes = item->offset_bytes = item->length_bytes = 0;
    return item;
}

static void item_free(struct net *net, struct net_item *item)
{
    hv_list_remove(&item->link);
    hv_buf_put(item->buf);
    item->buf = NULL;
    hv_list_push_front(&net->free_items, &item->link);
}

static void sock_drop_queue(struct net_sock *s)
{
    while (!hv_list_empty(&s->queue))
        item_free(s->net, hv_list_first(&s->queue, struct net_item, link));
    s->queued_bytes = s->first_sent_bytes = 0;
}

/* ---------------------------------------------------------------------------------------------- ending */

static void sock_gone(struct loop_task *task)
{
    struct net_sock *s = hv_container_of(task, struct net_sock, gone_task);

    if (s->recv_op.pending || s->send_op.pending || s->connect_op.pending)
        return;
    loop_timer_disarm(s->net->loop, &s->timer);
    loop_defer_cancel(s->net->loop, &s->ended_task);
    sock_drop_queue(s);
    close(s->fd);
    hv_list_remove(&s->link);
    free(s->in);
    free(s);
}

/* Once closing: ends when nothing is in flight; queued data goes first unless `shut`. */
static void sock_advance_close(struct net_sock *s)
{
    if (!s->closing)
        return;
    if (!s->shut && !s->ended && s->up && !hv_list_empty(&s->queue))
        return;
    loop_cancel(s->net->loop, &s->send_op);
    loop_cancel(s->net->loop, &s->recv_op);
    loop_cancel(s->net->loop, &s->connect_op);
    if (!s->recv_op.pending && !s->send_op.pending && !s->connect_op.pending)
        loop_defer(s->net->loop, &s->gone_task);
}

static void sock_ended(struct loop_task *task)
{
    struct net_sock *s = hv_container_of(task, struct net_sock, ended_task);

    if (!s->closing && !s->eof) {
        s->eof = true;
        s->ops->closed(s->arg, s->ended);
    }
}

void net_sock_close(struct net_sock *s)
{
    hv_assert(!s->closing);
    s->closing = true;
    /* The place that a direct receive fills belongs to the owner, who may reuse it now. */
    if (s->direct)
        loop_cancel_now(s->net->loop, &s->recv_op);
    else
        loop_cancel(s->net->loop, &s->recv_op);
    if (s->up)
        loop_timer_arm(s->net->loop, &s->timer, loop_clock_ms() + NET_LINGER_MS);
    sock_advance_close(s);
}

static void sock_timeout(struct loop_timer *t)
{
    struct net_sock *s = hv_container_of(t, struct net_sock, timer);

    if (s->closing) {
        s->shut = true;
        sock_advance_close(s);
    } else if (s->connecting) {
        loop_cancel(s->net->loop, &s->connect_op);
    }
}

/* ------------------------------------------------------------------------------------------- receiving */

static void sock_receive(struct net_sock *s)
{
    uint8_t *to = NULL;
    uint32_t want;

    if (!s->up || s->closing || s->eof || s->recv_op.pending || !s->ops->ready(s->arg))
        return;
    want = s->ops->want(s->arg, &to);
    s->direct = want > 0;
    if (s->direct)
        loop_recv(s->net->loop, &s->recv_op, s->fd, to, want, 0);
    else
        loop_recv(s->net->loop, &s->recv_op, s->fd, s->in, s->net->config.recv_bytes, 0);
}

static void sock_received(struct loop_op *op, int result)
{
    struct net_sock *s = hv_container_of(op, struct net_sock, recv_op);

    if (s->closing) {
        sock_advance_close(s);
        return;
    }
    if (result == -EINTR || result == -EAGAIN) {
        sock_receive(s);
        return;
    }
    if (result <= 0) {
        if (!s->eof) {
            s->eof = true;
            s->ops->closed(s->arg, result);
        }
        return;
    }
    if (s->direct)
        s->ops->received_direct(s->arg, (uint32_t)result);
    else
        s->ops->received(s->arg, s->in, (uint32_t)result);
    sock_receive(s);
}

void net_sock_resume(struct net_sock *s)
{
    sock_receive(s);
}

/* --------------------------------------------------------------------------------------------- sending */

void net_send(struct net_sock *s, const void *head, uint32_t head_bytes, struct hv_buf *buf,
    uint32_t offset_bytes, uint32_t length_bytes)
{
    struct net_item *item = NULL;

    hv_assert(head_bytes <= NET_HEAD_BYTES && !s->closing);
    if (s->ended || s->eof) {
        hv_buf_put(buf);
        return;
    }
    if (!hv_list_empty(&s->queue) && s->queue.prev != s->in_flight_last) {
        item = hv_list_last(&s->queue, struct net_item, link);
        if (item->buf || item->head_bytes + head_bytes > NET_HEAD_BYTES)
            item = NULL;
    }
    if (!item) {
        item = item_alloc(s->net);
        hv_list_push_back(&s->queue, &item->link);
    }
    memcpy(item->head + item->head_bytes, head, head_bytes);
    item->head_bytes += head_bytes;
    if (buf && length_bytes) {
        item->buf = buf;
        item->offset_bytes = offset_bytes;
        item->length_bytes = length_bytes;
    } else {
        hv_buf_put(buf);
    }
    s->queued_bytes += head_bytes + length_bytes;
}

uint32_t net_sock_queued_bytes(const struct net_sock *s)
{
    return s->queued_bytes;
}

static void iov_add(struct net_sock *s, uint8_t *bytes, uint32_t length, uint32_t *skip)
{
    uint32_t take = *skip < length ? *skip : length;

    *skip -= take;
    if (length > take)
        s->iov[s->msg.msg_iovlen++] =
            (struct iovec){.iov_base = bytes + take, .iov_len = length - take};
}

static void sock_flush(struct net_sock *s)
{
    struct hv_list *n;
    uint32_t skip = s->first_sent_bytes;

    if (!s->up || s->ended || s->shut || s->send_op.pending || hv_list_empty(&s->queue))
        return;
    s->msg = (struct msghdr){.msg_iov = s->iov};
    hv_list_each(n, &s->queue)
    {
        struct net_item *item = hv_container_of(n, struct net_item, link);
        if (s->msg.msg_iovlen + 2 > NET_IOV_MAX)
            break;
        iov_add(s, item->head, item->head_bytes, &skip);
        if (item->buf)
            iov_add(s, item->buf->data + item->offset_bytes, item->length_bytes, &skip);
        s->in_flight_last = n;
    }
    loop_sendmsg(s->net->loop, &s->send_op, s->fd, &s->msg, 0);
}

static void sock_sent(struct loop_op *op, int result)
{
    struct net_sock *s = hv_container_of(op, struct net_sock, send_op);
    uint32_t sent = result > 0 ? (uint32_t)result : 0;

    s->in_flight_last = NULL;
    if (result < 0 && result != -EINTR && result != -EAGAIN && result != -ECANCELED) {
        s->ended = result;
        /* From the loop, since bytes that came before the error may still be read first. */
        if (!s->closing)
            loop_defer(s->net->loop, &s->ended_task);
    }
    s->queued_bytes -= sent;
    s->first_sent_bytes += sent;
    while (!hv_list_empty(&s->queue)) {
        struct net_item *item = hv_list_first(&s->queue, struct net_item, link);
        uint32_t all = item->head_bytes + item->length_bytes;
        if (s->first_sent_bytes < all)
            break;
        s->first_sent_bytes -= all;
        item_free(s->net, item);
    }
    if (s->closing)
        sock_advance_close(s);
    else if (sent)
        s->ops->sent(s->arg, sent);
}

static void net_turn(struct loop_hook *hook)
{
    struct net *net = hv_container_of(hook, struct net, hook);
    struct hv_list *n, *tmp;

    hv_list_each_safe(n, tmp, &net->socks) sock_flush(hv_container_of(n, struct net_sock, link));
}

/* ------------------------------------------------------------------------------------------- the room */

int net_new(struct loop *loop, const struct net_config *config, struct net **out)
{
    struct net *net = calloc(1, sizeof *net);

    if (!net)
        return HV_ENOMEM;
    net->loop = loop;
    net->config = *config;
    if (!net->config.recv_bytes)
        net->config.recv_bytes = NET_RECV_BYTES;
    hv_list_init(&net->socks);
    hv_list_init(&net->listeners);
    hv_list_init(&net->free_items);
    net->hook = (struct loop_hook){.turn = net_turn, .order = 1000};
    loop_hook_add(loop, &net->hook);
    *out = net;
    return HV_OK;
}

bool net_idle(const struct net *net)
{
    return hv_list_empty(&net->socks) && hv_list_empty(&net->listeners);
}

void net_free(struct net *net)
{
    if (!net)
        return;
    hv_assert(net_idle(net));
    loop_hook_remove(net->loop, &net->hook);
    while (net->chunks) {
        struct net_chunk *c = net->chunks;
        net->chunks = c->next;
        free(c);
    }
    free(net);
}

/* ------------------------------------------------------------------------------------------ beginning */

static void sock_options(const struct net *net, int fd)
{
    int on = 1, priority = 6; /* TC_PRIO_INTERACTIVE, as wire §1.1 */

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_PRIORITY, &priority, sizeof priority);
    if (net->config.sndbuf_bytes)
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &net->config.sndbuf_bytes, sizeof(uint32_t));
    if (net->config.rcvbuf_bytes)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &net->config.rcvbuf_bytes, sizeof(uint32_t));
}

static void sock_connected(struct loop_op *op, int result)
{
    struct net_sock *s = hv_container_of(op, struct net_sock, connect_op);

    loop_timer_disarm(s->net->loop, &s->timer);
    s->connecting = false;
    if (s->closing) {
        s->shut = true;
        sock_advance_close(s);
        return;
    }
    s->up = result == 0;
    s->ops->connected(s->arg, result == -ECANCELED ? -ETIMEDOUT : result);
    sock_receive(s);
}

static int sock_new(
    struct net *net, int fd, const struct net_sock_ops *ops, void *arg, struct net_sock **out)
{
    struct net_sock *s = calloc(1, sizeof *s);

    if (!s)
        return HV_ENOMEM;
    s->in = malloc(net->config.recv_bytes);
    if (!s->in) {
        free(s);
        return HV_ENOMEM;
    }
    s->net = net;
    s->fd = fd;
    s->ops = ops;
    s->arg = arg;
    s->recv_op.done = sock_received;
    s->send_op.done = sock_sent;
    s->connect_op.done = sock_connected;
    s->timer.fired = sock_timeout;
    s->gone_task.run = sock_gone;
    s->ended_task.run = sock_ended;
    hv_list_init(&s->queue);
    hv_list_push_back(&net->socks, &s->link);
    *out = s;
    return HV_OK;
}

int net_connect(struct net *net, const struct net_addr *local, const struct net_addr *peer,
    uint32_t timeout_ms, const struct net_sock_ops *ops, void *arg, struct net_sock **out,
    struct hv_diag *diag)
{
    struct net_addr from = *local;
    struct net_sock *s;
    int fd = socket(peer->sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        hv_diag_set(diag, "socket: %s", strerror(errno));
        return HV_EIO;
    }
    sock_options(net, fd);
    if (from.sa.ss_family == AF_INET)
        ((struct sockaddr_in *)&from.sa)->sin_port = 0;
    else
        ((struct sockaddr_in6 *)&from.sa)->sin6_port = 0;
    if (bind(fd, (struct sockaddr *)&from.sa, from.length)) {
        char text[160];
        net_addr_format(&from, text, sizeof text);
        hv_diag_set(diag, "bind %s: %s", text, strerror(errno));
        close(fd);
        return HV_EINVAL;
    }
    if (sock_new(net, fd, ops, arg, &s)) {
        close(fd);
        return HV_ENOMEM;
    }
    s->peer = *peer;
    s->connecting = true;
    loop_connect(net->loop, &s->connect_op, fd, (struct sockaddr *)&s->peer.sa, s->peer.length);
    loop_timer_arm(net->loop, &s->timer, loop_clock_ms() + timeout_ms);
    *out = s;
    return HV_OK;
}

int net_accept(
    struct net *net, int fd, const struct net_sock_ops *ops, void *arg, struct net_sock **out)
{
    int rv = sock_new(net, fd, ops, arg, out);

    if (rv)
        return rv;
    sock_options(net, fd);
    (*out)->up = true;
    sock_receive(*out);
    return HV_OK;
}

void net_sock_local(const struct net_sock *s, struct net_addr *out)
{
    memset(out, 0, sizeof *out);
    out->length = sizeof out->sa;
    getsockname(s->fd, (struct sockaddr *)&out->sa, &out->length);
}

void net_sock_peer(const struct net_sock *s, struct net_addr *out)
{
    memset(out, 0, sizeof *out);
    out->length = sizeof out->sa;
    getpeername(s->fd, (struct sockaddr *)&out->sa, &out->length);
}

/* ------------------------------------------------------------------------------------------ listeners */

static void listener_gone(struct net_listener *l)
{
    loop_timer_disarm(l->net->loop, &l->retry);
    close(l->fd);
    hv_list_remove(&l->link);
    free(l);
}

static void listener_accepted(struct loop_op *op, int result)
{
    struct net_listener *l = hv_container_of(op, struct net_listener, accept_op);

    if (l->closing) {
        if (result >= 0)
            close(result);
        listener_gone(l);
        return;
    }
    if (result < 0) {
        loop_timer_arm(l->net->loop, &l->retry, loop_clock_ms() + NET_ACCEPT_RETRY_MS);
        return;
    }
    loop_accept(l->net->loop, op, l->fd, NULL, NULL);
    l->ops->accepted(l->arg, result);
}

static void listener_retry(struct loop_timer *t)
{
    struct net_listener *l = hv_container_of(t, struct net_listener, retry);

    loop_accept(l->net->loop, &l->accept_op, l->fd, NULL, NULL);
}

int net_listen(struct net *net, const struct net_addr *local, const struct net_listener_ops *ops,
    void *arg, struct net_listener **out, struct hv_diag *diag)
{
    struct net_listener *l = calloc(1, sizeof *l);
    int on = 1, fd = socket(local->sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (!l || fd < 0)
        goto fail;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (local->sa.ss_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    sock_options(net, fd);
    if (bind(fd, (const struct sockaddr *)&local->sa, local->length) || listen(fd, 5))
        goto fail;
    l->net = net;
    l->fd = fd;
    l->ops = ops;
    l->arg = arg;
    l->accept_op.done = listener_accepted;
    l->retry.fired = listener_retry;
    hv_list_push_back(&net->listeners, &l->link);
    loop_accept(net->loop, &l->accept_op, fd, NULL, NULL);
    *out = l;
    return HV_OK;
fail:;
    char text[160];
    net_addr_format(local, text, sizeof text);
    hv_diag_set(diag, "listen on %s: %s", text, strerror(errno));
    if (fd >= 0)
        close(fd);
    free(l);
    return HV_EIO;
}

void net_listener_close(struct net_listener *l)
{
    l->closing = true;
    if (l->accept_op.pending)
        loop_cancel(l->net->loop, &l->accept_op);
    else
        listener_gone(l);
}
