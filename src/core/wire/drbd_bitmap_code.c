/* SPDX-License-Identifier: Apache-2.0 */
#include "drbd_bitmap_code.h"

#include <string.h>

#include "drbd_packet.h"
#include "hv_assert.h"
#include "hv_endian.h"

enum { RLE_VLI_BITS = 2 }; /* the only encoding there is */

/* ---- the code ---- */

static const struct vli_row {
    uint8_t total_bits, prefix_bits, prefix;
    uint64_t base;
} vli_rows[] = {
    {2, 1, 0x00, 1},
    {3, 2, 0x01, 3},
    {5, 3, 0x03, 5},
    {7, 4, 0x07, 9},
    {10, 5, 0x0f, 17},
    {14, 6, 0x1f, 49},
    {21, 8, 0x3f, 305},
    {29, 8, 0x7f, 8497},
    {42, 8, 0xbf, 2105649},
    {64, 8, 0xff, 17181974833},
};
enum { VLI_ROWS = sizeof vli_rows / sizeof *vli_rows };

int drbd_vli_encode(uint64_t value, uint64_t *code)
{
    int row = VLI_ROWS - 1;

    if (value < 1 || value > DRBD_VLI_MAX)
        return HV_EINVAL;
    while (value < vli_rows[row].base)
        row--;
    *code = (value - vli_rows[row].base) << vli_rows[row].prefix_bits | vli_rows[row].prefix;
    return vli_rows[row].total_bits;
}

int drbd_vli_decode(uint64_t window, unsigned window_bits, uint64_t *value)
{
    for (int row = 0; row < VLI_ROWS; row++) {
        const struct vli_row *v = &vli_rows[row];

        if ((window & ((UINT64_C(1) << v->prefix_bits) - 1)) != v->prefix)
            continue;
        if (window_bits < v->total_bits)
            return HV_EPROTO;
        if (v->total_bits < 64)
            window &= (UINT64_C(1) << v->total_bits) - 1;
        *value = (window >> v->prefix_bits) + v->base;
        return v->total_bits;
    }
    return HV_EPROTO;
}

/* ---- sending ---- */

void drbd_bitmap_sender_init(struct drbd_bitmap_sender *s, struct drbd_bitmap_source source,
    uint64_t bits, uint32_t packet_bytes, bool compress)
{
    hv_assert(bits <= DRBD_VLI_MAX && packet_bytes >= 16);
    *s = (struct drbd_bitmap_sender){
        .source = source, .bits = bits, .packet_bytes = packet_bytes, .compress = compress};
    /* An empty bitmap still has its end marker. */
    s->plain_last = true;
}

static bool bitmap_bit(const struct drbd_bitmap_sender *s, uint64_t bit)
{
    uint64_t words;
    const uint8_t *bytes = s->source.window(s->source.arg, bit / 64, &words);

    return bytes[bit % 64 / 8] >> bit % 8 & 1;
}

/* How many bits from `first` on have this value. */
static uint64_t run_length(const struct drbd_bitmap_sender *s, uint64_t first, bool value)
{
    uint64_t words_end = (s->bits + 63) / 64;
    uint64_t flip = value ? UINT64_MAX : 0;
    uint64_t ignore = (UINT64_C(1) << first % 64) - 1; /* bits of the first word before `first` */

    for (uint64_t word = first / 64; word < words_end;) {
        uint64_t words;
        const uint8_t *bytes = s->source.window(s->source.arg, word, &words);

        for (uint64_t i = 0; i < words && word < words_end; i++, word++) {
            uint64_t differs = (hv_load_le64(bytes + 8 * i) ^ flip) & ~ignore;

            ignore = 0;
            if (differs) {
                uint64_t end = word * 64 + (uint64_t)__builtin_ctzll(differs);
                return (end < s->bits ? end : s->bits) - first;
            }
        }
    }
    return s->bits - first;
}

/* ORs `count` code bits into bytes that are zero from `at_bit` on. */
static void code_append(uint8_t *bytes, uint64_t at_bit, uint64_t code, int count)
{
    while (count > 0) {
        unsigned shift = at_bit % 8;
        int taken = 8 - (int)shift;

        bytes[at_bit / 8] |= (uint8_t)(code << shift);
        code >>= taken;
        at_bit += (unsigned)taken;
        count -= taken;
    }
}

/* Returns the payload's length, or 0 when a plain packet says it shorter. */
static uint32_t compressed_fill(struct drbd_bitmap_sender *s, uint8_t *out)
{
    uint64_t capacity_bits = (uint64_t)(s->packet_bytes - 1) * 8, used_bits = 0;
    uint64_t at = s->at_bit;
    bool first_value = bitmap_bit(s, at), value = first_value;
    uint32_t code_bytes;

    memset(out, 0, s->packet_bytes);
    while (at < s->bits) {
        uint64_t code = 0, run = run_length(s, at, value);
        int code_bits = drbd_vli_encode(run, &code);

        hv_assert(code_bits > 0);
        if (used_bits + (unsigned)code_bits > capacity_bits)
            break;
        code_append(out + 1, used_bits, code, code_bits);
        used_bits += (unsigned)code_bits;
        at += run;
        value = !value;
    }
    code_bytes = (uint32_t)((used_bits + 7) / 8);
    if ((uint64_t)code_bytes * 8 >= at - s->at_bit)
        return 0;
    out[0] = (uint8_t)(RLE_VLI_BITS | (code_bytes * 8 - used_bits) << 4 | (first_value ? 0x80 : 0));
    s->at_bit = at;
    return 1 + code_bytes;
}

static uint32_t plain_fill(struct drbd_bitmap_sender *s, uint8_t *out)
{
    uint64_t word = s->at_bit / 64, words_end = (s->bits + 63) / 64;
    uint64_t left = s->packet_bytes / 8;
    uint32_t length_bytes = 0;

    if (s->at_bit >= s->bits)
        return 0;
    while (left > 0 && word < words_end) {
        uint64_t words;
        const uint8_t *bytes = s->source.window(s->source.arg, word, &words);

        if (words > left)
            words = left;
        if (words > words_end - word)
            words = words_end - word;
        memcpy(out + length_bytes, bytes, words * 8);
        length_bytes += (uint32_t)words * 8;
        word += words;
        left -= words;
    }
    s->at_bit = word * 64 < s->bits ? word * 64 : s->bits;
    return length_bytes;
}

int drbd_bitmap_send(struct drbd_bitmap_sender *s, uint8_t *out, uint32_t *length_bytes)
{
    bool at_end = s->at_bit >= s->bits;

    *length_bytes = 0;
    if (s->done || (at_end && !s->plain_last)) {
        s->done = true;
        return 0;
    }
    if (s->compress && !at_end)
        *length_bytes = compressed_fill(s, out);
    s->plain_last = *length_bytes == 0;
    if (s->plain_last) {
        *length_bytes = plain_fill(s, out);
        s->done = at_end;
    }
    s->packets[!s->plain_last]++;
    s->bytes[!s->plain_last] += *length_bytes;
    return s->plain_last ? P_BITMAP : P_COMPRESSED_BITMAP;
}

/* ---- receiving ---- */

void drbd_bitmap_receiver_init(struct drbd_bitmap_receiver *v, struct drbd_bitmap_sink sink,
    uint64_t bits, uint32_t packet_bytes)
{
    hv_assert(packet_bytes >= 16);
    *v = (struct drbd_bitmap_receiver){.sink = sink, .bits = bits, .packet_bytes = packet_bytes};
}

/* The last word of a bitmap that ends inside it: what lies past the end is ignored. */
static void merge_last_word(struct drbd_bitmap_receiver *v, uint64_t word, const uint8_t *bytes)
{
    uint64_t value = hv_load_le64(bytes) & ((UINT64_C(1) << v->bits % 64) - 1);

    while (value) {
        unsigned bit = (unsigned)__builtin_ctzll(value);
        uint64_t ones = ~(value >> bit);
        unsigned run = ones ? (unsigned)__builtin_ctzll(ones) : 64;

        v->sink.set(v->sink.arg, word * 64 + bit, run);
        value &= run + bit >= 64 ? 0 : UINT64_MAX << (run + bit);
    }
}

int drbd_bitmap_receive_plain(
    struct drbd_bitmap_receiver *v, const uint8_t *payload, uint32_t length_bytes)
{
    uint64_t first = v->at_bit / 64, words_end = (v->bits + 63) / 64;
    uint64_t words = v->packet_bytes / 8;

    if (v->done)
        return HV_EPROTO;
    if (v->at_bit >= v->bits) {
        v->done = length_bytes == 0;
        return v->done ? 1 : HV_EPROTO;
    }
    if (words > words_end - first)
        words = words_end - first;
    if (length_bytes != words * 8)
        return HV_EPROTO;
    if (first + words == words_end && v->bits % 64) {
        words--;
        merge_last_word(v, words_end - 1, payload + words * 8);
        v->at_bit = v->bits;
    } else {
        v->at_bit = (first + words) * 64;
    }
    if (words)
        v->sink.merge(v->sink.arg, first, payload, words);
    return 0;
}

/* Up to 64 bits of the stream from `at_bit` on. */
static uint64_t code_window(
    const uint8_t *bytes, uint64_t at_bit, uint64_t end_bit, unsigned *count)
{
    uint64_t window = 0;
    unsigned have = 0;

    while (have < 64 && at_bit < end_bit) {
        unsigned shift = at_bit % 8;

        window |= (uint64_t)(bytes[at_bit / 8] >> shift) << have;
        have += 8 - shift;
        at_bit += 8 - shift;
    }
    /* The last byte may have carried padding past end_bit in, or bits past 64 out. */
    if (at_bit > end_bit)
        have -= (unsigned)(at_bit - end_bit);
    *count = have < 64 ? have : 64;
    return window;
}

int drbd_bitmap_receive_compressed(
    struct drbd_bitmap_receiver *v, const uint8_t *payload, uint32_t length_bytes)
{
    uint64_t at = 0, end;
    bool value;

    if (v->done || length_bytes < 2 || length_bytes > v->packet_bytes ||
        (payload[0] & 0x0f) != RLE_VLI_BITS)
        return HV_EPROTO;
    value = payload[0] >> 7;
    end = (uint64_t)(length_bytes - 1) * 8 - (payload[0] >> 4 & 7);
    while (at < end) {
        unsigned have;
        uint64_t run = 0, window = code_window(payload + 1, at, end, &have);
        int used = drbd_vli_decode(window, have, &run);

        if (used < 0 || run > v->bits - v->at_bit)
            return HV_EPROTO;
        if (value)
            v->sink.set(v->sink.arg, v->at_bit, run);
        v->at_bit += run;
        value = !value;
        at += (unsigned)used;
    }
    v->done = v->at_bit == v->bits;
    return v->done;
}
