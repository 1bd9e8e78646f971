/* SPDX-License-Identifier: Apache-2.0 */
/* Which files are read, in which order; and the small look-ups of conf.h. */
#include <stdlib.h>
#include <string.h>

#include "conf_parse.h"

const char *conf_parse_rooted(struct conf_parser *p, const char *path)
{
    const char *root = p->request->files.root;

    return root && root[0] ? conf_sprintf(p->notes.arena, "%s%s", root, path) : path;
}

int conf_parse_read(struct conf_parser *p, const char *path, struct conf_pos from,
    struct hv_text *text, struct conf_file_meta *meta)
{
    int rc = p->request->files.read(p->request->files.arg, path, text, meta);

    if (!rc && text->length > CONF_FILE_BYTES_MAX) {
        conf_error(&p->notes, (struct conf_pos){path, 0}, NULL, "is larger than %d bytes",
            CONF_FILE_BYTES_MAX);
        return HV_EINVAL;
    }
    if (!rc && text->length && memchr(text->s, 0, text->length)) {
        conf_error(
            &p->notes, (struct conf_pos){path, 0}, NULL, "holds a zero byte: it is not text");
        return HV_EINVAL;
    }
    if (rc && rc != HV_ENOENT) {
        struct conf_pos pos = from.line ? from : (struct conf_pos){path, 0};
        conf_error(&p->notes, pos, NULL, "cannot read '%s': %s", path, hv_strerror(rc));
    }
    return rc;
}

/* admin §1, with haven.conf in front. */
static int read_main_file(struct conf_parser *p)
{
    static const char *const search[] = {"/etc/haven/haven.conf", "/etc/drbd-84.conf",
        "/etc/drbd-83.conf", "/etc/drbd-82.conf", "/etc/drbd-08.conf", "/etc/drbd.conf"};
    struct conf_pos nowhere = {0};

    if (p->request->config_file) {
        p->conf->file = conf_strdup(p->notes.arena, p->request->config_file);
        int rc = conf_parse_drbd_file(p, p->conf->file, nowhere);
        if (rc == HV_ENOENT)
            conf_error(&p->notes, (struct conf_pos){p->conf->file, 0}, NULL, "does not exist");
        return rc;
    }
    for (size_t i = 0; i < sizeof search / sizeof search[0]; i++) {
        const char *path = conf_parse_rooted(p, search[i]);
        int rc = conf_parse_drbd_file(p, path, nowhere);
        if (rc == HV_ENOENT)
            continue;
        p->conf->file = path;
        return rc;
    }
    return HV_ENOENT;
}

/* What haven.conf does not say comes from Heartbeat's files. */
static void read_cluster_files(struct conf_parser *p)
{
    const char *ha_cf = conf_parse_rooted(p, "/etc/ha.d/ha.cf");

    if (!p->cluster) {
        conf_parse_ha_cf(p, ha_cf);
        if (p->cluster)
            conf_parse_authkeys(p, conf_parse_rooted(p, "/etc/ha.d/authkeys"));
    }
    if (!p->n_services && p->cluster && !p->cluster_from_haven) {
        conf_parse_haresources(p, conf_parse_rooted(p, "/etc/ha.d/haresources"));
        conf_parse_exports(p, conf_parse_rooted(p, "/etc/exports"));
    }
}

static int by_place(const void *a, const void *b)
{
    const struct conf_report *ra = a, *rb = b;
    int c = strcmp(ra->file, rb->file);

    if (!c)
        c = (ra->line > rb->line) - (ra->line < rb->line);
    return c ? c : strcmp(ra->text, rb->text);
}

static void sort_reports(struct conf_reports *reports)
{
    if (reports->n)
        qsort(reports->items, reports->n, sizeof reports->items[0], by_place);
    /* One mistake in common {} may have been met once for each resource. */
    size_t kept = 0;
    for (size_t i = 0; i < reports->n; i++) {
        if (!kept || by_place(&reports->items[kept - 1], &reports->items[i]))
            reports->items[kept++] = reports->items[i];
        else if (reports->items[i].severity == CONF_ERROR)
            reports->errors--;
    }
    reports->n = kept;
}

int conf_read(const struct conf_request *request, struct conf **out)
{
    struct conf_arena *arena = conf_arena_new();
    struct conf *conf = conf_alloc(arena, sizeof *conf);
    struct conf_parser p = {.notes = {.arena = arena, .reports = &conf->reports},
        .request = request,
        .conf = conf,
        .tree = conf_alloc(arena, sizeof *p.tree)};

    *out = conf;
    conf->arena = arena;
    conf->tree = p.tree;
    conf->node = conf_strdup(arena, request->node);
    p.tree->global = (struct conf_tree_global){.minor_count = -1,
        .dialog_refresh = -1,
        .cmd_timeout_short = -1,
        .cmd_timeout_medium = -1,
        .cmd_timeout_long = -1,
        .usage_count = -1};
    int rc = read_main_file(&p);
    size_t unparsed = conf->reports.errors;
    p.services_from_haven = p.n_services > 0;
    conf_inherit(&p);
    conf_resolve(&p);
    conf_check_resources(&p);
    if (request->want_cluster) {
        if (!request->alone)
            read_cluster_files(&p);
        conf_check_cluster(&p);
        conf_finish_services(&p);
        conf->cluster = p.cluster;
    }
    sort_reports(&conf->reports);
    if (rc == HV_ENOENT && request->config_file)
        return rc;
    if (conf->reports.errors)
        return unparsed ? HV_ESYNTAX : HV_EINVAL;
    return rc == HV_ENOENT && p.cluster ? HV_OK : rc;
}

void conf_free(struct conf *conf)
{
    if (conf)
        conf_arena_free(conf->arena);
}

const struct conf_resource *conf_resource_find(const struct conf *conf, const char *name)
{
    for (size_t i = 0; i < conf->n_resources; i++)
        if (!strcmp(conf->resources[i].name, name))
            return &conf->resources[i];
    return NULL;
}

const struct conf_volume *conf_volume_find(const struct conf_host *host, uint32_t vnr)
{
    for (size_t i = 0; i < host->n_volumes; i++)
        if (host->volumes[i].vnr == vnr)
            return &host->volumes[i];
    return NULL;
}

const struct conf_volume *conf_minor_find(
    const struct conf *conf, uint32_t minor, const struct conf_resource **resource)
{
    for (size_t r = 0; r < conf->n_resources; r++) {
        const struct conf_host *me = conf->resources[r].me;
        for (size_t i = 0; me && i < me->n_volumes; i++)
            if (me->volumes[i].minor == minor) {
                *resource = &conf->resources[r];
                return &me->volumes[i];
            }
    }
    return NULL;
}

const struct conf_handler *conf_handler_find(
    const struct conf_resource *resource, enum conf_handler_id id)
{
    for (size_t i = 0; i < resource->n_handlers; i++)
        if (resource->handlers[i].id == id)
            return &resource->handlers[i];
    return NULL;
}

const char *conf_handler_name(enum conf_handler_id id)
{
    static const char *const names[CONF_HANDLERS] = {"pri-on-incon-degr", "pri-lost-after-sb",
        "pri-lost", "initial-split-brain", "split-brain", "fence-peer", "unfence-peer",
        "local-io-error", "before-resync-target", "after-resync-target", "before-resync-source",
        "out-of-sync"};

    return id < CONF_HANDLERS ? names[id] : "?";
}

const char *conf_asb_name(uint32_t value, unsigned primaries)
{
    static const char *const names[] = {
        "after-sb-0pri", "after-sb-1pri", "after-sb-2pri", "rr-conflict"};
    const struct conf_option *def =
        primaries < 4 ? conf_option_find(CONF_SECTION_NET, names[primaries]) : NULL;

    for (const struct conf_word *w = def ? def->words : NULL; w && w->word; w++)
        if (w->value == value)
            return w->word;
    return "?";
}

const char *conf_family_name(enum conf_family family)
{
    static const char *const names[] = {"ipv4", "ipv6", "sdp", "ssocks"};

    return (size_t)family < sizeof names / sizeof names[0] ? names[family] : "?";
}
