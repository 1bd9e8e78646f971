/* SPDX-License-Identifier: Apache-2.0 */
#include "conf_arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hv_assert.h"

enum { CHUNK_BYTES = 16 * 1024, ALIGN_BYTES = 16 };

struct chunk {
    struct chunk *next;
    size_t used, capacity;
    _Alignas(16) uint8_t bytes[];
};

struct conf_arena {
    struct chunk *chunks;
};

struct conf_arena *conf_arena_new(void)
{
    struct conf_arena *arena = calloc(1, sizeof *arena);

    hv_assert(arena);
    return arena;
}

void conf_arena_free(struct conf_arena *arena)
{
    if (!arena)
        return;
    for (struct chunk *c = arena->chunks, *next; c; c = next) {
        next = c->next;
        free(c);
    }
    free(arena);
}

void *conf_alloc(struct conf_arena *arena, size_t size_bytes)
{
    struct chunk *c = arena->chunks;

    size_bytes = (size_bytes + ALIGN_BYTES - 1) & ~(size_t)(ALIGN_BYTES - 1);
    if (!c || c->capacity - c->used < size_bytes) {
        size_t capacity = size_bytes > CHUNK_BYTES ? size_bytes : CHUNK_BYTES;
        c = calloc(1, sizeof *c + capacity);
        hv_assert(c);
        c->capacity = capacity;
        c->next = arena->chunks;
        arena->chunks = c;
    }
    void *at = c->bytes + c->used;
    c->used += size_bytes;
    return at;
}

char *conf_strndup(struct conf_arena *arena, const char *s, size_t n)
{
    char *copy = conf_alloc(arena, n + 1);

    memcpy(copy, s, n);
    return copy;
}

char *conf_strdup(struct conf_arena *arena, const char *s)
{
    return conf_strndup(arena, s, strlen(s));
}

char *conf_sprintf(struct conf_arena *arena, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    hv_assert(n >= 0);
    char *s = conf_alloc(arena, (size_t)n + 1);
    va_start(ap, fmt);
    vsnprintf(s, (size_t)n + 1, fmt, ap);
    va_end(ap);
    return s;
}

char *conf_lower(struct conf_arena *arena, const char *s)
{
    char *copy = conf_strdup(arena, s);

    for (char *p = copy; *p; p++)
        if (*p >= 'A' && *p <= 'Z')
            *p = (char)(*p - 'A' + 'a');
    return copy;
}

/* Capacities are powers of two, so the count alone says when a vector is full. */
void *conf_grow(struct conf_arena *arena, void *items, size_t n, size_t item_bytes)
{
    if (n & (n - 1))
        return items;
    if (n == 1)
        return items; /* the first allocation holds two */
    void *grown = conf_alloc(arena, (n ? n * 2 : 2) * item_bytes);
    if (n)
        memcpy(grown, items, n * item_bytes);
    return grown;
}
