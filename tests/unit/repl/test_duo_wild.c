/* SPDX-License-Identifier: Apache-2.0 */
/* Random lives of a pair in which everything happens: disks that fail or hang, detach and attach, killed
 * processes, power losses of one or both, cuts at any moment, invalidate, outdate, verify, pauses, freezes,
 * discards; with one volume or two and many configurations.  Each life comes from one seed.
 *
 * Only what is survivable is done: one end at a time has a disk with something wrong (`hurt`), beginning
 * when both are in sync, and while that is the Primary's, the other end and the link are left alone.
 * `test_duo_wild SEED [COUNT]` replays. */
#include "scenario.h"

#include <stdio.h>
#include <stdlib.h>

#include "hv_error.h"
#include "hv_prng.h"

enum {
    BLOCKS = 48, /* of each volume */
    BLOCK_SECTORS = 8,
    STEPS = 80,
    OPS_MAX = 2500,
    IN_FLIGHT_MAX = 100,
    ANSWERS = 2000,
    SEEDS = 6,
    NOBODY = -1,
    ANSWER_MS = 120000,
    HEAL_MS = 300000,
};

struct op {
    enum repl_app_op what;
    uint16_t volume;
    unsigned block;
    uint32_t seq;  /* of writes; flush and read: what must be there at least */
    uint32_t *old; /* flush: acknowledged when it began */
    bool over, fua;
    struct duo_io io;
};

struct block {
    uint32_t settled, acked, last_zero;
};

struct life {
    struct duo *d;
    struct hv_prng prng;
    uint32_t volumes;
    enum duo_end primary;
    bool up[DUO_ENDS], link, pass_on, fencing;
    int hurt;
    uint32_t seq;
    struct block block[DUO_VOLUMES_MAX][BLOCKS];
    struct op *op[OPS_MAX];
    unsigned ops, in_flight;
    int answer[ANSWERS];
    unsigned answers;
    const char *failed;
};

static uint64_t dice(struct life *l, uint64_t below)
{
    return hv_prng_below(&l->prng, below);
}

/* Two neighbours, often in one 4 KiB block of the bitmap, in each of many activity log extents. */
static uint64_t block_sector(unsigned block)
{
    return (uint64_t)(block / 2) * 5200 + (block % 2) * BLOCK_SECTORS + block / 2 % 5;
}

static void is_wrong(struct life *l, const char *text)
{
    if (!l->failed)
        l->failed = text;
}

/* --- the application --- */

static void read_check(struct life *l, const struct op *o)
{
    const struct block *b = &l->block[o->volume][o->block];
    uint32_t value = o->io.value;

    if (value == 0 ? o->seq > b->last_zero && o->seq > 0 : value < o->seq || value > l->seq)
        is_wrong(l, "a read gave less than what was acknowledged");
}

static void op_over(struct life *l, struct op *o)
{
    struct block *b = &l->block[o->volume][o->block];

    o->over = true;
    l->in_flight--;
    if (o->io.error) {
        /* The front writes zeros itself when the peer cannot be told. */
        if (!l->pass_on && o->io.error != HV_EUNSUPPORTED) {
            fprintf(stderr, "op %d of volume %u, block %u: %d\n", (int)o->what, o->volume, o->block,
                o->io.error);
            is_wrong(l, "a request failed though a good disk was there");
        }
        return;
    }
    switch (o->what) {
    case REPL_APP_READ:
        read_check(l, o);
        break;
    case REPL_APP_FLUSH:
        for (unsigned i = 0; i < l->volumes * BLOCKS; i++) {
            b = &l->block[i / BLOCKS][i % BLOCKS];
            if (i / BLOCKS == o->volume && o->old[i] > b->settled)
                b->settled = o->old[i];
        }
        break;
    case REPL_APP_DISCARD:
        break; /* the old data, or zeros: both are right */
    default:
        b->acked = o->seq;
        if (o->fua)
            b->settled = o->seq;
    }
}

static void collect(struct life *l)
{
    for (unsigned i = 0; i < l->ops; i++)
        if (!l->op[i]->over && l->op[i]->io.done)
            op_over(l, l->op[i]);
}

static bool block_busy(const struct life *l, uint16_t volume, unsigned block)
{
    for (unsigned i = 0; i < l->ops; i++) {
        const struct op *o = l->op[i];
        if (!o->over && o->volume == volume && o->block == block && o->what != REPL_APP_READ &&
            o->what != REPL_APP_FLUSH)
            return true;
    }
    return false;
}

static bool can_do_io(struct life *l)
{
    return l->up[l->primary] && l->ops < OPS_MAX && l->in_flight < IN_FLIGHT_MAX &&
           duo_status(l->d, l->primary).state.role == R_PRIMARY;
}

static struct op *op_new(struct life *l, enum repl_app_op what, uint16_t volume, unsigned block)
{
    struct op *o = calloc(1, sizeof *o);

    o->what = what;
    o->volume = volume;
    o->block = block;
    l->op[l->ops++] = o;
    l->in_flight++;
    return o;
}

static void do_write(struct life *l)
{
    static const enum repl_app_op kinds[] = {REPL_APP_ZEROES, REPL_APP_DISCARD};
    unsigned block = (unsigned)dice(l, BLOCKS);
    uint16_t volume = (uint16_t)dice(l, l->volumes);
    enum repl_app_op what = dice(l, 12) == 0 ? kinds[dice(l, 2)] : REPL_APP_WRITE;
    struct op *o;

    collect(l);
    if (!can_do_io(l) || block_busy(l, volume, block))
        return;
    o = op_new(l, what, volume, block);
    o->seq = ++l->seq;
    o->fua = what == REPL_APP_WRITE && dice(l, 3) == 0;
    if (what != REPL_APP_WRITE)
        l->block[volume][block].last_zero = o->seq;
    duo_start_on(l->d, l->primary, volume, what, o->fua ? REPL_APP_FUA : 0, block_sector(block),
        BLOCK_SECTORS, o->seq, &o->io);
}

static void do_read(struct life *l, uint16_t volume, unsigned block, unsigned sector)
{
    struct op *o;

    collect(l);
    if (!can_do_io(l))
        return;
    o = op_new(l, REPL_APP_READ, volume, block);
    o->seq = l->block[volume][block].acked;
    duo_start_on(
        l->d, l->primary, volume, REPL_APP_READ, 0, block_sector(block) + sector, 1, 0, &o->io);
}

static void do_flush(struct life *l)
{
    struct op *o;

    collect(l);
    if (!can_do_io(l))
        return;
    o = op_new(l, REPL_APP_FLUSH, (uint16_t)dice(l, l->volumes), 0);
    o->old = calloc(l->volumes * BLOCKS, sizeof *o->old);
    for (unsigned i = 0; i < l->volumes * BLOCKS; i++)
        o->old[i] = l->block[i / BLOCKS][i % BLOCKS].acked;
    duo_start_on(l->d, l->primary, o->volume, REPL_APP_FLUSH, 0, 0, 0, 0, &o->io);
}

/* --- administration --- */

static bool has_answer(struct duo *d, void *arg)
{
    return *(int *)arg != 0;
}

static int ask(struct life *l, enum duo_end end, struct repl_admin admin, uint64_t limit_ms)
{
    int *answer = &l->answer[l->answers];

    if (!l->up[end] || ++l->answers >= ANSWERS)
        return DUO_ANSWER_LOST;
    duo_admin_start(l->d, end, admin, answer);
    (void)duo_until(l->d, has_answer, answer, limit_ms);
    return *answer;
}

static int verb(struct life *l, enum duo_end end, enum repl_admin_verb verb)
{
    return ask(l, end,
        (struct repl_admin){
            .verb = verb, .volume = (uint16_t)dice(l, l->volumes), .force = dice(l, 2)},
        ANSWER_MS);
}

static void handlers(struct life *l, int exit_code)
{
    for (int e = 0; e < DUO_ENDS; e++)
        duo_handler_exit(l->d, (enum duo_end)e, REPL_H_FENCE_PEER, exit_code);
}

static bool promote(struct life *l, enum duo_end end)
{
    struct repl_admin admin = {.verb = REPL_ADM_PRIMARY};
    int rc = ask(l, end, admin, ANSWER_MS);

    l->primary = end;
    if (rc < SS_SUCCESS && l->fencing) {
        handlers(l, 7);
        rc = ask(l, end, admin, ANSWER_MS);
    }
    if (rc >= SS_SUCCESS && rc < 100)
        return true;
    fprintf(stderr, "promotion: %d %s\n", rc, duo_admin_text(l->d));
    return false;
}

/* --- what happens to them --- */

static bool calm(struct life *l)
{
    return l->hurt == NOBODY && l->link && l->up[0] && l->up[1] && duo_in_sync(l->d);
}

static bool other_must_stay(const struct life *l)
{
    return l->hurt == (int)l->primary;
}

static void node_ends(struct life *l, enum duo_end end, bool power)
{
    collect(l);
    for (unsigned i = 0; end == l->primary && i < l->ops; i++)
        if (!l->op[i]->over) {
            l->op[i]->over = true;
            l->in_flight--;
        }
    for (unsigned i = 0; end == l->primary && power && i < l->volumes * BLOCKS; i++) {
        struct block *b = &l->block[i / BLOCKS][i % BLOCKS];
        b->acked = b->settled;
    }
    power ? duo_crash(l->d, end) : duo_kill(l->d, end);
    l->up[end] = false;
    duo_disk_fails(l->d, end, false, false);
    duo_disk_hangs(l->d, end, false);
}

static void do_end(struct life *l)
{
    enum duo_end end = (enum duo_end)dice(l, DUO_ENDS);
    bool power = dice(l, 2), was_primary = end == l->primary;
    bool other_is_good = calm(l) || other_must_stay(l);

    if (!l->up[0] || !l->up[1] || (!was_primary && other_must_stay(l)))
        return;
    if (dice(l, 5) == 0) { /* both at once */
        bool moves = other_must_stay(l);
        node_ends(l, !l->primary, power);
        node_ends(l, l->primary, power);
        l->primary = moves ? !l->primary : l->primary;
        return;
    }
    node_ends(l, end, power);
    if (was_primary && other_is_good && (other_must_stay(l) || dice(l, 3))) {
        if (!promote(l, !end))
            is_wrong(l, "the survivor would not be promoted");
        l->hurt = l->hurt == NOBODY ? NOBODY : (int)end;
    }
}

static void do_boot(struct life *l)
{
    enum duo_end end = (enum duo_end)dice(l, DUO_ENDS);

    if (l->up[end])
        end = !end;
    if (l->up[end])
        return;
    duo_up(l->d, end);
    l->up[end] = true;
    if (end == l->primary && !promote(l, end))
        is_wrong(l, "the last Primary would not be promoted again");
}

static void do_link(struct life *l)
{
    if (l->link && other_must_stay(l))
        return;
    l->link = !l->link;
    duo_link(l->d, l->link);
    if (l->link || dice(l, 2))
        return;
    duo_run(l->d, dice(l, 2) ? dice(l, 100) : dice(l, 20000));
    l->link = true;
    duo_link(l->d, true);
    duo_run(l->d, dice(l, 1500)); /* often in the midst of the next handshake */
}

static void do_reconnect(struct life *l)
{
    enum duo_end end = (enum duo_end)dice(l, DUO_ENDS);

    if (!l->up[end] || other_must_stay(l))
        return;
    (void)verb(l, end, REPL_ADM_DISCONNECT);
    if (dice(l, 3) == 0)
        (void)verb(l, !l->primary, REPL_ADM_OUTDATE);
    duo_run(l->d, dice(l, 3000));
    (void)ask(l, end, (struct repl_admin){.verb = REPL_ADM_CONNECT}, ANSWER_MS);
}

static void do_swap(struct life *l)
{
    if (!calm(l))
        return;
    collect(l);
    if (verb(l, l->primary, REPL_ADM_SECONDARY) >= SS_SUCCESS)
        l->primary = dice(l, 4) ? !l->primary : l->primary;
    if (duo_status(l->d, l->primary).state.role != R_PRIMARY && !promote(l, l->primary))
        is_wrong(l, "nobody became Primary");
}

/* Something is wrong with a disk from now on. */
static void do_hurt(struct life *l)
{
    enum duo_end end = (enum duo_end)dice(l, DUO_ENDS);
    bool primary = end == l->primary;

    if (!calm(l))
        return;
    l->hurt = (int)end;
    duo_disk_faulty(l->d, end, dice(l, 2) ? UINT32_MAX : 1u << dice(l, l->volumes));
    switch (dice(l, primary ? 5 : 6)) {
    case 0:
        duo_disk_fails(l->d, end, true, dice(l, 2));
        break;
    case 1:
        duo_disk_fails(l->d, end, false, true);
        break;
    case 2:
        duo_disk_hangs(l->d, end, true);
        break;
    case 5:
        (void)verb(l, end, REPL_ADM_INVALIDATE);
        break;
    default:
        (void)verb(l, end, REPL_ADM_DETACH);
    }
}

static void attach_all(struct life *l, enum duo_end end)
{
    for (uint16_t i = 0; i < l->volumes; i++)
        if (duo_status_of(l->d, end, i).state.disk <= D_FAILED)
            (void)duo_attach_volume(l->d, end, i);
}

static void do_unhurt(struct life *l)
{
    enum duo_end end = (enum duo_end)l->hurt;

    if (l->hurt == NOBODY)
        return;
    duo_disk_hangs(l->d, end, false);
    duo_disk_fails(l->d, end, false, false);
    duo_run(l->d, dice(l, 2000));
    if (l->up[end])
        attach_all(l, end);
    if (dice(l, 3) == 0)
        return;
    for (int i = 0; i < 100 && !duo_in_sync(l->d) && l->up[0] && l->up[1] && l->link; i++)
        duo_run(l->d, 100);
    if (l->up[0] && l->up[1] && duo_in_sync(l->d))
        l->hurt = NOBODY;
}

static void do_admin(struct life *l)
{
    static const enum repl_admin_verb verbs[] = {REPL_ADM_VERIFY, REPL_ADM_PAUSE_SYNC,
        REPL_ADM_RESUME_SYNC, REPL_ADM_SUSPEND_IO, REPL_ADM_RESUME_IO, REPL_ADM_PING_PEER};
    static const int exits[] = {0, 1, 4, 5, 7};

    handlers(l, exits[dice(l, 5)]);
    (void)verb(l, (enum duo_end)dice(l, DUO_ENDS), verbs[dice(l, 6)]);
}

static void one_step(struct life *l)
{
    uint64_t d = dice(l, 100);

    if (d < 46)
        for (int i = 0; i < 8; i++)
            dice(l, 4) ? do_write(l)
                       : do_read(l, (uint16_t)dice(l, l->volumes), (unsigned)dice(l, BLOCKS),
                             (unsigned)dice(l, BLOCK_SECTORS));
    else if (d < 54)
        do_flush(l);
    else if (d < 60)
        do_end(l);
    else if (d < 68)
        do_boot(l);
    else if (d < 75)
        do_link(l);
    else if (d < 79)
        do_reconnect(l);
    else if (d < 82)
        do_swap(l);
    else if (d < 87)
        do_hurt(l);
    else if (d < 92)
        do_unhurt(l);
    else
        do_admin(l);
    duo_run(l->d, dice(l, dice(l, 8) == 0 ? 15000 : 40));
    collect(l);
}

/* --- the end of a life --- */

static void heal(struct life *l)
{
    do_boot(l);
    do_boot(l);
    l->link = true;
    duo_link(l->d, true);
    handlers(l, 7);
    for (int e = 0; e < DUO_ENDS; e++) {
        enum duo_end end = (enum duo_end)e;
        duo_disk_hangs(l->d, end, false);
        duo_disk_fails(l->d, end, false, false);
        duo_run(l->d, 5000);
        attach_all(l, end);
        for (uint16_t i = 0; i < l->volumes; i++)
            (void)ask(
                l, end, (struct repl_admin){.verb = REPL_ADM_RESUME_SYNC, .volume = i}, ANSWER_MS);
        for (uint16_t i = 0; i < l->volumes; i++)
            (void)ask(
                l, end, (struct repl_admin){.verb = REPL_ADM_RESUME_IO, .volume = i}, ANSWER_MS);
        (void)ask(l, end, (struct repl_admin){.verb = REPL_ADM_CONNECT}, ANSWER_MS);
    }
}

static void check_all(struct life *l)
{
    for (unsigned i = 0; i < l->volumes * BLOCKS && !l->failed; i++) {
        for (unsigned s = 0; s < BLOCK_SECTORS; s++)
            do_read(l, (uint16_t)(i / BLOCKS), i % BLOCKS, s);
        duo_run(l->d, 200);
        collect(l);
    }
}

static void heal_and_check(struct life *l)
{
    heal(l);
    if (l->failed)
        return;
    if (!duo_wait_in_sync(l->d, HEAL_MS)) {
        is_wrong(l, "never in sync again");
        return;
    }
    duo_run(l->d, 60000);
    collect(l);
    if (l->in_flight)
        is_wrong(l, "a request was never answered");
    if (!duo_in_sync(l->d))
        is_wrong(l, "did not stay in sync");
    if (duo_status(l->d, l->primary).state.role != R_PRIMARY && !promote(l, l->primary))
        is_wrong(l, "nobody can be Primary");
    check_all(l);
    if (!l->failed && !duo_disks_equal(l->d))
        is_wrong(l, "the disks differ");
}

static void configure(struct life *l, struct duo_options *o)
{
    static const enum repl_fencing policies[] = {REPL_FENCE_DONT_CARE, REPL_FENCE_DONT_CARE,
        REPL_FENCE_RESOURCE_ONLY, REPL_FENCE_RESOURCE_AND_STONITH};
    struct repl_disk_config *disk = &o->config.volume[0].disk;
    struct repl_net_config *net = &o->config.net;

    o->disk_sectors = 64 * 2048;
    o->config.volumes = l->volumes = 1 + (uint32_t)dice(l, 2);
    o->config.on_no_data = dice(l, 2) ? REPL_NO_DATA_IO_ERROR : REPL_NO_DATA_SUSPEND_IO;
    net->ping_int_s = 1 + (uint32_t)dice(l, 10);
    net->timeout_ds = 30 + (uint32_t)dice(l, 30);
    net->ko_count = 1 + (uint32_t)dice(l, 7);
    net->use_rle = dice(l, 2);
    strcpy(net->verify_alg, "crc32c");
    strcpy(net->csums_alg, dice(l, 3) == 0 ? "crc32c" : "");
    strcpy(net->integrity_alg, dice(l, 4) == 0 ? "crc32c" : "");
    disk->fencing = policies[dice(l, 4)];
    l->fencing = disk->fencing != REPL_FENCE_DONT_CARE;
    disk->al_extents = dice(l, 2) ? 7 : 67;
    disk->al_updates = dice(l, 8) != 0;
    disk->on_io_error = dice(l, 4) == 0 ? REPL_IOE_CALL_HANDLER : REPL_IOE_DETACH;
    if (dice(l, 10) == 0)
        disk->on_io_error = REPL_IOE_PASS_ON;
    l->pass_on = disk->on_io_error == REPL_IOE_PASS_ON;
    disk->disk_timeout_ds = dice(l, 4) == 0 ? 30 : 0;
    o->config.volume[1].disk = *disk;
    o->config.volume[1].vnr = 1;
    o->config.volume[1].minor = 1;
}

static const char *one_life(uint64_t seed)
{
    struct duo_options o;
    struct life *l = calloc(1, sizeof *l);
    const char *failed;

    duo_options_init(&o);
    o.seed = seed;
    hv_prng_seed(&l->prng, seed ^ 0x111d);
    configure(l, &o);
    l->link = l->up[0] = l->up[1] = true;
    l->hurt = NOBODY;
    l->d = scenario_synced_with(&o);
    l->primary = DUO_A;
    for (int i = 0; i < STEPS && !l->failed; i++)
        one_step(l);
    if (!l->failed)
        heal_and_check(l);
    duo_free(l->d);
    for (unsigned i = 0; i < l->ops; i++) {
        free(l->op[i]->old);
        free(l->op[i]);
    }
    failed = l->failed;
    free(l);
    return failed;
}

static uint64_t first_seed = 1, seeds = SEEDS;

static void wild_lives(void **state)
{
    unsigned failures = 0;

    for (uint64_t seed = first_seed; seed < first_seed + seeds; seed++) {
        const char *failed = one_life(seed);
        if (failed) {
            fprintf(stderr, "seed %llu: %s\n  replay: DUO_TRACE=1 test_duo_wild %llu 1\n",
                (unsigned long long)seed, failed, (unsigned long long)seed);
            failures++;
        }
    }
    assert_int_equal(failures, 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(wild_lives)};

    if (argc > 1)
        first_seed = strtoull(argv[1], NULL, 0);
    if (argc > 2)
        seeds = strtoull(argv[2], NULL, 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
