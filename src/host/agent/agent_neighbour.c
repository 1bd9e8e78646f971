/* SPDX-License-Identifier: Apache-2.0 */
/* ARP (RFC 826, 5227) and neighbour discovery (RFC 4861) by packet socket: the kernel neither asks
 * before an address is ours nor speaks for it often enough afterwards. */
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent_link.h"
#include "agent_util.h"
#include "hv_endian.h"

enum { ARP_BYTES = 28, ARP_REQUEST = 1, ARP_REPLY = 2, ND_BYTES = 40 + 32, PROBES = 3 };

static const uint8_t nobody[6], everybody[6] = {255, 255, 255, 255, 255, 255};

static int packet_socket(const struct agent_link *link, uint16_t protocol)
{
    struct sockaddr_ll at = {
        .sll_family = AF_PACKET, .sll_protocol = htons(protocol), .sll_ifindex = link->index};
    int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, htons(protocol));

    if (fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof at)) {
        close(fd);
        return -1;
    }
    return fd;
}

static void packet_send(int fd, const struct agent_link *link, uint16_t protocol,
    const uint8_t mac[6], const void *bytes, size_t length)
{
    struct sockaddr_ll to = {.sll_family = AF_PACKET,
        .sll_protocol = htons(protocol),
        .sll_ifindex = link->index,
        .sll_halen = 6};

    memcpy(to.sll_addr, mac, 6);
    /* Nobody can do anything about a frame that is not sent; the next one follows soon. */
    (void)!sendto(fd, bytes, length, MSG_DONTWAIT, (struct sockaddr *)&to, sizeof to);
}

static void arp_send(int fd, const struct agent_link *link, uint16_t operation,
    const uint8_t sender[4], const uint8_t target[4])
{
    uint8_t b[ARP_BYTES] = {0, 1, 8, 0, 6, 4, 0, (uint8_t)operation};

    memcpy(b + 8, link->mac, 6);
    memcpy(b + 14, sender, 4);
    memcpy(b + 18, operation == ARP_REPLY ? everybody : nobody, 6);
    memcpy(b + 24, target, 4);
    packet_send(fd, link, ETH_P_ARP, everybody, b, sizeof b);
}

/* A packet that another machine sends from that address, or one that probes for it as we do. */
static bool arp_conflicts(
    const uint8_t *b, size_t n, const struct agent_link *link, const uint8_t ip[4], uint8_t mac[6])
{
    static const uint8_t zero[4];

    if (n < ARP_BYTES || hv_load_be16(b + 2) != ETH_P_IP || !memcmp(b + 8, link->mac, 6))
        return false;
    bool from = !memcmp(b + 14, ip, 4);
    bool probes = !memcmp(b + 14, zero, 4) && !memcmp(b + 24, ip, 4) && b[7] == ARP_REQUEST;
    memcpy(mac, b + 8, 6);
    return from || probes;
}

static uint16_t icmp6_sum(const uint8_t *packet, size_t length)
{
    uint32_t sum = (uint32_t)length + 58;

    for (size_t i = 8; i < 40; i += 2)
        sum += hv_load_be16(packet + i);
    for (size_t i = 0; i < length; i += 2)
        sum += hv_load_be16(packet + 40 + i);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

static void nd_send(
    int fd, const struct agent_link *link, const struct in6_addr *ip, bool advertise)
{
    uint8_t b[ND_BYTES] = {0x60};
    uint8_t to_mac[6] = {0x33, 0x33, 0, 0, 0, 1};
    size_t length = advertise ? 32 : 24; /* a probe carries no address of its sender */

    hv_store_be16(b + 4, (uint16_t)length);
    b[6] = 58;
    b[7] = 255;
    b[24] = 0xff;
    b[25] = 2;
    b[39] = 1; /* ff02::1 */
    if (advertise) {
        memcpy(b + 8, ip, 16);
        b[40] = 136;
        b[44] = 0x20; /* override */
        b[64] = 2;    /* target link-layer address */
        b[65] = 1;
        memcpy(b + 66, link->mac, 6);
    } else { /* to the solicited-node group of the address */
        b[35] = 1;
        b[36] = 0xff;
        memcpy(b + 37, ip->s6_addr + 13, 3);
        to_mac[2] = 0xff;
        memcpy(to_mac + 3, ip->s6_addr + 13, 3);
        b[40] = 135;
    }
    memcpy(b + 48, ip, 16);
    hv_store_be16(b + 42, icmp6_sum(b, length));
    packet_send(fd, link, ETH_P_IPV6, to_mac, b, 40 + length);
}

static bool nd_conflicts(const uint8_t *b, size_t n, const struct in6_addr *ip)
{
    return n >= 64 && b[6] == 58 && b[40] == 136 && !memcmp(b + 48, ip, 16);
}

bool agent_neighbour_has(
    const struct agent_link *link, const struct agent_ip *ip, uint32_t wait_ms, uint8_t mac[6])
{
    static const uint8_t zero[4];
    uint16_t protocol = ip->v6 ? ETH_P_IPV6 : ETH_P_ARP;
    uint64_t start_ms = agent_clock_ms(), end_ms = start_ms + wait_ms;
    uint32_t sent = 0;
    bool found = false;

    if (!link->has_mac || !wait_ms)
        return false;
    int fd = packet_socket(link, protocol);
    if (fd < 0)
        return false;
    while (!found) {
        uint64_t now_ms = agent_clock_ms();
        if (now_ms >= end_ms)
            break;
        uint64_t next_ms = start_ms + (uint64_t)wait_ms * sent / (PROBES + 1);
        if (sent < PROBES && now_ms >= next_ms) {
            if (ip->v6)
                nd_send(fd, link, &ip->six, false);
            else
                arp_send(fd, link, ARP_REQUEST, zero, (const uint8_t *)&ip->v4);
            next_ms = start_ms + (uint64_t)wait_ms * ++sent / (PROBES + 1);
        }
        uint64_t until_ms = sent < PROBES && next_ms < end_ms ? next_ms : end_ms;
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (poll(&p, 1, until_ms > now_ms ? (int)(until_ms - now_ms) : 0) <= 0)
            continue;
        uint8_t b[256];
        struct sockaddr_ll from = {0};
        socklen_t from_length = sizeof from;
        ssize_t n = recvfrom(fd, b, sizeof b, 0, (struct sockaddr *)&from, &from_length);
        if (n <= 0 || from.sll_pkttype == PACKET_OUTGOING)
            continue;
        if (ip->v6 && nd_conflicts(b, (size_t)n, &ip->six)) {
            memcpy(mac, from.sll_addr, 6);
            found = true;
        } else if (!ip->v6) {
            found = arp_conflicts(b, (size_t)n, link, (const uint8_t *)&ip->v4, mac);
        }
    }
    close(fd);
    return found;
}

void agent_neighbours_tell(const struct agent_link *link, const struct agent_ip *ip)
{
    if (!link->has_mac)
        return;
    int fd = packet_socket(link, ip->v6 ? ETH_P_IPV6 : ETH_P_ARP);
    if (fd < 0)
        return;
    const uint8_t *v4 = (const uint8_t *)&ip->v4;
    if (ip->v6) {
        nd_send(fd, link, &ip->six, true);
    } else {
        arp_send(fd, link, ARP_REQUEST, v4, v4);
        arp_send(fd, link, ARP_REPLY, v4, v4);
    }
    close(fd);
}
