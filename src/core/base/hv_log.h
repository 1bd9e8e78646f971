/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HV_LOG_H
#define HV_LOG_H
/* Where a core room says what it did.  One line, no newline, no secrets. */
enum hv_log_level {
    HV_LOG_DEBUG,
    HV_LOG_INFO,
    HV_LOG_NOTICE,
    HV_LOG_WARN,
    HV_LOG_ERROR,
    HV_LOG_CRIT
};

struct hv_log {
    void (*write)(void *arg, enum hv_log_level level, const char *line);
    void *arg;
};

/* Does nothing when log or log->write is NULL. */
void hv_log(const struct hv_log *log, enum hv_log_level level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
const char *hv_log_level_name(enum hv_log_level level);

#endif
