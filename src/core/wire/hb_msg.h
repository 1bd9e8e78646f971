/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HB_MSG_H
#define HB_MSG_H
/* Heartbeat's messages (heartbeat §1): an ordered list of fields, in netstring form (what is on UDP) or
 * classic form (serial lines, FIFO, and accepted on UDP), signed and verified with the keys of authkeys.
 * A message lives in one struct of fixed size and can be copied by assignment. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hv_digest.h"
#include "hv_error.h"

enum {
    HB_MSG_BYTES_MAX = 16384, /* encoded; Heartbeat allows 256 KiB but stays near 300 bytes */
    HB_MSG_FIELDS_MAX = 100,
    HB_KEYS = 16, /* key numbers 0..15 */
    HB_SECRET_BYTES_MAX = 256,
    HB_AUTH_TEXT_MAX = 2 * HV_DIGEST_BYTES_MAX + 8, /* "15 <hex>" and NUL */
    HB_UUID_BYTES = 16,
};

enum hb_field_type {
    HB_STRING = 0,
    HB_BINARY = 1, /* 2..5 exist; they are kept as they came */
};

struct hb_field {
    uint8_t type;
    uint16_t name_at, value_at; /* into bytes[]; both end with a NUL that is not counted */
    uint16_t name_bytes, value_bytes;
};

struct hb_msg {
    unsigned fields, used_bytes;
    bool overflow; /* something did not fit; sticks, and encoding fails */
    struct hb_field field[HB_MSG_FIELDS_MAX];
    char bytes[HB_MSG_BYTES_MAX];
};

enum hb_method { HB_METHOD_NONE, HB_METHOD_CRC, HB_METHOD_MD5, HB_METHOD_SHA1, HB_METHOD_SHA256 };

/* The keys of authkeys (heartbeat §10).  Secrets: never logged. */
struct hb_keys {
    struct hb_key {
        enum hb_method method; /* HB_METHOD_NONE: no such key */
        uint16_t secret_bytes;
        char secret[HB_SECRET_BYTES_MAX];
    } key[HB_KEYS];
    unsigned active; /* signs what we send */
};

/* "crc", "md5", "sha1", or "sha256" (ours: only between two havens); HB_METHOD_NONE for anything else. */
enum hb_method hb_method_from_name(const char *name);

/* --- building --- */
void hb_msg_init(struct hb_msg *m);
/* Append; a name may appear once only (the caller's care: the first one is found).  What cannot be a
 * field (empty name, '=' or newline in it) or does not fit sets m->overflow. */
void hb_msg_add(struct hb_msg *m, const char *name, const char *value);
void hb_msg_addf(struct hb_msg *m, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void hb_msg_add_bytes(
    struct hb_msg *m, unsigned type, const char *name, const void *value, size_t value_bytes);

/* --- reading --- */
/* The value of the first field of that name, NUL-terminated (a NUL inside cuts it), or NULL. */
const char *hb_msg_get(const struct hb_msg *m, const char *name);
const uint8_t *hb_msg_get_bytes(const struct hb_msg *m, const char *name, size_t *value_bytes);
/* The whole value is a number of this base (10 or 16, no sign, no prefix): 0, HV_ENOENT or HV_EPROTO. */
int hb_msg_get_number(
    const struct hb_msg *m, const char *name, int base, uint64_t *value) HV_MUST_CHECK;
bool hb_msg_is(const struct hb_msg *m, const char *name, const char *value);

/* --- bytes --- */
enum hb_form { HB_NETSTRING, HB_CLASSIC };

/* Adds the inner `auth` field that Heartbeat's `msgfmt classic` puts into netstring packets. */
int hb_msg_add_auth(struct hb_msg *m, const struct hb_keys *keys, unsigned key_number,
    const struct hv_digest_ops *ops) HV_MUST_CHECK;
/* Signs with key `key_number` and returns the bytes written: with a trailer (netstring; an inner auth
 * field is sent as any other), or with the auth line last and a final NUL (classic).  HV_ENOSPC,
 * HV_ENOENT (no such key), or what the digest returned. */
int hb_msg_encode(const struct hb_msg *m, enum hb_form form, const struct hb_keys *keys,
    unsigned key_number, const struct hv_digest_ops *ops, uint8_t *out,
    size_t capacity) HV_MUST_CHECK;
/* One datagram of either form.  `keys` NULL: unsigned input is taken and signatures are not looked at
 * (the FIFO).  HV_EPROTO: not a message; HV_EAUTH: missing or wrong signature, or an unknown key;
 * *key_number (may be NULL) says which key signed it.  On error *out is not to be used. */
int hb_msg_decode(const uint8_t *bytes, size_t n, const struct hb_keys *keys,
    const struct hv_digest_ops *ops, struct hb_msg *out, unsigned *key_number) HV_MUST_CHECK;

/* heartbeat §1.3: CRC-32, most significant bit first, starting with 0, complemented. */
uint32_t hb_crc(const void *bytes, size_t n);

#endif
