/* SPDX-License-Identifier: Apache-2.0 */
/* /etc/exports, and the part of an `export` statement that says the same. */
#include <string.h>

#include "conf_parse.h"

struct option_row {
    const char *word;
    size_t offset;
    bool value;
};

#define AT(field) offsetof(struct conf_export_client, field)

static const struct option_row flags[] = {
    {"rw", AT(read_write), true},
    {"ro", AT(read_write), false},
    {"async", AT(async), true},
    {"sync", AT(async), false},
    {"insecure", AT(insecure), true},
    {"secure", AT(insecure), false},
    {"subtree_check", AT(subtree_check), true},
    {"no_subtree_check", AT(subtree_check), false},
    {"no_wdelay", AT(no_wdelay), true},
    {"wdelay", AT(no_wdelay), false},
    {"crossmnt", AT(crossmnt), true},
    {"hide", AT(hide), true},
    {"nohide", AT(hide), false},
    {"secure_locks", AT(secure_locks), true},
    {"auth_nlm", AT(secure_locks), true},
    {"insecure_locks", AT(secure_locks), false},
    {"no_auth_nlm", AT(secure_locks), false},
};

/* Read, shown and without effect here. */
static const char *const others[] = {"acl", "no_acl", "pnfs", "no_pnfs", "security_label", "mp",
    "mountpoint", "refer", "replicas", "nordirplus", "no_all_squash", "xprtsec"};

static const char *const with_meaning[] = {
    "root_squash", "no_root_squash", "all_squash", "anonuid", "anongid", "fsid", "sec"};

enum {
    FLAGS = sizeof flags / sizeof flags[0],
    OTHERS = sizeof others / sizeof others[0],
    WITH_MEANING = sizeof with_meaning / sizeof with_meaning[0],
    NOBODY = 65534,
};

static void unknown_option(struct conf_parser *p, struct conf_pos pos, const char *name)
{
    const char *names[FLAGS + OTHERS + WITH_MEANING];
    size_t n = 0;

    for (size_t i = 0; i < FLAGS; i++)
        names[n++] = flags[i].word;
    for (size_t i = 0; i < WITH_MEANING; i++)
        names[n++] = with_meaning[i];
    for (size_t i = 0; i < OTHERS; i++)
        names[n++] = others[i];
    conf_error(&p->notes, pos, conf_did_you_mean(&p->notes, name, names, n),
        "'%s' is not an option of an export", name);
}

static void apply_option(
    struct conf_parser *p, struct conf_pos pos, struct conf_export_client *client, const char *text)
{
    const char *equals = strchr(text, '=');
    const char *name = equals ? conf_strndup(p->notes.arena, text, (size_t)(equals - text)) : text;
    const char *value = equals ? equals + 1 : "";

    for (size_t i = 0; i < FLAGS; i++)
        if (!strcmp(flags[i].word, name)) {
            *(bool *)(void *)((char *)client + flags[i].offset) = flags[i].value;
            return;
        }
    for (size_t i = 0; i < OTHERS; i++)
        if (!strcmp(others[i], name))
            return;
    if (!strcmp(name, "root_squash"))
        client->squash = CONF_SQUASH_ROOT;
    else if (!strcmp(name, "no_root_squash"))
        client->squash = CONF_SQUASH_NONE;
    else if (!strcmp(name, "all_squash"))
        client->squash = CONF_SQUASH_ALL;
    else if (!strcmp(name, "fsid"))
        client->fsid = value;
    else if (!strcmp(name, "sec"))
        client->sec = value;
    else if (!strcmp(name, "anonuid") || !strcmp(name, "anongid")) {
        if (!conf_value_u32(
                value, 0, UINT32_MAX, name[4] == 'u' ? &client->anon_uid : &client->anon_gid))
            conf_error(&p->notes, pos, "write a number", "%s cannot be '%s'", name, value);
    } else {
        unknown_option(p, pos, name);
    }
}

void conf_export_client_add(struct conf_parser *p, struct conf_pos pos, struct conf_export *export,
    const char *host, const char *options)
{
    struct conf_export_client *client =
        CONF_PUSH_TO(struct conf_export_client, p->notes.arena, export->clients, export->n_clients);

    *client = (struct conf_export_client){.host = host[0] ? host : "*",
        .hide = true,
        .secure_locks = true,
        .anon_uid = NOBODY,
        .anon_gid = NOBODY,
        .fsid = "",
        .sec = "sys",
        .options = options ? options : ""};
    for (const char *s = client->options; *s;) {
        size_t length = strcspn(s, ",");
        const char *word = conf_strndup(p->notes.arena, s, length);
        if (length)
            apply_option(p, pos, client, word);
        s += length + (s[length] == ',');
    }
}

/* HOST(options), HOST, or (options); `defaults` comes from a word "-options". */
static void client_word(struct conf_parser *p, struct conf_pos pos, struct conf_export *export,
    const char *word, const char *defaults)
{
    const char *open = strchr(word, '(');
    size_t length = strlen(word);
    const char *options = defaults;

    if (open && word[length - 1] != ')') {
        conf_error(&p->notes, pos, "close it with ')', and put no blank into it",
            "'(' is not closed in '%s'", word);
        return;
    }
    if (open == word && export->n_clients)
        conf_warn(&p->notes, pos, "remove the blank in front of '('",
            "%s stands by itself: it exports %s to everybody", word, export->directory);
    if (open) {
        options = conf_strndup(p->notes.arena, open + 1, (size_t)(word + length - 1 - (open + 1)));
        if (defaults)
            options = conf_sprintf(p->notes.arena, "%s,%s", defaults, options);
    }
    const char *host = open ? conf_strndup(p->notes.arena, word, (size_t)(open - word)) : word;
    conf_export_client_add(p, pos, export, host, options);
}

static void parse_export_line(
    struct conf_parser *p, struct conf_exports *exports, const struct conf_line *line)
{
    const char *directory = line->words[0], *defaults = NULL;
    size_t length = strlen(directory);

    if (length > 1 && directory[0] == '"' && directory[length - 1] == '"')
        directory = conf_strndup(p->notes.arena, directory + 1, length - 2);
    if (directory[0] != '/') {
        conf_error(&p->notes, line->pos, "write an absolute path",
            "'%s' is not a directory to export", directory);
        return;
    }
    struct conf_export *export =
        CONF_PUSH_TO(struct conf_export, p->notes.arena, exports->items, exports->n);
    *export = (struct conf_export){
        .directory = directory, .file = line->pos.file, .line = line->pos.line};
    for (size_t i = 1; i < line->n; i++) {
        if (line->words[i][0] == '-')
            defaults = line->words[i] + 1;
        else
            client_word(p, line->pos, export, line->words[i], defaults);
    }
    if (!export->n_clients)
        conf_export_client_add(p, line->pos, export, "*", defaults);
}

void conf_parse_exports(struct conf_parser *p, const char *path)
{
    struct hv_text text = {0};
    struct conf_file_meta meta;
    struct conf_line line;

    if (!conf_parse_read(p, path, (struct conf_pos){0}, &text, &meta)) {
        struct conf_exports *exports = conf_alloc(p->notes.arena, sizeof *exports);
        struct conf_lines lines = {.notes = &p->notes,
            .at = hv_text_str(&text),
            .end = hv_text_str(&text) + text.length,
            .pos = {path, 1},
            .join = true};
        while (conf_lines_next(&lines, &line))
            parse_export_line(p, exports, &line);
        p->conf->exports = exports;
    }
    hv_text_free(&text);
}
