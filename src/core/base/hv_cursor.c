/* SPDX-License-Identifier: Apache-2.0 */
#include "hv_cursor.h"

#include <string.h>

#include "hv_endian.h"

void hv_reader_init(struct hv_reader *r, const void *bytes, size_t length_bytes)
{
    r->at = bytes;
    r->end = r->at + length_bytes;
    r->bad = false;
}

size_t hv_reader_left(const struct hv_reader *r)
{
    return (size_t)(r->end - r->at);
}

const uint8_t *hv_read_bytes(struct hv_reader *r, size_t length_bytes)
{
    const uint8_t *p = r->at;

    if (r->bad || hv_reader_left(r) < length_bytes) {
        r->bad = true;
        return NULL;
    }
    r->at += length_bytes;
    return p;
}

uint8_t hv_read_u8(struct hv_reader *r)
{
    const uint8_t *p = hv_read_bytes(r, 1);
    return p ? *p : 0;
}

uint16_t hv_read_be16(struct hv_reader *r)
{
    const uint8_t *p = hv_read_bytes(r, 2);
    return p ? hv_load_be16(p) : 0;
}

uint32_t hv_read_be32(struct hv_reader *r)
{
    const uint8_t *p = hv_read_bytes(r, 4);
    return p ? hv_load_be32(p) : 0;
}

uint64_t hv_read_be64(struct hv_reader *r)
{
    const uint8_t *p = hv_read_bytes(r, 8);
    return p ? hv_load_be64(p) : 0;
}

void hv_writer_init(struct hv_writer *w, void *bytes, size_t capacity_bytes)
{
    w->start = w->at = bytes;
    w->end = w->start + capacity_bytes;
    w->bad = false;
}

size_t hv_writer_length(const struct hv_writer *w)
{
    return (size_t)(w->at - w->start);
}

static uint8_t *writer_reserve(struct hv_writer *w, size_t length_bytes)
{
    uint8_t *p = w->at;

    if (w->bad || (size_t)(w->end - w->at) < length_bytes) {
        w->bad = true;
        return NULL;
    }
    w->at += length_bytes;
    return p;
}

void hv_write_u8(struct hv_writer *w, uint8_t v)
{
    hv_write_bytes(w, &v, 1);
}

void hv_write_be16(struct hv_writer *w, uint16_t v)
{
    uint8_t *p = writer_reserve(w, 2);
    if (p)
        hv_store_be16(p, v);
}

void hv_write_be32(struct hv_writer *w, uint32_t v)
{
    uint8_t *p = writer_reserve(w, 4);
    if (p)
        hv_store_be32(p, v);
}

void hv_write_be64(struct hv_writer *w, uint64_t v)
{
    uint8_t *p = writer_reserve(w, 8);
    if (p)
        hv_store_be64(p, v);
}

void hv_write_bytes(struct hv_writer *w, const void *bytes, size_t length_bytes)
{
    uint8_t *p = writer_reserve(w, length_bytes);
    if (p && length_bytes)
        memcpy(p, bytes, length_bytes);
}

void hv_write_zeros(struct hv_writer *w, size_t length_bytes)
{
    uint8_t *p = writer_reserve(w, length_bytes);
    if (p && length_bytes)
        memset(p, 0, length_bytes);
}
