/* SPDX-License-Identifier: Apache-2.0 */
/* haresources (heartbeat §11), translated into groups of items. */
#include <string.h>

#include "conf_parse.h"

enum { MONITOR_DEFAULT_MS = 5000, RESTARTS_DEFAULT = 1 };

struct conf_service *conf_service_new(
    struct conf_parser *p, const char *name, const char *node, struct conf_pos pos)
{
    struct conf_service *s = CONF_PUSH(p->notes.arena, p->services, p->n_services);

    *s = (struct conf_service){.name = name,
        .node = conf_lower(p->notes.arena, node),
        .monitor_ms = MONITOR_DEFAULT_MS,
        .restarts = RESTARTS_DEFAULT,
        .file = pos.file,
        .line = pos.line};
    return s;
}

/* "eth0:1" is the interface eth0 and the label 1. */
bool conf_address_device(struct conf_arena *arena, const char *text, struct conf_address *to)
{
    const char *colon = strchr(text, ':');
    size_t length = colon ? (size_t)(colon - text) : strlen(text);

    if (!length || strchr(text, '/'))
        return false;
    to->device = conf_strndup(arena, text, length);
    to->label = colon ? colon + 1 : "";
    return true;
}

/* "24", or "255.255.255.0". */
static bool parse_prefix(const char *text, struct conf_address *to)
{
    uint32_t bits, mask = 0;
    unsigned octets = 0;

    if (conf_value_u32(text, 0, to->ipv6 ? 128 : 32, &bits)) {
        to->prefix = (uint8_t)bits;
        to->prefix_given = true;
        return true;
    }
    if (to->ipv6 || !conf_value_ipv4(text))
        return false;
    for (const char *s = text; octets < 4; octets++) {
        uint32_t v = 0;
        for (; *s >= '0' && *s <= '9'; s++)
            v = v * 10 + (uint32_t)(*s - '0');
        mask = mask << 8 | v;
        s += *s == '.';
    }
    for (bits = 0; bits < 32 && mask & (1u << (31 - bits)); bits++)
        ;
    to->prefix = (uint8_t)bits;
    to->prefix_given = true;
    return bits == 32 || !(mask << bits);
}

/* heartbeat §11.1: ip[/bits[/nic[:label]][/broadcast]]. */
bool conf_address_parse(
    struct conf_parser *p, struct conf_pos pos, const char *text, struct conf_address *to)
{
    struct conf_arena *arena = p->notes.arena;
    const char *parts[4] = {0}, *s = text;
    size_t n = 0;

    for (; n < 4; n++) {
        size_t length = strcspn(s, "/");
        parts[n] = conf_strndup(arena, s, length);
        s += length;
        if (!*s++) {
            n++;
            break;
        }
    }
    *to = (struct conf_address){.ip = parts[0],
        .ipv6 = conf_value_ipv6(parts[0]),
        .device = "",
        .label = "",
        .broadcast = ""};
    to->prefix = to->ipv6 ? 128 : 32;
    bool good = to->ipv6 || conf_value_ipv4(parts[0]);
    if (good && n > 1)
        good = parse_prefix(parts[1], to);
    if (good && n > 2) {
        if (n == 3 && parts[2][0] >= '0' && parts[2][0] <= '9')
            to->broadcast = parts[2];
        else
            good = conf_address_device(arena, parts[2], to);
    }
    if (good && n > 3)
        to->broadcast = parts[3];
    if (good && to->broadcast[0])
        good = conf_value_ipv4(to->broadcast);
    if (!good)
        conf_error(&p->notes, pos, "write IP/BITS/INTERFACE, such as 192.168.1.82/24/eth0",
            "'%s' is not a service address", text);
    return good;
}

/* "starts like an address": digits, dot, three times, digits. */
static bool looks_like_address(const char *word)
{
    for (int i = 0; i < 4; i++) {
        if (*word < '0' || *word > '9')
            return false;
        while (*word >= '0' && *word <= '9')
            word++;
        if (i < 3 && *word++ != '.')
            return false;
    }
    return true;
}

static void item_address(struct conf_parser *p, struct conf_pos pos, struct conf_item *item)
{
    if (item->n_args != 1) {
        conf_error(&p->notes, pos,
            conf_sprintf(p->notes.arena, "write '%s::IP/BITS/INTERFACE'", item->script),
            "%s takes one argument", item->script);
        return;
    }
    item->kind = CONF_ITEM_ADDRESS;
    conf_address_parse(p, pos, item->args[0], &item->address);
}

static void item_drbd(struct conf_parser *p, struct conf_pos pos, struct conf_item *item)
{
    item->kind = CONF_ITEM_DRBD;
    if (item->n_args == 1) {
        item->resource = item->args[0];
        return;
    }
    item->resource = "";
    conf_error(&p->notes, pos, "write 'drbddisk::RESOURCE', one for each resource",
        "drbddisk takes the name of one resource");
}

static void item_filesystem(struct conf_parser *p, struct conf_pos pos, struct conf_item *item)
{
    item->kind = CONF_ITEM_FILESYSTEM;
    item->mount = (struct conf_mount){.device = "", .directory = "", .type = "", .options = ""};
    if (item->n_args < 2 || item->n_args > 4) {
        conf_error(&p->notes, pos, "write 'Filesystem::DEVICE::DIRECTORY::TYPE'",
            "Filesystem takes a device, a directory, a type and perhaps options");
        return;
    }
    item->mount.device = item->args[0];
    item->mount.directory = item->args[1];
    item->mount.type = item->n_args > 2 ? item->args[2] : "";
    item->mount.options = item->n_args > 3 ? item->args[3] : "";
    if (item->mount.directory[0] != '/')
        conf_error(&p->notes, pos, "write an absolute path", "'%s' is not a directory to mount on",
            item->mount.directory);
}

struct script_names {
    struct conf_parser *p;
    const char **names;
    size_t n;
};

static void script_name(void *to, const char *path)
{
    struct script_names *in = to;
    const char *slash = strrchr(path, '/');

    *CONF_PUSH(in->p->notes.arena, in->names, in->n) =
        conf_strdup(in->p->notes.arena, slash ? slash + 1 : path);
}

/* What may have been meant, of the scripts that are there and of those that need not be. */
static const char *script_hint(struct conf_parser *p, const char *script)
{
    static const char *const known[] = {"IPaddr", "IPaddr2", "IPv6addr", "drbddisk", "Filesystem"};
    struct script_names found = {.p = p};

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        script_name(&found, known[i]);
    if (p->request->files.glob(p->request->files.arg,
            conf_parse_rooted(p, "/etc/ha.d/resource.d/*"), script_name, &found))
        return NULL;
    return conf_did_you_mean(&p->notes, script, found.names, found.n);
}

void conf_script_check(struct conf_parser *p, struct conf_pos pos, const char *script)
{
    static const char *const directories[] = {"/etc/ha.d/resource.d", "/etc/init.d"};

    if (strchr(script, '/')) {
        conf_error(&p->notes, pos, "put it into /etc/ha.d/resource.d and write its name only",
            "'%s' is a path", script);
        return;
    }
    if (p->request->alone)
        return;
    for (size_t i = 0; i < 2; i++) {
        struct hv_text text = {0};
        struct conf_file_meta meta = {0};
        const char *path =
            conf_parse_rooted(p, conf_sprintf(p->notes.arena, "%s/%s", directories[i], script));
        int rc = p->request->files.read(p->request->files.arg, path, &text, &meta);
        hv_text_free(&text);
        if (rc == HV_ENOENT)
            continue;
        if (!rc && !(meta.mode & 0111))
            conf_error(&p->notes, pos, conf_sprintf(p->notes.arena, "chmod +x %s", path),
                "script '%s' cannot be run", script);
        return;
    }
    conf_error(&p->notes, pos, script_hint(p, script),
        "script '%s' is neither in /etc/ha.d/resource.d nor in /etc/init.d", script);
}

static void parse_word(
    struct conf_parser *p, struct conf_pos pos, const char *word, struct conf_item *item)
{
    *item = (struct conf_item){.word = word, .file = pos.file, .line = pos.line};
    if (looks_like_address(word))
        word = conf_sprintf(p->notes.arena, "IPaddr::%s", word);
    for (const char *s = word; s;) {
        const char *next = strstr(s, "::");
        const char *part = conf_strndup(p->notes.arena, s, next ? (size_t)(next - s) : strlen(s));
        /* The colons of an IPv6 address are its own. */
        if (item->script && !strcmp(item->script, "IPv6addr")) {
            part = conf_strdup(p->notes.arena, s);
            next = NULL;
        }
        if (!item->script)
            item->script = part;
        else
            *CONF_PUSH_TO(const char *, p->notes.arena, item->args, item->n_args) = part;
        s = next ? next + 2 : NULL;
    }
    if (!strcmp(item->script, "IPaddr") || !strcmp(item->script, "IPaddr2") ||
        !strcmp(item->script, "IPv6addr"))
        item_address(p, pos, item);
    else if (!strcmp(item->script, "drbddisk"))
        item_drbd(p, pos, item);
    else if (!strcmp(item->script, "Filesystem"))
        item_filesystem(p, pos, item);
    else {
        item->kind = CONF_ITEM_SCRIPT;
        conf_script_check(p, pos, item->script);
    }
}

static void parse_group(struct conf_parser *p, const struct conf_line *line)
{
    const char *node = conf_lower(p->notes.arena, line->words[0]);

    if (p->cluster && p->cluster->n_nodes && !conf_cluster_node_find(p->cluster, node)) {
        const char **names = NULL;
        size_t n = 0;
        for (size_t i = 0; i < p->cluster->n_nodes; i++)
            *CONF_PUSH(p->notes.arena, names, n) = p->cluster->nodes[i].name;
        const char *hint = conf_did_you_mean(&p->notes, node, names, n);
        conf_error(&p->notes, line->pos, hint ? hint : conf_one_of(&p->notes, names, n),
            "'%s' is not a node of the cluster", node);
    }
    if (line->n < 2) {
        conf_error(&p->notes, line->pos, "write 'NODE RESOURCE…'",
            "the group of %s has no resource", node);
        return;
    }
    for (size_t i = 0; i < p->n_services; i++)
        if (!strcmp(p->services[i].name, line->words[1]))
            conf_error(&p->notes, line->pos, "begin each group with a resource of its own",
                "two groups begin with '%s'; first at line %u", line->words[1],
                p->services[i].line);
    struct conf_service *s = conf_service_new(p, line->words[1], node, line->pos);
    for (size_t i = 1; i < line->n; i++) {
        struct conf_item *item =
            CONF_PUSH_TO(struct conf_item, p->notes.arena, s->items, s->n_items);
        parse_word(p, line->pos, line->words[i], item);
    }
}

void conf_parse_haresources(struct conf_parser *p, const char *path)
{
    struct hv_text text = {0};
    struct conf_file_meta meta;
    struct conf_line line;
    struct conf_pos pos = {path, 0};

    int rc = conf_parse_read(p, path, pos, &text, &meta);
    if (rc == HV_ENOENT)
        conf_error(&p->notes, pos, "write it: 'NODE RESOURCE…' for each group",
            "does not exist, but ha.cf does");
    if (!rc) {
        struct conf_lines lines = {.notes = &p->notes,
            .at = hv_text_str(&text),
            .end = hv_text_str(&text) + text.length,
            .pos = {path, 1},
            .join = true};
        while (conf_lines_next(&lines, &line))
            parse_group(p, &line);
    }
    hv_text_free(&text);
}
