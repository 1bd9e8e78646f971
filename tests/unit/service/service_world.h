/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_WORLD_H
#define SERVICE_WORLD_H
/* The service engine with one group of resources that live in an array, and a clock that the test turns. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hv_text.h"
#include "service.h"

enum { ITEMS = 4, RUNNING_MAX = 16 };

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

/* A world with everything stopped, nothing asked yet; and one whose group was started. */
void world_init(struct world *w);
void world_up(struct world *w);
void world_free(struct world *w);

/* An event, now; what the engine wants is done at once, unless it is slow. */
void world_event(struct world *w, struct service_event ev);
void world_begin(struct world *w);
void world_start(struct world *w);
void world_stop(struct world *w);
void world_advance(struct world *w, uint64_t ms);

/* Ends the action with this token; the oldest slow one. */
void world_finish(struct world *w, uint64_t token, enum service_result result);
void world_finish_slow(struct world *w, enum service_result result);

/* Compares what was done since the last call. */
void world_expect(struct world *w, const char *trace);

enum service_state world_state(struct world *w);
enum service_item_state world_item(struct world *w, size_t item);

#endif
