/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CONF_LEXER_H
#define CONF_LEXER_H
/* The lexer of all configuration files: tokens of drbd.conf's grammar (admin §1.1) for drbd.conf and
 * haven.conf, and words of a line for ha.cf, haresources, authkeys and exports. */
#include <stdbool.h>

#include "conf_note.h"

enum conf_token_kind {
    CONF_TOKEN_END,    /* of the file */
    CONF_TOKEN_WORD,   /* letters, digits, / . _ - */
    CONF_TOKEN_STRING, /* "quoted"; text is without the quotes and escapes */
    CONF_TOKEN_CHAR,   /* one of { } ; [ ] : or something that has no place here */
};

struct conf_token {
    enum conf_token_kind kind;
    const char *text; /* in the arena; "" at the end */
    struct conf_pos pos;
};

struct conf_lexer {
    struct conf_notes *notes;
    const char *at, *end;
    struct conf_pos pos;
    struct conf_token token; /* the one to be looked at */
    const char *token_at;    /* where it begins */
    unsigned previous_line;  /* of the token before it */
    const char *previous_text;
    bool string_open;  /* a string was not closed, which hid what follows it on that line */
    bool end_reported; /* for the parser: it said already that a section is not closed */
};

/* `text` has no NUL bytes and is borrowed until the lexer is done with; `file` must live in the arena. */
void conf_lexer_init(struct conf_lexer *lx, struct conf_notes *notes, const char *file,
    const char *text, size_t length_bytes);
void conf_lexer_next(struct conf_lexer *lx);
/* With the token '[' at hand: everything up to the ']' as one text, which is what an IPv6 address
 * needs.  The next token is what follows the ']'.  NULL when there is no ']' on this line. */
const char *conf_lexer_bracketed(struct conf_lexer *lx);
/* The token at hand and everything after it up to ';', '{', '}' or the end, split at blanks; quotes
 * and (…) keep together.  haven.conf's own sections use characters that drbd.conf has not. */
size_t conf_lexer_words(struct conf_lexer *lx, const char ***words);

bool conf_token_is(const struct conf_token *t, char c);
bool conf_token_is_name(const struct conf_token *t); /* WORD or STRING */

/* The next line's words; false at the end.  `separators` besides blanks may be ",".  '#' starts a
 * comment anywhere.  Lines without words are left out.  *raw gets the line from its first word on,
 * without comment, joins and trailing blanks. */
struct conf_line {
    struct conf_pos pos;
    const char **words;
    size_t n;
    const char *raw;
};

struct conf_lines {
    struct conf_notes *notes;
    const char *at, *end;
    struct conf_pos pos;
    const char *separators;
    bool join; /* a backslash at the end of a line joins the next */
    bool comments_at_start_only;
};

bool conf_lines_next(struct conf_lines *lines, struct conf_line *out);

#endif
