/* SPDX-License-Identifier: Apache-2.0 */
#include "hv_text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool text_reserve(struct hv_text *t, size_t more)
{
    size_t need = t->length + more + 1, capacity = t->capacity ? t->capacity : 128;
    char *s;

    if (t->failed)
        return false;
    if (need <= t->capacity)
        return true;
    while (capacity < need)
        capacity *= 2;
    s = realloc(t->s, capacity);
    if (!s) {
        t->failed = true;
        return false;
    }
    t->s = s;
    t->capacity = capacity;
    return true;
}

void hv_text_addn(struct hv_text *t, const char *s, size_t n)
{
    if (!text_reserve(t, n))
        return;
    memcpy(t->s + t->length, s, n);
    t->length += n;
    t->s[t->length] = '\0';
}

void hv_text_add(struct hv_text *t, const char *s)
{
    hv_text_addn(t, s, strlen(s));
}

void hv_text_addf(struct hv_text *t, const char *fmt, ...)
{
    va_list ap, again;
    int n;

    va_start(ap, fmt);
    va_copy(again, ap);
    n = vsnprintf(NULL, 0, fmt, ap);
    if (n >= 0 && text_reserve(t, (size_t)n)) {
        vsnprintf(t->s + t->length, (size_t)n + 1, fmt, again);
        t->length += (size_t)n;
    }
    va_end(again);
    va_end(ap);
}

void hv_text_free(struct hv_text *t)
{
    free(t->s);
    memset(t, 0, sizeof *t);
}

const char *hv_text_str(const struct hv_text *t)
{
    return t->s ? t->s : "";
}

bool hv_strcopy(char *to, size_t capacity, const char *from)
{
    size_t n = strlen(from);
    bool fits = n < capacity;

    if (!fits)
        n = capacity - 1;
    memcpy(to, from, n);
    to[n] = '\0';
    return fits;
}

enum { NEAREST_WORD_MAX = 64 };

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
    unsigned m = a < b ? a : b;
    return m < c ? m : c;
}

/* Insertions, deletions, substitutions and swaps of neighbours. */
static unsigned edit_distance(const char *a, size_t na, const char *b, size_t nb)
{
    unsigned d[NEAREST_WORD_MAX + 1][NEAREST_WORD_MAX + 1];

    for (unsigned i = 0; i <= na; i++)
        d[i][0] = i;
    for (unsigned j = 0; j <= nb; j++)
        d[0][j] = j;
    for (size_t i = 1; i <= na; i++)
        for (size_t j = 1; j <= nb; j++) {
            d[i][j] =
                min3(d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                d[i - 2][j - 2] + 1 < d[i][j])
                d[i][j] = d[i - 2][j - 2] + 1;
        }
    return d[na][nb];
}

const char *hv_nearest(const char *word, const char *const *candidates, size_t n)
{
    size_t length = strlen(word);
    unsigned best = (unsigned)length / 3 + 1;
    const char *found = NULL;

    if (length == 0 || length > NEAREST_WORD_MAX)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        size_t lc = strlen(candidates[i]);
        if (lc > NEAREST_WORD_MAX)
            continue;
        unsigned d = edit_distance(word, length, candidates[i], lc);
        if (d < best) {
            best = d;
            found = candidates[i];
        }
    }
    return found;
}
