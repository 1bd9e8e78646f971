/* SPDX-License-Identifier: Apache-2.0 */
/* The interval set against a list that is searched from end to end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "hv_prng.h"
#include "repl_interval.h"

static bool any(struct repl_interval *iv, void *arg)
{
    return true;
}

static bool is_arg(struct repl_interval *iv, void *arg)
{
    return iv == arg;
}

static void neighbours_do_not_conflict(void **state)
{
    struct repl_intervals set;
    struct repl_interval a = {0};

    repl_intervals_init(&set);
    repl_interval_add(&set, &a, 8, 8, true);
    assert_null(repl_interval_conflict(&set, 0, 8, NULL));
    assert_null(repl_interval_conflict(&set, 16, 8, NULL));
    assert_ptr_equal(repl_interval_conflict(&set, 0, 9, NULL), &a);
    assert_ptr_equal(repl_interval_conflict(&set, 15, 1, NULL), &a);
    assert_null(repl_interval_conflict(&set, 8, 8, &a));
    repl_interval_remove(&a);
    assert_null(repl_interval_conflict(&set, 8, 8, NULL));
    repl_interval_remove(&a);
}

static void passive_ones_are_only_found_exactly(void **state)
{
    struct repl_intervals set;
    struct repl_interval a = {0}, b = {0};

    repl_intervals_init(&set);
    repl_interval_add(&set, &a, 2040, 16, false); /* two buckets */
    repl_interval_add(&set, &b, 2040, 16, false);
    assert_null(repl_interval_conflict(&set, 0, 1 << 20, NULL));
    assert_non_null(repl_interval_exact(&set, 2040, 16, any, NULL));
    assert_ptr_equal(repl_interval_exact(&set, 2040, 16, is_arg, &b), &b);
    assert_null(repl_interval_exact(&set, 2040, 15, any, NULL));
    assert_null(repl_interval_exact(&set, 2048, 8, any, NULL));
    assert_null(repl_interval_exact(&set, 2040, 0, any, NULL));
}

static void second_bucket_counts(void **state)
{
    struct repl_intervals set;
    struct repl_interval a = {0};

    repl_intervals_init(&set);
    repl_interval_add(&set, &a, 2047, 2, true);
    assert_ptr_equal(repl_interval_conflict(&set, 2048, 4096, NULL), &a);
    assert_ptr_equal(repl_interval_conflict(&set, 2047, 1, NULL), &a);
}

enum { COUNT = 300, ROUNDS = 20000 };

static struct repl_interval *brute(struct repl_interval *all, uint64_t sector, uint64_t sectors)
{
    for (int i = 0; i < COUNT; i++)
        if (all[i].active && all[i].writing && all[i].sector < sector + sectors &&
            sector < all[i].end)
            return &all[i];
    return NULL;
}

static uint64_t random_length(struct hv_prng *prng)
{
    switch (hv_prng_below(prng, 4)) {
    case 0:
        return 1 + hv_prng_below(prng, 16);
    case 1:
        return 1 + hv_prng_below(prng, 2048);
    case 2:
        return 1 + hv_prng_below(prng, 10000);
    default:
        return 1 + hv_prng_below(prng, 1000000);
    }
}

static void agrees_with_a_plain_search(void **state)
{
    static struct repl_interval all[COUNT];
    struct repl_intervals set;
    struct hv_prng prng;

    hv_prng_seed(&prng, 7);
    repl_intervals_init(&set);
    memset(all, 0, sizeof all);
    for (int n = 0; n < ROUNDS; n++) {
        struct repl_interval *iv = &all[hv_prng_below(&prng, COUNT)], *found;
        uint64_t sector = hv_prng_below(&prng, 3000000), sectors = random_length(&prng);

        found = repl_interval_conflict(&set, sector, sectors, NULL);
        assert_int_equal(found != NULL, brute(all, sector, sectors) != NULL);
        if (iv->active)
            repl_interval_remove(iv);
        else if (!found || hv_prng_below(&prng, 3) == 0)
            repl_interval_add(&set, iv, sector, sectors, hv_prng_below(&prng, 4) != 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(neighbours_do_not_conflict),
        cmocka_unit_test(passive_ones_are_only_found_exactly),
        cmocka_unit_test(second_bucket_counts),
        cmocka_unit_test(agrees_with_a_plain_search),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
