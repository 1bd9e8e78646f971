/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl_private.h"
#include "hv_text.h"

enum { CTL_CONNECTIONS_MAX = 64 };

struct ctl_conn {
    struct ctl_pipe pipe;
    struct ctl_server *server; /* NULL: the server has gone */
    bool subscribed;
    struct hv_list requests; /* not answered yet */
    struct hv_list link;
};

struct ctl_server {
    struct loop *loop;
    ctl_handler handler;
    void *arg;
    int fd;
    bool closing;
    unsigned connections;
    struct loop_op accept_op;
    struct loop_timer retry;
    struct hv_list conns;
    char path[CTL_PATH_MAX];
};

static void conn_forget_requests(struct ctl_conn *c)
{
    struct hv_list *n, *tmp;

    hv_list_each_safe(n, tmp, &c->requests)
    {
        struct ctl_request *r = hv_container_of(n, struct ctl_request, link);
        r->conn = NULL;
        hv_list_remove(&r->link);
    }
}

static void conn_gone(struct ctl_pipe *pipe)
{
    struct ctl_conn *c = hv_container_of(pipe, struct ctl_conn, pipe);

    conn_forget_requests(c);
    if (c->server)
        c->server->connections--;
    hv_list_remove(&c->link);
    free(c);
}

static void conn_received(struct ctl_pipe *pipe, json_t *object)
{
    struct ctl_conn *c = hv_container_of(pipe, struct ctl_conn, pipe);
    struct ctl_request *r = calloc(1, sizeof *r);

    if (!r || !ctl_string(object, "verb")[0]) {
        free(r);
        ctl_pipe_close(pipe);
        return;
    }
    r->body = json_incref(object);
    r->verb = ctl_string(object, "verb");
    r->id = json_incref(json_object_get(object, "id"));
    r->conn = c;
    hv_list_push_back(&c->requests, &r->link);
    c->server->handler(c->server->arg, r);
}

static bool peer_allowed(int fd)
{
    struct ucred cred;
    socklen_t length = sizeof cred;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &length))
        return false;
    return cred.uid == 0 || cred.uid == geteuid();
}

static void server_accepted(struct loop_op *op, int result)
{
    struct ctl_server *s = hv_container_of(op, struct ctl_server, accept_op);
    struct ctl_conn *c = NULL;

    if (s->closing) {
        if (result >= 0)
            close(result);
        close(s->fd);
        free(s);
        return;
    }
    if (result < 0) {
        /* Out of descriptors, most likely: not at once again. */
        loop_timer_arm(s->loop, &s->retry, loop_clock_ms() + 100);
        return;
    }
    loop_accept(s->loop, op, s->fd, NULL, NULL);
    if (peer_allowed(result) && s->connections < CTL_CONNECTIONS_MAX)
        c = calloc(1, sizeof *c);
    if (!c) {
        close(result);
        return;
    }
    c->server = s;
    c->pipe = (struct ctl_pipe){
        .loop = s->loop, .fd = result, .received = conn_received, .gone = conn_gone};
    hv_list_init(&c->requests);
    if (ctl_pipe_start(&c->pipe)) {
        close(result);
        free(c);
        return;
    }
    hv_list_push_back(&s->conns, &c->link);
    s->connections++;
}

static void server_retry(struct loop_timer *t)
{
    struct ctl_server *s = hv_container_of(t, struct ctl_server, retry);

    loop_accept(s->loop, &s->accept_op, s->fd, NULL, NULL);
}

int ctl_server_new(struct loop *loop, const char *path, ctl_handler handler, void *arg,
    struct ctl_server **out, struct hv_diag *diag)
{
    struct ctl_server *s = calloc(1, sizeof *s);
    struct hv_diag ignored;
    int rv = HV_ENOMEM;

    if (!s)
        return rv;
    rv = HV_EINVAL;
    if (!hv_strcopy(s->path, sizeof s->path, path)) {
        hv_diag_set(diag, "%s: path too long", path);
        goto fail;
    }
    rv = ctl_make_parents(path);
    if (rv) {
        hv_diag_set(diag, "%s: cannot make its directory: %s", path, strerror(errno));
        goto fail;
    }
    int other = ctl_socket_connect(path, &ignored);
    if (other >= 0) {
        close(other);
        hv_diag_set(diag, "%s: another process serves it", path);
        rv = HV_EBUSY;
        goto fail;
    }
    unlink(path);
    rv = s->fd = ctl_socket_bind(path, diag);
    if (rv < 0)
        goto fail;
    s->loop = loop;
    s->handler = handler;
    s->arg = arg;
    hv_list_init(&s->conns);
    s->accept_op.done = server_accepted;
    s->retry.fired = server_retry;
    loop_accept(loop, &s->accept_op, s->fd, NULL, NULL);
    *out = s;
    return HV_OK;
fail:
    free(s);
    return rv;
}

void ctl_server_free(struct ctl_server *s)
{
    struct hv_list *n, *tmp;

    if (!s)
        return;
    unlink(s->path);
    loop_timer_disarm(s->loop, &s->retry);
    hv_list_each_safe(n, tmp, &s->conns)
    {
        struct ctl_conn *c = hv_container_of(n, struct ctl_conn, link);
        c->server = NULL;
        hv_list_remove(&c->link);
        conn_forget_requests(c);
        ctl_pipe_close(&c->pipe);
    }
    s->closing = true;
    if (s->accept_op.pending) {
        loop_cancel(s->loop, &s->accept_op);
    } else {
        close(s->fd);
        free(s);
    }
}

void ctl_reply(struct ctl_request *r, json_t *reply)
{
    if (!reply)
        reply = json_object();
    if (!json_object_get(reply, "ok"))
        json_object_set_new(reply, "ok", json_true());
    if (r->id)
        json_object_set(reply, "id", r->id);
    if (r->conn) {
        hv_list_remove(&r->link);
        ctl_pipe_send(&r->conn->pipe, reply);
    } else {
        json_decref(reply);
    }
    json_decref(r->id);
    json_decref(r->body);
    free(r);
}

void ctl_reply_error(struct ctl_request *r, int exit_code, const char *fmt, ...)
{
    char text[1024];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    ctl_reply(r, json_pack("{s:b, s:s, s:i}", "ok", 0, "error", text, "exit", exit_code));
}

void ctl_subscribe(struct ctl_request *r)
{
    if (r->conn)
        r->conn->subscribed = true;
}

void ctl_publish(struct ctl_server *s, json_t *event)
{
    struct hv_list *n, *tmp;

    hv_list_each_safe(n, tmp, &s->conns)
    {
        struct ctl_conn *c = hv_container_of(n, struct ctl_conn, link);
        if (c->subscribed)
            ctl_pipe_send(&c->pipe, json_incref(event));
    }
    json_decref(event);
}

bool ctl_has_subscribers(const struct ctl_server *s)
{
    struct hv_list *n;

    hv_list_each(n, &s->conns)
    {
        if (hv_container_of(n, struct ctl_conn, link)->subscribed)
            return true;
    }
    return false;
}
