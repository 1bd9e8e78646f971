/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "crypto.h"
#include "hv_assert.h"
#include "hv_text.h"
#include "vol.h"

enum { QUEUE_FIRST = 64, PROGRESS_MS = 1000 };

static void effect_run(struct vol *v, struct repl_effect *fx)
{
    switch (fx->kind) {
    case REPL_FX_LISTEN:
    case REPL_FX_CONNECT:
    case REPL_FX_SOCK_CLOSE:
    case REPL_FX_SEND:
    case REPL_FX_CORK:
        vol_link_effect(v, fx);
        break;
    case REPL_FX_READ:
    case REPL_FX_WRITE:
    case REPL_FX_FLUSH:
    case REPL_FX_DISCARD:
    case REPL_FX_ZEROES:
    case REPL_FX_MD_READ:
    case REPL_FX_MD_WRITE:
        vol_disk_effect(v, fx);
        break;
    case REPL_FX_CLOSE_DISK:
        vol_disk_close(&v->volume[fx->io.volume]);
        break;
    case REPL_FX_APP_DONE:
    case REPL_FX_FRONT:
        vol_front_effect(v, fx);
        break;
    case REPL_FX_HANDLER:
        vol_handler_effect(v, fx);
        break;
    case REPL_FX_ADMIN_DONE:
        vol_job_admin_done(v, fx);
        break;
    case REPL_FX_CHANGED:
        vol_ctl_changed(v);
        break;
    }
}

static void step(struct vol *v, struct repl_event *ev)
{
    crypto_entropy_refill(&v->entropy);
    ev->entropy = &v->entropy;
    ev->now_ms = loop_clock_ms();
    v->fx.count = 0;
    repl_step(v->repl, ev, &v->fx);
    for (uint32_t i = 0; i < v->fx.count; i++)
        effect_run(v, &v->fx.list[i]);
    v->fx.count = 0;
}

static void queue_push(struct vol *v, const struct repl_event *ev)
{
    if (v->queue_count == v->queue_capacity) {
        uint32_t more = v->queue_capacity ? 2 * v->queue_capacity : QUEUE_FIRST;
        struct repl_event *q = malloc(more * sizeof *q);
        hv_assert(q);
        for (uint32_t i = 0; i < v->queue_count; i++)
            q[i] = v->queue[(v->queue_head + i) % v->queue_capacity];
        free(v->queue);
        v->queue = q;
        v->queue_capacity = more;
        v->queue_head = 0;
    }
    v->queue[(v->queue_head + v->queue_count++) % v->queue_capacity] = *ev;
}

void vol_event(struct vol *v, const struct repl_event *ev)
{
    struct repl_event next = *ev;

    if (v->stepping) {
        /* Only what carries no borrowed bytes comes up while effects are carried out. */
        hv_assert(ev->kind != REPL_EV_RECV);
        queue_push(v, ev);
        return;
    }
    v->stepping = true;
    step(v, &next);
    while (v->queue_count) {
        next = v->queue[v->queue_head];
        v->queue_head = (v->queue_head + 1) % v->queue_capacity;
        v->queue_count--;
        step(v, &next);
    }
    v->stepping = false;
}

static void tick_fired(struct loop_timer *t)
{
    struct vol *v = hv_container_of(t, struct vol, tick);
    const struct repl_event ev = {.kind = REPL_EV_TICK};

    vol_event(v, &ev);
}

static void engine_turn(struct loop_hook *hook)
{
    struct vol *v = hv_container_of(hook, struct vol, turn);

    vol_link_turn(v);
    vol_front_turn(v);
    uint64_t at_ms = repl_next_timeout(v->repl);
    if (at_ms == UINT64_MAX)
        loop_timer_disarm(v->loop, &v->tick);
    else if (!loop_timer_armed(&v->tick) || v->tick.at_ms != at_ms)
        loop_timer_arm(v->loop, &v->tick, at_ms);
}

/* Bytes that arrive and requests of the front need the largest size, since neither says before how
 * much it is; a buffer of it that holds 4 KiB costs 4 KiB. */
static int pool_new(struct vol *v)
{
    const struct store_pool_config config = {.count = {4096, 512, 256, VOL_REQUESTS_MAX + 256}};

    return store_pool_new(&config, &v->pool);
}

int vol_engine_start(struct vol *v, struct hv_diag *diag)
{
    struct repl_config *config = calloc(1, sizeof *config);
    int rv = HV_ENOMEM;

    if (!config || pool_new(v))
        goto out;
    hv_strcopy(config->name, sizeof config->name, v->name);
    vol_config_net(v->resource, &config->net);
    config->on_no_data = v->resource->options.on_no_data == CONF_NO_DATA_SUSPEND_IO
                             ? REPL_NO_DATA_SUSPEND_IO
                             : REPL_NO_DATA_IO_ERROR;
    config->volumes = v->volumes;
    for (uint32_t i = 0; i < v->volumes; i++) {
        config->volume[i].vnr = (uint16_t)v->volume[i].conf->vnr;
        config->volume[i].minor = v->volume[i].conf->minor;
        vol_config_disk(v->volume[i].conf, &config->volume[i].disk);
    }
    config->requests_max = VOL_REQUESTS_MAX;
    config->digest = &crypto_digests;
    config->bufs = store_pool_bufs(v->pool);
    config->log = vol_log_for_core();
    rv = repl_new(config, &v->repl, diag);
    if (rv)
        goto out;
    v->fx.capacity = repl_effects_max(v->repl);
    v->fx.list = calloc(v->fx.capacity, sizeof *v->fx.list);
    if (!v->fx.list) {
        rv = HV_ENOMEM;
        goto out;
    }
    v->entropy.used = HV_ENTROPY_BYTES;
    v->tick.fired = tick_fired;
    v->turn.turn = engine_turn;
    loop_hook_add(v->loop, &v->turn);
out:
    free(config);
    return rv;
}

void vol_engine_end(struct vol *v)
{
    if (v->turn.turn)
        loop_hook_remove(v->loop, &v->turn);
    loop_timer_disarm(v->loop, &v->tick);
    if (v->repl)
        repl_free(v->repl);
    v->repl = NULL;
    free(v->fx.list);
    free(v->queue);
}
