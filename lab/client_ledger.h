/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLIENT_LEDGER_H
#define CLIENT_LEDGER_H
/* What the lab's client was promised: a text file, one line an event, appended with one write() each,
 * so that it survives the client and that two processes may append.
 *
 *   H run record_bytes slots version file   the run; the first line
 *   A sequence time_us                      acknowledged (written and synced)
 *   E time_us error text                    the server answered with an error
 *   R time_us text                          a new connection had to be made by hand (NFSv4)
 *   M time_us name                          a mark, for measuring between two of them
 *   Z time_us                               the client stopped
 * Times are CLOCK_MONOTONIC, one clock for all nodes of the lab. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ledger_header {
    uint64_t run; /* random: tells this run's records from another's */
    uint32_t record_bytes;
    uint32_t slots; /* record n stands at slot n % slots */
    int version;    /* of NFS: 3 or 4 */
    char file[256]; /* the name on the export */
};

struct ledger_mark {
    uint64_t time_us;
    char name[64];
};

/* A ledger as read back.  Free with ledger_free(). */
struct ledger {
    struct ledger_header header;
    uint64_t *sequences; /* in the order of acknowledgement: 0, 1, 2, … without a hole */
    uint64_t *times_us;
    size_t records, capacity;
    uint64_t errors, reconnects;
    struct ledger_mark *marks;
    size_t mark_count, mark_capacity;
    uint64_t stopped_us; /* 0: still running, or died */
};

uint64_t ledger_now_us(void);

/* Creates PATH with its header; returns a descriptor for ledger_append(), or -1 with errno. */
int ledger_create(const char *path, const struct ledger_header *header);
int ledger_open(const char *path);
/* Appends one line; the newline is added.  False when it could not be written whole. */
bool ledger_append(int fd, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Reads PATH; false after a complaint on standard error. */
bool ledger_load(struct ledger *ledger, const char *path);
void ledger_free(struct ledger *ledger);

/* The longest time without an acknowledgement that overlaps [from_us, to_us]. */
uint64_t ledger_pause_us(const struct ledger *ledger, uint64_t from_us, uint64_t to_us);
/* The time of the last mark of that name; false when there is none. */
bool ledger_mark_find(const struct ledger *ledger, const char *name, uint64_t *time_us);

#endif
