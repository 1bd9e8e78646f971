/* SPDX-License-Identifier: Apache-2.0 */
/* A haven (alpha) whose peer is a Heartbeat (beta), played by hand: it says nothing of what it does with
 * each group, and yields to nobody. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "duo_cluster.h"
#include "test_digest.h"

static struct duo *d;
static uint64_t seq;

static int setup(void **state)
{
    d = duo_new();
    d->record = true;
    seq = 0;
    return 0;
}

static int teardown(void **state)
{
    duo_free(d);
    return 0;
}

/* fields: name, value, … , NULL */
static void say_numbered(uint64_t number, const char *type, const char *const *fields)
{
    static struct hb_msg m;
    uint8_t bytes[1600];
    int length;

    hb_msg_init(&m);
    hb_msg_add(&m, "t", type);
    for (; *fields; fields += 2)
        hb_msg_add(&m, fields[0], fields[1]);
    hb_msg_add(&m, "src", "beta");
    hb_msg_addf(&m, "seq", "%llx", (unsigned long long)number);
    hb_msg_add(&m, "hg", "1000");
    hb_msg_add(&m, "ts", "1");
    length = hb_msg_encode(&m, HB_NETSTRING, &d->keys, 1, &test_digest_ops, bytes, sizeof bytes);
    assert_true(length > 0);
    duo_inject(d, ALPHA, bytes, (size_t)length);
}

#define FIELDS(...)    ((const char *const[]){__VA_ARGS__, NULL})
#define say(type, ...) say_numbered(++seq, type, FIELDS(__VA_ARGS__))

static void beats(unsigned seconds)
{
    for (; seconds; seconds--) {
        say("status", "st", "active", "dt", "1388", "protocol", "1");
        duo_run(d, 1000);
    }
}

static void reports(const char *hold)
{
    say("resource", "rsc_hold", hold, "rtype", "full", "isstable", "1");
}

/* How many of this type alpha has sent since the last time. */
static unsigned sent(const char *type)
{
    static struct hb_msg m;
    unsigned count = 0;

    for (unsigned i = 0; i < d->recorded_count; i++) {
        const struct duo_packet *p = &d->recorded[i];

        assert_int_equal(
            hb_msg_decode(p->bytes, p->length, &d->keys, &test_digest_ops, &m, NULL), 0);
        count += hb_msg_is(&m, "t", type);
    }
    d->recorded_count = 0;
    return count;
}

/* Each holds its own. */
static void both_stable(void)
{
    duo_start(d, ALPHA);
    beats(1);
    say("repnodes", "dest", "alpha", "nodelist", "alpha beta ", "delnodelist", " ");
    beats(1);
    reports("local");
    beats(2);
    assert_string_equal(duo_where(d), "ga@alpha gb@-");
    assert_string_equal(duo_status(d, ALPHA)->held, "local");
    d->recorded_count = 0;
}

/* Its packets are lost, ours are not: it does not take us for dead, and has nothing to restart for. */
static void deaf_for_a_while(void)
{
    both_stable();
    duo_run(d, 7000);
    assert_string_equal(duo_where(d), "ga@alpha gb@alpha");
    assert_string_equal(duo_status(d, ALPHA)->held, "all");
    sent("");
    seq += 7;
}

static void what_it_kept_is_released_when_it_is_heard_again(void **state)
{
    deaf_for_a_while();
    beats(6);
    assert_int_equal(sent("starting"), 1); /* which it answers with what it holds */
    reports("local");
    beats(1);
    assert_int_equal(sent("resource"), 1);
    assert_string_equal(duo_where(d), "ga@alpha gb@alpha"); /* it may yield, as after a partition */
    beats(5);
    assert_string_equal(duo_where(d), "ga@alpha gb@-");
    assert_string_equal(duo_status(d, ALPHA)->held, "local");
    assert_int_equal(sent("resource"), 1);
}

static void what_it_has_lost_stays(void **state)
{
    deaf_for_a_while();
    beats(6);
    reports("none");
    beats(20);
    assert_string_equal(duo_where(d), "ga@alpha gb@alpha");
    assert_string_equal(duo_status(d, ALPHA)->held, "all");
}

/* It does not hear us, takes what we have, and says so. */
static void a_peer_that_took_ours_keeps_it(void **state)
{
    both_stable();
    say("resource", "rsc_hold", "foreign", "info", "mach_down");
    beats(3);
    assert_string_equal(duo_where(d), "ga@alpha gb@-");
    beats(4);
    assert_string_equal(duo_where(d), "ga@- gb@-");
    assert_string_equal(duo_status(d, ALPHA)->held, "none");
}

/* After a partition it restarts, and gives up everything before: nothing of ours stops for it. */
static void after_a_partition_it_is_left_to_restart(void **state)
{
    deaf_for_a_while();
    beats(1);
    reports("all");
    beats(1);
    say("resource", "rsc_hold", "none", "rtype", "full", "isstable", "0", "info", "shutdown");
    beats(4);
    say("shutdone", "st", "dead");
    beats(4);
    assert_int_equal(sent("starting"), 0);
    assert_string_equal(duo_where(d), "ga@alpha gb@alpha");
    assert_int_equal(d->node[ALPHA].releases[DUO_GA] + d->node[ALPHA].releases[DUO_GB], 0);
}

/* A report that was sent again is not news. */
static void an_old_report_changes_nothing(void **state)
{
    both_stable();
    say("resource", "rsc_hold", "none", "rtype", "full", "isstable", "1");
    seq++;
    reports("local");
    duo_run(d, 100);
    say_numbered(seq - 1, "resource", FIELDS("rsc_hold", "all", "rtype", "full", "isstable", "1"));
    beats(10);
    assert_string_equal(duo_where(d), "ga@alpha gb@-");
    assert_int_equal(d->node[ALPHA].releases[DUO_GA], 0);
}

/* Heartbeat takes groups when something happens, not because nobody has them: we do. */
static void what_a_restarted_peer_does_not_take_is_taken(void **state)
{
    both_stable();
    reports("all");
    duo_admin(d, ALPHA, CLUSTER_ADMIN_STANDBY, CLUSTER_ALL);
    say("ask_resources", "rsc_hold", "all", "info", "other");
    beats(1);
    say("ask_resources", "rsc_hold", "all", "info", "done");
    reports("all");
    beats(20);
    assert_string_equal(duo_where(d), "ga@- gb@-");
    assert_string_equal(duo_status(d, ALPHA)->held, "none");
    say("starting", "x", "y"); /* it was gone for a moment only */
    reports("local");
    beats(5); /* it may still be about to say more */
    assert_string_equal(duo_where(d), "ga@- gb@-");
    beats(7);
    assert_string_equal(duo_where(d), "ga@alpha gb@-");
    reports("none");
    beats(12);
    assert_string_equal(duo_where(d), "ga@alpha gb@alpha");
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(what_it_kept_is_released_when_it_is_heard_again),
        CASE(what_it_has_lost_stays),
        CASE(a_peer_that_took_ours_keeps_it),
        CASE(after_a_partition_it_is_left_to_restart),
        CASE(an_old_report_changes_nothing),
        CASE(what_a_restarted_peer_does_not_take_is_taken),
    };
    return cmocka_run_group_tests_name("cluster-heartbeat", tests, NULL, NULL);
}
