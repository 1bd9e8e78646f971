/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "drbd_bitmap_code.h"
#include "drbd_packet.h"
#include "hv_prng.h"

enum { WORDS_MAX = 8192, PACKET_BYTES = 4080 };

struct map {
    uint64_t bits;
    uint64_t window_words; /* most that one window gives */
    uint8_t bytes[WORDS_MAX * 8];
};

static const uint8_t *map_window(void *arg, uint64_t word, uint64_t *words)
{
    struct map *m = arg;
    uint64_t left = (m->bits + 63) / 64 - word;

    assert_true(left > 0);
    *words = m->window_words && left > m->window_words ? m->window_words : left;
    return m->bytes + word * 8;
}

static void map_set(void *arg, uint64_t first, uint64_t count)
{
    struct map *m = arg;

    assert_true(count > 0 && first < m->bits && count <= m->bits - first);
    for (uint64_t i = first; i < first + count; i++)
        m->bytes[i / 8] |= (uint8_t)(1 << i % 8);
}

static void map_merge(void *arg, uint64_t first, const uint8_t *bytes, uint64_t words)
{
    struct map *m = arg;

    assert_true((first + words) * 64 <= m->bits);
    for (uint64_t i = 0; i < words * 8; i++)
        m->bytes[first * 8 + i] |= bytes[i];
}

static struct map from, to;

static struct drbd_bitmap_sink sink(void)
{
    return (struct drbd_bitmap_sink){map_set, map_merge, &to};
}

/* Sends `from` to `to`; returns the packets of each kind and demands equal maps. */
static void transfer(bool compress, uint64_t *plain, uint64_t *compressed)
{
    struct drbd_bitmap_receiver v;
    struct drbd_bitmap_sender s;
    uint8_t payload[PACKET_BYTES];
    uint32_t n;
    int command, rc = 0;

    memset(to.bytes, 0, sizeof to.bytes);
    to.bits = from.bits;
    drbd_bitmap_sender_init(
        &s, (struct drbd_bitmap_source){map_window, &from}, from.bits, PACKET_BYTES, compress);
    drbd_bitmap_receiver_init(&v, sink(), from.bits, PACKET_BYTES);
    while ((command = drbd_bitmap_send(&s, payload, &n)) != 0) {
        assert_int_equal(rc, 0);
        assert_true(n <= PACKET_BYTES);
        rc = command == P_BITMAP ? drbd_bitmap_receive_plain(&v, payload, n)
                                 : drbd_bitmap_receive_compressed(&v, payload, n);
        assert_true(rc >= 0);
    }
    assert_int_equal(rc, 1);
    assert_memory_equal(from.bytes, to.bytes, sizeof to.bytes);
    *plain = s.packets[0];
    *compressed = s.packets[1];
}

static void from_reset(uint64_t bits)
{
    memset(&from, 0, sizeof from);
    from.bits = bits;
}

/* wire §8's table: both ends of each row. */
static void vli_table(void **state)
{
    static const struct {
        uint64_t value;
        int bits;
    } rows[] = {{1, 2}, {2, 2}, {3, 3}, {4, 3}, {5, 5}, {8, 5}, {9, 7}, {16, 7}, {17, 10}, {48, 10},
        {49, 14}, {304, 14}, {305, 21}, {8496, 21}, {8497, 29}, {2105648, 29}, {2105649, 42},
        {17181974832, 42}, {17181974833, 64}, {DRBD_VLI_MAX, 64}};

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint64_t code, value;

        assert_int_equal(drbd_vli_encode(rows[i].value, &code), rows[i].bits);
        assert_int_equal(drbd_vli_decode(code, (unsigned)rows[i].bits, &value), rows[i].bits);
        assert_true(value == rows[i].value);
        /* What follows in the stream does not matter; a missing bit does. */
        if (rows[i].bits < 64)
            assert_int_equal(
                drbd_vli_decode(code | UINT64_MAX << rows[i].bits, 64, &value), rows[i].bits);
        assert_true(value == rows[i].value);
        assert_int_equal(drbd_vli_decode(code, (unsigned)rows[i].bits - 1, &value), HV_EPROTO);
    }
    assert_int_equal(drbd_vli_encode(0, &(uint64_t){0}), HV_EINVAL);
    assert_int_equal(drbd_vli_encode(DRBD_VLI_MAX + 1, &(uint64_t){0}), HV_EINVAL);
}

static void vector_check(const uint8_t *expected, uint32_t length)
{
    struct drbd_bitmap_sender s;
    uint8_t payload[PACKET_BYTES];
    uint32_t n;

    drbd_bitmap_sender_init(
        &s, (struct drbd_bitmap_source){map_window, &from}, from.bits, PACKET_BYTES, true);
    assert_int_equal(drbd_bitmap_send(&s, payload, &n), P_COMPRESSED_BITMAP);
    assert_int_equal(n, length);
    assert_memory_equal(payload, expected, length);
    assert_int_equal(drbd_bitmap_send(&s, payload, &n), 0);
}

static void vectors_of_the_kernel(void **state)
{
    static const uint8_t all[] = {0xb2, 0x3f, 0xce, 0x1e};
    static const uint8_t one[] = {0x42, 0x3f, 0xcf, 0x8e, 0x9f, 0x66, 0x07};
    uint64_t plain, compressed;

    from_reset(8191);
    to = from;
    map_set(&to, 0, 8191);
    from = to;
    vector_check(all, sizeof all);
    transfer(true, &plain, &compressed);
    assert_int_equal(plain, 0);
    from_reset(8191);
    from.bytes[4096 / 8] = 1;
    vector_check(one, sizeof one);
}

static void plain_ends_with_a_marker(void **state)
{
    uint64_t plain, compressed;

    from_reset(64 * 1000 + 5); /* 1001 words: 510, 491, marker */
    from.bytes[0] = 0x80;
    from.bytes[8000] = 0x1f;
    transfer(false, &plain, &compressed);
    assert_int_equal(plain, 3);
    assert_int_equal(compressed, 0);
    from_reset(0);
    transfer(true, &plain, &compressed);
    assert_int_equal(plain, 1);
}

static void noise_goes_plain_and_gaps_compressed(void **state)
{
    uint64_t plain, compressed;

    from_reset(WORDS_MAX * 64 - 3);
    /* Alternating bits cost two code bits each; the long gap after them one code. */
    memset(from.bytes + 1001, 0x55, 9000);
    transfer(true, &plain, &compressed);
    assert_true(plain > 0);
    assert_true(compressed > 0);
}

static void any_map_survives(void **state)
{
    struct hv_prng rng;
    uint64_t plain, compressed;

    hv_prng_seed(&rng, 42);
    for (int round = 0; round < 300; round++) {
        uint64_t bit = 0, longest = UINT64_C(1) << hv_prng_below(&rng, 16);

        from_reset(1 + hv_prng_below(&rng, WORDS_MAX * 64));
        from.window_words = hv_prng_below(&rng, 100);
        while ((bit += 1 + hv_prng_below(&rng, longest)) < from.bits) {
            uint64_t run = 1 + hv_prng_below(&rng, longest);
            for (; run && bit < from.bits; run--, bit++)
                from.bytes[bit / 8] |= (uint8_t)(1 << bit % 8);
        }
        transfer(true, &plain, &compressed);
        transfer(false, &plain, &compressed);
    }
}

static void lies_are_refused(void **state)
{
    static const uint8_t all[] = {0xb2, 0x3f, 0xce, 0x1e};
    uint8_t bytes[PACKET_BYTES] = {0};
    struct drbd_bitmap_receiver v;

    memset(&to, 0, sizeof to);
    to.bits = 8190; /* one bit fewer than the runs say */
    drbd_bitmap_receiver_init(&v, sink(), to.bits, PACKET_BYTES);
    assert_int_equal(drbd_bitmap_receive_compressed(&v, all, sizeof all), HV_EPROTO);
    assert_int_equal(drbd_bitmap_receive_compressed(&v, all, 1), HV_EPROTO);
    assert_int_equal(drbd_bitmap_receive_compressed(&v, all, 3), HV_EPROTO); /* a code cut short */
    assert_int_equal(
        drbd_bitmap_receive_compressed(&v, (const uint8_t[]){0xb1, 0x3f, 0xce, 0x1e}, 4),
        HV_EPROTO);
    assert_int_equal(drbd_bitmap_receive_plain(&v, bytes, 8), HV_EPROTO); /* all 128 words fit */
    assert_int_equal(drbd_bitmap_receive_plain(&v, bytes, 0), HV_EPROTO); /* not the end yet */
    assert_int_equal(drbd_bitmap_receive_plain(&v, bytes, 128 * 8), 0);
    assert_int_equal(drbd_bitmap_receive_plain(&v, bytes, 8), HV_EPROTO); /* past the end */
    assert_int_equal(drbd_bitmap_receive_plain(&v, bytes, 0), 1);
    assert_int_equal(drbd_bitmap_receive_plain(&v, bytes, 0), HV_EPROTO); /* after the end */
}

static void bits_past_the_end_are_ignored(void **state)
{
    uint8_t word[8];
    struct drbd_bitmap_receiver v;

    memset(word, 0xff, sizeof word);
    memset(&to, 0, sizeof to);
    to.bits = 61;
    drbd_bitmap_receiver_init(&v, sink(), to.bits, PACKET_BYTES);
    assert_int_equal(drbd_bitmap_receive_plain(&v, word, 8), 0);
    assert_int_equal(to.bytes[7], 0x1f);
    assert_int_equal(to.bytes[6], 0xff);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vli_table),
        cmocka_unit_test(vectors_of_the_kernel),
        cmocka_unit_test(plain_ends_with_a_marker),
        cmocka_unit_test(noise_goes_plain_and_gaps_compressed),
        cmocka_unit_test(any_map_survives),
        cmocka_unit_test(lies_are_refused),
        cmocka_unit_test(bits_past_the_end_are_ignored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
