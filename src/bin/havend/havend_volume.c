/* SPDX-License-Identifier: Apache-2.0 */
/* The volumes' processes, each over its control socket (doc/control.md): what they know of the peer goes
 * to the cluster engine, what the engine wants of them goes there. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "havend.h"

/* What `drbdadm outdate` exits with (heartbeat §12.4). */
enum { OUTDATE_REFUSED = 17, OUTDATE_FAILED = 20 };
enum { OPEN_AGAIN_MS = 500, CALL_MS = 30000, PING_PEER_EVERY_MS = 400, UP_MS = 60000 };

struct volume {
    struct havend *h;
    unsigned index; /* in the configuration's resources, and in the engine's volumes */
    const char *name;
    struct ctl_client *client;
    struct ctl_call subscribe, ping, outdate, ping_peer, freeze;
    struct loop_timer open_again;
    struct loop_task closed;
    json_t *status;
    pid_t pid;
    bool want_frozen, told_frozen, abandoned;
    uint64_t ping_peer_ms;
    struct loop_child up;
    bool up_runs;
};

struct havend_volumes {
    size_t n;
    bool frozen;
    struct volume *volume;
};

static void volume_open(struct volume *v);

/* ---- what it says --------------------------------------------------------------------------- */

static bool is_connected(const char *connection)
{
    static const char *const not [] = {"StandAlone", "Disconnecting", "Unconnected", "Timeout",
        "BrokenPipe", "NetworkFailure", "ProtocolError", "TearDown", "WFConnection",
        "WFReportParams", ""};

    for (size_t i = 0; i < sizeof not / sizeof not [0]; i++)
        if (!strcmp(not [i], connection))
            return false;
    return true;
}

static void tell_cluster(struct volume *v)
{
    struct cluster_event ev = {.type = CLUSTER_EV_VOLUME};
    struct cluster_volume_state *st = &ev.volume.state;
    size_t i;
    json_t *one;

    ev.volume.volume = v->index;
    if (v->status) {
        st->connected = is_connected(ctl_string(v->status, "connection"));
        st->peer_primary = st->connected && !strcmp(ctl_string(v->status, "peer_role"), "Primary");
        st->primary = !strcmp(ctl_string(v->status, "role"), "Primary");
        st->split_brain = ctl_flag(v->status, "split_brain");
        st->up_to_date = true;
        json_array_foreach(json_object_get(v->status, "volumes"), i, one) st->up_to_date &=
            !strcmp(ctl_string(one, "disk"), "UpToDate");
    }
    havend_cluster_tell(v->h, ev);
}

static void take_status(struct volume *v, json_t *status)
{
    if (!json_is_object(status))
        return;
    bool was_split = v->status && ctl_flag(v->status, "split_brain");
    json_decref(v->status);
    v->status = json_incref(status);
    if (ctl_flag(status, "split_brain") && !was_split)
        hv_log(&v->h->log, HV_LOG_CRIT,
            "resource %s: Split-Brain detected: both sides have data of their own. Nothing is "
            "copied "
            "until a policy or an administrator decides.",
            v->name);
    tell_cluster(v);
}

static void subscribed(struct ctl_call *call, int error, json_t *reply)
{
    struct volume *v = hv_container_of(call, struct volume, subscribe);

    if (!error)
        take_status(v, json_object_get(reply, "status"));
}

static void pinged(struct ctl_call *call, int error, json_t *reply)
{
    struct volume *v = hv_container_of(call, struct volume, ping);

    if (!error)
        v->pid = (pid_t)ctl_integer(reply, "pid", 0);
}

static void event(void *arg, json_t *ev)
{
    struct volume *v = arg;

    if (!strcmp(ctl_string(ev, "event"), "change"))
        take_status(v, json_object_get(ev, "status"));
    havend_ctl_notify(v->h, "volume", v->name);
}

/* Freed outside of its own callback. */
static void closed_later(struct loop_task *task)
{
    struct volume *v = hv_container_of(task, struct volume, closed);

    ctl_client_free(v->client);
    v->client = NULL;
    v->pid = 0;
    json_decref(v->status);
    v->status = NULL;
    v->told_frozen = false;
    tell_cluster(v);
    loop_timer_arm(v->h->loop, &v->open_again, loop_clock_ms() + OPEN_AGAIN_MS);
}

static void closed(void *arg)
{
    struct volume *v = arg;

    v->closed.run = closed_later;
    loop_defer(v->h->loop, &v->closed);
}

static void call(struct volume *v, struct ctl_call *c, const char *verb,
    void (*done)(struct ctl_call *, int, json_t *))
{
    if (!v->client || c->client)
        return;
    c->done = done;
    ctl_client_call(v->client, c, json_pack("{s:s}", "verb", verb), CALL_MS);
}

/* ---- freezing ------------------------------------------------------------------------------- */

static void freeze_sync(struct volume *v);

static void freeze_done(struct ctl_call *c, int error, json_t *reply)
{
    struct volume *v = hv_container_of(c, struct volume, freeze);

    if (error || !ctl_flag(reply, "ok"))
        hv_log(&v->h->log, HV_LOG_ERROR, "resource %s: cannot %s its I/O: %s", v->name,
            v->told_frozen ? "suspend" : "resume",
            error ? hv_strerror(error) : ctl_string(reply, "error"));
    freeze_sync(v);
}

static void freeze_sync(struct volume *v)
{
    if (!v->client || v->freeze.client || v->told_frozen == v->want_frozen)
        return;
    v->told_frozen = v->want_frozen;
    call(v, &v->freeze, v->want_frozen ? "suspend-io" : "resume-io", freeze_done);
}

void havend_volumes_freeze(struct havend *h, bool freeze)
{
    h->volumes->frozen = freeze;
    hv_log(&h->log, HV_LOG_WARN, "%s the I/O of all volumes", freeze ? "freezing" : "thawing");
    for (size_t i = 0; i < h->volumes->n; i++) {
        struct volume *v = &h->volumes->volume[i];
        v->want_frozen = freeze;
        freeze_sync(v);
    }
}

/* ---- orders --------------------------------------------------------------------------------- */

static void ignore_reply(struct ctl_call *c, int error, json_t *reply)
{
    (void)c;
    (void)error;
    (void)reply;
}

void havend_volumes_ping_peer(struct havend *h)
{
    uint64_t now_ms = loop_clock_ms();

    for (size_t i = 0; i < h->volumes->n; i++) {
        struct volume *v = &h->volumes->volume[i];
        /* Never as the Primary: to learn early that the peer is lost would have it go on alone, with
         * a generation of its own, before the cluster engine has said whether it may. */
        if (!v->status || !is_connected(ctl_string(v->status, "connection")) ||
            strcmp(ctl_string(v->status, "role"), "Secondary") ||
            now_ms - v->ping_peer_ms < PING_PEER_EVERY_MS)
            continue;
        v->ping_peer_ms = now_ms;
        call(v, &v->ping_peer, "ping-peer", ignore_reply);
    }
}

static void outdated(struct ctl_call *c, int error, json_t *reply)
{
    struct volume *v = hv_container_of(c, struct volume, outdate);
    struct cluster_event ev = {.type = CLUSTER_EV_OUTDATE_DONE};

    hv_strcopy(ev.outdate.resource, sizeof ev.outdate.resource, v->name);
    ev.outdate.exit_code = error ? OUTDATE_FAILED
                           : ctl_flag(reply, "ok")
                               ? 0
                               : (int)ctl_integer(reply, "exit", OUTDATE_FAILED);
    havend_cluster_tell(v->h, ev);
}

/* This side went on without the other one, whose data is on record as older.  Whoever lacks that data
 * has just come back and cannot know: it is told what a Primary would tell it, and outdates itself. */
static bool is_ahead(const struct volume *v)
{
    size_t i;
    json_t *one;

    if (!v->status || is_connected(ctl_string(v->status, "connection")))
        return false;
    json_array_foreach(json_object_get(v->status, "volumes"), i, one)
    {
        if (!strcmp(ctl_string(one, "disk"), "UpToDate") &&
            !strcmp(ctl_string(one, "peer_disk"), "Outdated"))
            return true;
    }
    return false;
}

void havend_volumes_outdate(struct havend *h, const char *resource)
{
    struct cluster_event ev = {
        .type = CLUSTER_EV_OUTDATE_DONE, .outdate.exit_code = OUTDATE_FAILED};

    for (size_t i = 0; i < h->volumes->n; i++) {
        struct volume *v = &h->volumes->volume[i];
        if (strcmp(v->name, resource) || !v->client || v->outdate.client)
            continue;
        if (!is_ahead(v)) {
            call(v, &v->outdate, "outdate", outdated);
            return;
        }
        hv_log(&h->log, HV_LOG_WARN,
            "resource %s: not outdated: the data of the node that asks is older than ours",
            resource);
        ev.outdate.exit_code = OUTDATE_REFUSED;
        break;
    }
    hv_strcopy(ev.outdate.resource, sizeof ev.outdate.resource, resource);
    havend_cluster_tell(h, ev);
}

static bool group_has(const struct havend *h, unsigned group, const char *resource)
{
    const struct conf_service *s = &h->conf->services[group];

    for (size_t i = 0; i < s->n_items; i++)
        if (s->items[i].kind == CONF_ITEM_DRBD && !strcmp(s->items[i].resource, resource))
            return true;
    return false;
}

static bool is_suspended(const struct volume *v, unsigned group)
{
    if (!v->status || v->pid <= 1 || !group_has(v->h, group, v->name) ||
        strcmp(ctl_string(v->status, "role"), "Primary"))
        return false;
    const char *suspended = ctl_string(v->status, "suspended");
    return v->told_frozen || (*suspended && strcmp(suspended, "no"));
}

bool havend_volumes_suspended(const struct havend *h, unsigned group)
{
    for (size_t i = 0; i < h->volumes->n; i++)
        if (is_suspended(&h->volumes->volume[i], group))
            return true;
    return false;
}

void havend_volumes_abandon_suspended(struct havend *h, unsigned group)
{
    for (size_t i = 0; i < h->volumes->n; i++) {
        struct volume *v = &h->volumes->volume[i];
        if (!is_suspended(v, group))
            continue;
        hv_log(&h->log, HV_LOG_WARN,
            "resource %s: its I/O is suspended and its group is given up: ending its process, so "
            "that nothing more is written here",
            v->name);
        v->abandoned = true;
        kill(v->pid, SIGKILL);
    }
}

static void up_done(struct loop_child *child)
{
    struct volume *v = hv_container_of(child, struct volume, up);

    v->up_runs = false;
    hv_log(&v->h->log, child->exit_code ? HV_LOG_ERROR : HV_LOG_INFO,
        "resource %s: brought up again (exit code %d)", v->name, child->exit_code);
}

void havend_volumes_group_stopped(struct havend *h, unsigned group)
{
    for (size_t i = 0; i < h->volumes->n; i++) {
        struct volume *v = &h->volumes->volume[i];
        char program[HAVEND_PATH_BYTES];
        struct hv_diag diag = {""};
        if (!v->abandoned || v->up_runs || !group_has(h, group, v->name))
            continue;
        v->abandoned = false;
        char *argv[HAVEND_UP_ARGS];
        havend_up_args(argv, h->root, h->config_file, v->name);
        struct loop_child_spec spec = {
            .path = program, .argv = argv, .limit_ms = UP_MS, .quiet = true};
        v->up = (struct loop_child){.done = up_done};
        if (!havend_program(program, "haven") || loop_child_start(h->loop, &v->up, &spec, &diag))
            hv_log(&h->log, HV_LOG_ERROR, "resource %s: cannot be brought up again: %s", v->name,
                diag.text[0] ? diag.text : "the program haven is not found");
        else
            v->up_runs = true;
    }
}

json_t *havend_volume_status(const struct havend *h, size_t resource)
{
    return resource < h->volumes->n ? h->volumes->volume[resource].status : NULL;
}

/* ---- opening -------------------------------------------------------------------------------- */

static void volume_open(struct volume *v)
{
    static const struct ctl_client_ops ops = {.event = event, .closed = closed};
    char path[CTL_PATH_MAX];
    struct hv_diag diag;

    if (!ctl_path(path, sizeof path, v->h->root, v->name) ||
        ctl_client_open(v->h->loop, path, &ops, v, &v->client, &diag)) {
        v->client = NULL;
        loop_timer_arm(v->h->loop, &v->open_again, loop_clock_ms() + OPEN_AGAIN_MS);
        return;
    }
    call(v, &v->subscribe, "subscribe", subscribed);
    call(v, &v->ping, "ping", pinged);
    freeze_sync(v);
}

static void open_fired(struct loop_timer *t)
{
    volume_open(hv_container_of(t, struct volume, open_again));
}

int havend_volumes_open(struct havend *h, struct hv_diag *diag)
{
    size_t n =
        h->conf->n_resources < CLUSTER_VOLUMES_MAX ? h->conf->n_resources : CLUSTER_VOLUMES_MAX;

    (void)diag;
    h->volumes = calloc(1, sizeof *h->volumes);
    if (!h->volumes)
        return HV_ENOMEM;
    h->volumes->volume = calloc(n + 1, sizeof *h->volumes->volume);
    if (!h->volumes->volume)
        return HV_ENOMEM;
    h->volumes->n = n;
    for (size_t i = 0; i < n; i++) {
        struct volume *v = &h->volumes->volume[i];
        *v = (struct volume){.h = h, .index = (unsigned)i, .name = h->conf->resources[i].name};
        v->open_again.fired = open_fired;
        if (h->conf->resources[i].me)
            volume_open(v);
    }
    return HV_OK;
}

void havend_volumes_close(struct havend *h)
{
    if (!h->volumes)
        return;
    for (size_t i = 0; i < h->volumes->n; i++) {
        struct volume *v = &h->volumes->volume[i];
        loop_timer_disarm(h->loop, &v->open_again);
        loop_defer_cancel(h->loop, &v->closed);
        if (v->client)
            ctl_client_free(v->client);
        json_decref(v->status);
        for (int turns = 0; v->up_runs && turns < 1000; turns++)
            loop_turn(h->loop, 10);
    }
    free(h->volumes->volume);
    free(h->volumes);
    h->volumes = NULL;
}
