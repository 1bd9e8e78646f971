/* SPDX-License-Identifier: Apache-2.0 */
/* The parser's tools, and drbd.conf from the top (admin §1.2). */
#include "conf_parse.h"

#include <stdio.h>
#include <string.h>

bool conf_parse_keyword(const struct conf_parser *p, const char *keyword)
{
    return p->lx->token.kind == CONF_TOKEN_WORD && !strcmp(p->lx->token.text, keyword);
}

void conf_parse_skip_statement(struct conf_parser *p)
{
    unsigned depth = 0;

    for (; p->lx->token.kind != CONF_TOKEN_END; conf_lexer_next(p->lx)) {
        const struct conf_token *t = &p->lx->token;
        if (conf_token_is(t, '{'))
            depth++;
        if (!depth && conf_token_is(t, '}'))
            return;
        if (depth && conf_token_is(t, '}'))
            depth--;
        else if (depth || !conf_token_is(t, ';'))
            continue;
        if (!depth) {
            conf_lexer_next(p->lx);
            return;
        }
    }
}

static const char *token_shown(struct conf_parser *p)
{
    const struct conf_token *t = &p->lx->token;

    return t->kind == CONF_TOKEN_END ? "the end of the file"
                                     : conf_sprintf(p->notes.arena, "'%s'", t->text);
}

void conf_parse_semicolon(struct conf_parser *p)
{
    struct conf_lexer *lx = p->lx;

    if (conf_token_is(&lx->token, ';')) {
        conf_lexer_next(lx);
        return;
    }
    if (lx->string_open) {
        lx->string_open = false;
        return;
    }
    if (lx->token.kind == CONF_TOKEN_END || conf_token_is(&lx->token, '}') ||
        lx->token.pos.line != lx->previous_line) {
        struct conf_pos pos = {lx->token.pos.file, lx->previous_line};
        conf_error(
            &p->notes, pos, "write ';' there", "';' is missing after '%s'", lx->previous_text);
        return;
    }
    bool odd = lx->token.kind == CONF_TOKEN_CHAR && !strchr("{}[]:", lx->token.text[0]);
    conf_error(&p->notes, lx->token.pos,
        odd ? "put the value into double quotes" : "end the statement with ';'",
        "unexpected %s after '%s'", token_shown(p), lx->previous_text);
    conf_parse_skip_statement(p);
}

bool conf_parse_char(struct conf_parser *p, char c, const char *after)
{
    if (conf_token_is(&p->lx->token, c)) {
        conf_lexer_next(p->lx);
        return true;
    }
    conf_error(&p->notes, p->lx->token.pos, conf_sprintf(p->notes.arena, "write '%c' there", c),
        "%s after %s, where '%c' belongs", token_shown(p), after, c);
    conf_parse_skip_statement(p);
    return false;
}

const char *conf_parse_name(struct conf_parser *p, const char *what)
{
    if (conf_token_is_name(&p->lx->token)) {
        const char *name = p->lx->token.text;
        conf_lexer_next(p->lx);
        return name;
    }
    conf_error(&p->notes, p->lx->token.pos,
        p->lx->token.kind == CONF_TOKEN_CHAR && !strchr("{};[]:", p->lx->token.text[0])
            ? "put it into double quotes"
            : NULL,
        "%s where %s belongs", token_shown(p), what);
    conf_parse_skip_statement(p);
    return NULL;
}

bool conf_parse_u32(
    struct conf_parser *p, const char *what, uint32_t min, uint32_t max, uint32_t *value)
{
    struct conf_pos pos = p->lx->token.pos;
    const char *text = conf_parse_name(p, what);

    *value = min;
    if (!text)
        return false;
    if (!conf_value_u32(text, min, max, value))
        conf_error(&p->notes, pos, conf_sprintf(p->notes.arena, "use %u to %u", min, max),
            "%s cannot be '%s'", what, text);
    return true;
}

bool conf_parse_more(struct conf_parser *p, struct conf_pos opened, const char *section)
{
    while (conf_token_is(&p->lx->token, ';'))
        conf_lexer_next(p->lx);
    if (conf_token_is(&p->lx->token, '}')) {
        conf_lexer_next(p->lx);
        return false;
    }
    if (p->lx->token.kind != CONF_TOKEN_END)
        return true;
    conf_error(
        &p->notes, opened, "close it with '}'", "%s { is not closed before the file ends", section);
    return false;
}

void conf_parse_unknown(
    struct conf_parser *p, const char *where, const char *const *known, size_t n)
{
    struct conf_token *t = &p->lx->token;
    const char *hint =
        conf_token_is_name(t) ? conf_did_you_mean(&p->notes, t->text, known, n) : NULL;

    conf_error(&p->notes, t->pos, hint ? hint : conf_one_of(&p->notes, known, n),
        "%s is not known %s", token_shown(p), where);
    conf_lexer_next(p->lx);
    conf_parse_skip_statement(p);
}

bool conf_parse_once(
    struct conf_parser *p, struct conf_pos *first, struct conf_pos pos, const char *what)
{
    if (!first->line) {
        *first = pos;
        return true;
    }
    conf_error(&p->notes, pos, "keep one of them", "%s stands a second time; first at %s:%u", what,
        first->file, first->line);
    return false;
}

/* The value of a flag: nothing, yes or no. */
static const char *parse_flag(struct conf_parser *p, const char *name, bool negated)
{
    if (negated)
        return "no";
    if (conf_parse_keyword(p, "yes") || conf_parse_keyword(p, "no")) {
        const char *value = p->lx->token.text;
        conf_lexer_next(p->lx);
        return value;
    }
    if (conf_token_is_name(&p->lx->token) && p->lx->token.pos.line == p->lx->previous_line) {
        conf_error(&p->notes, p->lx->token.pos, "use yes or no", "%s cannot be '%s'", name,
            p->lx->token.text);
        conf_lexer_next(p->lx);
    }
    return "yes";
}

static void parse_option(struct conf_parser *p, const struct conf_option *def, bool negated,
    struct conf_opts *opts, struct conf_pos pos)
{
    const char *value = NULL;

    conf_lexer_next(p->lx);
    if (def->type == CONF_TYPE_FLAG) {
        value = parse_flag(p, def->name, negated);
    } else {
        struct conf_pos at = p->lx->token.pos;
        value = conf_parse_name(p, conf_sprintf(p->notes.arena, "the value of %s", def->name));
        if (!value)
            return;
        conf_option_check(&p->notes, def, at, value);
        if (!strcmp(def->name, "shared-secret"))
            p->lx->previous_text = def->name; /* what is missing after it is said without it */
    }
    struct conf_opt *opt = CONF_PUSH(p->notes.arena, opts->items, opts->n);
    *opt = (struct conf_opt){.def = def, .value = value, .pos = pos};
    conf_parse_semicolon(p);
}

/* startup {} has two statements that are no options. */
static bool parse_startup_statement(struct conf_parser *p, struct conf_tree_resource *owner)
{
    struct conf_pos pos = p->lx->token.pos;

    if (conf_parse_keyword(p, "stacked-timeouts")) {
        conf_lexer_next(p->lx);
        owner->stacked_timeouts = !strcmp(parse_flag(p, "stacked-timeouts", false), "yes");
        conf_parse_semicolon(p);
        return true;
    }
    if (!conf_parse_keyword(p, "become-primary-on"))
        return false;
    conf_lexer_next(p->lx);
    conf_parse_once(p, &owner->become_primary_pos, pos, "become-primary-on");
    while (conf_token_is_name(&p->lx->token) && p->lx->token.pos.line == p->lx->previous_line) {
        *CONF_PUSH(p->notes.arena, owner->become_primary_on, owner->n_become_primary_on) =
            p->lx->token.text;
        conf_lexer_next(p->lx);
    }
    if (!owner->n_become_primary_on)
        conf_error(&p->notes, pos, "name a node, or 'both'", "become-primary-on names nobody");
    conf_parse_semicolon(p);
    return true;
}

/* proxy { plugin { zlib level 9; } } */
static bool parse_plugins(struct conf_parser *p, struct conf_tree_resource *owner)
{
    struct conf_pos pos = p->lx->token.pos;

    if (!conf_parse_keyword(p, "plugin"))
        return false;
    conf_lexer_next(p->lx);
    if (!conf_parse_char(p, '{', "'plugin'"))
        return true;
    while (conf_parse_more(p, pos, "plugin")) {
        struct hv_text t = {0};
        while (conf_token_is_name(&p->lx->token)) {
            hv_text_addf(&t, "%s%s", t.length ? " " : "", p->lx->token.text);
            conf_lexer_next(p->lx);
        }
        if (t.length) {
            *CONF_PUSH(p->notes.arena, owner->plugins, owner->n_plugins) =
                conf_strdup(p->notes.arena, t.s);
            conf_parse_semicolon(p);
        } else {
            conf_parse_name(p, "the name of a plugin");
        }
        hv_text_free(&t);
    }
    return true;
}

void conf_parse_options(struct conf_parser *p, enum conf_section section, struct conf_opts *opts,
    struct conf_tree_resource *owner)
{
    const char *name = conf_section_name(section);
    struct conf_pos opened = p->lx->token.pos;

    conf_lexer_next(p->lx);
    conf_parse_once(p, &opts->seen, opened, conf_sprintf(p->notes.arena, "section '%s'", name));
    if (!conf_parse_char(p, '{', conf_sprintf(p->notes.arena, "'%s'", name)))
        return;
    while (conf_parse_more(p, opened, name)) {
        struct conf_token t = p->lx->token;
        if (section == CONF_SECTION_STARTUP && owner && parse_startup_statement(p, owner))
            continue;
        if (section == CONF_SECTION_PROXY && owner && parse_plugins(p, owner))
            continue;
        const struct conf_option *def = conf_option_find(section, t.text);
        bool negated = !def && !strncmp(t.text, "no-", 3);
        if (negated)
            def = conf_option_find(section, t.text + 3);
        if (def && t.kind == CONF_TOKEN_WORD && (!negated || def->type == CONF_TYPE_FLAG)) {
            parse_option(p, def, negated, opts, t.pos);
            continue;
        }
        conf_error(&p->notes, t.pos, conf_option_hint(&p->notes, section, false, t.text),
            "'%s' is not an option of %s { }", t.text, name);
        conf_lexer_next(p->lx);
        conf_parse_skip_statement(p);
    }
}

/* The legacy section: each option goes where it belongs today. */
static void parse_syncer(struct conf_parser *p, struct conf_tree_resource *owner)
{
    struct conf_pos opened = p->lx->token.pos;

    conf_lexer_next(p->lx);
    conf_parse_once(p, &owner->syncer_seen, opened, "section 'syncer'");
    if (!conf_parse_char(p, '{', "'syncer'"))
        return;
    while (conf_parse_more(p, opened, "syncer")) {
        struct conf_token t = p->lx->token;
        const struct conf_option *def = conf_option_find_syncer(t.text);
        bool negated = !def && !strncmp(t.text, "no-", 3);
        if (negated)
            def = conf_option_find_syncer(t.text + 3);
        if (def && t.kind == CONF_TOKEN_WORD && (!negated || def->type == CONF_TYPE_FLAG)) {
            parse_option(p, def, negated, &owner->sections[def->section], t.pos);
            continue;
        }
        conf_error(&p->notes, t.pos, conf_option_hint(&p->notes, 0, true, t.text),
            "'%s' is not an option of syncer { }", t.text);
        conf_lexer_next(p->lx);
        conf_parse_skip_statement(p);
    }
}

static const char *const resource_words[] = {"protocol", "on", "floating", "stacked-on-top-of",
    "ignore-on", "volume", "device", "disk", "meta-disk", "flexible-meta-disk", "net", "options",
    "handlers", "startup", "syncer", "proxy"};

/* One statement of resource {} or common {}. */
static void parse_resource_statement(struct conf_parser *p, struct conf_tree_resource *res)
{
    struct conf_pos pos = p->lx->token.pos;

    for (enum conf_section s = 0; s < CONF_SECTIONS; s++) {
        if (!conf_parse_keyword(p, conf_section_name(s)))
            continue;
        if (s == CONF_SECTION_DISK && conf_parse_volume_statement(p, &res->volumes, true))
            return; /* disk PATH; */
        conf_parse_options(p, s, &res->sections[s], res);
        return;
    }
    if (conf_parse_keyword(p, "syncer")) {
        parse_syncer(p, res);
    } else if (conf_parse_keyword(p, "protocol")) {
        parse_option(p, conf_option_find(CONF_SECTION_NET, "protocol"), false,
            &res->sections[CONF_SECTION_NET], pos);
    } else if (conf_parse_keyword(p, "ignore-on")) {
        conf_lexer_next(p->lx);
        const char *name = conf_parse_name(p, "a host name");
        if (!name)
            return;
        *CONF_PUSH(p->notes.arena, res->ignore_on, res->n_ignore_on) = name;
        conf_warn(&p->notes, pos, "leave it out", "ignore-on does nothing any more");
        conf_parse_semicolon(p);
    } else if (!conf_parse_volume_statement(p, &res->volumes, true) && !conf_parse_host(p, res)) {
        conf_parse_unknown(
            p, "in a resource", resource_words, sizeof resource_words / sizeof resource_words[0]);
    }
}

static void parse_resource(struct conf_parser *p)
{
    struct conf_pos pos = p->lx->token.pos;

    conf_lexer_next(p->lx);
    const char *name = conf_parse_name(p, "the name of the resource");
    if (!name || !conf_parse_char(p, '{', conf_sprintf(p->notes.arena, "'resource %s'", name)))
        return;
    struct conf_tree_resource *res = conf_alloc(p->notes.arena, sizeof *res);
    res->name = name;
    res->pos = pos;
    struct conf_tree_resource *other = conf_tree_find(p->tree, name);
    if (other)
        conf_error(&p->notes, pos, "give it another name",
            "resource '%s' stands a second time; first at %s:%u", name, other->pos.file,
            other->pos.line);
    else
        *CONF_PUSH(p->notes.arena, p->tree->resources, p->tree->n_resources) = res;
    while (conf_parse_more(p, pos, conf_sprintf(p->notes.arena, "resource %s", name)))
        parse_resource_statement(p, res);
}

static void parse_common(struct conf_parser *p)
{
    struct conf_pos pos = p->lx->token.pos;
    struct conf_tree_resource *res = conf_alloc(p->notes.arena, sizeof *res);

    conf_lexer_next(p->lx);
    if (!conf_parse_char(p, '{', "'common'"))
        return;
    res->name = "common";
    res->pos = pos;
    if (p->tree->common)
        conf_parse_once(p, &p->tree->common->pos, pos, "section 'common'");
    else
        p->tree->common = res;
    while (conf_parse_more(p, pos, "common"))
        parse_resource_statement(p, res);
    if (res->n_hosts)
        conf_error(&p->notes, res->hosts[0]->pos, "move it into a resource",
            "a host section has no place in common { }");
    if (res->volumes.n)
        conf_error(&p->notes, res->volumes.items[0]->pos, "move it into a resource",
            "a volume has no place in common { }");
}

static bool parse_global_number(
    struct conf_parser *p, const char *keyword, uint32_t min, uint32_t max, int64_t *value)
{
    uint32_t v;

    if (!conf_parse_keyword(p, keyword))
        return false;
    conf_lexer_next(p->lx);
    if (conf_parse_u32(p, keyword, min, max, &v)) {
        *value = v;
        conf_parse_semicolon(p);
    }
    return true;
}

static bool parse_global_flag(struct conf_parser *p, const char *keyword, bool *value)
{
    if (!conf_parse_keyword(p, keyword))
        return false;
    conf_lexer_next(p->lx);
    *value = true;
    conf_parse_semicolon(p);
    return true;
}

static void parse_usage_count(struct conf_parser *p)
{
    static const char *const words[] = {"no", "yes", "ask"};

    conf_lexer_next(p->lx);
    struct conf_pos pos = p->lx->token.pos;
    const char *text = conf_parse_name(p, "yes, no or ask");
    if (!text)
        return;
    for (int i = 0; i < 3; i++)
        if (!strcmp(text, words[i]))
            p->tree->global.usage_count = i;
    if (strcmp(text, "no") && strcmp(text, "yes") && strcmp(text, "ask"))
        conf_error(
            &p->notes, pos, conf_one_of(&p->notes, words, 3), "usage-count cannot be '%s'", text);
    conf_parse_semicolon(p);
}

static void parse_global(struct conf_parser *p)
{
    static const char *const known[] = {"disable-ip-verification", "minor-count", "dialog-refresh",
        "usage-count", "cmd-timeout-short", "cmd-timeout-medium", "cmd-timeout-long",
        "udev-always-use-vnr"};
    struct conf_tree_global *g = &p->tree->global;
    struct conf_pos pos = p->lx->token.pos;

    conf_lexer_next(p->lx);
    if (!conf_parse_char(p, '{', "'global'"))
        return;
    conf_parse_once(p, &g->seen, pos, "section 'global'");
    if (p->tree->n_resources)
        conf_warn(&p->notes, pos, "put it in front of the first resource",
            "global { } stands after a resource");
    while (conf_parse_more(p, pos, "global")) {
        if (conf_parse_keyword(p, "usage-count"))
            parse_usage_count(p);
        else if (!parse_global_flag(p, "disable-ip-verification", &g->disable_ip_verification) &&
                 !parse_global_flag(p, "udev-always-use-vnr", &g->udev_always_use_vnr) &&
                 !parse_global_number(p, "minor-count", 1, 255, &g->minor_count) &&
                 !parse_global_number(p, "dialog-refresh", 0, 600, &g->dialog_refresh) &&
                 !parse_global_number(p, "cmd-timeout-short", 0, 900, &g->cmd_timeout_short) &&
                 !parse_global_number(p, "cmd-timeout-medium", 0, 900, &g->cmd_timeout_medium) &&
                 !parse_global_number(p, "cmd-timeout-long", 0, 900, &g->cmd_timeout_long))
            conf_parse_unknown(p, "in global { }", known, sizeof known / sizeof known[0]);
    }
}

/* skip [WORD] { anything, balanced } */
static void parse_skip(struct conf_parser *p)
{
    struct conf_pos pos = p->lx->token.pos;

    conf_lexer_next(p->lx);
    while (conf_token_is_name(&p->lx->token))
        conf_lexer_next(p->lx);
    if (!conf_parse_char(p, '{', "'skip'"))
        return;
    for (unsigned depth = 1; depth; conf_lexer_next(p->lx)) {
        if (p->lx->token.kind == CONF_TOKEN_END) {
            conf_error(
                &p->notes, pos, "close it with '}'", "skip { is not closed before the file ends");
            return;
        }
        depth += conf_token_is(&p->lx->token, '{');
        depth -= conf_token_is(&p->lx->token, '}');
    }
}

struct include_to {
    struct conf_parser *p;
    struct conf_pos from;
    unsigned found;
};

static void include_one(void *to, const char *path)
{
    struct include_to *in = to;
    struct conf_parser *p = in->p;

    in->found++;
    if (p->include_depth >= CONF_INCLUDE_DEPTH_MAX) {
        conf_error(&p->notes, in->from, NULL, "files include one another more than %d deep",
            CONF_INCLUDE_DEPTH_MAX);
        return;
    }
    p->include_depth++;
    if (conf_parse_drbd_file(p, conf_strdup(p->notes.arena, path), in->from) == HV_ENOENT)
        conf_error(&p->notes, in->from, NULL, "file '%s' does not exist", path);
    p->include_depth--;
}

static void parse_include(struct conf_parser *p)
{
    struct conf_pos pos = p->lx->token.pos;
    const char *pattern, *slash = strrchr(pos.file, '/');

    conf_lexer_next(p->lx);
    /* Globs are often left unquoted, and '*' is no character of a word. */
    pattern = conf_parse_name(p, "the name of a file, in double quotes,");
    if (!pattern)
        return;
    conf_parse_semicolon(p);
    if (pattern[0] == '/')
        pattern = conf_parse_rooted(p, pattern);
    else if (slash)
        pattern =
            conf_sprintf(p->notes.arena, "%.*s/%s", (int)(slash - pos.file), pos.file, pattern);
    struct include_to to = {.p = p, .from = pos};
    if (!strpbrk(pattern, "*?["))
        include_one(&to, pattern);
    else if (p->request->files.glob(p->request->files.arg, pattern, include_one, &to))
        conf_error(&p->notes, pos, NULL, "cannot look for '%s'", pattern);
}

static void parse_top(struct conf_parser *p)
{
    static const char *const known[] = {
        "global", "common", "resource", "include", "skip", "cluster", "service"};

    while (p->lx->token.kind != CONF_TOKEN_END) {
        if (conf_token_is(&p->lx->token, ';')) {
            conf_lexer_next(p->lx);
        } else if (conf_token_is(&p->lx->token, '}')) {
            conf_error(&p->notes, p->lx->token.pos, "remove it", "'}' closes nothing");
            conf_lexer_next(p->lx);
        } else if (conf_parse_keyword(p, "global")) {
            parse_global(p);
        } else if (conf_parse_keyword(p, "common")) {
            parse_common(p);
        } else if (conf_parse_keyword(p, "resource")) {
            parse_resource(p);
        } else if (conf_parse_keyword(p, "skip")) {
            parse_skip(p);
        } else if (conf_parse_keyword(p, "include")) {
            parse_include(p);
        } else if (conf_parse_keyword(p, "cluster")) {
            conf_parse_cluster(p);
        } else if (conf_parse_keyword(p, "service")) {
            conf_parse_service(p);
        } else {
            conf_parse_unknown(p, "here", known, sizeof known / sizeof known[0]);
        }
    }
}

int conf_parse_drbd_file(struct conf_parser *p, const char *path, struct conf_pos from)
{
    struct hv_text text = {0};
    struct conf_file_meta meta = {0};
    struct conf_lexer lx, *outer = p->lx;
    struct conf_file_meta outer_meta = p->meta;
    int rc = conf_parse_read(p, path, from, &text, &meta);

    for (size_t i = 0; !rc && i < p->n_seen; i++)
        if (p->seen[i].device == meta.device && p->seen[i].inode == meta.inode)
            goto out;
    if (rc)
        goto out;
    *CONF_PUSH(p->notes.arena, p->seen, p->n_seen) =
        (struct conf_file_seen){meta.device, meta.inode};
    conf_lexer_init(&lx, &p->notes, path, hv_text_str(&text), text.length);
    p->lx = &lx;
    p->meta = meta;
    parse_top(p);
    p->lx = outer;
    p->meta = outer_meta;
out:
    hv_text_free(&text);
    return rc;
}
