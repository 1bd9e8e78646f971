/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "client_ledger.h"

static const struct ledger_header header = {
    .run = 0xfeed, .record_bytes = 4096, .slots = 8, .version = 3, .file = "/records"};
static char path[] = "/tmp/haven-ledger-XXXXXX";

static int begin(void **state)
{
    strcpy(path + sizeof path - 7, "XXXXXX");
    int fd = mkstemp(path);
    if (fd >= 0)
        close(fd);
    return fd < 0;
}

static int end(void **state)
{
    return unlink(path);
}

/* A ledger of acknowledgements at 1000, 2000, 3500 and 3600 us, with two marks. */
static void load(struct ledger *ledger)
{
    int fd = ledger_create(path, &header);

    assert_true(fd >= 0);
    assert_true(ledger_append(fd, "A 0 1000"));
    assert_true(ledger_append(fd, "M 1200 here"));
    assert_true(ledger_append(fd, "A 1 2000"));
    assert_true(ledger_append(fd, "A 2 3500"));
    assert_true(ledger_append(fd, "M 3550 there"));
    assert_true(ledger_append(fd, "E 3560 5 write"));
    assert_true(ledger_append(fd, "A 3 3600"));
    assert_true(ledger_append(fd, "Z 9000"));
    close(fd);
    assert_true(ledger_load(ledger, path));
}

static void reads_back_what_was_appended(void **state)
{
    struct ledger l;
    uint64_t at;

    load(&l);
    assert_int_equal(l.header.run, 0xfeed);
    assert_int_equal(l.header.slots, 8);
    assert_string_equal(l.header.file, "/records");
    assert_int_equal(l.records, 4);
    assert_int_equal(l.errors, 1);
    assert_int_equal(l.stopped_us, 9000);
    assert_true(ledger_mark_find(&l, "there", &at));
    assert_int_equal(at, 3550);
    assert_false(ledger_mark_find(&l, "nowhere", &at));
    ledger_free(&l);
}

static void pause_lies_between_two_acknowledgements(void **state)
{
    struct ledger l;

    load(&l);
    assert_int_equal(ledger_pause_us(&l, 1000, 3600), 1500);
    ledger_free(&l);
}

static void pause_may_begin_before_the_window(void **state)
{
    struct ledger l;

    load(&l);
    assert_int_equal(ledger_pause_us(&l, 1200, 1900), 1000);
    ledger_free(&l);
}

static void pause_goes_on_when_nothing_more_is_acknowledged(void **state)
{
    struct ledger l;

    load(&l);
    assert_int_equal(ledger_pause_us(&l, 1000, 9000), 5400);
    ledger_free(&l);
}

static void line_cut_short_was_not_acknowledged(void **state)
{
    struct ledger l;
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    fputs("H feed 4096 8 3 /records\nA 0 10\nA 1 2", file);
    fclose(file);
    assert_true(ledger_load(&l, path));
    assert_int_equal(l.records, 1);
    ledger_free(&l);
}

static void hole_in_the_sequence_is_refused(void **state)
{
    struct ledger l;
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    fputs("H feed 4096 8 3 /records\nA 0 10\nA 2 20\n", file);
    fclose(file);
    assert_false(ledger_load(&l, path));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(reads_back_what_was_appended, begin, end),
        cmocka_unit_test_setup_teardown(pause_lies_between_two_acknowledgements, begin, end),
        cmocka_unit_test_setup_teardown(pause_may_begin_before_the_window, begin, end),
        cmocka_unit_test_setup_teardown(
            pause_goes_on_when_nothing_more_is_acknowledged, begin, end),
        cmocka_unit_test_setup_teardown(line_cut_short_was_not_acknowledged, begin, end),
        cmocka_unit_test_setup_teardown(hole_in_the_sequence_is_refused, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
