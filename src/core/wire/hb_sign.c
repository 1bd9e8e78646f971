/* SPDX-License-Identifier: Apache-2.0 */
#include "hb_sign.h"

#include <stdio.h>
#include <string.h>

#include "hv_cursor.h"

static const struct {
    const char *name;
    enum hb_method method;
} methods[] = {
    {"crc", HB_METHOD_CRC},
    {"md5", HB_METHOD_MD5},
    {"sha1", HB_METHOD_SHA1},
    {"sha256", HB_METHOD_SHA256},
};

enum hb_method hb_method_from_name(const char *name)
{
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (strcmp(methods[i].name, name) == 0)
            return methods[i].method;
    return HB_METHOD_NONE;
}

static const char *method_name(enum hb_method method)
{
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (methods[i].method == method)
            return methods[i].name;
    return "";
}

uint32_t hb_crc(const void *bytes, size_t n)
{
    const uint8_t *b = bytes;
    uint32_t crc = 0;

    for (size_t i = 0; i < n; i++) {
        crc ^= (uint32_t)b[i] << 24;
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 0x80000000u ? crc << 1 ^ 0x04c11db7u : crc << 1;
    }
    return ~crc;
}

/* "keynum SP digest" into text[HB_AUTH_TEXT_MAX]; returns its length. */
static int auth_text(const struct hb_keys *keys, unsigned key_number, const uint8_t *bytes,
    size_t n, const struct hv_digest_ops *ops, char *text)
{
    const struct hb_key *key = &keys->key[key_number % HB_KEYS];
    uint8_t digest[HV_DIGEST_BYTES_MAX];
    int length, digest_bytes;

    if (key_number >= HB_KEYS || key->method == HB_METHOD_NONE)
        return HV_ENOENT;
    if (key->method == HB_METHOD_CRC)
        return snprintf(text, HB_AUTH_TEXT_MAX, "%u %x", key_number, hb_crc(bytes, n));
    digest_bytes =
        ops->hmac(method_name(key->method), key->secret, key->secret_bytes, bytes, n, digest);
    if (digest_bytes < 0)
        return digest_bytes;
    length = snprintf(text, HB_AUTH_TEXT_MAX, "%u ", key_number);
    for (int i = 0; i < digest_bytes; i++)
        length += snprintf(text + length, (size_t)(HB_AUTH_TEXT_MAX - length), "%02x", digest[i]);
    return length;
}

/* Takes as long for a near miss as for a far one. */
static bool equal_in_constant_time(const uint8_t *a, const char *b, size_t n)
{
    uint8_t differs = 0;

    for (size_t i = 0; i < n; i++)
        differs |= (uint8_t)(a[i] ^ (uint8_t)b[i]);
    return differs == 0;
}

int hb_sign_verify(const uint8_t *text, size_t text_bytes, const uint8_t *bytes, size_t n,
    const struct hb_keys *keys, const struct hv_digest_ops *ops, unsigned *key_number)
{
    char expected[HB_AUTH_TEXT_MAX];
    unsigned number = 0;
    size_t digits = 0;
    int length;

    while (digits < text_bytes && digits < 2 && text[digits] >= '0' && text[digits] <= '9')
        number = number * 10 + (unsigned)(text[digits++] - '0');
    if (!digits || digits == text_bytes || text[digits] != ' ')
        return HV_EAUTH;
    length = auth_text(keys, number, bytes, n, ops, expected);
    if (length == HV_ENOENT)
        return HV_EAUTH;
    if (length < 0)
        return length;
    if ((size_t)length != text_bytes || !equal_in_constant_time(text, expected, text_bytes))
        return HV_EAUTH;
    if (key_number)
        *key_number = number;
    return 0;
}

/* ---- classic field lines ---- */

static void base64_write(struct hv_writer *w, const uint8_t *b, size_t n)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (size_t i = 0; i < n; i += 3) {
        uint32_t v = (uint32_t)b[i] << 16 | (i + 1 < n ? (uint32_t)b[i + 1] << 8 : 0) |
                     (i + 2 < n ? b[i + 2] : 0u);

        hv_write_u8(w, (uint8_t)alphabet[v >> 18]);
        hv_write_u8(w, (uint8_t)alphabet[v >> 12 & 63]);
        hv_write_u8(w, (uint8_t)(i + 1 < n ? alphabet[v >> 6 & 63] : '='));
        hv_write_u8(w, (uint8_t)(i + 2 < n ? alphabet[v & 63] : '='));
    }
}

enum { CLASSIC_NEWLINE = 0x13 };

static bool field_is_auth(const struct hb_msg *m, const struct hb_field *f)
{
    return f->name_bytes == 4 && memcmp(m->bytes + f->name_at, "auth", 4) == 0;
}

/* Every field as a line, without `auth`: what the inner signature covers. */
static void lines_write(struct hv_writer *w, const struct hb_msg *m)
{
    for (unsigned i = 0; i < m->fields; i++) {
        const struct hb_field *f = &m->field[i];
        const uint8_t *value = (const uint8_t *)m->bytes + f->value_at;

        if (field_is_auth(m, f))
            continue;
        if (f->type != HB_STRING) {
            const uint8_t prefix[3] = {'(', (uint8_t)('0' + f->type), ')'};
            hv_write_bytes(w, prefix, 3);
        }
        hv_write_bytes(w, m->bytes + f->name_at, f->name_bytes);
        hv_write_u8(w, '=');
        if (f->type == HB_BINARY)
            base64_write(w, value, f->value_bytes);
        else
            for (unsigned j = 0; j < f->value_bytes; j++)
                hv_write_u8(w, value[j] == '\n' ? CLASSIC_NEWLINE : value[j]);
        hv_write_u8(w, '\n');
    }
}

static int inner_auth_text(const struct hb_msg *m, const struct hb_keys *keys, unsigned key_number,
    const struct hv_digest_ops *ops, char *text)
{
    uint8_t lines[HB_MSG_BYTES_MAX];
    struct hv_writer w;

    hv_writer_init(&w, lines, sizeof lines);
    lines_write(&w, m);
    if (w.bad || m->overflow)
        return HV_ENOSPC;
    return auth_text(keys, key_number, lines, hv_writer_length(&w), ops, text);
}

int hb_sign_verify_auth(const struct hb_msg *m, const struct hb_keys *keys,
    const struct hv_digest_ops *ops, unsigned *key_number)
{
    uint8_t lines[2 * HB_MSG_BYTES_MAX];
    const uint8_t *text;
    size_t text_bytes;
    struct hv_writer w;

    text = hb_msg_get_bytes(m, "auth", &text_bytes);
    if (!text)
        return HV_EAUTH;
    hv_writer_init(&w, lines, sizeof lines);
    lines_write(&w, m);
    if (w.bad)
        return HV_EPROTO;
    return hb_sign_verify(text, text_bytes, lines, hv_writer_length(&w), keys, ops, key_number);
}

int hb_msg_add_auth(struct hb_msg *m, const struct hb_keys *keys, unsigned key_number,
    const struct hv_digest_ops *ops)
{
    char text[HB_AUTH_TEXT_MAX];
    int length = inner_auth_text(m, keys, key_number, ops, text);

    if (length < 0)
        return length;
    hb_msg_add(m, "auth", text);
    return m->overflow ? HV_ENOSPC : 0;
}

/* ---- encoding ---- */

static void text_write(struct hv_writer *w, const char *text)
{
    hv_write_bytes(w, text, strlen(text));
}

static void netstring_length_write(struct hv_writer *w, size_t length)
{
    char text[24];

    snprintf(text, sizeof text, "%zu:", length);
    text_write(w, text);
}

static int netstring_encode(const struct hb_msg *m, const struct hb_keys *keys, unsigned key_number,
    const struct hv_digest_ops *ops, struct hv_writer *w)
{
    char text[HB_AUTH_TEXT_MAX];
    int length;

    text_write(w, "###\n");
    for (unsigned i = 0; i < m->fields; i++) {
        const struct hb_field *f = &m->field[i];
        const uint8_t type[3] = {'(', (uint8_t)('0' + f->type), ')'};

        netstring_length_write(w, 3u + f->name_bytes + 1u + f->value_bytes);
        hv_write_bytes(w, type, 3);
        hv_write_bytes(w, m->bytes + f->name_at, f->name_bytes);
        hv_write_u8(w, '=');
        hv_write_bytes(w, m->bytes + f->value_at, f->value_bytes);
        hv_write_u8(w, ',');
    }
    text_write(w, "%%%\n");
    if (w->bad)
        return HV_ENOSPC;
    length = auth_text(keys, key_number, w->start, hv_writer_length(w), ops, text);
    if (length < 0)
        return length;
    netstring_length_write(w, (size_t)length);
    text_write(w, text);
    hv_write_u8(w, ',');
    return 0;
}

static int classic_encode(const struct hb_msg *m, const struct hb_keys *keys, unsigned key_number,
    const struct hv_digest_ops *ops, struct hv_writer *w)
{
    char text[HB_AUTH_TEXT_MAX];
    int length = inner_auth_text(m, keys, key_number, ops, text);

    if (length < 0)
        return length;
    text_write(w, ">>>\n");
    lines_write(w, m);
    text_write(w, "auth=");
    text_write(w, text);
    text_write(w, "\n<<<\n");
    hv_write_u8(w, 0);
    return 0;
}

int hb_msg_encode(const struct hb_msg *m, enum hb_form form, const struct hb_keys *keys,
    unsigned key_number, const struct hv_digest_ops *ops, uint8_t *out, size_t capacity)
{
    struct hv_writer w;
    int rc;

    if (m->overflow)
        return HV_ENOSPC;
    hv_writer_init(&w, out, capacity < HB_MSG_BYTES_MAX ? capacity : HB_MSG_BYTES_MAX);
    rc = form == HB_NETSTRING ? netstring_encode(m, keys, key_number, ops, &w)
                              : classic_encode(m, keys, key_number, ops, &w);
    if (rc)
        return rc;
    return w.bad ? HV_ENOSPC : (int)hv_writer_length(&w);
}
