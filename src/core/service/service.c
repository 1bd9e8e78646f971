/* SPDX-License-Identifier: Apache-2.0 */
/* The service engine: one table, every cell of it said. */
#include "service.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hv_assert.h"
#include "hv_text.h"
#include "service_group.h"

#define SERVICE_NAME(name, text) text,
static const char *const state_names[] = {SERVICE_STATES(SERVICE_NAME)};
static const char *const item_state_names[] = {SERVICE_ITEM_STATES(SERVICE_NAME)};
static const char *const action_names[] = {SERVICE_ACTIONS(SERVICE_NAME)};
#undef SERVICE_NAME

const char *service_state_name(enum service_state state)
{
    return (unsigned)state < SERVICE_STATE_COUNT ? state_names[state] : "?";
}

const char *service_item_state_name(enum service_item_state state)
{
    return (unsigned)state < SERVICE_ITEM_STATE_COUNT ? item_state_names[state] : "?";
}

const char *service_action_name(enum service_action action)
{
    return (unsigned)action < SERVICE_ACTION_COUNT ? action_names[action] : "?";
}

/* What the table is indexed by. */
enum group_event {
    EV_START,   /* the cluster wants it here */
    EV_STOP,    /* the cluster does not */
    EV_STEP,    /* the action that ran has done what the state needs */
    EV_FAILED,  /* it has not */
    EV_SETTLED, /* the last of the first probes has answered */
    EV_DEAD,    /* a resource that should run does not */
    EV_TIMER,
    GROUP_EVENTS
};

/* ---- going on ------------------------------------------------------------------------------- */

static void go_start(struct service *s, struct service_group *g)
{
    if (g->action_token)
        return;
    size_t i = service_next_start(g);
    if (i != SERVICE_NO_ITEM) {
        service_run(s, g, i, SERVICE_ACTION_START);
        return;
    }
    for (i = 0; i < g->n_items; i++)
        g->items[i].monitor_due_ms = s->now_ms + g->config.monitor_ms;
    g->retry_ms = g->config.retry_ms;
    service_enter(s, g, SERVICE_STARTED, "");
}

static void fail(struct service *s, struct service_group *g)
{
    service_enter(s, g, SERVICE_FAILED, g->reason);
    service_emit(s, g, SERVICE_FX_MOVE_NEEDED, SERVICE_NO_ITEM, g->reason);
    g->timer_ms = s->now_ms + g->retry_ms;
    g->retry_ms = g->retry_ms < 30000 ? g->retry_ms * 2 : 60000;
}

static void go_stop(struct service *s, struct service_group *g)
{
    if (g->action_token)
        return;
    size_t i = service_next_stop(g);
    if (i != SERVICE_NO_ITEM) {
        service_run(s, g, i, SERVICE_ACTION_STOP);
        return;
    }
    g->n_restarts = 0;
    if (g->wanted) /* what had to be stopped after a failed start, at last */
        fail(s, g);
    else
        service_enter(s, g, SERVICE_STOPPED, "");
}

static void go_recover(struct service *s, struct service_group *g)
{
    if (g->action_token)
        return;
    for (size_t i = g->n_items; i-- > 0;)
        if (g->items[i].redo) {
            service_run(s, g, i, SERVICE_ACTION_STOP);
            return;
        }
    go_start(s, g);
}

static void go_unwind(struct service *s, struct service_group *g)
{
    if (g->action_token)
        return;
    size_t i = service_next_stop(g);
    if (i != SERVICE_NO_ITEM)
        service_run(s, g, i, SERVICE_ACTION_STOP);
    else
        fail(s, g);
}

/* The dead are stopped first, with what stands on them: leftovers of a dead server hold its port. */
static bool mark_redo(struct service_group *g)
{
    bool any = false, rest = false;

    for (size_t i = 0; i < g->n_items; i++) {
        struct service_item *it = &g->items[i];
        bool dead = it->state == SERVICE_ITEM_DEAD;
        it->redo = dead || (rest && it->state != SERVICE_ITEM_STOPPED);
        rest |= dead && !it->config.restarts_alone;
        any |= it->redo;
    }
    return any;
}

/* ---- cells ---------------------------------------------------------------------------------- */

static void ignore(struct service *s, struct service_group *g)
{
    (void)s;
    (void)g;
}

static void want_up(struct service *s, struct service_group *g)
{
    (void)s;
    g->wanted = true;
    g->stop_asked = false;
}

static void begin_start(struct service *s, struct service_group *g)
{
    g->wanted = true;
    if (mark_redo(g)) {
        service_enter(s, g, SERVICE_RECOVERING, "");
        go_recover(s, g);
    } else {
        service_enter(s, g, SERVICE_STARTING, "");
        go_start(s, g);
    }
}

static void begin_stop(struct service *s, struct service_group *g)
{
    g->wanted = false;
    service_enter(s, g, SERVICE_STOPPING, "");
    if (g->action_token && g->action == SERVICE_ACTION_START &&
        g->items[g->action_item].config.start_can_be_cut) {
        hv_assert(s->fx->n < SERVICE_EFFECTS_MAX);
        s->fx->items[s->fx->n++] = (struct service_effect){.kind = SERVICE_FX_CANCEL,
            .group = (size_t)(g - s->groups),
            .item = g->action_item,
            .token = g->action_token,
            .reason = ""};
    }
    go_stop(s, g);
}

/* Asked for what is so already: the asker still waits for an answer. */
static void say_again(struct service *s, struct service_group *g)
{
    g->wanted = g->state == SERVICE_STARTED;
    service_emit(s, g, SERVICE_FX_REPORT, SERVICE_NO_ITEM, g->reason);
}

/* Also on a stop before the probes are through: nothing is stopped before we know what runs. */
static void want_down(struct service *s, struct service_group *g)
{
    g->wanted = false;
    g->stop_asked = true;
    (void)s;
}

static void settle(struct service *s, struct service_group *g)
{
    size_t started = 0, unsure = 0, mute = 0;
    bool wanted = g->wanted, stop = g->stop_asked;

    g->stop_asked = false;
    for (size_t i = 0; i < g->n_items; i++) {
        started += g->items[i].state == SERVICE_ITEM_STARTED;
        mute += g->items[i].no_monitor;
        unsure += g->items[i].state == SERVICE_ITEM_UNKNOWN && !g->items[i].no_monitor;
    }
    /* One that cannot tell is taken to do what the others do. */
    bool all = started && started + mute == g->n_items, none = !started && !unsure;
    for (size_t i = 0; i < g->n_items && (all || none); i++)
        g->items[i].state = all ? SERVICE_ITEM_STARTED : SERVICE_ITEM_STOPPED;
    if (all) {
        g->wanted = true;
        service_enter(s, g, SERVICE_STARTED, "was running already");
        for (size_t i = 0; i < g->n_items; i++)
            g->items[i].monitor_due_ms = s->now_ms + g->config.monitor_ms;
    } else {
        service_enter(s, g, none ? SERVICE_STOPPED : SERVICE_PARTIAL,
            none ? "" : "some of it was running already");
    }
    if (stop && !none)
        begin_stop(s, g);
    else if (wanted && !all)
        begin_start(s, g);
}

static void unwind(struct service *s, struct service_group *g)
{
    service_enter(s, g, SERVICE_UNWINDING, g->reason);
    go_unwind(s, g);
}

static void stop_again_later(struct service *s, struct service_group *g)
{
    if (++g->stops_tried < g->config.stop_tries) {
        g->timer_ms = s->now_ms + g->config.stop_pause_ms;
        return;
    }
    service_enter(s, g, SERVICE_STOP_FAILED, g->reason);
    g->timer_ms = s->now_ms + g->config.stop_again_ms;
}

static void retry_stop(struct service *s, struct service_group *g)
{
    service_enter(s, g, SERVICE_STOPPING, g->reason);
    go_stop(s, g);
}

static void recover_or_move(struct service *s, struct service_group *g)
{
    if (!service_may_restart(s, g)) {
        fail(s, g);
        return;
    }
    for (size_t i = 0; i < g->n_items; i++)
        g->items[i].restarts += g->items[i].state == SERVICE_ITEM_DEAD;
    service_enter(s, g, SERVICE_RECOVERING, g->reason);
    mark_redo(g);
    go_recover(s, g);
}

struct cell {
    void (*run)(struct service *s, struct service_group *g);
};

/* Rows: the group's state.  STOP before the end of a start stops what was started; START before the
 * end of a stop goes back up once the stop that runs is through. */
static const struct cell table[SERVICE_STATE_COUNT][GROUP_EVENTS] = {
    /*                      START          STOP          STEP          FAILED
     *                      SETTLED        DEAD          TIMER */
    [SERVICE_PROBING] = {{want_up}, {want_down}, {ignore}, {ignore}, {settle}, {ignore}, {ignore}},
    [SERVICE_STOPPED] = {{begin_start}, {say_again}, {ignore}, {ignore}, {ignore}, {ignore},
        {ignore}},
    [SERVICE_PARTIAL] = {{begin_start}, {begin_stop}, {ignore}, {ignore}, {ignore}, {ignore},
        {ignore}},
    [SERVICE_STARTING] = {{ignore}, {begin_stop}, {go_start}, {unwind}, {ignore}, {ignore},
        {ignore}},
    [SERVICE_STARTED] = {{say_again}, {begin_stop}, {ignore}, {ignore}, {ignore}, {recover_or_move},
        {ignore}},
    [SERVICE_RECOVERING] = {{ignore}, {begin_stop}, {go_recover}, {fail}, {ignore}, {ignore},
        {ignore}},
    [SERVICE_UNWINDING] = {{ignore}, {begin_stop}, {go_unwind}, {stop_again_later}, {ignore},
        {ignore}, {go_unwind}},
    [SERVICE_FAILED] = {{begin_start}, {begin_stop}, {ignore}, {ignore}, {ignore}, {ignore},
        {begin_start}},
    [SERVICE_STOPPING] = {{begin_start}, {ignore}, {go_stop}, {stop_again_later}, {ignore},
        {ignore}, {go_stop}},
    [SERVICE_STOP_FAILED] = {{begin_start}, {begin_stop}, {ignore}, {ignore}, {ignore}, {ignore},
        {retry_stop}},
};

static void dispatch(struct service *s, struct service_group *g, enum group_event event)
{
    table[g->state][event].run(s, g);
}

/* ---- what happened -------------------------------------------------------------------------- */

static void remember_error(struct service *s, struct service_group *g, struct service_item *it,
    enum service_action action, const struct service_event *ev)
{
    const char *output = ev->output ? ev->output : "";

    if (ev->result == SERVICE_TIMED_OUT)
        snprintf(it->error, sizeof it->error, "%s ran out of time%s%.200s",
            service_action_name(action), output[0] ? ": " : "", output);
    else
        snprintf(it->error, sizeof it->error, "%s%.230s",
            output[0] ? "" : service_action_name(action), output[0] ? output : " failed");
    hv_log(s->log, HV_LOG_WARN, "group %s: %s: %s", g->config.name, it->config.name, it->error);
    snprintf(g->reason, sizeof g->reason, "%.80s: %.170s", it->config.name, it->error);
}

static void action_done(struct service *s, struct service_group *g, const struct service_event *ev)
{
    struct service_item *it = &g->items[g->action_item];
    bool start = g->action == SERVICE_ACTION_START, ok = ev->result == SERVICE_OK;
    bool start_needed =
        g->state == SERVICE_STARTING || (g->state == SERVICE_RECOVERING && !it->redo);
    bool overtaken = start != start_needed;

    g->action_token = 0;
    it->redo = false;
    if (ok) {
        it->state = start ? SERVICE_ITEM_STARTED : SERVICE_ITEM_STOPPED;
        it->monitor_missed = false;
        it->error[0] = 0;
    } else {
        it->state = SERVICE_ITEM_UNKNOWN;
        if (ev->result != SERVICE_CANCELLED)
            remember_error(s, g, it, g->action, ev);
    }
    service_emit(s, g, SERVICE_FX_NOTIFY, (size_t)(it - g->items), it->error);
    /* After a start that a stop has overtaken, or the other way round, the state that we are in now
     * decides how to go on; what is unknown is done again. */
    dispatch(s, g, ok || overtaken || ev->result == SERVICE_CANCELLED ? EV_STEP : EV_FAILED);
}

static void probe_done(struct service *s, struct service_group *g, struct service_item *it,
    const struct service_event *ev)
{
    it->monitor_token = 0;
    it->no_monitor = ev->result == SERVICE_CANNOT_TELL;
    it->state = ev->result == SERVICE_OK            ? SERVICE_ITEM_STARTED
                : ev->result == SERVICE_NOT_RUNNING ? SERVICE_ITEM_STOPPED
                                                    : SERVICE_ITEM_UNKNOWN;
    if (ev->result == SERVICE_ERROR || ev->result == SERVICE_TIMED_OUT)
        remember_error(s, g, it, SERVICE_ACTION_PROBE, ev);
    for (size_t i = 0; i < g->n_items; i++)
        if (g->items[i].monitor_token)
            return;
    dispatch(s, g, EV_SETTLED);
}

static void monitor_done(struct service *s, struct service_group *g, struct service_item *it,
    const struct service_event *ev)
{
    bool stale = it->monitor_stale || g->state != SERVICE_STARTED;

    it->monitor_token = 0;
    it->monitor_stale = false;
    it->monitor_due_ms = s->now_ms + g->config.monitor_ms;
    if (stale)
        return;
    if (ev->result == SERVICE_OK || ev->result == SERVICE_CANCELLED) {
        it->monitor_missed = false;
        return;
    }
    if (ev->result == SERVICE_CANNOT_TELL) {
        it->no_monitor = true;
        return;
    }
    /* A machine under load answers late: once is no reason to take the service down. */
    if (ev->result == SERVICE_TIMED_OUT && !it->monitor_missed) {
        it->monitor_missed = true;
        it->monitor_due_ms = s->now_ms;
        hv_log(s->log, HV_LOG_WARN, "group %s: %s: a probe ran out of time; asking again",
            g->config.name, it->config.name);
        return;
    }
    it->monitor_missed = false;
    it->state = SERVICE_ITEM_DEAD;
    remember_error(s, g, it, SERVICE_ACTION_MONITOR, ev);
    if (ev->result == SERVICE_NOT_RUNNING && !(ev->output && ev->output[0]))
        hv_strcopy(it->error, sizeof it->error, "is not running any more");
    snprintf(g->reason, sizeof g->reason, "%.80s: %.170s", it->config.name, it->error);
    service_emit(s, g, SERVICE_FX_NOTIFY, (size_t)(it - g->items), it->error);
    dispatch(s, g, EV_DEAD);
}

static void token_done(struct service *s, const struct service_event *ev)
{
    for (size_t n = 0; n < s->n_groups; n++) {
        struct service_group *g = &s->groups[n];
        if (ev->token && g->action_token == ev->token) {
            action_done(s, g, ev);
            return;
        }
        for (size_t i = 0; i < g->n_items; i++) {
            if (!ev->token || g->items[i].monitor_token != ev->token)
                continue;
            if (g->state == SERVICE_PROBING)
                probe_done(s, g, &g->items[i], ev);
            else
                monitor_done(s, g, &g->items[i], ev);
            return;
        }
    }
}

static void probe_all(struct service *s, struct service_group *g)
{
    g->probes_due = false;
    g->since_ms = s->now_ms;
    for (size_t i = 0; i < g->n_items; i++)
        service_run(s, g, i, SERVICE_ACTION_PROBE);
    if (!g->n_items)
        dispatch(s, g, EV_SETTLED);
}

static void tick(struct service *s)
{
    for (size_t n = 0; n < s->n_groups; n++) {
        struct service_group *g = &s->groups[n];
        if (s->fx->n + 2 * SERVICE_ITEMS_MAX > SERVICE_EFFECTS_MAX)
            return; /* the rest is still due: the next timeout is now */
        if (g->probes_due)
            probe_all(s, g);
        if (g->timer_ms <= s->now_ms) {
            g->timer_ms = SERVICE_NEVER_MS;
            dispatch(s, g, EV_TIMER);
        }
        if (g->state == SERVICE_STARTED)
            service_monitor(s, g);
    }
}

void service_step(struct service *s, const struct service_event *ev, struct service_effects *fx)
{
    fx->n = 0;
    s->fx = fx;
    s->now_ms = ev->now_ms;
    switch (ev->kind) {
    case SERVICE_EV_BEGIN:
        for (size_t n = 0; n < s->n_groups; n++)
            s->groups[n].probes_due = true;
        tick(s);
        break;
    case SERVICE_EV_START:
    case SERVICE_EV_STOP:
        hv_assert(ev->group < s->n_groups);
        dispatch(s, &s->groups[ev->group], ev->kind == SERVICE_EV_START ? EV_START : EV_STOP);
        break;
    case SERVICE_EV_ACTION_DONE:
        token_done(s, ev);
        break;
    case SERVICE_EV_TICK:
        tick(s);
        break;
    }
    s->fx = NULL;
}

uint64_t service_next_timeout_ms(const struct service *s)
{
    uint64_t next = SERVICE_NEVER_MS;

    for (size_t n = 0; n < s->n_groups; n++) {
        const struct service_group *g = &s->groups[n];
        if (g->probes_due)
            return s->now_ms;
        if (g->timer_ms < next)
            next = g->timer_ms;
        if (g->state != SERVICE_STARTED)
            continue;
        for (size_t i = 0; i < g->n_items; i++) {
            const struct service_item *it = &g->items[i];
            if (!it->no_monitor && !it->monitor_token && it->monitor_due_ms < next)
                next = it->monitor_due_ms;
        }
    }
    return next;
}

/* ---- configuration and status --------------------------------------------------------------- */

static uint32_t or_default(uint32_t value, uint32_t otherwise)
{
    return value ? value : otherwise;
}

static int group_init(struct service_group *g, const struct service_group_config *c)
{
    g->config = *c;
    g->config.name = strdup(c->name);
    g->config.items = NULL;
    g->config.monitor_ms = or_default(c->monitor_ms, 2000);
    g->config.restart_window_ms = or_default(c->restart_window_ms, 60000);
    g->config.retry_ms = or_default(c->retry_ms, 3000);
    g->config.stop_tries = or_default(c->stop_tries, 3);
    g->config.stop_pause_ms = or_default(c->stop_pause_ms, 1000);
    g->config.stop_again_ms = or_default(c->stop_again_ms, 10000);
    g->retry_ms = g->config.retry_ms;
    g->timer_ms = SERVICE_NEVER_MS;
    if (!g->config.name)
        return HV_ENOMEM;
    for (size_t i = 0; i < c->n_items; i++) {
        struct service_item *it = &g->items[g->n_items++];
        it->config = c->items[i];
        it->config.name = strdup(c->items[i].name);
        if (!it->config.name)
            return HV_ENOMEM;
    }
    return HV_OK;
}

struct service *service_new(const struct service_group_config *groups, size_t n_groups,
    const struct hv_log *log, struct hv_diag *diag)
{
    if (n_groups > SERVICE_GROUPS_MAX) {
        hv_diag_set(
            diag, "%zu service groups; at most %d are possible", n_groups, SERVICE_GROUPS_MAX);
        return NULL;
    }
    for (size_t n = 0; n < n_groups; n++)
        if (groups[n].n_items > SERVICE_ITEMS_MAX) {
            hv_diag_set(diag, "group %s has %zu resources; at most %d are possible", groups[n].name,
                groups[n].n_items, SERVICE_ITEMS_MAX);
            return NULL;
        }
    struct service *s = calloc(1, sizeof *s);
    if (!s)
        goto out_of_memory;
    s->log = log;
    s->token_next = 1;
    s->groups = calloc(n_groups + 1, sizeof *s->groups);
    if (!s->groups)
        goto out_of_memory;
    for (size_t n = 0; n < n_groups; n++) {
        s->n_groups++;
        if (group_init(&s->groups[n], &groups[n]))
            goto out_of_memory;
    }
    return s;

out_of_memory:
    service_free(s);
    hv_diag_set(diag, "out of memory");
    return NULL;
}

void service_free(struct service *s)
{
    if (!s)
        return;
    for (size_t n = 0; n < s->n_groups; n++) {
        for (size_t i = 0; i < s->groups[n].n_items; i++)
            free((char *)(uintptr_t)s->groups[n].items[i].config.name);
        free((char *)(uintptr_t)s->groups[n].config.name);
    }
    free(s->groups);
    free(s);
}

size_t service_group_count(const struct service *s)
{
    return s->n_groups;
}

size_t service_group_find(const struct service *s, const char *name)
{
    size_t n = 0;

    while (n < s->n_groups && strcmp(s->groups[n].config.name, name))
        n++;
    return n;
}

void service_group_status(const struct service *s, size_t group, struct service_group_status *out)
{
    hv_assert(group < s->n_groups);
    const struct service_group *g = &s->groups[group];
    *out = (struct service_group_status){.name = g->config.name,
        .state = g->state,
        .wanted = g->wanted,
        .n_items = g->n_items,
        .since_ms = g->since_ms,
        .reason = g->reason};
}

void service_item_status(
    const struct service *s, size_t group, size_t item, struct service_item_status *out)
{
    hv_assert(group < s->n_groups && item < s->groups[group].n_items);
    const struct service_group *g = &s->groups[group];
    const struct service_item *it = &g->items[item];
    *out = (struct service_item_status){.name = it->config.name,
        .state = it->state,
        .busy = g->action_token && g->action_item == item,
        .action = g->action,
        .restarts = it->restarts,
        .error = it->error};
}
