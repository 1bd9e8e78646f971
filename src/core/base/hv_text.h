/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HV_TEXT_H
#define HV_TEXT_H
/* Text: a growing buffer, bounded copies, and the distance behind "did you mean". */
#include <stdbool.h>
#include <stddef.h>

/* Grows as needed; `failed` sticks when memory ran out.  Zero-initialise; free with hv_text_free(). */
struct hv_text {
    char *s; /* NUL-terminated once anything was added, else NULL */
    size_t length, capacity;
    bool failed;
};

void hv_text_add(struct hv_text *t, const char *s);
void hv_text_addn(struct hv_text *t, const char *s, size_t n);
void hv_text_addf(struct hv_text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void hv_text_free(struct hv_text *t);
const char *hv_text_str(const struct hv_text *t); /* never NULL */

/* Copies at most capacity-1 bytes and terminates; false when it was cut. */
bool hv_strcopy(char *to, size_t capacity, const char *from);

/* Of `n` candidates the nearest to `word` (Damerau-Levenshtein, at most a third of its length away),
 * or NULL when none is near. */
const char *hv_nearest(const char *word, const char *const *candidates, size_t n);

#endif
