/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SCENARIO_H
#define SCENARIO_H
/* What the scenario tests of the engine begin with. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "duo_repl.h"

#define assert_ok(rc) assert_in_range((rc), SS_SUCCESS, 100)

/* Fresh metadata on both, both up and Connected, Inconsistent/Inconsistent. */
static inline struct duo *scenario_fresh(const struct duo_options *o)
{
    struct duo *d = duo_new(o);

    for (int e = 0; e < DUO_ENDS; e++) {
        duo_create_md(d, (enum duo_end)e);
        duo_up(d, (enum duo_end)e);
    }
    return d;
}

static inline bool scenario_connected(struct duo *d, void *arg)
{
    return duo_connected(d);
}

static inline int scenario_primary(struct duo *d, enum duo_end end, bool force)
{
    return duo_admin(d, end, (struct repl_admin){.verb = REPL_ADM_PRIMARY, .force = force});
}

/* A is Primary, everything in sync. */
static inline struct duo *scenario_synced_with(const struct duo_options *o)
{
    struct duo *d = scenario_fresh(o);

    assert_true(duo_until(d, scenario_connected, NULL, 30000));
    assert_ok(scenario_primary(d, DUO_A, true));
    assert_true(duo_wait_in_sync(d, 120000));
    return d;
}

static inline struct duo *scenario_synced(void)
{
    struct duo_options o;

    duo_options_init(&o);
    return scenario_synced_with(&o);
}

static inline bool scenario_conn_is(struct duo *d, void *arg)
{
    const int *want = arg; /* {end, conn} */
    return duo_status(d, (enum duo_end)want[0]).state.conn == (enum drbd_conn)want[1];
}

static inline bool scenario_wait_conn(
    struct duo *d, enum duo_end end, enum drbd_conn conn, uint64_t limit_ms)
{
    int want[2] = {(int)end, (int)conn};
    return duo_until(d, scenario_conn_is, want, limit_ms);
}

#endif
