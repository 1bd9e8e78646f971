/* SPDX-License-Identifier: Apache-2.0 */
/* haven status: both nodes in one picture of at most 80 columns. */
#include <stdio.h>
#include <string.h>

#include "cluster_client.h"

enum { BAR_CELLS = 24, NAME_CELLS = 34 };

static void show_duration(struct hv_text *to, int64_t ms)
{
    int64_t s = ms / 1000;

    if (s >= 86400)
        hv_text_addf(to, "%dd %d:%02d:%02d", (int)(s / 86400), (int)(s / 3600 % 24),
            (int)(s / 60 % 60), (int)(s % 60));
    else
        hv_text_addf(to, "%d:%02d:%02d", (int)(s / 3600), (int)(s / 60 % 60), (int)(s % 60));
}

static void show_kib(struct hv_text *to, int64_t kib)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB"};
    double n = (double)kib;
    size_t u = 0;

    while (n >= 1024 && u < 4) {
        n /= 1024;
        u++;
    }
    hv_text_addf(to, n < 10 && u ? "%.1f %s" : "%.0f %s", n, units[u]);
}

/* ---- nodes ---------------------------------------------------------------------------------- */

static void show_nodes(struct hv_text *to, const json_t *cluster)
{
    json_t *one;
    size_t i;

    json_array_foreach(json_object_get(cluster, "nodes"), i, one)
    {
        hv_text_addf(
            to, "node   %-20.20s %-8s", ctl_string(one, "name"), ctl_string(one, "status"));
        if (ctl_flag(one, "me"))
            hv_text_add(to, "  this node");
        else if (strcmp(ctl_string(one, "status"), "dead"))
            hv_text_addf(to, "  heard %.1f s ago%s",
                (double)ctl_integer(one, "heard_ago_ms", 0) / 1000,
                ctl_flag(one, "haven") ? "" : ", a Heartbeat");
        hv_text_add(to, "\n");
    }
    json_array_foreach(json_object_get(cluster, "links"), i, one) hv_text_addf(
        to, "link   %-20.20s %s\n", ctl_string(one, "name"), ctl_flag(one, "up") ? "up" : "DEAD");
    json_array_foreach(json_object_get(cluster, "pings"), i, one)
        hv_text_addf(to, "ping   %-20.20s %s\n", ctl_string(one, "name"),
            ctl_flag(one, "alive") ? "answers" : "DEAD");
}

/* A sentence of any length, on lines of the picture's width. */
static void show_warning(struct hv_text *to, const char *text)
{
    enum { TEXT_CELLS = 72 };
    const char *indent = "  !    ";

    while (*text) {
        size_t n = strlen(text);
        if (n > TEXT_CELLS)
            for (n = TEXT_CELLS; n > TEXT_CELLS / 2 && text[n] != ' '; n--)
                ;
        hv_text_addf(to, "%s%.*s\n", indent, (int)n, text);
        text += n + strspn(text + n, " ");
        indent = "       ";
    }
}

static void show_warnings(struct hv_text *to, const json_t *cluster)
{
    static const struct {
        const char *flag, *text;
    } flags[] = {{"isolated", "isolated: neither the other node nor a ping node is heard"},
        {"frozen", "the I/O of all volumes is frozen"},
        {"maintenance", "maintenance: no group is moved"},
        {"shutting_down", "this node is giving everything up and will leave"}};

    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
        if (ctl_flag(cluster, flags[i].flag))
            show_warning(to, flags[i].text);
    if (*ctl_string(cluster, "verdict")) {
        struct hv_text line = {0};
        hv_text_addf(&line, "takeover: %s", ctl_string(cluster, "verdict"));
        show_warning(to, hv_text_str(&line));
        hv_text_free(&line);
    }
}

/* ---- resources ------------------------------------------------------------------------------ */

static void show_sync(struct hv_text *to, const json_t *sync)
{
    int64_t total = ctl_integer(sync, "total_kib", 0), left = ctl_integer(sync, "left_kib", 0);

    if (total <= 0)
        return;
    double done = (double)(total - left) / (double)total;
    int cells = (int)(done * BAR_CELLS);
    hv_text_addf(to, "         %-6s [", ctl_string(sync, "kind"));
    for (int i = 0; i < BAR_CELLS; i++)
        hv_text_add(to, i < cells ? "=" : i == cells ? ">" : ".");
    hv_text_addf(to, "] %.1f %%  ", done * 100);
    show_kib(to, ctl_integer(sync, "speed_kib", 0));
    hv_text_add(to, "/s  ");
    if (ctl_flag(sync, "stalled")) {
        hv_text_add(to, "stalled\n");
        return;
    }
    show_duration(to, ctl_integer(sync, "eta_ms", 0));
    hv_text_add(to, " left\n");
}

static void show_volume(struct hv_text *to, const json_t *v)
{
    hv_text_addf(to, "       %-20.20s ", ctl_string(v, "device"));
    show_kib(to, ctl_integer(v, "size_sectors", 0) / 2);
    hv_text_addf(to, "  %s/%s", ctl_string(v, "disk"), ctl_string(v, "peer_disk"));
    if (ctl_integer(v, "out_of_sync_kib", 0)) {
        hv_text_add(to, "  ");
        show_kib(to, ctl_integer(v, "out_of_sync_kib", 0));
        hv_text_add(to, " differ");
    }
    hv_text_add(to, "\n");
    show_sync(to, json_object_get(v, "sync"));
}

static void show_resource(struct hv_text *to, const char *node, const json_t *r)
{
    const json_t *st = json_object_get(r, "status");
    const char *name = ctl_string(r, "resource"), *peer = ctl_string(r, "peer");
    json_t *v;
    size_t i;

    hv_text_addf(to, "volume %-20.20s ", name);
    if (!json_is_object(st)) {
        hv_text_add(to, "does not run here\n");
        return;
    }
    hv_text_addf(to, "%.16s %s / %.16s %s  %s\n", node, ctl_string(st, "role"),
        *peer ? peer : "peer", ctl_string(st, "peer_role"), ctl_string(st, "connection"));
    if (ctl_flag(st, "split_brain"))
        hv_text_addf(to,
            "  !    Split-Brain: both sides have data of their own; nothing is copied\n"
            "       until one is told to give its up: haven connect --discard-my-data\n");
    const char *suspended = ctl_string(st, "suspended");
    if (*suspended && strcmp(suspended, "no"))
        hv_text_addf(to, "  !    I/O is suspended: %.50s\n", suspended);
    if (ctl_flag(st, "waits_for_fencing"))
        hv_text_add(to, "  !    I/O waits until the peer is fenced\n");
    json_array_foreach(json_object_get(st, "volumes"), i, v) show_volume(to, v);
}

/* ---- groups --------------------------------------------------------------------------------- */

static bool is(const json_t *object, const char *key, const char *value)
{
    return !strcmp(ctl_string(object, key), value);
}

static const char *node_named(const json_t *cluster, bool me)
{
    json_t *one;
    size_t i;

    json_array_foreach(json_object_get(cluster, "nodes"), i,
        one) if (ctl_flag(one, "me") == me) return ctl_string(one, "name");
    return "peer";
}

static void show_place(struct hv_text *to, const json_t *cluster, const json_t *g)
{
    const char *sides[] = {ctl_string(g, "here"), ctl_string(g, "there")};
    bool any = false;

    for (int i = 0; i < 2; i++) {
        if (!*sides[i] || !strcmp(sides[i], "idle"))
            continue;
        const char *node = node_named(cluster, i == 0);
        if (!strcmp(sides[i], "held"))
            hv_text_addf(to, "%son %.16s", any ? ", " : "", node);
        else
            hv_text_addf(to, "%s%.16s %s", any ? ", " : "", node, sides[i]);
        any = true;
    }
    if (!any)
        hv_text_add(to, "nowhere");
}

static void show_group(struct hv_text *to, const json_t *cluster, const json_t *g)
{
    bool here = !is(g, "state", "stopped") && !is(g, "state", "probing");
    json_t *r;
    size_t i;

    hv_text_addf(to, "group  %-44.44s ", ctl_string(g, "name"));
    show_place(to, cluster, g);
    if (is(g, "here", "held") && is(g, "state", "started")) {
        hv_text_add(to, "  ");
        show_duration(to, ctl_integer(g, "since_ms", 0));
    }
    hv_text_add(to, "\n");
    if (here && !is(g, "state", "started")) {
        struct hv_text line = {0};
        hv_text_addf(&line, "%s%s%s", ctl_string(g, "state"), *ctl_string(g, "reason") ? ": " : "",
            ctl_string(g, "reason"));
        show_warning(to, hv_text_str(&line));
        hv_text_free(&line);
    }
    if (ctl_integer(g, "failures_here", 0))
        hv_text_addf(to, "  !    failed here %d times; haven retry forgets that\n",
            (int)ctl_integer(g, "failures_here", 0));
    if (!here)
        return;
    json_array_foreach(json_object_get(g, "resources"), i, r)
    {
        const char *busy = ctl_string(r, "busy");
        hv_text_addf(to, "       %-10.10s %-*.*s %s%s", ctl_string(r, "kind"), NAME_CELLS,
            NAME_CELLS, ctl_string(r, "name"),
            !strcmp(busy, "start")  ? "is starting"
            : !strcmp(busy, "stop") ? "is stopping"
                                    : ctl_string(r, "state"),
            "");
        if (ctl_integer(r, "restarts", 0))
            hv_text_addf(to, ", restarted %d times", (int)ctl_integer(r, "restarts", 0));
        hv_text_add(to, "\n");
        if (*ctl_string(r, "error"))
            hv_text_addf(to, "         %.70s\n", ctl_string(r, "error"));
    }
}

void cluster_picture_text(struct hv_text *to, const json_t *picture)
{
    const json_t *cluster = json_object_get(picture, "cluster");
    json_t *one;
    size_t i;

    if (json_is_object(cluster)) {
        show_nodes(to, cluster);
        show_warnings(to, cluster);
    } else {
        hv_text_addf(
            to, "node   %-20.20s %.50s\n", ctl_string(picture, "node"), ctl_string(picture, "why"));
    }
    json_array_foreach(json_object_get(picture, "resources"), i, one)
    {
        hv_text_add(to, "\n");
        show_resource(to, ctl_string(picture, "node"), one);
    }
    json_array_foreach(json_object_get(cluster, "groups"), i, one)
    {
        hv_text_add(to, "\n");
        show_group(to, cluster, one);
    }
}
