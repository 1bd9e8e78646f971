/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <unistd.h>

#include "hv_assert.h"
#include "vol.h"

static int error_of(int error)
{
    return error == 0            ? HV_OK
           : error == -ETIMEDOUT ? HV_ETIMEDOUT
           : error == -EINVAL    ? HV_EINVAL
                                 : HV_EIO;
}

static struct vol_sock *sock_find(struct vol *v, uint32_t id)
{
    for (int i = 0; i < VOL_SOCKS_MAX; i++)
        if (v->socks[i].id == id)
            return &v->socks[i];
    return NULL;
}

static void sock_event(
    struct vol_sock *s, enum repl_event_kind kind, const uint8_t *bytes, uint32_t length, int error)
{
    const struct repl_event ev = {.kind = kind,
        .error = error,
        .net = {.sock = s->id, .bytes = bytes, .length_bytes = length}};

    vol_event(s->vol, &ev);
}

static void on_connected(void *arg, int error)
{
    sock_event(arg, error ? REPL_EV_CONN_FAILED : REPL_EV_CONNECTED, NULL, 0, error_of(error));
}

static void on_received(void *arg, const uint8_t *bytes, uint32_t length)
{
    sock_event(arg, REPL_EV_RECV, bytes, length, 0);
}

static void on_received_direct(void *arg, uint32_t length)
{
    sock_event(arg, REPL_EV_RECV_DIRECT, NULL, length, 0);
}

static uint32_t on_want(void *arg, uint8_t **to)
{
    struct vol_sock *s = arg;

    return repl_recv_want(s->vol->repl, s->id, to);
}

static bool on_ready(void *arg)
{
    struct vol_sock *s = arg;

    return s->known && repl_recv_ready(s->vol->repl, s->id);
}

static void on_sent(void *arg, uint32_t length)
{
    sock_event(arg, REPL_EV_SENT, NULL, length, 0);
}

static void on_closed(void *arg, int error)
{
    sock_event(arg, REPL_EV_SOCK_CLOSED, NULL, 0, error_of(error));
}

static const struct net_sock_ops sock_ops = {.connected = on_connected,
    .received = on_received,
    .received_direct = on_received_direct,
    .want = on_want,
    .ready = on_ready,
    .sent = on_sent,
    .closed = on_closed};

static void connect_start(struct vol *v, uint32_t id)
{
    struct vol_sock *s = sock_find(v, 0);
    struct repl_event failed = {
        .kind = REPL_EV_CONN_FAILED, .error = HV_EINVAL, .net = {.sock = id}};
    struct hv_diag diag;

    if (s) {
        *s = (struct vol_sock){.vol = v, .id = id, .known = true};
        int rv = net_connect(v->net, &v->local, &v->peer, v->resource->net.connect_int_s * 1000,
            &sock_ops, s, &s->sock, &diag);
        if (!rv)
            return;
        vol_log(HV_LOG_ERROR, "%s", diag.text);
        failed.error = rv;
        s->id = 0;
    }
    vol_event(v, &failed);
}

static void on_accepted(void *arg, int fd)
{
    struct vol *v = arg;
    struct vol_sock *s = sock_find(v, 0);

    if (!s) {
        close(fd);
        return;
    }
    v->last_accepted_id += 2;
    if (!v->last_accepted_id)
        v->last_accepted_id = 2;
    *s = (struct vol_sock){.vol = v, .id = v->last_accepted_id};
    if (net_accept(v->net, fd, &sock_ops, s, &s->sock)) {
        close(fd);
        s->id = 0;
        return;
    }
    s->known = true;
    sock_event(s, REPL_EV_ACCEPTED, NULL, 0, 0);
}

static const struct net_listener_ops listener_ops = {.accepted = on_accepted};

static void listen_set(struct vol *v, bool on)
{
    struct hv_diag diag;

    if (!on && v->listener) {
        net_listener_close(v->listener);
        v->listener = NULL;
    } else if (on && !v->listener &&
               net_listen(v->net, &v->local, &listener_ops, v, &v->listener, &diag)) {
        /* Our own connects may still succeed. */
        vol_log(HV_LOG_ERROR, "%s", diag.text);
        v->listener = NULL;
    }
}

void vol_link_effect(struct vol *v, struct repl_effect *fx)
{
    struct vol_sock *s;

    switch (fx->kind) {
    case REPL_FX_LISTEN:
        listen_set(v, fx->net.on);
        break;
    case REPL_FX_CONNECT:
        connect_start(v, fx->net.sock);
        break;
    case REPL_FX_SOCK_CLOSE:
        s = fx->net.sock ? sock_find(v, fx->net.sock) : NULL;
        if (s) {
            net_sock_close(s->sock);
            s->id = 0;
        }
        break;
    case REPL_FX_SEND:
        s = fx->send.sock ? sock_find(v, fx->send.sock) : NULL;
        if (s)
            net_send(s->sock, fx->send.head, fx->send.head_bytes, fx->send.buf,
                fx->send.offset_bytes, fx->send.length_bytes);
        else
            hv_buf_put(fx->send.buf);
        break;
    default:
        /* A turn's packets share segments already: there is nothing to cork. */
        hv_assert(fx->kind == REPL_FX_CORK);
        break;
    }
}

void vol_link_turn(struct vol *v)
{
    for (int i = 0; i < VOL_SOCKS_MAX; i++)
        if (v->socks[i].id)
            net_sock_resume(v->socks[i].sock);
}

void vol_link_end(struct vol *v)
{
    listen_set(v, false);
    for (int i = 0; i < VOL_SOCKS_MAX; i++) {
        if (v->socks[i].id)
            net_sock_close(v->socks[i].sock);
        v->socks[i].id = 0;
    }
}
