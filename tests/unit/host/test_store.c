/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "store.h"

enum { FILE_BYTES = 8 << 20 };

static struct loop *l;
static char path[64];
static struct store *s;
static uint8_t *memory;

static int setup(void **state)
{
    struct hv_diag diag = {""};

    (void)state;
    strcpy(path, "/var/tmp/haven-store-XXXXXX");
    int fd = mkstemp(path);
    if (fd < 0 || ftruncate(fd, FILE_BYTES) || loop_new(64, &l, &diag))
        return -1;
    close(fd);
    memory = mmap(NULL, 2 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (store_open(path, STORE_EXCLUSIVE, &s, &diag)) {
        print_message("%s\n", diag.text);
        return -1;
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    store_close(s);
    unlink(path);
    munmap(memory, 2 << 20);
    loop_free(l);
    return 0;
}

struct seen {
    struct store_io io;
    int error, count;
};

static void io_seen(struct store_io *io, int error)
{
    struct seen *seen = hv_container_of(io, struct seen, io);

    seen->error = error;
    seen->count++;
}

static int wait_for(struct seen *seen)
{
    while (!seen->count)
        loop_turn(l, 1000);
    assert_int_equal(seen->count, 1);
    seen->count = 0;
    return seen->error;
}

static void size_and_limits_are_known(void **state)
{
    (void)state;
    assert_int_equal(s->sectors, FILE_BYTES / 512);
    assert_int_equal(s->logical_block_bytes, 512);
    assert_false(s->is_block);
    assert_int_equal(truncate(path, FILE_BYTES * 2), 0);
    assert_true(store_refresh_size(s));
    assert_int_equal(s->sectors, FILE_BYTES / 256);
    assert_false(store_refresh_size(s));
}

static void a_second_exclusive_open_is_refused(void **state)
{
    struct store *second;
    struct hv_diag diag;

    (void)state;
    assert_int_equal(store_open(path, STORE_EXCLUSIVE, &second, &diag), HV_EBUSY);
    assert_non_null(strstr(diag.text, path));
    assert_int_equal(store_open("/nonexistent/x", 0, &second, &diag), HV_ENOENT);
    assert_int_equal(store_open("/dev/null", 0, &second, &diag), HV_EINVAL);
}

static void writes_with_all_flags_are_read_back(void **state)
{
    static const uint32_t flags[] = {0, STORE_FUA, STORE_PREFLUSH, STORE_FUA | STORE_PREFLUSH};
    struct seen io = {.io.done = io_seen};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        memset(memory, 'a' + (int)i, 1 << 20);
        store_write(l, s, &io.io, memory, 8 + i, 1 << 20, flags[i]);
        assert_int_equal(wait_for(&io), 0);
        store_read(l, s, &io.io, memory + (1 << 20), 8 + i, 1 << 20);
        assert_int_equal(wait_for(&io), 0);
        assert_memory_equal(memory, memory + (1 << 20), 1 << 20);
    }
    store_flush(l, s, &io.io);
    assert_int_equal(wait_for(&io), 0);
}

static void beyond_the_end_is_an_error(void **state)
{
    struct seen io = {.io.done = io_seen};

    (void)state;
    store_read(l, s, &io.io, memory, FILE_BYTES / 512 - 1, 1024);
    assert_int_equal(wait_for(&io), HV_EIO);
}

static void zeroed(void (*start)(struct seen *io))
{
    struct seen io = {.io.done = io_seen};

    memset(memory, 'x', 1 << 20);
    store_write(l, s, &io.io, memory, 0, 1 << 20, 0);
    assert_int_equal(wait_for(&io), 0);
    start(&io);
    assert_int_equal(wait_for(&io), 0);
    store_read(l, s, &io.io, memory, 0, 1 << 20);
    assert_int_equal(wait_for(&io), 0);
    for (int i = 0; i < 1 << 20; i++)
        assert_int_equal(memory[i], i >= 8192 && i < 8192 + 524288 ? 0 : 'x');
    assert_int_equal(s->sectors, FILE_BYTES / 512);
}

static void start_discard(struct seen *io)
{
    store_discard(l, s, &io->io, 16, 524288);
}

static void start_zeroes(struct seen *io)
{
    store_zeroes(l, s, &io->io, 16, 524288, 0);
}

static void start_zeroes_unmap(struct seen *io)
{
    store_zeroes(l, s, &io->io, 16, 524288, STORE_MAY_UNMAP);
}

static void discard_and_zeroes_leave_zeros_and_nothing_else(void **state)
{
    (void)state;
    zeroed(start_discard);
    zeroed(start_zeroes);
    zeroed(start_zeroes_unmap);
}

static void buffers_come_in_sizes_and_go_back(void **state)
{
    const struct store_pool_config config = {.count = {2, 1, 1, 1}};
    struct store_pool *p;
    struct hv_buf *b[6];

    (void)state;
    assert_int_equal(store_pool_new(&config, &p), HV_OK);
    struct hv_buf_pool *bufs = store_pool_bufs(p);
    b[0] = hv_buf_alloc(bufs, 512);
    assert_int_equal(b[0]->capacity_bytes, 4096);
    assert_int_equal((uintptr_t)b[0]->data % 4096, 0);
    b[1] = hv_buf_alloc(bufs, 4096);
    b[2] = hv_buf_alloc(bufs, 100); /* the small ones are used up: a larger one */
    assert_int_equal(b[2]->capacity_bytes, 65536);
    b[3] = hv_buf_alloc(bufs, 65537);
    assert_int_equal(b[3]->capacity_bytes, 262144);
    b[4] = hv_buf_alloc(bufs, 1 << 20);
    assert_int_equal((uintptr_t)b[4]->data % 4096, 0);
    /* The spare pages around the largest are there. */
    b[4]->data[-STORE_BUF_SPARE_BYTES] = 1;
    b[4]->data[(1 << 20) + STORE_BUF_SPARE_BYTES - 1] = 1;
    assert_null(hv_buf_alloc(bufs, 1));
    assert_null(hv_buf_alloc(bufs, (1 << 20) + 1));
    assert_int_equal(store_pool_in_use(p), 5);
    hv_buf_get(b[1]);
    for (int i = 0; i < 5; i++)
        hv_buf_put(b[i]);
    assert_int_equal(store_pool_in_use(p), 1);
    hv_buf_put(b[1]);
    b[5] = hv_buf_alloc(bufs, 4096);
    assert_int_equal(b[5]->length_bytes, 0);
    hv_buf_put(b[5]);
    store_pool_free(p);
}

static void idle_large_buffers_give_their_memory_back(void **state)
{
    enum { N = 40 };
    const struct store_pool_config config = {.count = {0, 0, 0, N}};
    struct store_pool *p;
    struct hv_buf *b[N];
    unsigned char resident[256];
    int kept = 0;

    (void)state;
    assert_int_equal(store_pool_new(&config, &p), HV_OK);
    for (int i = 0; i < N; i++) {
        b[i] = hv_buf_alloc(store_pool_bufs(p), 1 << 20);
        memset(b[i]->data, 1, 1 << 20);
        b[i]->length_bytes = 1 << 20;
    }
    for (int i = 0; i < N; i++)
        hv_buf_put(b[i]);
    for (int i = 0; i < N; i++) {
        assert_int_equal(mincore(b[i]->data, 1 << 20, resident), 0);
        kept += resident[100] & 1;
    }
    assert_true(kept > 0 && kept < N / 2);
    store_pool_free(p);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(size_and_limits_are_known),
        T(a_second_exclusive_open_is_refused),
        T(writes_with_all_flags_are_read_back),
        T(beyond_the_end_is_an_error),
        T(discard_and_zeroes_leave_zeros_and_nothing_else),
        cmocka_unit_test(buffers_come_in_sizes_and_go_back),
        cmocka_unit_test(idle_large_buffers_give_their_memory_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
