/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl_private.h"

struct ctl_link {
    int fd;
    int64_t last_id;
    char in[CTL_MESSAGE_MAX];
};

int ctl_link_open(const char *path, struct ctl_link **out, struct hv_diag *diag)
{
    struct ctl_link *l = calloc(1, sizeof *l);

    if (!l)
        return HV_ENOMEM;
    l->fd = ctl_socket_connect(path, diag);
    if (l->fd < 0) {
        int rv = l->fd;
        free(l);
        return rv;
    }
    *out = l;
    return HV_OK;
}

void ctl_link_close(struct ctl_link *link)
{
    if (!link)
        return;
    close(link->fd);
    free(link);
}

static int link_send(struct ctl_link *l, json_t *object, struct hv_diag *diag)
{
    char *text = json_dumps(object, JSON_COMPACT);
    size_t n = text ? strlen(text) : 0;
    int rv = HV_OK;

    if (!text || n > CTL_MESSAGE_MAX) {
        hv_diag_set(diag, "request too long");
        rv = HV_EINVAL;
    } else if (send(l->fd, text, n, MSG_NOSIGNAL) != (ssize_t)n) {
        hv_diag_set(diag, "send: %s", strerror(errno));
        rv = HV_EIO;
    }
    free(text);
    return rv;
}

static int link_receive(
    struct ctl_link *l, uint64_t until_ms, json_t **object, struct hv_diag *diag)
{
    for (;;) {
        struct pollfd p = {.fd = l->fd, .events = POLLIN};
        uint64_t now = loop_clock_ms(), left = until_ms > now ? until_ms - now : 0;
        int n = poll(&p, 1, left < 3600000 ? (int)left : 3600000);

        if (n < 0 && errno != EINTR) {
            hv_diag_set(diag, "poll: %s", strerror(errno));
            return HV_EIO;
        }
        if (n > 0)
            break;
        if (loop_clock_ms() >= until_ms) {
            hv_diag_set(diag, "no answer in time");
            return HV_ETIMEDOUT;
        }
    }
    ssize_t n = recv(l->fd, l->in, sizeof l->in, MSG_TRUNC);
    if (n <= 0 || (size_t)n > sizeof l->in) {
        hv_diag_set(diag, "the other side closed the connection");
        return HV_EIO;
    }
    *object = json_loadb(l->in, (size_t)n, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(*object)) {
        json_decref(*object);
        *object = NULL;
        hv_diag_set(diag, "the other side sent something that is no JSON object");
        return HV_EPROTO;
    }
    return HV_OK;
}

static uint64_t deadline(uint32_t timeout_ms)
{
    return timeout_ms == UINT32_MAX ? UINT64_MAX : loop_clock_ms() + timeout_ms;
}

int ctl_link_call(struct ctl_link *link, json_t *request, uint32_t timeout_ms, json_t **reply,
    struct hv_diag *diag)
{
    uint64_t until_ms = deadline(timeout_ms);
    int64_t id = ++link->last_id;

    *reply = NULL;
    json_object_set_new(request, "id", json_integer(id));
    int rv = link_send(link, request, diag);
    json_decref(request);
    while (!rv) {
        rv = link_receive(link, until_ms, reply, diag);
        if (rv)
            break;
        if (!json_object_get(*reply, "event") && ctl_integer(*reply, "id", 0) == id)
            return HV_OK;
        json_decref(*reply);
        *reply = NULL;
    }
    return rv;
}

int ctl_link_event(struct ctl_link *link, uint32_t timeout_ms, json_t **event, struct hv_diag *diag)
{
    uint64_t until_ms = deadline(timeout_ms);

    for (;;) {
        int rv = link_receive(link, until_ms, event, diag);
        if (rv || json_object_get(*event, "event"))
            return rv;
        json_decref(*event);
    }
}

int ctl_call(
    const char *path, json_t *request, uint32_t timeout_ms, json_t **reply, struct hv_diag *diag)
{
    struct ctl_link *link;
    int rv = ctl_link_open(path, &link, diag);

    *reply = NULL;
    if (rv) {
        json_decref(request);
        return rv;
    }
    rv = ctl_link_call(link, request, timeout_ms, reply, diag);
    ctl_link_close(link);
    return rv;
}
