/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_GROUP_H
#define SERVICE_GROUP_H
/* Inside of the service engine: what service.c (the table) and service_run.c (the actions) share. */
#include "service.h"

struct service_item {
    struct service_item_config config; /* name is owned */
    enum service_item_state state;
    bool redo;              /* RECOVERING: to be stopped before it is started again */
    uint64_t monitor_token; /* of the probe that runs now; 0: none */
    bool monitor_stale;     /* its answer no longer matters */
    uint64_t monitor_due_ms;
    bool monitor_missed; /* the last probe ran out of time: the next such one counts */
    bool no_monitor;     /* it cannot tell */
    uint32_t restarts;
    char error[SERVICE_REASON_BYTES];
};

struct service_group {
    struct service_group_config config; /* name is owned, items points into `items` */
    struct service_item items[SERVICE_ITEMS_MAX];
    size_t n_items;
    enum service_state state;
    bool wanted;
    bool stop_asked; /* while PROBING */
    bool probes_due;
    uint64_t since_ms;
    char reason[SERVICE_REASON_BYTES];
    uint64_t action_token; /* of the start or stop that runs now; 0: none */
    size_t action_item;
    enum service_action action;
    uint32_t stops_tried; /* of action_item, failed so far */
    uint64_t timer_ms;    /* UINT64_MAX: none */
    uint32_t retry_ms;    /* the next pause in FAILED */
    uint64_t restart_at_ms[SERVICE_RESTARTS_MAX];
    size_t n_restarts;
};

struct service {
    struct service_group *groups;
    size_t n_groups;
    uint64_t token_next;
    const struct hv_log *log;
    struct service_effects *fx; /* of the step that runs now */
    uint64_t now_ms;
};

#define SERVICE_NEVER_MS UINT64_MAX

void service_emit(struct service *s, struct service_group *g, enum service_effect_kind kind,
    size_t item, const char *reason);
/* The one place where a group's state changes; logs it, notifies, and reports what the cluster has
 * to know. */
void service_enter(
    struct service *s, struct service_group *g, enum service_state state, const char *reason);
/* Starts an action; a probe in flight on the same item is cancelled when the action changes it. */
void service_run(
    struct service *s, struct service_group *g, size_t item, enum service_action action);
/* The next start to run, or SERVICE_NO_ITEM when all run; likewise the next stop. */
size_t service_next_start(const struct service_group *g);
size_t service_next_stop(const struct service_group *g);
/* Probes whose time has come. */
void service_monitor(struct service *s, struct service_group *g);
/* Counts a restart; false when there were too many of late. */
bool service_may_restart(struct service *s, struct service_group *g);

#endif
