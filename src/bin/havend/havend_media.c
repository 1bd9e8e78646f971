/* SPDX-License-Identifier: Apache-2.0 */
/* Heartbeats over UDP (heartbeat §3): what the engine sends goes out on every medium, what comes in on
 * one goes to the engine with the medium's number. */
#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "havend.h"

enum { REOPEN_MS = 1000, FAILURES_SAID = 10 };

struct medium {
    struct havend *h;
    unsigned index;
    const struct conf_medium *conf;
    bool mine; /* names this very node: nothing to send, nothing to hear */
    int send_fd, recv_fd;
    struct sockaddr_storage to;
    socklen_t to_length;
    struct loop_op recv_op;
    struct loop_timer reopen;
    unsigned failures;
    bool said;
    uint8_t bytes[HB_MSG_BYTES_MAX];
};

struct havend_media {
    size_t n;
    struct medium medium[CLUSTER_MEDIA_MAX];
};

static bool is_v6(const struct conf_medium *c)
{
    return c->kind == CONF_MEDIUM_UCAST6 || c->kind == CONF_MEDIUM_MCAST6;
}

static bool is_mcast(const struct conf_medium *c)
{
    return c->kind == CONF_MEDIUM_MCAST || c->kind == CONF_MEDIUM_MCAST6;
}

static void receive(struct medium *m);

static void received(struct loop_op *op, int result)
{
    struct medium *m = hv_container_of(op, struct medium, recv_op);

    if (result == -ECANCELED)
        return;
    if (result > 0) {
        struct cluster_event ev = {.type = CLUSTER_EV_PACKET};
        ev.packet.medium = m->index;
        ev.packet.bytes = m->bytes;
        ev.packet.length = (size_t)result;
        havend_cluster_tell(m->h, ev);
    }
    if (m->recv_fd >= 0)
        receive(m);
}

static void receive(struct medium *m)
{
    m->recv_op.done = received;
    loop_recv(m->h->loop, &m->recv_op, m->recv_fd, m->bytes, sizeof m->bytes, 0);
}

static bool set(int fd, int level, int option, int value)
{
    return !setsockopt(fd, level, option, &value, sizeof value);
}

static int socket_new(const struct conf_medium *c)
{
    int fd = socket(is_v6(c) ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return -errno;
    set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (is_v6(c))
        set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    if (c->device[0] &&
        setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, c->device, (socklen_t)strlen(c->device) + 1)) {
        int error = errno;
        close(fd);
        return -error;
    }
    return fd;
}

/* Of an interface: its broadcast address. */
static int broadcast_of(int fd, const char *device, struct in_addr *to)
{
    struct ifreq req = {0};

    hv_strcopy(req.ifr_name, sizeof req.ifr_name, device);
    if (ioctl(fd, SIOCGIFBRDADDR, &req))
        return -errno;
    *to = ((struct sockaddr_in *)(void *)&req.ifr_broadaddr)->sin_addr;
    return 0;
}

static int destination(struct medium *m, int fd)
{
    const struct conf_medium *c = m->conf;

    memset(&m->to, 0, sizeof m->to);
    if (is_v6(c)) {
        struct sockaddr_in6 *to = (struct sockaddr_in6 *)(void *)&m->to;
        *to = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(c->port)};
        to->sin6_scope_id = c->device[0] ? if_nametoindex(c->device) : 0;
        m->to_length = sizeof *to;
        return inet_pton(AF_INET6, c->address, &to->sin6_addr) == 1 ? 0 : -EINVAL;
    }
    struct sockaddr_in *to = (struct sockaddr_in *)(void *)&m->to;
    *to = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(c->port)};
    m->to_length = sizeof *to;
    if (c->kind == CONF_MEDIUM_BCAST)
        return broadcast_of(fd, c->device, &to->sin_addr);
    return inet_pton(AF_INET, c->address, &to->sin_addr) == 1 ? 0 : -EINVAL;
}

static void set_multicast(struct medium *m, int fd)
{
    const struct conf_medium *c = m->conf;
    int index = (int)if_nametoindex(c->device);

    if (is_v6(c)) {
        set(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, index);
        set(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, c->ttl);
        set(fd, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, c->loop);
        return;
    }
    struct ip_mreqn by = {.imr_ifindex = index};
    (void)setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &by, sizeof by);
    set(fd, IPPROTO_IP, IP_MULTICAST_TTL, c->ttl);
    set(fd, IPPROTO_IP, IP_MULTICAST_LOOP, c->loop);
}

static int open_send(struct medium *m)
{
    int fd = socket_new(m->conf);

    if (fd < 0)
        return fd;
    set(fd, IPPROTO_IP, IP_TOS, IPTOS_LOWDELAY);
    if (m->conf->kind == CONF_MEDIUM_BCAST)
        set(fd, SOL_SOCKET, SO_BROADCAST, 1);
    if (is_mcast(m->conf))
        set_multicast(m, fd);
    int rc = destination(m, fd);
    if (rc) {
        close(fd);
        return rc;
    }
    return fd;
}

static int open_receive(struct medium *m)
{
    const struct conf_medium *c = m->conf;
    struct sockaddr_storage at = m->to; /* a group is bound to, so that other groups stay away */
    int fd = socket_new(c), rc = 0;

    if (fd < 0)
        return fd;
    if (!is_mcast(c) && is_v6(c))
        ((struct sockaddr_in6 *)(void *)&at)->sin6_addr = in6addr_any;
    else if (!is_mcast(c))
        ((struct sockaddr_in *)(void *)&at)->sin_addr.s_addr = INADDR_ANY;
    if (bind(fd, (struct sockaddr *)&at, m->to_length))
        rc = -errno;
    if (!rc && c->kind == CONF_MEDIUM_MCAST) {
        struct ip_mreqn join = {.imr_ifindex = (int)if_nametoindex(c->device),
            .imr_multiaddr = ((struct sockaddr_in *)(void *)&m->to)->sin_addr};
        rc = setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &join, sizeof join) ? -errno : 0;
    } else if (!rc && c->kind == CONF_MEDIUM_MCAST6) {
        struct ipv6_mreq join = {.ipv6mr_interface = if_nametoindex(c->device),
            .ipv6mr_multiaddr = ((struct sockaddr_in6 *)(void *)&m->to)->sin6_addr};
        rc = setsockopt(fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, &join, sizeof join) ? -errno : 0;
    }
    if (rc) {
        close(fd);
        return rc;
    }
    return fd;
}

/* Two directives for one interface and port would each get some of the packets. */
static bool heard_elsewhere(const struct medium *m)
{
    const struct havend_media *all = m->h->media;

    for (size_t i = 0; i < m->index; i++) {
        const struct conf_medium *other = all->medium[i].conf;
        if (!is_mcast(m->conf) && !is_mcast(other) && is_v6(m->conf) == is_v6(other) &&
            !all->medium[i].mine && other->port == m->conf->port &&
            !strcmp(other->device, m->conf->device))
            return true;
    }
    return false;
}

static void medium_open(struct medium *m)
{
    int rc = m->send_fd >= 0 ? m->send_fd : open_send(m);

    if (rc >= 0) {
        m->send_fd = rc;
        if (m->recv_fd < 0 && !heard_elsewhere(m)) {
            rc = open_receive(m);
            if (rc >= 0) {
                m->recv_fd = rc;
                receive(m);
            }
        }
    }
    if (rc >= 0) {
        m->said = false;
        return;
    }
    if (!m->said)
        hv_log(&m->h->log, HV_LOG_ERROR, "medium %s %s: %s; trying again each second",
            m->conf->device, m->conf->address, strerror(-rc));
    m->said = true;
    loop_timer_arm(m->h->loop, &m->reopen, loop_clock_ms() + REOPEN_MS);
}

static void reopen_fired(struct loop_timer *t)
{
    medium_open(hv_container_of(t, struct medium, reopen));
}

static bool names_me(const struct conf_medium *c)
{
    struct ifaddrs *all;
    char text[INET6_ADDRSTRLEN];
    bool mine = false;

    if ((c->kind != CONF_MEDIUM_UCAST && c->kind != CONF_MEDIUM_UCAST6) || getifaddrs(&all))
        return false;
    for (const struct ifaddrs *a = all; a; a = a->ifa_next) {
        if (!a->ifa_addr)
            continue;
        const void *ip =
            a->ifa_addr->sa_family == AF_INET
                ? (const void *)&((struct sockaddr_in *)(void *)a->ifa_addr)->sin_addr
                : (const void *)&((struct sockaddr_in6 *)(void *)a->ifa_addr)->sin6_addr;
        if ((a->ifa_addr->sa_family == AF_INET || a->ifa_addr->sa_family == AF_INET6) &&
            inet_ntop(a->ifa_addr->sa_family, ip, text, sizeof text))
            mine |= !strcmp(text, c->address);
    }
    freeifaddrs(all);
    return mine;
}

int havend_media_open(struct havend *h, struct hv_diag *diag)
{
    const struct conf_cluster *c = h->conf->cluster;

    h->media = calloc(1, sizeof *h->media);
    if (!h->media)
        return HV_ENOMEM;
    if (c->n_media > CLUSTER_MEDIA_MAX) {
        hv_diag_set(diag, "%zu media; at most %d are possible", c->n_media, CLUSTER_MEDIA_MAX);
        return HV_EINVAL;
    }
    for (size_t i = 0; i < c->n_media; i++) {
        struct medium *m = &h->media->medium[h->media->n++];
        *m = (struct medium){
            .h = h, .index = (unsigned)i, .conf = &c->media[i], .send_fd = -1, .recv_fd = -1};
        m->reopen.fired = reopen_fired;
        m->mine = names_me(m->conf);
        if (m->conf->kind == CONF_MEDIUM_SERIAL) {
            hv_log(&h->log, HV_LOG_ERROR, "serial medium %s: not supported; it is left out",
                m->conf->device);
            m->mine = true;
        }
        if (!m->mine)
            medium_open(m);
    }
    return HV_OK;
}

void havend_media_send(struct havend *h, uint32_t medium, const uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < h->media->n; i++) {
        struct medium *m = &h->media->medium[i];
        if ((medium != CLUSTER_ALL_MEDIA && medium != i) || m->mine || m->send_fd < 0)
            continue;
        if (sendto(m->send_fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL,
                (struct sockaddr *)&m->to, m->to_length) >= 0) {
            m->failures = 0;
            continue;
        }
        if (++m->failures == FAILURES_SAID) {
            struct cluster_event ev = {.type = CLUSTER_EV_LINK_ERROR};
            hv_log(&h->log, HV_LOG_ERROR, "Is a cable unplugged on %s? (%s)", m->conf->device,
                strerror(errno));
            ev.link_error.medium = (unsigned)i;
            havend_cluster_tell(h, ev);
        }
    }
}

void havend_media_close(struct havend *h)
{
    if (!h->media)
        return;
    for (size_t i = 0; i < h->media->n; i++) {
        struct medium *m = &h->media->medium[i];
        int fd = m->recv_fd;
        m->recv_fd = -1;
        loop_timer_disarm(h->loop, &m->reopen);
        loop_cancel(h->loop, &m->recv_op);
        while (m->recv_op.pending)
            loop_turn(h->loop, 10);
        if (fd >= 0)
            close(fd);
        if (m->send_fd >= 0)
            close(m->send_fd);
    }
    free(h->media);
    h->media = NULL;
}
