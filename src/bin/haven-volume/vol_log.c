/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "vol.h"

static struct {
    char name[REPL_NAME_MAX];
    int fd;
    bool to_stderr;
} out = {.fd = -1};

int vol_log_open(const char *root, const char *name, bool to_stderr)
{
    char path[VOL_PATH_MAX + 128];

    snprintf(out.name, sizeof out.name, "%s", name);
    snprintf(path, sizeof path, "%s/var/log/haven/volume-%s.log", root, name);
    out.to_stderr = to_stderr;
    ctl_make_parents(path);
    out.fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
    if (!*root)
        openlog("haven-volume", LOG_NDELAY | LOG_PID, LOG_DAEMON);
    return out.fd < 0 ? HV_EIO : HV_OK;
}

void vol_log_quiet_stderr(void)
{
    out.to_stderr = false;
}

static void log_write(void *arg, enum hv_log_level level, const char *line)
{
    static const int priorities[] = {
        LOG_DEBUG, LOG_INFO, LOG_NOTICE, LOG_WARNING, LOG_ERR, LOG_CRIT};
    char text[1200], stamp[32];
    struct timespec now;
    struct tm tm;

    (void)arg;
    syslog(priorities[level], "%s", line);
    clock_gettime(CLOCK_REALTIME, &now);
    localtime_r(&now.tv_sec, &tm);
    strftime(stamp, sizeof stamp, "%Y-%m-%d %H:%M:%S", &tm);
    int n = snprintf(text, sizeof text, "%s.%03ld %s\n", stamp, now.tv_nsec / 1000000, line);
    if (n >= (int)sizeof text) {
        n = (int)sizeof text - 1;
        text[n - 1] = '\n';
    }
    /* A log that cannot be written is no reason to stop serving the disk. */
    if (out.fd >= 0 && write(out.fd, text, (size_t)n) < 0)
        out.fd = -1;
    if (out.to_stderr && write(STDERR_FILENO, text, (size_t)n) < 0)
        out.to_stderr = false;
}

void vol_log(enum hv_log_level level, const char *fmt, ...)
{
    char line[1024];
    va_list ap;
    int n = snprintf(line, sizeof line, "drbd %s: ", out.name);

    va_start(ap, fmt);
    vsnprintf(line + n, sizeof line - (size_t)n, fmt, ap);
    va_end(ap);
    log_write(NULL, level, line);
}

struct hv_log vol_log_for_core(void)
{
    return (struct hv_log){.write = log_write};
}
