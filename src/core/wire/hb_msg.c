/* SPDX-License-Identifier: Apache-2.0 */
#include "hb_msg.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "hb_sign.h"

void hb_msg_init(struct hb_msg *m)
{
    m->fields = 0;
    m->used_bytes = 0;
    m->overflow = false;
}

static uint16_t bytes_append(struct hb_msg *m, const void *from, size_t n)
{
    uint16_t at = (uint16_t)m->used_bytes;

    if (n)
        memcpy(m->bytes + at, from, n);
    m->bytes[at + n] = 0;
    m->used_bytes += (unsigned)n + 1;
    return at;
}

static bool name_allowed(const char *name, size_t n)
{
    return n > 0 && !memchr(name, '=', n) && !memchr(name, '\n', n) && !memchr(name, 0, n);
}

static void field_append(struct hb_msg *m, unsigned type, const char *name, size_t name_bytes,
    const void *value, size_t value_bytes)
{
    struct hb_field *f;

    if (m->overflow || m->fields == HB_MSG_FIELDS_MAX || type > 9 ||
        !name_allowed(name, name_bytes) || name_bytes > HB_MSG_BYTES_MAX ||
        value_bytes > HB_MSG_BYTES_MAX ||
        m->used_bytes + name_bytes + value_bytes + 2 > HB_MSG_BYTES_MAX) {
        m->overflow = true;
        return;
    }
    f = &m->field[m->fields++];
    f->type = (uint8_t)type;
    f->name_bytes = (uint16_t)name_bytes;
    f->value_bytes = (uint16_t)value_bytes;
    f->name_at = bytes_append(m, name, name_bytes);
    f->value_at = bytes_append(m, value, value_bytes);
}

void hb_msg_add(struct hb_msg *m, const char *name, const char *value)
{
    field_append(m, HB_STRING, name, strlen(name), value, strlen(value));
}

void hb_msg_addf(struct hb_msg *m, const char *name, const char *fmt, ...)
{
    char value[1024];
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(value, sizeof value, fmt, ap);
    va_end(ap);
    if (n < 0 || (size_t)n >= sizeof value)
        m->overflow = true;
    else
        field_append(m, HB_STRING, name, strlen(name), value, (size_t)n);
}

void hb_msg_add_bytes(
    struct hb_msg *m, unsigned type, const char *name, const void *value, size_t value_bytes)
{
    field_append(m, type, name, strlen(name), value, value_bytes);
}

static const struct hb_field *field_find(const struct hb_msg *m, const char *name)
{
    size_t name_bytes = strlen(name);

    for (unsigned i = 0; i < m->fields; i++)
        if (m->field[i].name_bytes == name_bytes &&
            memcmp(m->bytes + m->field[i].name_at, name, name_bytes) == 0)
            return &m->field[i];
    return NULL;
}

const char *hb_msg_get(const struct hb_msg *m, const char *name)
{
    const struct hb_field *f = field_find(m, name);
    return f ? m->bytes + f->value_at : NULL;
}

const uint8_t *hb_msg_get_bytes(const struct hb_msg *m, const char *name, size_t *value_bytes)
{
    const struct hb_field *f = field_find(m, name);

    *value_bytes = f ? f->value_bytes : 0;
    return f ? (const uint8_t *)m->bytes + f->value_at : NULL;
}

static int digit_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return 99;
}

int hb_msg_get_number(const struct hb_msg *m, const char *name, int base, uint64_t *value)
{
    const char *s = hb_msg_get(m, name);
    uint64_t v = 0;

    if (!s)
        return HV_ENOENT;
    if (!*s)
        return HV_EPROTO;
    for (; *s; s++) {
        int digit = digit_value(*s);

        if (digit >= base || v > (UINT64_MAX - (unsigned)digit) / (unsigned)base)
            return HV_EPROTO;
        v = v * (unsigned)base + (unsigned)digit;
    }
    *value = v;
    return 0;
}

bool hb_msg_is(const struct hb_msg *m, const char *name, const char *value)
{
    const char *s = hb_msg_get(m, name);
    return s && strcmp(s, value) == 0;
}

/* ---- decoding ---- */

static const char netstring_start[] = "###\n", netstring_end[] = "%%%\n";
static const char classic_start[] = ">>>\n";

struct span {
    const uint8_t *at, *end;
};

static bool span_take(struct span *s, const char *text)
{
    size_t n = strlen(text);

    if ((size_t)(s->end - s->at) < n || memcmp(s->at, text, n) != 0)
        return false;
    s->at += n;
    return true;
}

/* `<len>:<bytes>,` */
static bool netstring_take(struct span *s, struct span *value)
{
    size_t length = 0;
    int digits = 0;

    while (s->at < s->end && *s->at >= '0' && *s->at <= '9' && digits < 6) {
        length = length * 10 + (size_t)(*s->at++ - '0');
        digits++;
    }
    if (!digits || s->at == s->end || *s->at != ':' || (size_t)(s->end - s->at) < length + 2 ||
        s->at[length + 1] != ',')
        return false;
    value->at = s->at + 1;
    value->end = value->at + length;
    s->at = value->end + 1;
    return true;
}

/* `(t)` before a name; classic form leaves it out for strings. */
static bool type_take(struct span *s, unsigned *type)
{
    if (s->end - s->at < 3 || s->at[0] != '(' || s->at[1] < '0' || s->at[1] > '9' ||
        s->at[2] != ')')
        return false;
    *type = (unsigned)(s->at[1] - '0');
    s->at += 3;
    return true;
}

static int fields_decode_netstring(struct span *s, struct hb_msg *out)
{
    while (!span_take(s, netstring_end)) {
        struct span value;
        const uint8_t *equals;
        unsigned type;

        if (!netstring_take(s, &value) || !type_take(&value, &type))
            return HV_EPROTO;
        equals = memchr(value.at, '=', (size_t)(value.end - value.at));
        if (!equals)
            return HV_EPROTO;
        field_append(out, type, (const char *)value.at, (size_t)(equals - value.at), equals + 1,
            (size_t)(value.end - equals - 1));
        if (out->overflow)
            return HV_EPROTO;
    }
    return 0;
}

enum { CLASSIC_NEWLINE = 0x13 };

static int base64_value(uint8_t c)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *p = c ? strchr(alphabet, c) : NULL;
    return p ? (int)(p - alphabet) : -1;
}

/* Returns the length, which is less than the text's, or -1. */
static int base64_decode(const uint8_t *text, size_t n, uint8_t *out)
{
    uint32_t bits = 0;
    int have = 0, length = 0;

    if (n % 4)
        return -1;
    while (n && text[n - 1] == '=')
        n--;
    for (size_t i = 0; i < n; i++) {
        int v = base64_value(text[i]);

        if (v < 0)
            return -1;
        bits = bits << 6 | (uint32_t)v;
        have += 6;
        if (have >= 8) {
            have -= 8;
            out[length++] = (uint8_t)(bits >> have);
        }
    }
    return length;
}

static int field_decode_classic(struct span line, struct hb_msg *out)
{
    uint8_t *value;
    const uint8_t *equals;
    unsigned type = HB_STRING;
    struct hb_field *f;

    type_take(&line, &type);
    equals = memchr(line.at, '=', (size_t)(line.end - line.at));
    if (!equals)
        return HV_EPROTO;
    field_append(out, type, (const char *)line.at, (size_t)(equals - line.at), equals + 1,
        (size_t)(line.end - equals - 1));
    if (out->overflow)
        return HV_EPROTO;
    f = &out->field[out->fields - 1];
    value = (uint8_t *)out->bytes + f->value_at;
    if (type == HB_BINARY) {
        int length = base64_decode(equals + 1, f->value_bytes, value);
        if (length < 0)
            return HV_EPROTO;
        f->value_bytes = (uint16_t)length;
        value[length] = 0;
    } else {
        for (unsigned i = 0; i < f->value_bytes; i++)
            if (value[i] == CLASSIC_NEWLINE)
                value[i] = '\n';
    }
    return 0;
}

static int fields_decode_classic(struct span *s, struct hb_msg *out)
{
    for (;;) {
        const uint8_t *newline = memchr(s->at, '\n', (size_t)(s->end - s->at));
        struct span line = {s->at, newline};
        int rc;

        if (!newline)
            return HV_EPROTO;
        s->at = newline + 1;
        if (line.end == line.at)
            continue;
        if (line.end - line.at == 3 && memcmp(line.at, "<<<", 3) == 0)
            return 0;
        rc = field_decode_classic(line, out);
        if (rc)
            return rc;
    }
}

static int netstring_decode(const uint8_t *bytes, size_t n, const struct hb_keys *keys,
    const struct hv_digest_ops *ops, struct hb_msg *out, unsigned *key_number)
{
    struct span s = {bytes + 4, bytes + n}, trailer;
    size_t signed_bytes;
    int rc = fields_decode_netstring(&s, out);

    if (rc)
        return rc;
    signed_bytes = (size_t)(s.at - bytes);
    if (!keys)
        return 0;
    if (!netstring_take(&s, &trailer))
        return HV_EAUTH;
    if (s.at != s.end && !(s.end - s.at == 1 && *s.at == 0))
        return HV_EPROTO;
    return hb_sign_verify(
        trailer.at, (size_t)(trailer.end - trailer.at), bytes, signed_bytes, keys, ops, key_number);
}

int hb_msg_decode(const uint8_t *bytes, size_t n, const struct hb_keys *keys,
    const struct hv_digest_ops *ops, struct hb_msg *out, unsigned *key_number)
{
    struct span s = {bytes, bytes + n};
    int rc;

    hb_msg_init(out);
    if (n > HB_MSG_BYTES_MAX)
        return HV_EPROTO;
    if (span_take(&s, netstring_start))
        return netstring_decode(bytes, n, keys, ops, out, key_number);
    if (!span_take(&s, classic_start))
        return HV_EPROTO;
    rc = fields_decode_classic(&s, out);
    if (rc || !keys)
        return rc;
    return hb_sign_verify_auth(out, keys, ops, key_number);
}
