/* SPDX-License-Identifier: Apache-2.0 */
#include "conf_lexer.h"

#include <string.h>

enum { WORD_MAX_BYTES = 128, STRING_MAX_BYTES = 255 }; /* admin §1.1 */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\f' || c == '\v';
}

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '/' ||
           c == '.' || c == '_' || c == '-';
}

static void skip_blanks(struct conf_lexer *lx)
{
    for (; lx->at < lx->end; lx->at++) {
        if (*lx->at == '#')
            while (lx->at < lx->end && *lx->at != '\n')
                lx->at++;
        if (lx->at == lx->end || !is_blank(*lx->at))
            return;
        if (*lx->at == '\n')
            lx->pos.line++;
    }
}

static void lex_word(struct conf_lexer *lx)
{
    const char *start = lx->at;

    while (lx->at < lx->end && is_word(*lx->at))
        lx->at++;
    lx->token.kind = CONF_TOKEN_WORD;
    lx->token.text = conf_strndup(lx->notes->arena, start, (size_t)(lx->at - start));
    if (lx->at - start > WORD_MAX_BYTES)
        conf_error(lx->notes, lx->pos, NULL, "word of %d characters, longer than %d",
            (int)(lx->at - start), WORD_MAX_BYTES);
}

static void lex_string(struct conf_lexer *lx)
{
    const char *start = ++lx->at;
    char *out = conf_alloc(lx->notes->arena,
        (size_t)(lx->end - start < STRING_MAX_BYTES ? lx->end - start : STRING_MAX_BYTES) + 1);
    size_t n = 0;
    bool too_long = false;

    lx->token.kind = CONF_TOKEN_STRING;
    lx->token.text = out;
    for (; lx->at < lx->end && *lx->at != '"' && *lx->at != '\n'; lx->at++) {
        if (*lx->at == '\\' && lx->at + 1 < lx->end && lx->at[1] != '\n')
            lx->at++;
        if (n < STRING_MAX_BYTES)
            out[n++] = *lx->at;
        else
            too_long = true;
    }
    lx->string_open = lx->at == lx->end || *lx->at != '"';
    if (!lx->string_open)
        lx->at++;
    else
        conf_error(
            lx->notes, lx->pos, "close it with '\"' on the same line", "string is not closed");
    if (too_long)
        conf_error(lx->notes, lx->pos, NULL, "string longer than %d characters", STRING_MAX_BYTES);
}

void conf_lexer_next(struct conf_lexer *lx)
{
    lx->previous_line = lx->pos.line;
    lx->previous_text = lx->token.text;
    skip_blanks(lx);
    lx->token.pos = lx->pos;
    lx->token_at = lx->at;
    if (lx->at == lx->end) {
        lx->token.kind = CONF_TOKEN_END;
        lx->token.text = "";
    } else if (is_word(*lx->at)) {
        lex_word(lx);
    } else if (*lx->at == '"') {
        lex_string(lx);
    } else {
        /* A character of several bytes is one character to whoever reads the complaint. */
        const char *start = lx->at++;
        if ((*start & 0xc0) == 0xc0)
            while (lx->at < lx->end && (*lx->at & 0xc0) == 0x80)
                lx->at++;
        lx->token.kind = CONF_TOKEN_CHAR;
        lx->token.text = conf_strndup(lx->notes->arena, start, (size_t)(lx->at - start));
    }
}

void conf_lexer_init(struct conf_lexer *lx, struct conf_notes *notes, const char *file,
    const char *text, size_t length_bytes)
{
    *lx = (struct conf_lexer){.notes = notes,
        .at = text,
        .end = text + length_bytes,
        .pos = {.file = file, .line = 1},
        .token = {.text = ""}};
    conf_lexer_next(lx);
}

const char *conf_lexer_bracketed(struct conf_lexer *lx)
{
    const char *start = lx->at, *p = start;

    while (p < lx->end && *p != ']' && *p != '\n')
        p++;
    if (p == lx->end || *p != ']')
        return NULL;
    lx->at = p + 1;
    conf_lexer_next(lx);
    return conf_strndup(lx->notes->arena, start, (size_t)(p - start));
}

/* One word from *at, which is no blank; quotes are taken off, (…) stays. */
static const char *raw_word(struct conf_lexer *lx)
{
    struct hv_text out = {0};
    int depth = 0;
    bool quoted = false;

    for (; lx->at < lx->end && *lx->at != '\n'; lx->at++) {
        char c = *lx->at;
        if (c == '"') {
            quoted = !quoted;
            continue;
        }
        if (!quoted && !depth && (is_blank(c) || strchr(";{}#", c)))
            break;
        if (!quoted)
            depth += (c == '(') - (c == ')');
        hv_text_addn(&out, &c, 1);
    }
    if (quoted)
        conf_error(
            lx->notes, lx->pos, "close it with '\"' on the same line", "string is not closed");
    if (depth > 0)
        conf_error(lx->notes, lx->pos, "close it with ')' on the same line", "'(' is not closed");
    const char *word = conf_strdup(lx->notes->arena, hv_text_str(&out));
    hv_text_free(&out);
    return word;
}

size_t conf_lexer_words(struct conf_lexer *lx, const char ***words)
{
    const char **list = NULL;
    size_t n = 0;

    /* The token at hand may be the start of a longer word: go back to where it began. */
    lx->at = lx->token_at;
    lx->pos = lx->token.pos;
    for (;;) {
        skip_blanks(lx);
        if (lx->at == lx->end || strchr(";{}", *lx->at))
            break;
        const char *word = raw_word(lx);
        *CONF_PUSH(lx->notes->arena, list, n) = word;
    }
    conf_lexer_next(lx);
    *words = list;
    return n;
}

bool conf_token_is(const struct conf_token *t, char c)
{
    return t->kind == CONF_TOKEN_CHAR && t->text[0] == c;
}

bool conf_token_is_name(const struct conf_token *t)
{
    return t->kind == CONF_TOKEN_WORD || t->kind == CONF_TOKEN_STRING;
}

/* Takes one logical line, without comment, into *out; counts the lines it went over. */
static void gather_line(struct conf_lines *lines, struct hv_text *out)
{
    bool joined;

    do {
        const char *start = lines->at, *end = start;
        while (end < lines->end && *end != '\n')
            end++;
        lines->at = end < lines->end ? end + 1 : end;
        lines->pos.line++;
        const char *hash = memchr(start, '#', (size_t)(end - start));
        if (hash && lines->comments_at_start_only)
            for (const char *p = start; p < hash; p++)
                if (!is_blank(*p))
                    hash = NULL;
        if (hash)
            end = hash;
        while (end > start && (end[-1] == '\r' || (hash && is_blank(end[-1]))))
            end--;
        joined = lines->join && end > start && end[-1] == '\\';
        hv_text_addn(out, start, (size_t)(end - start - (joined ? 1 : 0)));
    } while (joined && lines->at < lines->end);
}

static bool is_separator(const struct conf_lines *lines, char c)
{
    return is_blank(c) || (lines->separators && strchr(lines->separators, c));
}

bool conf_lines_next(struct conf_lines *lines, struct conf_line *out)
{
    while (lines->at < lines->end) {
        struct hv_text text = {0};
        *out = (struct conf_line){.pos = lines->pos};
        gather_line(lines, &text);
        const char *s = hv_text_str(&text), *p = s;
        while (*p && is_separator(lines, *p))
            p++;
        size_t length = strlen(p);
        while (length && is_blank(p[length - 1]))
            length--;
        out->raw = conf_strndup(lines->notes->arena, p, length);
        while (*p) {
            const char *start = p;
            while (*p && !is_separator(lines, *p))
                p++;
            *CONF_PUSH(lines->notes->arena, out->words, out->n) =
                conf_strndup(lines->notes->arena, start, (size_t)(p - start));
            while (*p && is_separator(lines, *p))
                p++;
        }
        hv_text_free(&text);
        if (out->n)
            return true;
    }
    return false;
}
