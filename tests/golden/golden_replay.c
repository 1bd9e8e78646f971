/* SPDX-License-Identifier: Apache-2.0 */
/* golden_replay CAPTURE first|again|nine: our engine in the place of the captured node "bob".  What alice said is
 * given to it in the captured order; what it says must be, byte for byte, what bob said (wire §15).
 *
 *   first   two fresh nodes connect, alice becomes Primary by force: up to bob's first resync request
 *   nine    the same, alice being DRBD 9
 *   again   they connect once more, alice with one dirty block: bitmap, resync, demotion, disconnect */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "drbd_packet.h"
#include "hv_endian.h"
#include "md.h"
#include "md_replay.h"
#include "pcap.h"
#include "repl.h"
#include "test_digest.h"

enum {
    BACKING_SECTORS = 65608,
    BACKING_SECTORS_NINE = 65616,
    RECORDS_MAX = 4096,
    OUT_BYTES_MAX = 1 << 20,
    IOS_MAX = 256,
    PATIENCE_MS = 20000,
    ALICE_SOCK = 2, /* the connection that alice opened */
};

/* --- the capture --- */

struct record {
    bool alice, meta;
    int connection; /* 0: the first pair of sockets, 1: the second */
    unsigned command;
    uint8_t *bytes;
    size_t length;
};

static struct record records[RECORDS_MAX];
static unsigned record_count;

static _Noreturn void die(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    exit(1);
}

/* The other direction of the same TCP connection. */
static struct pcap_stream *reverse_of(const struct pcap_tcp *t, const struct pcap_stream *s)
{
    for (struct pcap_stream *o = t->streams; o; o = o->next)
        if (o->src == s->dst && o->dst == s->src && o->src_port == s->dst_port &&
            o->dst_port == s->src_port)
            return o;
    return NULL;
}

/* user_number: 1 + meta + 2 * connection, once it is known */
static void stream_know(const struct pcap_tcp *t, struct pcap_stream *s, unsigned command)
{
    static int seen[2];
    const struct pcap_stream *reverse = reverse_of(t, s);
    int meta = command == P_INITIAL_META;

    if (s->user_number > 0)
        return;
    if (command == P_INITIAL_DATA || command == P_INITIAL_META)
        s->user_number = 1 + meta + 2 * seen[meta]++;
    else if (reverse)
        s->user_number = reverse->user_number;
}

static size_t header_of(const uint8_t *b, size_t n, unsigned *command, size_t *length)
{
    bool old = n >= 8 && hv_load_be32(b) == 0x83740267;

    if (n < 8 || (!old && n < 16))
        return 0;
    *command = hv_load_be16(b + (old ? 4 : 6));
    *length = old ? hv_load_be16(b + 6) : hv_load_be32(b + 8);
    return old ? 8 : 16;
}

static void stream_packets(const struct pcap_tcp *t, struct pcap_stream *s)
{
    unsigned command;
    size_t length, head;

    while (
        (head = header_of(s->bytes, s->length, &command, &length)) && s->length >= head + length) {
        struct record *r = &records[record_count];
        stream_know(t, s, command);
        if (s->user_number <= 0 || record_count == RECORDS_MAX) {
            /* of a connection that was there before the capture began, or long after what is replayed */
            pcap_stream_consume(s, head + length);
            continue;
        }
        record_count++;
        r->alice = (s->src & 0xff) == 1;
        r->meta = (s->user_number - 1) & 1;
        r->connection = (s->user_number - 1) / 2;
        r->command = command;
        r->length = head + length;
        r->bytes = malloc(r->length);
        memcpy(r->bytes, s->bytes, r->length);
        pcap_stream_consume(s, r->length);
    }
}

static void capture_read(const char *path)
{
    struct pcap_tcp tcp = {0};
    struct pcap_packet packet;
    struct pcap p;

    if (pcap_open(&p, path))
        die("%s cannot be read", path);
    while (pcap_next(&p, &packet))
        if (packet.protocol == PCAP_TCP)
            stream_packets(&tcp, pcap_tcp_add(&tcp, &packet));
    pcap_tcp_free(&tcp);
    pcap_close(&p);
}

/* --- the engine and its world --- */

static struct {
    struct repl *r;
    struct repl_effects fx;
    struct hv_entropy entropy;
    uint64_t now_ms;
    uint8_t *disk;
    struct repl_effect io[IOS_MAX];
    unsigned ios;
    uint32_t sock[2]; /* data, meta */
    uint8_t out[2][OUT_BYTES_MAX];
    size_t out_bytes[2];
    unsigned connects_refused;
    int admin;
} w;

static uint64_t backing_sectors = BACKING_SECTORS;
static const uint8_t *next_random; /* bob's captured challenge */

static struct hv_buf *buf_alloc(struct hv_buf_pool *pool, uint32_t bytes)
{
    struct hv_buf *buf = calloc(1, sizeof *buf);

    buf->data = calloc(1, bytes);
    buf->capacity_bytes = bytes;
    buf->refs = 1;
    buf->pool = pool;
    return buf;
}

static void buf_free(struct hv_buf_pool *pool, struct hv_buf *buf)
{
    free(buf->data);
    free(buf);
}

static struct hv_buf_pool pool = {.alloc = buf_alloc, .free = buf_free};

static void log_line(void *arg, enum hv_log_level level, const char *line)
{
    fprintf(stderr, "%8.3f %s\n", (double)w.now_ms / 1000, line);
}

static void step(struct repl_event *ev);

static void sent(const struct repl_effect *fx)
{
    int meta = fx->send.sock == w.sock[1];

    if (w.out_bytes[meta] + fx->send.head_bytes + fx->send.length_bytes > OUT_BYTES_MAX)
        die("the engine sends too much");
    memcpy(w.out[meta] + w.out_bytes[meta], fx->send.head, fx->send.head_bytes);
    w.out_bytes[meta] += fx->send.head_bytes;
    if (!fx->send.buf)
        return;
    memcpy(w.out[meta] + w.out_bytes[meta], fx->send.buf->data + fx->send.offset_bytes,
        fx->send.length_bytes);
    w.out_bytes[meta] += fx->send.length_bytes;
    hv_buf_put(fx->send.buf);
}

static void later(const struct repl_effect *fx)
{
    if (w.ios == IOS_MAX)
        die("too much under way");
    w.io[w.ios++] = *fx;
}

static void effect(const struct repl_effect *fx)
{
    switch (fx->kind) {
    case REPL_FX_SEND:
        sent(fx);
        break;
    case REPL_FX_CONNECT:
    case REPL_FX_READ:
    case REPL_FX_WRITE:
    case REPL_FX_FLUSH:
    case REPL_FX_MD_READ:
    case REPL_FX_MD_WRITE:
    case REPL_FX_HANDLER:
        later(fx);
        break;
    case REPL_FX_ADMIN_DONE:
        w.admin = fx->admin.retcode;
        break;
    default:
        break;
    }
}

static void step(struct repl_event *ev)
{
    memset(w.entropy.bytes, 0x42, sizeof w.entropy.bytes);
    if (next_random)
        memcpy(w.entropy.bytes, next_random, DRBD_CHALLENGE_BYTES);
    w.entropy.used = 0;
    ev->now_ms = w.now_ms;
    ev->entropy = &w.entropy;
    w.fx.count = 0;
    repl_step(w.r, ev, &w.fx);
    for (uint32_t i = 0; i < w.fx.count; i++)
        effect(&w.fx.list[i]);
}

static void io_do(struct repl_effect *fx)
{
    struct repl_event ev = {.kind = REPL_EV_IO_DONE, .token = fx->token};
    uint8_t *at = w.disk + fx->io.sector * 512;

    switch (fx->kind) {
    case REPL_FX_READ:
    case REPL_FX_MD_READ:
        memcpy(fx->io.buf->data + fx->io.offset_bytes, at, fx->io.length_bytes);
        ev.io.buf = fx->io.buf;
        break;
    case REPL_FX_WRITE:
    case REPL_FX_MD_WRITE:
        memcpy(at, fx->io.buf->data + fx->io.offset_bytes, fx->io.length_bytes);
        hv_buf_put(fx->io.buf);
        break;
    case REPL_FX_HANDLER:
        ev.kind = REPL_EV_HANDLER_DONE;
        break;
    case REPL_FX_CONNECT:
        ev.kind = w.connects_refused ? REPL_EV_CONN_FAILED : REPL_EV_CONNECTED;
        if (w.connects_refused)
            w.connects_refused--;
        else
            w.sock[w.sock[0] != 0] = fx->net.sock;
        ev.net.sock = fx->net.sock;
        break;
    default:
        break;
    }
    step(&ev);
}

/* Everything that can happen without time passing. */
static void settle(void)
{
    do {
        while (w.ios) {
            struct repl_effect fx = w.io[0];
            memmove(w.io, w.io + 1, --w.ios * sizeof *w.io);
            io_do(&fx);
        }
        if (repl_next_timeout(w.r) <= w.now_ms)
            step(&(struct repl_event){.kind = REPL_EV_TICK});
    } while (w.ios || repl_next_timeout(w.r) <= w.now_ms);
}

static bool time_passes(uint64_t until_ms)
{
    uint64_t next = repl_next_timeout(w.r);

    if (next > until_ms)
        return false;
    w.now_ms = next;
    settle();
    return true;
}

static void admin(struct repl_admin args)
{
    struct repl_event ev = {.kind = REPL_EV_ADMIN, .token = 1, .admin = args};

    w.admin = 0;
    step(&ev);
    settle();
    if (w.admin < 1 || w.admin > 100)
        die("verb %d: %d", (int)args.verb, w.admin);
}

/* --- bob --- */

/* The metadata that bob had. */
static void disk_make(bool again)
{
    const struct md_place place = {MD_INDEX_INTERNAL, backing_sectors, backing_sectors};
    struct md_superblock sb;
    struct md_layout layout;
    struct hv_diag diag;

    w.disk = calloc(backing_sectors, 512);
    if (md_create(&sb, &place, 1, 8, 1, &diag) || md_layout_compute(&place, 1, 8, &layout, &diag))
        die("%s", diag.text);
    if (again) {
        const uint64_t uuid[] = {0xDB9A6B1103AEFFDC, 0, 0x312703DF48800F84, 4};
        memcpy(sb.uuid, uuid, sizeof uuid);
        sb.la_size_sectors = layout.usable_sectors;
        sb.flags |= MDF_CONSISTENT | MDF_WAS_UP_TO_DATE;
    }
    md_encode(&sb, w.disk + layout.sb_sector * 512);
    md_replay_ring_init(w.disk + layout.al_sector * 512, layout.al_sectors * 512);
}

static void engine_make(void)
{
    static const struct repl_disk_config disk = {.on_io_error = REPL_IOE_DETACH,
        .disk_flushes = true,
        .disk_drain = true,
        .md_flushes = true,
        .resync_rate_kib = 102400,
        .al_extents = 1237,
        .al_updates = true,
        .c_plan_ahead_ds = 20,
        .c_delay_target_ds = 10,
        .c_fill_target_sectors = 100,
        .c_max_rate_kib = 102400,
        .c_min_rate_kib = 250};
    struct repl_config c = {.name = "r1",
        .net = {.wire_protocol = DRBD_PROT_C,
            .timeout_ds = 60,
            .ping_int_s = 10,
            .ping_timeout_ds = 5,
            .connect_int_s = 10,
            .ko_count = 7,
            .max_buffers = 2048,
            .max_epoch_size = 2048,
            .use_rle = true,
            .cram_hmac_alg = "sha1",
            .shared_secret = "s3kr1tFoo"},
        .volumes = 1,
        .requests_max = 64,
        .digest = &test_digest_ops,
        .bufs = &pool,
        .log = {.write = log_line}};
    struct hv_diag diag;

    c.volume[0].minor = 1;
    c.volume[0].disk = disk;
    if (repl_new(&c, &w.r, &diag))
        die("%s", diag.text);
    w.fx.capacity = repl_effects_max(w.r);
    w.fx.list = calloc(w.fx.capacity, sizeof *w.fx.list);
    w.now_ms = 1000;
}

static void attach_and_connect(void)
{
    admin((struct repl_admin){.verb = REPL_ADM_ATTACH,
        .attach = {.backing_sectors = backing_sectors,
            .md_index = MD_INDEX_INTERNAL,
            .md_sectors = backing_sectors,
            .logical_block_bytes = 512,
            .physical_block_bytes = 512,
            .max_io_bytes = 1 << 20,
            .can_discard = true}});
    admin((struct repl_admin){.verb = REPL_ADM_CONNECT});
}

/* --- the replay --- */

static void give(const struct record *r)
{
    struct repl_event ev = {.kind = REPL_EV_RECV};

    if (r->command == P_INITIAL_DATA || r->command == P_INITIAL_META) {
        struct repl_event accepted = {.kind = REPL_EV_ACCEPTED};
        accepted.net.sock = ALICE_SOCK;
        w.sock[r->meta] = ALICE_SOCK;
        step(&accepted);
    }
    ev.net.sock = w.sock[r->meta];
    ev.net.bytes = r->bytes;
    ev.net.length_bytes = (uint32_t)r->length;
    step(&ev);
    settle();
}

static void print_bytes(const char *who, const uint8_t *b, size_t n)
{
    fprintf(stderr, "  %s", who);
    for (size_t i = 0; i < n && i < 200; i++)
        fprintf(stderr, "%s%02x", i % 8 ? "" : " ", b[i]);
    fputc('\n', stderr);
}

/* That bob's bitmap was 64 bits short of full before he first met DRBD 9 was his own affair. */
static void forget_dirty_bits(struct record *r)
{
    static const uint8_t all[8] = {0, 0, 0, 0, 0, 0, 0x20, 0};

    if (!r->alice && r->command == P_UUIDS)
        memcpy(r->bytes + 16 + 32, all, sizeof all);
}

static void expect(const struct record *r)
{
    uint64_t until = w.now_ms + PATIENCE_MS;
    uint8_t *out = w.out[r->meta];

    while (w.out_bytes[r->meta] < r->length && time_passes(until))
        continue;
    if (w.out_bytes[r->meta] < r->length || memcmp(out, r->bytes, r->length) != 0) {
        fprintf(stderr, "record %u: bob said %s on the %s socket, the engine did not\n",
            (unsigned)(r - records), drbd_packet_name(r->command), r->meta ? "meta" : "data");
        print_bytes("bob:   ", r->bytes, r->length);
        print_bytes("engine:", out, w.out_bytes[r->meta]);
        exit(1);
    }
    w.out_bytes[r->meta] -= r->length;
    memmove(out, out + r->length, w.out_bytes[r->meta]);
}

static void find_challenge(int connection)
{
    for (unsigned i = 0; i < record_count; i++)
        if (records[i].connection == connection && !records[i].alice &&
            records[i].command == P_AUTH_CHALLENGE)
            next_random = records[i].bytes + 16;
}

int main(int argc, char **argv)
{
    unsigned given = 0, compared = 0;
    bool again;

    if (argc != 3)
        die("usage: golden_replay CAPTURE first|again|nine");
    again = !strcmp(argv[2], "again");
    capture_read(argv[1]);
    if (!strcmp(argv[2], "nine")) {
        backing_sectors = BACKING_SECTORS_NINE;
        for (unsigned i = 0; i < record_count; i++)
            forget_dirty_bits(&records[i]);
    }
    find_challenge(again);
    disk_make(again);
    engine_make();
    w.connects_refused = !again;
    attach_and_connect();
    for (unsigned i = 0; i < record_count; i++) {
        const struct record *r = &records[i];
        if (r->connection != (int)again)
            continue;
        if (r->alice) {
            give(r);
            given++;
            continue;
        }
        expect(r);
        compared++;
        if (!again && r->command == P_RS_DATA_REQUEST)
            break;
    }
    printf("%u packets given, %u packets as captured\n", given, compared);
    if (compared < 15)
        die("too few packets in the capture");
    repl_free(w.r);
    free(w.fx.list);
    free(w.disk);
    for (unsigned i = 0; i < record_count; i++)
        free(records[i].bytes);
    return 0;
}
