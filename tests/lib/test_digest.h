/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEST_DIGEST_H
#define TEST_DIGEST_H
/* hv_digest_ops on libcrypto, for tests of core rooms. */
#include "hv_digest.h"

extern const struct hv_digest_ops test_digest_ops;

#endif
