/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRYPTO_H
#define CRYPTO_H
/* Digests and random bytes for the core, from libcrypto and the kernel. */
#include "hv_digest.h"
#include "hv_entropy.h"

/* By the names of the kernel's crypto API: md5, sha1, sha224, sha256, sha384, sha512, sha3-224 …
 * sha3-512, rmd160, blake2b-512, sm3, crc32c.  No HMAC over crc32c: the kernel has none either.
 * For one thread.  hash() allocates nothing after the first use of an algorithm. */
extern const struct hv_digest_ops crypto_digests;

/* Fills what was used.  Aborts when the kernel has no random bytes to give: nothing is safe then. */
void crypto_entropy_refill(struct hv_entropy *e);

#endif
