/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DUO_REPL_H
#define DUO_REPL_H
/* Two replication engines in one process: a network between them, a disk under each, one virtual clock.
 * Nothing sleeps; the clock jumps to the next thing that is due.  All choices come from one seed.
 *
 * Network: every connection is a pair of byte streams with latency; a cut holds bytes back (as TCP's
 * retransmission would) until the link heals; a crashed node's connections answer with a reset once
 * somebody sends to it after it is back.
 * Disk: writes live in a volatile cache until a flush or FUA; a crash keeps any subset of the cached
 * 512-byte sectors, and of the writes under way. */
#include <stdbool.h>
#include <stdint.h>

#include "repl.h"

enum duo_end { DUO_A, DUO_B, DUO_ENDS };
enum { DUO_VOLUMES_MAX = 2, DUO_ANSWER_LOST = -9999 };

struct duo_options {
    uint64_t seed;
    uint64_t disk_sectors; /* each backing device, internal metadata */
    struct repl_config config;
    bool trace; /* log lines to stderr, with virtual time */
};

struct duo;

/* DRBD's defaults; protocol C, HMAC "sha1" with a toy digest, one volume, no fencing. */
void duo_options_init(struct duo_options *o);

/* Both ends powered off, disks blank. */
struct duo *duo_new(const struct duo_options *o);
/* Frees; fails the test when an engine kept a buffer. */
void duo_free(struct duo *d);

uint64_t duo_now_ms(const struct duo *d);
struct repl *duo_engine(struct duo *d, enum duo_end end); /* NULL while off */
/* Takes effect at the next boot. */
struct repl_config *duo_config(struct duo *d, enum duo_end end);

void duo_create_md(struct duo *d, enum duo_end end);
void duo_boot(struct duo *d, enum duo_end end);  /* engine made; nothing attached */
void duo_crash(struct duo *d, enum duo_end end); /* power loss */
void duo_kill(struct duo *d, enum duo_end end);  /* the process dies, the disks keep their power */
/* boot + attach + connect */
void duo_up(struct duo *d, enum duo_end end);

void duo_link(struct duo *d, bool up);

/* Disk faults: from now on I/O of this kind fails with HV_EIO. */
void duo_disk_fails(struct duo *d, enum duo_end end, bool reads, bool writes);
/* Which volumes the faults concern (bit n: volume n); at first all. */
void duo_disk_faulty(struct duo *d, enum duo_end end, uint32_t volumes);
/* I/O stays under way until false is set again. */
void duo_disk_hangs(struct duo *d, enum duo_end end, bool hangs);

/* Handlers: the exit code each gives (default 0), and how often it ran. */
void duo_handler_exit(struct duo *d, enum duo_end end, enum repl_handler h, int exit_code);
unsigned duo_handler_calls(const struct duo *d, enum duo_end end, enum repl_handler h);

/* Runs the world. */
void duo_run(struct duo *d, uint64_t ms);
/* Until the condition holds; false when limit_ms passed first. */
bool duo_until(
    struct duo *d, bool (*holds)(struct duo *d, void *arg), void *arg, uint64_t limit_ms);

/* Administration: runs the world until answered (within 10 min); returns the retcode.  The text is that
 * of the last answer. */
int duo_admin(struct duo *d, enum duo_end end, struct repl_admin admin);
int duo_verb(struct duo *d, enum duo_end end, enum repl_admin_verb verb); /* volume 0, no flags */
int duo_attach(struct duo *d, enum duo_end end); /* all volumes; the worst answer */
int duo_attach_volume(struct duo *d, enum duo_end end, uint16_t volume);
const char *duo_admin_text(const struct duo *d);
/* Not waited for: the retcode appears in *answer (0 until then; DUO_ANSWER_LOST when the engine is gone). */
void duo_admin_start(struct duo *d, enum duo_end end, struct repl_admin admin, int *answer);

/* Application I/O of whole sectors.  Data is a pattern made from `value` and the sector number. */
struct duo_io {
    bool done;
    int error;
    uint32_t value; /* read: the pattern's value if all sectors agree, else UINT32_MAX */
};
/* *io must live until done, duo_crash() of that end, or duo_free(). */
void duo_start(struct duo *d, enum duo_end end, enum repl_app_op op, uint32_t flags,
    uint64_t sector, uint32_t sectors, uint32_t value, struct duo_io *io);
/* The same on another volume. */
void duo_start_on(struct duo *d, enum duo_end end, uint16_t volume, enum repl_app_op op,
    uint32_t flags, uint64_t sector, uint32_t sectors, uint32_t value, struct duo_io *io);
/* start and run until done (within 10 min; else error HV_ETIMEDOUT) */
int duo_write(struct duo *d, enum duo_end end, uint64_t sector, uint32_t sectors, uint32_t value);
int duo_read(struct duo *d, enum duo_end end, uint64_t sector, uint32_t sectors, uint32_t *value);
int duo_flush(struct duo *d, enum duo_end end);
int duo_discard(struct duo *d, enum duo_end end, uint64_t sector, uint32_t sectors);

/* Looks. */
struct repl_volume_status duo_status(struct duo *d, enum duo_end end); /* of volume 0 */
struct repl_volume_status duo_status_of(struct duo *d, enum duo_end end, uint16_t volume);
bool duo_connected(struct duo *d); /* both C_CONNECTED */
bool duo_in_sync(struct duo *d);   /* all volumes Connected, UpToDate/UpToDate */
/* Within limit_ms; prints both states when not. */
bool duo_wait_in_sync(struct duo *d, uint64_t limit_ms);
bool duo_disks_equal(
    struct duo *d); /* data area, as a reader would see it now; prints the first difference */
/* What is on this end's disk now (written, flushed or not), as duo_read()'s value. */
uint32_t duo_disk_value(struct duo *d, enum duo_end end, uint64_t sector);
/* The same after a power loss that keeps nothing unflushed. */
uint32_t duo_durable_value(struct duo *d, enum duo_end end, uint64_t sector);
uint8_t *duo_disk_bytes(struct duo *d, enum duo_end end); /* current contents; may be changed */
bool duo_front_writable(struct duo *d, enum duo_end end);
/* Did this end log a line that contains the text?  And forget what was logged. */
bool duo_logged(const struct duo *d, enum duo_end end, const char *text);
void duo_log_clear(struct duo *d, enum duo_end end);

#endif
