/* SPDX-License-Identifier: Apache-2.0 */
/* Heartbeat's log format (heartbeat §14).  Lines are gathered and written through the loop once per
 * turn, so that a disk that stands still stops the log and not the heartbeat. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "havend.h"

enum { BUFFER_BYTES = 128 * 1024, FILES = 2 };

struct log_file {
    struct havend *h;
    int fd;
    bool debug;    /* takes debug lines too */
    char *text[2]; /* one is filled while the other is written */
    size_t length[2];
    unsigned filling;
    unsigned lost;
    struct loop_op op;
};

struct havend_logs {
    struct log_file file[FILES];
    struct loop_hook hook;
    struct havend *h;
    bool foreground, syslog, classic;
    char host[256];
};

static const struct {
    const char *name;
    int facility;
} facilities[] = {{"local0", LOG_LOCAL0}, {"local1", LOG_LOCAL1}, {"local2", LOG_LOCAL2},
    {"local3", LOG_LOCAL3}, {"local4", LOG_LOCAL4}, {"local5", LOG_LOCAL5}, {"local6", LOG_LOCAL6},
    {"local7", LOG_LOCAL7}, {"daemon", LOG_DAEMON}, {"user", LOG_USER}};

static const char *level_name(enum hv_log_level level)
{
    static const char *const names[] = {"debug", "info", "notice", "WARN", "ERROR", "CRIT"};

    return names[level];
}

static int syslog_level(enum hv_log_level level)
{
    static const int levels[] = {LOG_DEBUG, LOG_INFO, LOG_NOTICE, LOG_WARNING, LOG_ERR, LOG_CRIT};

    return levels[level];
}

static void file_add(struct log_file *f, const char *line, size_t length)
{
    size_t *used = &f->length[f->filling];

    if (*used + length > BUFFER_BYTES) {
        f->lost++;
        return;
    }
    memcpy(f->text[f->filling] + *used, line, length);
    *used += length;
}

static void file_written(struct loop_op *op, int result)
{
    struct log_file *f = hv_container_of(op, struct log_file, op);

    (void)result; /* nowhere to complain */
    f->length[!f->filling] = 0;
}

static void file_flush(struct log_file *f)
{
    if (f->fd < 0 || f->op.pending || !f->length[f->filling])
        return;
    if (f->lost) {
        char line[64];
        int n = snprintf(line, sizeof line, "(%u lines were lost)\n", f->lost);
        f->lost = 0;
        file_add(f, line, (size_t)n);
    }
    unsigned full = f->filling;
    f->filling = !full;
    loop_write(f->h->loop, &f->op, f->fd, f->text[full], (uint32_t)f->length[full], UINT64_MAX);
}

static void flush_turn(struct loop_hook *hook)
{
    struct havend_logs *l = hv_container_of(hook, struct havend_logs, hook);

    for (size_t i = 0; i < FILES; i++)
        file_flush(&l->file[i]);
}

static void log_write(void *arg, enum hv_log_level level, const char *text)
{
    struct havend_logs *l = arg;
    char stamp[64], line[1400];
    time_t now = time(NULL);
    struct tm tm;
    int n;

    localtime_r(&now, &tm);
    if (l->classic) {
        strftime(stamp, sizeof stamp, "%b %d %H:%M:%S", &tm);
        n = snprintf(line, sizeof line, "%s %.64s heartbeat: [%d]: %s: %.1200s\n", stamp, l->host,
            (int)getpid(), level_name(level), text);
    } else {
        strftime(stamp, sizeof stamp, "%Y/%m/%d_%H:%M:%S", &tm);
        n = snprintf(line, sizeof line, "heartbeat[%d]: %s %s: %.1200s\n", (int)getpid(), stamp,
            level_name(level), text);
    }
    for (size_t i = 0; i < FILES; i++)
        if (l->file[i].fd >= 0 && (level != HV_LOG_DEBUG || l->file[i].debug))
            file_add(&l->file[i], line, (size_t)n);
    if (l->foreground && level != HV_LOG_DEBUG)
        fputs(line, stderr);
    if (l->syslog && level != HV_LOG_DEBUG)
        syslog(syslog_level(level), "%s: %s", level_name(level), text);
}

static int file_open(struct havend *h, struct log_file *f, const char *path, struct hv_diag *diag)
{
    char full[HAVEND_PATH_BYTES];

    f->h = h;
    f->op.done = file_written;
    if (!*path)
        return HV_OK;
    snprintf(full, sizeof full, "%.2000s%.2000s", h->root, path);
    (void)ctl_make_parents(full);
    f->fd = open(full, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
    if (f->fd < 0) {
        hv_diag_set(diag, "cannot write the log %s: %s", full, strerror(errno));
        return HV_EIO;
    }
    for (int i = 0; i < 2; i++) {
        f->text[i] = malloc(BUFFER_BYTES);
        if (!f->text[i])
            return HV_ENOMEM;
    }
    return HV_OK;
}

int havend_log_open(struct havend *h, bool foreground, struct hv_diag *diag)
{
    const struct conf_cluster *c = h->conf->cluster;
    struct havend_logs *l = calloc(1, sizeof *l);
    const char *logfile = c->logfile;

    if (!l)
        return HV_ENOMEM;
    h->logs = l;
    l->h = h;
    l->foreground = foreground;
    l->classic = c->syslogmsgfmt;
    l->file[0].fd = l->file[1].fd = -1;
    l->file[1].debug = true;
    hv_strcopy(l->host, sizeof l->host, h->node);
    for (size_t i = 0; i < sizeof facilities / sizeof facilities[0]; i++)
        if (!strcmp(facilities[i].name, c->logfacility)) {
            openlog("heartbeat", LOG_PID | LOG_NDELAY, facilities[i].facility);
            l->syslog = true;
        }
    if (!*logfile && !*c->debugfile)
        logfile = "/var/log/haven/havend.log";
    int rc = file_open(h, &l->file[0], logfile, diag);
    if (!rc)
        rc = file_open(h, &l->file[1], c->debugfile, diag);
    h->log = (struct hv_log){.write = log_write, .arg = l};
    l->hook = (struct loop_hook){.turn = flush_turn, .order = 1000};
    loop_hook_add(h->loop, &l->hook);
    return rc;
}

void havend_log_close(struct havend *h)
{
    struct havend_logs *l = h->logs;

    if (!l)
        return;
    loop_hook_remove(h->loop, &l->hook);
    for (size_t i = 0; i < FILES; i++) {
        struct log_file *f = &l->file[i];
        for (int turns = 0; f->op.pending && turns < 100; turns++)
            loop_turn(h->loop, 10);
        if (f->fd >= 0) {
            (void)!write(f->fd, f->text[f->filling], f->length[f->filling]);
            close(f->fd);
        }
        free(f->text[0]);
        free(f->text[1]);
    }
    free(l);
    h->logs = NULL;
    h->log = (struct hv_log){0};
}
