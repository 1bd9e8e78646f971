/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_H
#define SERVICE_H
/* Groups of ordered resources: what to start, stop and probe, in which order, and what to do when one
 * dies.  Started from left to right, stopped from right to left (heartbeat §11.3).  A resource that
 * dies is restarted in place; when that fails or recurs, the group asks to move.  A resource that
 * cannot be stopped blocks its group: it stays this node's until the stop succeeds.
 *
 * A pure engine: service_step() takes what happened and says what is wanted.  Times are milliseconds
 * of any clock that does not go backwards.  Nothing is allocated after service_new(). */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hv_error.h"
#include "hv_log.h"

enum {
    SERVICE_ITEMS_MAX = 32,
    SERVICE_GROUPS_MAX = 64,
    SERVICE_RESTARTS_MAX = 16,
    SERVICE_EFFECTS_MAX = 256,
    SERVICE_REASON_BYTES = 256,
};

#define SERVICE_STATES(X)                                                                          \
    X(PROBING, "probing")         /* finding out what runs here already */                         \
    X(STOPPED, "stopped")         /* nothing of it runs here */                                    \
    X(PARTIAL, "partial")         /* some of it was running when we came; left alone until told */ \
    X(STARTING, "starting")       /* left to right */                                              \
    X(STARTED, "started")         /* all runs, all is probed */                                    \
    X(RECOVERING, "recovering")   /* a dead resource is being restarted in place */                \
    X(UNWINDING, "unwinding")     /* a start failed; what was started is stopped again */          \
    X(FAILED, "failed")           /* has asked to move; tries again here until told to stop */     \
    X(STOPPING, "stopping")       /* right to left */                                              \
    X(STOP_FAILED, "stop failed") /* something is still held here; tried again from time to time */

#define SERVICE_ITEM_STATES(X)                                                                     \
    X(UNKNOWN, "unknown") /* may or may not run: a stop is needed before we call it stopped */     \
    X(STOPPED, "stopped")                                                                          \
    X(STARTED, "started")                                                                          \
    X(DEAD, "dead") /* was started; its probe says that it does not run */

#define SERVICE_ACTIONS(X)                                                                         \
    X(PROBE, "probe") /* does it run?  asked once, before anything else */                         \
    X(START, "start")                                                                              \
    X(STOP, "stop")                                                                                \
    X(MONITOR, "monitor") /* does it still run? */

#define SERVICE_ENUM(name, text) SERVICE_##name,
enum service_state { SERVICE_STATES(SERVICE_ENUM) SERVICE_STATE_COUNT };
#undef SERVICE_ENUM
#define SERVICE_ENUM(name, text) SERVICE_ITEM_##name,
enum service_item_state { SERVICE_ITEM_STATES(SERVICE_ENUM) SERVICE_ITEM_STATE_COUNT };
#undef SERVICE_ENUM
#define SERVICE_ENUM(name, text) SERVICE_ACTION_##name,
enum service_action { SERVICE_ACTIONS(SERVICE_ENUM) SERVICE_ACTION_COUNT };
#undef SERVICE_ENUM

const char *service_state_name(enum service_state state);
const char *service_item_state_name(enum service_item_state state);
const char *service_action_name(enum service_action action);

/* How an action ended. */
enum service_result {
    SERVICE_OK,          /* done; for PROBE and MONITOR: it runs */
    SERVICE_NOT_RUNNING, /* PROBE and MONITOR only */
    SERVICE_CANNOT_TELL, /* PROBE and MONITOR only: the resource has no way to answer */
    SERVICE_ERROR,
    SERVICE_TIMED_OUT, /* and was killed */
    SERVICE_CANCELLED, /* killed because of SERVICE_FX_CANCEL */
};

struct service_item_config {
    const char *name;      /* as shown; copied */
    bool restarts_alone;   /* what stands to its right need not be stopped when it is restarted */
    bool start_can_be_cut; /* a stop that arrives meanwhile may kill its start */
    uint32_t start_timeout_ms, stop_timeout_ms, monitor_timeout_ms;
};

struct service_group_config {
    const char *name; /* copied */
    const struct service_item_config *items;
    size_t n_items;
    uint32_t monitor_ms; /* between two probes of one resource */
    uint32_t restarts;   /* in place within restart_window_ms, before the group asks to move */
    uint32_t restart_window_ms; /* 0: 60 s */
    uint32_t retry_ms;          /* first pause before trying again here after MOVE_NEEDED; 0: 3 s */
    uint32_t stop_tries;        /* 0: 3 */
    uint32_t stop_pause_ms;     /* between them; 0: 1 s */
    uint32_t stop_again_ms;     /* from SERVICE_STOP_FAILED; 0: 10 s */
};

enum service_event_kind {
    SERVICE_EV_BEGIN, /* once, first: probe everything */
    SERVICE_EV_START,
    SERVICE_EV_STOP,
    SERVICE_EV_ACTION_DONE, /* exactly one for each RUN, also after a CANCEL */
    SERVICE_EV_TICK,        /* service_next_timeout_ms() has come */
};

struct service_event {
    enum service_event_kind kind;
    uint64_t now_ms;
    size_t group;               /* START, STOP */
    uint64_t token;             /* ACTION_DONE */
    enum service_result result; /* ACTION_DONE */
    const char *output; /* ACTION_DONE: why it failed; borrowed for the call; NULL is fine */
};

enum service_effect_kind {
    SERVICE_FX_RUN,         /* group, item, action, token, timeout_ms */
    SERVICE_FX_CANCEL,      /* token: kill it */
    SERVICE_FX_REPORT,      /* group, state, reason: for the cluster */
    SERVICE_FX_MOVE_NEEDED, /* group, reason: it cannot be kept up here */
    SERVICE_FX_NOTIFY,      /* group, item (or SERVICE_NO_ITEM), state, reason: something changed */
};

#define SERVICE_NO_ITEM ((size_t)-1)

struct service_effect {
    enum service_effect_kind kind;
    size_t group, item;
    enum service_action action;
    uint64_t token;
    uint32_t timeout_ms;
    enum service_state state;
    const char *reason; /* borrowed until the next step */
};

struct service_effects {
    size_t n;
    struct service_effect items[SERVICE_EFFECTS_MAX];
};

struct service_item_status {
    const char *name;
    enum service_item_state state;
    bool busy; /* a start or stop of it is running */
    enum service_action action;
    uint32_t restarts; /* since the group was started here */
    const char *error; /* of the last action that failed, or "" */
};

struct service_group_status {
    const char *name;
    enum service_state state;
    bool wanted; /* told to be up here */
    size_t n_items;
    uint64_t since_ms;  /* of this state */
    const char *reason; /* of this state, or "" */
};

struct service;

/* Copies the configuration.  log may be NULL.  NULL when memory ran out or there are more groups or
 * items than the limits above, which *diag says. */
struct service *service_new(const struct service_group_config *groups, size_t n_groups,
    const struct hv_log *log, struct hv_diag *diag) HV_MUST_CHECK;
void service_free(struct service *s);

/* fx is emptied first.  An ACTION_DONE with an unknown token is ignored. */
void service_step(struct service *s, const struct service_event *event, struct service_effects *fx);

/* UINT64_MAX: nothing is due. */
uint64_t service_next_timeout_ms(const struct service *s);

size_t service_group_count(const struct service *s);
/* By name; service_group_count() when there is none. */
size_t service_group_find(const struct service *s, const char *name);
void service_group_status(const struct service *s, size_t group, struct service_group_status *out);
void service_item_status(
    const struct service *s, size_t group, size_t item, struct service_item_status *out);

#endif
