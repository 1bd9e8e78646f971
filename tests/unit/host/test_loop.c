/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "loop.h"

static struct loop *l;

static int setup(void **state)
{
    struct hv_diag diag;

    (void)state;
    return loop_new(64, &l, &diag);
}

static int teardown(void **state)
{
    (void)state;
    loop_free(l);
    return 0;
}

struct seen {
    struct loop_op op;
    int result, count, order;
};

static int clock_order;

static void op_seen(struct loop_op *op, int result)
{
    struct seen *s = hv_container_of(op, struct seen, op);

    s->result = result;
    s->count++;
    s->order = ++clock_order;
}

static void run_until_idle(void)
{
    while (loop_pending(l))
        loop_turn(l, 1000);
}

static int temp_file(void)
{
    char name[] = "/tmp/haven-loop-XXXXXX";
    int fd = mkstemp(name);

    assert_true(fd >= 0);
    unlink(name);
    return fd;
}

static void written_bytes_are_read_back(void **state)
{
    int fd = temp_file();
    char in[5] = "";
    struct seen w = {.op.done = op_seen}, r = {.op.done = op_seen};

    (void)state;
    loop_write(l, &w.op, fd, "hello", 5, 100);
    run_until_idle();
    loop_read(l, &r.op, fd, in, 5, 100);
    run_until_idle();
    assert_int_equal(w.result, 5);
    assert_int_equal(r.result, 5);
    assert_memory_equal(in, "hello", 5);
    close(fd);
}

static void a_chain_runs_in_order(void **state)
{
    int fd = temp_file();
    struct seen sync = {.op.done = op_seen}, w = {.op.done = op_seen};

    (void)state;
    loop_chain(l, 2);
    loop_fdatasync(l, &sync.op, fd);
    loop_write(l, &w.op, fd, "x", 1, 0);
    run_until_idle();
    assert_int_equal(sync.result, 0);
    assert_int_equal(w.result, 1);
    assert_true(sync.order < w.order);
    close(fd);
}

static void a_failure_cancels_the_rest_of_a_chain(void **state)
{
    int fd = temp_file();
    struct seen bad = {.op.done = op_seen}, w = {.op.done = op_seen};
    char byte;

    (void)state;
    loop_chain(l, 2);
    loop_fdatasync(l, &bad.op, -1);
    loop_write(l, &w.op, fd, "x", 1, 0);
    run_until_idle();
    assert_int_equal(bad.result, -EBADF);
    assert_int_equal(w.result, -ECANCELED);
    assert_int_equal(pread(fd, &byte, 1, 0), 0);
    close(fd);
}

static void a_receive_can_be_cancelled(void **state)
{
    int fds[2];
    char byte;
    struct seen r = {.op.done = op_seen};

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    loop_recv(l, &r.op, fds[0], &byte, 1, 0);
    loop_turn(l, 0);
    assert_int_equal(r.count, 0);
    loop_cancel(l, &r.op);
    run_until_idle();
    assert_int_equal(r.count, 1);
    assert_int_equal(r.result, -ECANCELED);
    close(fds[0]);
    close(fds[1]);
}

static void more_operations_than_entries(void **state)
{
    enum { N = 500 };
    int fd = temp_file();
    struct seen *w = calloc(N, sizeof *w);
    int done = 0;

    (void)state;
    for (int i = 0; i < N; i++) {
        w[i].op.done = op_seen;
        loop_write(l, &w[i].op, fd, "y", 1, (uint64_t)i);
    }
    run_until_idle();
    for (int i = 0; i < N; i++)
        done += w[i].result == 1;
    assert_int_equal(done, N);
    free(w);
    close(fd);
}

struct timed {
    struct loop_timer timer;
    int order;
    uint64_t fired_ms;
};

static void timer_seen(struct loop_timer *t)
{
    struct timed *s = hv_container_of(t, struct timed, timer);

    s->order = ++clock_order;
    s->fired_ms = loop_clock_ms();
}

static void timers_fire_in_order_and_not_early(void **state)
{
    struct timed a = {.timer.fired = timer_seen}, b = a, c = a;
    uint64_t now = loop_clock_ms();

    (void)state;
    loop_timer_arm(l, &b.timer, now + 20);
    loop_timer_arm(l, &a.timer, now + 10);
    loop_timer_arm(l, &c.timer, now + 15);
    loop_timer_disarm(l, &c.timer);
    while (!b.order)
        loop_turn(l, 1000);
    assert_true(a.order && a.order < b.order);
    assert_true(a.fired_ms >= now + 10);
    assert_true(b.fired_ms >= now + 20);
    assert_int_equal(c.order, 0);
    assert_false(loop_timer_armed(&c.timer));
}

struct hooked {
    struct loop_hook hook;
    int order, count;
};

static void hook_seen(struct loop_hook *hook)
{
    struct hooked *h = hv_container_of(hook, struct hooked, hook);

    h->order = ++clock_order;
    h->count++;
}

static int tasks_run_count;

static void task_seen(struct loop_task *task)
{
    (void)task;
    tasks_run_count++;
}

static void hooks_run_by_order_after_tasks(void **state)
{
    struct hooked late = {.hook = {.turn = hook_seen, .order = 5}};
    struct hooked early = {.hook = {.turn = hook_seen, .order = 1}};
    struct loop_task task = {.run = task_seen};

    (void)state;
    tasks_run_count = 0;
    loop_hook_add(l, &late.hook);
    loop_hook_add(l, &early.hook);
    loop_defer(l, &task);
    loop_defer(l, &task);
    loop_turn(l, 10000); /* does not wait: there is a task */
    assert_int_equal(tasks_run_count, 1);
    assert_int_equal(early.count, 1);
    assert_true(early.order < late.order);
    loop_hook_remove(l, &early.hook);
    loop_turn(l, 0);
    assert_int_equal(early.count, 1);
    assert_int_equal(late.count, 2);
    loop_hook_remove(l, &late.hook);
}

static int signal_seen;

static void signal_arrived(struct loop_signals *s, int signal)
{
    (void)s;
    signal_seen = signal;
}

static void a_signal_arrives_on_the_loop(void **state)
{
    static const int list[] = {SIGUSR1, 0};
    struct loop_signals s = {.arrived = signal_arrived};

    (void)state;
    assert_int_equal(loop_signals_start(l, &s, list), HV_OK);
    kill(getpid(), SIGUSR1);
    while (!signal_seen)
        loop_turn(l, 1000);
    assert_int_equal(signal_seen, SIGUSR1);
    loop_signals_stop(&s);
    run_until_idle();
}

static int children_done;

static void child_seen(struct loop_child *child)
{
    (void)child;
    children_done++;
}

static void run_child(struct loop_child *c, const char *command, uint32_t limit_ms)
{
    char sh[] = "sh", c_option[] = "-c";
    char *const argv[] = {sh, c_option, (char *)command, NULL};
    struct loop_child_spec spec = {.path = "/bin/sh", .argv = argv, .limit_ms = limit_ms};
    struct hv_diag diag;

    children_done = 0;
    c->done = child_seen;
    assert_int_equal(loop_child_start(l, c, &spec, &diag), HV_OK);
    while (!children_done)
        loop_turn(l, 1000);
    run_until_idle();
}

static void a_child_gives_exit_code_and_output(void **state)
{
    char out[64];
    struct loop_child c = {.output = out, .output_capacity = sizeof out};

    (void)state;
    run_child(&c, "echo to stdout; echo to stderr >&2; exit 7", 0);
    assert_int_equal(c.exit_code, 7);
    assert_false(c.timed_out);
    assert_string_equal(out, "to stdout\nto stderr\n");
}

static void output_is_cut_at_capacity(void **state)
{
    char out[8];
    struct loop_child c = {.output = out, .output_capacity = sizeof out};

    (void)state;
    run_child(&c, "head -c 100000 /dev/zero | tr '\\0' x", 0);
    assert_int_equal(c.exit_code, 0);
    assert_string_equal(out, "xxxxxxx");
}

static void a_child_is_killed_with_its_group_at_the_limit(void **state)
{
    char out[64];
    struct loop_child c = {.output = out, .output_capacity = sizeof out};
    uint64_t start = loop_clock_ms();

    (void)state;
    run_child(&c, "sleep 100 & echo $!; wait", 50);
    assert_true(c.timed_out);
    assert_int_equal(c.exit_code, 128 + SIGKILL);
    assert_true(loop_clock_ms() - start < 20000);
    /* The grandchild dies too: it is gone, or a zombie that nobody has collected yet. */
    bool dead = false;
    for (int i = 0; i < 500 && !dead; i++) {
        char name[64], line[256] = "";
        snprintf(name, sizeof name, "/proc/%d/stat", atoi(out));
        int fd = open(name, O_RDONLY);
        dead = fd < 0 || read(fd, line, sizeof line - 1) <= 0 || strstr(line, ") Z");
        if (fd >= 0)
            close(fd);
        if (!dead)
            loop_turn(l, 10);
    }
    assert_true(dead);
}

static void a_grandchild_that_keeps_the_pipe_does_not_delay_the_end(void **state)
{
    char out[64];
    struct loop_child c = {.output = out, .output_capacity = sizeof out};
    uint64_t start = loop_clock_ms();

    (void)state;
    run_child(&c, "setsid sleep 30 & echo $!; exit 3", 0);
    assert_int_equal(c.exit_code, 3);
    assert_true(loop_clock_ms() - start < 15000);
    kill(atoi(out), SIGKILL);
}

static void a_program_that_is_not_there_exits_127(void **state)
{
    char nothing[] = "nothing";
    char *const argv[] = {nothing, NULL};
    struct loop_child_spec spec = {.path = "/nonexistent/nothing", .argv = argv};
    struct loop_child c = {.done = child_seen};
    struct hv_diag diag;

    (void)state;
    children_done = 0;
    assert_int_equal(loop_child_start(l, &c, &spec, &diag), HV_OK);
    while (!children_done)
        loop_turn(l, 1000);
    assert_int_equal(c.exit_code, 127);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(written_bytes_are_read_back, setup, teardown),
        cmocka_unit_test_setup_teardown(a_chain_runs_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(a_failure_cancels_the_rest_of_a_chain, setup, teardown),
        cmocka_unit_test_setup_teardown(a_receive_can_be_cancelled, setup, teardown),
        cmocka_unit_test_setup_teardown(more_operations_than_entries, setup, teardown),
        cmocka_unit_test_setup_teardown(timers_fire_in_order_and_not_early, setup, teardown),
        cmocka_unit_test_setup_teardown(hooks_run_by_order_after_tasks, setup, teardown),
        cmocka_unit_test_setup_teardown(a_signal_arrives_on_the_loop, setup, teardown),
        cmocka_unit_test_setup_teardown(a_child_gives_exit_code_and_output, setup, teardown),
        cmocka_unit_test_setup_teardown(output_is_cut_at_capacity, setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_child_is_killed_with_its_group_at_the_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_grandchild_that_keeps_the_pipe_does_not_delay_the_end, setup, teardown),
        cmocka_unit_test_setup_teardown(a_program_that_is_not_there_exits_127, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
