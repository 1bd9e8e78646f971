/* SPDX-License-Identifier: Apache-2.0 */
#include "conf_error_case.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "conf_fake.h"

void error_cases_run(const struct error_case *cases, size_t n)
{
    size_t failed = 0;

    for (size_t i = 0; i < n; i++) {
        struct fake fake = {0};
        struct conf *conf;
        if (strcmp(cases[i].path, FILE_DRBD) && strcmp(cases[i].path, FILE_HAVEN))
            fake_guide(&fake);
        fake_set(&fake, cases[i].path, cases[i].text);
        int rc = fake_read(&fake, "ct74", true, &conf);
        char *reports = fake_reports(conf);
        bool errors = conf->reports.errors > 0;
        if (strcmp(reports, cases[i].reports) || errors != (rc != 0)) {
            print_error("%s\n--- said (%d):\n%s--- not:\n%s", cases[i].text ? cases[i].text : "",
                rc, reports, cases[i].reports);
            failed++;
        }
        free(reports);
        conf_free(conf);
    }
    assert_int_equal(failed, 0);
}
