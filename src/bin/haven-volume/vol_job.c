/* SPDX-License-Identifier: Apache-2.0 */
/* An administrative verb is a list of steps, carried out one after the other; the first that fails ends
 * it, and its result is the verb's. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hv_assert.h"
#include "hv_text.h"
#include "vol.h"

/* drbdsetup's numbers (admin §4) that come from opening disks, not from the engine. */
enum {
    ERR_NO_ERROR = 101,
    ERR_OPEN_DISK = 104,
    ERR_BDCLAIM_DISK = 114,
    ERR_DISK_CONFIGURED = 124,
    ERR_NET_CONFIGURED = 125,
    EXIT_NO_DATA = 17,
    EXIT_LOWER_THAN_OUTDATED = 5,
    EXIT_NO_DISK = 16,
    EXIT_STATE = 11,
    EXIT_CONFIG = 10,
    EXIT_OTHER = 20
};

enum step_kind {
    STEP_ATTACH,  /* open the disks, then REPL_ADM_ATTACH */
    STEP_ADMIN,   /* .verb */
    STEP_RELEASE, /* the block devices must go */
    STEP_SETTLE,  /* wait until the block devices are as the engine wants them */
    STEP_ADDRESS, /* the addresses of the configuration count from now on */
    STEP_EXIT     /* the process ends after the reply */
};

struct vol_step {
    enum step_kind kind;
    enum repl_admin_verb verb;
    int volume; /* -1: all */
};

enum { STEPS_MAX = 3 * REPL_VOLUMES_MAX + 16 };

struct vol_job {
    struct vol *vol;
    struct ctl_request *request;
    struct hv_list link;
    struct loop_task task;
    char verb[32];
    struct vol_step steps[STEPS_MAX];
    unsigned n, at;
    uint64_t token; /* of the admin event in flight, 0: none */
    bool waits_for_fronts, released;
    int front_error;

    int retcode, exit_code;
    char text[512];

    bool force, clear_bitmap;
    uint64_t start_sector, stop_sector;
    struct repl_net_config net;
    struct repl_disk_config disk;
};

static bool retcode_good(int retcode)
{
    return (retcode >= 1 && retcode < 100) || retcode == ERR_NO_ERROR;
}

static int retcode_exit(int retcode)
{
    return retcode_good(retcode)               ? 0
           : retcode == SS_NO_UP_TO_DATE_DISK  ? EXIT_NO_DATA
           : retcode == SS_LOWER_THAN_OUTDATED ? EXIT_LOWER_THAN_OUTDATED
           : retcode == SS_NO_LOCAL_DISK       ? EXIT_NO_DISK
           : retcode < 0                       ? EXIT_STATE
           : retcode > ERR_NO_ERROR            ? EXIT_CONFIG
                                               : EXIT_OTHER;
}

static void job_result(struct vol_job *j, int retcode, const char *text)
{
    j->retcode = retcode;
    j->exit_code = retcode_exit(retcode);
    bool has_text = text && *text, refused = !retcode_good(retcode) && retcode <= 0;
    hv_strcopy(j->text, sizeof j->text,
        has_text  ? text
        : refused ? drbd_retcode_text(retcode)
                  : "");
}

static void job_step(struct vol_job *j, enum step_kind kind, enum repl_admin_verb verb, int volume)
{
    hv_assert(j->n < STEPS_MAX);
    j->steps[j->n++] = (struct vol_step){.kind = kind, .verb = verb, .volume = volume};
}

/* ------------------------------------------------------------------------------------------ the steps */

static bool fronts_settling(const struct vol *v)
{
    for (uint32_t i = 0; i < v->volumes; i++)
        if (v->volume[i].settling)
            return true;
    return false;
}

static void fronts_release(struct vol_job *j, bool released)
{
    for (uint32_t i = 0; i < j->vol->volumes; i++)
        vol_front_release(&j->vol->volume[i], released);
    j->released = released;
}

static void job_end(struct vol_job *j)
{
    struct vol *v = j->vol;
    bool good = !j->exit_code;
    json_t *reply = json_pack("{s:b, s:i, s:s, s:i}", "ok", good, "retcode", j->retcode, "text",
        j->text, "exit", j->exit_code);

    if (j->released)
        fronts_release(j, false);
    if (!good)
        json_object_set_new(reply, "error", json_string(j->text));
    if (!good || !j->request)
        vol_log(good ? HV_LOG_INFO : HV_LOG_NOTICE, "%s: %s", j->verb,
            *j->text ? j->text
            : good   ? "done"
                     : "failed");
    if (j->request)
        ctl_reply(j->request, reply);
    else
        json_decref(reply);
    hv_list_remove(&j->link);
    free(j);
    if (v->ending)
        loop_stop(v->loop, 0);
}

static void job_admin(struct vol_job *j, const struct vol_step *s, const struct repl_attach *attach)
{
    struct vol *v = j->vol;
    struct repl_event ev = {.kind = REPL_EV_ADMIN};

    j->token = ev.token = ++v->last_token;
    ev.admin = (struct repl_admin){.verb = s->verb,
        .volume = (uint16_t)(s->volume < 0 ? 0 : s->volume),
        .all_volumes = s->volume < 0,
        .force = j->force,
        .clear_bitmap = j->clear_bitmap,
        .start_sector = j->start_sector,
        .stop_sector = j->stop_sector};
    if (attach)
        ev.admin.attach = *attach;
    if (s->verb == REPL_ADM_NET_OPTIONS || s->verb == REPL_ADM_CONNECT)
        ev.admin.net = &j->net;
    if (s->verb == REPL_ADM_DISK_OPTIONS) {
        vol_config_disk(v->volume[s->volume].conf, &j->disk);
        ev.admin.disk = &j->disk;
    }
    vol_event(v, &ev);
}

/* False: it failed, and the result says so. */
static bool step_attach(struct vol_job *j, const struct vol_step *s)
{
    struct vol_volume *volume = &j->vol->volume[s->volume];
    struct repl_attach attach;
    struct hv_diag diag;

    if (volume->data) {
        job_result(j, ERR_DISK_CONFIGURED, "Device is attached to a disk (use detach first)");
        return false;
    }
    int rv = vol_disk_open(volume, &attach, &diag);
    if (rv) {
        vol_log(HV_LOG_ERROR, "%s", diag.text);
        job_result(j, rv == HV_EBUSY ? ERR_BDCLAIM_DISK : ERR_OPEN_DISK, diag.text);
        return false;
    }
    job_admin(j, s, &attach);
    return true;
}

static bool step_admin(struct vol_job *j, const struct vol_step *s)
{
    struct repl_attach attach;

    if (s->verb != REPL_ADM_RESIZE) {
        job_admin(j, s, NULL);
        return true;
    }
    if (!vol_disk_measure(&j->vol->volume[s->volume], &attach)) {
        job_result(j, SS_IS_DISKLESS, NULL);
        return false;
    }
    job_admin(j, s, &attach);
    return true;
}

/* True when the step is over and the next may begin; else it waits, or has failed (exit_code). */
static bool step_over(struct vol_job *j, const struct vol_step *s)
{
    struct hv_diag diag;

    switch (s->kind) {
    case STEP_RELEASE:
        if (!j->released)
            fronts_release(j, true);
        /* fall through */
    case STEP_SETTLE:
        j->waits_for_fronts = fronts_settling(j->vol);
        if (!j->waits_for_fronts && j->front_error)
            job_result(j, j->front_error == HV_EBUSY ? SS_DEVICE_IN_USE : 0, j->text);
        return !j->waits_for_fronts;
    case STEP_ADDRESS:
        if (vol_config_addresses(j->vol->resource, &j->vol->local, &j->vol->peer, &diag))
            job_result(j, 0, diag.text);
        return true;
    case STEP_EXIT:
        j->vol->ending = true;
        return true;
    default:
        return false;
    }
}

static void job_run(struct loop_task *task)
{
    struct vol_job *j = hv_container_of(task, struct vol_job, task);

    while (!j->exit_code && j->at < j->n) {
        const struct vol_step *s = &j->steps[j->at];
        if (s->kind == STEP_ATTACH || s->kind == STEP_ADMIN) {
            if (s->kind == STEP_ATTACH ? step_attach(j, s) : step_admin(j, s))
                return;
            break;
        }
        if (!step_over(j, s))
            return;
        j->at++;
    }
    job_end(j);
}

void vol_job_admin_done(struct vol *v, const struct repl_effect *fx)
{
    struct hv_list *n;
    struct repl_status *status;

    hv_list_each(n, &v->jobs)
    {
        struct vol_job *j = hv_container_of(n, struct vol_job, link);
        const struct vol_step *s = &j->steps[j->at];
        if (j->token != fx->token)
            continue;
        j->token = 0;
        job_result(j, fx->admin.retcode, fx->admin.text);
        if (j->exit_code && s->kind == STEP_ATTACH && (status = malloc(sizeof *status))) {
            repl_status(v->repl, loop_clock_ms(), status);
            if (status->volume[s->volume].state.disk == D_DISKLESS)
                vol_disk_close(&v->volume[s->volume]);
            free(status);
        }
        j->at++;
        /* Later: what else the step wants (a front, say) is to be known by then. */
        loop_defer(v->loop, &j->task);
        return;
    }
}

void vol_job_front_settled(struct vol_volume *volume, int error, const struct hv_diag *diag)
{
    struct vol *v = volume->vol;
    struct hv_list *n;

    hv_list_each(n, &v->jobs)
    {
        struct vol_job *j = hv_container_of(n, struct vol_job, link);
        if (!j->waits_for_fronts)
            continue;
        if (error) {
            j->front_error = error;
            if (error == HV_EBUSY)
                hv_strcopy(j->text, sizeof j->text, drbd_retcode_text(SS_DEVICE_IN_USE));
            else
                hv_strcopy(j->text, sizeof j->text, diag->text);
        }
        if (!fronts_settling(v))
            loop_defer(v->loop, &j->task);
    }
}

/* ------------------------------------------------------------------------------------------- the verbs */

static void steps_attach_missing(struct vol_job *j)
{
    for (uint32_t i = 0; i < j->vol->volumes; i++)
        if (!j->vol->volume[i].data && strcmp(j->vol->volume[i].conf->disk, "none"))
            job_step(j, STEP_ATTACH, REPL_ADM_ATTACH, (int)i);
}

static enum drbd_conn connection(const struct vol *v)
{
    struct repl_status *status = malloc(sizeof *status);
    enum drbd_conn conn = C_STANDALONE;

    if (status) {
        repl_status(v->repl, loop_clock_ms(), status);
        conn = status->conn;
        free(status);
    }
    return conn;
}

static bool same_addresses(const struct conf_resource *a, const struct conf_resource *b)
{
    return !strcmp(a->me->address, b->me->address) && a->me->port == b->me->port &&
           !strcmp(a->peer->address, b->peer->address) && a->peer->port == b->peer->port;
}

/* What cannot change while the process runs. */
static bool same_volumes(const struct conf_host *a, const struct conf_host *b)
{
    if (a->n_volumes != b->n_volumes)
        return false;
    for (size_t i = 0; i < a->n_volumes; i++)
        if (a->volumes[i].vnr != b->volumes[i].vnr || a->volumes[i].minor != b->volumes[i].minor ||
            strcmp(a->volumes[i].device, b->volumes[i].device) ||
            strcmp(a->volumes[i].disk, b->volumes[i].disk) ||
            strcmp(a->volumes[i].meta_disk, b->volumes[i].meta_disk))
            return false;
    return true;
}

/* Takes the configuration on disk over.  False: the result says why not. */
static bool reconfigure(struct vol_job *j, bool *address_changed)
{
    struct vol *v = j->vol;
    const struct conf_resource *resource;
    struct conf *conf;
    struct hv_diag diag;

    if (vol_config_load(v, &conf, &resource, &diag)) {
        job_result(j, 0, diag.text);
        return false;
    }
    if (!same_volumes(v->resource->me, resource->me)) {
        conf_free(conf);
        job_result(j, 0, "its volumes have changed: 'haven down' and 'haven up' it");
        return false;
    }
    *address_changed = !same_addresses(v->resource, resource);
    conf_free(v->conf);
    v->conf = conf;
    v->resource = resource;
    for (uint32_t i = 0; i < v->volumes; i++)
        v->volume[i].conf = &resource->me->volumes[i];
    vol_config_net(resource, &j->net);
    return true;
}

static bool steps_adjust(struct vol_job *j)
{
    bool all = !strcmp(j->verb, "adjust"), moved;
    bool standalone = connection(j->vol) == C_STANDALONE;

    if (!reconfigure(j, &moved))
        return false;
    if (all && moved && !standalone)
        job_step(j, STEP_ADMIN, REPL_ADM_DISCONNECT, -1);
    if (strcmp(j->verb, "disk-options"))
        job_step(j, STEP_ADMIN, REPL_ADM_NET_OPTIONS, -1);
    if (strcmp(j->verb, "net-options"))
        for (uint32_t i = 0; i < j->vol->volumes; i++)
            job_step(j, STEP_ADMIN, REPL_ADM_DISK_OPTIONS, (int)i);
    if (all) {
        steps_attach_missing(j);
        if (moved)
            job_step(j, STEP_ADDRESS, 0, -1);
        if (moved || standalone)
            job_step(j, STEP_ADMIN, REPL_ADM_CONNECT, -1);
    }
    return true;
}

/* Verbs that are one event of the engine's. */
static const struct {
    const char *verb;
    enum repl_admin_verb admin;
    bool each_volume; /* one event a volume, not one for all */
} simple_verbs[] = {
    {"detach", REPL_ADM_DETACH, true},
    {"connect", REPL_ADM_CONNECT, false},
    {"disconnect", REPL_ADM_DISCONNECT, false},
    {"invalidate", REPL_ADM_INVALIDATE, true},
    {"invalidate-remote", REPL_ADM_INVALIDATE_REMOTE, true},
    {"outdate", REPL_ADM_OUTDATE, false},
    {"verify", REPL_ADM_VERIFY, true},
    {"pause-sync", REPL_ADM_PAUSE_SYNC, true},
    {"resume-sync", REPL_ADM_RESUME_SYNC, true},
    {"suspend-io", REPL_ADM_SUSPEND_IO, false},
    {"resume-io", REPL_ADM_RESUME_IO, false},
    {"resize", REPL_ADM_RESIZE, true},
    {"new-current-uuid", REPL_ADM_NEW_CURRENT_UUID, true},
    {"peer-fenced", REPL_ADM_PEER_FENCED, false},
    {"ping-peer", REPL_ADM_PING_PEER, false},
};

/* False: no such verb, or the result says why not. */
static bool job_plan(struct vol_job *j, int volume)
{
    struct vol *v = j->vol;

    if (!strcmp(j->verb, "up")) {
        steps_attach_missing(j);
        if (connection(v) == C_STANDALONE)
            job_step(j, STEP_ADMIN, REPL_ADM_CONNECT, -1);
        return true;
    }
    if (!strcmp(j->verb, "down")) {
        job_step(j, STEP_RELEASE, 0, -1);
        job_step(j, STEP_ADMIN, REPL_ADM_DOWN, -1);
        job_step(j, STEP_EXIT, 0, -1);
        return true;
    }
    if (!strcmp(j->verb, "primary") || !strcmp(j->verb, "secondary")) {
        bool primary = j->verb[0] == 'p';
        if (!primary)
            job_step(j, STEP_RELEASE, 0, -1);
        job_step(j, STEP_ADMIN, primary ? REPL_ADM_PRIMARY : REPL_ADM_SECONDARY, -1);
        if (primary)
            job_step(j, STEP_SETTLE, 0, -1);
        return true;
    }
    if (!strcmp(j->verb, "attach")) {
        for (uint32_t i = 0; i < v->volumes; i++)
            if (volume < 0 || volume == (int)i)
                job_step(j, STEP_ATTACH, REPL_ADM_ATTACH, (int)i);
        return true;
    }
    if (!strcmp(j->verb, "adjust") || !strcmp(j->verb, "net-options") ||
        !strcmp(j->verb, "disk-options"))
        return steps_adjust(j);
    for (size_t k = 0; k < sizeof simple_verbs / sizeof simple_verbs[0]; k++) {
        if (strcmp(j->verb, simple_verbs[k].verb))
            continue;
        if (!simple_verbs[k].each_volume || volume >= 0) {
            job_step(j, STEP_ADMIN, simple_verbs[k].admin, volume);
            return true;
        }
        for (uint32_t i = 0; i < v->volumes; i++)
            job_step(j, STEP_ADMIN, simple_verbs[k].admin, (int)i);
        return true;
    }
    snprintf(j->text, sizeof j->text, "unknown verb '%s'", j->verb);
    return false;
}

void vol_job_start(struct vol *v, struct ctl_request *request, const char *verb)
{
    struct vol_job *j = calloc(1, sizeof *j);
    const json_t *body = request ? request->body : NULL;
    int64_t vnr = body ? ctl_integer(body, "volume", -1) : -1;
    int volume = vnr < 0 ? -1 : vol_find(v, vnr);

    if (!j || (vnr >= 0 && volume < 0)) {
        if (request)
            ctl_reply_error(request, EXIT_CONFIG, j ? "no such volume" : "out of memory");
        free(j);
        return;
    }
    j->vol = v;
    j->request = request;
    j->task.run = job_run;
    j->retcode = SS_SUCCESS;
    hv_strcopy(j->verb, sizeof j->verb, verb);
    hv_list_push_back(&v->jobs, &j->link);
    vol_config_net(v->resource, &j->net);
    if (body) {
        j->force = ctl_flag(body, "force");
        j->clear_bitmap = ctl_flag(body, "clear_bitmap");
        j->start_sector = (uint64_t)ctl_integer(body, "start_sector", 0);
        j->stop_sector = (uint64_t)ctl_integer(body, "stop_sector", 0);
        j->net.discard_my_data = ctl_flag(body, "discard_my_data");
    }
    if (!job_plan(j, volume)) {
        j->exit_code = EXIT_OTHER;
        job_end(j);
        return;
    }
    loop_defer(v->loop, &j->task);
}
