/* SPDX-License-Identifier: Apache-2.0 */
/* Timers: points in time, looked at once in each step. */
#include "repl_control.h"

static uint64_t point(uint64_t at_ms)
{
    return at_ms ? at_ms : 1; /* 0 means: not armed */
}

void repl_timer_set(struct repl *r, enum repl_timer timer, uint64_t at_ms)
{
    r->timer[timer] = point(at_ms);
}

void repl_timer_clear(struct repl *r, enum repl_timer timer)
{
    r->timer[timer] = 0;
}

bool repl_timer_armed(const struct repl *r, enum repl_timer timer)
{
    return r->timer[timer] != 0;
}

void repl_volume_timer_set(struct repl_volume *v, enum repl_volume_timer timer, uint64_t at_ms)
{
    v->timer[timer] = point(at_ms);
}

void repl_volume_timer_clear(struct repl_volume *v, enum repl_volume_timer timer)
{
    v->timer[timer] = 0;
}

bool repl_volume_timer_armed(const struct repl_volume *v, enum repl_volume_timer timer)
{
    return v->timer[timer] != 0;
}

static bool due(uint64_t *timer, uint64_t now_ms)
{
    if (!*timer || *timer > now_ms)
        return false;
    *timer = 0;
    return true;
}

void repl_timers_run(struct repl *r)
{
    for (int t = 0; t < REPL_TIMERS; t++)
        if (due(&r->timer[t], r->now_ms)) {
            if (t == REPL_T_REQUEST || t == REPL_T_BARRIER)
                repl_data_timer(r, (enum repl_timer)t);
            else
                repl_conn_timer(r, (enum repl_timer)t);
        }
    for (uint32_t i = 0; i < r->config.volumes; i++)
        for (int t = 0; t < REPL_VOLUME_TIMERS; t++) {
            struct repl_volume *v = &r->volumes[i];
            if (!due(&v->timer[t], r->now_ms))
                continue;
            if (t == REPL_VT_MD)
                repl_md_timer(v);
            else
                repl_data_volume_timer(v, (enum repl_volume_timer)t);
        }
}

static uint64_t sooner(uint64_t a, uint64_t timer)
{
    return timer && timer < a ? timer : a;
}

uint64_t repl_timers_next(const struct repl *r)
{
    uint64_t next = UINT64_MAX;

    for (int t = 0; t < REPL_TIMERS; t++)
        next = sooner(next, r->timer[t]);
    for (uint32_t i = 0; i < r->config.volumes; i++)
        for (int t = 0; t < REPL_VOLUME_TIMERS; t++)
            next = sooner(next, r->volumes[i].timer[t]);
    next = sooner(next, r->ctl.linger_until_ms);
    for (int i = 0; i < REPL_PENDING_SOCKS; i++)
        if (r->ctl.pending[i].id)
            next = sooner(next, r->ctl.pending[i].deadline_ms);
    return next;
}
