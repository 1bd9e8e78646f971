/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DRBD_BITMAP_CODE_H
#define DRBD_BITMAP_CODE_H
/* The bitmap on the wire (wire §8): plain 64-bit little-endian words in P_BITMAP, or run lengths in a
 * variable-length code in P_COMPRESSED_BITMAP.  One sender and one receiver object a transfer; each
 * packet is one call.  The bitmap itself stays with the caller: bit n is bit n%8 of byte n/8. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hv_error.h"

/* --- the code of one number, 1 <= value <= DRBD_VLI_MAX --- */
#define DRBD_VLI_MAX UINT64_C(72057611219902768)

/* Returns the code's length in bits (2..64), *code holds it, to be sent from its low end; or HV_EINVAL. */
int drbd_vli_encode(uint64_t value, uint64_t *code);
/* `window` holds the next `window_bits` of the stream, low end first.  Returns the bits used, or
 * HV_EPROTO when they are too few. */
int drbd_vli_decode(uint64_t window, unsigned window_bits, uint64_t *value);

/* --- sending --- */
struct drbd_bitmap_source {
    /* A stretch of the bitmap as bytes, beginning at 64-bit word `word`; *words_out >= 1 says how many
     * words it has.  Bits past the end of the device are 0.  Borrowed until the next call. */
    const uint8_t *(*window)(void *arg, uint64_t word, uint64_t *words_out);
    void *arg;
};

struct drbd_bitmap_sender {
    struct drbd_bitmap_source source;
    uint64_t bits, at_bit; /* whole length; everything below at_bit has been sent */
    uint32_t packet_bytes; /* largest payload of one packet */
    bool compress;
    bool plain_last; /* the last packet was plain: the end needs a marker */
    bool done;
    /* What was sent, for the statistics that drbdsetup's log line shows. */
    uint64_t packets[2], bytes[2]; /* [0] plain, [1] compressed; bytes without headers */
};

/* `packet_bytes`: DRBD_RECEIVE_BUFFER_BYTES less the header.  `compress`: version >= 90 and use-rle. */
void drbd_bitmap_sender_init(struct drbd_bitmap_sender *s, struct drbd_bitmap_source source,
    uint64_t bits, uint32_t packet_bytes, bool compress);
/* The next packet: writes its payload (at most packet_bytes) to `out`, its length to *length_bytes and
 * returns its number (P_BITMAP or P_COMPRESSED_BITMAP), or 0 when the transfer is complete.  A chunk
 * whose code is no smaller than itself goes plain, from the word that it begins in. */
int drbd_bitmap_send(struct drbd_bitmap_sender *s, uint8_t *out, uint32_t *length_bytes);

/* --- receiving --- */
struct drbd_bitmap_sink {
    /* Set (OR) `count` bits from `first`; both lie inside the bitmap. */
    void (*set)(void *arg, uint64_t first_bit, uint64_t count);
    /* OR `words` 64-bit little-endian words from word `first`. */
    void (*merge)(void *arg, uint64_t first_word, const uint8_t *bytes, uint64_t words);
    void *arg;
};

struct drbd_bitmap_receiver {
    struct drbd_bitmap_sink sink;
    uint64_t bits, at_bit;
    uint32_t packet_bytes;
    bool done;
};

void drbd_bitmap_receiver_init(struct drbd_bitmap_receiver *v, struct drbd_bitmap_sink sink,
    uint64_t bits, uint32_t packet_bytes);
/* One packet's payload.  Returns 1 when the transfer is complete, 0 when more must come, HV_EPROTO when
 * it cannot be so (runs past the end, wrong length, unknown encoding, anything after the end).  Bits may
 * already have been set when an error is found; they are only ever set. */
int drbd_bitmap_receive_plain(
    struct drbd_bitmap_receiver *v, const uint8_t *payload, uint32_t length_bytes) HV_MUST_CHECK;
int drbd_bitmap_receive_compressed(
    struct drbd_bitmap_receiver *v, const uint8_t *payload, uint32_t length_bytes) HV_MUST_CHECK;

#endif
