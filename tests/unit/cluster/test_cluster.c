/* SPDX-License-Identifier: Apache-2.0 */
/* Two havens on a good network: start, hand-over, failback, leaving, dying, failing services. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "duo_cluster.h"

static struct duo *d;

static int setup(void **state)
{
    d = duo_new();
    return 0;
}

static int teardown(void **state)
{
    duo_free(d);
    return 0;
}

static void both_started(void)
{
    duo_start(d, ALPHA);
    duo_start(d, BETA);
    duo_run(d, 5000);
    assert_string_equal(duo_where(d), "ga@alpha gb@beta");
    duo_watch(d);
}

static void both_start_and_hold_their_own(void **state)
{
    duo_start(d, ALPHA);
    duo_start(d, BETA);
    /* No waiting for 10 s as between two Heartbeats. */
    assert_true(duo_until_running(d, ALPHA, DUO_GA, 2000) < 500);
    duo_run(d, 3000);
    assert_string_equal(duo_where(d), "ga@alpha gb@beta");
    for (int n = 0; n < DUO_NODES; n++) {
        assert_string_equal(duo_status(d, n)->held, "local");
        assert_string_equal(duo_status(d, n)->node[CLUSTER_ME].status, "active");
        assert_string_equal(duo_status(d, n)->node[CLUSTER_PEER].status, "active");
        assert_true(duo_status(d, n)->node[CLUSTER_PEER].haven);
        assert_true(duo_status(d, n)->link[0].up);
        assert_int_equal(duo_status(d, n)->packets_bad, 0);
        assert_int_equal(duo_status(d, n)->packets_lost, 0);
    }
    assert_int_equal(d->node[ALPHA].acquires[DUO_GA], 1);
    assert_int_equal(d->node[BETA].acquires[DUO_GA], 0);
}

static void one_starts_alone_after_initdead(void **state)
{
    duo_start(d, ALPHA);
    duo_run(d, 9900);
    assert_string_equal(duo_where(d), "ga@- gb@-");
    duo_run(d, 300);
    assert_string_equal(duo_where(d), "ga@alpha gb@alpha");
    assert_string_equal(duo_status(d, ALPHA)->held, "all");
    assert_string_equal(duo_status(d, ALPHA)->node[CLUSTER_PEER].status, "dead");
}

static void the_second_joins_without_failback(void **state)
{
    duo_start(d, ALPHA);
    duo_run(d, 11000);
    duo_start(d, BETA);
    duo_run(d, 20000);
    assert_string_equal(duo_where(d), "ga@alpha gb@alpha");
    assert_string_equal(duo_status(d, BETA)->held, "none");
    assert_string_equal(duo_status(d, BETA)->node[CLUSTER_ME].status, "active");
}

static void the_second_gets_its_own_back_with_failback(void **state)
{
    d->cfg.failback = CLUSTER_FAILBACK_ON;
    duo_start(d, ALPHA);
    duo_run(d, 11000);
    duo_start(d, BETA);
    duo_until_running(d, BETA, DUO_GB, 5000);
    duo_run(d, 5000);
    assert_string_equal(duo_where(d), "ga@alpha gb@beta");
    assert_int_equal(d->node[ALPHA].releases[DUO_GA], 0);
}

static void standby_gives_everything(void **state)
{
    both_started();
    assert_int_equal(duo_admin(d, ALPHA, CLUSTER_ADMIN_STANDBY, CLUSTER_ALL), 0);
    assert_string_equal(duo_status(d, ALPHA)->held, "transition");
    assert_true(duo_until_running(d, BETA, DUO_GA, 5000) < 200); /* stop + start + a few packets */
    duo_run(d, 1000);
    assert_string_equal(duo_where(d), "ga@beta gb@beta");
    assert_string_equal(duo_status(d, ALPHA)->held, "none");
    assert_string_equal(duo_status(d, BETA)->held, "all");
    assert_int_equal(d->idle_ms[DUO_GB], 0);
}

static void standby_of_a_class(void **state)
{
    both_started();
    assert_int_equal(duo_admin(d, BETA, CLUSTER_ADMIN_STANDBY, CLUSTER_LOCAL), 0);
    duo_run(d, 1000);
    assert_string_equal(duo_where(d), "ga@alpha gb@alpha");
    assert_int_equal(duo_admin(d, ALPHA, CLUSTER_ADMIN_STANDBY, CLUSTER_FOREIGN), 0);
    duo_run(d, 1000);
    assert_string_equal(duo_where(d), "ga@alpha gb@beta");
}

static void nothing_fails_back_after_a_manual_standby(void **state)
{
    d->cfg.failback = CLUSTER_FAILBACK_ON;
    both_started();
    duo_admin(d, ALPHA, CLUSTER_ADMIN_STANDBY, CLUSTER_ALL);
    duo_run(d, 60000);
    assert_string_equal(duo_where(d), "ga@beta gb@beta");
}

static void takeover_brings_them_here(void **state)
{
    both_started();
    assert_int_equal(duo_admin(d, BETA, CLUSTER_ADMIN_TAKEOVER, CLUSTER_FOREIGN), 0);
    duo_run(d, 1000);
    assert_string_equal(duo_where(d), "ga@beta gb@beta");
    assert_int_equal(duo_admin(d, ALPHA, CLUSTER_ADMIN_TAKEOVER, CLUSTER_ALL), 0);
    duo_run(d, 1000);
    assert_string_equal(duo_where(d), "ga@alpha gb@alpha");
}

static void one_group_moves(void **state)
{
    d->cfg.groups[DUO_GB].prefer = CLUSTER_ME; /* both are alpha's: one of two in its class */
    duo_start(d, ALPHA);
    duo_start(d, BETA);
    duo_run(d, 5000);
    assert_string_equal(duo_where(d), "ga@alpha gb@alpha");
    assert_int_equal(duo_move(d, ALPHA, DUO_GB, CLUSTER_PEER), 0);
    duo_run(d, 1000);
    assert_string_equal(duo_where(d), "ga@alpha gb@beta");
    assert_int_equal(duo_move(d, ALPHA, DUO_GB, CLUSTER_ME), 0);
    duo_run(d, 1000);
    assert_string_equal(duo_where(d), "ga@alpha gb@alpha");
    assert_int_equal(d->node[ALPHA].releases[DUO_GA], 0);
    assert_int_equal(duo_move(d, ALPHA, 7, CLUSTER_ME), HV_EINVAL);
}

static void a_second_request_waits_for_the_first(void **state)
{
    both_started();
    assert_int_equal(duo_admin(d, ALPHA, CLUSTER_ADMIN_STANDBY, CLUSTER_ALL), 0);
    assert_int_equal(duo_admin(d, ALPHA, CLUSTER_ADMIN_STANDBY, CLUSTER_ALL), HV_ESTATE);
}

static void two_requests_at_once_end_well(void **state)
{
    both_started();
    duo_admin(d, ALPHA, CLUSTER_ADMIN_STANDBY, CLUSTER_LOCAL);
    duo_admin(d, BETA, CLUSTER_ADMIN_STANDBY, CLUSTER_LOCAL);
    duo_run(d, 15000);
    assert_string_equal(duo_where(d), "ga@beta gb@beta"); /* alpha's was first by name */
    assert_string_equal(duo_status(d, ALPHA)->held, "none");
}

static void standby_without_a_peer_is_refused(void **state)
{
    duo_start(d, ALPHA);
    duo_run(d, 11000);
    assert_int_equal(duo_admin(d, ALPHA, CLUSTER_ADMIN_STANDBY, CLUSTER_ALL), HV_ESTATE);
    assert_string_equal(duo_where(d), "ga@alpha gb@alpha");
}

static void leaving_hands_over_at_once(void **state)
{
    both_started();
    duo_admin(d, BETA, CLUSTER_ADMIN_SHUTDOWN, 0);
    assert_true(duo_until_running(d, ALPHA, DUO_GB, 5000) < 300);
    duo_run(d, 2000);
    assert_true(d->node[BETA].stopped);
    duo_run(d, 20000);
    assert_string_equal(duo_where(d), "ga@alpha gb@alpha");
}

static void leaving_alone_does_not_linger(void **state)
{
    duo_start(d, ALPHA);
    duo_run(d, 11000);
    duo_admin(d, ALPHA, CLUSTER_ADMIN_SHUTDOWN, 0);
    duo_run(d, 100);
    assert_true(d->node[ALPHA].stopped);
    assert_string_equal(duo_where(d), "ga@- gb@-");
}

static void leaving_and_coming_back(void **state)
{
    d->cfg.failback = CLUSTER_FAILBACK_ON;
    both_started();
    duo_admin(d, BETA, CLUSTER_ADMIN_SHUTDOWN, 0);
    duo_run(d, 3000);
    duo_start(d, BETA);
    duo_run(d, 10000);
    assert_string_equal(duo_where(d), "ga@alpha gb@beta");
}

static void death_is_noticed_within_deadtime_and_a_keepalive(void **state)
{
    uint64_t took_ms;

    d->cfg.keepalive_ms = 100;
    d->cfg.deadtime_ms = 500;
    d->cfg.warntime_ms = 250;
    d->cfg.initdead_ms = 1000;
    both_started();
    duo_run(d, 33); /* somewhere between two heartbeats */
    duo_kill(d, BETA);
    took_ms = duo_until_running(d, ALPHA, DUO_GB, 5000);
    assert_true(took_ms <= 500 + d->start_ms + 2);
    assert_true(took_ms >= 400);
}

static void the_deadtime_that_counts_is_the_peers(void **state)
{
    duo_start(d, ALPHA);
    d->cfg.deadtime_ms = 9000;
    duo_start(d, BETA);
    duo_run(d, 5000);
    duo_kill(d, BETA);
    duo_run(d, 7000);
    assert_string_equal(duo_where(d), "ga@alpha gb@-");
    duo_run(d, 3000);
    assert_string_equal(duo_where(d), "ga@alpha gb@alpha");
}

static void the_dead_come_back(void **state)
{
    both_started();
    duo_kill(d, BETA);
    duo_run(d, 10000);
    assert_string_equal(duo_where(d), "ga@alpha gb@alpha");
    duo_start(d, BETA);
    duo_run(d, 20000);
    assert_string_equal(duo_where(d), "ga@alpha gb@alpha");
    duo_kill(d, ALPHA);
    duo_run(d, 10000);
    assert_string_equal(duo_where(d), "ga@beta gb@beta");
}

static void a_quick_restart_loses_no_group(void **state)
{
    both_started();
    duo_kill(d, BETA);
    duo_run(d, 500); /* well before deadtime */
    duo_start(d, BETA);
    duo_run(d, 10000);
    assert_string_equal(duo_where(d), "ga@alpha gb@beta");
    duo_admin(d, BETA, CLUSTER_ADMIN_STANDBY, CLUSTER_ALL);
    duo_run(d, 1000);
    duo_kill(d, ALPHA);
    duo_run(d, 500);
    duo_start(d, ALPHA);
    duo_run(d, 20000);
    assert_true(duo_runs(d, ALPHA, DUO_GB) || duo_runs(d, BETA, DUO_GB));
    assert_true(duo_runs(d, ALPHA, DUO_GA));
}

static void a_restarted_daemon_adopts_what_still_runs(void **state)
{
    both_started();
    duo_kill_daemon(d, BETA);
    duo_run(d, 500);
    duo_start(d, BETA);
    duo_run(d, 20000);
    assert_string_equal(duo_where(d), "ga@alpha gb@beta");
    assert_int_equal(d->node[BETA].releases[DUO_GB], 0);
    assert_int_equal(d->idle_ms[DUO_GB], 0);
}

static void death_during_a_hand_over(void **state)
{
    /* Cut down at every millisecond of a standby: the survivor ends up with everything. */
    for (uint64_t ms = 0; ms < 130; ms += 3) {
        for (int victim = 0; victim < DUO_NODES; victim++) {
            teardown(NULL);
            setup(NULL);
            both_started();
            duo_admin(d, ALPHA, CLUSTER_ADMIN_STANDBY, CLUSTER_ALL);
            duo_run(d, ms);
            duo_kill(d, victim);
            duo_run(d, 10000);
            assert_string_equal(
                duo_where(d), victim == ALPHA ? "ga@beta gb@beta" : "ga@alpha gb@alpha");
        }
    }
}

static void a_group_that_fails_to_start_goes_to_the_peer(void **state)
{
    d->node[ALPHA].fail_start[DUO_GA] = true;
    duo_start(d, ALPHA);
    duo_start(d, BETA);
    duo_until_running(d, BETA, DUO_GA, 10000);
    duo_run(d, 60000);
    assert_string_equal(duo_where(d), "ga@beta gb@beta");
    assert_int_equal(d->node[ALPHA].acquires[DUO_GA], 1);
    assert_int_equal(duo_status(d, BETA)->group[DUO_GA].failures[CLUSTER_PEER], 1);
}

static void a_group_that_fails_everywhere_is_tried_again(void **state)
{
    d->node[ALPHA].fail_start[DUO_GA] = d->node[BETA].fail_start[DUO_GA] = true;
    duo_start(d, ALPHA);
    duo_start(d, BETA);
    duo_run(d, 100000);
    assert_string_equal(duo_where(d), "ga@- gb@beta");
    /* Each node about every 30 s, not more. */
    assert_in_range(d->node[ALPHA].acquires[DUO_GA], 2, 5);
    assert_in_range(d->node[BETA].acquires[DUO_GA], 2, 5);
    d->node[BETA].fail_start[DUO_GA] = false;
    duo_run(d, 70000);
    assert_string_equal(duo_where(d), "ga@beta gb@beta");
}

static void alone_a_failed_group_is_tried_again(void **state)
{
    d->node[ALPHA].fail_start[DUO_GA] = true;
    duo_start(d, ALPHA);
    duo_run(d, 20000);
    assert_string_equal(duo_where(d), "ga@- gb@alpha");
    d->node[ALPHA].fail_start[DUO_GA] = false;
    duo_run(d, 31000);
    assert_string_equal(duo_where(d), "ga@alpha gb@alpha");
}

static void a_group_that_fails_to_stop_is_started_nowhere_else(void **state)
{
    both_started();
    d->node[ALPHA].fail_stop[DUO_GA] = true;
    duo_admin(d, ALPHA, CLUSTER_ADMIN_STANDBY, CLUSTER_ALL);
    duo_run(d, 100000); /* the invariant of duo_cluster.c watches */
    assert_int_equal(d->node[BETA].acquires[DUO_GA], 0);
    assert_int_equal(
        duo_status(d, BETA)->group[DUO_GA].state[CLUSTER_PEER], CLUSTER_GROUP_STOP_FAILED);
    /* It does not leave either: that would let the peer start it. */
    duo_admin(d, ALPHA, CLUSTER_ADMIN_SHUTDOWN, 0);
    duo_run(d, 100000);
    assert_false(d->node[ALPHA].stopped);
    assert_int_equal(d->node[BETA].acquires[DUO_GA], 0);
    /* Gone for certain: now it may. */
    duo_kill(d, ALPHA);
    duo_run(d, 10000);
    assert_string_equal(duo_where(d), "ga@beta gb@beta");
}

static void a_group_stopped_by_hand_is_free_again(void **state)
{
    struct cluster_event ev = {.type = CLUSTER_EV_SERVICE};

    both_started();
    d->node[ALPHA].fail_stop[DUO_GA] = true;
    duo_admin(d, ALPHA, CLUSTER_ADMIN_STANDBY, CLUSTER_ALL);
    duo_run(d, 10000);
    d->node[ALPHA].service[DUO_GA] = DUO_STOPPED;
    d->node[ALPHA].fail_stop[DUO_GA] = false;
    ev.service.group = DUO_GA;
    ev.service.what = CLUSTER_SERVICE_STOPPED;
    duo_event(d, ALPHA, &ev);
    duo_run(d, 10000);
    assert_true(duo_runs(d, ALPHA, DUO_GA) || duo_runs(d, BETA, DUO_GA));
}

static void a_group_that_runs_badly_moves_once(void **state)
{
    struct cluster_event ev = {.type = CLUSTER_EV_SERVICE};

    both_started();
    ev.service.group = DUO_GA;
    ev.service.what = CLUSTER_SERVICE_MOVE_NEEDED;
    duo_event(d, ALPHA, &ev);
    duo_run(d, 2000);
    assert_string_equal(duo_where(d), "ga@beta gb@beta");
    /* The peer has the same trouble: it stays, since it would only go round in circles. */
    duo_event(d, BETA, &ev);
    duo_run(d, 20000);
    assert_string_equal(duo_where(d), "ga@beta gb@beta");
}

static void maintenance_moves_nothing(void **state)
{
    both_started();
    duo_admin(d, ALPHA, CLUSTER_ADMIN_MAINTENANCE_ON, 0);
    duo_kill(d, BETA);
    duo_run(d, 20000);
    assert_string_equal(duo_where(d), "ga@alpha gb@-");
    assert_int_equal(duo_status(d, ALPHA)->verdict, CLUSTER_NO_MAINTENANCE);
    duo_admin(d, ALPHA, CLUSTER_ADMIN_MAINTENANCE_OFF, 0);
    duo_run(d, 1000);
    assert_string_equal(duo_where(d), "ga@alpha gb@alpha");
}

static void clients_of_the_dead_are_tickled(void **state)
{
    struct cluster_tcp list[20] = {{.family = 4, .server_port = 2049, .client_port = 700}};
    struct cluster_event ev = {.type = CLUSTER_EV_TCP};

    both_started();
    ev.tcp.group = DUO_GB;
    ev.tcp.list = list;
    ev.tcp.count = 20;
    duo_event(d, BETA, &ev);
    duo_run(d, 100);
    duo_kill(d, BETA);
    duo_run(d, 10000);
    assert_int_equal(d->node[ALPHA].tickles, 1);
    assert_int_equal(d->node[ALPHA].tickle_connections, 20);
}

static void the_peer_is_outdated_over_the_links(void **state)
{
    struct cluster_event ask = {.type = CLUSTER_EV_OUTDATE_ASK};
    struct cluster_event done = {.type = CLUSTER_EV_OUTDATE_DONE};

    both_started();
    strcpy(ask.outdate.resource, "r0");
    duo_event(d, ALPHA, &ask);
    duo_run(d, 10);
    assert_string_equal(d->node[BETA].outdate_asked, "r0");
    duo_event(d, ALPHA, &ask); /* again, while the first is under way */
    assert_int_equal(d->node[ALPHA].outdate_answer, 21);
    strcpy(done.outdate.resource, "r0");
    done.outdate.exit_code = 17;
    duo_event(d, BETA, &done);
    duo_run(d, 10);
    assert_int_equal(d->node[ALPHA].outdate_answer, 6);
    duo_kill(d, BETA);
    duo_run(d, 10000);
    duo_event(d, ALPHA, &ask);
    assert_int_equal(d->node[ALPHA].outdate_answer, 5);
}

static void a_node_without_peer_serves(void **state)
{
    d->cfg.peer[0] = 0;
    d->cfg.groups[DUO_GB].prefer = CLUSTER_ME;
    duo_start(d, ALPHA);
    duo_run(d, 200);
    assert_string_equal(duo_where(d), "ga@alpha gb@alpha");
    duo_admin(d, ALPHA, CLUSTER_ADMIN_SHUTDOWN, 0);
    duo_run(d, 1000);
    assert_true(d->node[ALPHA].stopped);
}

/* The guide's haresources: one line, one group; the other node has none of its own. */
static void one_group_for_two_nodes(void **state)
{
    d->cfg.groups_count = 1;
    duo_start(d, ALPHA);
    duo_start(d, BETA);
    duo_run(d, 5000);
    assert_string_equal(duo_where(d), "ga@alpha gb@-");
    assert_string_equal(duo_status(d, ALPHA)->held, "local");
    assert_string_equal(duo_status(d, BETA)->held, "local"); /* as cl_status says it there */
    duo_admin(d, ALPHA, CLUSTER_ADMIN_STANDBY, CLUSTER_ALL);
    duo_run(d, 1000);
    assert_string_equal(duo_where(d), "ga@beta gb@-");
    assert_string_equal(duo_status(d, ALPHA)->held, "none");
    assert_string_equal(duo_status(d, BETA)->held, "all");
    assert_int_equal(duo_move(d, ALPHA, DUO_GA, CLUSTER_ME), 0);
    duo_run(d, 1000);
    assert_string_equal(duo_where(d), "ga@alpha gb@-");
    duo_kill(d, ALPHA);
    duo_run(d, 10000);
    assert_string_equal(duo_where(d), "ga@beta gb@-");
    duo_start(d, ALPHA);
    duo_run(d, 20000);
    assert_string_equal(duo_where(d), "ga@beta gb@-");
    assert_string_equal(duo_status(d, ALPHA)->held, "none");
}

static void configurations_are_checked(void **state)
{
    struct cluster *c;
    struct hv_diag diag;

    d->cfg.deadtime_ms = 2000;
    assert_int_equal(cluster_create(&d->cfg, &c, &diag), HV_EINVAL);
    assert_string_equal(diag.text, "Dead time [2000] is too small compared to keeplive [1000]");
    d->cfg.deadtime_ms = 5000;
    strcpy(d->cfg.peer, "alpha");
    assert_int_equal(cluster_create(&d->cfg, &c, &diag), HV_EINVAL);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(both_start_and_hold_their_own),
        T(one_starts_alone_after_initdead),
        T(the_second_joins_without_failback),
        T(the_second_gets_its_own_back_with_failback),
        T(standby_gives_everything),
        T(standby_of_a_class),
        T(nothing_fails_back_after_a_manual_standby),
        T(takeover_brings_them_here),
        T(one_group_moves),
        T(a_second_request_waits_for_the_first),
        T(two_requests_at_once_end_well),
        T(standby_without_a_peer_is_refused),
        T(leaving_hands_over_at_once),
        T(leaving_alone_does_not_linger),
        T(leaving_and_coming_back),
        T(death_is_noticed_within_deadtime_and_a_keepalive),
        T(the_deadtime_that_counts_is_the_peers),
        T(the_dead_come_back),
        T(a_quick_restart_loses_no_group),
        T(a_restarted_daemon_adopts_what_still_runs),
        T(death_during_a_hand_over),
        T(a_group_that_fails_to_start_goes_to_the_peer),
        T(a_group_that_fails_everywhere_is_tried_again),
        T(alone_a_failed_group_is_tried_again),
        T(a_group_that_fails_to_stop_is_started_nowhere_else),
        T(a_group_stopped_by_hand_is_free_again),
        T(a_group_that_runs_badly_moves_once),
        T(maintenance_moves_nothing),
        T(clients_of_the_dead_are_tickled),
        T(the_peer_is_outdated_over_the_links),
        T(a_node_without_peer_serves),
        T(one_group_for_two_nodes),
        T(configurations_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
