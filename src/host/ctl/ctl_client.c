/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "ctl_private.h"
#include "hv_assert.h"

struct ctl_client {
    struct ctl_pipe pipe;
    const struct ctl_client_ops *ops;
    void *arg;
    bool freed, lost, in_gone;
    uint64_t last_id;
    struct hv_list calls;
};

static void call_finish(struct ctl_call *call, int error, json_t *reply)
{
    hv_list_remove(&call->link);
    loop_timer_disarm(call->client->pipe.loop, &call->timer);
    call->client = NULL;
    call->done(call, error, reply);
}

static void calls_fail(struct ctl_client *c)
{
    while (!hv_list_empty(&c->calls))
        call_finish(hv_list_first(&c->calls, struct ctl_call, link), HV_EIO, NULL);
}

static void client_received(struct ctl_pipe *pipe, json_t *object)
{
    struct ctl_client *c = hv_container_of(pipe, struct ctl_client, pipe);
    uint64_t id = (uint64_t)ctl_integer(object, "id", 0);
    struct hv_list *n;

    if (json_object_get(object, "event")) {
        if (c->ops->event && !c->freed)
            c->ops->event(c->arg, object);
        return;
    }
    hv_list_each(n, &c->calls)
    {
        struct ctl_call *call = hv_container_of(n, struct ctl_call, link);
        if (call->id == id) {
            call_finish(call, HV_OK, object);
            return;
        }
    }
}

static void client_gone(struct ctl_pipe *pipe)
{
    struct ctl_client *c = hv_container_of(pipe, struct ctl_client, pipe);

    c->lost = c->in_gone = true;
    if (!c->freed)
        calls_fail(c);
    if (!c->freed)
        c->ops->closed(c->arg);
    c->in_gone = false;
    if (c->freed)
        free(c);
}

int ctl_client_open(struct loop *loop, const char *path, const struct ctl_client_ops *ops,
    void *arg, struct ctl_client **out, struct hv_diag *diag)
{
    struct ctl_client *c = calloc(1, sizeof *c);
    int fd;

    if (!c)
        return HV_ENOMEM;
    fd = ctl_socket_connect(path, diag);
    if (fd < 0) {
        free(c);
        return fd;
    }
    c->pipe =
        (struct ctl_pipe){.loop = loop, .fd = fd, .received = client_received, .gone = client_gone};
    c->ops = ops;
    c->arg = arg;
    hv_list_init(&c->calls);
    *out = c;
    return ctl_pipe_start(&c->pipe);
}

void ctl_client_free(struct ctl_client *c)
{
    if (!c || c->freed)
        return;
    c->freed = true;
    calls_fail(c);
    if (!c->lost)
        ctl_pipe_close(&c->pipe);
    else if (!c->in_gone)
        free(c);
}

static void call_timed_out(struct loop_timer *t)
{
    struct ctl_call *call = hv_container_of(t, struct ctl_call, timer);

    call_finish(call, HV_ETIMEDOUT, NULL);
}

void ctl_client_call(
    struct ctl_client *c, struct ctl_call *call, json_t *request, uint32_t timeout_ms)
{
    hv_assert(!call->client && !c->freed);
    call->client = c;
    call->id = ++c->last_id;
    call->timer = (struct loop_timer){.fired = call_timed_out};
    hv_list_push_back(&c->calls, &call->link);
    loop_timer_arm(c->pipe.loop, &call->timer, loop_clock_ms() + (c->lost ? 0 : timeout_ms));
    json_object_set_new(request, "id", json_integer((json_int_t)call->id));
    ctl_pipe_send(&c->pipe, request);
}

void ctl_call_cancel(struct ctl_call *call)
{
    if (!call->client)
        return;
    hv_list_remove(&call->link);
    loop_timer_disarm(call->client->pipe.loop, &call->timer);
    call->client = NULL;
}
