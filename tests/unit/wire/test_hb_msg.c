/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "hb_msg.h"
#include "test_digest.h"

static struct hb_msg m, n;
static uint8_t bytes[HB_MSG_BYTES_MAX];

static const struct hb_keys keys = {
    .key = {[1] = {HB_METHOD_SHA1, 6, "sekret"},
        [2] = {HB_METHOD_MD5, 5, "other"},
        [3] = {HB_METHOD_CRC, 0, ""},
        [15] = {HB_METHOD_SHA256, 5, "HA_DB"}},
    .active = 1,
};

static void status_build(void)
{
    static const uint8_t uuid[HB_UUID_BYTES] = "a%%%\n,b=\0\xff<<<\n";

    hb_msg_init(&m);
    hb_msg_add(&m, "t", "status");
    hb_msg_add(&m, "st", "active");
    hb_msg_addf(&m, "dt", "%x", 4000);
    hb_msg_add(&m, "src", "alpha");
    hb_msg_add_bytes(&m, HB_BINARY, "srcuuid", uuid, sizeof uuid);
    hb_msg_add(&m, "empty", "");
    hb_msg_add(&m, "lines", "a\nb");
}

static void status_check(void)
{
    uint64_t dt = 0;
    size_t length;

    assert_string_equal(hb_msg_get(&n, "t"), "status");
    assert_int_equal(hb_msg_get_number(&n, "dt", 16, &dt), 0);
    assert_int_equal(dt, 4000);
    assert_string_equal(hb_msg_get(&n, "empty"), "");
    assert_string_equal(hb_msg_get(&n, "lines"), "a\nb");
    assert_memory_equal(hb_msg_get_bytes(&n, "srcuuid", &length), "a%%%\n,b=\0\xff<<<\n", 16);
    assert_int_equal(length, 16);
    assert_null(hb_msg_get(&n, "T"));
}

static void every_form_and_key_round_trips(void **state)
{
    static const unsigned numbers[] = {1, 2, 3, 15};

    status_build();
    for (int form = HB_NETSTRING; form <= HB_CLASSIC; form++)
        for (size_t i = 0; i < 4; i++) {
            unsigned number = 99;
            int length = hb_msg_encode(
                &m, (enum hb_form)form, &keys, numbers[i], &test_digest_ops, bytes, sizeof bytes);

            assert_true(length > 0);
            assert_int_equal(
                hb_msg_decode(bytes, (size_t)length, &keys, &test_digest_ops, &n, &number), 0);
            assert_int_equal(number, numbers[i]);
            status_check();
            /* The final NUL of the classic form may be missing. */
            if (form == HB_CLASSIC)
                assert_int_equal(
                    hb_msg_decode(bytes, (size_t)length - 1, &keys, &test_digest_ops, &n, NULL), 0);
        }
}

/* Whatever single bit changes, the message is refused or at least still says the same. */
static void every_flipped_bit_is_noticed(void **state)
{
    int length;

    status_build();
    for (int form = HB_NETSTRING; form <= HB_CLASSIC; form++) {
        length =
            hb_msg_encode(&m, (enum hb_form)form, &keys, 1, &test_digest_ops, bytes, sizeof bytes);
        for (int bit = 0; bit < length * 8; bit++) {
            bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
            if (hb_msg_decode(bytes, (size_t)length, &keys, &test_digest_ops, &n, NULL) == 0) {
                /* Only what is outside the signed bytes: the classic form's frame. */
                assert_int_equal(form, HB_CLASSIC);
                status_check();
            }
            bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
    }
}

static void every_cut_is_noticed(void **state)
{
    int length;

    status_build();
    length = hb_msg_encode(&m, HB_NETSTRING, &keys, 1, &test_digest_ops, bytes, sizeof bytes);
    for (int i = 0; i < length; i++)
        assert_true(hb_msg_decode(bytes, (size_t)i, &keys, &test_digest_ops, &n, NULL) < 0);
    bytes[length] = 'x';
    assert_true(hb_msg_decode(bytes, (size_t)length + 1, &keys, &test_digest_ops, &n, NULL) < 0);
}

static void unsigned_or_foreign_keys_are_refused(void **state)
{
    static const char fifo[] = ">>>\nt=ask_resources\nrsc_hold=all\ninfo=me\n<<<\n";
    struct hb_keys other = keys;
    int length;

    assert_int_equal(
        hb_msg_decode((const uint8_t *)fifo, sizeof fifo - 1, &keys, &test_digest_ops, &n, NULL),
        HV_EAUTH);
    assert_int_equal(
        hb_msg_decode((const uint8_t *)fifo, sizeof fifo - 1, NULL, NULL, &n, NULL), 0);
    assert_true(hb_msg_is(&n, "info", "me"));
    status_build();
    length = hb_msg_encode(&m, HB_NETSTRING, &keys, 2, &test_digest_ops, bytes, sizeof bytes);
    other.key[2].method = HB_METHOD_NONE;
    assert_int_equal(
        hb_msg_decode(bytes, (size_t)length, &other, &test_digest_ops, &n, NULL), HV_EAUTH);
    other.key[2] = other.key[1];
    assert_int_equal(
        hb_msg_decode(bytes, (size_t)length, &other, &test_digest_ops, &n, NULL), HV_EAUTH);
    assert_int_equal(
        hb_msg_encode(&m, HB_NETSTRING, &keys, 4, &test_digest_ops, bytes, sizeof bytes),
        HV_ENOENT);
}

static void malformed_netstrings_are_refused(void **state)
{
    static const char *const cases[] = {
        "###\n7:(0)t=abc,%%%\n",   /* length too short */
        "###\n7:(0)tabc,%%%\n",    /* no '=' */
        "###\n7:(0)=abc,%%%\n",    /* no name */
        "###\n7:0)t=abc,%%%\n",    /* no type */
        "###\n8:(0)t=abc;%%%\n",   /* no comma */
        "###\n9999999999:(0)t=a,", /* absurd length */
        "###\n:(0)t=abc,%%%\n",    /* no length */
        "##\n8:(0)t=abc,%%%\n",
        "",
        "###\n",
        ">>>\n",
        ">>>\nt=a\n",
        ">>>\nnonsense\n<<<\n",
        ">>>\n(1)u=$$$$\n<<<\n",
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(
            hb_msg_decode((const uint8_t *)cases[i], strlen(cases[i]), NULL, NULL, &n, NULL),
            HV_EPROTO);
}

static void overflow_sticks(void **state)
{
    char big[2000];

    memset(big, 'x', sizeof big);
    big[sizeof big - 1] = 0;
    hb_msg_init(&m);
    for (int i = 0; i < 20; i++)
        hb_msg_add(&m, "big", big);
    assert_true(m.overflow);
    assert_int_equal(
        hb_msg_encode(&m, HB_NETSTRING, &keys, 1, &test_digest_ops, bytes, sizeof bytes),
        HV_ENOSPC);
    hb_msg_init(&m);
    hb_msg_add(&m, "a=b", "c");
    assert_true(m.overflow);
    status_build();
    assert_int_equal(
        hb_msg_encode(&m, HB_NETSTRING, &keys, 1, &test_digest_ops, bytes, 100), HV_ENOSPC);
}

static void numbers_are_strict(void **state)
{
    uint64_t v = 7;

    hb_msg_init(&m);
    hb_msg_add(&m, "a", "12x");
    hb_msg_add(&m, "b", "");
    hb_msg_add(&m, "c", "10000000000000000");
    hb_msg_add(&m, "d", "fF");
    hb_msg_add(&m, "e", "-1");
    assert_int_equal(hb_msg_get_number(&m, "a", 10, &v), HV_EPROTO);
    assert_int_equal(hb_msg_get_number(&m, "b", 10, &v), HV_EPROTO);
    assert_int_equal(hb_msg_get_number(&m, "c", 16, &v), HV_EPROTO);
    assert_int_equal(hb_msg_get_number(&m, "d", 10, &v), HV_EPROTO);
    assert_int_equal(hb_msg_get_number(&m, "e", 10, &v), HV_EPROTO);
    assert_int_equal(hb_msg_get_number(&m, "z", 10, &v), HV_ENOENT);
    assert_int_equal(v, 7);
    assert_int_equal(hb_msg_get_number(&m, "d", 16, &v), 0);
    assert_int_equal(v, 255);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_form_and_key_round_trips),
        cmocka_unit_test(every_flipped_bit_is_noticed),
        cmocka_unit_test(every_cut_is_noticed),
        cmocka_unit_test(unsigned_or_foreign_keys_are_refused),
        cmocka_unit_test(malformed_netstrings_are_refused),
        cmocka_unit_test(overflow_sticks),
        cmocka_unit_test(numbers_are_strict),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
