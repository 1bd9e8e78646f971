/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>
#include <sys/random.h>

#include "hv_assert.h"
#include "hv_crc32c.h"
#include "hv_error.h"

enum { CRC32C_BYTES = 4 };

static struct algorithm {
    const char *kernel, *openssl;
    int bytes;
    EVP_MD *md;
    EVP_MD_CTX *ctx;
} algorithms[] = {
    {"md5", "MD5", 16},
    {"sha1", "SHA1", 20},
    {"sha224", "SHA224", 28},
    {"sha256", "SHA256", 32},
    {"sha384", "SHA384", 48},
    {"sha512", "SHA512", 64},
    {"sha3-224", "SHA3-224", 28},
    {"sha3-256", "SHA3-256", 32},
    {"sha3-384", "SHA3-384", 48},
    {"sha3-512", "SHA3-512", 64},
    {"rmd160", "RIPEMD160", 20},
    {"blake2b-512", "BLAKE2B-512", 64},
    {"sm3", "SM3", 32},
};

/* Fetched at first use; NULL when there is no such algorithm or libcrypto was built without it. */
static struct algorithm *algorithm_find(const char *name)
{
    for (size_t i = 0; i < sizeof algorithms / sizeof algorithms[0]; i++) {
        struct algorithm *a = &algorithms[i];
        if (strcmp(a->kernel, name))
            continue;
        if (!a->md)
            a->md = EVP_MD_fetch(NULL, a->openssl, NULL);
        if (!a->ctx)
            a->ctx = EVP_MD_CTX_new();
        return a->md && a->ctx ? a : NULL;
    }
    return NULL;
}

static int digest_size(const char *alg)
{
    if (!strcmp(alg, "crc32c"))
        return CRC32C_BYTES;
    const struct algorithm *a = algorithm_find(alg);
    return a ? a->bytes : HV_EUNSUPPORTED;
}

static int digest_hash(const char *alg, const void *data, size_t length_bytes, uint8_t *out)
{
    unsigned got;

    if (!strcmp(alg, "crc32c")) {
        uint32_t crc = ~hv_crc32c(~0U, data, length_bytes);
        for (int i = 0; i < CRC32C_BYTES; i++)
            out[i] = (uint8_t)(crc >> 8 * i);
        return CRC32C_BYTES;
    }
    struct algorithm *a = algorithm_find(alg);
    if (!a)
        return HV_EUNSUPPORTED;
    if (!EVP_DigestInit_ex2(a->ctx, a->md, NULL) || !EVP_DigestUpdate(a->ctx, data, length_bytes) ||
        !EVP_DigestFinal_ex(a->ctx, out, &got))
        return HV_EIO;
    hv_assert((int)got == a->bytes);
    return a->bytes;
}

static int digest_hmac(const char *alg, const void *key, size_t key_bytes, const void *data,
    size_t length_bytes, uint8_t *out)
{
    unsigned got = HV_DIGEST_BYTES_MAX;
    const struct algorithm *a = algorithm_find(alg);

    if (!a)
        return HV_EUNSUPPORTED;
    if (!HMAC(a->md, key, (int)key_bytes, data, length_bytes, out, &got))
        return HV_EIO;
    return (int)got;
}

const struct hv_digest_ops crypto_digests = {
    .size = digest_size, .hash = digest_hash, .hmac = digest_hmac};

void crypto_entropy_refill(struct hv_entropy *e)
{
    size_t got = 0;

    if (!e->used)
        return;
    while (got < e->used) {
        ssize_t n = getrandom(e->bytes + got, e->used - got, 0);
        hv_assert(n > 0 || errno == EINTR);
        if (n > 0)
            got += (size_t)n;
    }
    e->used = 0;
}
