/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "hv_crc32c.h"
#include "hv_cursor.h"
#include "hv_endian.h"
#include "hv_list.h"
#include "hv_prng.h"
#include "hv_text.h"

/* RFC 3720 B.4, with the usual inversion around it. */
static void crc32c_known_values(void **state)
{
    uint8_t zeros[32] = {0}, ones[32];

    memset(ones, 0xff, sizeof ones);
    assert_int_equal(~hv_crc32c(~0u, zeros, sizeof zeros), 0x8a9136aau);
    assert_int_equal(~hv_crc32c(~0u, ones, sizeof ones), 0x62a8ab43u);
    assert_int_equal(~hv_crc32c(~0u, "123456789", 9), 0xe3069283u);
}

static void cursor_stops_at_the_end(void **state)
{
    uint8_t bytes[6] = {1, 2, 3, 4, 5, 6};
    struct hv_reader r;
    struct hv_writer w;

    hv_reader_init(&r, bytes, sizeof bytes);
    assert_int_equal(hv_read_be32(&r), 0x01020304);
    assert_int_equal(hv_read_be32(&r), 0);
    assert_true(r.bad);
    assert_int_equal(hv_read_u8(&r), 0); /* bad sticks */

    hv_writer_init(&w, bytes, sizeof bytes);
    hv_write_be32(&w, 0xaabbccdd);
    hv_write_be32(&w, 1);
    assert_true(w.bad);
    assert_int_equal(hv_writer_length(&w), 4);
    assert_int_equal(bytes[4], 5); /* untouched */
}

static void endian_round_trips(void **state)
{
    assert_int_equal(be16_of(0x1234).b[0], 0x12);
    assert_int_equal(be64_get(be64_of(0x0123456789abcdefu)), 0x0123456789abcdefu);
    assert_int_equal(le64_of(0x0123456789abcdefu).b[0], 0xef);
    assert_int_equal(le64_get(le64_of(UINT64_MAX - 1)), UINT64_MAX - 1);
}

static void nearest_finds_typing_errors(void **state)
{
    static const char *const words[] = {"on-io-error", "resync-rate", "fencing", "timeout"};

    assert_string_equal(hv_nearest("fenicng", words, 4), "fencing");
    assert_string_equal(hv_nearest("resync_rate", words, 4), "resync-rate");
    assert_null(hv_nearest("zebra", words, 4));
    assert_null(hv_nearest("", words, 4));
}

static void text_grows_and_cuts(void **state)
{
    struct hv_text t = {0};
    char small[4];

    for (int i = 0; i < 1000; i++)
        hv_text_addf(&t, "%d,", i);
    assert_false(t.failed);
    assert_int_equal(t.length, strlen(t.s));
    hv_text_free(&t);
    assert_string_equal(hv_text_str(&t), "");
    assert_false(hv_strcopy(small, sizeof small, "abcdef"));
    assert_string_equal(small, "abc");
}

static void list_remove_is_idempotent(void **state)
{
    struct hv_list head, a, b;

    hv_list_init(&head);
    hv_list_init(&a);
    hv_list_init(&b);
    hv_list_push_back(&head, &a);
    hv_list_push_back(&head, &b);
    assert_ptr_equal(head.next, &a);
    hv_list_remove(&a);
    hv_list_remove(&a);
    assert_ptr_equal(head.next, &b);
    hv_list_remove(&b);
    assert_true(hv_list_empty(&head));
}

static void prng_repeats_and_stays_in_bounds(void **state)
{
    struct hv_prng a, b;

    hv_prng_seed(&a, 7);
    hv_prng_seed(&b, 7);
    for (int i = 0; i < 1000; i++) {
        uint64_t x = hv_prng_below(&a, 10);
        assert_true(x < 10);
        assert_int_equal(x, hv_prng_below(&b, 10));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crc32c_known_values),
        cmocka_unit_test(cursor_stops_at_the_end),
        cmocka_unit_test(endian_round_trips),
        cmocka_unit_test(nearest_finds_typing_errors),
        cmocka_unit_test(text_grows_and_cuts),
        cmocka_unit_test(list_remove_is_idempotent),
        cmocka_unit_test(prng_repeats_and_stays_in_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
