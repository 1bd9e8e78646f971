/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "hv_text.h"

/* ------------------------------------------------------------------------------------------ addresses */

/* sun_path holds 107 characters; a longer path goes through a descriptor of its directory.  Returns
 * that descriptor (to be closed after use), -1 when none was needed, -2 on error. */
static int address_of(const char *path, struct sockaddr_un *addr)
{
    const char *slash = strrchr(path, '/');
    char dir[CTL_PATH_MAX];

    *addr = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (hv_strcopy(addr->sun_path, sizeof addr->sun_path, path))
        return -1;
    if (!slash || (size_t)(slash - path) >= sizeof dir)
        return -2;
    snprintf(dir, sizeof dir, "%.*s", (int)(slash - path), path);
    int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -2;
    int n = snprintf(addr->sun_path, sizeof addr->sun_path, "/proc/self/fd/%d/%s", fd, slash + 1);
    if (n < 0 || (size_t)n >= sizeof addr->sun_path) {
        close(fd);
        errno = ENAMETOOLONG;
        return -2;
    }
    return fd;
}

static int socket_at(const char *path, bool bound, struct hv_diag *diag)
{
    struct sockaddr_un addr;
    int dir_fd = address_of(path, &addr), fd, rv, error;

    if (dir_fd == -2) {
        hv_diag_set(diag, "%s: %s", path, strerror(errno));
        return errno == ENOENT ? HV_ENOENT : HV_EINVAL;
    }
    fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        rv = -1;
    } else if (bound) {
        /* Before bind(), so that the file never exists with another mode. */
        rv = fchmod(fd, 0600);
        if (!rv)
            rv = bind(fd, (struct sockaddr *)&addr, sizeof addr);
        if (!rv)
            rv = listen(fd, 32);
    } else {
        rv = connect(fd, (struct sockaddr *)&addr, sizeof addr);
    }
    error = errno;
    if (dir_fd >= 0)
        close(dir_fd);
    if (rv) {
        hv_diag_set(diag, "%s: %s", path, strerror(error));
        if (fd >= 0)
            close(fd);
        return error == ENOENT || error == ECONNREFUSED ? HV_ENOENT : HV_EIO;
    }
    return fd;
}

int ctl_socket_bind(const char *path, struct hv_diag *diag)
{
    return socket_at(path, true, diag);
}

int ctl_socket_connect(const char *path, struct hv_diag *diag)
{
    return socket_at(path, false, diag);
}

/* ----------------------------------------------------------------------------------------------- pipe */

static void pipe_gone(struct loop_task *task)
{
    struct ctl_pipe *p = hv_container_of(task, struct ctl_pipe, gone_task);
    struct hv_list *n, *tmp;

    if (p->recv_op.pending || p->send_op.pending || p->dead)
        return;
    p->dead = true;
    hv_list_each_safe(n, tmp, &p->queue)
    {
        struct ctl_message *m = hv_container_of(n, struct ctl_message, link);
        /* The last words before an orderly end, as far as they can be had without waiting. */
        send(p->fd, m->bytes, m->length, MSG_DONTWAIT | MSG_NOSIGNAL);
        free(m);
    }
    hv_list_init(&p->queue);
    close(p->fd);
    p->fd = -1;
    free(p->in);
    p->in = NULL;
    p->gone(p);
}

void ctl_pipe_close(struct ctl_pipe *p)
{
    if (!p->closing) {
        p->closing = true;
        loop_cancel(p->loop, &p->recv_op);
        loop_cancel(p->loop, &p->send_op);
    }
    if (!p->recv_op.pending && !p->send_op.pending && !p->dead)
        loop_defer(p->loop, &p->gone_task);
}

static void pipe_send_next(struct ctl_pipe *p)
{
    if (p->closing || p->send_op.pending || hv_list_empty(&p->queue))
        return;
    struct ctl_message *m = hv_list_first(&p->queue, struct ctl_message, link);
    loop_send(p->loop, &p->send_op, p->fd, m->bytes, (uint32_t)m->length, 0);
}

static void pipe_sent(struct loop_op *op, int result)
{
    struct ctl_pipe *p = hv_container_of(op, struct ctl_pipe, send_op);
    struct ctl_message *m = hv_list_first(&p->queue, struct ctl_message, link);

    if (result != -ECANCELED) {
        hv_list_remove(&m->link);
        p->queued--;
        free(m);
    }
    if (p->closing || result < 0)
        ctl_pipe_close(p);
    else
        pipe_send_next(p);
}

void ctl_pipe_send(struct ctl_pipe *p, json_t *object)
{
    size_t n = json_dumpb(object, NULL, 0, JSON_COMPACT);
    struct ctl_message *m = NULL;

    if (!p->closing && n && n <= CTL_MESSAGE_MAX && p->queued < CTL_QUEUE_MESSAGES)
        m = malloc(sizeof *m + n);
    if (m) {
        m->length = json_dumpb(object, m->bytes, n, JSON_COMPACT);
        hv_list_push_back(&p->queue, &m->link);
        p->queued++;
        pipe_send_next(p);
    } else {
        /* Too long, or a reader that does not read: neither may grow without bound. */
        ctl_pipe_close(p);
    }
    json_decref(object);
}

static void pipe_received(struct loop_op *op, int result)
{
    struct ctl_pipe *p = hv_container_of(op, struct ctl_pipe, recv_op);
    json_t *object = NULL;

    /* MSG_TRUNC: the result is the whole length, even of what did not fit. */
    if (!p->closing && result > 0 && result <= CTL_MESSAGE_MAX)
        object = json_loadb((const char *)p->in, (size_t)result, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(object)) {
        json_decref(object);
        ctl_pipe_close(p);
        return;
    }
    p->received(p, object);
    json_decref(object);
    if (p->closing)
        ctl_pipe_close(p);
    else
        loop_recv(p->loop, op, p->fd, p->in, CTL_MESSAGE_MAX, MSG_TRUNC);
}

int ctl_pipe_start(struct ctl_pipe *p)
{
    p->in = malloc(CTL_MESSAGE_MAX);
    if (!p->in)
        return HV_ENOMEM;
    hv_list_init(&p->queue);
    p->recv_op.done = pipe_received;
    p->send_op.done = pipe_sent;
    p->gone_task.run = pipe_gone;
    loop_recv(p->loop, &p->recv_op, p->fd, p->in, CTL_MESSAGE_MAX, MSG_TRUNC);
    return HV_OK;
}

/* --------------------------------------------------------------------------------------------- helpers */

bool ctl_path(char *to, size_t capacity, const char *root, const char *name)
{
    int n = snprintf(to, capacity, "%s/run/haven/%s.sock", root, name);

    return n > 0 && (size_t)n < capacity && !strchr(name, '/');
}

const char *ctl_string(const json_t *object, const char *key)
{
    const char *s = json_string_value(json_object_get(object, key));

    return s ? s : "";
}

int64_t ctl_integer(const json_t *object, const char *key, int64_t otherwise)
{
    const json_t *v = json_object_get(object, key);

    return json_is_integer(v) ? (int64_t)json_integer_value(v) : otherwise;
}

bool ctl_flag(const json_t *object, const char *key)
{
    return json_is_true(json_object_get(object, key));
}

int ctl_make_parents(const char *path)
{
    char part[CTL_PATH_MAX];

    if (!hv_strcopy(part, sizeof part, path))
        return HV_EINVAL;
    for (char *p = part + 1; (p = strchr(p, '/')); p++) {
        *p = 0;
        if (mkdir(part, 0755) && errno != EEXIST)
            return HV_EIO;
        *p = '/';
    }
    return HV_OK;
}
