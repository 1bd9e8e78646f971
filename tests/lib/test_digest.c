/* SPDX-License-Identifier: Apache-2.0 */
#include "test_digest.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "hv_error.h"

static int digest_size(const char *alg)
{
    const EVP_MD *md = EVP_get_digestbyname(alg);
    return md ? EVP_MD_get_size(md) : HV_EUNSUPPORTED;
}

static int digest_hash(const char *alg, const void *data, size_t length_bytes, uint8_t *out)
{
    const EVP_MD *md = EVP_get_digestbyname(alg);
    unsigned n = 0;

    if (!md)
        return HV_EUNSUPPORTED;
    return EVP_Digest(data, length_bytes, out, &n, md, NULL) ? (int)n : HV_EIO;
}

static int digest_hmac(const char *alg, const void *key, size_t key_bytes, const void *data,
    size_t length_bytes, uint8_t *out)
{
    const EVP_MD *md = EVP_get_digestbyname(alg);
    unsigned n = 0;

    if (!md)
        return HV_EUNSUPPORTED;
    return HMAC(md, key, (int)key_bytes, data, length_bytes, out, &n) ? (int)n : HV_EIO;
}

const struct hv_digest_ops test_digest_ops = {digest_size, digest_hash, digest_hmac};
