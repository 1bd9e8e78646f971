/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HV_DIGEST_H
#define HV_DIGEST_H
/* Digests, as the core sees them: pure functions that somebody else provides (src/host/crypto on
 * libcrypto).  Algorithms go by the kernel's names: "sha1", "md5", "sha256", "crc32c", … */
#include <stddef.h>
#include <stdint.h>

enum { HV_DIGEST_BYTES_MAX = 64 };

struct hv_digest_ops {
    /* Bytes of one digest, or HV_EUNSUPPORTED. */
    int (*size)(const char *alg);
    /* Both write size(alg) bytes to out and return that size, or a negative hv_error. */
    int (*hash)(const char *alg, const void *data, size_t length_bytes, uint8_t *out);
    int (*hmac)(const char *alg, const void *key, size_t key_bytes, const void *data,
        size_t length_bytes, uint8_t *out);
};

#endif
