/* SPDX-License-Identifier: Apache-2.0 */
/* A service address. */
#include <errno.h>
#include <arpa/inet.h>
#include <linux/if_addr.h>
#include <net/if.h>
#include <netlink/netlink.h>
#include <netlink/route/addr.h>
#include <ifaddrs.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent.h"
#include "agent_link.h"
#include "agent_util.h"

enum { DAD_MS = 120 };

/* Which interface and how long the network part is: what the words leave open, the routes say. */
static int resolve(const struct agent_request *r, struct agent_ip *ip, struct agent_link *link,
    struct hv_diag *diag)
{
    const char *text = agent_get(r, "ip"), *device = agent_get(r, "device");

    if (!agent_ip_parse(text, ip)) {
        hv_diag_set(diag, "'%s' is not an IP address", text);
        return AGENT_USAGE;
    }
    ip->prefix = (uint8_t)agent_number(r, "prefix", 0);
    if (*device) {
        struct agent_link routed;
        if (agent_link_get(device, link)) {
            hv_diag_set(diag, "there is no interface %s for the address %s", device, text);
            return AGENT_ERROR;
        }
        if (!ip->prefix)
            (void)agent_link_for(ip, &routed); /* for the prefix alone */
    } else if (agent_link_for(ip, link)) {
        hv_diag_set(diag,
            "no interface has an address in the network of %s; name one, as in %s/24/eth0", text,
            text);
        return AGENT_ERROR;
    }
    if (!ip->prefix)
        ip->prefix = ip->v6 ? 128 : 32;
    return AGENT_OK;
}

/* "eth0:0" for label "0"; the first free number for "auto". */
static void make_label(char to[IFNAMSIZ], const char *device, const char *label)
{
    struct ifaddrs *all;

    to[0] = 0;
    if (!*label)
        return;
    if (strcmp(label, "auto")) {
        snprintf(to, IFNAMSIZ, "%.9s:%.5s", device, label);
        return;
    }
    if (getifaddrs(&all))
        return;
    for (unsigned n = 0; n < 1000; n++) {
        bool used = false;
        snprintf(to, IFNAMSIZ, "%.9s:%u", device, n);
        for (const struct ifaddrs *a = all; a; a = a->ifa_next)
            used |= !strcmp(a->ifa_name, to);
        if (!used)
            break;
    }
    freeifaddrs(all);
}

static int change(const struct agent_ip *ip, const struct agent_link *link, const char *label,
    const char *broadcast, bool add)
{
    struct nl_sock *sock = nl_socket_alloc();
    struct rtnl_addr *addr = rtnl_addr_alloc();
    struct nl_addr *local = nl_addr_build(ip->v6 ? AF_INET6 : AF_INET, &ip->v4, ip->v6 ? 16 : 4);
    struct nl_addr *brd = NULL;
    int rc = -NLE_NOMEM;

    if (!sock || !addr || !local)
        goto out;
    nl_addr_set_prefixlen(local, ip->prefix);
    rtnl_addr_set_ifindex(addr, link->index);
    rtnl_addr_set_local(addr, local);
    if (add && label[0])
        rtnl_addr_set_label(addr, label);
    if (add && !ip->v6 && ip->prefix < 31) {
        uint32_t host = ip->prefix ? UINT32_MAX >> ip->prefix : UINT32_MAX;
        struct in_addr b = {ip->v4.s_addr | htonl(host)};
        if (*broadcast)
            (void)!inet_pton(AF_INET, broadcast, &b);
        brd = nl_addr_build(AF_INET, &b, sizeof b);
        if (brd)
            rtnl_addr_set_broadcast(addr, brd);
    }
    if (ip->v6) /* we have asked the network ourselves, and will not wait a second for the kernel */
        rtnl_addr_set_flags(addr, IFA_F_NODAD);
    rc = nl_connect(sock, NETLINK_ROUTE);
    if (!rc)
        rc = add ? rtnl_addr_add(sock, addr, NLM_F_CREATE | NLM_F_EXCL)
                 : rtnl_addr_delete(sock, addr, 0);
out:
    nl_addr_put(brd);
    nl_addr_put(local);
    rtnl_addr_put(addr);
    nl_socket_free(sock);
    return rc;
}

/* Switches and clients lose the first frame now and then, and learn nothing until the next. */
static void keep_telling(const struct agent_link *link, const struct agent_ip *ip)
{
    static const uint32_t pauses_ms[] = {100, 400, 500, 1000, 1000};

    agent_neighbours_tell(link, ip);
    if (!link->has_mac || !agent_leave_behind())
        return;
    for (size_t i = 0; i < sizeof pauses_ms / sizeof pauses_ms[0]; i++) {
        struct agent_link holder;
        agent_sleep_ms(pauses_ms[i]);
        if (!agent_link_holding(ip, &holder, NULL) || holder.index != link->index)
            break; /* given up meanwhile: it is somebody else's now */
        agent_neighbours_tell(link, ip);
    }
    _exit(0);
}

static int address_start(const struct agent_request *r, const struct agent_ip *ip,
    const struct agent_link *link, struct hv_diag *diag)
{
    const char *text = agent_get(r, "ip");
    char label[IFNAMSIZ];
    struct agent_link holder;
    uint8_t mac[6];

    if (!link->up || !link->carrier) {
        hv_diag_set(diag, "%s is %s: the address %s would be reached by nobody", link->name,
            link->up ? "without carrier" : "down", text);
        return AGENT_ERROR;
    }
    if (agent_link_holding(ip, &holder, NULL)) {
        if (holder.index != link->index) {
            hv_diag_set(diag, "the address %s is on %s already, and should be on %s", text,
                holder.name, link->name);
            return AGENT_ERROR;
        }
        keep_telling(link, ip);
        return AGENT_OK;
    }
    if (agent_neighbour_has(link, ip, agent_number(r, "dad_ms", DAD_MS), mac)) {
        hv_diag_set(diag,
            "the address %s is in use: %02x:%02x:%02x:%02x:%02x:%02x answers for it on %s", text,
            mac[0], mac[1], mac[2], mac[3], mac[4], mac[5], link->name);
        return AGENT_ERROR;
    }
    make_label(label, link->name, agent_get(r, "label"));
    int rc = change(ip, link, label, agent_get(r, "broadcast"), true);
    if (rc && rc != -NLE_EXIST) {
        hv_diag_set(
            diag, "cannot add %s/%u to %s: %s", text, ip->prefix, link->name, nl_geterror(rc));
        return AGENT_ERROR;
    }
    keep_telling(link, ip);
    return AGENT_OK;
}

/* Wherever it is: an address on the wrong interface answers as well as on the right one. */
static int address_stop(const struct agent_request *r, struct agent_ip *ip, struct hv_diag *diag)
{
    struct agent_link holder;

    while (agent_link_holding(ip, &holder, &ip->prefix)) {
        int rc = change(ip, &holder, "", "", false);
        if (rc && rc != -NLE_NOADDR) {
            hv_diag_set(diag, "cannot remove %s from %s: %s", agent_get(r, "ip"), holder.name,
                nl_geterror(rc));
            return AGENT_ERROR;
        }
    }
    return AGENT_OK;
}

static int address_monitor(
    const struct agent_request *r, const struct agent_ip *ip, struct hv_diag *diag)
{
    struct agent_link holder;

    if (!agent_link_holding(ip, &holder, NULL))
        return AGENT_NOT_RUNNING;
    if (holder.up && holder.carrier)
        return AGENT_OK;
    hv_diag_set(diag, "%s is on %s, which is %s", agent_get(r, "ip"), holder.name,
        holder.up ? "without carrier" : "down");
    return AGENT_ERROR;
}

int agent_address(const struct agent_request *r, enum agent_action action, struct hv_diag *diag)
{
    struct agent_ip ip;
    struct agent_link link;

    if (action != AGENT_START) {
        if (!agent_ip_parse(agent_get(r, "ip"), &ip)) {
            hv_diag_set(diag, "'%s' is not an IP address", agent_get(r, "ip"));
            return AGENT_USAGE;
        }
        return action == AGENT_STOP ? address_stop(r, &ip, diag) : address_monitor(r, &ip, diag);
    }
    int rc = resolve(r, &ip, &link, diag);
    return rc ? rc : address_start(r, &ip, &link, diag);
}
