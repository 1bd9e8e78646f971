/* SPDX-License-Identifier: Apache-2.0 */
/* What must hold between the parts of drbd.conf: things that may be used once only, and options that
 * need or exclude one another (admin §1.2, §1.4). */
#include <stdlib.h>
#include <string.h>

#include "conf_parse.h"

struct use {
    const char *what; /* "disk '/dev/sdb1' on ct74" */
    struct conf_pos pos;
    size_t order;
};

struct uses {
    struct use *items;
    size_t n;
};

static int by_what(const void *a, const void *b)
{
    const struct use *ua = a, *ub = b;
    int c = strcmp(ua->what, ub->what);

    return c ? c : (ua->order > ub->order) - (ua->order < ub->order);
}

static void use_add(struct conf_parser *p, struct uses *uses, struct conf_pos pos, const char *what)
{
    struct use *u = CONF_PUSH(p->notes.arena, uses->items, uses->n);

    *u = (struct use){.what = what, .pos = pos, .order = uses->n};
}

static void uses_volume(struct conf_parser *p, struct uses *uses, const struct conf_tree_volume *v,
    const char *host, bool stacked)
{
    struct conf_arena *arena = p->notes.arena;

    if (v->has_minor)
        use_add(
            p, uses, v->device_pos, conf_sprintf(arena, "device minor %u on %s", v->minor, host));
    if (stacked)
        return;
    if (v->disk && strcmp(v->disk, "none"))
        use_add(p, uses, v->disk_pos, conf_sprintf(arena, "disk '%s' on %s", v->disk, host));
    if (v->meta_disk && v->meta_kind == CONF_META_INDEXED)
        use_add(p, uses, v->meta_pos,
            conf_sprintf(arena, "meta-disk '%s [%u]' on %s", v->meta_disk, v->meta_index, host));
    if (v->meta_disk && v->meta_kind == CONF_META_EXTERNAL)
        use_add(
            p, uses, v->meta_pos, conf_sprintf(arena, "meta-disk '%s' on %s", v->meta_disk, host));
}

/* Whether an earlier section is for the same host: that is one mistake, not one for each of its disks. */
static bool host_is_repeated(
    const struct conf_tree_resource *res, const struct conf_tree_host *host, const char *name)
{
    for (size_t i = 0; i < res->n_hosts && res->hosts[i] != host; i++)
        if (conf_tree_host_named(res->hosts[i], name))
            return true;
    return false;
}

static void uses_host(struct conf_parser *p, struct uses *uses,
    const struct conf_tree_resource *res, const struct conf_tree_host *host)
{
    struct conf_arena *arena = p->notes.arena;
    const struct conf_tree_resource *lower = host->lower_resource;

    if (host->address.ip)
        use_add(p, uses, host->address.pos,
            conf_sprintf(arena, "address %s:%u", host->address.ip, host->address.port));
    for (size_t n = 0; n < host->n_names; n++)
        use_add(p, uses, host->pos,
            conf_sprintf(arena, "host %s in resource %s", host->names[n], res->name));
    for (size_t i = 0; i < host->volumes.n; i++) {
        const struct conf_tree_volume *v = host->volumes.items[i];
        for (size_t n = 0; n < host->n_names; n++)
            if (!host_is_repeated(res, host, host->names[n]))
                uses_volume(p, uses, v, host->names[n], false);
        if (host->kind == CONF_HOST_FLOATING && host->address.ip)
            uses_volume(p, uses, v, host->address.ip, false);
        for (size_t l = 0; lower && l < lower->n_hosts; l++)
            for (size_t n = 0; n < lower->hosts[l]->n_names; n++)
                uses_volume(p, uses, v, lower->hosts[l]->names[n], true);
    }
}

/* Addresses, minors, disks and meta-disks are each used once. */
static void check_uses(struct conf_parser *p)
{
    struct uses uses = {0};

    for (size_t i = 0; i < p->tree->n_resources; i++)
        for (size_t h = 0; h < p->tree->resources[i]->n_hosts; h++)
            uses_host(p, &uses, p->tree->resources[i], p->tree->resources[i]->hosts[h]);
    if (uses.n)
        qsort(uses.items, uses.n, sizeof uses.items[0], by_what);
    for (size_t i = 1, first = 0; i < uses.n; i++) {
        if (strcmp(uses.items[i].what, uses.items[first].what)) {
            first = i;
            continue;
        }
        conf_error(&p->notes, uses.items[i].pos, "use another one", "%s is used already at %s:%u",
            uses.items[i].what, uses.items[first].pos.file, uses.items[first].pos.line);
    }
}

/* Where an option of a resource was written last, for complaints about combinations. */
static struct conf_pos option_pos(struct conf_parser *p, const struct conf_tree_resource *res,
    enum conf_section s, const char *name)
{
    const struct conf_tree_resource *levels[] = {res, p->tree->common};

    for (size_t l = 0; l < 2; l++)
        for (size_t i = levels[l] ? levels[l]->sections[s].n : 0; i > 0; i--)
            if (!strcmp(levels[l]->sections[s].items[i - 1].def->name, name))
                return levels[l]->sections[s].items[i - 1].pos;
    return res->pos;
}

static void check_primaries(
    struct conf_parser *p, const struct conf_tree_resource *tree, const struct conf_resource *res)
{
    struct conf_pos pos = tree->become_primary_pos.line
                              ? tree->become_primary_pos
                              : (p->tree->common ? p->tree->common->become_primary_pos : tree->pos);

    for (size_t i = 0; res->me && i < res->startup.n_become_primary_on; i++) {
        const char *name = res->startup.become_primary_on[i];
        bool known = !strcmp(name, "both");
        if (known && !res->net.allow_two_primaries)
            conf_error(&p->notes, pos, "write 'allow-two-primaries;' in net { }, or name one node",
                "resource %s: become-primary-on both without allow-two-primaries", res->name);
        const char **names = NULL;
        size_t n = 0;
        for (size_t h = 0; h < res->n_hosts; h++)
            for (size_t k = 0; k < res->hosts[h].n_names; k++) {
                known |= !strcmp(res->hosts[h].names[k], name);
                *CONF_PUSH(p->notes.arena, names, n) = res->hosts[h].names[k];
            }
        if (!known)
            conf_error(&p->notes, pos, n ? conf_one_of(&p->notes, names, n) : NULL,
                "resource %s: become-primary-on names '%s', which is none of its hosts", res->name,
                name);
    }
}

static void check_net(
    struct conf_parser *p, const struct conf_tree_resource *tree, const struct conf_resource *res)
{
    const struct conf_net_options *net = &res->net;

    if (net->allow_two_primaries && net->protocol != CONF_PROTOCOL_C)
        conf_error(&p->notes, option_pos(p, tree, CONF_SECTION_NET, "allow-two-primaries"),
            "use protocol C", "resource %s: allow-two-primaries needs protocol C", res->name);
    if (net->on_congestion != CONF_CONGESTION_BLOCK && net->protocol != CONF_PROTOCOL_A)
        conf_error(&p->notes, option_pos(p, tree, CONF_SECTION_NET, "on-congestion"),
            "use on-congestion block, or protocol A",
            "resource %s: on-congestion other than block needs protocol A", res->name);
    if (net->cram_hmac_alg[0] && !net->shared_secret[0])
        conf_error(&p->notes, option_pos(p, tree, CONF_SECTION_NET, "cram-hmac-alg"),
            "write 'shared-secret \"…\";'", "resource %s: cram-hmac-alg without shared-secret",
            res->name);
    if (net->timeout_ds >= net->connect_int_s * 10 || net->timeout_ds >= net->ping_int_s * 10)
        conf_warn(&p->notes, option_pos(p, tree, CONF_SECTION_NET, "timeout"),
            "make it smaller; its unit is a tenth of a second",
            "resource %s: timeout is not shorter than connect-int and ping-int", res->name);
}

static void check_disk(
    struct conf_parser *p, const struct conf_tree_resource *tree, const struct conf_resource *res)
{
    for (size_t h = 0; h < res->n_hosts; h++)
        for (size_t i = 0; i < res->hosts[h].n_volumes; i++) {
            if (res->hosts[h].volumes[i].disk_options.fencing != CONF_FENCING_STONITH ||
                res->net.protocol != CONF_PROTOCOL_A)
                continue;
            conf_error(&p->notes, option_pos(p, tree, CONF_SECTION_DISK, "fencing"),
                "use protocol C", "resource %s: fencing resource-and-stonith forbids protocol A",
                res->name);
            return;
        }
}

/* Most often a host name that is spelled differently. */
static void check_me(struct conf_parser *p)
{
    const char **names = NULL;
    size_t n = 0;

    for (size_t i = 0; i < p->tree->n_resources; i++) {
        const struct conf_tree_resource *res = p->tree->resources[i];
        if (res->me)
            return;
        for (size_t h = 0; h < res->n_hosts; h++)
            for (size_t k = 0; k < res->hosts[h]->n_names; k++)
                *CONF_PUSH(p->notes.arena, names, n) = res->hosts[h]->names[k];
    }
    if (n && !p->conf->reports.errors)
        conf_warn(&p->notes, p->tree->resources[0]->pos,
            conf_did_you_mean(&p->notes, p->request->node, names, n),
            "no resource is for this node, '%s'", p->request->node);
}

void conf_check_resources(struct conf_parser *p)
{
    check_uses(p);
    check_me(p);
    for (size_t i = 0; i < p->conf->n_resources; i++) {
        check_primaries(p, p->tree->resources[i], &p->conf->resources[i]);
        check_net(p, p->tree->resources[i], &p->conf->resources[i]);
        check_disk(p, p->tree->resources[i], &p->conf->resources[i]);
    }
}
