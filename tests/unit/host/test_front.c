/* SPDX-License-Identifier: Apache-2.0 */
/* The FUSE front and its loop device over a volume in memory.  Needs root and /dev/fuse. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "front_fuse.h"
#include "store.h"

enum { VOLUME_BYTES = 64 << 20, REQUESTS = 64 };

static struct loop *l;
static struct store_pool *pool;
static struct front *front;
static uint8_t *volume;
static char dir[64], device[128];
static int settled_count, settled_error, writes, flushes, zeroes, unmaps, aligned, most_in_flight;
static int in_flight, hold;
static struct front_request *held[REQUESTS];
static int n_held;
static bool fail_io;

static void answer(struct front_request *r)
{
    uint64_t at = r->sector * 512;
    struct hv_buf *back = NULL;

    in_flight--;
    if (r->op == FRONT_WRITE) {
        memcpy(volume + at, r->buf->data, r->length_bytes);
        hv_buf_put(r->buf);
    } else if (r->op == FRONT_READ) {
        memcpy(r->buf->data, volume + at, r->length_bytes);
        back = r->buf;
    } else if (r->op == FRONT_ZEROES) {
        memset(volume + at, 0, r->length_bytes);
    }
    front_complete(r, fail_io ? HV_EIO : 0, back);
}

static void on_request(void *arg, struct front_request *r)
{
    (void)arg;
    if (++in_flight > most_in_flight)
        most_in_flight = in_flight;
    writes += r->op == FRONT_WRITE;
    flushes += r->op == FRONT_FLUSH;
    zeroes += r->op == FRONT_ZEROES;
    unmaps += r->op == FRONT_ZEROES && r->may_unmap;
    if (r->op == FRONT_WRITE && (uintptr_t)r->buf->data % 4096 == 0)
        aligned++;
    if (hold && r->op != FRONT_FLUSH)
        held[n_held++] = r;
    else
        answer(r);
}

static bool is_ready = true;

static bool on_ready(void *arg)
{
    (void)arg;
    return is_ready;
}

static void on_settled(void *arg, int error, const struct hv_diag *diag)
{
    (void)arg;
    if (error)
        print_message("%s\n", diag->text);
    settled_count++;
    settled_error = error;
}

static const struct front_calls calls = {
    .request = on_request, .ready = on_ready, .settled = on_settled};

static char dev_dir[96], run_dir[96];

static int start_front(struct front **out)
{
    const struct front_fuse_config config = {.loop = l,
        .bufs = store_pool_bufs(pool),
        .dev_dir = dev_dir,
        .run_dir = run_dir,
        .resource = "r0",
        .vnr = 0,
        .minor = 7,
        .device = device,
        .requests_max = REQUESTS,
        .calls = &calls};
    struct hv_diag diag = {""};
    int rv = front_fuse_new(&config, out, &diag);

    if (rv)
        print_message("%s\n", diag.text);
    return rv;
}

static int setup(void **state)
{
    const struct store_pool_config config = {.count = {64, 64, 0, 80}};
    struct hv_diag diag;

    (void)state;
    strcpy(dir, "/tmp/haven-front-XXXXXX");
    if (!mkdtemp(dir) || loop_new(64, &l, &diag) || store_pool_new(&config, &pool))
        return -1;
    snprintf(dev_dir, sizeof dev_dir, "%s/dev", dir);
    snprintf(run_dir, sizeof run_dir, "%s/run/volumes", dir);
    snprintf(device, sizeof device, "%s/dev/drbd7", dir);
    mkdir(dev_dir, 0755);
    volume = calloc(1, VOLUME_BYTES);
    settled_count = writes = flushes = zeroes = unmaps = aligned = most_in_flight = in_flight = 0;
    hold = n_held = 0;
    fail_io = false;
    is_ready = true;
    return start_front(&front);
}

static int teardown(void **state)
{
    char command[128];

    (void)state;
    if (front && front_device(front)[0]) {
        front_set(front, false, 0);
        settled_count = 0;
        for (int i = 0; i < 500 && !settled_count; i++)
            loop_turn(l, 20);
    }
    if (front)
        front_stop(front);
    front = NULL;
    while (loop_pending(l))
        loop_turn(l, 100);
    loop_free(l);
    store_pool_free(pool);
    free(volume);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command);
}

static int settle(bool usable, uint64_t bytes)
{
    settled_count = 0;
    front_set(front, usable, bytes / 512);
    for (int i = 0; i < 1000 && !settled_count; i++)
        loop_turn(l, 20);
    assert_int_equal(settled_count, 1);
    return settled_error;
}

static int child_ended;

static void child_done(struct loop_child *c)
{
    (void)c;
    child_ended = 1;
}

static struct loop_child child;
static char output[2000];

static void shell_start(const char *fmt, ...)
{
    static char command[1000];
    char sh[] = "sh", option[] = "-c";
    char *argv[] = {sh, option, command, NULL};
    const struct loop_child_spec spec = {.path = "/bin/sh", .argv = argv, .limit_ms = 60000};
    struct hv_diag diag;
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(command, sizeof command, fmt, ap);
    va_end(ap);
    child_ended = 0;
    child =
        (struct loop_child){.done = child_done, .output = output, .output_capacity = sizeof output};
    assert_int_equal(loop_child_start(l, &child, &spec, &diag), HV_OK);
}

static int shell_wait(void)
{
    while (!child_ended)
        loop_turn(l, 100);
    return child.exit_code;
}

#define shell(...) (shell_start(__VA_ARGS__), shell_wait())

static void a_primary_has_a_block_device(void **state)
{
    (void)state;
    assert_int_equal(settle(true, VOLUME_BYTES), 0);
    assert_int_equal(shell("test -b %s && blockdev --getsize64 %s", device, device), 0);
    assert_int_equal(atoll(output), VOLUME_BYTES);
    assert_int_equal(
        shell("test \"$(readlink -f %s/dev/drbd/by-res/r0/0)\" = %s", dir, front_device(front)), 0);
}

static void written_data_arrives_aligned_and_is_read_back(void **state)
{
    (void)state;
    assert_int_equal(settle(true, VOLUME_BYTES), 0);
    assert_int_equal(
        shell("head -c 5000000 /dev/urandom > %s/in && "
              "dd if=%s/in of=%s bs=1M oflag=direct conv=fsync,notrunc iflag=fullblock "
              "status=none; dd if=%s of=%s/out bs=1M count=5 iflag=direct status=none; "
              "cmp -n 4000000 %s/in %s/out",
            dir, dir, device, device, dir, dir, dir),
        0);
    assert_true(writes > 0);
    assert_int_equal(aligned, writes);
    assert_true(flushes > 0);
}

static void a_file_system_lives_on_it(void **state)
{
    (void)state;
    if (access("/sbin/mkfs.ext4", X_OK)) {
        print_message("no mkfs.ext4\n");
        skip();
    }
    assert_int_equal(settle(true, VOLUME_BYTES), 0);
    assert_int_equal(
        shell("mkfs.ext4 -q %s && mkdir %s/mnt && mount -o discard %s %s/mnt && "
              "cp -r /etc/default %s/mnt/ && rm -r %s/mnt/default; sync -f %s/mnt; fstrim %s/mnt; "
              "umount %s/mnt && e2fsck -fn %s",
            device, dir, device, dir, dir, dir, dir, dir, dir, device),
        0);
    assert_true(zeroes > 0 && unmaps > 0);
}

static void requests_are_in_flight_together(void **state)
{
    (void)state;
    if (access("/usr/bin/fio", X_OK)) {
        print_message("no fio\n");
        skip();
    }
    assert_int_equal(settle(true, VOLUME_BYTES), 0);
    hold = 1;
    shell_start("fio --name=t --filename=%s --rw=randwrite --bs=4k --iodepth=16 --ioengine=libaio "
                "--direct=1 --size=16m --number_ios=64 --output=%s/fio",
        device, dir);
    /* Nothing is answered before eight have come, however slowly fio is scheduled. */
    for (int turns = 0; !child_ended; turns++) {
        loop_turn(l, 50);
        while (n_held && (most_in_flight >= 8 || turns > 1000))
            answer(held[--n_held]);
    }
    assert_int_equal(child.exit_code, 0);
    assert_true(most_in_flight >= 8);
}

static void while_not_ready_only_data_waits(void **state)
{
    (void)state;
    assert_int_equal(settle(true, VOLUME_BYTES), 0);
    is_ready = false;
    shell_start("dd if=/dev/zero of=%s bs=4k count=1 oflag=direct conv=notrunc", device);
    for (int i = 0; i < 20; i++)
        loop_turn(l, 10);
    assert_int_equal(writes, 0);
    assert_false(child_ended);
    is_ready = true;
    front_resume(front);
    assert_int_equal(shell_wait(), 0);
    assert_int_equal(writes, 1);
    is_ready = false;
    assert_int_equal(shell("stat -c %%s %s/r0-0/data", run_dir), 0);
    assert_int_equal(atoll(output), VOLUME_BYTES);
    is_ready = true;
}

static void an_error_reaches_the_application(void **state)
{
    (void)state;
    assert_int_equal(settle(true, VOLUME_BYTES), 0);
    fail_io = true;
    assert_int_not_equal(
        shell("dd if=/dev/zero of=%s bs=4k count=1 oflag=direct 2>/dev/null", device), 0);
}

static void a_secondary_cannot_be_opened(void **state)
{
    (void)state;
    shell_start("dd if=/dev/zero of=%s bs=4k count=1 conv=notrunc,nocreat", device);
    assert_int_not_equal(shell_wait(), 0);
    assert_non_null(strstr(output, "Read-only file system"));
    shell_start("dd if=%s of=/dev/null bs=4k count=1", device);
    assert_int_not_equal(shell_wait(), 0);
    assert_non_null(strstr(output, "Wrong medium type"));
}

static void a_held_device_does_not_go(void **state)
{
    (void)state;
    assert_int_equal(settle(true, VOLUME_BYTES), 0);
    shell_start("exec 3<%s; sleep 60", device);
    for (int i = 0; i < 10; i++)
        loop_turn(l, 20);
    assert_int_equal(settle(false, VOLUME_BYTES), HV_EBUSY);
    assert_true(front_device(front)[0]);
    loop_child_kill(&child, SIGKILL);
    shell_wait();
    /* It did not go with its last holder either. */
    assert_int_equal(shell("dd if=%s of=/dev/null bs=4k count=1 iflag=direct", device), 0);
    assert_int_equal(settle(false, VOLUME_BYTES), 0);
    assert_string_equal(front_device(front), "");
    assert_int_equal(shell("test ! -b %s", device), 0);
}

static void a_mounted_device_does_not_go(void **state)
{
    (void)state;
    if (access("/sbin/mkfs.ext4", X_OK))
        skip();
    assert_int_equal(settle(true, VOLUME_BYTES), 0);
    assert_int_equal(
        shell("mkfs.ext4 -q %s && mkdir %s/mnt && mount %s %s/mnt", device, dir, device, dir), 0);
    int error = settle(false, VOLUME_BYTES);
    assert_int_equal(
        shell("echo still > %s/mnt/x && sync -f %s/mnt && umount %s/mnt", dir, dir, dir), 0);
    assert_int_equal(error, HV_EBUSY);
    assert_int_equal(settle(false, VOLUME_BYTES), 0);
}

static void the_device_grows(void **state)
{
    (void)state;
    assert_int_equal(settle(true, VOLUME_BYTES / 2), 0);
    assert_int_equal(settle(true, VOLUME_BYTES), 0);
    assert_int_equal(shell("blockdev --getsize64 %s", device), 0);
    assert_int_equal(atoll(output), VOLUME_BYTES);
}

static void what_a_dead_instance_left_is_removed(void **state)
{
    char old[64] = "";
    int pipe_fds[2], status;

    (void)state;
    front_stop(front);
    front = NULL;
    assert_int_equal(pipe(pipe_fds), 0);
    pid_t pid = fork();
    if (!pid) {
        struct hv_diag diag;
        if (loop_new(64, &l, &diag) || start_front(&front) || settle(true, VOLUME_BYTES))
            _exit(1);
        const char *name = strrchr(front_device(front), '/') + 1;
        _exit(write(pipe_fds[1], name, strlen(name)) < 0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_true(read(pipe_fds[0], old, sizeof old - 1) > 0);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    assert_int_equal(shell("test -e /sys/block/%s/loop/backing_file", old), 0);
    assert_int_equal(start_front(&front), HV_OK);
    assert_int_equal(shell("test ! -e /sys/block/%s/loop/backing_file", old), 0);
    assert_int_equal(settle(true, VOLUME_BYTES), 0);
    assert_int_equal(
        shell("test -b %s && dd if=%s of=/dev/null bs=4k count=1 iflag=direct", device, device), 0);
    assert_int_equal(settle(false, VOLUME_BYTES), 0);
    front_stop(front);
    front = NULL;
    assert_int_equal(shell("! mountpoint -q %s/r0-0", run_dir), 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_primary_has_a_block_device),
        T(written_data_arrives_aligned_and_is_read_back),
        T(a_file_system_lives_on_it),
        T(requests_are_in_flight_together),
        T(while_not_ready_only_data_waits),
        T(an_error_reaches_the_application),
        T(a_secondary_cannot_be_opened),
        T(a_held_device_does_not_go),
        T(a_mounted_device_does_not_go),
        T(the_device_grows),
        T(what_a_dead_instance_left_is_removed),
    };

    if (geteuid() || access("/dev/fuse", R_OK | W_OK) || access("/dev/loop-control", R_OK | W_OK)) {
        fprintf(stderr, "skipped: needs root, /dev/fuse and /dev/loop-control\n");
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
