/* SPDX-License-Identifier: Apache-2.0 */
/* haven events: a line, or a JSON object, for each change. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ctl.h"
#include "volume_client.h"

enum { RETRY_MS = 1000, LINE_MAX_BYTES = 1024 };

struct watcher {
    struct loop *loop;
    const char *resource;
    char path[CTL_PATH_MAX];
    struct ctl_client *client;
    struct ctl_call call;
    struct loop_timer retry;
    bool json;
    char last[LINE_MAX_BYTES]; /* counters change more often than what is shown */
};

static void show(struct watcher *w, const char *line)
{
    char stamp[32];
    time_t now = time(NULL);
    struct tm tm;

    if (!strcmp(w->last, line))
        return;
    snprintf(w->last, sizeof w->last, "%s", line);
    localtime_r(&now, &tm);
    strftime(stamp, sizeof stamp, "%Y-%m-%d %H:%M:%S", &tm);
    printf("%s %s %s\n", stamp, w->resource, line);
    fflush(stdout);
}

static void show_status(struct watcher *w, const json_t *status)
{
    struct hv_text t = {0};
    const json_t *v;
    size_t i;

    hv_text_addf(&t, "role:%s/%s cs:%s", ctl_string(status, "role"),
        ctl_string(status, "peer_role"), ctl_string(status, "connection"));
    json_array_foreach(json_object_get(status, "volumes"), i, v)
    {
        const json_t *sync = json_object_get(v, "sync");
        hv_text_addf(&t, " %d:%s/%s", (int)ctl_integer(v, "volume", 0), ctl_string(v, "disk"),
            ctl_string(v, "peer_disk"));
        if (json_is_object(sync) && ctl_integer(sync, "total_kib", 0))
            hv_text_addf(&t, " %s:%d%%", ctl_string(sync, "kind"),
                (int)(100 -
                      100 * ctl_integer(sync, "left_kib", 0) / ctl_integer(sync, "total_kib", 1)));
    }
    if (strcmp(ctl_string(status, "suspended"), "no"))
        hv_text_addf(&t, " suspended:%s", ctl_string(status, "suspended"));
    if (ctl_flag(status, "split_brain"))
        hv_text_add(&t, " split-brain");
    show(w, hv_text_str(&t));
    hv_text_free(&t);
}

static void print_json(const json_t *object)
{
    char *text = json_dumps(object, JSON_COMPACT);

    if (text)
        puts(text);
    fflush(stdout);
    free(text);
}

static void on_event(void *arg, json_t *event)
{
    struct watcher *w = arg;
    char line[LINE_MAX_BYTES];

    if (w->json) {
        print_json(event);
    } else if (!strcmp(ctl_string(event, "event"), "change")) {
        show_status(w, json_object_get(event, "status"));
    } else if (!strcmp(ctl_string(event, "event"), "handler")) {
        bool ended = !strcmp(ctl_string(event, "phase"), "end");
        snprintf(line, sizeof line, "handler:%s %s", ctl_string(event, "handler"),
            ended ? "exit" : "started");
        if (ended)
            snprintf(line + strlen(line), sizeof line - strlen(line), ":%d",
                (int)ctl_integer(event, "exit", -1));
        show(w, line);
    }
}

static void watch(struct watcher *w);

static void on_closed(void *arg)
{
    struct watcher *w = arg;

    ctl_client_free(w->client);
    w->client = NULL;
    if (w->json)
        print_json(NULL);
    else
        show(w, "Unconfigured");
    loop_timer_arm(w->loop, &w->retry, loop_clock_ms() + RETRY_MS);
}

static void subscribed(struct ctl_call *call, int error, json_t *reply)
{
    struct watcher *w = hv_container_of(call, struct watcher, call);

    if (error)
        return;
    json_t *status = json_object_get(reply, "status");
    if (w->json) {
        json_t *event = json_pack(
            "{s:s, s:s, s:O}", "event", "change", "resource", w->resource, "status", status);
        print_json(event);
        json_decref(event);
    } else {
        show_status(w, status);
    }
}

static const struct ctl_client_ops ops = {.event = on_event, .closed = on_closed};

static void watch(struct watcher *w)
{
    struct hv_diag diag;

    if (ctl_client_open(w->loop, w->path, &ops, w, &w->client, &diag)) {
        if (!w->json)
            show(w, "Unconfigured");
        loop_timer_arm(w->loop, &w->retry, loop_clock_ms() + RETRY_MS);
        return;
    }
    w->call = (struct ctl_call){.done = subscribed};
    ctl_client_call(w->client, &w->call, json_pack("{s:s}", "verb", "subscribe"), VOLUME_LOOK_MS);
}

static void retry(struct loop_timer *t)
{
    watch(hv_container_of(t, struct watcher, retry));
}

int volume_events(const struct cmd_context *ctx, const char *const *resources, size_t n, bool json)
{
    struct watcher *watchers = calloc(n, sizeof *watchers);
    struct hv_diag diag;
    struct loop *loop;

    if (!watchers || loop_new(64, &loop, &diag)) {
        fprintf(stderr, "%s: %s\n", ctx->program, watchers ? diag.text : "out of memory");
        free(watchers);
        return CMD_EXIT_OTHER;
    }
    for (size_t i = 0; i < n; i++) {
        watchers[i] = (struct watcher){.loop = loop, .resource = resources[i], .json = json};
        watchers[i].retry.fired = retry;
        if (ctl_path(watchers[i].path, sizeof watchers[i].path, ctx->root, resources[i]))
            watch(&watchers[i]);
    }
    return loop_run(loop);
}
