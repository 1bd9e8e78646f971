/* SPDX-License-Identifier: Apache-2.0 */
/* Random lives of a pair, each from one seed, checked against a model of every block.
 *
 * Only what is survivable is done: the other node is promoted only when it was in sync at the moment the
 * Primary died.  `test_duo_random SEED [COUNT]` replays; a seed that fails is printed. */
#include "scenario.h"

#include <stdio.h>
#include <stdlib.h>

#include "hv_error.h"
#include "hv_prng.h"

enum { BLOCKS = 64, BLOCK_SECTORS = 8, STEPS = 60, IN_FLIGHT = 24, VALUES = 4096, SEEDS = 60 };

struct model_write {
    unsigned block;
    uint32_t value;
    struct duo_io io;
    bool counted, fua;
};

struct model {
    struct duo *d;
    struct hv_prng prng;
    enum duo_end primary;
    bool up[DUO_ENDS], link;
    uint32_t next_value;
    /* For each block: the value that must be there at least, and whether newer ones may be. */
    uint32_t settled[BLOCKS]; /* a later value may replace it, an earlier one never */
    uint32_t acked[BLOCKS];   /* newest acknowledged */
    struct model_write *w[VALUES];
    unsigned writes;
    const char *failed;
};

static uint64_t block_sector(unsigned block)
{
    return (uint64_t)block * 512 + (block % 5);
}

/* Moves acknowledgements into the model. */
static void collect(struct model *m)
{
    for (unsigned i = 0; i < m->writes; i++) {
        struct model_write *w = m->w[i];
        if (w->counted || !w->io.done)
            continue;
        w->counted = true;
        if (w->io.error) {
            m->failed = "a write failed though a good disk was there";
            continue;
        }
        if (w->value > m->acked[w->block])
            m->acked[w->block] = w->value;
        if (w->fua && w->value > m->settled[w->block])
            m->settled[w->block] = w->value;
    }
}

static bool block_busy(const struct model *m, unsigned block)
{
    for (unsigned i = 0; i < m->writes; i++)
        if (!m->w[i]->counted && m->w[i]->block == block)
            return true;
    return false;
}

static void op_write(struct model *m)
{
    unsigned block = (unsigned)hv_prng_below(&m->prng, BLOCKS);

    if (!m->up[m->primary] || m->writes == VALUES || block_busy(m, block))
        return;
    struct model_write *w = calloc(1, sizeof *w);
    w->block = block;
    w->value = ++m->next_value;
    w->fua = hv_prng_below(&m->prng, 3) == 0;
    m->w[m->writes++] = w;
    duo_start(m->d, m->primary, REPL_APP_WRITE, w->fua ? REPL_APP_FUA : 0, block_sector(block),
        BLOCK_SECTORS, w->value, &w->io);
}

static void op_flush(struct model *m)
{
    if (!m->up[m->primary])
        return;
    collect(m);
    uint32_t before[BLOCKS];
    memcpy(before, m->acked, sizeof before);
    if (duo_flush(m->d, m->primary)) {
        m->failed = "a flush failed though a good disk was there";
        return;
    }
    for (int b = 0; b < BLOCKS; b++)
        if (before[b] > m->settled[b])
            m->settled[b] = before[b];
}

/* Power loss of the Primary: what was acknowledged and not flushed may be gone. */
static void forget_unsettled(struct model *m)
{
    collect(m);
    memcpy(m->acked, m->settled, sizeof m->acked);
    /* What was under way may still be found; it never completes. */
    for (unsigned i = 0; i < m->writes; i++)
        m->w[i]->counted = true;
}

static void op_crash(struct model *m)
{
    enum duo_end end = (enum duo_end)hv_prng_below(&m->prng, DUO_ENDS);

    if (!m->up[end] || !m->up[!end])
        return;
    bool safe = m->link && duo_in_sync(m->d);
    if (end == m->primary)
        forget_unsettled(m);
    duo_crash(m->d, end);
    m->up[end] = false;
    if (end == m->primary && safe) {
        if (scenario_primary(m->d, !end, false) < SS_SUCCESS)
            m->failed = "the survivor was in sync and would not be promoted";
        m->primary = !end;
    }
}

static void op_boot(struct model *m)
{
    for (int e = 0; e < DUO_ENDS; e++)
        if (!m->up[e]) {
            duo_up(m->d, (enum duo_end)e);
            m->up[e] = true;
            /* The last Primary has the newest data; it alone may go on. */
            if ((enum duo_end)e == m->primary &&
                scenario_primary(m->d, m->primary, false) < SS_SUCCESS)
                m->failed = "the last Primary would not be promoted again";
            return;
        }
}

static void op_link(struct model *m)
{
    m->link = !m->link;
    duo_link(m->d, m->link);
}

static void op_reconnect(struct model *m)
{
    enum duo_end end = (enum duo_end)hv_prng_below(&m->prng, DUO_ENDS);

    if (!m->up[end])
        return;
    (void)duo_verb(m->d, end, REPL_ADM_DISCONNECT);
    duo_run(m->d, hv_prng_below(&m->prng, 3000));
    if (duo_status(m->d, end).state.conn == C_STANDALONE &&
        duo_verb(m->d, end, REPL_ADM_CONNECT) < SS_SUCCESS)
        m->failed = "connect was refused";
}

static void op_swap(struct model *m)
{
    if (!m->up[0] || !m->up[1] || !m->link || !duo_in_sync(m->d))
        return;
    if (duo_verb(m->d, m->primary, REPL_ADM_SECONDARY) < SS_SUCCESS) {
        m->failed = "the Primary would not become Secondary";
        return;
    }
    m->primary = !m->primary;
    if (scenario_primary(m->d, m->primary, false) < SS_SUCCESS)
        m->failed = "the other would not become Primary";
}

static void check_reads(struct model *m)
{
    if (!m->up[m->primary])
        return;
    collect(m);
    for (unsigned b = 0; b < BLOCKS && !m->failed; b++) {
        if (block_busy(m, b))
            continue;
        /* Sector by sector: a power loss may tear what was not settled. */
        for (unsigned s = 0; s < BLOCK_SECTORS && !m->failed; s++) {
            uint32_t value;
            if (duo_read(m->d, m->primary, block_sector(b) + s, 1, &value))
                m->failed = "a read failed though a good disk was there";
            else if (value == UINT32_MAX || value < m->acked[b])
                m->failed = "a read gave less than what was acknowledged";
        }
    }
}

static void one_step(struct model *m)
{
    uint64_t dice = hv_prng_below(&m->prng, 100);

    if (dice < 60)
        for (int i = 0; i < 6; i++)
            op_write(m);
    else if (dice < 70)
        op_flush(m);
    else if (dice < 76)
        op_crash(m);
    else if (dice < 84)
        op_boot(m);
    else if (dice < 89)
        op_link(m);
    else if (dice < 93)
        op_reconnect(m);
    else if (dice < 97)
        op_swap(m);
    else
        check_reads(m);
    duo_run(m->d, hv_prng_below(&m->prng, hv_prng_below(&m->prng, 8) == 0 ? 15000 : 40));
    collect(m);
}

static void heal_and_check(struct model *m)
{
    m->link = true;
    duo_link(m->d, true);
    op_boot(m);
    op_boot(m);
    if (m->failed)
        return;
    if (!duo_wait_in_sync(m->d, 300000)) {
        m->failed = "never in sync again";
        return;
    }
    duo_run(m->d, 20000);
    collect(m);
    for (unsigned i = 0; i < m->writes; i++)
        if (!m->w[i]->counted)
            m->failed = "a write was never answered";
    check_reads(m);
    if (!m->failed && !duo_disks_equal(m->d))
        m->failed = "the disks differ";
}

static const char *one_life(uint64_t seed)
{
    struct duo_options o;
    struct model m = {.link = true, .up = {true, true}};

    duo_options_init(&o);
    o.seed = seed;
    o.disk_sectors = 20 * 2048;
    o.config.net.ping_int_s = 1 + (uint32_t)(seed % 10);
    hv_prng_seed(&m.prng, seed ^ 0x5eed);
    m.d = scenario_synced_with(&o);
    m.primary = DUO_A;
    for (int i = 0; i < STEPS && !m.failed; i++)
        one_step(&m);
    if (!m.failed)
        heal_and_check(&m);
    duo_free(m.d);
    for (unsigned i = 0; i < m.writes; i++)
        free(m.w[i]);
    return m.failed;
}

static uint64_t first_seed = 1, seeds = SEEDS;

static void random_lives(void **state)
{
    unsigned failures = 0;

    for (uint64_t seed = first_seed; seed < first_seed + seeds; seed++) {
        const char *failed = one_life(seed);
        if (failed) {
            fprintf(stderr, "seed %llu: %s\n  replay: DUO_TRACE=1 test_duo_random %llu 1\n",
                (unsigned long long)seed, failed, (unsigned long long)seed);
            failures++;
        }
    }
    assert_int_equal(failures, 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(random_lives)};

    if (argc > 1)
        first_seed = strtoull(argv[1], NULL, 0);
    if (argc > 2)
        seeds = strtoull(argv[2], NULL, 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
