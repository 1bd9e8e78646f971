/* SPDX-License-Identifier: Apache-2.0 */
#include "client_nfs.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <nfsc/libnfs.h>

#include "client_ledger.h"

enum { POLL_MS = 50, RETRY_US = 5000, KEEPALIVE_IDLE_S = 20, KEEPALIVE_EACH_S = 5 };

/* One outstanding operation, on the caller's stack: whoever gives it up destroys the context first,
 * so that nothing calls back later. */
struct operation {
    bool done;
    int rc;
    void *data;    /* what the callback brought: a file handle */
    void *copy_to; /* a read copies its bytes here */
    size_t copy_max;
};

static void operation_done(int rc, struct nfs_context *nfs, void *data, void *private_data)
{
    struct operation *op = private_data;

    op->done = true;
    op->rc = rc;
    op->data = data;
    if (rc > 0 && op->copy_to)
        memcpy(op->copy_to, data, (size_t)rc < op->copy_max ? (size_t)rc : op->copy_max);
}

static void context_drop(struct client_nfs *c)
{
    if (c->nfs)
        nfs_destroy_context(c->nfs);
    c->nfs = NULL;
    c->file = NULL;
}

/* As the kernel's NFS client does (after 60 s): when both nodes died at once, nobody is left who knows
 * of this connection and could tickle it.  Asked for while waiting, since libnfs makes new sockets. */
static void keep_alive(int fd)
{
    static const struct {
        int level, name, value;
    } options[] = {{SOL_SOCKET, SO_KEEPALIVE, 1}, {IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S},
        {IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_EACH_S}, {IPPROTO_TCP, TCP_KEEPCNT, 2}};

    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++)
        (void)setsockopt(
            fd, options[i].level, options[i].name, &options[i].value, sizeof options[i].value);
}

/* `started` is what the call that began the operation returned.  An operation given up is cancelled
 * by destroying the context, so that nothing is left to call back into `op`. */
static int operation_wait(
    struct client_nfs *c, struct operation *op, int started, uint64_t deadline_us)
{
    if (started < 0)
        return started == -1 ? -EIO : started;
    while (!op->done) {
        struct pollfd p = {.fd = nfs_get_fd(c->nfs), .events = (short)nfs_which_events(c->nfs)};
        int n = poll(&p, 1, POLL_MS);

        if (n < 0 && errno != EINTR)
            return -errno;
        if (n == 0)
            keep_alive(p.fd);
        if (p.revents & (POLLERR | POLLHUP))
            usleep(RETRY_US); /* a refused connection is tried again at once: not in a tight loop */
        if (nfs_service(c->nfs, n > 0 ? p.revents : 0) < 0 && !op->done) {
            context_drop(c);
            return -EIO;
        }
        if (!op->done && ((c->tick && c->tick(c->tick_context)) ||
                             (deadline_us && ledger_now_us() > deadline_us))) {
            context_drop(c);
            return -ETIMEDOUT;
        }
    }
    return op->rc;
}

int client_nfs_mount(struct client_nfs *c, uint64_t deadline_us)
{
    struct operation op = {0};

    c->nfs = nfs_init_context();
    if (!c->nfs)
        return -ENOMEM;
    nfs_set_version(c->nfs, c->version);
    /* libnfs 4.0 repeats what was outstanding on the new connection, for NFSv3; for NFSv4 it does
     * not recover, and the caller mounts again. */
    nfs_set_autoreconnect(c->nfs, c->version == 4 ? 0 : -1);
    int rc = operation_wait(
        c, &op, nfs_mount_async(c->nfs, c->server, c->path, operation_done, &op), deadline_us);
    if (rc < 0)
        context_drop(c);
    return rc;
}

int client_nfs_open(struct client_nfs *c, const char *name, int flags)
{
    struct operation op = {0};
    int rc =
        operation_wait(c, &op, nfs_open2_async(c->nfs, name, flags, 0644, operation_done, &op), 0);

    if (rc >= 0)
        c->file = op.data;
    return rc;
}

int client_nfs_write(struct client_nfs *c, uint64_t offset, const void *bytes, size_t length)
{
    struct operation op = {0};

    return operation_wait(
        c, &op, nfs_pwrite_async(c->nfs, c->file, offset, length, bytes, operation_done, &op), 0);
}

int client_nfs_sync(struct client_nfs *c)
{
    struct operation op = {0};

    return operation_wait(c, &op, nfs_fsync_async(c->nfs, c->file, operation_done, &op), 0);
}

int client_nfs_read(struct client_nfs *c, uint64_t offset, void *bytes, size_t length)
{
    struct operation op = {.copy_to = bytes, .copy_max = length};

    return operation_wait(
        c, &op, nfs_pread_async(c->nfs, c->file, offset, length, operation_done, &op), 0);
}

const char *client_nfs_error(struct client_nfs *c)
{
    const char *text = c->nfs ? nfs_get_error(c->nfs) : NULL;

    return text ? text : "no connection";
}

bool client_nfs_is_grace(struct client_nfs *c)
{
    return strstr(client_nfs_error(c), "NFS4ERR_GRACE");
}

void client_nfs_close(struct client_nfs *c)
{
    context_drop(c);
}

/* libnfs answers a request whose connection went with EFAULT, EINTR or, from the service loop, EIO. */
bool client_nfs_is_transport(int rc)
{
    return rc == -EFAULT || rc == -EINTR;
}
