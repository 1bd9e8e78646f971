/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HB_SIGN_H
#define HB_SIGN_H
/* The signing half of hb_msg.h, for hb_msg.c only. */
#include "hb_msg.h"

/* "keynum SP digest" over `bytes`: 0, HV_EAUTH, or an error of the digest. */
int hb_sign_verify(const uint8_t *text, size_t text_bytes, const uint8_t *bytes, size_t n,
    const struct hb_keys *keys, const struct hv_digest_ops *ops, unsigned *key_number);
/* The `auth` field of a message against its other fields. */
int hb_sign_verify_auth(const struct hb_msg *m, const struct hb_keys *keys,
    const struct hv_digest_ops *ops, unsigned *key_number);

#endif
