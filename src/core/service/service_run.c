/* SPDX-License-Identifier: Apache-2.0 */
/* Actions, probes and reports of the service engine. */
#include <stdio.h>
#include <string.h>

#include "hv_assert.h"
#include "hv_text.h"
#include "service_group.h"

static size_t group_index(const struct service *s, const struct service_group *g)
{
    return (size_t)(g - s->groups);
}

static struct service_effect *effect_add(
    struct service *s, struct service_group *g, enum service_effect_kind kind, size_t item)
{
    hv_assert(s->fx->n < SERVICE_EFFECTS_MAX);
    struct service_effect *e = &s->fx->items[s->fx->n++];
    *e = (struct service_effect){
        .kind = kind, .group = group_index(s, g), .item = item, .state = g->state, .reason = ""};
    return e;
}

void service_emit(struct service *s, struct service_group *g, enum service_effect_kind kind,
    size_t item, const char *reason)
{
    effect_add(s, g, kind, item)->reason = reason;
}

static bool cluster_must_know(enum service_state state)
{
    return state == SERVICE_STOPPED || state == SERVICE_PARTIAL || state == SERVICE_STARTED ||
           state == SERVICE_FAILED || state == SERVICE_STOP_FAILED;
}

void service_enter(
    struct service *s, struct service_group *g, enum service_state state, const char *reason)
{
    bool bad =
        state == SERVICE_FAILED || state == SERVICE_STOP_FAILED || state == SERVICE_UNWINDING;

    if (reason != g->reason)
        hv_strcopy(g->reason, sizeof g->reason, reason);
    hv_log(s->log, bad ? HV_LOG_ERROR : HV_LOG_INFO, "group %s: %s -> %s%s%s", g->config.name,
        service_state_name(g->state), service_state_name(state), g->reason[0] ? ": " : "",
        g->reason);
    g->state = state;
    g->since_ms = s->now_ms;
    g->timer_ms = SERVICE_NEVER_MS;
    g->stops_tried = 0;
    service_emit(s, g, SERVICE_FX_NOTIFY, SERVICE_NO_ITEM, g->reason);
    if (cluster_must_know(state))
        service_emit(s, g, SERVICE_FX_REPORT, SERVICE_NO_ITEM, g->reason);
}

static uint32_t action_timeout_ms(const struct service_item *it, enum service_action action)
{
    switch (action) {
    case SERVICE_ACTION_START:
        return it->config.start_timeout_ms;
    case SERVICE_ACTION_STOP:
        return it->config.stop_timeout_ms;
    default:
        return it->config.monitor_timeout_ms;
    }
}

void service_run(
    struct service *s, struct service_group *g, size_t item, enum service_action action)
{
    struct service_item *it = &g->items[item];
    bool probe = action == SERVICE_ACTION_PROBE || action == SERVICE_ACTION_MONITOR;
    uint64_t token = s->token_next++;

    if (probe) {
        hv_assert(!it->monitor_token);
        it->monitor_token = token;
        it->monitor_stale = false;
    } else {
        hv_assert(!g->action_token);
        if (g->action_item != item || g->action != action)
            g->stops_tried = 0;
        g->action_token = token;
        g->action_item = item;
        g->action = action;
        /* A probe holds files of a mount open, and what it finds out is out of date already. */
        if (it->monitor_token && !it->monitor_stale) {
            effect_add(s, g, SERVICE_FX_CANCEL, item)->token = it->monitor_token;
            it->monitor_stale = true;
        }
        hv_log(s->log, HV_LOG_INFO, "group %s: %s %s", g->config.name, service_action_name(action),
            it->config.name);
    }
    struct service_effect *e = effect_add(s, g, SERVICE_FX_RUN, item);
    e->action = action;
    e->token = token;
    e->timeout_ms = action_timeout_ms(it, action);
}

size_t service_next_start(const struct service_group *g)
{
    for (size_t i = 0; i < g->n_items; i++)
        if (g->items[i].state != SERVICE_ITEM_STARTED)
            return i;
    return SERVICE_NO_ITEM;
}

size_t service_next_stop(const struct service_group *g)
{
    for (size_t i = g->n_items; i-- > 0;)
        if (g->items[i].state != SERVICE_ITEM_STOPPED)
            return i;
    return SERVICE_NO_ITEM;
}

void service_monitor(struct service *s, struct service_group *g)
{
    for (size_t i = 0; i < g->n_items; i++) {
        struct service_item *it = &g->items[i];
        if (it->no_monitor || it->monitor_token || it->monitor_due_ms > s->now_ms)
            continue;
        service_run(s, g, i, SERVICE_ACTION_MONITOR);
    }
}

bool service_may_restart(struct service *s, struct service_group *g)
{
    uint32_t allowed = g->config.restarts;
    size_t kept = 0;

    for (size_t i = 0; i < g->n_restarts; i++)
        if (s->now_ms - g->restart_at_ms[i] < g->config.restart_window_ms)
            g->restart_at_ms[kept++] = g->restart_at_ms[i];
    g->n_restarts = kept;
    if (kept >= allowed || kept >= SERVICE_RESTARTS_MAX)
        return false;
    g->restart_at_ms[g->n_restarts++] = s->now_ms;
    return true;
}
