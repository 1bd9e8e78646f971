/* SPDX-License-Identifier: Apache-2.0 */
#include "hv_buf.h"

#include <stddef.h>

#include "hv_assert.h"

struct hv_buf *hv_buf_alloc(struct hv_buf_pool *pool, uint32_t capacity_bytes)
{
    struct hv_buf *buf = pool->alloc(pool, capacity_bytes);

    hv_assert(!buf || (buf->refs == 1 && buf->capacity_bytes >= capacity_bytes));
    return buf;
}

struct hv_buf *hv_buf_get(struct hv_buf *buf)
{
    if (buf) {
        hv_assert(buf->refs > 0);
        buf->refs++;
    }
    return buf;
}

void hv_buf_put(struct hv_buf *buf)
{
    if (!buf)
        return;
    hv_assert(buf->refs > 0);
    if (--buf->refs == 0)
        buf->pool->free(buf->pool, buf);
}
