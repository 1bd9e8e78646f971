/* SPDX-License-Identifier: Apache-2.0 */
#include "agent_link.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hv_text.h"

bool agent_ip_parse(const char *text, struct agent_ip *out)
{
    memset(out, 0, sizeof *out);
    if (inet_pton(AF_INET, text, &out->v4) == 1)
        return true;
    out->v6 = true;
    return inet_pton(AF_INET6, text, &out->six) == 1;
}

bool agent_ip_equal(const struct agent_ip *a, const struct agent_ip *b)
{
    return a->v6 == b->v6 && !memcmp(&a->v4, &b->v4, a->v6 ? 16 : 4);
}

int agent_link_get(const char *name, struct agent_link *out)
{
    struct ifreq req = {0};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int rc = HV_ENOENT;

    memset(out, 0, sizeof *out);
    if (fd < 0)
        return HV_EIO;
    hv_strcopy(out->name, sizeof out->name, name);
    hv_strcopy(req.ifr_name, sizeof req.ifr_name, name);
    out->index = (int)if_nametoindex(name);
    if (!out->index || ioctl(fd, SIOCGIFFLAGS, &req))
        goto out;
    out->up = req.ifr_flags & IFF_UP;
    bool running = req.ifr_flags & IFF_RUNNING;
    bool askable = !(req.ifr_flags & (IFF_NOARP | IFF_LOOPBACK));
    if (!ioctl(fd, SIOCGIFHWADDR, &req) && req.ifr_hwaddr.sa_family == ARPHRD_ETHER && askable) {
        memcpy(out->mac, req.ifr_hwaddr.sa_data, 6);
        out->has_mac = true;
    }
    /* IFF_RUNNING follows the carrier up to a second later; not every driver answers directly. */
    struct ethtool_value link = {.cmd = ETHTOOL_GLINK};
    req.ifr_data = (void *)&link;
    out->carrier = ioctl(fd, SIOCETHTOOL, &req) ? running : link.data != 0;
    rc = HV_OK;
out:
    close(fd);
    return rc;
}

static bool ifaddr_ip(const struct ifaddrs *a, struct agent_ip *ip)
{
    memset(ip, 0, sizeof *ip);
    if (!a->ifa_addr)
        return false;
    if (a->ifa_addr->sa_family == AF_INET) {
        ip->v4 = ((const struct sockaddr_in *)(const void *)a->ifa_addr)->sin_addr;
        return true;
    }
    ip->v6 = true;
    if (a->ifa_addr->sa_family != AF_INET6)
        return false;
    ip->six = ((const struct sockaddr_in6 *)(const void *)a->ifa_addr)->sin6_addr;
    return true;
}

static uint8_t mask_bits(const struct sockaddr *mask, bool v6)
{
    const uint8_t *b;
    uint8_t n = 0;

    if (!mask)
        return v6 ? 128 : 32;
    b = v6 ? ((const struct sockaddr_in6 *)(const void *)mask)->sin6_addr.s6_addr
           : (const uint8_t *)&((const struct sockaddr_in *)(const void *)mask)->sin_addr;
    for (int i = 0; i < (v6 ? 16 : 4); i++)
        n = (uint8_t)(n + __builtin_popcount(b[i]));
    return n;
}

static bool same_net(const struct agent_ip *a, const struct agent_ip *b, uint8_t bits)
{
    const uint8_t *x = (const uint8_t *)&a->v4, *y = (const uint8_t *)&b->v4;

    if (a->v6 != b->v6)
        return false;
    if (memcmp(x, y, bits / 8))
        return false;
    uint8_t mask = (uint8_t)(0xff00 >> bits % 8);
    return !(bits % 8) || !((x[bits / 8] ^ y[bits / 8]) & mask);
}

int agent_link_for(struct agent_ip *ip, struct agent_link *out)
{
    struct ifaddrs *all;
    int best = -1;
    char name[IFNAMSIZ] = "";

    if (getifaddrs(&all))
        return HV_EIO;
    for (const struct ifaddrs *a = all; a; a = a->ifa_next) {
        struct agent_ip has;
        if (!ifaddr_ip(a, &has) || (a->ifa_flags & IFF_LOOPBACK))
            continue;
        uint8_t bits = mask_bits(a->ifa_netmask, has.v6);
        if ((int)bits > best && same_net(ip, &has, bits) && !agent_ip_equal(ip, &has)) {
            best = bits;
            hv_strcopy(name, sizeof name, a->ifa_name);
        }
    }
    freeifaddrs(all);
    if (best < 0)
        return HV_ENOENT;
    if (!ip->prefix)
        ip->prefix = (uint8_t)best;
    name[strcspn(name, ":")] = 0; /* a label is not an interface */
    return agent_link_get(name, out);
}

bool agent_link_holding(const struct agent_ip *ip, struct agent_link *out, uint8_t *prefix)
{
    struct ifaddrs *all;
    char name[IFNAMSIZ] = "";

    if (getifaddrs(&all))
        return false;
    for (const struct ifaddrs *a = all; a; a = a->ifa_next) {
        struct agent_ip has;
        if (!ifaddr_ip(a, &has) || !agent_ip_equal(ip, &has))
            continue;
        hv_strcopy(name, sizeof name, a->ifa_name);
        if (prefix)
            *prefix = mask_bits(a->ifa_netmask, has.v6);
    }
    freeifaddrs(all);
    name[strcspn(name, ":")] = 0;
    return name[0] && !agent_link_get(name, out);
}
