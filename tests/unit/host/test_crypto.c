/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "crypto.h"
#include "hv_error.h"

static void expect_hex(const uint8_t *bytes, int n, const char *hex)
{
    char text[2 * HV_DIGEST_BYTES_MAX + 1];

    assert_int_equal((size_t)n * 2, strlen(hex));
    for (int i = 0; i < n; i++)
        snprintf(text + 2 * i, 3, "%02x", bytes[i]);
    assert_string_equal(text, hex);
}

static void known_digests(void **state)
{
    static const struct {
        const char *alg, *of, *hex;
    } vectors[] = {
        {"md5", "abc", "900150983cd24fb0d6963f7d28e17f72"},
        {"sha1", "abc", "a9993e364706816aba3e25717850c26c9cd0d89d"},
        {"sha256", "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"sha3-256", "abc", "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532"},
        {"crc32c", "123456789", "839206e3"}, /* 0xe3069283, little-endian as the kernel stores it */
    };
    uint8_t out[HV_DIGEST_BYTES_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        /* Twice: the second time from the cached context. */
        for (int again = 0; again < 2; again++) {
            int n = crypto_digests.hash(vectors[i].alg, vectors[i].of, strlen(vectors[i].of), out);
            assert_int_equal(n, crypto_digests.size(vectors[i].alg));
            expect_hex(out, n, vectors[i].hex);
        }
    }
}

static void known_hmacs(void **state)
{
    /* RFC 2202 and RFC 4231, test case 2. */
    const char *key = "Jefe", *data = "what do ya want for nothing?";
    uint8_t out[HV_DIGEST_BYTES_MAX];

    (void)state;
    int n = crypto_digests.hmac("sha1", key, 4, data, strlen(data), out);
    expect_hex(out, n, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
    n = crypto_digests.hmac("sha256", key, 4, data, strlen(data), out);
    expect_hex(out, n, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

static void what_is_not_there_is_refused(void **state)
{
    uint8_t out[HV_DIGEST_BYTES_MAX];

    (void)state;
    assert_int_equal(crypto_digests.size("rot13"), HV_EUNSUPPORTED);
    assert_int_equal(crypto_digests.hash("", "x", 1, out), HV_EUNSUPPORTED);
    assert_int_equal(crypto_digests.hmac("crc32c", "k", 1, "x", 1, out), HV_EUNSUPPORTED);
}

static void entropy_is_refilled_where_it_was_used(void **state)
{
    struct hv_entropy e = {.used = HV_ENTROPY_BYTES};
    uint8_t tail[8];

    (void)state;
    crypto_entropy_refill(&e);
    assert_int_equal(e.used, 0);
    memcpy(tail, e.bytes + 8, 8);
    assert_true(hv_entropy_u64(&e) != 0);
    assert_int_equal(e.used, 8);
    crypto_entropy_refill(&e);
    assert_memory_equal(tail, e.bytes + 8, 8);
    static const uint8_t nothing[8];
    assert_memory_not_equal(e.bytes, nothing, 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_digests),
        cmocka_unit_test(known_hmacs),
        cmocka_unit_test(what_is_not_there_is_refused),
        cmocka_unit_test(entropy_is_refilled_where_it_was_used),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
