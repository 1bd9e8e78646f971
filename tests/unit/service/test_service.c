/* SPDX-License-Identifier: Apache-2.0 */
/* Starting and stopping a group, and what happens when that fails. */
#include "service_world.h"

/* ---- starting and stopping ------------------------------------------------------------------ */

static void starts_left_to_right_and_stops_right_to_left(void **state)
{
    struct world w;

    (void)state;
    world_up(&w);
    assert_int_equal(world_state(&w), SERVICE_STARTED);
    world_stop(&w);
    world_expect(&w, "-nfs -fs -drbd -addr [stopped] ");
    assert_int_equal(world_state(&w), SERVICE_STOPPED);
    world_free(&w);
}

static void what_runs_already_is_adopted(void **state)
{
    struct world w;

    (void)state;
    world_init(&w);
    for (size_t i = 0; i < ITEMS; i++)
        w.items[i].runs = true;
    world_begin(&w);
    world_expect(&w, "[started] ");
    world_start(&w);
    world_expect(&w, "[started] ");
    world_free(&w);
}

static void one_that_cannot_tell_is_adopted_with_the_others(void **state)
{
    struct world w;

    (void)state;
    world_init(&w);
    for (size_t i = 0; i < ITEMS; i++)
        w.items[i].runs = true;
    w.items[3].mute = true;
    world_begin(&w);
    world_expect(&w, "[started] ");
    world_stop(&w);
    world_expect(&w, "-nfs -fs -drbd -addr [stopped] ");
    world_free(&w);
}

static void one_that_cannot_tell_is_stopped_when_the_others_are(void **state)
{
    struct world w;

    (void)state;
    world_init(&w);
    w.items[3].mute = true;
    world_begin(&w);
    world_expect(&w, "[stopped] ");
    world_stop(&w);
    world_expect(&w, "[stopped] "); /* and the script was not run */
    world_free(&w);
}

static void half_a_group_is_left_alone_until_told(void **state)
{
    struct world w;

    (void)state;
    world_init(&w);
    w.items[0].runs = w.items[1].runs = true;
    world_begin(&w);
    world_expect(&w, "[partial] ");
    world_advance(&w, 100000);
    world_expect(&w, "");
    world_start(&w);
    world_expect(&w, "+fs +nfs [started] ");
    world_free(&w);
}

static void half_a_group_can_be_stopped(void **state)
{
    struct world w;

    (void)state;
    world_init(&w);
    w.items[1].runs = true;
    world_begin(&w);
    world_stop(&w);
    world_expect(&w, "[partial] -drbd [stopped] ");
    world_free(&w);
}

static void a_probe_that_fails_leads_to_a_stop_before_stopped_is_said(void **state)
{
    struct world w;

    (void)state;
    world_init(&w);
    w.items[2].on_monitor = SERVICE_ERROR;
    world_begin(&w);
    world_stop(&w);
    world_expect(&w, "[partial] -fs [stopped] ");
    world_free(&w);
}

static void a_start_during_the_first_probes_waits_for_them(void **state)
{
    struct world w;

    (void)state;
    world_init(&w);
    w.items[2].slow = true;
    world_begin(&w);
    world_start(&w);
    world_expect(&w, "");
    w.items[2].slow = false;
    world_finish_slow(&w, SERVICE_OK);
    world_expect(&w, "[stopped] +addr +drbd +fs +nfs [started] ");
    world_free(&w);
}

static void a_stop_during_the_first_probes_wins_over_adoption(void **state)
{
    struct world w;

    (void)state;
    world_init(&w);
    for (size_t i = 0; i < ITEMS; i++)
        w.items[i].runs = true;
    w.items[0].slow = true;
    world_begin(&w);
    world_stop(&w);
    w.items[0].slow = false;
    world_finish_slow(&w, SERVICE_OK);
    world_expect(&w, "[started] -nfs -fs -drbd -addr [stopped] ");
    world_free(&w);
}

static void a_stop_during_a_start_cuts_it_and_stops_what_was_started(void **state)
{
    struct world w;

    (void)state;
    world_init(&w);
    world_begin(&w);
    w.items[2].slow = true;
    world_start(&w);
    world_expect(&w, "[stopped] +addr +drbd +fs ");
    world_stop(&w);
    world_expect(&w, "xfs ");
    w.items[2].slow = false;
    world_finish_slow(&w, SERVICE_CANCELLED);
    world_expect(&w, "-fs -drbd -addr [stopped] ");
    world_free(&w);
}

static void a_start_that_must_not_be_cut_is_waited_for(void **state)
{
    struct world w;

    (void)state;
    world_init(&w);
    world_begin(&w);
    w.items[3].slow = true;
    world_start(&w);
    world_stop(&w);
    world_expect(&w, "[stopped] +addr +drbd +fs +nfs ");
    w.items[3].slow = false;
    world_finish_slow(&w, SERVICE_OK);
    world_expect(&w, "-nfs -fs -drbd -addr [stopped] ");
    world_free(&w);
}

static void a_start_that_fails_after_the_stop_came_is_not_a_failure(void **state)
{
    struct world w;

    (void)state;
    world_init(&w);
    world_begin(&w);
    w.items[3].slow = true;
    world_start(&w);
    world_stop(&w);
    w.items[3].slow = false;
    world_finish_slow(&w, SERVICE_ERROR);
    world_expect(&w, "[stopped] +addr +drbd +fs +nfs -nfs -fs -drbd -addr [stopped] ");
    assert_int_equal(w.n_moves, 0);
    world_free(&w);
}

static void a_start_during_a_stop_goes_back_up(void **state)
{
    struct world w;

    (void)state;
    world_up(&w);
    w.items[2].slow = true;
    world_stop(&w);
    world_expect(&w, "-nfs -fs ");
    world_start(&w);
    world_expect(&w, "");
    w.items[2].slow = false;
    world_finish_slow(&w, SERVICE_OK);
    world_expect(&w, "+fs +nfs [started] ");
    world_free(&w);
}

static void a_failed_stop_overtaken_by_a_start_is_started_over(void **state)
{
    struct world w;

    (void)state;
    world_up(&w);
    w.items[2].slow = true;
    world_stop(&w);
    world_start(&w);
    w.items[2].slow = false;
    world_finish_slow(&w, SERVICE_ERROR);
    world_expect(&w, "-nfs -fs +fs +nfs [started] ");
    world_free(&w);
}

static void a_cut_start_goes_on_when_start_comes_again(void **state)
{
    struct world w;

    (void)state;
    world_init(&w);
    world_begin(&w);
    w.items[1].slow = true;
    world_start(&w);
    world_stop(&w);
    world_start(&w);
    w.items[1].slow = false;
    world_finish_slow(&w, SERVICE_CANCELLED);
    world_expect(&w, "[stopped] +addr +drbd xdrbd +drbd +fs +nfs [started] ");
    world_free(&w);
}

static void both_requests_are_answered_when_they_change_nothing(void **state)
{
    struct world w;

    (void)state;
    world_up(&w);
    world_start(&w);
    world_expect(&w, "[started] ");
    world_stop(&w);
    world_stop(&w);
    world_expect(&w, "-nfs -fs -drbd -addr [stopped] [stopped] ");
    world_free(&w);
}

/* ---- failing starts and stops --------------------------------------------------------------- */

static void a_failed_start_stops_what_was_started_and_asks_to_move(void **state)
{
    struct world w;

    (void)state;
    world_init(&w);
    world_begin(&w);
    w.items[2].on_start = SERVICE_ERROR;
    world_start(&w);
    /* The one that failed is stopped too: it may be half up. */
    world_expect(&w, "[stopped] +addr +drbd +fs -fs -drbd -addr [failed] MOVE ");
    assert_string_equal(w.reason, "fs: it says no");
    world_stop(&w);
    world_expect(&w, "[stopped] ");
    world_free(&w);
}

static void a_start_that_runs_out_of_time_says_so(void **state)
{
    struct world w;

    (void)state;
    world_init(&w);
    world_begin(&w);
    w.items[1].on_start = SERVICE_TIMED_OUT;
    world_start(&w);
    assert_string_equal(w.reason, "drbd: start ran out of time");
    world_free(&w);
}

static void a_failed_group_tries_again_where_it_is_with_growing_pauses(void **state)
{
    struct world w;

    (void)state;
    world_init(&w);
    world_begin(&w);
    w.items[0].on_start = SERVICE_ERROR;
    world_start(&w);
    world_expect(&w, "[stopped] +addr -addr [failed] MOVE ");
    world_advance(&w, 4999);
    world_expect(&w, "");
    world_advance(&w, 1);
    world_expect(&w, "+addr -addr [failed] MOVE ");
    world_advance(&w, 9999);
    world_expect(&w, "");
    w.items[0].on_start = SERVICE_OK;
    world_advance(&w, 1);
    world_expect(&w, "+addr +drbd +fs +nfs [started] ");
    world_free(&w);
}

static void a_failed_stop_is_tried_again_then_blocks_the_group(void **state)
{
    struct world w;

    (void)state;
    world_up(&w);
    w.items[2].on_stop = SERVICE_ERROR;
    world_stop(&w);
    world_expect(&w, "-nfs -fs ");
    world_advance(&w, 1000);
    world_expect(&w, "-fs ");
    world_advance(&w, 1000);
    world_expect(&w, "-fs [stop failed] ");
    assert_int_equal(world_state(&w), SERVICE_STOP_FAILED);
    assert_int_equal(world_item(&w, 1), SERVICE_ITEM_STARTED); /* nothing under it was touched */
    world_free(&w);
}

static void a_blocked_group_is_released_once_the_stop_succeeds(void **state)
{
    struct world w;

    (void)state;
    world_up(&w);
    w.items[2].on_stop = SERVICE_TIMED_OUT;
    world_stop(&w);
    world_advance(&w, 2000);
    world_expect(&w, "-nfs -fs -fs -fs [stop failed] ");
    w.items[2].on_stop = SERVICE_OK;
    world_advance(&w, 10000);
    world_expect(&w, "-fs -drbd -addr [stopped] ");
    world_free(&w);
}

static void a_blocked_group_may_be_started_again_where_it_is(void **state)
{
    struct world w;

    (void)state;
    world_up(&w);
    w.items[2].on_stop = SERVICE_ERROR;
    world_stop(&w);
    world_advance(&w, 2000);
    world_expect(&w, "-nfs -fs -fs -fs [stop failed] ");
    world_start(&w);
    world_expect(&w, "+fs +nfs [started] ");
    world_free(&w);
}

static void a_stop_that_fails_after_a_failed_start_blocks_and_later_asks_to_move(void **state)
{
    struct world w;

    (void)state;
    world_init(&w);
    world_begin(&w);
    w.items[3].on_start = SERVICE_ERROR;
    w.items[2].on_stop = SERVICE_ERROR;
    world_start(&w);
    world_advance(&w, 2000);
    world_expect(&w, "[stopped] +addr +drbd +fs +nfs -nfs -fs -fs -fs [stop failed] ");
    w.items[2].on_stop = SERVICE_OK;
    world_advance(&w, 10000);
    world_expect(&w, "-fs -drbd -addr [failed] MOVE ");
    world_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(starts_left_to_right_and_stops_right_to_left),
        cmocka_unit_test(what_runs_already_is_adopted),
        cmocka_unit_test(one_that_cannot_tell_is_adopted_with_the_others),
        cmocka_unit_test(one_that_cannot_tell_is_stopped_when_the_others_are),
        cmocka_unit_test(half_a_group_is_left_alone_until_told),
        cmocka_unit_test(half_a_group_can_be_stopped),
        cmocka_unit_test(a_probe_that_fails_leads_to_a_stop_before_stopped_is_said),
        cmocka_unit_test(a_start_during_the_first_probes_waits_for_them),
        cmocka_unit_test(a_stop_during_the_first_probes_wins_over_adoption),
        cmocka_unit_test(a_stop_during_a_start_cuts_it_and_stops_what_was_started),
        cmocka_unit_test(a_start_that_must_not_be_cut_is_waited_for),
        cmocka_unit_test(a_start_that_fails_after_the_stop_came_is_not_a_failure),
        cmocka_unit_test(a_start_during_a_stop_goes_back_up),
        cmocka_unit_test(a_failed_stop_overtaken_by_a_start_is_started_over),
        cmocka_unit_test(a_cut_start_goes_on_when_start_comes_again),
        cmocka_unit_test(both_requests_are_answered_when_they_change_nothing),
        cmocka_unit_test(a_failed_start_stops_what_was_started_and_asks_to_move),
        cmocka_unit_test(a_start_that_runs_out_of_time_says_so),
        cmocka_unit_test(a_failed_group_tries_again_where_it_is_with_growing_pauses),
        cmocka_unit_test(a_failed_stop_is_tried_again_then_blocks_the_group),
        cmocka_unit_test(a_blocked_group_is_released_once_the_stop_succeeds),
        cmocka_unit_test(a_blocked_group_may_be_started_again_where_it_is),
        cmocka_unit_test(a_stop_that_fails_after_a_failed_start_blocks_and_later_asks_to_move),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
