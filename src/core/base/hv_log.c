/* SPDX-License-Identifier: Apache-2.0 */
#include "hv_log.h"

#include <stdarg.h>
#include <stdio.h>

void hv_log(const struct hv_log *log, enum hv_log_level level, const char *fmt, ...)
{
    char line[1024];
    va_list ap;

    if (!log || !log->write)
        return;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    log->write(log->arg, level, line);
}

const char *hv_log_level_name(enum hv_log_level level)
{
    static const char *const names[] = {"debug", "info", "notice", "WARN", "ERROR", "CRIT"};
    return names[level];
}
