/* SPDX-License-Identifier: Apache-2.0 */
#include "pcap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hv_endian.h"

struct pcap_segment {
    struct pcap_segment *next;
    uint32_t seq;
    size_t length;
    uint8_t bytes[];
};

static uint32_t load_le32(const uint8_t *b)
{
    return (uint32_t)b[3] << 24 | (uint32_t)b[2] << 16 | (uint32_t)b[1] << 8 | b[0];
}

static void *must(void *p)
{
    if (!p)
        abort();
    return p;
}

int pcap_open(struct pcap *p, const char *path)
{
    char command[512];
    size_t capacity = 1 << 20, n;
    bool packed = strlen(path) > 3 && strcmp(path + strlen(path) - 3, ".gz") == 0;
    FILE *f;

    memset(p, 0, sizeof *p);
    snprintf(command, sizeof command, "exec gzip -dc '%s'", path);
    f = packed ? popen(command, "r") : fopen(path, "rb");
    if (!f)
        return -1;
    p->bytes = must(malloc(capacity));
    while ((n = fread(p->bytes + p->length, 1, capacity - p->length, f)) > 0) {
        p->length += n;
        if (p->length == capacity)
            p->bytes = must(realloc(p->bytes, capacity *= 2));
    }
    if (packed)
        pclose(f);
    else
        fclose(f);
    if (p->length < 24 || load_le32(p->bytes) != 0xa1b2c3d4) {
        pcap_close(p);
        return -1;
    }
    p->link_type = load_le32(p->bytes + 20);
    p->at = 24;
    return 0;
}

void pcap_close(struct pcap *p)
{
    free(p->bytes);
    memset(p, 0, sizeof *p);
}

static void transport_parse(struct pcap_packet *out, const uint8_t *b, size_t n)
{
    size_t header = 0;

    if (out->protocol == PCAP_UDP && n >= 8) {
        header = 8;
    } else if (out->protocol == PCAP_TCP && n >= 20) {
        header = (size_t)(b[12] >> 4) * 4;
        out->tcp_seq = hv_load_be32(b + 4);
        out->tcp_fin = b[13] & 1;
        out->tcp_syn = b[13] & 2;
        out->tcp_rst = b[13] & 4;
    } else if (out->protocol == PCAP_ICMP && n >= 8) {
        out->src_port = b[0]; /* type: 8 request, 0 reply */
        out->payload = b + 8;
        out->length = n - 8;
        return;
    }
    if (!header || header > n)
        return;
    out->src_port = hv_load_be16(b);
    out->dst_port = hv_load_be16(b + 2);
    out->payload = b + header;
    out->length = n - header;
}

/* Returns false for what is not IPv4. */
static bool frame_parse(uint32_t link_type, const uint8_t *b, size_t n, struct pcap_packet *out)
{
    size_t link = link_type == 113 ? 16 : 14, ip_header, total;

    if (n < link + 20 || hv_load_be16(b + link - 2) != 0x0800)
        return false;
    b += link;
    n -= link;
    ip_header = (size_t)(b[0] & 15) * 4;
    total = hv_load_be16(b + 2);
    if (total == 0 || total > n) /* segmentation offload */
        total = n;
    if (ip_header > total)
        return false;
    out->protocol = b[9];
    out->src = hv_load_be32(b + 12);
    out->dst = hv_load_be32(b + 16);
    transport_parse(out, b + ip_header, total - ip_header);
    return true;
}

bool pcap_next(struct pcap *p, struct pcap_packet *out)
{
    while (p->length - p->at >= 16) {
        const uint8_t *record = p->bytes + p->at;
        size_t captured = load_le32(record + 8);

        if (captured > p->length - p->at - 16)
            return false;
        p->at += 16 + captured;
        memset(out, 0, sizeof *out);
        out->time_us = (uint64_t)load_le32(record) * 1000000 + load_le32(record + 4);
        if (frame_parse(p->link_type, record + 16, captured, out))
            return true;
    }
    return false;
}

static void stream_append(struct pcap_stream *s, const uint8_t *bytes, size_t length)
{
    if (s->length + length > s->capacity) {
        s->capacity = (s->length + length) * 2;
        s->bytes = must(realloc(s->bytes, s->capacity));
    }
    memcpy(s->bytes + s->length, bytes, length);
    s->length += length;
    s->next_seq += (uint32_t)length;
}

/* Takes what is new of a segment; false when something before it is still missing. */
static bool stream_take(struct pcap_stream *s, uint32_t seq, const uint8_t *bytes, size_t length)
{
    uint32_t known = s->next_seq - seq;

    if ((int32_t)known < 0)
        return false;
    if (known < length)
        stream_append(s, bytes + known, length - known);
    return true;
}

static void stream_retry_early(struct pcap_stream *s)
{
    struct pcap_segment **at = &s->early;

    while (*at) {
        struct pcap_segment *g = *at;

        if (!stream_take(s, g->seq, g->bytes, g->length)) {
            at = &g->next;
            continue;
        }
        *at = g->next;
        free(g);
        at = &s->early;
    }
}

static struct pcap_stream *stream_find(struct pcap_tcp *t, const struct pcap_packet *p)
{
    struct pcap_stream *s = NULL;

    if (!p->tcp_syn)
        for (s = t->streams; s; s = s->next)
            if (s->src == p->src && s->dst == p->dst && s->src_port == p->src_port &&
                s->dst_port == p->dst_port)
                return s;
    s = must(calloc(1, sizeof *s));
    s->src = p->src;
    s->dst = p->dst;
    s->src_port = p->src_port;
    s->dst_port = p->dst_port;
    s->next = t->streams;
    t->streams = s;
    return s;
}

struct pcap_stream *pcap_tcp_add(struct pcap_tcp *t, const struct pcap_packet *p)
{
    struct pcap_stream *s = stream_find(t, p);
    struct pcap_segment *g;

    if (!s->started) {
        s->started = true;
        s->from_syn = p->tcp_syn;
        s->next_seq = p->tcp_seq + p->tcp_syn;
        s->user_number = -1;
    }
    if (p->length == 0 || p->tcp_syn)
        return s;
    if (stream_take(s, p->tcp_seq, p->payload, p->length)) {
        stream_retry_early(s);
        return s;
    }
    g = must(malloc(sizeof *g + p->length));
    g->next = s->early;
    g->seq = p->tcp_seq;
    g->length = p->length;
    memcpy(g->bytes, p->payload, p->length);
    s->early = g;
    return s;
}

void pcap_stream_consume(struct pcap_stream *s, size_t length)
{
    memmove(s->bytes, s->bytes + length, s->length - length);
    s->length -= length;
}

void pcap_tcp_free(struct pcap_tcp *t)
{
    while (t->streams) {
        struct pcap_stream *s = t->streams;

        t->streams = s->next;
        while (s->early) {
            struct pcap_segment *g = s->early;

            s->early = g->next;
            free(g);
        }
        free(s->bytes);
        free(s);
    }
}
