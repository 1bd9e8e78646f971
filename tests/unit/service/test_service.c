/* SPDX-License-Identifier: Apache-2.0 */
/* The service engine against resources that live in an array and a clock that the test turns. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "hv_text.h"
#include "service.h"

enum { ITEMS = 4, RUNNING_MAX = 16 };

static const char *const item_names[ITEMS] = {"addr", "drbd", "fs", "nfs"};

/* What a resource does when it is asked. */
struct fake {
    bool runs;
    enum service_result on_start, on_stop, on_monitor; /* SERVICE_OK: the truth */
    bool slow;                                         /* the action ends when the test says so */
    bool mute;
};

struct running {
    uint64_t token;
    size_t item;
    enum service_action action;
};

struct world {
    struct service *s;
    struct service_effects fx;
    uint64_t now_ms;
    struct fake items[ITEMS];
    struct running running[RUNNING_MAX]; /* slow ones */
    size_t n_running;
    struct hv_text trace; /* "+addr -nfs !report … " in order */
    unsigned n_monitors;
    unsigned n_moves;
    enum service_state reported;
    char reason[SERVICE_REASON_BYTES];
};

static void world_event(struct world *w, struct service_event ev);

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

static void world_finish(struct world *w, uint64_t token, enum service_result result)
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

/* Ends the oldest slow action. */
static void world_finish_slow(struct world *w, enum service_result result)
{
    assert_true(w->n_running > 0);
    struct running r = w->running[0];
    memmove(w->running, w->running + 1, --w->n_running * sizeof r);
    if (result == SERVICE_OK)
        result = fake_answer(w, r.item, r.action);
    world_finish(w, r.token, result);
}

static void world_event(struct world *w, struct service_event ev)
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

static void world_init(struct world *w)
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

static void world_free(struct world *w)
{
    service_free(w->s);
    hv_text_free(&w->trace);
}

static void world_begin(struct world *w)
{
    world_event(w, (struct service_event){.kind = SERVICE_EV_BEGIN});
}

static void world_start(struct world *w)
{
    world_event(w, (struct service_event){.kind = SERVICE_EV_START});
}

static void world_stop(struct world *w)
{
    world_event(w, (struct service_event){.kind = SERVICE_EV_STOP});
}

static void world_advance(struct world *w, uint64_t ms)
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

static enum service_state world_state(struct world *w)
{
    struct service_group_status st;

    service_group_status(w->s, 0, &st);
    return st.state;
}

static enum service_item_state world_item(struct world *w, size_t item)
{
    struct service_item_status st;

    service_item_status(w->s, 0, item, &st);
    return st.state;
}

/* Compares what was done since the last call. */
static void expect(struct world *w, const char *trace)
{
    assert_string_equal(hv_text_str(&w->trace), trace);
    hv_text_free(&w->trace);
    memset(&w->trace, 0, sizeof w->trace);
}

static void world_up(struct world *w)
{
    world_init(w);
    world_begin(w);
    world_start(w);
    expect(w, "[stopped] +addr +drbd +fs +nfs [started] ");
}

/* ---- starting and stopping ------------------------------------------------------------------ */

static void starts_left_to_right_and_stops_right_to_left(void **state)
{
    struct world w;

    (void)state;
    world_up(&w);
    assert_int_equal(world_state(&w), SERVICE_STARTED);
    world_stop(&w);
    expect(&w, "-nfs -fs -drbd -addr [stopped] ");
    assert_int_equal(world_state(&w), SERVICE_STOPPED);
    world_free(&w);
}

static void what_runs_already_is_adopted(void **state)
{
    struct world w;

    (void)state;
    world_init(&w);
    for (size_t i = 0; i < ITEMS; i++)
        w.items[i].runs = true;
    world_begin(&w);
    expect(&w, "[started] ");
    world_start(&w);
    expect(&w, "[started] ");
    world_free(&w);
}

static void one_that_cannot_tell_is_adopted_with_the_others(void **state)
{
    struct world w;

    (void)state;
    world_init(&w);
    for (size_t i = 0; i < ITEMS; i++)
        w.items[i].runs = true;
    w.items[3].mute = true;
    world_begin(&w);
    expect(&w, "[started] ");
    world_stop(&w);
    expect(&w, "-nfs -fs -drbd -addr [stopped] ");
    world_free(&w);
}

static void one_that_cannot_tell_is_stopped_when_the_others_are(void **state)
{
    struct world w;

    (void)state;
    world_init(&w);
    w.items[3].mute = true;
    world_begin(&w);
    expect(&w, "[stopped] ");
    world_stop(&w);
    expect(&w, "[stopped] "); /* and the script was not run */
    world_free(&w);
}

static void half_a_group_is_left_alone_until_told(void **state)
{
    struct world w;

    (void)state;
    world_init(&w);
    w.items[0].runs = w.items[1].runs = true;
    world_begin(&w);
    expect(&w, "[partial] ");
    world_advance(&w, 100000);
    expect(&w, "");
    world_start(&w);
    expect(&w, "+fs +nfs [started] ");
    world_free(&w);
}

static void half_a_group_can_be_stopped(void **state)
{
    struct world w;

    (void)state;
    world_init(&w);
    w.items[1].runs = true;
    world_begin(&w);
    world_stop(&w);
    expect(&w, "[partial] -drbd [stopped] ");
    world_free(&w);
}

static void a_probe_that_fails_leads_to_a_stop_before_stopped_is_said(void **state)
{
    struct world w;

    (void)state;
    world_init(&w);
    w.items[2].on_monitor = SERVICE_ERROR;
    world_begin(&w);
    world_stop(&w);
    expect(&w, "[partial] -fs [stopped] ");
    world_free(&w);
}

static void a_start_during_the_first_probes_waits_for_them(void **state)
{
    struct world w;

    (void)state;
    world_init(&w);
    w.items[2].slow = true;
    world_begin(&w);
    world_start(&w);
    expect(&w, "");
    w.items[2].slow = false;
    world_finish_slow(&w, SERVICE_OK);
    expect(&w, "[stopped] +addr +drbd +fs +nfs [started] ");
    world_free(&w);
}

static void a_stop_during_the_first_probes_wins_over_adoption(void **state)
{
    struct world w;

    (void)state;
    world_init(&w);
    for (size_t i = 0; i < ITEMS; i++)
        w.items[i].runs = true;
    w.items[0].slow = true;
    world_begin(&w);
    world_stop(&w);
    w.items[0].slow = false;
    world_finish_slow(&w, SERVICE_OK);
    expect(&w, "[started] -nfs -fs -drbd -addr [stopped] ");
    world_free(&w);
}

static void a_stop_during_a_start_cuts_it_and_stops_what_was_started(void **state)
{
    struct world w;

    (void)state;
    world_init(&w);
    world_begin(&w);
    w.items[2].slow = true;
    world_start(&w);
    expect(&w, "[stopped] +addr +drbd +fs ");
    world_stop(&w);
    expect(&w, "xfs ");
    w.items[2].slow = false;
    world_finish_slow(&w, SERVICE_CANCELLED);
    expect(&w, "-fs -drbd -addr [stopped] ");
    world_free(&w);
}

static void a_start_that_must_not_be_cut_is_waited_for(void **state)
{
    struct world w;

    (void)state;
    world_init(&w);
    world_begin(&w);
    w.items[3].slow = true;
    world_start(&w);
    world_stop(&w);
    expect(&w, "[stopped] +addr +drbd +fs +nfs ");
    w.items[3].slow = false;
    world_finish_slow(&w, SERVICE_OK);
    expect(&w, "-nfs -fs -drbd -addr [stopped] ");
    world_free(&w);
}

static void a_start_that_fails_after_the_stop_came_is_not_a_failure(void **state)
{
    struct world w;

    (void)state;
    world_init(&w);
    world_begin(&w);
    w.items[3].slow = true;
    world_start(&w);
    world_stop(&w);
    w.items[3].slow = false;
    world_finish_slow(&w, SERVICE_ERROR);
    expect(&w, "[stopped] +addr +drbd +fs +nfs -nfs -fs -drbd -addr [stopped] ");
    assert_int_equal(w.n_moves, 0);
    world_free(&w);
}

static void a_start_during_a_stop_goes_back_up(void **state)
{
    struct world w;

    (void)state;
    world_up(&w);
    w.items[2].slow = true;
    world_stop(&w);
    expect(&w, "-nfs -fs ");
    world_start(&w);
    expect(&w, "");
    w.items[2].slow = false;
    world_finish_slow(&w, SERVICE_OK);
    expect(&w, "+fs +nfs [started] ");
    world_free(&w);
}

static void a_failed_stop_overtaken_by_a_start_is_started_over(void **state)
{
    struct world w;

    (void)state;
    world_up(&w);
    w.items[2].slow = true;
    world_stop(&w);
    world_start(&w);
    w.items[2].slow = false;
    world_finish_slow(&w, SERVICE_ERROR);
    expect(&w, "-nfs -fs +fs +nfs [started] ");
    world_free(&w);
}

static void a_cut_start_goes_on_when_start_comes_again(void **state)
{
    struct world w;

    (void)state;
    world_init(&w);
    world_begin(&w);
    w.items[1].slow = true;
    world_start(&w);
    world_stop(&w);
    world_start(&w);
    w.items[1].slow = false;
    world_finish_slow(&w, SERVICE_CANCELLED);
    expect(&w, "[stopped] +addr +drbd xdrbd +drbd +fs +nfs [started] ");
    world_free(&w);
}

static void both_requests_are_answered_when_they_change_nothing(void **state)
{
    struct world w;

    (void)state;
    world_up(&w);
    world_start(&w);
    expect(&w, "[started] ");
    world_stop(&w);
    world_stop(&w);
    expect(&w, "-nfs -fs -drbd -addr [stopped] [stopped] ");
    world_free(&w);
}

/* ---- failing starts and stops --------------------------------------------------------------- */

static void a_failed_start_stops_what_was_started_and_asks_to_move(void **state)
{
    struct world w;

    (void)state;
    world_init(&w);
    world_begin(&w);
    w.items[2].on_start = SERVICE_ERROR;
    world_start(&w);
    /* The one that failed is stopped too: it may be half up. */
    expect(&w, "[stopped] +addr +drbd +fs -fs -drbd -addr [failed] MOVE ");
    assert_string_equal(w.reason, "fs: it says no");
    world_stop(&w);
    expect(&w, "[stopped] ");
    world_free(&w);
}

static void a_start_that_runs_out_of_time_says_so(void **state)
{
    struct world w;

    (void)state;
    world_init(&w);
    world_begin(&w);
    w.items[1].on_start = SERVICE_TIMED_OUT;
    world_start(&w);
    assert_string_equal(w.reason, "drbd: start ran out of time");
    world_free(&w);
}

static void a_failed_group_tries_again_where_it_is_with_growing_pauses(void **state)
{
    struct world w;

    (void)state;
    world_init(&w);
    world_begin(&w);
    w.items[0].on_start = SERVICE_ERROR;
    world_start(&w);
    expect(&w, "[stopped] +addr -addr [failed] MOVE ");
    world_advance(&w, 4999);
    expect(&w, "");
    world_advance(&w, 1);
    expect(&w, "+addr -addr [failed] MOVE ");
    world_advance(&w, 9999);
    expect(&w, "");
    w.items[0].on_start = SERVICE_OK;
    world_advance(&w, 1);
    expect(&w, "+addr +drbd +fs +nfs [started] ");
    world_free(&w);
}

static void a_failed_stop_is_tried_again_then_blocks_the_group(void **state)
{
    struct world w;

    (void)state;
    world_up(&w);
    w.items[2].on_stop = SERVICE_ERROR;
    world_stop(&w);
    expect(&w, "-nfs -fs ");
    world_advance(&w, 1000);
    expect(&w, "-fs ");
    world_advance(&w, 1000);
    expect(&w, "-fs [stop failed] ");
    assert_int_equal(world_state(&w), SERVICE_STOP_FAILED);
    assert_int_equal(world_item(&w, 1), SERVICE_ITEM_STARTED); /* nothing under it was touched */
    world_free(&w);
}

static void a_blocked_group_is_released_once_the_stop_succeeds(void **state)
{
    struct world w;

    (void)state;
    world_up(&w);
    w.items[2].on_stop = SERVICE_TIMED_OUT;
    world_stop(&w);
    world_advance(&w, 2000);
    expect(&w, "-nfs -fs -fs -fs [stop failed] ");
    w.items[2].on_stop = SERVICE_OK;
    world_advance(&w, 10000);
    expect(&w, "-fs -drbd -addr [stopped] ");
    world_free(&w);
}

static void a_blocked_group_may_be_started_again_where_it_is(void **state)
{
    struct world w;

    (void)state;
    world_up(&w);
    w.items[2].on_stop = SERVICE_ERROR;
    world_stop(&w);
    world_advance(&w, 2000);
    expect(&w, "-nfs -fs -fs -fs [stop failed] ");
    world_start(&w);
    expect(&w, "+fs +nfs [started] ");
    world_free(&w);
}

static void a_stop_that_fails_after_a_failed_start_blocks_and_later_asks_to_move(void **state)
{
    struct world w;

    (void)state;
    world_init(&w);
    world_begin(&w);
    w.items[3].on_start = SERVICE_ERROR;
    w.items[2].on_stop = SERVICE_ERROR;
    world_start(&w);
    world_advance(&w, 2000);
    expect(&w, "[stopped] +addr +drbd +fs +nfs -nfs -fs -fs -fs [stop failed] ");
    w.items[2].on_stop = SERVICE_OK;
    world_advance(&w, 10000);
    expect(&w, "-fs -drbd -addr [failed] MOVE ");
    world_free(&w);
}

/* ---- probing -------------------------------------------------------------------------------- */

static void every_resource_is_probed_each_interval(void **state)
{
    struct world w;

    (void)state;
    world_up(&w);
    world_advance(&w, 999);
    assert_int_equal(w.n_monitors, 0);
    world_advance(&w, 1);
    assert_int_equal(w.n_monitors, ITEMS);
    world_advance(&w, 9000);
    assert_int_equal(w.n_monitors, 10 * ITEMS);
    expect(&w, "");
    world_free(&w);
}

static void a_dead_server_is_restarted_alone(void **state)
{
    struct world w;

    (void)state;
    world_up(&w);
    w.items[3].runs = false;
    world_advance(&w, 1000);
    expect(&w, "-nfs +nfs [started] ");
    world_free(&w);
}

static void a_dead_address_does_not_disturb_what_is_right_of_it(void **state)
{
    struct world w;

    (void)state;
    world_up(&w);
    w.items[0].runs = false;
    world_advance(&w, 1000);
    expect(&w, "-addr +addr [started] ");
    world_free(&w);
}

static void a_dead_mount_takes_what_stands_on_it_with_it(void **state)
{
    struct world w;

    (void)state;
    world_up(&w);
    w.items[2].on_monitor = SERVICE_ERROR;
    w.items[2].slow = false;
    world_advance(&w, 1000);
    expect(&w, "xnfs -nfs -fs +fs +nfs [started] ");
    world_free(&w);
}

static void restarts_are_counted_and_the_group_moves_when_it_recurs(void **state)
{
    struct world w;
    struct service_item_status st;

    (void)state;
    world_up(&w);
    w.items[3].runs = false;
    world_advance(&w, 1000);
    expect(&w, "-nfs +nfs [started] ");
    service_item_status(w.s, 0, 3, &st);
    assert_int_equal(st.restarts, 1);
    w.items[3].runs = false;
    world_advance(&w, 1000);
    expect(&w, "[failed] MOVE ");
    assert_string_equal(w.reason, "nfs: is not running any more");
    world_stop(&w);
    expect(&w, "-nfs -fs -drbd -addr [stopped] ");
    world_free(&w);
}

static void a_restart_long_ago_is_forgotten(void **state)
{
    struct world w;

    (void)state;
    world_up(&w);
    w.items[3].runs = false;
    world_advance(&w, 1000);
    world_advance(&w, 60000);
    w.items[3].runs = false;
    world_advance(&w, 1000);
    expect(&w, "-nfs +nfs [started] -nfs +nfs [started] ");
    world_free(&w);
}

static void a_group_that_may_not_move_recovers_after_a_pause(void **state)
{
    struct world w;

    (void)state;
    world_up(&w);
    w.items[3].runs = false;
    world_advance(&w, 1000);
    w.items[3].runs = false;
    world_advance(&w, 1000);
    expect(&w, "-nfs +nfs [started] [failed] MOVE ");
    world_advance(&w, 5000);
    expect(&w, "-nfs +nfs [started] ");
    world_free(&w);
}

static void a_restart_that_fails_asks_to_move(void **state)
{
    struct world w;

    (void)state;
    world_up(&w);
    w.items[3].runs = false;
    w.items[3].on_start = SERVICE_ERROR;
    world_advance(&w, 1000);
    expect(&w, "-nfs +nfs [failed] MOVE ");
    world_free(&w);
}

static void a_stop_during_a_restart_stops_everything(void **state)
{
    struct world w;

    (void)state;
    world_up(&w);
    w.items[2].runs = false;
    w.items[3].slow = true;
    world_advance(&w, 1000);
    /* The stop of nfs runs; the probe of nfs that was under way was given up for it. */
    expect(&w, "xnfs -nfs ");
    world_stop(&w);
    expect(&w, "");
    w.items[3].slow = false;
    world_finish_slow(&w, SERVICE_OK);        /* the stop */
    world_finish_slow(&w, SERVICE_CANCELLED); /* the probe */
    expect(&w, "-fs -drbd -addr [stopped] ");
    world_free(&w);
}

static void one_late_probe_is_forgiven_two_are_not(void **state)
{
    struct world w;

    (void)state;
    world_up(&w);
    w.items[3].slow = true;
    world_advance(&w, 1000);
    world_finish_slow(&w, SERVICE_TIMED_OUT);
    expect(&w, "");
    world_advance(&w, 0); /* asked again at once */
    world_finish_slow(&w, SERVICE_OK);
    expect(&w, "");
    world_advance(&w, 1000);
    world_finish_slow(&w, SERVICE_TIMED_OUT);
    world_advance(&w, 0);
    w.items[3].slow = false;
    world_finish_slow(&w, SERVICE_TIMED_OUT);
    expect(&w, "-nfs +nfs [started] ");
    world_free(&w);
}

static void a_probe_that_answers_after_the_stop_changes_nothing(void **state)
{
    struct world w;

    (void)state;
    world_up(&w);
    w.items[0].slow = true;
    world_advance(&w, 1000);
    w.items[0].slow = false;
    world_stop(&w);
    expect(&w, "-nfs -fs -drbd xaddr -addr [stopped] ");
    world_finish_slow(&w, SERVICE_ERROR);
    expect(&w, "");
    assert_int_equal(world_item(&w, 0), SERVICE_ITEM_STOPPED);
    world_free(&w);
}

static void one_that_cannot_tell_is_not_asked_again(void **state)
{
    struct world w;

    (void)state;
    world_init(&w);
    w.items[3].mute = true;
    world_begin(&w);
    world_start(&w);
    world_advance(&w, 5000);
    assert_int_equal(w.n_monitors, 5 * (ITEMS - 1));
    world_free(&w);
}

static void nothing_is_probed_while_stopped(void **state)
{
    struct world w;

    (void)state;
    world_up(&w);
    world_stop(&w);
    assert_true(service_next_timeout_ms(w.s) == UINT64_MAX);
    world_free(&w);
}

static void time_limits_are_handed_on(void **state)
{
    struct world w;
    struct service_effects fx;
    struct service_event ev = {.kind = SERVICE_EV_BEGIN, .now_ms = 5};

    (void)state;
    world_init(&w);
    service_step(w.s, &ev, &fx);
    assert_int_equal(fx.n, ITEMS);
    assert_int_equal(fx.items[0].kind, SERVICE_FX_RUN);
    assert_int_equal(fx.items[0].action, SERVICE_ACTION_PROBE);
    assert_int_equal(fx.items[0].timeout_ms, 300);
    world_free(&w);
}

static void an_unknown_token_is_ignored(void **state)
{
    struct world w;

    (void)state;
    world_up(&w);
    world_finish(&w, 0, SERVICE_ERROR);
    world_finish(&w, 999999, SERVICE_ERROR);
    expect(&w, "");
    world_free(&w);
}

/* ---- many groups ---------------------------------------------------------------------------- */

static void many_groups_are_probed_within_the_bound_of_effects(void **state)
{
    struct service_item_config items[SERVICE_ITEMS_MAX];
    struct service_group_config groups[SERVICE_GROUPS_MAX];
    struct service_effects fx;
    struct hv_diag diag;
    size_t runs = 0;

    (void)state;
    for (size_t i = 0; i < SERVICE_ITEMS_MAX; i++)
        items[i] = (struct service_item_config){.name = "i"};
    for (size_t i = 0; i < SERVICE_GROUPS_MAX; i++)
        groups[i] = (struct service_group_config){
            .name = "g", .items = items, .n_items = SERVICE_ITEMS_MAX};
    struct service *s = service_new(groups, SERVICE_GROUPS_MAX, NULL, &diag);
    struct service_event ev = {.kind = SERVICE_EV_BEGIN, .now_ms = 7};
    service_step(s, &ev, &fx);
    runs += fx.n;
    while (service_next_timeout_ms(s) <= 7) {
        ev.kind = SERVICE_EV_TICK;
        service_step(s, &ev, &fx);
        assert_true(fx.n > 0);
        runs += fx.n;
    }
    assert_int_equal(runs, SERVICE_ITEMS_MAX * SERVICE_GROUPS_MAX);
    service_free(s);
}

static void too_many_resources_are_refused_with_a_sentence(void **state)
{
    struct service_group_config group = {.name = "big", .n_items = SERVICE_ITEMS_MAX + 1};
    struct hv_diag diag = {""};

    (void)state;
    assert_null(service_new(&group, 1, NULL, &diag));
    assert_string_equal(diag.text, "group big has 33 resources; at most 32 are possible");
}

static void a_group_is_found_by_its_name(void **state)
{
    struct world w;

    (void)state;
    world_init(&w);
    assert_int_equal(service_group_find(w.s, "g"), 0);
    assert_int_equal(service_group_find(w.s, "h"), service_group_count(w.s));
    world_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(starts_left_to_right_and_stops_right_to_left),
        cmocka_unit_test(what_runs_already_is_adopted),
        cmocka_unit_test(one_that_cannot_tell_is_adopted_with_the_others),
        cmocka_unit_test(one_that_cannot_tell_is_stopped_when_the_others_are),
        cmocka_unit_test(half_a_group_is_left_alone_until_told),
        cmocka_unit_test(half_a_group_can_be_stopped),
        cmocka_unit_test(a_probe_that_fails_leads_to_a_stop_before_stopped_is_said),
        cmocka_unit_test(a_start_during_the_first_probes_waits_for_them),
        cmocka_unit_test(a_stop_during_the_first_probes_wins_over_adoption),
        cmocka_unit_test(a_stop_during_a_start_cuts_it_and_stops_what_was_started),
        cmocka_unit_test(a_start_that_must_not_be_cut_is_waited_for),
        cmocka_unit_test(a_start_that_fails_after_the_stop_came_is_not_a_failure),
        cmocka_unit_test(a_start_during_a_stop_goes_back_up),
        cmocka_unit_test(a_failed_stop_overtaken_by_a_start_is_started_over),
        cmocka_unit_test(a_cut_start_goes_on_when_start_comes_again),
        cmocka_unit_test(both_requests_are_answered_when_they_change_nothing),
        cmocka_unit_test(a_failed_start_stops_what_was_started_and_asks_to_move),
        cmocka_unit_test(a_start_that_runs_out_of_time_says_so),
        cmocka_unit_test(a_failed_group_tries_again_where_it_is_with_growing_pauses),
        cmocka_unit_test(a_failed_stop_is_tried_again_then_blocks_the_group),
        cmocka_unit_test(a_blocked_group_is_released_once_the_stop_succeeds),
        cmocka_unit_test(a_blocked_group_may_be_started_again_where_it_is),
        cmocka_unit_test(a_stop_that_fails_after_a_failed_start_blocks_and_later_asks_to_move),
        cmocka_unit_test(every_resource_is_probed_each_interval),
        cmocka_unit_test(a_dead_server_is_restarted_alone),
        cmocka_unit_test(a_dead_address_does_not_disturb_what_is_right_of_it),
        cmocka_unit_test(a_dead_mount_takes_what_stands_on_it_with_it),
        cmocka_unit_test(restarts_are_counted_and_the_group_moves_when_it_recurs),
        cmocka_unit_test(a_restart_long_ago_is_forgotten),
        cmocka_unit_test(a_group_that_may_not_move_recovers_after_a_pause),
        cmocka_unit_test(a_restart_that_fails_asks_to_move),
        cmocka_unit_test(a_stop_during_a_restart_stops_everything),
        cmocka_unit_test(one_late_probe_is_forgiven_two_are_not),
        cmocka_unit_test(a_probe_that_answers_after_the_stop_changes_nothing),
        cmocka_unit_test(one_that_cannot_tell_is_not_asked_again),
        cmocka_unit_test(nothing_is_probed_while_stopped),
        cmocka_unit_test(time_limits_are_handed_on),
        cmocka_unit_test(an_unknown_token_is_ignored),
        cmocka_unit_test(many_groups_are_probed_within_the_bound_of_effects),
        cmocka_unit_test(too_many_resources_are_refused_with_a_sentence),
        cmocka_unit_test(a_group_is_found_by_its_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
