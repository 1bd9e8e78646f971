/* SPDX-License-Identifier: Apache-2.0 */
/* nfsclient: an NFS client that remembers what it was promised.
 *
 *   nfsclient write  [options]              write and sync numbered records until told to stop
 *   nfsclient verify [options]              read everything back and compare with the ledger
 *   nfsclient probe  [options]              wait until the export can be mounted
 *   nfsclient mark  --ledger FILE NAME      put a mark into the ledger
 *   nfsclient pause --ledger FILE [--from NAME] [--to NAME]
 *                                           the longest time without an acknowledgement, in ms
 * A record is acknowledged when the server has answered a WRITE that asked for stable storage and
 * the COMMIT after it.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "client_ledger.h"
#include "client_nfs.h"
#include "hv_crc32c.h"
#include "hv_endian.h"
#include "hv_prng.h"

enum {
    RECORD_BYTES_V3 = 4096,
    RECORD_BYTES_V4 = 2048, /* libnfs 4.0 fails on larger NFSv4 writes */
    RECORD_BYTES_MAX = 65536,
    READ_BYTES = 65536,
    MEMORY_MAX_BYTES = 512 << 20, /* libnfs may allocate without bound after a failed mount */
    ERROR_PAUSE_US = 100000,
    MOUNT_TRY_US = 2000000,
    OFFSET_CRC = 0,
    OFFSET_RUN = 8,
    OFFSET_SEQUENCE = 16,
    OFFSET_PAYLOAD = 24,
};

struct options {
    const char *server, *path, *file, *ledger, *from, *to;
    int version;
    unsigned seconds, slots, record_bytes, wait_s;
    uint64_t records;
    bool quiet;
};

struct writer {
    const struct options *options;
    struct client_nfs nfs;
    struct ledger_header header;
    int ledger_fd;
    uint64_t started_us, stop_us; /* stop_us 0: until a signal */
    uint64_t sequence, errors;
    uint64_t acked_us, longest_us; /* the last acknowledgement, and the longest time between two */
    uint64_t line_us, line_sequence;
};

static volatile sig_atomic_t stop_asked;

static void on_stop(int signal_number)
{
    stop_asked = 1;
}

static void record_fill(
    unsigned char *record, const struct ledger_header *header, uint64_t sequence)
{
    struct hv_prng prng;

    memset(record, 0, header->record_bytes);
    hv_store_be64(record + OFFSET_RUN, header->run);
    hv_store_be64(record + OFFSET_SEQUENCE, sequence);
    hv_prng_seed(&prng, header->run ^ sequence);
    for (size_t at = OFFSET_PAYLOAD; at + 8 <= header->record_bytes; at += 8)
        hv_store_be64(record + at, hv_prng_next(&prng));
    hv_store_be32(record + OFFSET_CRC,
        hv_crc32c(~0u, record + OFFSET_RUN, header->record_bytes - OFFSET_RUN));
}

static void clock_text(char *text, size_t capacity)
{
    struct timespec now;
    struct tm tm;

    clock_gettime(CLOCK_REALTIME, &now);
    localtime_r(&now.tv_sec, &tm);
    size_t n = strftime(text, capacity, "%H:%M:%S", &tm);
    snprintf(text + n, capacity - n, ".%03ld", now.tv_nsec / 1000000);
}

static void writer_line(struct writer *w, uint64_t now)
{
    char at[32];
    uint64_t silent_us = w->acked_us ? now - w->acked_us : 0;

    if (silent_us > w->longest_us)
        w->longest_us = silent_us;
    clock_text(at, sizeof at);
    uint64_t rate = (w->sequence - w->line_sequence) * 1000000 / (now - w->line_us);
    printf("%s client: %" PRIu64 " records/s, %" PRIu64 " acknowledged, longest pause %" PRIu64
           " ms\n",
        at, rate, w->sequence, w->longest_us / 1000);
    fflush(stdout);
    w->line_us = now;
    w->line_sequence = w->sequence;
}

static bool writer_tick(void *context)
{
    struct writer *w = context;
    uint64_t now = ledger_now_us();

    if (now - w->line_us >= 1000000 && !w->options->quiet)
        writer_line(w, now);
    return stop_asked || (w->stop_us && now >= w->stop_us);
}

static void writer_error(struct writer *w, const char *what, int rc)
{
    char at[32];

    clock_text(at, sizeof at);
    printf("%s client: record %" PRIu64 ": %s: %s (%s)\n", at, w->sequence, what, strerror(-rc),
        client_nfs_error(&w->nfs));
    fflush(stdout);
    if (client_nfs_is_transport(rc)) {
        ledger_append(w->ledger_fd, "R %" PRIu64 " %s", ledger_now_us(), what);
        return;
    }
    w->errors++;
    ledger_append(w->ledger_fd, "E %" PRIu64 " %d %s", ledger_now_us(), -rc, what);
}

/* Mounts and opens until it works; false when told to stop before. */
static bool writer_connect(struct writer *w)
{
    while (!writer_tick(w)) {
        if (client_nfs_mount(&w->nfs, ledger_now_us() + MOUNT_TRY_US) >= 0) {
            int rc = client_nfs_open(&w->nfs, w->options->file, O_CREAT | O_RDWR | O_SYNC);
            if (rc >= 0)
                return true;
            if (rc != -ETIMEDOUT && !client_nfs_is_grace(&w->nfs))
                writer_error(w, "open", rc);
            client_nfs_close(&w->nfs);
        }
        usleep(ERROR_PAUSE_US);
    }
    return false;
}

/* Writes record w->sequence until the server has acknowledged it; false when told to stop. */
static bool writer_record(struct writer *w, const unsigned char *record)
{
    uint64_t offset = w->sequence % w->header.slots * w->header.record_bytes;

    for (;;) {
        if (!w->nfs.file && !writer_connect(w))
            return false;
        const char *what = "write";
        int rc = client_nfs_write(&w->nfs, offset, record, w->header.record_bytes);
        if (rc >= 0 && rc != (int)w->header.record_bytes)
            rc = -EIO;
        if (rc >= 0) {
            what = "fsync";
            rc = client_nfs_sync(&w->nfs);
        }
        if (rc >= 0)
            return true;
        if (rc == -ETIMEDOUT && writer_tick(w))
            return false;
        writer_error(w, what, rc);
        if (rc != -ENOSPC)
            client_nfs_close(&w->nfs);
        usleep(ERROR_PAUSE_US);
        if (writer_tick(w))
            return false;
    }
}

static bool writer_acknowledged(struct writer *w)
{
    uint64_t now = ledger_now_us();

    if (!ledger_append(w->ledger_fd, "A %" PRIu64 " %" PRIu64, w->sequence, now)) {
        perror(w->options->ledger);
        return false;
    }
    if (w->acked_us && now - w->acked_us > w->longest_us)
        w->longest_us = now - w->acked_us;
    w->acked_us = now;
    w->sequence++;
    return true;
}

static void signals_install(void)
{
    struct sigaction action = {.sa_handler = on_stop};

    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static bool writer_begin(struct writer *w, const struct options *o)
{
    w->options = o;
    w->header = (struct ledger_header){.slots = o->slots, .version = o->version};
    w->header.record_bytes = o->record_bytes   ? o->record_bytes
                             : o->version == 4 ? RECORD_BYTES_V4
                                               : RECORD_BYTES_V3;
    snprintf(w->header.file, sizeof w->header.file, "%s", o->file);
    if (getrandom(&w->header.run, sizeof w->header.run, 0) != sizeof w->header.run)
        return false;
    w->ledger_fd = ledger_create(o->ledger, &w->header);
    if (w->ledger_fd < 0) {
        perror(o->ledger);
        return false;
    }
    w->nfs = (struct client_nfs){.server = o->server,
        .path = o->path,
        .version = o->version,
        .tick = writer_tick,
        .tick_context = w};
    w->started_us = w->line_us = ledger_now_us();
    w->stop_us = o->seconds ? w->started_us + o->seconds * UINT64_C(1000000) : 0;
    return true;
}

static int command_write(const struct options *o)
{
    static unsigned char record[RECORD_BYTES_MAX];
    struct writer w = {0};

    signals_install();
    if (!writer_begin(&w, o))
        return 1;
    while (!writer_tick(&w) && (!o->records || w.sequence < o->records)) {
        record_fill(record, &w.header, w.sequence);
        if (!writer_record(&w, record) || !writer_acknowledged(&w))
            break;
    }
    uint64_t now = ledger_now_us();
    ledger_append(w.ledger_fd, "Z %" PRIu64, now);
    if (w.acked_us && now - w.acked_us > w.longest_us)
        w.longest_us = now - w.acked_us;
    printf("records %" PRIu64 " errors %" PRIu64 " max-pause-ms %" PRIu64 "\n", w.sequence,
        w.errors, w.longest_us / 1000);
    client_nfs_close(&w.nfs);
    close(w.ledger_fd);
    return w.errors || !w.sequence;
}

/* What the slot must hold: the last record acknowledged there.  The one that was under way when the
 * client stopped (and was never acknowledged) may stand in its place. */
static const char *slot_judge(const struct ledger *l, uint64_t slot, const unsigned char *found)
{
    static unsigned char expected[RECORD_BYTES_MAX];
    uint64_t slots = l->header.slots, last = l->records - 1;
    uint64_t want = last - (last + slots - slot) % slots;
    uint64_t under_way = l->records;

    record_fill(expected, &l->header, want);
    if (!memcmp(expected, found, l->header.record_bytes))
        return NULL;
    if (under_way % slots == slot) {
        record_fill(expected, &l->header, under_way);
        if (!memcmp(expected, found, l->header.record_bytes))
            return NULL;
    }
    uint64_t sequence = hv_load_be64(found + OFFSET_SEQUENCE);
    record_fill(expected, &l->header, sequence);
    return memcmp(expected, found, l->header.record_bytes) ? "differs" : "is lost";
}

struct verdict {
    uint64_t checked, lost, differing;
};

static void slots_judge(const struct ledger *l, uint64_t first, uint64_t count,
    const unsigned char *bytes, size_t length, struct verdict *v)
{
    for (uint64_t i = 0; i < count; i++) {
        const char *why = (i + 1) * l->header.record_bytes > length
                              ? "is lost"
                              : slot_judge(l, first + i, bytes + i * l->header.record_bytes);
        v->checked++;
        if (!why)
            continue;
        if (!strcmp(why, "differs"))
            v->differing++;
        else
            v->lost++;
        if (v->lost + v->differing <= 10)
            printf("verify: the record at slot %" PRIu64 " %s\n", first + i, why);
    }
}

static bool verify_ledger(const struct ledger *l, struct client_nfs *c, struct verdict *v)
{
    static unsigned char bytes[READ_BYTES];
    uint64_t slots = l->records < l->header.slots ? l->records : l->header.slots;
    uint64_t batch = READ_BYTES / l->header.record_bytes;

    for (uint64_t slot = 0; slot < slots; slot += batch) {
        uint64_t count = slots - slot < batch ? slots - slot : batch;
        int rc = client_nfs_read(
            c, slot * l->header.record_bytes, bytes, count * l->header.record_bytes);
        if (rc < 0) {
            fprintf(stderr, "verify: read: %s (%s)\n", strerror(-rc), client_nfs_error(c));
            return false;
        }
        slots_judge(l, slot, count, bytes, (size_t)rc, v);
    }
    return true;
}

static bool deadline_tick(void *context)
{
    return ledger_now_us() > *(const uint64_t *)context;
}

/* Mounts, trying again until the deadline. */
static int mount_within(struct client_nfs *c, uint64_t deadline_us)
{
    int rc;

    while ((rc = client_nfs_mount(c, ledger_now_us() + MOUNT_TRY_US)) < 0 &&
           ledger_now_us() < deadline_us)
        usleep(ERROR_PAUSE_US);
    if (rc < 0)
        fprintf(stderr, "%s:%s cannot be mounted: %s\n", c->server, c->path, strerror(-rc));
    return rc;
}

static int command_verify(const struct options *o)
{
    uint64_t deadline_us = ledger_now_us() + o->wait_s * UINT64_C(1000000);
    struct client_nfs c = {.server = o->server,
        .path = o->path,
        .version = 3,
        .tick = deadline_tick,
        .tick_context = &deadline_us};
    struct verdict v = {0};
    struct ledger ledger;
    bool done = false;

    if (!ledger_load(&ledger, o->ledger))
        return 1;
    if (ledger.header.record_bytes > RECORD_BYTES_MAX) {
        fprintf(stderr, "%s: records of %u bytes are too long\n", o->ledger,
            ledger.header.record_bytes);
        ledger_free(&ledger);
        return 1;
    }
    if (ledger.records == 0) {
        done = true;
    } else if (mount_within(&c, deadline_us) >= 0) {
        int rc = client_nfs_open(&c, ledger.header.file, O_RDONLY);
        if (rc < 0)
            fprintf(stderr, "verify: open: %s (%s)\n", strerror(-rc), client_nfs_error(&c));
        done = rc >= 0 && verify_ledger(&ledger, &c, &v);
    }
    client_nfs_close(&c);
    if (done)
        printf("verify: acknowledged %zu checked %" PRIu64 " lost %" PRIu64 " differing %" PRIu64
               " errors %" PRIu64 " reconnects %" PRIu64 "\n",
            ledger.records, v.checked, v.lost, v.differing, ledger.errors, ledger.reconnects);
    ledger_free(&ledger);
    return !done || v.lost || v.differing;
}

static int command_probe(const struct options *o)
{
    struct client_nfs c = {.server = o->server, .path = o->path, .version = o->version};
    int rc = mount_within(&c, ledger_now_us() + o->wait_s * UINT64_C(1000000));

    client_nfs_close(&c);
    return rc < 0;
}

static int command_mark(const struct options *o, const char *name)
{
    int fd = ledger_open(o->ledger);
    bool good = fd >= 0 && ledger_append(fd, "M %" PRIu64 " %s", ledger_now_us(), name);

    if (!good)
        perror(o->ledger);
    if (fd >= 0)
        close(fd);
    return !good;
}

static int command_pause(const struct options *o)
{
    struct ledger l;
    uint64_t from_us = 0, to_us = 0;
    int rc = 1;

    if (!ledger_load(&l, o->ledger))
        return 1;
    if (l.records) {
        from_us = l.times_us[0];
        to_us = l.stopped_us ? l.stopped_us : ledger_now_us();
    }
    if (o->from && !ledger_mark_find(&l, o->from, &from_us)) {
        fprintf(stderr, "%s: no mark '%s'\n", o->ledger, o->from);
    } else if (o->to && !ledger_mark_find(&l, o->to, &to_us)) {
        fprintf(stderr, "%s: no mark '%s'\n", o->ledger, o->to);
    } else {
        printf("%" PRIu64 "\n", ledger_pause_us(&l, from_us, to_us) / 1000);
        rc = 0;
    }
    ledger_free(&l);
    return rc;
}

static int usage(void)
{
    fprintf(stderr, "usage: nfsclient write|verify|probe|mark|pause [options] [NAME]\n"
                    "  --server ADDRESS    192.168.137.82\n"
                    "  --export PATH       /nfs\n"
                    "  --file NAME         /records: the file on the export\n"
                    "  --ledger FILE       ledger: what was acknowledged\n"
                    "  --version 3|4       of NFS: 3\n"
                    "  --seconds N         stop after N seconds (write)\n"
                    "  --records N         stop after N records (write)\n"
                    "  --slots N           16384: record n overwrites record n - N\n"
                    "  --record-bytes N    4096; with NFSv4 2048\n"
                    "  --wait SECONDS      30: how long to wait for the server (verify, probe)\n"
                    "  --from, --to NAME   marks (pause)\n"
                    "  --quiet             no line a second (write)\n");
    return 2;
}

static bool options_read(struct options *o, int argc, char **argv)
{
    static const struct option names[] = {{"server", 1, NULL, 's'}, {"export", 1, NULL, 'e'},
        {"file", 1, NULL, 'f'}, {"ledger", 1, NULL, 'l'}, {"version", 1, NULL, 'v'},
        {"seconds", 1, NULL, 't'}, {"records", 1, NULL, 'n'}, {"slots", 1, NULL, 'o'},
        {"record-bytes", 1, NULL, 'b'}, {"wait", 1, NULL, 'w'}, {"from", 1, NULL, 'F'},
        {"to", 1, NULL, 'T'}, {"quiet", 0, NULL, 'q'}, {NULL, 0, NULL, 0}};
    int c;

    while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
        switch (c) {
        case 's':
            o->server = optarg;
            break;
        case 'e':
            o->path = optarg;
            break;
        case 'f':
            o->file = optarg;
            break;
        case 'l':
            o->ledger = optarg;
            break;
        case 'v':
            o->version = atoi(optarg);
            break;
        case 't':
            o->seconds = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'n':
            o->records = strtoull(optarg, NULL, 10);
            break;
        case 'o':
            o->slots = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'b':
            o->record_bytes = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'w':
            o->wait_s = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'F':
            o->from = optarg;
            break;
        case 'T':
            o->to = optarg;
            break;
        case 'q':
            o->quiet = true;
            break;
        default:
            return false;
        }
    }
    return o->slots > 0 && (o->version == 3 || o->version == 4) &&
           o->record_bytes <= RECORD_BYTES_MAX &&
           (o->record_bytes == 0 || o->record_bytes >= OFFSET_PAYLOAD + 8);
}

int main(int argc, char **argv)
{
    struct options o = {.server = "192.168.137.82",
        .path = "/nfs",
        .file = "/records",
        .ledger = "ledger",
        .version = 3,
        .slots = 16384,
        .wait_s = 30};
    struct rlimit memory = {MEMORY_MAX_BYTES, MEMORY_MAX_BYTES};

#ifndef __SANITIZE_ADDRESS__
    setrlimit(RLIMIT_AS, &memory);
#else
    (void)memory;
#endif
    if (argc < 2 || !options_read(&o, argc - 1, argv + 1))
        return usage();
    const char *argument = optind + 1 < argc ? argv[optind + 1] : NULL;

    if (!strcmp(argv[1], "write"))
        return command_write(&o);
    if (!strcmp(argv[1], "verify"))
        return command_verify(&o);
    if (!strcmp(argv[1], "probe"))
        return command_probe(&o);
    if (!strcmp(argv[1], "pause"))
        return command_pause(&o);
    if (!strcmp(argv[1], "mark") && argument)
        return command_mark(&o, argument);
    return usage();
}
