/* SPDX-License-Identifier: Apache-2.0 */
/* A resource of the configuration in the words of its agent. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "havend.h"

static void add(struct havend_words *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void add(struct havend_words *w, const char *fmt, ...)
{
    va_list ap;
    char *word = NULL;

    if (w->n == sizeof w->word / sizeof w->word[0])
        return;
    va_start(ap, fmt);
    if (vasprintf(&word, fmt, ap) >= 0)
        w->word[w->n++] = word;
    va_end(ap);
}

static void words_address(struct havend_words *w, const struct conf_address *a)
{
    w->kind = "address";
    add(w, "ip=%s", a->ip);
    if (a->prefix_given)
        add(w, "prefix=%u", a->prefix);
    if (a->device[0])
        add(w, "device=%s", a->device);
    if (!a->ipv6)
        add(w, "label=%s", a->label[0] ? a->label : "auto");
    if (a->broadcast[0])
        add(w, "broadcast=%s", a->broadcast);
}

static void words_export(struct havend_words *w, const struct conf_export *e)
{
    static const char *const squash[] = {
        [CONF_SQUASH_ROOT] = "root", [CONF_SQUASH_NONE] = "none", [CONF_SQUASH_ALL] = "all"};

    for (size_t i = 0; i < e->n_clients; i++) {
        const struct conf_export_client *c = &e->clients[i];
        add(w,
            "export=%s|%s|rw:%d,async:%d,insecure:%d,subtree_check:%d,no_wdelay:%d,crossmnt:%d,"
            "squash:%s,uid:%u,gid:%u,fsid:%s,sec:%s",
            e->directory, c->host, c->read_write, c->async, c->insecure, c->subtree_check,
            c->no_wdelay, c->crossmnt, squash[c->squash], c->anon_uid, c->anon_gid, c->fsid,
            c->sec);
    }
}

/* The mount that has the directory: the longest of those above it. */
static const char *mount_above(const struct conf_service *s, const char *directory)
{
    const char *best = "";

    for (size_t i = 0; i < s->n_items; i++) {
        const char *at =
            s->items[i].kind == CONF_ITEM_FILESYSTEM ? s->items[i].mount.directory : "";
        size_t n = strlen(at);
        if (n > strlen(best) && !strncmp(directory, at, n) &&
            (!directory[n] || directory[n] == '/' || at[n - 1] == '/'))
            best = at;
    }
    return best;
}

/* Each of several servers on one node listens at its own address; a single one everywhere. */
static size_t servers(const struct havend *h)
{
    size_t n = 0;

    for (size_t g = 0; g < h->conf->n_services; g++)
        for (size_t i = 0; i < h->conf->services[g].n_items; i++)
            n += h->conf->services[g].items[i].kind == CONF_ITEM_NFS_SERVER;
    return n;
}

static void words_nfs(const struct havend *h, const struct conf_service *s,
    const struct conf_item *item, struct havend_words *w)
{
    static const char *const names[] = {"auto", "kernel", "ganesha"};
    bool state = false;

    w->kind = "nfs";
    add(w, "name=%s", s->name);
    add(w, "server=%s", names[item->server]);
    for (size_t i = 0; i < s->n_items; i++) {
        if (s->items[i].kind != CONF_ITEM_ADDRESS)
            continue;
        add(w, "scope=%s", s->items[i].address.ip);
        if (servers(h) > 1)
            add(w, "bind=%s", s->items[i].address.ip);
        break;
    }
    for (size_t i = 0; i < s->n_items; i++) {
        if (s->items[i].kind != CONF_ITEM_EXPORT)
            continue;
        const struct conf_export *e = s->items[i].export;
        if (!state)
            add(w, "state=%s/.haven", mount_above(s, e->directory));
        state = true;
        words_export(w, e);
    }
    if (!state)
        add(w, "state=/var/lib/haven/nfs");
}

void havend_words_make(
    const struct havend *h, size_t group, const struct conf_item *item, struct havend_words *out)
{
    const struct conf_service *s = &h->conf->services[group];

    out->n = 0;
    switch (item->kind) {
    case CONF_ITEM_ADDRESS:
        words_address(out, &item->address);
        break;
    case CONF_ITEM_DRBD:
        out->kind = "drbd";
        add(out, "resource=%s", item->resource);
        add(out, "peer=%s", havend_peer_alive(h) ? "alive" : "dead");
        break;
    case CONF_ITEM_FILESYSTEM:
        out->kind = "filesystem";
        add(out, "device=%s", item->mount.device);
        add(out, "directory=%s", item->mount.directory);
        add(out, "type=%s", item->mount.type);
        add(out, "options=%s", item->mount.options);
        break;
    case CONF_ITEM_NFS_SERVER:
    case CONF_ITEM_EXPORT:
        words_nfs(h, s, item, out);
        break;
    case CONF_ITEM_SCRIPT:
        out->kind = "script";
        add(out, "script=%s", item->script);
        for (size_t i = 0; i < item->n_args; i++)
            add(out, "arg=%s", item->args[i]);
        break;
    }
}

void havend_words_free(struct havend_words *w)
{
    while (w->n)
        free(w->word[--w->n]);
}
