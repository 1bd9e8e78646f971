/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DUO_CLUSTER_H
#define DUO_CLUSTER_H
/* Two cluster engines in one process, under a virtual clock, with a network that can be cut, a service
 * that can fail, and an invariant: no group runs on both nodes (unless a test expects it). */
#include <stdbool.h>
#include <stdint.h>

#include "cluster.h"
#include "hv_prng.h"

enum { ALPHA, BETA, DUO_NODES };
enum { DUO_GROUPS = 2, DUO_GA = 0, DUO_GB = 1, DUO_MEDIA = 2, DUO_PACKETS = 4096, DUO_WORKS = 64 };

/* What is really there, on each node, of each group. */
enum duo_service { DUO_STOPPED, DUO_STARTING, DUO_RUNNING, DUO_STOPPING, DUO_STUCK };

struct duo_packet {
    uint64_t at_ms;
    bool used, ping;
    int to;
    unsigned medium; /* or the ping node */
    size_t length;
    uint8_t bytes[1600];
};

struct duo_work {
    uint64_t at_ms;
    bool used;
    int node;
    unsigned group;
    enum cluster_service what;
};

struct duo_node {
    struct cluster *c;
    struct cluster_effects *fx;
    uint64_t generation;
    enum duo_service service[DUO_GROUPS];
    bool fail_start[DUO_GROUPS], fail_stop[DUO_GROUPS]; /* the next ones, until cleared */
    bool frozen, stopped, paused;
    bool ping_cut;
    unsigned acquires[DUO_GROUPS], releases[DUO_GROUPS];
    unsigned fences, witness_asks, tickles, tickle_connections;
    char outdate_asked[CLUSTER_NAME_BYTES];
    int outdate_answer; /* 0: none yet */
};

struct duo {
    struct cluster_config cfg; /* alpha's; beta's is its mirror */
    struct hb_keys keys;
    uint64_t now_ms;
    struct hv_prng rng;
    struct duo_node node[DUO_NODES];
    bool cut[DUO_NODES][DUO_MEDIA]; /* packets from this node on this medium are lost */
    unsigned loss_percent, duplicate_percent;
    uint64_t delay_ms, jitter_ms, start_ms, stop_ms;
    bool dual_allowed;
    uint64_t dual_since_ms, dual_ms; /* how long a group ran on both nodes, all in all */
    uint64_t idle_ms[DUO_GROUPS];    /* how long a group ran on no node since duo_watch() */
    bool print; /* the engines' logs, to stderr; set by DUO_PRINT in the environment */
    struct duo_packet packet[DUO_PACKETS];
    struct duo_work work[DUO_WORKS];
    /* What went over the wire, for replays. */
    struct duo_packet recorded[DUO_PACKETS];
    unsigned recorded_count;
    bool record;
};

/* keepalive 1 s, deadtime 5 s, initdead 10 s, two groups: "ga" prefers alpha, "gb" beta.  Change d->cfg before
 * the first duo_start(). */
struct duo *duo_new(void);
void duo_free(struct duo *d);

void duo_start(struct duo *d, int node); /* a new process */
void duo_kill(struct duo *d, int node);  /* node and all its services are gone */
/* Only the daemon dies: its services go on. */
void duo_kill_daemon(struct duo *d, int node);
void duo_pause(struct duo *d, int node, bool paused); /* does not run; packets wait */
void duo_cut(struct duo *d, bool cut);                /* every medium, both ways */
void duo_run(struct duo *d, uint64_t ms);
/* Runs until `node` runs `group`; fails the test after limit_ms.  Returns the time it took. */
uint64_t duo_until_running(struct duo *d, int node, unsigned group, uint64_t limit_ms);
int duo_admin(struct duo *d, int node, enum cluster_admin command, enum cluster_scope scope);
int duo_move(struct duo *d, int node, unsigned group, enum cluster_node to);
void duo_event(struct duo *d, int node, struct cluster_event *ev);
void duo_volume(struct duo *d, int node, struct cluster_volume_state state);
/* A packet as it came in from the other node. */
void duo_inject(struct duo *d, int node, const uint8_t *bytes, size_t length);
void duo_watch(struct duo *d);

bool duo_runs(const struct duo *d, int node, unsigned group);
const struct cluster_status *duo_status(struct duo *d, int node);
/* "ga@alpha gb@beta": what runs where; "-" for nowhere, "both". */
const char *duo_where(const struct duo *d);

#endif
