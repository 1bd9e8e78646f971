/* SPDX-License-Identifier: Apache-2.0 */
#include "loop.h"

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "hv_assert.h"

struct loop {
    struct io_uring ring;
    uint64_t now_ms;
    struct hv_list timers; /* ascending; few, so a list does */
    struct hv_list tasks, hooks;
    unsigned pending, chain_left;
    bool stopped;
    int stop_code;
};

uint64_t loop_clock_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_BOOTTIME, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

uint64_t loop_now_ms(const struct loop *loop)
{
    return loop->now_ms;
}

unsigned loop_pending(const struct loop *loop)
{
    return loop->pending;
}

int loop_new(unsigned entries, struct loop **out, struct hv_diag *diag)
{
    struct loop *l = calloc(1, sizeof *l);
    int rv;

    if (!l)
        return HV_ENOMEM;
    /* DEFER_TASKRUN keeps completions out of the middle of a turn; older kernels do without. */
    rv = io_uring_queue_init(
        entries, &l->ring, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN);
    if (rv == -EINVAL)
        rv = io_uring_queue_init(entries, &l->ring, 0);
    if (rv < 0) {
        hv_diag_set(diag, "io_uring: %s%s", strerror(-rv),
            rv == -EPERM ? " (kernel.io_uring_disabled, or a container that forbids it)" : "");
        free(l);
        return rv == -ENOMEM ? HV_ENOMEM : HV_EUNSUPPORTED;
    }
    io_uring_ring_dontfork(&l->ring);
    hv_list_init(&l->timers);
    hv_list_init(&l->tasks);
    hv_list_init(&l->hooks);
    l->now_ms = loop_clock_ms();
    *out = l;
    return HV_OK;
}

void loop_free(struct loop *loop)
{
    if (!loop)
        return;
    io_uring_queue_exit(&loop->ring);
    free(loop);
}

/* ---------------------------------------------------------------------------------------- operations */

static void ring_submit(struct loop *l)
{
    int rv = io_uring_submit(&l->ring);

    hv_assert(rv >= 0 || rv == -EINTR || rv == -EBUSY || rv == -EAGAIN);
}

static struct io_uring_sqe *ring_sqe(struct loop *l)
{
    struct io_uring_sqe *sqe;

    while (!(sqe = io_uring_get_sqe(&l->ring)))
        ring_submit(l);
    return sqe;
}

void loop_chain(struct loop *l, unsigned count)
{
    hv_assert(!l->chain_left && count <= *l->ring.sq.kring_entries);
    /* A chain must not be torn by a submit in its middle. */
    while (io_uring_sq_space_left(&l->ring) < count)
        ring_submit(l);
    l->chain_left = count;
}

static void op_start(struct loop *l, struct loop_op *op, struct io_uring_sqe *sqe)
{
    hv_assert(!op->pending && op->done);
    op->pending = true;
    l->pending++;
    io_uring_sqe_set_data(sqe, op);
    if (l->chain_left && --l->chain_left)
        sqe->flags |= IOSQE_IO_LINK;
}

void loop_read(struct loop *l, struct loop_op *op, int fd, void *to, uint32_t length_bytes,
    uint64_t offset_bytes)
{
    struct io_uring_sqe *sqe = ring_sqe(l);

    io_uring_prep_read(sqe, fd, to, length_bytes, offset_bytes);
    op_start(l, op, sqe);
}

void loop_write(struct loop *l, struct loop_op *op, int fd, const void *from, uint32_t length_bytes,
    uint64_t offset_bytes)
{
    struct io_uring_sqe *sqe = ring_sqe(l);

    io_uring_prep_write(sqe, fd, from, length_bytes, offset_bytes);
    op_start(l, op, sqe);
}

void loop_readv(struct loop *l, struct loop_op *op, int fd, const struct iovec *iov, unsigned count,
    uint64_t offset_bytes, int rw_flags)
{
    struct io_uring_sqe *sqe = ring_sqe(l);

    io_uring_prep_readv2(sqe, fd, iov, count, offset_bytes, rw_flags);
    op_start(l, op, sqe);
}

void loop_writev(struct loop *l, struct loop_op *op, int fd, const struct iovec *iov,
    unsigned count, uint64_t offset_bytes, int rw_flags)
{
    struct io_uring_sqe *sqe = ring_sqe(l);

    io_uring_prep_writev2(sqe, fd, iov, count, offset_bytes, rw_flags);
    op_start(l, op, sqe);
}

void loop_fdatasync(struct loop *l, struct loop_op *op, int fd)
{
    struct io_uring_sqe *sqe = ring_sqe(l);

    io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
    op_start(l, op, sqe);
}

void loop_fallocate(struct loop *l, struct loop_op *op, int fd, int mode, uint64_t offset_bytes,
    uint64_t length_bytes)
{
    struct io_uring_sqe *sqe = ring_sqe(l);

    io_uring_prep_fallocate(sqe, fd, mode, (off_t)offset_bytes, (off_t)length_bytes);
    op_start(l, op, sqe);
}

void loop_recv(
    struct loop *l, struct loop_op *op, int fd, void *to, uint32_t length_bytes, int flags)
{
    struct io_uring_sqe *sqe = ring_sqe(l);

    io_uring_prep_recv(sqe, fd, to, length_bytes, flags);
    op_start(l, op, sqe);
}

void loop_send(
    struct loop *l, struct loop_op *op, int fd, const void *from, uint32_t length_bytes, int flags)
{
    struct io_uring_sqe *sqe = ring_sqe(l);

    io_uring_prep_send(sqe, fd, from, length_bytes, flags | MSG_NOSIGNAL);
    op_start(l, op, sqe);
}

void loop_recvmsg(struct loop *l, struct loop_op *op, int fd, struct msghdr *msg, int flags)
{
    struct io_uring_sqe *sqe = ring_sqe(l);

    io_uring_prep_recvmsg(sqe, fd, msg, (unsigned)flags);
    op_start(l, op, sqe);
}

void loop_sendmsg(struct loop *l, struct loop_op *op, int fd, const struct msghdr *msg, int flags)
{
    struct io_uring_sqe *sqe = ring_sqe(l);

    io_uring_prep_sendmsg(sqe, fd, msg, (unsigned)flags | MSG_NOSIGNAL);
    op_start(l, op, sqe);
}

void loop_accept(
    struct loop *l, struct loop_op *op, int fd, struct sockaddr *addr, socklen_t *addr_length)
{
    struct io_uring_sqe *sqe = ring_sqe(l);

    io_uring_prep_accept(sqe, fd, addr, addr_length, SOCK_CLOEXEC);
    op_start(l, op, sqe);
}

void loop_connect(
    struct loop *l, struct loop_op *op, int fd, const struct sockaddr *addr, socklen_t addr_length)
{
    struct io_uring_sqe *sqe = ring_sqe(l);

    io_uring_prep_connect(sqe, fd, addr, addr_length);
    op_start(l, op, sqe);
}

void loop_poll(struct loop *l, struct loop_op *op, int fd, short events)
{
    struct io_uring_sqe *sqe = ring_sqe(l);

    io_uring_prep_poll_add(sqe, fd, (unsigned)(unsigned short)events);
    op_start(l, op, sqe);
}

void loop_close(struct loop *l, struct loop_op *op, int fd)
{
    struct io_uring_sqe *sqe = ring_sqe(l);

    io_uring_prep_close(sqe, fd);
    op_start(l, op, sqe);
}

void loop_cancel(struct loop *l, struct loop_op *op)
{
    if (!op->pending)
        return;
    hv_assert(!l->chain_left);
    struct io_uring_sqe *sqe = ring_sqe(l);

    io_uring_prep_cancel(sqe, op, 0);
    /* Whether it was found does not matter: the operation's own completion tells. */
    io_uring_sqe_set_data(sqe, NULL);
}

void loop_cancel_now(struct loop *l, struct loop_op *op)
{
    struct io_uring_sync_cancel_reg reg = {
        .addr = (uint64_t)(uintptr_t)op, .timeout = {.tv_sec = -1, .tv_nsec = -1}};

    if (!op->pending)
        return;
    hv_assert(!l->chain_left);
    while (io_uring_sq_ready(&l->ring))
        ring_submit(l);
    int rv = io_uring_register_sync_cancel(&l->ring, &reg);
    hv_assert(rv >= 0 || rv == -ENOENT || rv == -EALREADY);
}

/* -------------------------------------------------------------------------------- timers, tasks, hooks */

/* Zeroed structures count as unlinked, so that callers need no constructor. */
static bool link_linked(const struct hv_list *link)
{
    return link->next && link->next != link;
}

bool loop_timer_armed(const struct loop_timer *t)
{
    return link_linked(&t->link);
}

void loop_timer_disarm(struct loop *l, struct loop_timer *t)
{
    (void)l;
    if (loop_timer_armed(t))
        hv_list_remove(&t->link);
}

void loop_timer_arm(struct loop *l, struct loop_timer *t, uint64_t at_ms)
{
    struct hv_list *at;

    loop_timer_disarm(l, t);
    t->at_ms = at_ms;
    /* From the back: most timers are later than those already there. */
    for (at = l->timers.prev; at != &l->timers; at = at->prev)
        if (hv_container_of(at, struct loop_timer, link)->at_ms <= at_ms)
            break;
    hv_list_insert_before(at->next, &t->link);
}

static void timers_run(struct loop *l)
{
    struct hv_list due, *n;

    /* Only those due at the start of the turn: a timer that arms itself in the past gets the next
     * turn, and completions are not starved. */
    hv_list_init(&due);
    while ((n = l->timers.next) != &l->timers) {
        if (hv_container_of(n, struct loop_timer, link)->at_ms > l->now_ms)
            break;
        hv_list_remove(n);
        hv_list_push_back(&due, n);
    }
    while (!hv_list_empty(&due)) {
        struct loop_timer *t = hv_list_first(&due, struct loop_timer, link);
        hv_list_remove(&t->link);
        t->fired(t);
    }
}

void loop_defer(struct loop *l, struct loop_task *task)
{
    if (!link_linked(&task->link))
        hv_list_push_back(&l->tasks, &task->link);
}

void loop_defer_cancel(struct loop *l, struct loop_task *task)
{
    (void)l;
    if (link_linked(&task->link))
        hv_list_remove(&task->link);
}

void loop_hook_add(struct loop *l, struct loop_hook *hook)
{
    struct hv_list *at = l->hooks.next;

    while (at != &l->hooks && hv_container_of(at, struct loop_hook, link)->order <= hook->order)
        at = at->next;
    hv_list_insert_before(at, &hook->link);
}

void loop_hook_remove(struct loop *l, struct loop_hook *hook)
{
    (void)l;
    if (link_linked(&hook->link))
        hv_list_remove(&hook->link);
}

/* ---------------------------------------------------------------------------------------------- turns */

static void completions_run(struct loop *l)
{
    struct io_uring_cqe *cqe;

    while (io_uring_peek_cqe(&l->ring, &cqe) == 0) {
        struct loop_op *op = io_uring_cqe_get_data(cqe);
        int result = cqe->res;

        io_uring_cqe_seen(&l->ring, cqe);
        if (!op)
            continue;
        hv_assert(op->pending && l->pending);
        op->pending = false;
        l->pending--;
        op->done(op, result);
    }
}

static void tasks_run(struct loop *l)
{
    /* Not those that these add: they wait for the next turn, so that a turn always ends. */
    struct hv_list now;

    hv_list_init(&now);
    while (!hv_list_empty(&l->tasks)) {
        struct hv_list *n = l->tasks.next;
        hv_list_remove(n);
        hv_list_push_back(&now, n);
    }
    while (!hv_list_empty(&now)) {
        struct loop_task *t = hv_list_first(&now, struct loop_task, link);
        hv_list_remove(&t->link);
        t->run(t);
    }
}

static void hooks_run(struct loop *l)
{
    struct hv_list *n, *tmp;

    hv_list_each_safe(n, tmp, &l->hooks)
    {
        struct loop_hook *h = hv_container_of(n, struct loop_hook, link);
        h->turn(h);
    }
}

static uint64_t wait_for_ms(const struct loop *l, uint64_t wait_ms)
{
    if (!hv_list_empty(&l->tasks) || l->stopped)
        return 0;
    if (!hv_list_empty(&l->timers)) {
        uint64_t at = hv_list_first(&l->timers, struct loop_timer, link)->at_ms;
        uint64_t now = loop_clock_ms(), left = at > now ? at - now : 0;
        return left < wait_ms ? left : wait_ms;
    }
    return wait_ms;
}

static void submit_and_wait(struct loop *l, uint64_t wait_ms)
{
    struct io_uring_cqe *cqe;
    int rv;

    if (!wait_ms) {
        rv = io_uring_submit_and_get_events(&l->ring);
    } else {
        uint64_t longest_ms = 24ULL * 3600 * 1000, ms = wait_ms < longest_ms ? wait_ms : longest_ms;
        struct __kernel_timespec ts = {
            .tv_sec = (long long)(ms / 1000), .tv_nsec = (long long)(ms % 1000) * 1000000};
        rv = io_uring_submit_and_wait_timeout(&l->ring, &cqe, 1, &ts, NULL);
    }
    hv_assert(rv >= 0 || rv == -ETIME || rv == -EINTR || rv == -EAGAIN || rv == -EBUSY);
}

void loop_turn(struct loop *loop, uint64_t wait_ms)
{
    submit_and_wait(loop, wait_for_ms(loop, wait_ms));
    loop->now_ms = loop_clock_ms();
    /* What has arrived counts before what is overdue: after a stall of ours, the peer's messages
     * that were waiting must not lose against a timer. */
    completions_run(loop);
    timers_run(loop);
    tasks_run(loop);
    hooks_run(loop);
}

int loop_run(struct loop *loop)
{
    loop->stopped = false;
    hooks_run(loop);
    while (!loop->stopped)
        loop_turn(loop, UINT64_MAX);
    return loop->stop_code;
}

void loop_stop(struct loop *loop, int code)
{
    loop->stopped = true;
    loop->stop_code = code;
}
