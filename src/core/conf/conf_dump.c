/* SPDX-License-Identifier: Apache-2.0 */
#include "conf_dump.h"

#include <string.h>

#include "conf_tree.h"

/* Names are padded so that values begin in this column, whatever the indent. */
enum { VALUE_COLUMN = 24, STEP = 4 };

static void line(struct hv_text *out, int indent, const char *name, const char *value)
{
    hv_text_addf(out, "%*s%-*s %3s;\n", indent, "", VALUE_COLUMN - indent, name, value);
}

static bool is_plain(const char *s)
{
    for (; *s; s++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-", *s))
            return false;
    return true;
}

/* Quoted where the lexer would need it.  The text is good until the next call with this scratch. */
static const char *quoted(struct hv_text *scratch, const char *s)
{
    hv_text_free(scratch);
    *scratch = (struct hv_text){0};
    if (*s && is_plain(s))
        return s;
    hv_text_add(scratch, "\"");
    for (; *s; s++)
        hv_text_addf(scratch, "%s%c", *s == '"' || *s == '\\' ? "\\" : "", *s);
    hv_text_add(scratch, "\"");
    return hv_text_str(scratch);
}

static void dump_options(struct hv_text *out, int indent, const struct conf_opts *opts)
{
    struct hv_text scratch = {0};

    for (size_t i = 0; i < opts->n; i++)
        line(out, indent, opts->items[i].def->name, quoted(&scratch, opts->items[i].value));
    hv_text_free(&scratch);
}

static void dump_startup_statements(struct hv_text *out, const struct conf_tree_resource *res)
{
    if (res->stacked_timeouts)
        hv_text_addf(out, "%*sstacked-timeouts;\n", 2 * STEP, "");
    if (!res->n_become_primary_on)
        return;
    struct hv_text names = {0};
    for (size_t i = 0; i < res->n_become_primary_on; i++)
        hv_text_addf(&names, "%s%s", i ? " " : "", res->become_primary_on[i]);
    line(out, 2 * STEP, "become-primary-on", hv_text_str(&names));
    hv_text_free(&names);
}

static void dump_plugins(struct hv_text *out, const struct conf_tree_resource *res)
{
    if (!res->n_plugins)
        return;
    hv_text_addf(out, "%*splugin {\n", 2 * STEP, "");
    for (size_t i = 0; i < res->n_plugins; i++)
        hv_text_addf(out, "%*s%s;\n", 3 * STEP, "", res->plugins[i]);
    hv_text_addf(out, "%*s}\n", 2 * STEP, "");
}

static bool section_is_empty(const struct conf_tree_resource *res, enum conf_section s)
{
    if (s == CONF_SECTION_STARTUP && (res->stacked_timeouts || res->n_become_primary_on))
        return false;
    if (s == CONF_SECTION_PROXY && res->n_plugins)
        return false;
    return !res->sections[s].n;
}

static void dump_sections(struct hv_text *out, const struct conf_tree_resource *res)
{
    for (enum conf_section s = 0; s < CONF_SECTIONS; s++) {
        if (section_is_empty(res, s))
            continue;
        hv_text_addf(out, "%*s%s {\n", STEP, "", conf_section_name(s));
        dump_options(out, 2 * STEP, &res->sections[s]);
        if (s == CONF_SECTION_STARTUP)
            dump_startup_statements(out, res);
        if (s == CONF_SECTION_PROXY)
            dump_plugins(out, res);
        hv_text_addf(out, "%*s}\n", STEP, "");
    }
}

static void dump_number(struct hv_text *out, const char *name, int64_t value, int64_t unsaid)
{
    if (value >= 0 && value != unsaid)
        hv_text_addf(out, "%*s%s %d;\n", STEP, "", name, (int)value);
}

/* drbdadm prints cmd-timeout-medium 600 and -long 0 where neither was written, but only when some
 * other statement makes it print the section at all. */
static void dump_global_section(struct hv_text *out, const struct conf_tree_global *g)
{
    static const char *const usage[] = {"no", "yes", "ask"};
    bool refresh = g->dialog_refresh >= 0 && g->dialog_refresh != 1;
    bool usage_said = g->usage_count == 0 || g->usage_count == 1;

    if (!g->disable_ip_verification && g->minor_count < 0 && !refresh && !usage_said)
        return;
    hv_text_add(out, "global {\n");
    if (g->disable_ip_verification)
        hv_text_addf(out, "%*sdisable-ip-verification;\n", STEP, "");
    dump_number(out, "minor-count", g->minor_count, -1);
    dump_number(out, "dialog-refresh", g->dialog_refresh, 1);
    if (usage_said)
        hv_text_addf(out, "%*susage-count %s;\n", STEP, "", usage[g->usage_count]);
    dump_number(out, "cmd-timeout-short", g->cmd_timeout_short, 5);
    dump_number(
        out, "cmd-timeout-medium", g->cmd_timeout_medium < 0 ? 600 : g->cmd_timeout_medium, 121);
    dump_number(out, "cmd-timeout-long", g->cmd_timeout_long < 0 ? 0 : g->cmd_timeout_long, 600);
    hv_text_add(out, "}\n\n");
}

void conf_dump_global(const struct conf *conf, struct hv_text *out)
{
    hv_text_addf(out, "# %s\n", conf->file ? conf->file : "");
    dump_global_section(out, &conf->tree->global);
    if (conf->tree->common) {
        hv_text_add(out, "common {\n");
        dump_sections(out, conf->tree->common);
        hv_text_add(out, "}\n\n");
    }
}

static void dump_address(
    struct hv_text *out, int indent, const char *name, const struct conf_tree_address *a)
{
    const char *format =
        a->family == CONF_FAMILY_IPV6 ? "%*s%-16s %s [%s]:%u;\n" : "%*s%-16s %s %s:%u;\n";

    hv_text_addf(out, format, indent, "", name, conf_family_name(a->family), a->ip, a->port);
}

static void dump_volume(
    struct hv_text *out, const struct conf_tree_host *host, const struct conf_tree_volume *v)
{
    int indent = v->implied ? 2 * STEP : 3 * STEP;
    struct hv_text scratch = {0};

    if (!v->implied)
        hv_text_addf(out, "%*svolume %d {\n", 2 * STEP, "", (int)v->vnr);
    if (v->disk_options.n) {
        hv_text_addf(out, "%*sdisk {\n", indent, "");
        dump_options(out, indent + STEP, &v->disk_options);
        hv_text_addf(out, "%*s}\n", indent, "");
    }
    hv_text_addf(out, "%*s%-*s", indent, "", VALUE_COLUMN - indent, "device");
    if (v->device)
        hv_text_addf(out, " %s", quoted(&scratch, v->device));
    hv_text_addf(out, " minor %u;\n", v->minor);
    if (host->kind != CONF_HOST_STACKED) {
        line(out, indent, "disk", quoted(&scratch, v->disk ? v->disk : ""));
        const char *meta = quoted(&scratch, v->meta_disk ? v->meta_disk : "");
        if (v->meta_kind == CONF_META_INTERNAL)
            line(out, indent, "meta-disk", meta);
        else if (v->meta_kind == CONF_META_EXTERNAL)
            hv_text_addf(out, "%*s%-16s %s;\n", indent, "", "meta-disk", meta);
        else
            hv_text_addf(out, "%*s%-16s %s [%u];\n", indent, "", "meta-disk", meta, v->meta_index);
    }
    if (!v->implied)
        hv_text_addf(out, "%*s}\n", 2 * STEP, "");
    hv_text_free(&scratch);
}

static void dump_proxy(struct hv_text *out, const struct conf_tree_proxy *proxy)
{
    hv_text_addf(out, "%*sproxy on", 2 * STEP, "");
    for (size_t i = 0; i < proxy->n_names; i++)
        hv_text_addf(out, " %s", proxy->names[i]);
    hv_text_add(out, " {\n");
    dump_address(out, 3 * STEP, "inside", &proxy->inside);
    dump_address(out, 3 * STEP, "outside", &proxy->outside);
    if (proxy->options.n) {
        hv_text_addf(out, "%*soptions {\n", 3 * STEP, "");
        dump_options(out, 4 * STEP, &proxy->options);
        hv_text_addf(out, "%*s}\n", 3 * STEP, "");
    }
    hv_text_addf(out, "%*s}\n", 2 * STEP, "");
}

static void dump_host_head(struct hv_text *out, const struct conf_tree_host *host)
{
    const struct conf_tree_address *a = &host->address;
    struct hv_text scratch = {0};

    if (host->kind == CONF_HOST_ON) {
        hv_text_addf(out, "%*son", STEP, "");
        for (size_t i = 0; i < host->n_names; i++)
            hv_text_addf(out, " %s", quoted(&scratch, host->names[i]));
        hv_text_add(out, " {\n");
    } else if (host->kind == CONF_HOST_FLOATING) {
        hv_text_addf(out,
            a->family == CONF_FAMILY_IPV6 ? "%*sfloating ipv6 [%s]:%u {\n"
                                          : "%*sfloating ipv4 %s:%u {\n",
            STEP, "", a->ip, a->port);
    } else {
        hv_text_addf(out, "%*sstacked-on-top-of %s {\n%*s# on ", STEP, "",
            quoted(&scratch, host->lower), 2 * STEP, "");
        for (size_t h = 0; host->lower_resource && h < host->lower_resource->n_hosts; h++)
            for (size_t i = 0; i < host->lower_resource->hosts[h]->n_names; i++)
                hv_text_addf(out, "%s ", host->lower_resource->hosts[h]->names[i]);
        hv_text_add(out, "\n");
    }
    hv_text_free(&scratch);
}

static void dump_host(struct hv_text *out, const struct conf_tree_host *host)
{
    dump_host_head(out, host);
    if (host->options.n) {
        hv_text_addf(out, "%*soptions {\n", 2 * STEP, "");
        dump_options(out, 3 * STEP, &host->options);
        hv_text_addf(out, "%*s}\n", 2 * STEP, "");
    }
    for (size_t i = 0; i < host->volumes.n; i++)
        dump_volume(out, host, host->volumes.items[i]);
    if (host->kind != CONF_HOST_FLOATING)
        dump_address(out, 2 * STEP, "address", &host->address);
    if (host->proxy)
        dump_proxy(out, host->proxy);
    hv_text_addf(out, "%*s}\n", STEP, "");
}

void conf_dump_resource(
    const struct conf *conf, const struct conf_resource *resource, struct hv_text *out)
{
    const struct conf_tree_resource *res = conf_tree_find(conf->tree, resource->name);
    struct hv_text scratch = {0};

    hv_text_addf(out, "# resource %s on %s: %s, %s\n", res->name, conf->node,
        res->me ? "not ignored" : "ignored", res->me && res->stacked ? "stacked" : "not stacked");
    hv_text_addf(out, "# defined at %s:%u\n", res->pos.file, res->pos.line);
    hv_text_addf(out, "resource %s {\n", quoted(&scratch, res->name));
    hv_text_free(&scratch);
    for (size_t i = 0; i < res->n_hosts; i++)
        dump_host(out, res->hosts[i]);
    dump_sections(out, res);
    hv_text_add(out, "}\n\n");
}
