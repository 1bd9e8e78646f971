/* SPDX-License-Identifier: Apache-2.0 */
/* golden_drbd CAPTURE TRANSCRIPT [--update]: takes a capture of two DRBD nodes apart packet by packet,
 * encodes every packet again and demands identical bytes, and compares what it read, one line a packet,
 * with the stored transcript. */
#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/hmac.h>

#include "drbd_bitmap_code.h"
#include "drbd_packet.h"
#include "hv_endian.h"
#include "hv_text.h"
#include "pcap.h"

static const char secret[] = "s3kr1tFoo";

enum { VERSION = 101, BITMAP_WORDS_MAX = 1024 };

struct side { /* one address */
    uint32_t address;
    const char *name;
    uint8_t challenge[DRBD_CHALLENGE_BYTES];
    uint64_t device_sectors;
};

struct walk {
    struct hv_text text;
    struct side sides[2];
    uint64_t start_us, packets, bad;
};

static void walk_bad(struct walk *k, const char *what, unsigned command)
{
    fprintf(stderr, "packet %" PRIu64 " (%s): %s\n", k->packets, drbd_packet_name(command), what);
    k->bad++;
}

static struct side *side_of(struct walk *k, uint32_t address)
{
    static const char *const names[] = {"alice", "bob"};
    int i = (address & 0xff) == 1 ? 0 : 1;

    k->sides[i].address = address;
    k->sides[i].name = names[i];
    return &k->sides[i];
}

static void state_text(struct hv_text *t, uint32_t word)
{
    struct drbd_state s = drbd_state_unpack(word);

    hv_text_addf(t, " 0x%08x %s/%s %s %s/%s", word, drbd_role_name(s.role), drbd_role_name(s.peer),
        drbd_conn_name(s.conn), drbd_disk_name(s.disk), drbd_disk_name(s.pdsk));
}

/* ---- bitmaps ---- */

struct map {
    uint8_t bytes[BITMAP_WORDS_MAX * 8];
    uint64_t bits;
};

static void map_set(void *arg, uint64_t first, uint64_t count)
{
    struct map *m = arg;

    for (uint64_t i = first; i < first + count; i++)
        m->bytes[i / 8] |= (uint8_t)(1 << i % 8);
}

static void map_merge(void *arg, uint64_t first, const uint8_t *bytes, uint64_t words)
{
    struct map *m = arg;

    for (uint64_t i = 0; i < words * 8; i++)
        m->bytes[first * 8 + i] |= bytes[i];
}

static const uint8_t *map_window(void *arg, uint64_t word, uint64_t *words)
{
    struct map *m = arg;

    *words = (m->bits + 63) / 64 - word;
    return m->bytes + word * 8;
}

static void compressed_walk(struct walk *k, struct side *from, const uint8_t *payload, uint32_t n)
{
    struct map m = {.bits = (from->device_sectors + 7) / 8};
    struct drbd_bitmap_receiver v;
    struct drbd_bitmap_sender s;
    uint8_t again[DRBD_RECEIVE_BUFFER_BYTES];
    uint32_t again_bytes, set = 0, packet_bytes = DRBD_RECEIVE_BUFFER_BYTES - 16;

    drbd_bitmap_receiver_init(
        &v, (struct drbd_bitmap_sink){map_set, map_merge, &m}, m.bits, packet_bytes);
    if (drbd_bitmap_receive_compressed(&v, payload, n) != 1)
        walk_bad(k, "the bitmap is not complete", P_COMPRESSED_BITMAP);
    for (uint64_t i = 0; i < m.bits; i++)
        set += m.bytes[i / 8] >> i % 8 & 1;
    hv_text_addf(&k->text, " bits=%" PRIu64 " set=%u", m.bits, set);
    drbd_bitmap_sender_init(
        &s, (struct drbd_bitmap_source){map_window, &m}, m.bits, packet_bytes, true);
    if (drbd_bitmap_send(&s, again, &again_bytes) != P_COMPRESSED_BITMAP || again_bytes != n ||
        memcmp(again, payload, n) != 0)
        walk_bad(k, "encodes differently", P_COMPRESSED_BITMAP);
    if (drbd_bitmap_send(&s, again, &again_bytes) != 0)
        walk_bad(k, "more than one packet", P_COMPRESSED_BITMAP);
}

/* ---- authentication ---- */

static void auth_walk(
    struct walk *k, struct side *from, unsigned command, const uint8_t *payload, uint32_t n)
{
    struct side *other = from == &k->sides[0] ? &k->sides[1] : &k->sides[0];
    uint8_t expected[EVP_MAX_MD_SIZE];
    unsigned expected_bytes = 0;

    if (command == P_AUTH_CHALLENGE) {
        if (n != DRBD_CHALLENGE_BYTES)
            walk_bad(k, "length of the challenge", command);
        else
            memcpy(from->challenge, payload, n);
        return;
    }
    HMAC(EVP_sha1(), secret, (int)strlen(secret), other->challenge, DRBD_CHALLENGE_BYTES, expected,
        &expected_bytes);
    if (n != expected_bytes || memcmp(payload, expected, n) != 0)
        walk_bad(k, "the response does not answer the challenge", command);
    else
        hv_text_add(&k->text, " hmac-sha1 ok");
}

/* ---- sub-headers: decode, describe, encode ---- */

/* Decodes with `kind`, adds the text, and writes it to w again.  One macro a packet keeps the table
 * below readable. */
#define TAKE(kind, ...)                                                                            \
    do {                                                                                           \
        struct drbd_##kind p;                                                                      \
        rc = drbd_##kind##_decode(r, &p);                                                          \
        if (rc == 0) {                                                                             \
            hv_text_addf(t, __VA_ARGS__);                                                          \
            drbd_##kind##_encode(w, &p);                                                           \
        }                                                                                          \
    } while (0)

static int params_walk(struct walk *k, unsigned command, struct side *from, struct hv_reader *r,
    struct hv_writer *w, struct hv_text *t)
{
    struct drbd_protocol protocol;
    struct drbd_rs_param param;
    struct drbd_sizes sizes;
    int rc;

    switch (command) {
    case P_PROTOCOL:
        rc = drbd_protocol_decode(r, &protocol, VERSION);
        hv_text_addf(t, " protocol=%c after-sb=%u/%u/%u flags=%u two-primaries=%u integrity='%s'",
            'A' - 1 + (int)protocol.wire_protocol, protocol.after_sb_0p, protocol.after_sb_1p,
            protocol.after_sb_2p, protocol.conn_flags, protocol.two_primaries,
            protocol.integrity_alg);
        drbd_protocol_encode(w, &protocol, VERSION);
        return rc;
    case P_SYNC_PARAM89:
        rc = drbd_rs_param_decode(r, &param, VERSION);
        hv_text_addf(t, " rate=%u verify='%s' csums='%s' plan=%u delay=%u fill=%u max-rate=%u",
            param.resync_rate_kib_s, param.verify_alg, param.csums_alg, param.c_plan_ahead,
            param.c_delay_target, param.c_fill_target, param.c_max_rate_kib_s);
        drbd_rs_param_encode(w, &param, VERSION);
        return rc;
    case P_SIZES:
        rc = drbd_sizes_decode(r, &sizes, DRBD_FF_ALL);
        from->device_sectors = sizes.current_sectors;
        hv_text_addf(t, " d=%" PRIu64 " u=%" PRIu64 " c=%" PRIu64 " max-bio=%u order=%u flags=%u",
            sizes.disk_sectors, sizes.user_sectors, sizes.current_sectors, sizes.max_bio_bytes,
            sizes.queue_order_type, sizes.dds_flags);
        hv_text_addf(t, " limits=%u,%u,%u,%u,%u,%u,%u,%u", sizes.limits.physical_block_bytes,
            sizes.limits.logical_block_bytes, sizes.limits.alignment_offset_bytes,
            sizes.limits.io_min_bytes, sizes.limits.io_opt_bytes, sizes.limits.discard_enabled,
            sizes.limits.discard_zeroes_data, sizes.limits.write_same_capable);
        drbd_sizes_encode(w, &sizes, DRBD_FF_ALL);
        return rc;
    default:
        walk_bad(k, "no decoder in this test", command);
        return 0;
    }
}

static int words_walk(unsigned command, struct hv_reader *r, struct hv_writer *w, struct hv_text *t)
{
    uint32_t word = 0;
    uint64_t uuid = 0;
    int rc;

    if (command == P_SYNC_UUID) {
        rc = drbd_u64_decode(r, &uuid);
        hv_text_addf(t, " %016" PRIX64, uuid);
        drbd_u64_encode(w, uuid);
        return rc;
    }
    rc = drbd_u32_decode(r, &word);
    if (command == P_STATE)
        state_text(t, word);
    else
        hv_text_addf(t, " %d (%s)", (int)word, drbd_retcode_text((int)word));
    drbd_u32_encode(w, word);
    return rc;
}

static int sub_walk(struct walk *k, unsigned command, struct side *from, struct hv_reader *r,
    struct hv_writer *w, struct hv_text *t)
{
    int rc = 0;

    switch (command) {
    case P_CONNECTION_FEATURES:
        TAKE(
            features, " min=%u max=%u flags=0x%x", p.protocol_min, p.protocol_max, p.feature_flags);
        break;
    case P_UUIDS:
        TAKE(uuids,
            " %016" PRIX64 ":%016" PRIX64 ":%016" PRIX64 ":%016" PRIX64 " dirty=%" PRIu64
            " flags=%" PRIu64,
            p.uuid[0], p.uuid[1], p.uuid[2], p.uuid[3], p.dirty_bits, p.flags);
        break;
    case P_STATE_CHG_REQ:
    case P_CONN_ST_CHG_REQ:
        TAKE(req_state, " mask=0x%08x val=0x%08x", p.mask, p.val);
        break;
    case P_DATA:
    case P_DATA_REPLY:
    case P_RS_DATA_REPLY:
        TAKE(data, " sector=%" PRIu64 " id=%016" PRIx64 " seq=%u flags=0x%x", p.sector, p.block_id,
            p.seq_num, p.dp_flags);
        break;
    case P_TRIM:
    case P_ZEROES:
        TAKE(trim, " sector=%" PRIu64 " id=%016" PRIx64 " seq=%u flags=0x%x size=%u", p.data.sector,
            p.data.block_id, p.data.seq_num, p.data.dp_flags, p.size_bytes);
        break;
    case P_RS_DATA_REQUEST:
    case P_DATA_REQUEST:
        TAKE(block_req, " sector=%" PRIu64 " id=%016" PRIx64 " size=%u", p.sector, p.block_id,
            p.size_bytes);
        break;
    case P_WRITE_ACK:
    case P_RS_WRITE_ACK:
        TAKE(block_ack, " sector=%" PRIu64 " id=%016" PRIx64 " size=%u seq=%u", p.sector,
            p.block_id, p.size_bytes, p.seq_num);
        break;
    case P_BARRIER:
        TAKE(barrier, " barrier=%08x", p.barrier);
        break;
    case P_BARRIER_ACK:
        TAKE(barrier_ack, " barrier=%08x set=%u", p.barrier, p.set_size);
        break;
    case P_STATE:
    case P_SYNC_UUID:
    case P_STATE_CHG_REPLY:
    case P_CONN_ST_CHG_REPLY:
        rc = words_walk(command, r, w, t);
        break;
    default:
        rc = params_walk(k, command, from, r, w, t);
    }
    return rc;
}

/* What a sender may leave in bytes that have no meaning. */
static void meaningless_clear(unsigned command, uint8_t *sub)
{
    if (command == P_CONNECTION_FEATURES)
        memset(sub + 12, 0, 60);
}

static void payload_walk(
    struct walk *k, unsigned command, struct side *from, const uint8_t *payload, uint32_t n)
{
    uint32_t sub_bytes = drbd_packet_sub_bytes(command, DRBD_FF_ALL);
    uint8_t again[DRBD_RECEIVE_BUFFER_BYTES], given[DRBD_RECEIVE_BUFFER_BYTES];
    struct hv_reader r;
    struct hv_writer w;

    if (command == P_AUTH_CHALLENGE || command == P_AUTH_RESPONSE) {
        auth_walk(k, from, command, payload, n);
    } else if (command == P_COMPRESSED_BITMAP) {
        compressed_walk(k, from, payload, n);
    } else if (n > 0) {
        bool variable = command == P_PROTOCOL || command == P_SYNC_PARAM89;
        uint32_t whole = variable ? n : sub_bytes;

        hv_reader_init(&r, payload, whole);
        hv_writer_init(&w, again, sizeof again);
        if (sub_walk(k, command, from, &r, &w, &k->text) != 0)
            walk_bad(k, "does not decode", command);
        memcpy(given, payload, whole);
        meaningless_clear(command, given);
        if (hv_writer_length(&w) != whole || memcmp(again, given, whole) != 0)
            walk_bad(k, "encodes differently", command);
        if (n > whole)
            hv_text_addf(&k->text, " + %u bytes", n - whole);
    }
}

static enum drbd_socket socket_of(const struct pcap_tcp *tcp, const struct pcap_stream *s)
{
    if (s->user_number >= 0)
        return (enum drbd_socket)s->user_number;
    for (const struct pcap_stream *o = tcp->streams; o; o = o->next)
        if (o->user_number >= 0 && o->src == s->dst && o->dst == s->src &&
            o->src_port == s->dst_port && o->dst_port == s->src_port)
            return (enum drbd_socket)o->user_number;
    return DRBD_SOCK_NONE;
}

/* One packet from the front of a stream; false when it is not all there. */
static bool packet_walk(
    struct walk *k, struct pcap_tcp *tcp, struct pcap_stream *s, uint64_t time_us)
{
    static const uint8_t h80_magic[] = {0x83, 0x74, 0x02, 0x67};
    struct side *from = side_of(k, s->src);
    bool old = s->length >= 4 && memcmp(s->bytes, h80_magic, 4) == 0;
    int version = old ? DRBD_PROTOCOL_START : VERSION;
    uint8_t again[DRBD_HEADER_BYTES_MAX];
    struct drbd_header h;
    enum drbd_socket sock;
    int header_bytes;

    header_bytes = drbd_header_decode(s->bytes, s->length, version, &h);
    if (header_bytes < 0) {
        walk_bad(k, "not a header", 0);
        return false;
    }
    if ((size_t)header_bytes > s->length || s->length - (size_t)header_bytes < h.length_bytes)
        return false;
    k->packets++;
    if (h.command == P_INITIAL_DATA || h.command == P_INITIAL_META)
        s->user_number = h.command == P_INITIAL_DATA ? DRBD_SOCK_DATA : DRBD_SOCK_META;
    sock = socket_of(tcp, s);
    if (drbd_packet_check(h.command, sock, h.length_bytes, DRBD_FF_ALL) != 0)
        walk_bad(k, "not expected on this socket with this length", h.command);
    if (drbd_header_encode(again, version, h.volume, h.command, h.length_bytes) !=
            (size_t)header_bytes ||
        memcmp(again, s->bytes, (size_t)header_bytes) != 0)
        walk_bad(k, "the header encodes differently", h.command);
    hv_text_addf(&k->text, "%8.4f %-5s %s %-21s %u %u", (double)(time_us - k->start_us) / 1e6,
        from->name, sock == DRBD_SOCK_DATA ? "D" : "M", drbd_packet_name(h.command), h.volume,
        h.length_bytes);
    payload_walk(k, h.command, from, s->bytes + header_bytes, h.length_bytes);
    hv_text_add(&k->text, "\n");
    pcap_stream_consume(s, (size_t)header_bytes + h.length_bytes);
    return true;
}

static int capture_walk(struct walk *k, const char *path)
{
    struct pcap_tcp tcp = {0};
    struct pcap_packet p;
    struct pcap pcap;

    if (pcap_open(&pcap, path) != 0) {
        fprintf(stderr, "cannot read %s\n", path);
        return -1;
    }
    while (pcap_next(&pcap, &p)) {
        struct pcap_stream *s;

        if (p.protocol != PCAP_TCP)
            continue;
        if (!k->start_us)
            k->start_us = p.time_us;
        s = pcap_tcp_add(&tcp, &p);
        while (s->from_syn && s->length && packet_walk(k, &tcp, s, p.time_us))
            ;
    }
    pcap_tcp_free(&tcp);
    pcap_close(&pcap);
    return 0;
}

static int transcript_compare(const char *text, const char *path)
{
    FILE *f = fopen(path, "r");
    char line[1024];
    int number = 0;

    if (!f) {
        fprintf(stderr, "cannot read %s\n", path);
        return 1;
    }
    while (fgets(line, sizeof line, f)) {
        size_t n = strlen(line);

        number++;
        if (strncmp(text, line, n) != 0) {
            fprintf(stderr, "%s:%d: expected %sgot      %.*s\n", path, number, line,
                (int)strcspn(text, "\n"), text);
            fclose(f);
            return 1;
        }
        text += n;
    }
    fclose(f);
    if (*text)
        fprintf(stderr, "%s: more than expected: %.*s\n", path, (int)strcspn(text, "\n"), text);
    return *text != 0;
}

int main(int argc, char **argv)
{
    struct walk k = {0};
    int failed;

    if (argc < 3 || capture_walk(&k, argv[1]) != 0)
        return 2;
    if (argc > 3 && strcmp(argv[3], "--update") == 0) {
        FILE *f = fopen(argv[2], "w");
        failed = !f || fputs(hv_text_str(&k.text), f) < 0;
        if (f)
            fclose(f);
    } else {
        failed = transcript_compare(hv_text_str(&k.text), argv[2]);
    }
    hv_text_free(&k.text);
    printf("%" PRIu64 " packets, %" PRIu64 " bad\n", k.packets, k.bad);
    return failed || k.bad || k.packets == 0;
}
