/* SPDX-License-Identifier: Apache-2.0 */
/* Signals and child processes. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hv_assert.h"
#include "loop.h"

extern char **environ;

/* ---------------------------------------------------------------------------------------------- signals */

static void signals_read(struct loop_op *op, int result)
{
    struct loop_signals *s = hv_container_of(op, struct loop_signals, op);

    if (result < 0 && result != -EINTR && result != -EAGAIN) {
        close(s->fd);
        s->fd = -1;
        return;
    }
    struct signalfd_siginfo info;
    memcpy(&info, s->info, sizeof info);
    loop_read(s->loop, op, s->fd, s->info, sizeof s->info, 0);
    if (result == (int)sizeof info)
        s->arrived(s, (int)info.ssi_signo);
}

int loop_signals_start(struct loop *l, struct loop_signals *s, const int *signals)
{
    sigset_t set;

    _Static_assert(sizeof(struct signalfd_siginfo) == sizeof s->info, "one record");
    sigemptyset(&set);
    for (; *signals; signals++)
        sigaddset(&set, *signals);
    if (sigprocmask(SIG_BLOCK, &set, NULL))
        return HV_EINVAL;
    s->fd = signalfd(-1, &set, SFD_CLOEXEC);
    if (s->fd < 0)
        return HV_EIO;
    s->loop = l;
    s->op.done = signals_read;
    loop_read(l, &s->op, s->fd, s->info, sizeof s->info, 0);
    return HV_OK;
}

void loop_signals_stop(struct loop_signals *s)
{
    loop_cancel(s->loop, &s->op);
}

/* --------------------------------------------------------------------------------------------- children */

static void child_output(struct loop_child *c, int got)
{
    size_t room = c->output && c->output_capacity ? c->output_capacity - 1 - c->output_length : 0;
    size_t take = (size_t)got < room ? (size_t)got : room;

    if (take)
        memcpy(c->output + c->output_length, c->scrap, take);
    c->output_length += take;
}

static void child_finish(struct loop_child *c)
{
    loop_timer_disarm(c->loop, &c->timer);
    if (c->pipe_fd >= 0) {
        ssize_t n;

        /* What was written before the end and not read yet; a grandchild may hold the pipe open. */
        fcntl(c->pipe_fd, F_SETFL, O_NONBLOCK);
        for (int i = 0; i < 256 && (n = read(c->pipe_fd, c->scrap, sizeof c->scrap)) > 0; i++)
            child_output(c, (int)n);
        close(c->pipe_fd);
        c->pipe_fd = -1;
    }
    if (c->output && c->output_capacity)
        c->output[c->output_length] = 0;
    close(c->pidfd);
    c->pidfd = -1;
    c->pid = 0;
    c->done(c);
}

static void child_readable(struct loop_op *op, int result)
{
    struct loop_child *c = hv_container_of(op, struct loop_child, read_op);

    if (result > 0)
        child_output(c, result);
    if (c->exited)
        child_finish(c);
    else if (result > 0)
        loop_read(c->loop, op, c->pipe_fd, c->scrap, sizeof c->scrap, 0);
}

static void child_exited(struct loop_op *op, int result)
{
    struct loop_child *c = hv_container_of(op, struct loop_child, exit_op);
    siginfo_t info = {0};

    (void)result;
    if (waitid(P_PID, (id_t)c->pid, &info, WEXITED | WNOHANG) == 0 && !info.si_pid) {
        loop_poll(c->loop, op, c->pidfd, POLLIN);
        return;
    }
    c->exit_code = info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
    c->exited = true;
    if (c->read_op.pending)
        loop_cancel(c->loop, &c->read_op);
    else
        child_finish(c);
}

static void child_overdue(struct loop_timer *t)
{
    struct loop_child *c = hv_container_of(t, struct loop_child, timer);
    bool gently = !c->timed_out && c->term_ms;

    c->timed_out = true;
    loop_child_kill(c, gently ? SIGTERM : SIGKILL);
    if (gently)
        loop_timer_arm(c->loop, t, loop_clock_ms() + c->term_ms);
}

void loop_child_kill(struct loop_child *child, int signal)
{
    if (child->pid > 0 && !child->exited)
        kill(-child->pid, signal);
}

/* Between vfork() and exec: system calls only, nothing of the parent's is touched. */
static __attribute__((noinline)) _Noreturn void child_exec(
    const struct loop_child_spec *spec, int out_fd)
{
    sigset_t none;
    int fd;

    setpgid(0, 0);
    prctl(PR_SET_IO_FLUSHER, 0, 0, 0, 0);
    fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        if (write(fd, "0", 1) < 0)
            _exit(127);
        close(fd);
    }
    for (int s = 1; s < NSIG; s++)
        if (s != SIGKILL && s != SIGSTOP)
            signal(s, SIG_DFL);
    fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    dup2(fd, 0);
    dup2(out_fd >= 0 ? out_fd : fd, 1);
    dup2(out_fd >= 0 ? out_fd : fd, 2);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execve(spec->path, spec->argv, spec->envp ? spec->envp : environ);
    _exit(127);
}

/* The process id, or -errno. */
static __attribute__((noinline)) pid_t child_fork(const struct loop_child_spec *spec, int out_fd)
{
    sigset_t all, before;

    /* No handler of ours may run in the child while it shares our memory. */
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    pid_t pid = vfork();
    if (pid == 0)
        child_exec(spec, out_fd);
    if (pid < 0)
        pid = -errno;
    sigprocmask(SIG_SETMASK, &before, NULL);
    return pid;
}

int loop_child_start(struct loop *l, struct loop_child *child, const struct loop_child_spec *spec,
    struct hv_diag *diag)
{
    int pipes[2] = {-1, -1}, out_fd = spec->output_fd > 0 ? spec->output_fd : -1;

    if (out_fd < 0 && !spec->quiet) {
        if (pipe2(pipes, O_CLOEXEC)) {
            hv_diag_set(diag, "%s: pipe: %s", spec->path, strerror(errno));
            return HV_EIO;
        }
        out_fd = pipes[1];
    }
    pid_t pid = child_fork(spec, out_fd);
    if (pipes[1] >= 0)
        close(pipes[1]);
    if (pid < 0) {
        if (pipes[0] >= 0)
            close(pipes[0]);
        hv_diag_set(diag, "%s: cannot start a process: %s", spec->path, strerror(-pid));
        return HV_ENOMEM;
    }
    setpgid(pid, pid);
    child->loop = l;
    child->pid = pid;
    child->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    hv_assert(child->pidfd >= 0);
    child->pipe_fd = pipes[0];
    child->term_ms = spec->term_ms;
    child->exited = child->timed_out = false;
    child->output_length = 0;
    child->exit_code = 0;
    child->exit_op = (struct loop_op){.done = child_exited};
    child->read_op = (struct loop_op){.done = child_readable};
    child->timer = (struct loop_timer){.fired = child_overdue};
    loop_poll(l, &child->exit_op, child->pidfd, POLLIN);
    if (child->pipe_fd >= 0)
        loop_read(l, &child->read_op, child->pipe_fd, child->scrap, sizeof child->scrap, 0);
    if (spec->limit_ms)
        loop_timer_arm(l, &child->timer, loop_clock_ms() + spec->limit_ms);
    return HV_OK;
}
