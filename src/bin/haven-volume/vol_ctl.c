/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hv_text.h"
#include "vol.h"

enum { PROGRESS_MS = 1000 };

static json_t *change_event(struct vol *v)
{
    return json_pack(
        "{s:s, s:s, s:o}", "event", "change", "resource", v->name, "status", vol_status_json(v));
}

static void publish_run(struct loop_hook *hook);

/* After the engine's hook, so that a turn's changes make one event. */
static struct loop_hook publish_hook = {.turn = publish_run, .order = 500};
static struct vol *publisher;

static bool sync_runs(struct vol *v)
{
    struct repl_status *status = malloc(sizeof *status);
    bool runs = false;

    if (!status)
        return false;
    repl_status(v->repl, loop_clock_ms(), status);
    for (uint32_t i = 0; i < status->volumes; i++)
        runs = runs || status->volume[i].rs_total_kib;
    free(status);
    return runs;
}

static void publish_run(struct loop_hook *hook)
{
    struct vol *v = publisher;

    (void)hook;
    if (!v->changed || !v->repl)
        return;
    v->changed = false;
    if (!ctl_has_subscribers(v->ctl))
        return;
    ctl_publish(v->ctl, change_event(v));
    if (sync_runs(v))
        loop_timer_arm(v->loop, &v->progress, loop_clock_ms() + PROGRESS_MS);
}

static void progress_fired(struct loop_timer *t)
{
    vol_ctl_changed(hv_container_of(t, struct vol, progress));
}

void vol_ctl_changed(struct vol *v)
{
    v->changed = true;
}

void vol_ctl_handler_event(
    struct vol *v, const char *handler, int volume, bool start, int exit_code)
{
    int vnr = volume < 0 ? -1 : (int)v->volume[volume].conf->vnr;
    json_t *event = json_pack("{s:s, s:s, s:s, s:i, s:s}", "event", "handler", "resource", v->name,
        "handler", handler, "volume", vnr, "phase", start ? "start" : "end");

    if (!start)
        json_object_set_new(event, "exit", json_integer(exit_code));
    ctl_publish(v->ctl, event);
}

static void proc_reply(struct vol *v, struct ctl_request *r)
{
    struct hv_text text = {0};

    vol_proc_text(v, &text);
    ctl_reply(r, json_pack("{s:s}", "text", hv_text_str(&text)));
    hv_text_free(&text);
}

static void handle(void *arg, struct ctl_request *r)
{
    struct vol *v = arg;

    if (!v->repl) {
        ctl_reply_error(r, CMD_EXIT_OTHER, "%s is going down", v->name);
    } else if (!strcmp(r->verb, "ping")) {
        ctl_reply(r, json_pack("{s:s, s:i, s:s}", "resource", v->name, "pid", (int)getpid(),
                         "version", HAVEN_VERSION));
    } else if (!strcmp(r->verb, "status") || !strcmp(r->verb, "subscribe")) {
        if (r->verb[1] == 'u') {
            ctl_subscribe(r);
            vol_ctl_changed(v); /* and so the progress events begin */
        }
        ctl_reply(r, json_pack("{s:o}", "status", vol_status_json(v)));
    } else if (!strcmp(r->verb, "proc")) {
        proc_reply(v, r);
    } else {
        vol_job_start(v, r, r->verb);
    }
}

int vol_ctl_start(struct vol *v, struct hv_diag *diag)
{
    char path[VOL_PATH_MAX + 128];

    if (!ctl_path(path, sizeof path, v->root, v->name)) {
        hv_diag_set(diag, "%s: path too long", v->root);
        return HV_EINVAL;
    }
    publisher = v;
    v->progress.fired = progress_fired;
    loop_hook_add(v->loop, &publish_hook);
    return ctl_server_new(v->loop, path, handle, v, &v->ctl, diag);
}
