/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "conf_parse.h"

bool conf_value_u32(const char *s, uint32_t min, uint32_t max, uint32_t *value)
{
    uint64_t v = 0;

    if (!*s)
        return false;
    for (; *s; s++) {
        if (*s < '0' || *s > '9' || v > UINT32_MAX)
            return false;
        v = v * 10 + (uint64_t)(*s - '0');
    }
    if (v < min || v > max)
        return false;
    *value = (uint32_t)v;
    return true;
}

bool conf_value_ipv4(const char *s)
{
    for (int i = 0; i < 4; i++) {
        unsigned v = 0, digits = 0;
        for (; *s >= '0' && *s <= '9' && digits < 4; s++, digits++)
            v = v * 10 + (unsigned)(*s - '0');
        if (!digits || digits > 3 || v > 255)
            return false;
        if (*s != (i < 3 ? '.' : '\0'))
            return false;
        s++;
    }
    return true;
}

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

bool conf_value_ipv6(const char *s)
{
    int groups = 0;
    bool gap = false;

    if (s[0] == ':' && s[1] != ':')
        return false;
    while (*s && *s != '%') {
        if (s[0] == ':' && s[1] == ':') {
            if (gap)
                return false;
            gap = true;
            s += 2;
            continue;
        }
        int digits = 0;
        while (is_hex(s[digits]) && digits < 5)
            digits++;
        if (s[digits] == '.') {
            if (!conf_value_ipv4(s))
                return false;
            groups += 2;
            s += strlen(s);
            break;
        }
        if (!digits || digits > 4 || ++groups > 8)
            return false;
        s += digits;
        if (*s == ':' && s[1] != ':') {
            s++;
            if (!*s || *s == '%')
                return false;
        } else if (*s && *s != ':' && *s != '%') {
            return false;
        }
    }
    if (*s == '%' && !s[1])
        return false;
    return gap ? groups < 8 : groups == 8;
}

bool conf_value_time(const char *s, bool haven_units, uint32_t *ms)
{
    enum { SECONDS_MAX = 86400 * 30 };
    uint64_t whole = 0, micros = 0, scale = 100000, us;
    bool digits = false;

    for (; *s >= '0' && *s <= '9'; s++, digits = true) {
        whole = whole * 10 + (uint64_t)(*s - '0');
        if (whole > (uint64_t)SECONDS_MAX * 1000000)
            return false;
    }
    if (*s == '.')
        for (s++; *s >= '0' && *s <= '9'; s++, scale /= 10, digits = true)
            micros += (uint64_t)(*s - '0') * scale;
    if (!digits)
        return false;
    if (!*s || (haven_units && !strcmp(s, "s")))
        us = whole * 1000000 + micros;
    else if (!strcasecmp(s, "ms") || !strcasecmp(s, "msec"))
        us = whole * 1000 + micros / 1000;
    else if (!strcasecmp(s, "us") || !strcasecmp(s, "usec"))
        us = whole;
    else if (haven_units && !strcmp(s, "m"))
        us = whole * 60000000 + micros * 60;
    else
        return false;
    if (us > (uint64_t)SECONDS_MAX * 1000000)
        return false;
    *ms = (uint32_t)((us + 500) / 1000);
    return true;
}

bool conf_value_bool(const char *s, bool *value)
{
    static const char *const yes[] = {"true", "on", "yes", "y", "1"};
    static const char *const no[] = {"false", "off", "no", "n", "0"};

    for (size_t i = 0; i < 5; i++) {
        *value = !strcasecmp(s, yes[i]);
        if (*value || !strcasecmp(s, no[i]))
            return true;
    }
    return false;
}

bool conf_value_endpoint(struct conf_arena *arena, const char *s, const char **host, uint16_t *port)
{
    const char *colon = strrchr(s, ':');
    uint32_t v;

    if (!colon || colon == s || !conf_value_u32(colon + 1, 1, 65535, &v))
        return false;
    *port = (uint16_t)v;
    if (s[0] == '[') {
        if (colon[-1] != ']')
            return false;
        *host = conf_strndup(arena, s + 1, (size_t)(colon - s) - 2);
        return conf_value_ipv6(*host);
    }
    *host = conf_strndup(arena, s, (size_t)(colon - s));
    return !strchr(*host, ':');
}
