/* SPDX-License-Identifier: Apache-2.0 */
#include "service_world.h"

#include <string.h>

static const char *const item_names[ITEMS] = {"addr", "drbd", "fs", "nfs"};

static enum service_result fake_answer(struct world *w, size_t item, enum service_action action)
{
    struct fake *f = &w->items[item];

    switch (action) {
    case SERVICE_ACTION_START:
        f->runs = f->on_start == SERVICE_OK;
        return f->on_start;
    case SERVICE_ACTION_STOP:
        if (f->on_stop == SERVICE_OK)
            f->runs = false;
        return f->on_stop;
    default:
        if (f->mute)
            return SERVICE_CANNOT_TELL;
        if (f->on_monitor != SERVICE_OK)
            return f->on_monitor;
        return f->runs ? SERVICE_OK : SERVICE_NOT_RUNNING;
    }
}

void world_finish(struct world *w, uint64_t token, enum service_result result)
{
    world_event(w, (struct service_event){.kind = SERVICE_EV_ACTION_DONE,
                       .token = token,
                       .result = result,
                       .output = result == SERVICE_ERROR ? "it says no" : NULL});
}

static void world_run(struct world *w, const struct service_effect *e)
{
    static const char mark[] = "?+-?";

    if (e->action == SERVICE_ACTION_MONITOR)
        w->n_monitors++;
    if (e->action == SERVICE_ACTION_START || e->action == SERVICE_ACTION_STOP)
        hv_text_addf(&w->trace, "%c%s ", mark[e->action], item_names[e->item]);
    if (w->items[e->item].slow) {
        assert_true(w->n_running < RUNNING_MAX);
        w->running[w->n_running++] =
            (struct running){.token = e->token, .item = e->item, .action = e->action};
        return;
    }
    world_finish(w, e->token, fake_answer(w, e->item, e->action));
}

void world_finish_slow(struct world *w, enum service_result result)
{
    assert_true(w->n_running > 0);
    struct running r = w->running[0];
    memmove(w->running, w->running + 1, --w->n_running * sizeof r);
    if (result == SERVICE_OK)
        result = fake_answer(w, r.item, r.action);
    world_finish(w, r.token, result);
}

void world_event(struct world *w, struct service_event ev)
{
    struct service_effects fx;

    ev.now_ms = w->now_ms;
    service_step(w->s, &ev, &w->fx);
    fx = w->fx; /* carrying out an effect makes the next step */
    for (size_t i = 0; i < fx.n; i++) {
        const struct service_effect *e = &fx.items[i];
        if (e->kind == SERVICE_FX_REPORT) {
            w->reported = e->state;
            hv_strcopy(w->reason, sizeof w->reason, e->reason);
            hv_text_addf(&w->trace, "[%s] ", service_state_name(e->state));
        } else if (e->kind == SERVICE_FX_MOVE_NEEDED) {
            w->n_moves++;
            hv_text_add(&w->trace, "MOVE ");
        } else if (e->kind == SERVICE_FX_CANCEL) {
            hv_text_addf(&w->trace, "x%s ", item_names[e->item]);
        }
    }
    for (size_t i = 0; i < fx.n; i++)
        if (fx.items[i].kind == SERVICE_FX_RUN)
            world_run(w, &fx.items[i]);
}

void world_init(struct world *w)
{
    static const struct service_item_config items[ITEMS] = {
        {.name = "addr",
            .restarts_alone = true,
            .start_can_be_cut = true,
            .start_timeout_ms = 100,
            .stop_timeout_ms = 200,
            .monitor_timeout_ms = 300},
        {.name = "drbd", .start_can_be_cut = true},
        {.name = "fs", .start_can_be_cut = true},
        {.name = "nfs", .restarts_alone = true},
    };
    struct service_group_config group = {.name = "g",
        .items = items,
        .n_items = ITEMS,
        .monitor_ms = 1000,
        .restarts = 1,
        .restart_window_ms = 60000,
        .retry_ms = 5000};
    struct hv_diag diag;

    memset(w, 0, sizeof *w);
    w->now_ms = 1000000;
    w->s = service_new(&group, 1, NULL, &diag);
    assert_non_null(w->s);
}

void world_free(struct world *w)
{
    service_free(w->s);
    hv_text_free(&w->trace);
}

void world_begin(struct world *w)
{
    world_event(w, (struct service_event){.kind = SERVICE_EV_BEGIN});
}

void world_start(struct world *w)
{
    world_event(w, (struct service_event){.kind = SERVICE_EV_START});
}

void world_stop(struct world *w)
{
    world_event(w, (struct service_event){.kind = SERVICE_EV_STOP});
}

void world_advance(struct world *w, uint64_t ms)
{
    uint64_t until = w->now_ms + ms;

    for (unsigned turns = 0; service_next_timeout_ms(w->s) <= until; turns++) {
        assert_true(turns < 10000);
        if (service_next_timeout_ms(w->s) > w->now_ms)
            w->now_ms = service_next_timeout_ms(w->s);
        world_event(w, (struct service_event){.kind = SERVICE_EV_TICK});
    }
    w->now_ms = until;
}

enum service_state world_state(struct world *w)
{
    struct service_group_status st;

    service_group_status(w->s, 0, &st);
    return st.state;
}

enum service_item_state world_item(struct world *w, size_t item)
{
    struct service_item_status st;

    service_item_status(w->s, 0, item, &st);
    return st.state;
}

void world_expect(struct world *w, const char *trace)
{
    assert_string_equal(hv_text_str(&w->trace), trace);
    hv_text_free(&w->trace);
    memset(&w->trace, 0, sizeof w->trace);
}

void world_up(struct world *w)
{
    world_init(w);
    world_begin(w);
    world_start(w);
    world_expect(w, "[stopped] +addr +drbd +fs +nfs [started] ");
}
