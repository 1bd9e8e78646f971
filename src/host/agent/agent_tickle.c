/* SPDX-License-Identifier: Apache-2.0 */
/* Tickle ACKs.  A client whose reply died with the server has nothing to send again, and would wait
 * until TCP's keepalive (often hours).  A segment that its connection did not expect makes it answer
 * with an ACK; the new server knows no such connection and resets it; the client connects anew. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent.h"
#include "agent_link.h"
#include "agent_util.h"
#include "hv_endian.h"
#include "hv_text.h"

enum {
    CONNECTIONS_MAX = 256,
    FILE_BYTES = 32768,
    TCP_BYTES = 20,
    TCP_ACK = 0x10,
    PROTOCOL_TCP = 6
};

struct connection {
    struct agent_ip service, client;
    uint16_t service_port, client_port;
};

static bool parse(const char *text, struct connection *c)
{
    char service[64], client[64];
    unsigned service_port, client_port;

    if (sscanf(text, "%63[^,],%u,%63[^,],%u", service, &service_port, client, &client_port) != 4 ||
        service_port > UINT16_MAX || client_port > UINT16_MAX)
        return false;
    c->service_port = (uint16_t)service_port;
    c->client_port = (uint16_t)client_port;
    return agent_ip_parse(service, &c->service) && agent_ip_parse(client, &c->client) &&
           c->service.v6 == c->client.v6;
}

static uint32_t add_words(uint32_t sum, const uint8_t *b, size_t n)
{
    for (size_t i = 0; i < n; i += 2)
        sum += hv_load_be16(b + i);
    return sum;
}

static uint16_t fold(uint32_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

static size_t build(const struct connection *c, uint8_t b[60])
{
    size_t ip = c->service.v6 ? 40 : 20, address = c->service.v6 ? 16 : 4;
    uint8_t *tcp = b + ip, *from = b + (c->service.v6 ? 8 : 12);

    memset(b, 0, 60);
    memcpy(from, &c->service.v4, address);
    memcpy(from + address, &c->client.v4, address);
    if (c->service.v6) {
        b[0] = 0x60;
        hv_store_be16(b + 4, TCP_BYTES);
        b[6] = PROTOCOL_TCP;
        b[7] = 64;
    } else {
        b[0] = 0x45;
        hv_store_be16(b + 2, 20 + TCP_BYTES);
        b[8] = 64;
        b[9] = PROTOCOL_TCP;
        hv_store_be16(b + 10, fold(add_words(0, b, 20)));
    }
    hv_store_be16(tcp, c->service_port);
    hv_store_be16(tcp + 2, c->client_port);
    tcp[12] = 5 << 4;
    tcp[13] = TCP_ACK;
    hv_store_be16(tcp + 14, 1234);
    uint32_t sum = add_words(PROTOCOL_TCP + TCP_BYTES, from, 2 * address);
    hv_store_be16(tcp + 16, fold(add_words(sum, tcp, TCP_BYTES)));
    return ip + TCP_BYTES;
}

static void send_one(int v4, int v6, const struct connection *c)
{
    uint8_t b[60];
    size_t n = build(c, b);

    if (c->service.v6) {
        struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_addr = c->client.six};
        (void)!sendto(v6, b, n, MSG_DONTWAIT, (struct sockaddr *)&to, sizeof to);
    } else {
        struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr = c->client.v4};
        (void)!sendto(v4, b, n, MSG_DONTWAIT, (struct sockaddr *)&to, sizeof to);
    }
}

/* One connection a line, as agent_clients_save() wrote them. */
static size_t read_file(const struct agent_request *r, char *text, const char **words, size_t max)
{
    char path[AGENT_PATH_BYTES], *save = NULL;
    size_t n = 0;

    if (!*agent_get(r, "file") || !agent_path(path, r, agent_get(r, "file")) ||
        agent_read_file(path, text, FILE_BYTES) <= 0)
        return 0;
    for (char *line = strtok_r(text, "\n", &save); line && n < max;
         line = strtok_r(NULL, "\n", &save))
        words[n++] = line;
    return n;
}

int agent_clients_save(const struct agent_request *r, struct hv_diag *diag)
{
    const char *words[CONNECTIONS_MAX];
    size_t n = agent_all(r, "connection", words, CONNECTIONS_MAX);
    struct hv_text text = {0};
    char path[AGENT_PATH_BYTES];
    int rc = -ENAMETOOLONG;

    for (size_t i = 0; i < n; i++)
        hv_text_addf(&text, "%s\n", words[i]);
    if (agent_path(path, r, agent_get(r, "file")))
        rc = text.failed ? -ENOMEM : agent_write_file(path, hv_text_str(&text));
    hv_text_free(&text);
    if (!rc)
        return AGENT_OK;
    hv_diag_set(diag, "cannot remember the clients in %.300s: %s", path, strerror(-rc));
    return AGENT_ERROR;
}

int agent_tickle(const struct agent_request *r, struct hv_diag *diag)
{
    static const uint32_t pauses_ms[] = {0, 200, 800};
    static char text[FILE_BYTES];
    const char *words[CONNECTIONS_MAX];
    size_t n = agent_all(r, "connection", words, CONNECTIONS_MAX);

    n += read_file(r, text, words + n, CONNECTIONS_MAX - n);
    if (!n)
        return AGENT_OK;
    int v4 = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
    int v6 = socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);

    if (v4 < 0) {
        hv_diag_set(diag, "no raw socket for tickle ACKs: %s", strerror(errno));
        if (v6 >= 0)
            close(v6);
        return AGENT_ERROR;
    }
    for (size_t round = 0; round < sizeof pauses_ms / sizeof pauses_ms[0]; round++) {
        agent_sleep_ms(pauses_ms[round]);
        for (size_t i = 0; i < n; i++) {
            struct connection c;
            if (parse(words[i], &c))
                send_one(v4, v6, &c);
        }
    }
    close(v4);
    if (v6 >= 0)
        close(v6);
    hv_diag_set(diag, "tickled %zu connections of clients", n);
    return AGENT_OK;
}
