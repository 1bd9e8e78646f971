/* SPDX-License-Identifier: Apache-2.0 */
#include "repl_interval.h"

#include "hv_assert.h"

void repl_intervals_init(struct repl_intervals *set)
{
    for (unsigned i = 0; i < REPL_INTERVAL_BUCKETS; i++) {
        hv_list_init(&set->bucket[0][i]);
        hv_list_init(&set->bucket[1][i]);
    }
    hv_list_init(&set->large);
}

static uint64_t bucket_of(uint64_t sector)
{
    return sector >> REPL_INTERVAL_BUCKET_SHIFT;
}

static bool is_large(uint64_t sector, uint64_t end)
{
    return bucket_of(end - 1) - bucket_of(sector) > 1;
}

void repl_interval_add(struct repl_intervals *set, struct repl_interval *iv, uint64_t sector,
    uint64_t sectors, bool writing)
{
    hv_assert(!iv->active && sectors > 0);
    iv->sector = sector;
    iv->end = sector + sectors;
    iv->active = true;
    iv->writing = writing;
    iv->waited = false;
    hv_list_init(&iv->node[0]);
    hv_list_init(&iv->node[1]);
    if (is_large(sector, iv->end)) {
        hv_list_push_back(&set->large, &iv->node[0]);
        return;
    }
    uint64_t first = bucket_of(sector), last = bucket_of(iv->end - 1);

    hv_list_push_back(&set->bucket[0][first % REPL_INTERVAL_BUCKETS], &iv->node[0]);
    if (last != first)
        hv_list_push_back(&set->bucket[1][last % REPL_INTERVAL_BUCKETS], &iv->node[1]);
}

void repl_interval_remove(struct repl_interval *iv)
{
    if (!iv->active)
        return;
    hv_list_remove(&iv->node[0]);
    hv_list_remove(&iv->node[1]);
    iv->active = false;
}

static struct repl_interval *conflict_in(struct hv_list *head, unsigned which, uint64_t sector,
    uint64_t end, const struct repl_interval *self)
{
    struct hv_list *n;

    hv_list_each(n, head)
    {
        struct repl_interval *iv = hv_container_of(n - which, struct repl_interval, node);

        if (iv != self && iv->writing && iv->sector < end && sector < iv->end)
            return iv;
    }
    return NULL;
}

struct repl_interval *repl_interval_conflict(
    struct repl_intervals *set, uint64_t sector, uint64_t sectors, const struct repl_interval *self)
{
    uint64_t end = sector + sectors, first = bucket_of(sector), last = bucket_of(end - 1);
    struct repl_interval *iv = conflict_in(&set->large, 0, sector, end, self);

    if (last - first >= REPL_INTERVAL_BUCKETS) {
        first = 0;
        last = REPL_INTERVAL_BUCKETS - 1;
    }
    for (uint64_t b = first; !iv && b <= last; b++) {
        iv = conflict_in(&set->bucket[0][b % REPL_INTERVAL_BUCKETS], 0, sector, end, self);
        if (!iv)
            iv = conflict_in(&set->bucket[1][b % REPL_INTERVAL_BUCKETS], 1, sector, end, self);
    }
    return iv;
}

struct repl_interval *repl_interval_exact(struct repl_intervals *set, uint64_t sector,
    uint64_t sectors, bool (*want)(struct repl_interval *iv, void *arg), void *arg)
{
    struct hv_list *head, *n;

    if (sectors == 0)
        return NULL;
    head = is_large(sector, sector + sectors)
               ? &set->large
               : &set->bucket[0][bucket_of(sector) % REPL_INTERVAL_BUCKETS];
    hv_list_each(n, head)
    {
        struct repl_interval *iv = hv_container_of(n, struct repl_interval, node);

        if (iv->sector == sector && iv->end == sector + sectors && want(iv, arg))
            return iv;
    }
    return NULL;
}
