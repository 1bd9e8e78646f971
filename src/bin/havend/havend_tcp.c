/* SPDX-License-Identifier: Apache-2.0 */
/* Which clients are connected to our service addresses: asked of the kernel (sock_diag(7)) several times
 * a second, since a connection that died with us before the other node knew it gets no tickle ACK from
 * there; told to the cluster engine, which shares them with the other node. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "havend.h"

enum { EVERY_MS = 200, REPEAT = 50, REPLY_BYTES = 32768 };

struct group_list {
    bool held; /* by this node */
    unsigned count, told_count, age;
    struct cluster_tcp list[CLUSTER_TCP_MAX], told[CLUSTER_TCP_MAX];
};

struct havend_tcp {
    struct havend *h;
    int fd;
    int family; /* asked for now */
    struct loop_timer timer;
    struct loop_op op;
    size_t n_groups;
    struct group_list *group;
    uint8_t reply[REPLY_BYTES] __attribute__((aligned(8)));
};

static void ask(struct havend_tcp *t, int family);

static bool is_service_address(const struct conf_service *s, const struct cluster_tcp *c)
{
    for (size_t i = 0; i < s->n_items; i++) {
        uint8_t ip[16];
        const struct conf_address *a = &s->items[i].address;
        if (s->items[i].kind == CONF_ITEM_ADDRESS && a->ipv6 == (c->family == 6) &&
            inet_pton(a->ipv6 ? AF_INET6 : AF_INET, a->ip, ip) == 1 &&
            !memcmp(ip, c->server, a->ipv6 ? 16 : 4))
            return true;
    }
    return false;
}

static void connection_seen(struct havend_tcp *t, const struct inet_diag_msg *d)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    struct cluster_tcp c;

    memset(&c, 0, sizeof c); /* lists are compared byte by byte */
    c.family = d->idiag_family == AF_INET6 ? 6 : 4;
    c.server_port = ntohs(d->id.idiag_sport);
    c.client_port = ntohs(d->id.idiag_dport);

    /* A server that listens for both families sees IPv4 clients so. */
    size_t skip = c.family == 6 && !memcmp(d->id.idiag_src, mapped, 12) ? 12 : 0;
    if (skip)
        c.family = 4;
    memcpy(c.server, (const uint8_t *)d->id.idiag_src + skip, c.family == 6 ? 16 : 4);
    memcpy(c.client, (const uint8_t *)d->id.idiag_dst + skip, c.family == 6 ? 16 : 4);
    for (size_t g = 0; g < t->n_groups; g++) {
        struct group_list *l = &t->group[g];
        if (l->count < CLUSTER_TCP_MAX && is_service_address(&t->h->conf->services[g], &c))
            l->list[l->count++] = c;
    }
}

static void tell(struct havend_tcp *t)
{
    for (size_t g = 0; g < t->n_groups; g++) {
        struct group_list *l = &t->group[g];
        struct cluster_event ev = {.type = CLUSTER_EV_TCP};
        bool same =
            l->count == l->told_count && !memcmp(l->list, l->told, l->count * sizeof l->list[0]);
        if (!l->held)
            continue;
        if (same && (!l->count || ++l->age < REPEAT))
            continue;
        l->age = 0;
        l->told_count = l->count;
        memcpy(l->told, l->list, l->count * sizeof l->list[0]);
        ev.tcp.group = (unsigned)g;
        ev.tcp.list = l->told;
        ev.tcp.count = l->told_count;
        havend_cluster_tell(t->h, ev);
        if (!same)
            havend_clients_save(t->h, g, l->told, l->told_count);
    }
}

/* true: that was the last part. */
static bool take_reply(struct havend_tcp *t, int length)
{
    for (const struct nlmsghdr *m = (const void *)t->reply; NLMSG_OK(m, (unsigned)length);
         m = NLMSG_NEXT(m, length)) {
        if (m->nlmsg_type == NLMSG_DONE || m->nlmsg_type == NLMSG_ERROR)
            return true;
        if (m->nlmsg_type == SOCK_DIAG_BY_FAMILY &&
            m->nlmsg_len >= NLMSG_LENGTH(sizeof(struct inet_diag_msg)))
            connection_seen(t, NLMSG_DATA(m));
    }
    return false;
}

static void receive(struct havend_tcp *t)
{
    loop_recv(t->h->loop, &t->op, t->fd, t->reply, sizeof t->reply, 0);
}

static void received(struct loop_op *op, int result)
{
    struct havend_tcp *t = hv_container_of(op, struct havend_tcp, op);

    if (result == -ECANCELED)
        return;
    if (result > 0 && !take_reply(t, result)) {
        receive(t);
        return;
    }
    if (t->family == AF_INET) {
        ask(t, AF_INET6);
        return;
    }
    tell(t);
    loop_timer_arm(t->h->loop, &t->timer, loop_clock_ms() + EVERY_MS);
}

static void ask(struct havend_tcp *t, int family)
{
    struct {
        struct nlmsghdr head;
        struct inet_diag_req_v2 body;
    } request = {
        .head = {.nlmsg_len = sizeof request,
            .nlmsg_type = SOCK_DIAG_BY_FAMILY,
            .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
        .body = {.sdiag_family = (uint8_t)family,
            .sdiag_protocol = IPPROTO_TCP,
            .idiag_states = 1 << TCP_ESTABLISHED},
    };

    t->family = family;
    if (send(t->fd, &request, sizeof request, MSG_DONTWAIT) < 0)
        loop_timer_arm(t->h->loop, &t->timer, loop_clock_ms() + EVERY_MS);
    else
        receive(t);
}

static void timer_fired(struct loop_timer *timer)
{
    static struct cluster_status st; /* large; one thread */
    struct havend_tcp *t = hv_container_of(timer, struct havend_tcp, timer);
    bool any = false;

    cluster_status_get(t->h->cluster, loop_clock_ms(), &st);
    for (size_t g = 0; g < t->n_groups && g < st.groups; g++) {
        struct group_list *l = &t->group[g];
        l->held = st.group[g].state[CLUSTER_ME] == CLUSTER_GROUP_HELD;
        any |= l->held;
        l->count = 0;
        if (!l->held)
            l->told_count = l->age = 0;
    }
    if (any)
        ask(t, AF_INET);
    else
        loop_timer_arm(t->h->loop, &t->timer, loop_clock_ms() + EVERY_MS);
}

int havend_tcp_open(struct havend *h, struct hv_diag *diag)
{
    struct havend_tcp *t = calloc(1, sizeof *t);

    (void)diag;
    if (!t)
        return HV_ENOMEM;
    h->tcp = t;
    t->h = h;
    t->op.done = received;
    t->timer.fired = timer_fired;
    t->n_groups = h->conf->n_services;
    t->group = calloc(t->n_groups + 1, sizeof *t->group);
    t->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    if (!t->group)
        return HV_ENOMEM;
    if (t->fd < 0)
        hv_log(&h->log, HV_LOG_WARN, "no list of clients: %s; there will be no tickle ACKs",
            strerror(errno));
    else
        loop_timer_arm(h->loop, &t->timer, loop_clock_ms() + EVERY_MS);
    return HV_OK;
}

void havend_tcp_close(struct havend *h)
{
    struct havend_tcp *t = h->tcp;

    if (!t)
        return;
    loop_timer_disarm(h->loop, &t->timer);
    loop_cancel(h->loop, &t->op);
    while (t->op.pending)
        loop_turn(h->loop, 10);
    if (t->fd >= 0)
        close(t->fd);
    free(t->group);
    free(t);
    h->tcp = NULL;
}
