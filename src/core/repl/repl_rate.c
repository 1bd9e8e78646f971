/* SPDX-License-Identifier: Apache-2.0 */
/* How much resync and verify ask for in each 100 ms (wire §11.3). */
#include <string.h>

#include "repl_int.h"

void repl_rate_reset(struct repl_volume *v)
{
    struct repl_resync *rs = &v->data.rs;
    uint32_t steps = v->config.disk.c_plan_ahead_ds * 100 / REPL_RS_TICK_MS;

    memset(&rs->plan, 0, sizeof rs->plan);
    rs->plan.steps = steps < REPL_RS_PLAN_MAX ? steps : REPL_RS_PLAN_MAX;
    rs->in_flight_sectors = rs->received_sectors = 0;
    rs->budget_blocks = 0;
    rs->want_kib = 0;
    rs->seen_sectors = v->data.app_sectors;
}

static int64_t plan_step(struct repl_rs_plan *plan, int64_t each)
{
    int64_t now;

    for (uint32_t i = 0; i < plan->steps; i++)
        plan->slot[i] += (int32_t)each;
    plan->total += each * plan->steps;
    now = plan->slot[plan->head];
    plan->slot[plan->head] = 0;
    plan->head = (plan->head + 1) % plan->steps;
    plan->total -= now;
    return now;
}

static int64_t controlled_sectors(struct repl_volume *v, int64_t received)
{
    const struct repl_disk_config *c = &v->config.disk;
    struct repl_resync *rs = &v->data.rs;
    int64_t in_flight = (int64_t)rs->in_flight_sectors, steps = rs->plan.steps, want, sectors, max;

    if (in_flight + received == 0)
        want = (int64_t)c->resync_rate_kib * 2 * REPL_RS_TICK_MS / 1000 * steps;
    else if (c->c_fill_target_sectors)
        want = c->c_fill_target_sectors;
    else
        want = received * c->c_delay_target_ds * 100 / REPL_RS_TICK_MS;
    sectors = received + plan_step(&rs->plan, (want - in_flight - rs->plan.total) / steps);
    max = (int64_t)c->c_max_rate_kib * 2 * REPL_RS_TICK_MS / 1000;
    return sectors < 0 ? 0 : sectors > max ? max : sectors;
}

uint64_t repl_rate_blocks(struct repl_volume *v)
{
    struct repl_resync *rs = &v->data.rs;
    uint64_t received = rs->received_sectors, blocks;

    rs->received_sectors = 0;
    rs->in_flight_sectors -= received < rs->in_flight_sectors ? received : rs->in_flight_sectors;
    if (rs->plan.steps > 0)
        blocks = (uint64_t)controlled_sectors(v, (int64_t)received) / BITMAP_BIT_SECTORS;
    else
        blocks = (uint64_t)v->config.disk.resync_rate_kib * REPL_RS_TICK_MS / 1000 / 4;
    rs->want_kib = blocks * 4 * 1000 / REPL_RS_TICK_MS;
    return blocks;
}

/* The applications come first: with their I/O on this disk, resync goes no faster than c-min-rate. */
bool repl_rate_throttled(struct repl_volume *v)
{
    struct repl_resync *rs = &v->data.rs;
    uint64_t foreign = v->data.app_sectors - rs->seen_sectors;
    uint32_t before = (rs->mark + REPL_RS_MARKS - 1) % REPL_RS_MARKS;
    uint64_t left = repl_rs_left_bits(v), ms, kib;

    if (v->config.disk.c_min_rate_kib == 0 || foreign <= 64)
        return false;
    rs->seen_sectors = v->data.app_sectors;
    ms = v->r->now_ms - rs->mark_ms[before];
    kib = rs->mark_left[before] > left ? (rs->mark_left[before] - left) * 4 : 0;
    return ms > 0 && kib * 1000 / ms > v->config.disk.c_min_rate_kib;
}
