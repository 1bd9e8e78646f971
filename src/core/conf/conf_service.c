/* SPDX-License-Identifier: Apache-2.0 */
/* haven.conf's service {} (DESIGN §3), and what is looked up once everything has been read. */
#include <string.h>

#include "conf_parse.h"

enum { RESTARTS_MAX = 1000 };

static struct conf_item *item_add(
    struct conf_parser *p, struct conf_service *s, enum conf_item_kind kind, struct conf_pos pos)
{
    struct conf_item *item = CONF_PUSH_TO(struct conf_item, p->notes.arena, s->items, s->n_items);

    *item = (struct conf_item){
        .kind = kind, .word = "", .script = "", .file = pos.file, .line = pos.line};
    return item;
}

static const char *joined(struct conf_parser *p, const char **words, size_t n, const char *between)
{
    struct hv_text t = {0};

    for (size_t i = 0; i < n; i++)
        hv_text_addf(&t, "%s%s", i ? between : "", words[i]);
    const char *copy = conf_strdup(p->notes.arena, hv_text_str(&t));
    hv_text_free(&t);
    return copy;
}

/* on RESOURCE…; */
static void parse_on(struct conf_parser *p, struct conf_service *s, struct conf_pos pos,
    const char **words, size_t n)
{
    if (n < 2)
        conf_error(&p->notes, pos, "write 'on RESOURCE;'", "'on' names no resource");
    for (size_t i = 1; i < n; i++) {
        struct conf_item *item = item_add(p, s, CONF_ITEM_DRBD, pos);
        item->resource = words[i];
        item->word = conf_sprintf(p->notes.arena, "drbddisk::%s", words[i]);
    }
}

/* address IP[/BITS] [dev NIC] [broadcast IP]; */
static void parse_service_address(struct conf_parser *p, struct conf_service *s,
    struct conf_pos pos, const char **words, size_t n)
{
    static const char *const hint = "write 'address IP/BITS dev INTERFACE;'";
    struct conf_item *item;

    if (n < 2 || n % 2) {
        conf_error(&p->notes, pos, hint, "this is not a service address");
        return;
    }
    item = item_add(p, s, CONF_ITEM_ADDRESS, pos);
    conf_address_parse(p, pos, words[1], &item->address);
    for (size_t i = 2; i + 1 < n; i += 2) {
        if (!strcmp(words[i], "dev") &&
            conf_address_device(p->notes.arena, words[i + 1], &item->address))
            continue;
        if (!strcmp(words[i], "broadcast") && conf_value_ipv4(words[i + 1]))
            item->address.broadcast = words[i + 1];
        else
            conf_error(&p->notes, pos, hint, "address cannot have '%s %s'", words[i], words[i + 1]);
    }
    item->word = conf_sprintf(p->notes.arena, "IPaddr2::%s%s%s", words[1],
        item->address.device[0] ? "/" : "", item->address.device);
}

/* mount DIR [type T] [options O] [device D]; */
static void parse_mount(struct conf_parser *p, struct conf_service *s, struct conf_pos pos,
    const char **words, size_t n)
{
    static const char *const hint = "write 'mount DIRECTORY type TYPE;'";

    if (n < 2 || n % 2 || words[1][0] != '/') {
        conf_error(&p->notes, pos, hint, "this is not a mount");
        return;
    }
    struct conf_item *item = item_add(p, s, CONF_ITEM_FILESYSTEM, pos);
    item->mount =
        (struct conf_mount){.device = "", .directory = words[1], .type = "", .options = ""};
    for (size_t i = 2; i + 1 < n; i += 2) {
        if (!strcmp(words[i], "type"))
            item->mount.type = words[i + 1];
        else if (!strcmp(words[i], "options"))
            item->mount.options = words[i + 1];
        else if (!strcmp(words[i], "device"))
            item->mount.device = words[i + 1];
        else
            conf_error(&p->notes, pos, hint, "mount cannot have '%s'", words[i]);
    }
}

/* export DIR to HOST (options) [HOST (options)]…; */
static void parse_export(struct conf_parser *p, struct conf_service *s, struct conf_pos pos,
    const char **words, size_t n)
{
    if (n < 4 || words[1][0] != '/' || strcmp(words[2], "to")) {
        conf_error(&p->notes, pos, "write 'export DIRECTORY to NETWORK (rw,sync);'",
            "this is not an export");
        return;
    }
    struct conf_export *export = conf_alloc(p->notes.arena, sizeof *export);
    *export = (struct conf_export){.directory = words[1], .file = pos.file, .line = pos.line};
    for (size_t i = 3; i < n; i++) {
        const char *open = strchr(words[i], '('), *options = open;
        const char *host =
            open ? conf_strndup(p->notes.arena, words[i], (size_t)(open - words[i])) : words[i];
        if (!options && i + 1 < n && words[i + 1][0] == '(')
            options = words[++i];
        if (options && options[strlen(options) - 1] == ')')
            options = conf_strndup(p->notes.arena, options + 1, strlen(options) - 2);
        conf_export_client_add(p, pos, export, host, options);
    }
    struct conf_item *item = item_add(p, s, CONF_ITEM_EXPORT, pos);
    item->export = export;
    item->word = conf_sprintf(p->notes.arena, "export::%s", words[1]);
}

static void parse_server(struct conf_parser *p, struct conf_service *s, struct conf_pos pos,
    const char **words, size_t n)
{
    static const char *const names[] = {"auto", "kernel", "ganesha"};
    struct conf_item *item = item_add(p, s, CONF_ITEM_NFS_SERVER, pos);

    item->word = "nfs-server";
    for (int i = 0; n == 2 && i < 3; i++)
        if (!strcmp(words[1], names[i])) {
            item->server = (enum conf_nfs_server)i;
            return;
        }
    conf_error(&p->notes, pos, conf_one_of(&p->notes, names, 3), "server cannot be '%s'",
        joined(p, words + 1, n - 1, " "));
}

static void parse_scalar(struct conf_parser *p, struct conf_service *s, struct conf_pos pos,
    const char **words, size_t n)
{
    if (n != 2)
        conf_error(&p->notes, pos, NULL, "%s takes one value, not %zu", words[0], n - 1);
    else if (!strcmp(words[0], "prefer"))
        s->node = conf_lower(p->notes.arena, words[1]);
    else if (!strcmp(words[0], "monitor")) {
        if (!conf_value_time(words[1], true, &s->monitor_ms) || !s->monitor_ms)
            conf_error(&p->notes, pos, "write a number and ms, s or m", "monitor cannot be '%s'",
                words[1]);
    } else if (!conf_value_u32(words[1], 0, RESTARTS_MAX, &s->restarts)) {
        conf_error(&p->notes, pos, conf_sprintf(p->notes.arena, "use 0 to %d", RESTARTS_MAX),
            "restart cannot be '%s'", words[1]);
    }
}

static void parse_script(struct conf_parser *p, struct conf_service *s, struct conf_pos pos,
    const char **words, size_t n)
{
    if (n < 2) {
        conf_error(&p->notes, pos, "write 'script NAME ARGUMENTS;'", "script has no name");
        return;
    }
    struct conf_item *item = item_add(p, s, CONF_ITEM_SCRIPT, pos);
    item->script = words[1];
    item->args = (const char *const *)words + 2;
    item->n_args = n - 2;
    item->word = joined(p, words + 1, n - 1, "::");
    conf_script_check(p, pos, item->script);
}

static void parse_statement(struct conf_parser *p, struct conf_service *s)
{
    static const struct {
        const char *word;
        void (*parse)(
            struct conf_parser *, struct conf_service *, struct conf_pos, const char **, size_t);
    } rows[] = {{"on", parse_on}, {"address", parse_service_address}, {"mount", parse_mount},
        {"export", parse_export}, {"server", parse_server}, {"script", parse_script},
        {"prefer", parse_scalar}, {"monitor", parse_scalar}, {"restart", parse_scalar}};
    enum { ROWS = sizeof rows / sizeof rows[0] };
    struct conf_pos pos = p->lx->token.pos;
    const char **words, *known[ROWS];
    size_t n = conf_lexer_words(p->lx, &words);

    for (size_t i = 0; i < ROWS; i++) {
        known[i] = rows[i].word;
        if (n && !strcmp(words[0], rows[i].word)) {
            rows[i].parse(p, s, pos, words, n);
            conf_parse_semicolon(p);
            return;
        }
    }
    const char *hint = n ? conf_did_you_mean(&p->notes, words[0], known, ROWS) : NULL;
    conf_error(&p->notes, pos, hint ? hint : conf_one_of(&p->notes, known, ROWS),
        "'%s' is not known in service { }", n ? words[0] : p->lx->token.text);
    conf_parse_skip_statement(p);
}

void conf_parse_service(struct conf_parser *p)
{
    struct conf_pos pos = p->lx->token.pos;

    conf_lexer_next(p->lx);
    const char *name = conf_parse_name(p, "the name of the service");
    if (!name || !conf_parse_char(p, '{', conf_sprintf(p->notes.arena, "'service %s'", name)))
        return;
    for (size_t i = 0; i < p->n_services; i++)
        if (!strcmp(p->services[i].name, name))
            conf_error(&p->notes, pos, "give it another name",
                "service '%s' stands a second time; first at %s:%u", name, p->services[i].file,
                p->services[i].line);
    struct conf_service *s = conf_service_new(p, name, "", pos);
    while (conf_parse_more(p, pos, conf_sprintf(p->notes.arena, "service %s", name)))
        parse_statement(p, s);
}
