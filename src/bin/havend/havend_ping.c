/* SPDX-License-Identifier: Apache-2.0 */
/* ICMP to the ping nodes (heartbeat §5.4).  The engine writes and checks the payload; the answer is
 * known by our id. */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "havend.h"
#include "hv_endian.h"

enum { HOSTS_MAX = 64, PACKET_BYTES = 4096, ICMP_BYTES = 8 };

struct ping_host {
    unsigned ping;
    struct sockaddr_storage at;
};

struct ping_socket {
    struct havend *h;
    bool v6;
    int fd;
    struct loop_op op;
    struct sockaddr_storage from;
    struct iovec iov;
    struct msghdr msg;
    uint8_t bytes[PACKET_BYTES];
};

struct havend_pings {
    struct ping_socket socket[2];
    size_t n_hosts;
    struct ping_host host[HOSTS_MAX];
    uint16_t id, seq;
};

static bool same_host(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
    if (a->ss_family != b->ss_family)
        return false;
    if (a->ss_family == AF_INET)
        return ((const struct sockaddr_in *)(const void *)a)->sin_addr.s_addr ==
               ((const struct sockaddr_in *)(const void *)b)->sin_addr.s_addr;
    return !memcmp(&((const struct sockaddr_in6 *)(const void *)a)->sin6_addr,
        &((const struct sockaddr_in6 *)(const void *)b)->sin6_addr, 16);
}

static void reply_arrived(struct ping_socket *s, const uint8_t *b, size_t n)
{
    struct havend_pings *p = s->h->pings;
    uint8_t reply = s->v6 ? ICMP6_ECHO_REPLY : ICMP_ECHOREPLY;
    uint16_t id;

    if (!s->v6) { /* the raw socket gives the IP header too */
        size_t header = n ? (size_t)(b[0] & 15) * 4 : 0;
        if (n < header || header < 20)
            return;
        b += header;
        n -= header;
    }
    if (n <= ICMP_BYTES || b[0] != reply)
        return;
    memcpy(&id, b + 4, 2);
    if (id != p->id)
        return;
    for (size_t i = 0; i < p->n_hosts; i++) {
        struct cluster_event ev = {.type = CLUSTER_EV_PING_REPLY};
        if (!same_host(&p->host[i].at, &s->from))
            continue;
        ev.ping_reply.ping = p->host[i].ping;
        ev.ping_reply.bytes = b + ICMP_BYTES;
        ev.ping_reply.length = n - ICMP_BYTES;
        havend_cluster_tell(s->h, ev);
        return;
    }
}

static void receive(struct ping_socket *s);

static void received(struct loop_op *op, int result)
{
    struct ping_socket *s = hv_container_of(op, struct ping_socket, op);

    if (result == -ECANCELED)
        return;
    if (result > 0)
        reply_arrived(s, s->bytes, (size_t)result);
    if (s->fd >= 0)
        receive(s);
}

static void receive(struct ping_socket *s)
{
    s->iov = (struct iovec){s->bytes, sizeof s->bytes};
    s->msg = (struct msghdr){
        .msg_name = &s->from, .msg_namelen = sizeof s->from, .msg_iov = &s->iov, .msg_iovlen = 1};
    s->op.done = received;
    loop_recvmsg(s->h->loop, &s->op, s->fd, &s->msg, 0);
}

static uint16_t checksum(const uint8_t *b, size_t n)
{
    uint32_t sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += (uint32_t)b[i] << (i % 2 ? 0 : 8);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

void havend_pings_send(struct havend *h, unsigned ping, const uint8_t *bytes, size_t length)
{
    struct havend_pings *p = h->pings;
    uint8_t b[PACKET_BYTES] = {0};

    if (length + ICMP_BYTES > sizeof b)
        return;
    p->seq++;
    for (size_t i = 0; i < p->n_hosts; i++) {
        bool v6 = p->host[i].at.ss_family == AF_INET6;
        if (p->host[i].ping != ping || p->socket[v6].fd < 0)
            continue;
        b[0] = v6 ? ICMP6_ECHO_REQUEST : ICMP_ECHO;
        b[1] = b[2] = b[3] = 0;
        memcpy(b + 4, &p->id, 2);
        hv_store_be16(b + 6, p->seq);
        memcpy(b + ICMP_BYTES, bytes, length);
        if (!v6) /* version 6: the kernel does it */
            hv_store_be16(b + 2, checksum(b, length + ICMP_BYTES));
        (void)!sendto(p->socket[v6].fd, b, length + ICMP_BYTES, MSG_DONTWAIT,
            (struct sockaddr *)&p->host[i].at,
            v6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in));
    }
}

static void add_host(struct havend *h, unsigned ping, const char *name)
{
    struct havend_pings *p = h->pings;
    struct addrinfo hints = {.ai_socktype = SOCK_RAW}, *found = NULL;
    int rc = getaddrinfo(name, NULL, &hints, &found);

    if (rc || p->n_hosts == HOSTS_MAX) {
        hv_log(&h->log, HV_LOG_ERROR, "ping node %s: %s", name,
            rc ? gai_strerror(rc) : "too many hosts");
    } else {
        p->host[p->n_hosts].ping = ping;
        memcpy(&p->host[p->n_hosts].at, found->ai_addr, found->ai_addrlen);
        p->n_hosts++;
    }
    if (found)
        freeaddrinfo(found);
}

int havend_pings_open(struct havend *h, struct hv_diag *diag)
{
    const struct conf_cluster *c = h->conf->cluster;

    h->pings = calloc(1, sizeof *h->pings);
    if (!h->pings)
        return HV_ENOMEM;
    h->pings->id = (uint16_t)getpid();
    h->pings->socket[0].fd = h->pings->socket[1].fd = -1;
    for (size_t i = 0; i < c->n_pings; i++)
        for (size_t k = 0; k < c->pings[i].n_hosts; k++)
            add_host(h, (unsigned)i, c->pings[i].hosts[k]);
    for (size_t v6 = 0; v6 < 2; v6++) {
        struct ping_socket *s = &h->pings->socket[v6];
        bool needed = false;
        for (size_t i = 0; i < h->pings->n_hosts; i++)
            needed |= (h->pings->host[i].at.ss_family == AF_INET6) == v6;
        if (!needed)
            continue;
        s->h = h;
        s->v6 = v6;
        s->fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK,
            v6 ? (int)IPPROTO_ICMPV6 : (int)IPPROTO_ICMP);
        if (s->fd < 0) {
            hv_diag_set(diag, "no raw socket for the ping nodes: %s", strerror(errno));
            return HV_EPERM;
        }
        receive(s);
    }
    return HV_OK;
}

void havend_pings_close(struct havend *h)
{
    if (!h->pings)
        return;
    for (size_t i = 0; i < 2; i++) {
        struct ping_socket *s = &h->pings->socket[i];
        int fd = s->fd;
        s->fd = -1;
        loop_cancel(h->loop, &s->op);
        while (s->op.pending)
            loop_turn(h->loop, 10);
        if (fd >= 0)
            close(fd);
    }
    free(h->pings);
    h->pings = NULL;
}
