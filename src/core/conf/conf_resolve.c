/* SPDX-License-Identifier: Apache-2.0 */
/* From the tree to the model: options inherited, everything looked up. */
#include <string.h>

#include "conf_parse.h"

static void apply(const struct conf_opts *opts, void *base)
{
    for (size_t i = 0; opts && i < opts->n; i++)
        conf_option_store(opts->items[i].def, opts->items[i].value, base);
}

/* Defaults, then common, then the resource. */
static void resolve_section(
    struct conf_parser *p, const struct conf_tree_resource *res, enum conf_section s, void *base)
{
    conf_options_defaults(s, base);
    if (p->tree->common)
        apply(&p->tree->common->sections[s], base);
    apply(&res->sections[s], base);
}

/* The last `resync-after` that counts for a volume, or NULL. */
static const struct conf_opt *resync_after(
    struct conf_parser *p, const struct conf_tree_resource *res, const struct conf_tree_volume *v)
{
    const struct conf_opts *levels[] = {
        p->tree->common ? &p->tree->common->sections[CONF_SECTION_DISK] : NULL,
        &res->sections[CONF_SECTION_DISK], v->resource_options, &v->disk_options};
    const struct conf_opt *found = NULL;

    for (size_t l = 0; l < sizeof levels / sizeof levels[0]; l++)
        for (size_t i = 0; levels[l] && i < levels[l]->n; i++)
            if (levels[l]->items[i].def->type == CONF_TYPE_RESOURCE)
                found = &levels[l]->items[i];
    return found;
}

/* NAME, NAME/VNR or a minor number; -1 for none, and for one that this node has not. */
static int32_t resync_after_minor(struct conf_parser *p, const struct conf_tree_resource *res,
    const struct conf_tree_host *host, const struct conf_opt *opt)
{
    const char *slash = strchr(opt->value, '/');
    const char *name =
        slash ? conf_strndup(p->notes.arena, opt->value, (size_t)(slash - opt->value)) : opt->value;
    struct conf_tree_resource *other = conf_tree_find(p->tree, name);
    uint32_t vnr = 0;

    if (other == res && !slash)
        return -1; /* common { } says it of everybody */
    if (!other || !other->me || host != res->me)
        return -1;
    if (slash && !conf_value_u32(slash + 1, 0, CONF_VNR_MAX, &vnr)) {
        conf_error(&p->notes, opt->pos, "write RESOURCE/VOLUME", "resync-after: '%s' is no volume",
            opt->value);
        return -1;
    }
    if (!slash && other->me->volumes.n > 1) {
        conf_error(&p->notes, opt->pos,
            conf_sprintf(
                p->notes.arena, "write '%s/%d'", name, (int)other->me->volumes.items[0]->vnr),
            "resync-after names '%s', which has %zu volumes", name, other->me->volumes.n);
        return -1;
    }
    for (size_t i = 0; i < other->me->volumes.n; i++)
        if (!slash || other->me->volumes.items[i]->vnr == vnr)
            return (int32_t)other->me->volumes.items[i]->minor;
    conf_error(
        &p->notes, opt->pos, NULL, "resync-after names '%s', which has no volume %u", name, vnr);
    return -1;
}

static void resolve_volume(struct conf_parser *p, const struct conf_tree_resource *res,
    const struct conf_tree_host *host, const struct conf_tree_volume *v, struct conf_volume *out)
{
    struct conf_arena *arena = p->notes.arena;

    out->vnr = (uint32_t)v->vnr;
    out->minor = v->minor;
    out->device = v->device ? v->device : conf_sprintf(arena, "/dev/drbd%u", v->minor);
    out->disk = v->disk ? v->disk : "none";
    if (host->kind == CONF_HOST_STACKED && !v->disk && host->lower_resource &&
        host->lower_resource->n_hosts && host->lower_resource->hosts[0]->volumes.n)
        out->disk = conf_sprintf(
            arena, "/dev/drbd%u", host->lower_resource->hosts[0]->volumes.items[0]->minor);
    out->meta_kind = v->meta_disk ? v->meta_kind : CONF_META_INTERNAL;
    out->meta_disk = out->meta_kind == CONF_META_INTERNAL ? out->disk : v->meta_disk;
    out->meta_index = v->meta_index;
    resolve_section(p, res, CONF_SECTION_DISK, &out->disk_options);
    apply(v->resource_options, &out->disk_options);
    apply(&v->disk_options, &out->disk_options);
    const struct conf_opt *after = resync_after(p, res, v);
    out->disk_options.resync_after_minor = after ? resync_after_minor(p, res, host, after) : -1;
}

static void resolve_host(struct conf_parser *p, const struct conf_tree_resource *res,
    const struct conf_tree_host *host, struct conf_host *out)
{
    struct conf_arena *arena = p->notes.arena;
    struct conf_volume *volumes = conf_alloc(arena, (host->volumes.n + 1) * sizeof *volumes);
    const char **one = conf_alloc(arena, sizeof *one);

    out->family = host->address.family;
    out->address = host->address.ip ? host->address.ip : "";
    out->port = host->address.port;
    out->floating = host->kind == CONF_HOST_FLOATING;
    out->lower = host->lower;
    out->names = (const char *const *)host->names;
    out->n_names = host->n_names;
    *one = out->address;
    if (host->kind == CONF_HOST_FLOATING) {
        out->names = one;
        out->n_names = 1;
    } else if (host->kind == CONF_HOST_STACKED && host->lower_resource) {
        const char **names = NULL;
        for (size_t i = 0; i < host->lower_resource->n_hosts; i++)
            for (size_t k = 0; k < host->lower_resource->hosts[i]->n_names; k++)
                *CONF_PUSH(arena, names, out->n_names) = host->lower_resource->hosts[i]->names[k];
        out->names = names;
    }
    for (size_t i = 0; i < host->volumes.n; i++)
        resolve_volume(p, res, host, host->volumes.items[i], &volumes[i]);
    out->implicit_volume = host->volumes.n == 1 && host->volumes.items[0]->implied;
    out->volumes = volumes;
    out->n_volumes = host->volumes.n;
}

static bool is_outdater(const char *command)
{
    size_t length = strcspn(command, " \t");
    const char *end = command + length, *base = end;

    while (base > command && base[-1] != '/')
        base--;
    return end - base == 18 && !strncmp(base, "drbd-peer-outdater", 18);
}

static void resolve_handlers(
    struct conf_parser *p, const struct conf_tree_resource *res, struct conf_resource *out)
{
    const struct conf_opts *levels[] = {
        p->tree->common ? &p->tree->common->sections[CONF_SECTION_HANDLERS] : NULL,
        &res->sections[CONF_SECTION_HANDLERS]};
    struct conf_handler *handlers = conf_alloc(p->notes.arena, CONF_HANDLERS * sizeof *handlers);

    for (int id = 0; id < CONF_HANDLERS; id++) {
        const char *command = NULL;
        for (size_t l = 0; l < 2; l++)
            for (size_t i = 0; levels[l] && i < levels[l]->n; i++)
                if (!strcmp(levels[l]->items[i].def->name, conf_handler_name(id)))
                    command = levels[l]->items[i].value;
        if (command)
            handlers[out->n_handlers++] = (struct conf_handler){
                .id = id, .command = command, .built_in_outdater = is_outdater(command)};
    }
    out->handlers = handlers;
}

static void resolve_startup(
    struct conf_parser *p, const struct conf_tree_resource *res, struct conf_resource *out)
{
    const struct conf_tree_resource *common = p->tree->common;
    const struct conf_tree_resource *from = res->n_become_primary_on || !common ? res : common;

    resolve_section(p, res, CONF_SECTION_STARTUP, &out->startup);
    out->startup.stacked_timeouts = res->stacked_timeouts || (common && common->stacked_timeouts);
    out->startup.become_primary_on = (const char *const *)from->become_primary_on;
    out->startup.n_become_primary_on = from->n_become_primary_on;
}

static void resolve_resource(
    struct conf_parser *p, const struct conf_tree_resource *res, struct conf_resource *out)
{
    struct conf_host *hosts = conf_alloc(p->notes.arena, (res->n_hosts + 1) * sizeof *hosts);

    out->name = res->name;
    out->file = res->pos.file;
    out->line = res->pos.line;
    out->stacked = res->stacked;
    resolve_section(p, res, CONF_SECTION_NET, &out->net);
    resolve_section(p, res, CONF_SECTION_OPTIONS, &out->options);
    resolve_startup(p, res, out);
    resolve_handlers(p, res, out);
    for (size_t i = 0; i < res->n_hosts; i++) {
        resolve_host(p, res, res->hosts[i], &hosts[i]);
        if (res->hosts[i] == res->me) {
            out->me = &hosts[i];
            apply(&res->hosts[i]->options, &out->options);
        }
    }
    if (out->me && res->n_hosts == 2)
        out->peer = &hosts[out->me == hosts ? 1 : 0];
    out->hosts = hosts;
    out->n_hosts = res->n_hosts;
}

static void resolve_global(struct conf_parser *p)
{
    const struct conf_tree_global *from = &p->tree->global;
    struct conf_global *to = &p->conf->global;

    to->minor_count = from->minor_count < 0 ? 0 : (uint32_t)from->minor_count;
    to->dialog_refresh_s = from->dialog_refresh < 0 ? 1 : (uint32_t)from->dialog_refresh;
    to->cmd_timeout_short_s = from->cmd_timeout_short < 0 ? 5 : (uint32_t)from->cmd_timeout_short;
    to->cmd_timeout_medium_s =
        from->cmd_timeout_medium < 0 ? 121 : (uint32_t)from->cmd_timeout_medium;
    to->cmd_timeout_long_s = from->cmd_timeout_long < 0 ? 600 : (uint32_t)from->cmd_timeout_long;
    to->usage_count = from->usage_count < 0 ? 2 : from->usage_count;
    to->disable_ip_verification = from->disable_ip_verification;
    to->udev_always_use_vnr = from->udev_always_use_vnr;
}

void conf_resolve(struct conf_parser *p)
{
    struct conf_resource *resources =
        conf_alloc(p->notes.arena, (p->tree->n_resources + 1) * sizeof *resources);

    resolve_global(p);
    for (size_t i = 0; i < p->tree->n_resources; i++)
        resolve_resource(p, p->tree->resources[i], &resources[i]);
    p->conf->resources = resources;
    p->conf->n_resources = p->tree->n_resources;
}
