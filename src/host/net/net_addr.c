/* SPDX-License-Identifier: Apache-2.0 */
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "hv_text.h"
#include "net.h"

int net_addr_parse(const char *host, uint16_t port, struct net_addr *out, struct hv_diag *diag)
{
    char name[256], service[8];
    const struct addrinfo hints = {
        .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
    struct addrinfo *found;
    size_t n = strlen(host);
    bool brackets = n > 2 && host[0] == '[' && host[n - 1] == ']';

    if (!hv_strcopy(name, sizeof name, brackets ? host + 1 : host)) {
        hv_diag_set(diag, "address too long");
        return HV_EINVAL;
    }
    if (brackets)
        name[n - 2] = 0;
    snprintf(service, sizeof service, "%u", port);
    int rv = getaddrinfo(name, service, &hints, &found);
    if (rv) {
        hv_diag_set(diag, "'%s' is no IPv4 or IPv6 address: %s", host, gai_strerror(rv));
        return HV_EINVAL;
    }
    memset(out, 0, sizeof *out);
    memcpy(&out->sa, found->ai_addr, found->ai_addrlen);
    out->length = found->ai_addrlen;
    freeaddrinfo(found);
    return HV_OK;
}

void net_addr_format(const struct net_addr *addr, char *to, size_t capacity)
{
    char host[128], service[16];

    if (getnameinfo((const struct sockaddr *)&addr->sa, addr->length, host, sizeof host, service,
            sizeof service, NI_NUMERICHOST | NI_NUMERICSERV))
        hv_strcopy(to, capacity, "?");
    else
        snprintf(to, capacity, addr->sa.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, service);
}
