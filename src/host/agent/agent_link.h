/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AGENT_LINK_H
#define AGENT_LINK_H
/* Addresses on interfaces, and what the neighbours say about them. */
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "hv_error.h"

struct agent_ip {
    bool v6;
    union {
        struct in_addr v4;
        struct in6_addr six;
    };
    uint8_t prefix;
};

struct agent_link {
    char name[16];
    int index;
    uint8_t mac[6];
    bool has_mac; /* Ethernet, and may be asked by ARP */
    bool up, carrier;
};

bool agent_ip_parse(const char *text, struct agent_ip *out);
bool agent_ip_equal(const struct agent_ip *a, const struct agent_ip *b);

/* The interface by name; HV_ENOENT. */
int agent_link_get(const char *name, struct agent_link *out);
/* The interface that has an address of the same network; its prefix too, when ip->prefix is 0.
 * HV_ENOENT when there is none. */
int agent_link_for(struct agent_ip *ip, struct agent_link *out);
/* Which interface has the address, and with what prefix (may be NULL); false when none. */
bool agent_link_holding(const struct agent_ip *ip, struct agent_link *out, uint8_t *prefix);

/* Asks the network for wait_ms whether somebody has the address (ARP probes, RFC 5227; neighbour
 * solicitation, RFC 4862 §5.4).  true: yes, and who. */
bool agent_neighbour_has(
    const struct agent_link *link, const struct agent_ip *ip, uint32_t wait_ms, uint8_t mac[6]);
/* Tells everybody that we have it now: request and reply form of gratuitous ARP, or unsolicited NA. */
void agent_neighbours_tell(const struct agent_link *link, const struct agent_ip *ip);

#endif
