/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CONF_ARENA_H
#define CONF_ARENA_H
/* Memory that is given back all at once.  A configuration is bounded (CONF_FILE_BYTES_MAX a file), so
 * running out of memory while reading one ends the program (hv_assert). */
#include <stddef.h>

struct conf_arena;

struct conf_arena *conf_arena_new(void);
void conf_arena_free(struct conf_arena *arena); /* NULL is fine */

/* Zeroed. */
void *conf_alloc(struct conf_arena *arena, size_t size_bytes);
char *conf_strdup(struct conf_arena *arena, const char *s);
char *conf_strndup(struct conf_arena *arena, const char *s, size_t n);
char *conf_sprintf(struct conf_arena *arena, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
char *conf_lower(struct conf_arena *arena, const char *s);

/* Room for one more item at the end of a vector of `n`; returns the vector, perhaps moved. */
void *conf_grow(struct conf_arena *arena, void *items, size_t n, size_t item_bytes);

/* Appends a zeroed item to `vec` of `count` items and gives its address. */
#define CONF_PUSH(arena, vec, count)                                                               \
    (*(void **)&(vec) = conf_grow((arena), (vec), (count), sizeof *(vec)), &(vec)[(count)++])

/* The same for a vector that the model shows as const. */
#define CONF_PUSH_TO(type, arena, vec, count)                                                      \
    (*(type **)(void *)&(vec) = conf_grow((arena), (void *)(vec), (count), sizeof(type)),          \
        (type *)(void *)&(vec)[(count)++])

#endif
