/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LOOP_H
#define LOOP_H
/* The one event loop of a process, on io_uring.  One thread.
 *
 * Everything is intrusive: an operation, a timer, a hook or a child lives in a structure of the
 * caller's and belongs to the loop from the call that starts it until its callback is entered (it may
 * be started again, or freed, inside that callback).  Starting one allocates nothing.
 *
 * A turn: all completions there are, then due timers, then deferred tasks, then the turn hooks in
 * ascending order (the place to flush what was gathered), then one system call that submits
 * everything and waits.
 *
 * Buffers, iovecs, msghdrs and addresses given to an operation are borrowed until its callback.
 * Results are those of the system call: >= 0, or -errno.  Times are milliseconds of CLOCK_BOOTTIME. */
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "hv_error.h"
#include "hv_list.h"

struct loop;

/* ---------------------------------------------------------------------------------------- the loop */

/* entries: operations that can be submitted in one system call (rounded up to a power of two; more
 * may be in flight).  Call after any fork(): the ring belongs to the process that made it. */
int loop_new(unsigned entries, struct loop **out, struct hv_diag *diag) HV_MUST_CHECK;
/* No operation may be pending, except polls, which are dropped. */
void loop_free(struct loop *loop);

/* Runs turns until loop_stop(); returns its code. */
int loop_run(struct loop *loop);
void loop_stop(struct loop *loop, int code);
/* One turn that waits at most wait_ms (0: not at all).  For tests and orderly shutdown. */
void loop_turn(struct loop *loop, uint64_t wait_ms);

uint64_t loop_clock_ms(void);                   /* now */
uint64_t loop_now_ms(const struct loop *loop);  /* when this turn's completions were collected */
unsigned loop_pending(const struct loop *loop); /* operations in flight */

/* ---------------------------------------------------------------------------------------- operations */

struct loop_op {
    void (*done)(struct loop_op *op, int result); /* set by the caller */
    bool pending;                                 /* the loop's; read it to know */
};

void loop_read(struct loop *l, struct loop_op *op, int fd, void *to, uint32_t length_bytes,
    uint64_t offset_bytes);
void loop_write(struct loop *l, struct loop_op *op, int fd, const void *from, uint32_t length_bytes,
    uint64_t offset_bytes);
/* rw_flags: RWF_DSYNC, … */
void loop_readv(struct loop *l, struct loop_op *op, int fd, const struct iovec *iov, unsigned count,
    uint64_t offset_bytes, int rw_flags);
void loop_writev(struct loop *l, struct loop_op *op, int fd, const struct iovec *iov,
    unsigned count, uint64_t offset_bytes, int rw_flags);
void loop_fdatasync(struct loop *l, struct loop_op *op, int fd);
void loop_fallocate(struct loop *l, struct loop_op *op, int fd, int mode, uint64_t offset_bytes,
    uint64_t length_bytes);
void loop_recv(
    struct loop *l, struct loop_op *op, int fd, void *to, uint32_t length_bytes, int flags);
void loop_send(
    struct loop *l, struct loop_op *op, int fd, const void *from, uint32_t length_bytes, int flags);
void loop_recvmsg(struct loop *l, struct loop_op *op, int fd, struct msghdr *msg, int flags);
void loop_sendmsg(struct loop *l, struct loop_op *op, int fd, const struct msghdr *msg, int flags);
/* The result is a new descriptor, SOCK_CLOEXEC.  addr may be NULL. */
void loop_accept(
    struct loop *l, struct loop_op *op, int fd, struct sockaddr *addr, socklen_t *addr_length);
void loop_connect(
    struct loop *l, struct loop_op *op, int fd, const struct sockaddr *addr, socklen_t addr_length);
/* Once: the result is the poll mask. */
void loop_poll(struct loop *l, struct loop_op *op, int fd, short events);
void loop_close(struct loop *l, struct loop_op *op, int fd);

/* The operation ends soon, with -ECANCELED unless it was over already; its callback still comes.
 * Disk operations that the device has begun cannot be cancelled.  Harmless on one not pending. */
void loop_cancel(struct loop *l, struct loop_op *op);
/* The same, and on return the kernel does not touch its buffers any more (the callback still comes
 * later, in its turn).  For receives; costs two system calls. */
void loop_cancel_now(struct loop *l, struct loop_op *op);

/* The next `count` operations start one after the other, each only when the one before it succeeded
 * entirely; else the rest end with -ECANCELED. */
void loop_chain(struct loop *l, unsigned count);

/* -------------------------------------------------------------------------------- timers, tasks, hooks */

struct loop_timer {
    void (*fired)(struct loop_timer *timer); /* set by the caller */
    uint64_t at_ms;                          /* valid while armed */
    struct hv_list link;                     /* zero, or initialised by the loop */
};

/* At an absolute time; arming an armed timer moves it.  Past times fire in the next turn. */
void loop_timer_arm(struct loop *l, struct loop_timer *t, uint64_t at_ms);
void loop_timer_disarm(struct loop *l, struct loop_timer *t);
bool loop_timer_armed(const struct loop_timer *t);

/* Runs once, in this turn if it is still before the hooks, else in the next, without waiting. */
struct loop_task {
    void (*run)(struct loop_task *task);
    struct hv_list link;
};

void loop_defer(struct loop *l, struct loop_task *task); /* once only, if queued already */
void loop_defer_cancel(struct loop *l, struct loop_task *task);

/* Once per turn, after everything else, ascending by `order`.  Tasks deferred by a hook run, and the
 * hooks with them, in a turn that follows at once.  A hook may remove itself, no other. */
struct loop_hook {
    void (*turn)(struct loop_hook *hook);
    int order;
    struct hv_list link;
};

void loop_hook_add(struct loop *l, struct loop_hook *hook);
void loop_hook_remove(struct loop *l, struct loop_hook *hook);

/* ---------------------------------------------------------------------------------------------- signals */

struct loop_signals {
    void (*arrived)(struct loop_signals *s, int signal); /* set by the caller */
    struct loop *loop;
    struct loop_op op;
    int fd;
    uint8_t info[128];
};

/* Blocks the signals (0-terminated list) for the process and delivers them here. */
int loop_signals_start(struct loop *l, struct loop_signals *s, const int *signals) HV_MUST_CHECK;
void loop_signals_stop(struct loop_signals *s);

/* --------------------------------------------------------------------------------------------- children */

struct loop_child_spec {
    const char *path;  /* absolute */
    char *const *argv; /* NULL-terminated */
    char *const *envp; /* NULL-terminated; NULL: our own environment */
    /* After so long the process group gets SIGTERM, after term_ms more SIGKILL.  0: no limit; term_ms
     * 0: SIGKILL at once. */
    uint32_t limit_ms, term_ms;
    bool quiet;    /* standard output and error to /dev/null, for what leaves a daemon behind */
    int output_fd; /* > 0: standard output and error go to this descriptor instead (borrowed) */
};

struct loop_child {
    /* Set by the caller.  Entered once, when the process has ended: output is complete as far as it was
     * written by then (standard output and error, in order; cut at capacity and NUL-terminated). */
    void (*done)(struct loop_child *child);
    char *output; /* may be NULL */
    size_t output_capacity;

    /* Results */
    size_t output_length;
    int exit_code; /* 0–255, or 128 + signal */
    bool timed_out;

    /* The loop's */
    pid_t pid; /* also the process group; 0: not running */
    struct loop *loop;
    int pidfd, pipe_fd;
    uint32_t term_ms;
    bool exited;
    struct loop_op exit_op, read_op;
    struct loop_timer timer;
    char scrap[512];
};

/* Standard input is /dev/null; signals are unblocked and default; oom_score_adj is 0 again; a process
 * group of its own.  On error nothing runs and done is not entered. */
int loop_child_start(struct loop *l, struct loop_child *child, const struct loop_child_spec *spec,
    struct hv_diag *diag) HV_MUST_CHECK;
/* Sends the signal to the whole group.  done still comes. */
void loop_child_kill(struct loop_child *child, int signal);

#endif
