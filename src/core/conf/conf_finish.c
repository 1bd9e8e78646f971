/* SPDX-License-Identifier: Apache-2.0 */
/* Services, once everything has been read: devices are looked up, the order of service {} is made,
 * the NFS server that nobody wrote is put in, and what must hold is checked. */
#include <string.h>

#include "conf_parse.h"

static struct conf_pos item_pos(const struct conf_item *item)
{
    return (struct conf_pos){item->file, item->line};
}

/* Items are ours until conf_read() returns. */
static struct conf_item *items_of(const struct conf_service *s)
{
    return (struct conf_item *)(void *)s->items;
}

/* The volume that a device of a mount is: by its name, its minor, or udev's by-res link. */
static const struct conf_volume *device_find(
    struct conf_parser *p, const char *device, const struct conf_resource **resource)
{
    uint32_t minor = UINT32_MAX, vnr = 0;

    if (!strncmp(device, "/dev/drbd/by-res/", 17)) {
        const char *name = device + 17, *slash = strchr(name, '/');
        size_t length = slash ? (size_t)(slash - name) : strlen(name);
        *resource = conf_resource_find(p->conf, conf_strndup(p->notes.arena, name, length));
        if (!*resource || !(*resource)->n_hosts ||
            (slash && !conf_value_u32(slash + 1, 0, CONF_VNR_MAX, &vnr)))
            return NULL;
        return conf_volume_find((*resource)->me ? (*resource)->me : &(*resource)->hosts[0], vnr);
    }
    if (!strncmp(device, "/dev/drbd", 9))
        conf_value_u32(device + 9, 0, CONF_MINOR_MAX, &minor);
    for (size_t r = 0; r < p->conf->n_resources; r++) {
        *resource = &p->conf->resources[r];
        const struct conf_host *host = (*resource)->me ? (*resource)->me : (*resource)->hosts;
        for (size_t i = 0; (*resource)->n_hosts && i < host->n_volumes; i++)
            if (!strcmp(host->volumes[i].device, device) || host->volumes[i].minor == minor)
                return &host->volumes[i];
    }
    return NULL;
}

static const char *resources_hint(struct conf_parser *p, const char *name)
{
    const char **names = NULL;
    size_t n = 0;

    for (size_t i = 0; i < p->conf->n_resources; i++)
        *CONF_PUSH(p->notes.arena, names, n) = p->conf->resources[i].name;
    const char *hint = conf_did_you_mean(&p->notes, name, names, n);
    return hint ? hint : (n ? conf_one_of(&p->notes, names, n) : "define it in drbd.conf");
}

static const char *devices_hint(struct conf_parser *p, const char *device)
{
    const char **names = NULL;
    size_t n = 0;

    for (size_t r = 0; r < p->conf->n_resources; r++) {
        const struct conf_resource *res = &p->conf->resources[r];
        const struct conf_host *host = res->me ? res->me : res->hosts;
        for (size_t i = 0; res->n_hosts && i < host->n_volumes; i++)
            *CONF_PUSH(p->notes.arena, names, n) = host->volumes[i].device;
    }
    const char *hint = conf_did_you_mean(&p->notes, device, names, n);
    return hint ? hint : (n ? conf_one_of(&p->notes, names, n) : NULL);
}

static void finish_drbd(struct conf_parser *p, const struct conf_item *item)
{
    if (item->resource[0] && !conf_resource_find(p->conf, item->resource))
        conf_error(&p->notes, item_pos(item), resources_hint(p, item->resource),
            "resource '%s' is not defined", item->resource);
}

/* service {} may leave the device to be that of its first resource. */
static void default_device(
    struct conf_parser *p, const struct conf_service *s, struct conf_item *item)
{
    for (size_t i = 0; i < s->n_items && !item->mount.device[0]; i++) {
        const struct conf_resource *res = s->items[i].kind == CONF_ITEM_DRBD
                                              ? conf_resource_find(p->conf, s->items[i].resource)
                                              : NULL;
        const struct conf_host *host =
            res && res->n_hosts ? (res->me ? res->me : res->hosts) : NULL;
        if (host && host->n_volumes)
            item->mount.device = host->volumes[0].device;
    }
    item->word = conf_sprintf(p->notes.arena, "Filesystem::%s::%s%s%s", item->mount.device,
        item->mount.directory, item->mount.type[0] ? "::" : "", item->mount.type);
}

static void finish_mount(struct conf_parser *p, const struct conf_service *s, size_t at)
{
    struct conf_item *item = &items_of(s)[at];
    const struct conf_resource *res = NULL;
    size_t i = 0;

    if (!item->script[0])
        default_device(p, s, item);
    if (!item->mount.device[0]) {
        if (!item->script[0])
            conf_error(&p->notes, item_pos(item), "write 'on RESOURCE;', or 'device DEVICE'",
                "mount %s: there is no device to mount", item->mount.directory);
        return;
    }
    const struct conf_volume *v = device_find(p, item->mount.device, &res);
    if (!v) {
        if (!strncmp(item->mount.device, "/dev/drbd", 9))
            conf_error(&p->notes, item_pos(item), devices_hint(p, item->mount.device),
                "device %s belongs to no resource", item->mount.device);
        return;
    }
    item->mount.resource = res->name;
    item->mount.vnr = v->vnr;
    while (i < s->n_items &&
           (s->items[i].kind != CONF_ITEM_DRBD || strcmp(s->items[i].resource, res->name)))
        i++;
    if (i == s->n_items)
        conf_error(&p->notes, item_pos(item),
            conf_sprintf(p->notes.arena,
                item->script[0] ? "put drbddisk::%s in front of it" : "write 'on %s;'", res->name),
            "%s is mounted, but the group does not make resource %s Primary", item->mount.device,
            res->name);
    else if (i > at && item->script[0])
        conf_error(&p->notes, item_pos(item),
            conf_sprintf(p->notes.arena, "put drbddisk::%s in front of it", res->name),
            "%s is mounted before resource %s is Primary", item->mount.device, res->name);
}

/* service {}: on, mount, server, export, script, address; each kind in the order written. */
static void order_items(struct conf_parser *p, struct conf_service *s)
{
    static const enum conf_item_kind order[] = {CONF_ITEM_DRBD, CONF_ITEM_FILESYSTEM,
        CONF_ITEM_NFS_SERVER, CONF_ITEM_EXPORT, CONF_ITEM_SCRIPT, CONF_ITEM_ADDRESS};
    const struct conf_item *sorted = NULL;
    size_t n = 0;

    for (size_t k = 0; k < sizeof order / sizeof order[0]; k++)
        for (size_t i = 0; i < s->n_items; i++)
            if (s->items[i].kind == order[k])
                *CONF_PUSH_TO(struct conf_item, p->notes.arena, sorted, n) = s->items[i];
    s->items = sorted;
}

static bool is_below(const char *path, const char *directory)
{
    size_t length = strlen(directory);

    while (length && directory[length - 1] == '/')
        length--;
    return !strncmp(path, directory, length) && (path[length] == '/' || !path[length]);
}

/* The mount of the service that the directory lies on: the deepest one. */
static const struct conf_item *mount_of(const struct conf_service *s, const char *directory)
{
    const struct conf_item *best = NULL;

    for (size_t i = 0; i < s->n_items; i++) {
        const struct conf_item *item = &s->items[i];
        if (item->kind == CONF_ITEM_FILESYSTEM && item->mount.directory[0] &&
            is_below(directory, item->mount.directory) &&
            (!best || strlen(item->mount.directory) > strlen(best->mount.directory)))
            best = item;
    }
    return best;
}

static struct conf_item implied_item(const struct conf_item *beside, enum conf_item_kind kind,
    const char *word, const struct conf_export *export)
{
    return (struct conf_item){.kind = kind,
        .word = word,
        .implied = true,
        .script = "",
        .export = export,
        .file = beside->file,
        .line = beside->line};
}

/* Exports on a file system of the group need a server there: right after the mount, so that scripts
 * further right find it running. */
static void imply_server(struct conf_parser *p, struct conf_service *s)
{
    const struct conf_exports *exports = p->conf->exports;
    const struct conf_item *items = NULL;
    size_t n = 0;
    bool server = false;

    for (size_t i = 0; i < s->n_items; i++) {
        *CONF_PUSH_TO(struct conf_item, p->notes.arena, items, n) = s->items[i];
        for (size_t e = 0; exports && e < exports->n; e++) {
            const struct conf_export *export = &exports->items[e];
            if (s->items[i].kind != CONF_ITEM_FILESYSTEM ||
                mount_of(s, export->directory) != &s->items[i])
                continue;
            if (!server)
                *CONF_PUSH_TO(struct conf_item, p->notes.arena, items, n) =
                    implied_item(&s->items[i], CONF_ITEM_NFS_SERVER, "nfs-server", NULL);
            server = true;
            *CONF_PUSH_TO(struct conf_item, p->notes.arena, items, n) =
                implied_item(&s->items[i], CONF_ITEM_EXPORT,
                    conf_sprintf(p->notes.arena, "export::%s", export->directory), export);
        }
    }
    s->items = items;
    s->n_items = n;
}

/* In service {}: exports lie on a mount, and bring their server with them. */
static void finish_exports(struct conf_parser *p, struct conf_service *s)
{
    const struct conf_item *first = NULL;
    bool server = false;

    for (size_t i = 0; i < s->n_items; i++) {
        const struct conf_item *item = &s->items[i];
        server |= item->kind == CONF_ITEM_NFS_SERVER;
        if (item->kind != CONF_ITEM_EXPORT)
            continue;
        first = first ? first : item;
        if (!mount_of(s, item->export->directory))
            conf_error(&p->notes, item_pos(item), "export a directory that the service mounts",
                "export %s: no mount of this service is above it", item->export->directory);
    }
    if (!first || server)
        return;
    struct conf_item implied = implied_item(first, CONF_ITEM_NFS_SERVER, "nfs-server", NULL);
    *CONF_PUSH_TO(struct conf_item, p->notes.arena, s->items, s->n_items) = implied;
}

static void check_node(struct conf_parser *p, const struct conf_service *s)
{
    const char **names = NULL;
    size_t n = 0;

    if (!s->node[0] || !p->cluster || conf_cluster_node_find(p->cluster, s->node))
        return;
    for (size_t i = 0; i < p->cluster->n_nodes; i++)
        *CONF_PUSH(p->notes.arena, names, n) = p->cluster->nodes[i].name;
    const char *hint = conf_did_you_mean(&p->notes, s->node, names, n);
    if (n)
        conf_error(&p->notes, (struct conf_pos){s->file, s->line},
            hint ? hint : conf_one_of(&p->notes, names, n),
            "service %s prefers '%s', which is not a node of the cluster", s->name, s->node);
}

void conf_finish_services(struct conf_parser *p)
{
    for (size_t k = 0; k < p->n_services; k++) {
        struct conf_service *s = &p->services[k];
        if (p->services_from_haven) {
            check_node(p, s);
            order_items(p, s);
            finish_exports(p, s);
            order_items(p, s);
        }
        for (size_t i = 0; i < s->n_items; i++) {
            if (s->items[i].kind == CONF_ITEM_DRBD)
                finish_drbd(p, &s->items[i]);
            if (s->items[i].kind == CONF_ITEM_FILESYSTEM)
                finish_mount(p, s, i);
        }
        if (!p->services_from_haven)
            imply_server(p, s);
    }
    p->conf->services = p->services;
    p->conf->n_services = p->n_services;
}
