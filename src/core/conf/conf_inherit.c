/* SPDX-License-Identifier: Apache-2.0 */
/* On the tree: host volumes inherit from the resource, and who is who.  What every host must have. */
#include <stdlib.h>
#include <string.h>

#include "conf_parse.h"

struct conf_tree_resource *conf_tree_find(const struct conf_tree *tree, const char *name)
{
    for (size_t i = 0; i < tree->n_resources; i++)
        if (!strcmp(tree->resources[i]->name, name))
            return tree->resources[i];
    return NULL;
}

bool conf_tree_host_named(const struct conf_tree_host *host, const char *name)
{
    for (size_t i = 0; i < host->n_names; i++)
        if (!strcmp(host->names[i], name))
            return true;
    return false;
}

static struct conf_tree_volume *volume_find(const struct conf_tree_volumes *volumes, int64_t vnr)
{
    for (size_t i = 0; i < volumes->n; i++)
        if (volumes->items[i]->vnr == vnr)
            return volumes->items[i];
    return NULL;
}

static int by_vnr(const void *a, const void *b)
{
    const struct conf_tree_volume *const *va = a, *const *vb = b;

    return ((*va)->vnr > (*vb)->vnr) - ((*va)->vnr < (*vb)->vnr);
}

static void volume_inherit(struct conf_tree_volume *v, const struct conf_tree_volume *from)
{
    v->resource_options = &from->disk_options;
    if (!v->device_pos.line) {
        v->device = from->device;
        v->has_minor = from->has_minor;
        v->minor = from->minor;
        v->device_pos = from->device_pos;
    }
    if (!v->disk_pos.line) {
        v->disk = from->disk;
        v->disk_pos = from->disk_pos;
    }
    if (!v->meta_pos.line) {
        v->meta_disk = from->meta_disk;
        v->meta_kind = from->meta_kind;
        v->meta_index = from->meta_index;
        v->meta_pos = from->meta_pos;
    }
}

static void host_inherit(
    struct conf_parser *p, struct conf_tree_resource *res, struct conf_tree_host *host)
{
    bool implied = res->volumes.n && res->volumes.items[0]->implied;

    if (implied && host->volumes.n && !host->volumes.items[0]->implied)
        conf_error(&p->notes, host->volumes.items[0]->pos, "put all of them into volumes",
            "'volume' here cannot stand beside the resource's statements outside of volumes");
    for (size_t i = 0; i < res->volumes.n; i++) {
        struct conf_tree_volume *from = res->volumes.items[i];
        struct conf_tree_volume *v = volume_find(&host->volumes, from->vnr);
        if (!v) {
            v = conf_alloc(p->notes.arena, sizeof *v);
            v->vnr = from->vnr;
            v->implied = from->implied;
            v->pos = from->pos;
            *CONF_PUSH(p->notes.arena, host->volumes.items, host->volumes.n) = v;
        } else if (v->implied && !from->implied) {
            conf_error(&p->notes, v->pos, "put it into 'volume 0 { }'",
                "a statement outside of the volumes cannot stand beside the resource's volumes");
        }
        volume_inherit(v, from);
    }
    if (host->volumes.n)
        qsort(host->volumes.items, host->volumes.n, sizeof host->volumes.items[0], by_vnr);
}

static void missing(struct conf_parser *p, const struct conf_tree_resource *res,
    const struct conf_tree_host *host, const struct conf_tree_volume *v, const char *what,
    const char *hint)
{
    const char *name = host->n_names                     ? host->names[0]
                       : host->kind == CONF_HOST_STACKED ? host->lower
                                                         : host->address.ip;

    if (v && !v->implied)
        conf_error(&p->notes, host->pos, hint, "resource %s, host %s, volume %d: no %s", res->name,
            name ? name : "?", (int)v->vnr, what);
    else
        conf_error(&p->notes, host->pos, hint, "resource %s, host %s: no %s", res->name,
            name ? name : "?", what);
}

static void host_check(
    struct conf_parser *p, const struct conf_tree_resource *res, struct conf_tree_host *host)
{
    if (!host->address.pos.line)
        missing(p, res, host, NULL, "address", "write 'address IP:PORT;'");
    if (!host->volumes.n)
        missing(p, res, host, NULL, "device", "write 'device /dev/drbdN;'");
    for (size_t i = 0; i < host->volumes.n; i++) {
        struct conf_tree_volume *v = host->volumes.items[i];
        if (!v->device_pos.line)
            missing(p, res, host, v, "device", "write 'device /dev/drbdN;'");
        if (host->kind == CONF_HOST_STACKED)
            continue;
        if (!v->disk_pos.line)
            missing(p, res, host, v, "disk", "write 'disk /dev/…;'");
        if (!v->meta_pos.line)
            missing(p, res, host, v, "meta-disk", "write 'meta-disk internal;'");
    }
}

/* Every host of a resource has the same volumes. */
static void volumes_compare(struct conf_parser *p, const struct conf_tree_resource *res)
{
    for (size_t h = 0; h < res->n_hosts; h++)
        for (size_t i = 0; i < res->hosts[h]->volumes.n; i++) {
            const struct conf_tree_volume *v = res->hosts[h]->volumes.items[i];
            for (size_t o = 0; o < res->n_hosts; o++) {
                const struct conf_tree_volume *other = volume_find(&res->hosts[o]->volumes, v->vnr);
                if (res->hosts[o]->volumes.n && !other)
                    conf_error(&p->notes, res->hosts[o]->pos, "define it on every host",
                        "resource %s: volume %d is missing here, but is at %s:%u", res->name,
                        (int)v->vnr, v->pos.file, v->pos.line);
                if (other && h < o && other->implied != v->implied)
                    conf_error(&p->notes, other->pos, "write it the same way on every host",
                        "resource %s: volume %d stands in 'volume { }' on one host only", res->name,
                        (int)v->vnr);
            }
        }
}

static bool address_is_ours(struct conf_parser *p, const char *ip)
{
    if (p->request->address_is_local)
        return p->request->address_is_local(p->request->address_arg, ip);
    return !strncmp(ip, "127.", 4) || !strcmp(ip, "::1");
}

static bool host_is_me(struct conf_parser *p, const struct conf_tree_host *host)
{
    switch (host->kind) {
    case CONF_HOST_ON:
        return conf_tree_host_named(host, p->request->node);
    case CONF_HOST_FLOATING:
        return host->address.ip && address_is_ours(p, host->address.ip);
    case CONF_HOST_STACKED:
        break;
    }
    for (size_t i = 0; host->lower_resource && i < host->lower_resource->n_hosts; i++) {
        const struct conf_tree_host *lower = host->lower_resource->hosts[i];
        if (lower->kind != CONF_HOST_STACKED && host_is_me(p, lower))
            return true;
    }
    return false;
}

static void host_link(
    struct conf_parser *p, struct conf_tree_resource *res, struct conf_tree_host *host)
{
    if (host->kind != CONF_HOST_STACKED)
        return;
    host->lower_resource = conf_tree_find(p->tree, host->lower);
    if (!host->lower_resource)
        conf_error(&p->notes, host->pos, "name a resource that is defined",
            "resource %s is stacked on top of '%s', which is not defined", res->name, host->lower);
    else if (host->lower_resource->stacked)
        conf_error(&p->notes, host->pos, "stack it on a resource that has disks",
            "resource %s is stacked on top of '%s', which is itself stacked", res->name,
            host->lower);
}

static void resource_inherit(struct conf_parser *p, struct conf_tree_resource *res)
{
    for (size_t i = 0; i < res->n_hosts; i++) {
        struct conf_tree_host *host = res->hosts[i];
        host_link(p, res, host);
        host_inherit(p, res, host);
        host_check(p, res, host);
    }
    if (!res->n_hosts)
        conf_error(&p->notes, res->pos, "write 'on HOST { }' for each of two hosts",
            "resource %s has no host", res->name);
    else if (res->n_hosts == 1)
        conf_error(&p->notes, res->pos, "write 'on HOST { }' for the other one too",
            "resource %s has one host only", res->name);
    volumes_compare(p, res);
}

/* resync-after of a resource that is nowhere is a mistake, and of one that other nodes have is nothing
 * to this one.  Neither is inherited, shown or obeyed. */
static void drop_resync_after(struct conf_parser *p, struct conf_opts *opts)
{
    size_t kept = 0;

    for (size_t i = 0; i < opts->n; i++) {
        const struct conf_opt *opt = &opts->items[i];
        bool keep = opt->def->type != CONF_TYPE_RESOURCE;
        if (!keep) {
            const char *name = conf_strndup(p->notes.arena, opt->value, strcspn(opt->value, "/"));
            const struct conf_tree_resource *other = conf_tree_find(p->tree, name);
            keep = other && other->me;
            if (!other)
                conf_warn(&p->notes, opt->pos, NULL,
                    "resync-after names '%s', which is not defined", name);
        }
        if (keep)
            opts->items[kept++] = *opt;
    }
    opts->n = kept;
}

void conf_inherit(struct conf_parser *p)
{
    struct conf_tree *tree = p->tree;

    for (size_t i = 0; i < tree->n_resources; i++)
        resource_inherit(p, tree->resources[i]);
    for (size_t i = 0; i < tree->n_resources; i++)
        for (size_t h = 0; h < tree->resources[i]->n_hosts; h++) {
            struct conf_tree_resource *res = tree->resources[i];
            if (!res->me && host_is_me(p, res->hosts[h]))
                res->me = res->hosts[h];
        }
    for (size_t i = 0; i < tree->n_resources; i++) {
        struct conf_tree_resource *res = tree->resources[i];
        drop_resync_after(p, &res->sections[CONF_SECTION_DISK]);
        for (size_t v = 0; v < res->volumes.n; v++)
            drop_resync_after(p, &res->volumes.items[v]->disk_options);
        for (size_t h = 0; h < res->n_hosts; h++)
            for (size_t v = 0; v < res->hosts[h]->volumes.n; v++)
                drop_resync_after(p, &res->hosts[h]->volumes.items[v]->disk_options);
    }
}
