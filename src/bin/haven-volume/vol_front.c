/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "front_fuse.h"
#include "vol.h"

enum { FRONT_RETRY_MS = 1000 };

static const enum repl_app_op app_ops[] = {[FRONT_READ] = REPL_APP_READ,
    [FRONT_WRITE] = REPL_APP_WRITE,
    [FRONT_FLUSH] = REPL_APP_FLUSH,
    [FRONT_ZEROES] = REPL_APP_ZEROES};

static void on_request(void *arg, struct front_request *r)
{
    struct vol_volume *volume = arg;
    const struct repl_event ev = {.kind = REPL_EV_APP,
        .token = (uint64_t)(uintptr_t)r,
        .app = {.op = app_ops[r->op],
            .volume = volume->index,
            .flags = r->may_unmap ? REPL_APP_MAY_UNMAP : 0,
            .sector = r->sector,
            .length_bytes = r->length_bytes,
            .buf = r->buf}};

    r->buf = NULL; /* the engine's now */
    vol_event(volume->vol, &ev);
}

static bool on_ready(void *arg)
{
    struct vol_volume *volume = arg;

    /* While there is no device, only questions about the file come, which the engine never sees. */
    return !volume->writable || repl_app_ready(volume->vol->repl, volume->index);
}

static void front_want(struct vol_volume *volume)
{
    bool usable = volume->writable && !volume->released && volume->size_sectors;

    volume->settling = true;
    front_set(volume->front, usable, volume->size_sectors);
}

static void on_settled(void *arg, int error, const struct hv_diag *diag)
{
    struct vol_volume *volume = arg;
    bool has_device = front_device(volume->front)[0] != 0;

    volume->settling = false;
    if (error && (error != HV_EBUSY || !volume->released))
        vol_log(HV_LOG_ERROR, "volume %u: %s", volume->conf->vnr, diag->text);
    else if (!error && has_device != volume->has_device)
        vol_log(HV_LOG_INFO, "volume %u: %s is %s", volume->conf->vnr, volume->conf->device,
            has_device ? front_device(volume->front) : "closed");
    volume->has_device = has_device;
    vol_job_front_settled(volume, error, diag);
    /* The engine has demoted itself under a user of the device: it goes when the user has. */
    if (error == HV_EBUSY && !volume->released && !volume->writable)
        loop_timer_arm(volume->vol->loop, &volume->front_retry, loop_clock_ms() + FRONT_RETRY_MS);
    vol_ctl_changed(volume->vol);
}

static void front_retry(struct loop_timer *t)
{
    struct vol_volume *volume = hv_container_of(t, struct vol_volume, front_retry);

    if (!volume->writable)
        front_want(volume);
}

static const struct front_calls front_calls = {
    .request = on_request, .ready = on_ready, .settled = on_settled};

int vol_front_start(struct vol *v, struct hv_diag *diag)
{
    char dev_dir[VOL_PATH_MAX + 16], run_dir[VOL_PATH_MAX + 32], device[VOL_PATH_MAX + 256];

    snprintf(dev_dir, sizeof dev_dir, "%s/dev", v->root);
    snprintf(run_dir, sizeof run_dir, "%s/run/haven/volumes", v->root);
    for (uint32_t i = 0; i < v->volumes; i++) {
        struct vol_volume *volume = &v->volume[i];
        snprintf(device, sizeof device, "%s%s", v->root, volume->conf->device);
        const struct front_fuse_config config = {.loop = v->loop,
            .bufs = store_pool_bufs(v->pool),
            .dev_dir = dev_dir,
            .run_dir = run_dir,
            .resource = v->name,
            .vnr = volume->conf->vnr,
            .minor = volume->conf->minor,
            .device = device,
            .requests_max = VOL_REQUESTS_MAX / v->volumes,
            .calls = &front_calls,
            .arg = volume};
        volume->front_retry.fired = front_retry;
        int rv = front_fuse_new(&config, &volume->front, diag);
        if (rv)
            return rv;
    }
    return HV_OK;
}

void vol_front_end(struct vol *v)
{
    for (uint32_t i = 0; i < v->volumes; i++) {
        loop_timer_disarm(v->loop, &v->volume[i].front_retry);
        if (v->volume[i].front)
            front_stop(v->volume[i].front);
        v->volume[i].front = NULL;
    }
}

void vol_front_effect(struct vol *v, struct repl_effect *fx)
{
    struct vol_volume *volume;

    if (fx->kind == REPL_FX_APP_DONE) {
        front_complete((struct front_request *)(uintptr_t)fx->token, fx->app.error, fx->app.buf);
        return;
    }
    volume = &v->volume[fx->front.volume];
    if (volume->writable == fx->front.writable && volume->size_sectors == fx->front.size_sectors)
        return;
    volume->writable = fx->front.writable;
    volume->size_sectors = fx->front.size_sectors;
    if (!volume->writable)
        volume->released = false;
    front_want(volume);
}

void vol_front_release(struct vol_volume *volume, bool released)
{
    if (volume->released == released)
        return;
    volume->released = released;
    front_want(volume);
}

void vol_front_turn(struct vol *v)
{
    for (uint32_t i = 0; i < v->volumes; i++)
        if (v->volume[i].front)
            front_resume(v->volume[i].front);
}
