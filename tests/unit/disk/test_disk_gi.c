/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "gi.h"

static void assert_same(const struct gi *a, const struct gi *b)
{
    assert_memory_equal(a->uuid, b->uuid, sizeof a->uuid);
    assert_int_equal(a->flags, b->flags);
}

static void get_prints_what_drbdadm_prints(void **state)
{
    struct gi gi = {{0x4a4c0c2785d0657b, 0, 0x705210f3c3564c99, 1},
        MDF_CONSISTENT | MDF_WAS_UP_TO_DATE | MDF_CONNECTED_IND};
    struct hv_text text = {0};

    gi_format_get(&text, &gi);
    assert_string_equal(text.s,
        "4A4C0C2785D0657B:0000000000000000:705210F3C3564C99:0000000000000001:1:1:0:1:0:0:0\n");
    hv_text_free(&text);
}

static void show_names_the_flags(void **state)
{
    struct gi gi = {{5}, 0x7f};
    struct hv_text text = {0};

    gi_format_show(&text, &gi);
    assert_non_null(strstr(
        text.s, "\nflags: crashed Primary, Connected, UpToDate, need full sync, peer Outdated\n"));
    hv_text_free(&text);
    gi.flags = 0;
    gi_format_show(&text, &gi);
    assert_non_null(strstr(text.s, "\nflags: Secondary, StandAlone, Inconsistent\n"));
    hv_text_free(&text);
    gi.flags = MDF_CONSISTENT;
    gi_format_show(&text, &gi);
    assert_non_null(strstr(text.s, "\nflags: Secondary, StandAlone, Outdated\n"));
    hv_text_free(&text);
}

static void parse_reads_what_get_prints(void **state)
{
    struct gi gi = {{0x123456789abcdef0, 2, 3, 4}, 0x55}, again = {{0}, 0};
    struct hv_text text = {0};
    struct hv_diag diag;

    gi_format_get(&text, &gi);
    assert_int_equal(gi_parse(text.s, &again, &diag), 0);
    assert_same(&gi, &again);
    hv_text_free(&text);
}

static void missing_fields_keep_what_was_there(void **state)
{
    struct gi gi = {{1, 2, 3, 4}, MDF_CONSISTENT | MDF_PRIMARY_IND | MDF_AL_CLEAN};
    struct hv_diag diag;

    assert_int_equal(gi_parse("::7", &gi, &diag), 0);
    assert_int_equal(gi.uuid[0], 1);
    assert_int_equal(gi.uuid[2], 7);
    assert_int_equal(gi_parse("9:::::1:0", &gi, &diag), 0);
    assert_int_equal(gi.uuid[0], 9);
    assert_int_equal(gi.uuid[3], 4);
    assert_int_equal(gi.flags, MDF_CONSISTENT | MDF_WAS_UP_TO_DATE | MDF_AL_CLEAN);
    assert_int_equal(gi_parse("", &gi, &diag), 0);
}

static void nonsense_is_refused_and_changes_nothing(void **state)
{
    static const char *const bad[] = {"zz", "1:2:3:4:5", "12345678901234567", "0x1", "1 ", "-1",
        "1:2:3:4:1:1:1:1:1:1:1:1", "1:2\nx"};

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct gi gi = {{1, 2, 3, 4}, 5}, before = gi;
        struct hv_diag diag;
        assert_int_equal(gi_parse(bad[i], &gi, &diag), HV_ESYNTAX);
        assert_same(&gi, &before);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(get_prints_what_drbdadm_prints),
        cmocka_unit_test(show_names_the_flags),
        cmocka_unit_test(parse_reads_what_get_prints),
        cmocka_unit_test(missing_fields_keep_what_was_there),
        cmocka_unit_test(nonsense_is_refused_and_changes_nothing),
    };
    return cmocka_run_group_tests_name("gi", tests, NULL, NULL);
}
