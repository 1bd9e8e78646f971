/* SPDX-License-Identifier: Apache-2.0 */
#include "client_ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LINE_BYTES = 512 };

uint64_t ledger_now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

bool ledger_append(int fd, const char *format, ...)
{
    char line[LINE_BYTES];
    va_list args;

    va_start(args, format);
    int n = vsnprintf(line, sizeof line - 1, format, args);
    va_end(args);
    if (n < 0)
        return false;
    size_t length = n < (int)sizeof line - 1 ? (size_t)n : sizeof line - 2;
    line[length++] = '\n';
    return write(fd, line, length) == (ssize_t)length;
}

int ledger_create(const char *path, const struct ledger_header *h)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);

    if (fd >= 0 && !ledger_append(fd, "H %" PRIx64 " %" PRIu32 " %" PRIu32 " %d %s", h->run,
                       h->record_bytes, h->slots, h->version, h->file)) {
        close(fd);
        return -1;
    }
    return fd;
}

int ledger_open(const char *path)
{
    return open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
}

static bool record_add(struct ledger *l, uint64_t sequence, uint64_t time_us)
{
    if (l->records == l->capacity) {
        size_t capacity = l->capacity ? 2 * l->capacity : 4096;
        uint64_t *sequences = realloc(l->sequences, capacity * sizeof *sequences);
        if (!sequences)
            return false;
        l->sequences = sequences;
        uint64_t *times = realloc(l->times_us, capacity * sizeof *times);
        if (!times)
            return false;
        l->times_us = times;
        l->capacity = capacity;
    }
    l->sequences[l->records] = sequence;
    l->times_us[l->records++] = time_us;
    return true;
}

static bool mark_add(struct ledger *l, const char *line)
{
    if (l->mark_count == l->mark_capacity) {
        size_t capacity = l->mark_capacity ? 2 * l->mark_capacity : 16;
        struct ledger_mark *marks = realloc(l->marks, capacity * sizeof *marks);
        if (!marks)
            return false;
        l->marks = marks;
        l->mark_capacity = capacity;
    }
    struct ledger_mark *m = &l->marks[l->mark_count];
    if (sscanf(line, "M %" SCNu64 " %63s", &m->time_us, m->name) != 2)
        return false;
    l->mark_count++;
    return true;
}

static bool line_read(struct ledger *l, const char *line)
{
    struct ledger_header *h = &l->header;
    uint64_t sequence, time_us;

    switch (line[0]) {
    case 'H':
        return sscanf(line, "H %" SCNx64 " %" SCNu32 " %" SCNu32 " %d %255s", &h->run,
                   &h->record_bytes, &h->slots, &h->version, h->file) == 5 &&
               h->slots > 0 && h->record_bytes > 0;
    case 'A':
        return sscanf(line, "A %" SCNu64 " %" SCNu64, &sequence, &time_us) == 2 &&
               sequence == l->records && record_add(l, sequence, time_us);
    case 'E':
        l->errors++;
        return true;
    case 'R':
        l->reconnects++;
        return true;
    case 'M':
        return mark_add(l, line);
    case 'Z':
        return sscanf(line, "Z %" SCNu64, &l->stopped_us) == 1;
    default:
        return false;
    }
}

bool ledger_load(struct ledger *l, const char *path)
{
    char line[LINE_BYTES];
    bool good = true;
    unsigned number = 0;
    FILE *file = fopen(path, "re");

    memset(l, 0, sizeof *l);
    if (!file) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return false;
    }
    while (good && fgets(line, sizeof line, file)) {
        number++;
        if (!strchr(line, '\n'))
            break; /* the line being written when the client was killed: never acknowledged to us */
        good = line_read(l, line);
    }
    fclose(file);
    if (good && l->header.slots == 0)
        good = false;
    if (!good) {
        fprintf(stderr, "%s:%u: not a line of a ledger\n", path, number);
        ledger_free(l);
    }
    return good;
}

void ledger_free(struct ledger *l)
{
    free(l->sequences);
    free(l->times_us);
    free(l->marks);
    memset(l, 0, sizeof *l);
}

uint64_t ledger_pause_us(const struct ledger *l, uint64_t from_us, uint64_t to_us)
{
    uint64_t longest = 0, before = from_us;

    for (size_t i = 0; i <= l->records; i++) {
        /* After the last acknowledgement the pause goes on until the end of the window. */
        uint64_t at = i < l->records ? l->times_us[i] : to_us;

        if (at > from_us && before < to_us && at > before && at - before > longest)
            longest = at - before;
        if (i < l->records)
            before = at;
    }
    return longest;
}

bool ledger_mark_find(const struct ledger *l, const char *name, uint64_t *time_us)
{
    for (size_t i = l->mark_count; i-- > 0;) {
        if (!strcmp(l->marks[i].name, name)) {
            *time_us = l->marks[i].time_us;
            return true;
        }
    }
    return false;
}
