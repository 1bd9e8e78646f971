/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "hv_assert.h"
#include "store.h"

static const uint32_t size_bytes[STORE_BUF_SIZES] = {4096, 65536, 262144, 1048576};

enum {
    LARGEST = STORE_BUF_SIZES - 1,
    /* Idle buffers of the largest size that keep their memory; beyond, it goes back to the kernel. */
    WARM = 16,
    COLD_FROM_BYTES = 131072
};

struct buffer {
    struct hv_buf buf;
    struct buffer *next;
    uint8_t size;
    bool warm;
};

struct store_pool {
    struct hv_buf_pool bufs;
    struct buffer *free[STORE_BUF_SIZES];
    struct buffer *all[STORE_BUF_SIZES];
    void *memory[STORE_BUF_SIZES];
    size_t memory_bytes[STORE_BUF_SIZES];
    uint32_t in_use, warm;
};

static struct hv_buf *pool_alloc(struct hv_buf_pool *bufs, uint32_t capacity_bytes)
{
    struct store_pool *p = hv_container_of(bufs, struct store_pool, bufs);

    for (int s = 0; s < STORE_BUF_SIZES; s++) {
        struct buffer *b = p->free[s];
        if (size_bytes[s] < capacity_bytes || !b)
            continue;
        p->free[s] = b->next;
        p->in_use++;
        if (b->warm) {
            b->warm = false;
            p->warm--;
        }
        b->buf.refs = 1;
        b->buf.length_bytes = 0;
        return &b->buf;
    }
    return NULL;
}

static void pool_release(struct hv_buf_pool *bufs, struct hv_buf *buf)
{
    struct store_pool *p = hv_container_of(bufs, struct store_pool, bufs);
    struct buffer *b = hv_container_of(buf, struct buffer, buf);

    if (b->size == LARGEST && buf->length_bytes > COLD_FROM_BYTES) {
        if (p->warm < WARM) {
            b->warm = true;
            p->warm++;
        } else if (madvise(buf->data, buf->capacity_bytes, MADV_DONTNEED_LOCKED)) {
            madvise(buf->data, buf->capacity_bytes, MADV_DONTNEED);
        }
    }
    b->next = p->free[b->size];
    p->free[b->size] = b;
    p->in_use--;
}

static int pool_size_init(struct store_pool *p, int s, uint32_t count)
{
    size_t spare = s == LARGEST ? STORE_BUF_SPARE_BYTES : 0;
    size_t stride = size_bytes[s] + 2 * spare;

    if (!count)
        return HV_OK;
    p->memory_bytes[s] = stride * count;
    p->memory[s] = mmap(NULL, p->memory_bytes[s], PROT_READ | PROT_WRITE,
        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    p->all[s] = calloc(count, sizeof *p->all[s]);
    if (p->memory[s] == MAP_FAILED || !p->all[s]) {
        if (p->memory[s] == MAP_FAILED)
            p->memory[s] = NULL;
        return HV_ENOMEM;
    }
    /* A huge page would make one small payload cost 2 MiB. */
    madvise(p->memory[s], p->memory_bytes[s], MADV_NOHUGEPAGE);
    for (uint32_t i = count; i-- > 0;) {
        struct buffer *b = &p->all[s][i];
        b->size = (uint8_t)s;
        b->buf.data = (uint8_t *)p->memory[s] + stride * i + spare;
        b->buf.capacity_bytes = size_bytes[s];
        b->buf.pool = &p->bufs;
        b->next = p->free[s];
        p->free[s] = b;
    }
    return HV_OK;
}

int store_pool_new(const struct store_pool_config *config, struct store_pool **out)
{
    struct store_pool *p = calloc(1, sizeof *p);

    if (!p)
        return HV_ENOMEM;
    p->bufs.alloc = pool_alloc;
    p->bufs.free = pool_release;
    for (int s = 0; s < STORE_BUF_SIZES; s++) {
        if (pool_size_init(p, s, config->count[s])) {
            store_pool_free(p);
            return HV_ENOMEM;
        }
    }
    *out = p;
    return HV_OK;
}

void store_pool_free(struct store_pool *p)
{
    if (!p)
        return;
    hv_assert(!p->in_use);
    for (int s = 0; s < STORE_BUF_SIZES; s++) {
        if (p->memory[s])
            munmap(p->memory[s], p->memory_bytes[s]);
        free(p->all[s]);
    }
    free(p);
}

struct hv_buf_pool *store_pool_bufs(struct store_pool *pool)
{
    return &pool->bufs;
}

uint32_t store_pool_in_use(const struct store_pool *pool)
{
    return pool->in_use;
}
