/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HV_BUF_H
#define HV_BUF_H
/* A payload.  The memory is the host's (page-aligned, from a pool sized at configuration); engines
 * pass references.  hv_buf_get() adds one, hv_buf_put() drops one and gives the buffer back to its
 * pool with the last.  A function or effect that "takes" a buffer takes one reference. */
#include <stdint.h>

struct hv_buf {
    uint8_t *data;
    uint32_t capacity_bytes;
    uint32_t length_bytes; /* valid bytes in data */
    uint32_t refs;
    struct hv_buf_pool *pool;
};

struct hv_buf_pool {
    /* A buffer with refs == 1 and at least capacity_bytes, or NULL when the pool is used up. */
    struct hv_buf *(*alloc)(struct hv_buf_pool *pool, uint32_t capacity_bytes);
    void (*free)(struct hv_buf_pool *pool, struct hv_buf *buf);
};

struct hv_buf *hv_buf_alloc(struct hv_buf_pool *pool, uint32_t capacity_bytes);
struct hv_buf *hv_buf_get(struct hv_buf *buf);
void hv_buf_put(struct hv_buf *buf); /* NULL is fine */

#endif
