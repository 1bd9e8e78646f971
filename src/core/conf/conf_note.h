/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CONF_NOTE_H
#define CONF_NOTE_H
/* Within this room: where the parsers say what is wrong. */
#include "conf_arena.h"
#include "conf_report.h"

struct conf_pos {
    const char *file; /* lives in the arena */
    unsigned line;
};

struct conf_notes {
    struct conf_arena *arena;
    struct conf_reports *reports;
};

enum { CONF_REPORTS_MAX = 1000 }; /* later ones are counted only */

/* `hint` is what to write instead, or NULL.  Both are copied. */
void conf_error(struct conf_notes *notes, struct conf_pos pos, const char *hint, const char *fmt,
    ...) __attribute__((format(printf, 4, 5)));
void conf_warn(struct conf_notes *notes, struct conf_pos pos, const char *hint, const char *fmt,
    ...) __attribute__((format(printf, 4, 5)));
/* "did you mean 'x'?", or NULL when nothing is near. */
const char *conf_did_you_mean(
    struct conf_notes *notes, const char *word, const char *const *candidates, size_t n);
/* "use a, b or c". */
const char *conf_one_of(struct conf_notes *notes, const char *const *words, size_t n);

#endif
