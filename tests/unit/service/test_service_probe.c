/* SPDX-License-Identifier: Apache-2.0 */
/* Probing what runs, restarts, moves; many groups at once. */
#include <string.h>

#include "service_world.h"

/* ---- probing -------------------------------------------------------------------------------- */

static void every_resource_is_probed_each_interval(void **state)
{
    struct world w;

    (void)state;
    world_up(&w);
    world_advance(&w, 999);
    assert_int_equal(w.n_monitors, 0);
    world_advance(&w, 1);
    assert_int_equal(w.n_monitors, ITEMS);
    world_advance(&w, 9000);
    assert_int_equal(w.n_monitors, 10 * ITEMS);
    world_expect(&w, "");
    world_free(&w);
}

static void a_dead_server_is_restarted_alone(void **state)
{
    struct world w;

    (void)state;
    world_up(&w);
    w.items[3].runs = false;
    world_advance(&w, 1000);
    world_expect(&w, "-nfs +nfs [started] ");
    world_free(&w);
}

static void a_dead_address_does_not_disturb_what_is_right_of_it(void **state)
{
    struct world w;

    (void)state;
    world_up(&w);
    w.items[0].runs = false;
    world_advance(&w, 1000);
    world_expect(&w, "-addr +addr [started] ");
    world_free(&w);
}

static void a_dead_mount_takes_what_stands_on_it_with_it(void **state)
{
    struct world w;

    (void)state;
    world_up(&w);
    w.items[2].on_monitor = SERVICE_ERROR;
    w.items[2].slow = false;
    world_advance(&w, 1000);
    world_expect(&w, "xnfs -nfs -fs +fs +nfs [started] ");
    world_free(&w);
}

static void restarts_are_counted_and_the_group_moves_when_it_recurs(void **state)
{
    struct world w;
    struct service_item_status st;

    (void)state;
    world_up(&w);
    w.items[3].runs = false;
    world_advance(&w, 1000);
    world_expect(&w, "-nfs +nfs [started] ");
    service_item_status(w.s, 0, 3, &st);
    assert_int_equal(st.restarts, 1);
    w.items[3].runs = false;
    world_advance(&w, 1000);
    world_expect(&w, "[failed] MOVE ");
    assert_string_equal(w.reason, "nfs: is not running any more");
    world_stop(&w);
    world_expect(&w, "-nfs -fs -drbd -addr [stopped] ");
    world_free(&w);
}

static void a_restart_long_ago_is_forgotten(void **state)
{
    struct world w;

    (void)state;
    world_up(&w);
    w.items[3].runs = false;
    world_advance(&w, 1000);
    world_advance(&w, 60000);
    w.items[3].runs = false;
    world_advance(&w, 1000);
    world_expect(&w, "-nfs +nfs [started] -nfs +nfs [started] ");
    world_free(&w);
}

static void a_group_that_may_not_move_recovers_after_a_pause(void **state)
{
    struct world w;

    (void)state;
    world_up(&w);
    w.items[3].runs = false;
    world_advance(&w, 1000);
    w.items[3].runs = false;
    world_advance(&w, 1000);
    world_expect(&w, "-nfs +nfs [started] [failed] MOVE ");
    world_advance(&w, 5000);
    world_expect(&w, "-nfs +nfs [started] ");
    world_free(&w);
}

static void a_restart_that_fails_asks_to_move(void **state)
{
    struct world w;

    (void)state;
    world_up(&w);
    w.items[3].runs = false;
    w.items[3].on_start = SERVICE_ERROR;
    world_advance(&w, 1000);
    world_expect(&w, "-nfs +nfs [failed] MOVE ");
    world_free(&w);
}

static void a_stop_during_a_restart_stops_everything(void **state)
{
    struct world w;

    (void)state;
    world_up(&w);
    w.items[2].runs = false;
    w.items[3].slow = true;
    world_advance(&w, 1000);
    /* The stop of nfs runs; the probe of nfs that was under way was given up for it. */
    world_expect(&w, "xnfs -nfs ");
    world_stop(&w);
    world_expect(&w, "");
    w.items[3].slow = false;
    world_finish_slow(&w, SERVICE_OK);        /* the stop */
    world_finish_slow(&w, SERVICE_CANCELLED); /* the probe */
    world_expect(&w, "-fs -drbd -addr [stopped] ");
    world_free(&w);
}

static void one_late_probe_is_forgiven_two_are_not(void **state)
{
    struct world w;

    (void)state;
    world_up(&w);
    w.items[3].slow = true;
    world_advance(&w, 1000);
    world_finish_slow(&w, SERVICE_TIMED_OUT);
    world_expect(&w, "");
    world_advance(&w, 0); /* asked again at once */
    world_finish_slow(&w, SERVICE_OK);
    world_expect(&w, "");
    world_advance(&w, 1000);
    world_finish_slow(&w, SERVICE_TIMED_OUT);
    world_advance(&w, 0);
    w.items[3].slow = false;
    world_finish_slow(&w, SERVICE_TIMED_OUT);
    world_expect(&w, "-nfs +nfs [started] ");
    world_free(&w);
}

static void a_probe_that_answers_after_the_stop_changes_nothing(void **state)
{
    struct world w;

    (void)state;
    world_up(&w);
    w.items[0].slow = true;
    world_advance(&w, 1000);
    w.items[0].slow = false;
    world_stop(&w);
    world_expect(&w, "-nfs -fs -drbd xaddr -addr [stopped] ");
    world_finish_slow(&w, SERVICE_ERROR);
    world_expect(&w, "");
    assert_int_equal(world_item(&w, 0), SERVICE_ITEM_STOPPED);
    world_free(&w);
}

static void one_that_cannot_tell_is_not_asked_again(void **state)
{
    struct world w;

    (void)state;
    world_init(&w);
    w.items[3].mute = true;
    world_begin(&w);
    world_start(&w);
    world_advance(&w, 5000);
    assert_int_equal(w.n_monitors, 5 * (ITEMS - 1));
    world_free(&w);
}

static void nothing_is_probed_while_stopped(void **state)
{
    struct world w;

    (void)state;
    world_up(&w);
    world_stop(&w);
    assert_true(service_next_timeout_ms(w.s) == UINT64_MAX);
    world_free(&w);
}

static void time_limits_are_handed_on(void **state)
{
    struct world w;
    struct service_effects fx;
    struct service_event ev = {.kind = SERVICE_EV_BEGIN, .now_ms = 5};

    (void)state;
    world_init(&w);
    service_step(w.s, &ev, &fx);
    assert_int_equal(fx.n, ITEMS);
    assert_int_equal(fx.items[0].kind, SERVICE_FX_RUN);
    assert_int_equal(fx.items[0].action, SERVICE_ACTION_PROBE);
    assert_int_equal(fx.items[0].timeout_ms, 300);
    world_free(&w);
}

static void an_unknown_token_is_ignored(void **state)
{
    struct world w;

    (void)state;
    world_up(&w);
    world_finish(&w, 0, SERVICE_ERROR);
    world_finish(&w, 999999, SERVICE_ERROR);
    world_expect(&w, "");
    world_free(&w);
}

/* ---- many groups ---------------------------------------------------------------------------- */

static void many_groups_are_probed_within_the_bound_of_effects(void **state)
{
    struct service_item_config items[SERVICE_ITEMS_MAX];
    struct service_group_config groups[SERVICE_GROUPS_MAX];
    struct service_effects fx;
    struct hv_diag diag;
    size_t runs = 0;

    (void)state;
    for (size_t i = 0; i < SERVICE_ITEMS_MAX; i++)
        items[i] = (struct service_item_config){.name = "i"};
    for (size_t i = 0; i < SERVICE_GROUPS_MAX; i++)
        groups[i] = (struct service_group_config){
            .name = "g", .items = items, .n_items = SERVICE_ITEMS_MAX};
    struct service *s = service_new(groups, SERVICE_GROUPS_MAX, NULL, &diag);
    struct service_event ev = {.kind = SERVICE_EV_BEGIN, .now_ms = 7};
    service_step(s, &ev, &fx);
    runs += fx.n;
    while (service_next_timeout_ms(s) <= 7) {
        ev.kind = SERVICE_EV_TICK;
        service_step(s, &ev, &fx);
        assert_true(fx.n > 0);
        runs += fx.n;
    }
    assert_int_equal(runs, SERVICE_ITEMS_MAX * SERVICE_GROUPS_MAX);
    service_free(s);
}

static void too_many_resources_are_refused_with_a_sentence(void **state)
{
    struct service_group_config group = {.name = "big", .n_items = SERVICE_ITEMS_MAX + 1};
    struct hv_diag diag = {""};

    (void)state;
    assert_null(service_new(&group, 1, NULL, &diag));
    assert_string_equal(diag.text, "group big has 33 resources; at most 32 are possible");
}

static void a_group_is_found_by_its_name(void **state)
{
    struct world w;

    (void)state;
    world_init(&w);
    assert_int_equal(service_group_find(w.s, "g"), 0);
    assert_int_equal(service_group_find(w.s, "h"), service_group_count(w.s));
    world_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_resource_is_probed_each_interval),
        cmocka_unit_test(a_dead_server_is_restarted_alone),
        cmocka_unit_test(a_dead_address_does_not_disturb_what_is_right_of_it),
        cmocka_unit_test(a_dead_mount_takes_what_stands_on_it_with_it),
        cmocka_unit_test(restarts_are_counted_and_the_group_moves_when_it_recurs),
        cmocka_unit_test(a_restart_long_ago_is_forgotten),
        cmocka_unit_test(a_group_that_may_not_move_recovers_after_a_pause),
        cmocka_unit_test(a_restart_that_fails_asks_to_move),
        cmocka_unit_test(a_stop_during_a_restart_stops_everything),
        cmocka_unit_test(one_late_probe_is_forgiven_two_are_not),
        cmocka_unit_test(a_probe_that_answers_after_the_stop_changes_nothing),
        cmocka_unit_test(one_that_cannot_tell_is_not_asked_again),
        cmocka_unit_test(nothing_is_probed_while_stopped),
        cmocka_unit_test(time_limits_are_handed_on),
        cmocka_unit_test(an_unknown_token_is_ignored),
        cmocka_unit_test(many_groups_are_probed_within_the_bound_of_effects),
        cmocka_unit_test(too_many_resources_are_refused_with_a_sentence),
        cmocka_unit_test(a_group_is_found_by_its_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
