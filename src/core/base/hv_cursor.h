/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HV_CURSOR_H
#define HV_CURSOR_H
/* A bounds-checked walk over bytes.  Reading or writing past the end gives zeros, moves nothing and
 * sets `bad`, which sticks: check it once, at the end. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hv_reader {
    const uint8_t *at, *end;
    bool bad;
};

struct hv_writer {
    uint8_t *start, *at, *end;
    bool bad;
};

void hv_reader_init(struct hv_reader *r, const void *bytes, size_t length_bytes);
size_t hv_reader_left(const struct hv_reader *r);
uint8_t hv_read_u8(struct hv_reader *r);
uint16_t hv_read_be16(struct hv_reader *r);
uint32_t hv_read_be32(struct hv_reader *r);
uint64_t hv_read_be64(struct hv_reader *r);
/* Borrowed from the bytes given to hv_reader_init(); NULL and `bad` when there are fewer. */
const uint8_t *hv_read_bytes(struct hv_reader *r, size_t length_bytes);

void hv_writer_init(struct hv_writer *w, void *bytes, size_t capacity_bytes);
size_t hv_writer_length(const struct hv_writer *w);
void hv_write_u8(struct hv_writer *w, uint8_t v);
void hv_write_be16(struct hv_writer *w, uint16_t v);
void hv_write_be32(struct hv_writer *w, uint32_t v);
void hv_write_be64(struct hv_writer *w, uint64_t v);
void hv_write_bytes(struct hv_writer *w, const void *bytes, size_t length_bytes);
void hv_write_zeros(struct hv_writer *w, size_t length_bytes);

#endif
