/* SPDX-License-Identifier: Apache-2.0 */
/* Our engine in the place of a captured Heartbeat, ct75 of live.pcap: it hears what ct74 said then, at the
 * time when it was said, and must hold what ct75 held: its own after the start; everything when ct74 goes
 * standby; nothing when ct74 takes over; everything when ct74 is killed; and still everything when ct74
 * comes back, when the link is cut, and when ct74 restarts itself after the partition. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cluster.h"
#include "pcap.h"
#include "test_digest.h"

enum { DONE_MAX = 64 };

struct replay {
    struct cluster *c;
    struct cluster_effects fx;
    uint64_t now_ms, wall_s;
    unsigned acquires, releases;
    char history[512]; /* rscstatus, each time it changed, without "transition" */
};

static struct hb_keys keys;

static void history_add(struct replay *r, const char *held)
{
    const char *last = strrchr(r->history, ' ');

    last = last ? last + 1 : r->history;
    if (strcmp(held, "transition") == 0 || strcmp(last, held) == 0)
        return;
    if (r->history[0])
        strcat(r->history, " ");
    strcat(r->history, held);
}

/* Services start and stop at once. */
static void step(struct replay *r, struct cluster_event *ev)
{
    static struct cluster_status status;
    unsigned group[DONE_MAX], count = 0;
    bool start[DONE_MAX];

    ev->now_ms = r->now_ms;
    ev->wall_s = r->wall_s;
    cluster_step(r->c, ev, &r->fx);
    for (unsigned i = 0; i < r->fx.count && count < DONE_MAX; i++) {
        const struct cluster_effect *e = &r->fx.list[i];

        if (e->type != CLUSTER_FX_ACQUIRE && e->type != CLUSTER_FX_RELEASE)
            continue;
        start[count] = e->type == CLUSTER_FX_ACQUIRE;
        group[count++] = e->group;
    }
    for (unsigned i = 0; i < count; i++) {
        struct cluster_event done = {.type = CLUSTER_EV_SERVICE};

        r->acquires += start[i];
        r->releases += !start[i];
        done.service.group = group[i];
        done.service.what = start[i] ? CLUSTER_SERVICE_STARTED : CLUSTER_SERVICE_STOPPED;
        step(r, &done);
    }
    cluster_status_get(r->c, r->now_ms, &status);
    history_add(r, status.held);
}

static void time_pass(struct replay *r, uint64_t until_ms)
{
    while (cluster_next_timeout(r->c) <= until_ms) {
        uint64_t next = cluster_next_timeout(r->c);

        r->now_ms = next > r->now_ms ? next : r->now_ms;
        step(r, &(struct cluster_event){.type = CLUSTER_EV_TICK});
    }
    r->now_ms = until_ms;
}

static struct cluster_config config(void)
{
    struct cluster_config cfg = {
        .me = "ct75",
        .peer = "ct74",
        .media = {{"eth0"}},
        .media_count = 1,
        .groups = {{"IPaddr::192.168.137.82/24/eth0", CLUSTER_PEER}},
        .groups_count = 1,
        .keepalive_ms = 1000,
        .warntime_ms = 2000,
        .deadtime_ms = 5000,
        .initdead_ms = 10000,
        .hopfudge = 1,
        .keys = &keys,
        .digest = &test_digest_ops,
    };
    return cfg;
}

/* Seconds from the first packet: the link is cut from 93.9 to 106; after 115 ct74 starts anew and relies on
 * the captured ct75 having done so too. */
static bool heard(double at_s)
{
    return at_s < 93.9 || (at_s >= 106.0 && at_s < 115.0);
}

static void replay_run(struct replay *r, struct pcap *pcap)
{
    /* Packets for ct75 name its uuid. */
    static const uint8_t uuid[HB_UUID_BYTES] = {0x69, 0xc7, 0xaa, 0x6d, 0x0b, 0x89, 0x43, 0x56,
        0xbb, 0xde, 0xc3, 0x21, 0xa0, 0xa6, 0xb0, 0x43};
    struct cluster_event start = {.type = CLUSTER_EV_START};
    struct pcap_packet p;
    uint64_t first_us = 0;

    start.start.generation = 1;
    memcpy(start.start.uuid, uuid, sizeof uuid);
    while (pcap_next(pcap, &p)) {
        struct cluster_event ev = {.type = CLUSTER_EV_PACKET};

        if (p.protocol != PCAP_UDP || p.dst_port != 694 || p.src != 0xc0a8894a)
            continue;
        r->wall_s = p.time_us / 1000000;
        if (!first_us) {
            first_us = p.time_us;
            r->now_ms = 1000;
            step(r, &start);
        }
        if (!heard((double)(p.time_us - first_us) / 1e6))
            continue;
        time_pass(r, 1000 + (p.time_us - first_us) / 1000);
        ev.packet.bytes = p.payload;
        ev.packet.length = p.length;
        step(r, &ev);
    }
}

static void as_ct75(void **state)
{
    static struct replay r;
    static struct cluster_status status;
    struct cluster_config cfg = config();
    const char *path = getenv("CAPTURE");
    struct hv_diag diag;
    struct pcap pcap;

    keys.active = 1;
    keys.key[1] = (struct hb_key){HB_METHOD_SHA1, 5, "HA_DB"};
    if (!path || pcap_open(&pcap, path) != 0)
        fail_msg("cannot read the capture");
    assert_int_equal(cluster_create(&cfg, &r.c, &diag), 0);
    replay_run(&r, &pcap);
    pcap_close(&pcap);
    assert_string_equal(r.history, "none local all none all");
    assert_int_equal(r.acquires, 2); /* standby, death */
    assert_int_equal(r.releases, 1); /* takeover; none after the partition */
    cluster_status_get(r.c, r.now_ms, &status);
    assert_int_equal(status.packets_bad, 0);
    cluster_destroy(r.c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_ct75),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
