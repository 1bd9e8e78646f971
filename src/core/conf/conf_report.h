/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CONF_REPORT_H
#define CONF_REPORT_H
/* What is wrong with a configuration, all of it at once. */
#include <stddef.h>

#include "hv_text.h"

enum conf_severity { CONF_WARNING, CONF_ERROR };

struct conf_report {
    enum conf_severity severity;
    const char *file; /* "" when it is about no file in particular */
    unsigned line;    /* 0: the file as a whole */
    const char *text; /* what is wrong */
    const char *hint; /* what to write instead, or "" */
};

/* In the order found; sorted by file and line once everything is read. */
struct conf_reports {
    struct conf_report *items;
    size_t n;
    size_t errors;
};

/* "file:line: text; hint", with "warning: " before the text of a warning; no newline. */
void conf_report_format(const struct conf_report *report, struct hv_text *out);

#endif
