/* SPDX-License-Identifier: Apache-2.0 */
/* Resync extents of 16 MiB: while one is locked no application writes into it, and it is locked only
 * when none of its four activity-log extents is pinned (wire §11.2). */
#include "repl_int.h"

static struct repl_rs_extent *find(struct repl_volume *v, uint64_t number)
{
    for (uint32_t i = 0; i < v->data.rs_extents; i++)
        if (v->data.rs_extent[i].number == number)
            return &v->data.rs_extent[i];
    return NULL;
}

static bool is_busy(const struct repl_volume *v, uint64_t number)
{
    return v->al && actlog_rs_extent_active(v->al, number);
}

static struct repl_rs_extent *find_or_add(struct repl_volume *v, uint64_t number)
{
    struct repl_rs_extent *x = find(v, number);

    if (!x && v->data.rs_extents < REPL_RS_EXTENTS) {
        x = &v->data.rs_extent[v->data.rs_extents++];
        *x = (struct repl_rs_extent){.number = number, .no_writes = true};
    }
    return x;
}

static void drop(struct repl_volume *v, struct repl_rs_extent *x)
{
    *x = v->data.rs_extent[--v->data.rs_extents];
    repl_wake(v->r, &v->data.rs_wait);
    repl_wake(v->r, &v->data.rs_lock_wait);
}

static bool lock(struct repl_volume *v, uint64_t number)
{
    struct repl_rs_extent *x = find_or_add(v, number);

    if (!x)
        return false;
    if (x->refs == 0 && is_busy(v, number)) {
        repl_epoch_kick(v->r); /* its pins go with a barrier ack */
        return false;
    }
    x->refs++;
    return true;
}

/* Extents that are closed to writes and not locked yet: at most the one asked for last stays so. */
static void drop_halves(struct repl_volume *v, uint64_t except)
{
    for (uint32_t i = v->data.rs_extents; i-- > 0;) {
        struct repl_rs_extent *x = &v->data.rs_extent[i];

        if (x->refs == 0 && x->number != except && hv_list_empty(&v->data.rs_lock_wait))
            drop(v, x);
    }
}

bool repl_rs_try_lock(struct repl_volume *v, uint64_t sector)
{
    uint64_t number = sector / MD_RS_EXTENT_SECTORS;

    drop_halves(v, number);
    return lock(v, number);
}

void repl_rs_unlock_half(struct repl_volume *v)
{
    drop_halves(v, UINT64_MAX);
}

bool repl_rs_lock(struct repl_volume *v, uint64_t sector, struct repl_waiter *w)
{
    if (lock(v, sector / MD_RS_EXTENT_SECTORS))
        return true;
    hv_list_push_back(&v->data.rs_lock_wait, &w->link);
    return false;
}

void repl_rs_unlock(struct repl_volume *v, uint64_t sector)
{
    struct repl_rs_extent *x = find(v, sector / MD_RS_EXTENT_SECTORS);

    hv_assert(x && x->refs > 0);
    if (--x->refs == 0)
        drop(v, x);
}

bool repl_rs_blocks(const struct repl_volume *v, uint64_t sector, uint64_t sectors)
{
    for (uint32_t i = 0; i < v->data.rs_extents; i++) {
        uint64_t start = v->data.rs_extent[i].number * MD_RS_EXTENT_SECTORS;

        if (start < sector + sectors && sector < start + MD_RS_EXTENT_SECTORS)
            return true;
    }
    return false;
}
