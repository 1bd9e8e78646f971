/* SPDX-License-Identifier: Apache-2.0 */
/* hb_node ME PEER PEER-ADDRESS PORT SECRET GENERATION FAILBACK GROUP@NODE…: the cluster engine on a UDP
 * socket, with services that start and stop at once; for tests against a real Heartbeat.  Reads commands
 * from standard input (standby SCOPE, takeover SCOPE, shutdown, quit) and says what happens on standard
 * output, one line each. */
#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "cluster.h"
#include "test_digest.h"

static struct cluster *cluster;
static struct cluster_config config;
static struct cluster_effects effects;
static struct hb_keys keys;
static struct sockaddr_in peer;
static int sock;

static uint64_t now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void log_write(void *arg, enum hv_log_level level, const char *line)
{
    printf("%llu log %s: %s\n", (unsigned long long)now_ms(), hv_log_level_name(level), line);
}

static void step(struct cluster_event *ev);

static void service_answer(unsigned group, enum cluster_service what)
{
    struct cluster_event ev = {.type = CLUSTER_EV_SERVICE};

    ev.service.group = group;
    ev.service.what = what;
    step(&ev);
}

static void step(struct cluster_event *ev)
{
    static struct cluster_status status;
    unsigned answers[CLUSTER_EFFECTS_MAX], count = 0;
    enum cluster_service what[CLUSTER_EFFECTS_MAX];

    ev->now_ms = now_ms();
    ev->wall_s = (uint64_t)time(NULL);
    if (cluster_step(cluster, ev, &effects) != 0)
        printf("refused\n");
    for (unsigned i = 0; i < effects.count; i++) {
        const struct cluster_effect *e = &effects.list[i];

        if (e->type == CLUSTER_FX_SEND) {
            sendto(sock, e->send.bytes, e->send.length, 0, (struct sockaddr *)&peer, sizeof peer);
        } else if (e->type == CLUSTER_FX_ACQUIRE || e->type == CLUSTER_FX_RELEASE) {
            printf("%llu %s %s\n", (unsigned long long)now_ms(),
                e->type == CLUSTER_FX_ACQUIRE ? "start" : "stop", config.groups[e->group].key);
            what[count] =
                e->type == CLUSTER_FX_ACQUIRE ? CLUSTER_SERVICE_STARTED : CLUSTER_SERVICE_STOPPED;
            answers[count++] = e->group;
        } else if (e->type == CLUSTER_FX_STOPPED) {
            printf("stopped\n");
            exit(0);
        }
    }
    cluster_status_get(cluster, now_ms(), &status);
    if (effects.count)
        printf("%llu held %s peer %s\n", (unsigned long long)now_ms(), status.held,
            status.node[CLUSTER_PEER].status);
    for (unsigned i = 0; i < count; i++)
        service_answer(answers[i], what[i]);
}

static void command(char *line)
{
    struct cluster_event ev = {.type = CLUSTER_EV_ADMIN};
    char *verb = strtok(line, " \n"), *word = strtok(NULL, " \n");

    if (!verb || strcmp(verb, "quit") == 0)
        exit(0);
    ev.admin.scope = !word || strcmp(word, "all") == 0 ? CLUSTER_ALL
                     : strcmp(word, "local") == 0      ? CLUSTER_LOCAL
                                                       : CLUSTER_FOREIGN;
    ev.admin.command = strcmp(verb, "standby") == 0    ? CLUSTER_ADMIN_STANDBY
                       : strcmp(verb, "takeover") == 0 ? CLUSTER_ADMIN_TAKEOVER
                                                       : CLUSTER_ADMIN_SHUTDOWN;
    step(&ev);
}

static void configure(int argc, char **argv)
{
    static struct hv_log log = {log_write, NULL};
    struct hv_diag diag = {""};

    snprintf(config.me, sizeof config.me, "%s", argv[1]);
    snprintf(config.peer, sizeof config.peer, "%s", argv[2]);
    keys.active = 1;
    keys.key[1].method = HB_METHOD_SHA1;
    keys.key[1].secret_bytes = (uint16_t)strlen(argv[5]);
    memcpy(keys.key[1].secret, argv[5], strlen(argv[5]));
    config.media_count = 1;
    strcpy(config.media[0].name, "eth0");
    config.keepalive_ms = 500;
    config.warntime_ms = 2000;
    config.deadtime_ms = 4000;
    config.initdead_ms = 10000;
    config.hopfudge = 1;
    config.failback = strcmp(argv[7], "on") == 0 ? CLUSTER_FAILBACK_ON : CLUSTER_FAILBACK_OFF;
    for (int i = 8; i < argc; i++) {
        char *at = strchr(argv[i], '@');

        *at = 0;
        snprintf(config.groups[config.groups_count].key, CLUSTER_NAME_BYTES, "%s", argv[i]);
        config.groups[config.groups_count++].prefer =
            strcmp(at + 1, config.me) == 0 ? CLUSTER_ME : CLUSTER_PEER;
    }
    config.keys = &keys;
    config.digest = &test_digest_ops;
    config.log = &log;
    if (cluster_create(&config, &cluster, &diag) != 0) {
        fprintf(stderr, "%s\n", diag.text);
        exit(2);
    }
}

static void socket_open(const char *address, unsigned port)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};

    peer = any;
    if (inet_pton(AF_INET, address, &peer.sin_addr) != 1 ||
        (sock = socket(AF_INET, SOCK_DGRAM, 0)) < 0 ||
        bind(sock, (struct sockaddr *)&any, sizeof any) != 0) {
        perror("socket");
        exit(2);
    }
}

int main(int argc, char **argv)
{
    struct cluster_event start = {.type = CLUSTER_EV_START};

    if (argc < 9)
        return 2;
    setvbuf(stdout, NULL, _IOLBF, 0);
    configure(argc, argv);
    socket_open(argv[3], (unsigned)atoi(argv[4]));
    start.start.generation = strtoull(argv[6], NULL, 10);
    memset(start.start.uuid, 'h', sizeof start.start.uuid);
    step(&start);
    for (;;) {
        struct pollfd fds[2] = {{.fd = sock, .events = POLLIN}, {.fd = 0, .events = POLLIN}};
        uint64_t now = now_ms(), next = cluster_next_timeout(cluster);
        char line[128];
        uint8_t bytes[65536];

        poll(fds, 2, next <= now ? 0 : next - now > 10000 ? 10000 : (int)(next - now));
        if (fds[0].revents) {
            struct cluster_event ev = {.type = CLUSTER_EV_PACKET};
            ssize_t n = recv(sock, bytes, sizeof bytes, 0);

            ev.packet.bytes = bytes;
            ev.packet.length = n > 0 ? (size_t)n : 0;
            if (n > 0)
                step(&ev);
        }
        if (fds[1].revents && fgets(line, sizeof line, stdin))
            command(line);
        else if (fds[1].revents)
            return 0;
        step(&(struct cluster_event){.type = CLUSTER_EV_TICK});
    }
}
