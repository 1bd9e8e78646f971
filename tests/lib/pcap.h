/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PCAP_H
#define PCAP_H
/* Reads captures (classic pcap, Ethernet or Linux cooked, IPv4; *.gz through gzip) for tests, and puts
 * TCP streams together in order.  Not for hostile input: a broken file ends the walk. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PCAP_ICMP = 1, PCAP_TCP = 6, PCAP_UDP = 17 };

struct pcap {
    uint8_t *bytes;
    size_t length, at;
    uint32_t link_type;
};

struct pcap_packet {
    uint64_t time_us;
    uint8_t protocol;
    uint32_t src, dst; /* IPv4, host order */
    uint16_t src_port, dst_port;
    uint32_t tcp_seq;
    bool tcp_syn, tcp_fin, tcp_rst;
    const uint8_t *payload; /* borrowed from the struct pcap */
    size_t length;
};

/* 0, or -1 when the file cannot be read. */
int pcap_open(struct pcap *p, const char *path);
void pcap_close(struct pcap *p);
/* The next IPv4 packet; false at the end. */
bool pcap_next(struct pcap *p, struct pcap_packet *out);

/* One direction of one TCP connection. */
struct pcap_stream {
    struct pcap_stream *next;
    uint32_t src, dst;
    uint16_t src_port, dst_port;
    uint32_t next_seq;
    bool started, from_syn; /* from_syn: its beginning was captured */
    uint8_t *bytes;         /* what has arrived in order and was not consumed */
    size_t length, capacity;
    struct pcap_segment *early; /* came before what precedes them */
    int user_number;            /* the test's own */
    void *user;
};

struct pcap_tcp {
    struct pcap_stream *streams; /* newest first */
};

/* Adds a TCP packet and returns its stream (with more bytes in it or not); a SYN begins a new one. */
struct pcap_stream *pcap_tcp_add(struct pcap_tcp *t, const struct pcap_packet *packet);
void pcap_stream_consume(struct pcap_stream *s, size_t length);
void pcap_tcp_free(struct pcap_tcp *t);

#endif
