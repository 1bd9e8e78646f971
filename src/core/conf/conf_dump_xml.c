/* SPDX-License-Identifier: Apache-2.0 */
#include "conf_dump.h"

#include <string.h>

#include "conf_tree.h"

enum { STEP = 4 };

static void escaped(struct hv_text *out, const char *s)
{
    static const struct {
        char c;
        const char *entity;
    } entities[] = {
        {'<', "&lt;"}, {'>', "&gt;"}, {'&', "&amp;"}, {'"', "&quot;"}, {'\'', "&apos;"}};

    for (; *s; s++) {
        const char *entity = NULL;
        for (size_t i = 0; i < sizeof entities / sizeof entities[0]; i++)
            if (entities[i].c == *s)
                entity = entities[i].entity;
        if (entity)
            hv_text_add(out, entity);
        else
            hv_text_addn(out, s, 1);
    }
}

static void option(struct hv_text *out, int indent, const char *name, const char *value)
{
    hv_text_addf(out, "%*s<option name=\"%s\"", indent, "", name);
    if (value) {
        hv_text_add(out, " value=\"");
        escaped(out, value);
        hv_text_add(out, "\"");
    }
    hv_text_add(out, "/>\n");
}

static void options(struct hv_text *out, int indent, const struct conf_opts *opts)
{
    for (size_t i = 0; i < opts->n; i++)
        option(out, indent, opts->items[i].def->name, opts->items[i].value);
}

static void startup_statements(
    struct hv_text *out, int indent, const struct conf_tree_resource *res)
{
    if (res->stacked_timeouts)
        option(out, indent, "stacked-timeouts", NULL);
    if (!res->n_become_primary_on)
        return;
    struct hv_text names = {0};
    for (size_t i = 0; i < res->n_become_primary_on; i++)
        hv_text_addf(&names, "%s%s", i ? " " : "", res->become_primary_on[i]);
    option(out, indent, "become-primary-on", hv_text_str(&names));
    hv_text_free(&names);
}

static void plugins(struct hv_text *out, int indent, const struct conf_tree_resource *res)
{
    if (!res->n_plugins)
        return;
    hv_text_addf(out, "%*s<section name=\"plugin\">\n", indent, "");
    for (size_t i = 0; i < res->n_plugins; i++)
        option(out, indent + STEP, res->plugins[i], NULL);
    hv_text_addf(out, "%*s</section>\n", indent, "");
}

static void sections(struct hv_text *out, int base, const struct conf_tree_resource *res)
{
    for (enum conf_section s = 0; s < CONF_SECTIONS; s++) {
        bool startup =
            s == CONF_SECTION_STARTUP && (res->stacked_timeouts || res->n_become_primary_on);
        bool plugin = s == CONF_SECTION_PROXY && res->n_plugins;
        if (!res->sections[s].n && !startup && !plugin)
            continue;
        hv_text_addf(out, "%*s<section name=\"%s\">\n", base, "", conf_section_name(s));
        options(out, base + STEP, &res->sections[s]);
        if (startup)
            startup_statements(out, base + STEP, res);
        if (plugin)
            plugins(out, base + STEP, res);
        hv_text_addf(out, "%*s</section>\n", base, "");
    }
}

static void address(
    struct hv_text *out, int indent, const char *name, const struct conf_tree_address *a)
{
    hv_text_addf(out, "%*s<%s family=\"%s\" port=\"%u\">%s</%s>\n", indent, "", name,
        conf_family_name(a->family), a->port, a->ip ? a->ip : "", name);
}

static void element(struct hv_text *out, int indent, const char *name, const char *value)
{
    hv_text_addf(out, "%*s<%s>", indent, "", name);
    escaped(out, value ? value : "");
    hv_text_addf(out, "</%s>\n", name);
}

/* The device that a stacked resource has for a disk on this node; on the other nodes drbdadm says nothing. */
static const char *lower_device(const struct conf_tree_host *host)
{
    const struct conf_tree_host *me = host->lower_resource ? host->lower_resource->me : NULL;

    return me && me->volumes.n ? me->volumes.items[0]->device : NULL;
}

static void volume(struct hv_text *out, int base, const struct conf_tree_host *host,
    const struct conf_tree_volume *v)
{
    hv_text_addf(out, "%*s<volume vnr=\"%d\">\n", base, "", (int)v->vnr);
    if (v->disk_options.n) {
        hv_text_addf(out, "%*s<section name=\"disk\">\n", base + STEP, "");
        options(out, base + 2 * STEP, &v->disk_options);
        hv_text_addf(out, "%*s</section>\n", base + STEP, "");
    }
    hv_text_addf(out, "%*s<device minor=\"%u\">", base + STEP, "", v->minor);
    escaped(out, v->device ? v->device : "");
    hv_text_add(out, "</device>\n");
    if (host->kind == CONF_HOST_STACKED) {
        element(out, base + STEP, "disk", lower_device(host));
        element(out, base + STEP, "meta-disk", "internal");
    } else {
        element(out, base + STEP, "disk", v->disk);
        if (v->meta_kind == CONF_META_INDEXED) {
            hv_text_addf(out, "%*s<meta-disk index=\"%u\">", base + STEP, "", v->meta_index);
            escaped(out, v->meta_disk);
            hv_text_add(out, "</meta-disk>\n");
        } else {
            element(out, base + STEP, "meta-disk", v->meta_disk);
        }
    }
    hv_text_addf(out, "%*s</volume>\n", base, "");
}

static void proxy(struct hv_text *out, int base, const struct conf_tree_proxy *p)
{
    hv_text_addf(out, "%*s<proxy hostname=\"", base, "");
    for (size_t i = 0; i < p->n_names; i++)
        hv_text_addf(out, "%s%s", i ? " " : "", p->names[i]);
    hv_text_add(out, "\">\n");
    address(out, base + STEP, "inside", &p->inside);
    address(out, base + STEP, "outside", &p->outside);
    if (p->options.n) {
        hv_text_addf(out, "%*s<section name=\"options\">\n", base + STEP, "");
        options(out, base + 2 * STEP, &p->options);
        hv_text_addf(out, "%*s</section>\n", base + STEP, "");
    }
    hv_text_addf(out, "%*s</proxy>\n", base, "");
}

static void host_names(struct hv_text *out, const struct conf_tree_host *host)
{
    const struct conf_tree_resource *lower = host->lower_resource;
    bool first = true;

    for (size_t i = 0; i < host->n_names; i++, first = false)
        hv_text_addf(out, "%s%s", first ? "" : " ", host->names[i]);
    for (size_t h = 0; lower && h < lower->n_hosts; h++)
        for (size_t i = 0; i < lower->hosts[h]->n_names; i++, first = false)
            hv_text_addf(out, "%s%s", first ? "" : " ", lower->hosts[h]->names[i]);
}

static void host(struct hv_text *out, int base, const struct conf_tree_host *h)
{
    if (h->kind == CONF_HOST_FLOATING) {
        hv_text_addf(out, "%*s<host floating=\"1\">\n", base, "");
    } else {
        hv_text_addf(out, "%*s<host name=\"", base, "");
        host_names(out, h);
        hv_text_add(out, "\">\n");
    }
    if (h->options.n) {
        hv_text_addf(out, "%*s<section name=\"options\">\n", base + STEP, "");
        options(out, base + 2 * STEP, &h->options);
        hv_text_addf(out, "%*s</section>\n", base + STEP, "");
    }
    for (size_t i = 0; i < h->volumes.n; i++)
        volume(out, base + STEP, h, h->volumes.items[i]);
    address(out, base + STEP, "address", &h->address);
    if (h->proxy)
        proxy(out, base + STEP, h->proxy);
    hv_text_addf(out, "%*s</host>\n", base, "");
}

static void global(struct hv_text *out, const struct conf_tree_global *g)
{
    bool refresh = g->dialog_refresh >= 0 && g->dialog_refresh != 1;

    if (!g->disable_ip_verification && g->minor_count < 0 && !refresh)
        return;
    hv_text_addf(out, "%*s<global>\n", STEP, "");
    if (g->disable_ip_verification)
        hv_text_addf(out, "%*s<disable-ip-verification/>\n", 2 * STEP, "");
    if (g->minor_count >= 0)
        hv_text_addf(out, "%*s<minor-count count=\"%d\"/>\n", 2 * STEP, "", (int)g->minor_count);
    if (refresh)
        hv_text_addf(
            out, "%*s<dialog-refresh refresh=\"%d\"/>\n", 2 * STEP, "", (int)g->dialog_refresh);
    hv_text_addf(out, "%*s</global>\n", STEP, "");
}

static void resource_element(struct hv_text *out, int base, const struct conf_tree_resource *res)
{
    hv_text_addf(out, "%*s<resource name=\"", base, "");
    escaped(out, res->name);
    hv_text_addf(out, "\" conf-file-line=\"%s:%u\">\n", res->pos.file, res->pos.line);
    for (size_t h = 0; h < res->n_hosts; h++)
        host(out, base + STEP, res->hosts[h]);
    sections(out, base + STEP, res);
    hv_text_addf(out, "%*s</resource>\n", base, "");
}

void conf_dump_resource_xml(
    const struct conf *conf, const struct conf_resource *resource, struct hv_text *out)
{
    resource_element(out, 0, conf_tree_find(conf->tree, resource->name));
}

void conf_dump_xml(const struct conf *conf, struct hv_text *out)
{
    const struct conf_tree *tree = conf->tree;

    hv_text_add(out, "<config file=\"");
    escaped(out, conf->file ? conf->file : "");
    hv_text_add(out, "\">\n");
    global(out, &tree->global);
    if (tree->common) {
        hv_text_addf(out, "%*s<common>\n", STEP, "");
        sections(out, 2 * STEP, tree->common);
        hv_text_addf(out, "%*s</common>\n", STEP, "");
    }
    for (size_t i = 0; i < tree->n_resources; i++)
        resource_element(out, STEP, tree->resources[i]);
    hv_text_add(out, "</config>\n");
}
