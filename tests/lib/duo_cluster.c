/* SPDX-License-Identifier: Apache-2.0 */
#include "duo_cluster.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "test_digest.h"

static const char *const names[DUO_NODES] = {"alpha", "beta"};
static const char *const keys_of_groups[DUO_GROUPS] = {"ga::1", "gb::2"};

struct log_arg {
    struct duo *d;
    int node;
};
static struct log_arg log_args[DUO_NODES];
static struct hv_log logs[DUO_NODES];

static void log_write(void *arg, enum hv_log_level level, const char *line)
{
    const struct log_arg *a = arg;

    if (a->d->print)
        fprintf(stderr, "%10.3f %-5s %-6s %s\n", (double)a->d->now_ms / 1e3, names[a->node],
            hv_log_level_name(level), line);
}

struct duo *duo_new(void)
{
    struct duo *d = calloc(1, sizeof *d);

    assert_non_null(d);
    d->now_ms = 1000000;
    d->print = getenv("DUO_PRINT") != NULL;
    d->delay_ms = 1;
    d->start_ms = 50;
    d->stop_ms = 50;
    d->dual_since_ms = CLUSTER_NEVER;
    hv_prng_seed(&d->rng, 1);
    d->keys.active = 1;
    d->keys.key[1] =
        (struct hb_key){.method = HB_METHOD_SHA1, .secret_bytes = 6, .secret = "sekret"};
    strcpy(d->cfg.me, names[ALPHA]);
    strcpy(d->cfg.peer, names[BETA]);
    d->cfg.media_count = 1;
    strcpy(d->cfg.media[0].name, "eth0");
    strcpy(d->cfg.media[1].name, "eth1");
    strcpy(d->cfg.pings[0].name, "10.0.0.1");
    d->cfg.groups_count = DUO_GROUPS;
    for (int g = 0; g < DUO_GROUPS; g++) {
        strcpy(d->cfg.groups[g].key, keys_of_groups[g]);
        d->cfg.groups[g].prefer = g == DUO_GA ? CLUSTER_ME : CLUSTER_PEER;
    }
    d->cfg.keepalive_ms = 1000;
    d->cfg.deadtime_ms = 5000;
    d->cfg.warntime_ms = 2500;
    d->cfg.initdead_ms = 10000;
    d->cfg.hopfudge = 1;
    d->cfg.keys = &d->keys;
    d->cfg.digest = &test_digest_ops;
    for (int n = 0; n < DUO_NODES; n++) {
        d->node[n].fx = malloc(sizeof *d->node[n].fx);
        assert_non_null(d->node[n].fx);
        log_args[n] = (struct log_arg){d, n};
        logs[n] = (struct hv_log){log_write, &log_args[n]};
    }
    return d;
}

void duo_free(struct duo *d)
{
    for (int n = 0; n < DUO_NODES; n++) {
        cluster_destroy(d->node[n].c);
        free(d->node[n].fx);
    }
    free(d);
}

/* ---- the network ---- */

static void packet_queue(
    struct duo *d, bool ping, int to, unsigned medium, const uint8_t *bytes, size_t length)
{
    uint64_t extra = d->jitter_ms ? hv_prng_below(&d->rng, d->jitter_ms) : 0;

    assert_true(length <= sizeof d->packet[0].bytes);
    for (int i = 0; i < DUO_PACKETS; i++) {
        struct duo_packet *p = &d->packet[i];

        if (p->used)
            continue;
        *p = (struct duo_packet){.at_ms = d->now_ms + d->delay_ms + extra,
            .used = true,
            .ping = ping,
            .to = to,
            .medium = medium,
            .length = length};
        memcpy(p->bytes, bytes, length);
        return;
    }
    fail_msg("too many packets under way");
}

static void packet_send(struct duo *d, int from, unsigned medium, const uint8_t *b, size_t length)
{
    if (d->record && d->recorded_count < DUO_PACKETS) {
        struct duo_packet *p = &d->recorded[d->recorded_count++];

        p->to = !from;
        p->length = length;
        memcpy(p->bytes, b, length);
    }
    if (d->cut[from][medium] || hv_prng_below(&d->rng, 100) < d->loss_percent)
        return;
    packet_queue(d, false, !from, medium, b, length);
    if (hv_prng_below(&d->rng, 100) < d->duplicate_percent)
        packet_queue(d, false, !from, medium, b, length);
}

/* ---- the service ---- */

static void work_queue(
    struct duo *d, int node, unsigned group, enum cluster_service what, uint64_t ms)
{
    for (int i = 0; i < DUO_WORKS; i++)
        if (!d->work[i].used) {
            d->work[i] = (struct duo_work){d->now_ms + ms, true, node, group, what};
            return;
        }
    fail_msg("too much work under way");
}

static void work_forget(struct duo *d, int node, int group)
{
    for (int i = 0; i < DUO_WORKS; i++)
        if (d->work[i].node == node && (group < 0 || d->work[i].group == (unsigned)group))
            d->work[i].used = false;
}

static void acquire(struct duo *d, int node, unsigned group)
{
    struct duo_node *n = &d->node[node];

    n->acquires[group]++;
    if (n->service[group] == DUO_RUNNING) {
        work_queue(d, node, group, CLUSTER_SERVICE_STARTED, 0);
        return;
    }
    n->service[group] = DUO_STARTING;
    work_queue(d, node, group,
        n->fail_start[group] ? CLUSTER_SERVICE_START_FAILED : CLUSTER_SERVICE_STARTED, d->start_ms);
}

static void release(struct duo *d, int node, unsigned group)
{
    struct duo_node *n = &d->node[node];

    n->releases[group]++;
    work_forget(d, node, (int)group);
    n->service[group] = DUO_STOPPING;
    work_queue(d, node, group,
        n->fail_stop[group] ? CLUSTER_SERVICE_STOP_FAILED : CLUSTER_SERVICE_STOPPED, d->stop_ms);
}

bool duo_runs(const struct duo *d, int node, unsigned group)
{
    return d->node[node].service[group] == DUO_RUNNING;
}

/* Anything of it may be alive and write. */
static bool occupied(const struct duo *d, int node, unsigned group)
{
    return d->node[node].service[group] != DUO_STOPPED && !d->node[node].frozen;
}

static void invariant_check(struct duo *d)
{
    for (unsigned g = 0; g < DUO_GROUPS; g++)
        if (occupied(d, ALPHA, g) && occupied(d, BETA, g) && !d->dual_allowed)
            fail_msg("group %u on both nodes at %llu: %s", g, (unsigned long long)d->now_ms,
                duo_where(d));
}

/* ---- steps ---- */

static void effect_apply(struct duo *d, int node, const struct cluster_effect *e)
{
    struct duo_node *n = &d->node[node];

    switch (e->type) {
    case CLUSTER_FX_SEND:
        for (unsigned m = 0; m < d->cfg.media_count; m++)
            if (e->send.medium == CLUSTER_ALL_MEDIA || e->send.medium == m)
                packet_send(d, node, m, e->send.bytes, e->send.length);
        break;
    case CLUSTER_FX_PING:
        if (!n->ping_cut)
            packet_queue(d, true, node, e->ping.ping, e->ping.bytes, e->ping.length);
        break;
    case CLUSTER_FX_ACQUIRE:
        acquire(d, node, e->group);
        break;
    case CLUSTER_FX_RELEASE:
        release(d, node, e->group);
        break;
    case CLUSTER_FX_FREEZE:
    case CLUSTER_FX_THAW:
        n->frozen = e->type == CLUSTER_FX_FREEZE;
        break;
    case CLUSTER_FX_TICKLE:
        n->tickles++;
        n->tickle_connections += e->tickle.count;
        break;
    case CLUSTER_FX_FENCE:
        n->fences++;
        break;
    case CLUSTER_FX_ASK_WITNESS:
        n->witness_asks++;
        break;
    case CLUSTER_FX_OUTDATE:
        strcpy(n->outdate_asked, e->outdate.resource);
        break;
    case CLUSTER_FX_OUTDATE_ANSWER:
        n->outdate_answer = e->outdate.code;
        break;
    case CLUSTER_FX_NOTIFY:
        if (d->print)
            fprintf(stderr, "%10.3f %-5s    --> %s\n", (double)d->now_ms / 1e3, names[node],
                e->notify.text);
        break;
    case CLUSTER_FX_STOPPED:
        n->stopped = true;
        break;
    }
}

static int step(struct duo *d, int node, struct cluster_event *ev)
{
    struct duo_node *n = &d->node[node];
    int rc;

    if (!n->c || n->stopped)
        return HV_ESTATE;
    ev->now_ms = d->now_ms;
    ev->wall_s = d->now_ms / 1000;
    rc = cluster_step(n->c, ev, n->fx);
    for (unsigned i = 0; i < n->fx->count; i++)
        effect_apply(d, node, &n->fx->list[i]);
    invariant_check(d);
    return rc;
}

void duo_event(struct duo *d, int node, struct cluster_event *ev)
{
    step(d, node, ev);
}

static void config_mirror(const struct cluster_config *from, struct cluster_config *to)
{
    *to = *from;
    strcpy(to->me, from->peer);
    strcpy(to->peer, from->me);
    for (unsigned g = 0; g < to->groups_count; g++)
        to->groups[g].prefer = from->groups[g].prefer == CLUSTER_ME ? CLUSTER_PEER : CLUSTER_ME;
}

void duo_start(struct duo *d, int node)
{
    struct duo_node *n = &d->node[node];
    struct cluster_event ev = {.type = CLUSTER_EV_START};
    struct cluster_config cfg = d->cfg;
    struct hv_diag diag = {""};

    if (node == BETA)
        config_mirror(&d->cfg, &cfg);
    cfg.log = &logs[node];
    cfg.seed = (uint64_t)node + d->now_ms;
    cluster_destroy(n->c);
    n->stopped = n->frozen = n->paused = false;
    if (cluster_create(&cfg, &n->c, &diag) != 0)
        fail_msg("%s", diag.text);
    if (!n->generation)
        n->generation = 1000;
    ev.start.generation = ++n->generation;
    memset(ev.start.uuid, 'A' + node, sizeof ev.start.uuid);
    step(d, node, &ev);
    for (unsigned g = 0; g < DUO_GROUPS; g++) /* the service room finds what still runs */
        if (n->service[g] == DUO_RUNNING)
            work_queue(d, node, g, CLUSTER_SERVICE_STARTED, 0);
}

void duo_kill_daemon(struct duo *d, int node)
{
    cluster_destroy(d->node[node].c);
    d->node[node].c = NULL;
    work_forget(d, node, -1);
}

void duo_kill(struct duo *d, int node)
{
    duo_kill_daemon(d, node);
    for (int g = 0; g < DUO_GROUPS; g++)
        d->node[node].service[g] = DUO_STOPPED;
}

void duo_pause(struct duo *d, int node, bool paused)
{
    d->node[node].paused = paused;
}

void duo_cut(struct duo *d, bool cut)
{
    for (int n = 0; n < DUO_NODES; n++)
        for (int m = 0; m < DUO_MEDIA; m++)
            d->cut[n][m] = cut;
}

static void packet_deliver(struct duo *d, struct duo_packet *p)
{
    static struct duo_packet copy;
    struct cluster_event ev = {.type = p->ping ? CLUSTER_EV_PING_REPLY : CLUSTER_EV_PACKET};

    copy = *p;
    p->used = false;
    if (copy.ping) {
        ev.ping_reply.ping = copy.medium;
        ev.ping_reply.bytes = copy.bytes;
        ev.ping_reply.length = copy.length;
    } else {
        ev.packet.medium = copy.medium;
        ev.packet.bytes = copy.bytes;
        ev.packet.length = copy.length;
    }
    step(d, copy.to, &ev);
}

static void work_deliver(struct duo *d, struct duo_work *w)
{
    struct duo_node *n = &d->node[w->node];
    struct cluster_event ev = {.type = CLUSTER_EV_SERVICE};

    w->used = false;
    ev.service.group = w->group;
    ev.service.what = w->what;
    n->service[w->group] = w->what == CLUSTER_SERVICE_STARTED       ? DUO_RUNNING
                           : w->what == CLUSTER_SERVICE_STOP_FAILED ? DUO_STUCK
                                                                    : DUO_STOPPED;
    step(d, w->node, &ev);
}

/* The earliest thing that is due at or before `limit_ms`: a packet, some work, or a timer. */
static bool next_do(struct duo *d, uint64_t limit_ms)
{
    uint64_t best = limit_ms + 1;
    struct duo_packet *packet = NULL;
    struct duo_work *work = NULL;
    int timer = -1;

    for (int i = 0; i < DUO_PACKETS; i++)
        if (d->packet[i].used && !d->node[d->packet[i].to].paused && d->packet[i].at_ms < best) {
            packet = &d->packet[i];
            best = packet->at_ms;
        }
    for (int i = 0; i < DUO_WORKS; i++)
        if (d->work[i].used && !d->node[d->work[i].node].paused && d->work[i].at_ms < best) {
            work = &d->work[i];
            packet = NULL;
            best = work->at_ms;
        }
    for (int n = 0; n < DUO_NODES; n++) {
        uint64_t at =
            d->node[n].c && !d->node[n].paused ? cluster_next_timeout(d->node[n].c) : CLUSTER_NEVER;
        if (at < best) {
            best = at;
            timer = n;
            packet = NULL;
            work = NULL;
        }
    }
    if (best > limit_ms)
        return false;
    if (best > d->now_ms) {
        for (unsigned g = 0; g < DUO_GROUPS; g++) {
            if (occupied(d, ALPHA, g) && occupied(d, BETA, g))
                d->dual_ms += best - d->now_ms;
            if (!duo_runs(d, ALPHA, g) && !duo_runs(d, BETA, g))
                d->idle_ms[g] += best - d->now_ms;
        }
        d->now_ms = best;
    }
    if (timer >= 0)
        step(d, timer, &(struct cluster_event){.type = CLUSTER_EV_TICK});
    else if (packet)
        packet_deliver(d, packet);
    else
        work_deliver(d, work);
    return true;
}

void duo_run(struct duo *d, uint64_t ms)
{
    uint64_t limit_ms = d->now_ms + ms;

    for (unsigned rounds = 0; next_do(d, limit_ms); rounds++)
        if (rounds > 2000000)
            fail_msg("time does not advance");
    d->now_ms = limit_ms;
}

uint64_t duo_until_running(struct duo *d, int node, unsigned group, uint64_t limit_ms)
{
    uint64_t start_ms = d->now_ms;

    while (!duo_runs(d, node, group))
        if (!next_do(d, start_ms + limit_ms))
            fail_msg("group %u does not run on %s after %llu ms: %s", group, names[node],
                (unsigned long long)limit_ms, duo_where(d));
    return d->now_ms - start_ms;
}

int duo_admin(struct duo *d, int node, enum cluster_admin command, enum cluster_scope scope)
{
    struct cluster_event ev = {.type = CLUSTER_EV_ADMIN};

    ev.admin.command = command;
    ev.admin.scope = scope;
    return step(d, node, &ev);
}

int duo_move(struct duo *d, int node, unsigned group, enum cluster_node to)
{
    struct cluster_event ev = {.type = CLUSTER_EV_ADMIN};

    ev.admin.command = CLUSTER_ADMIN_MOVE;
    ev.admin.group = group;
    ev.admin.to = to;
    return step(d, node, &ev);
}

void duo_volume(struct duo *d, int node, struct cluster_volume_state state)
{
    struct cluster_event ev = {.type = CLUSTER_EV_VOLUME};

    ev.volume.volume = 0;
    ev.volume.state = state;
    step(d, node, &ev);
}

void duo_inject(struct duo *d, int node, const uint8_t *bytes, size_t length)
{
    struct cluster_event ev = {.type = CLUSTER_EV_PACKET};

    ev.packet.bytes = bytes;
    ev.packet.length = length;
    step(d, node, &ev);
}

void duo_watch(struct duo *d)
{
    memset(d->idle_ms, 0, sizeof d->idle_ms);
    d->dual_ms = 0;
}

const struct cluster_status *duo_status(struct duo *d, int node)
{
    static struct cluster_status status;

    cluster_status_get(d->node[node].c, d->now_ms, &status);
    return &status;
}

const char *duo_where(const struct duo *d)
{
    static char text[64];
    const char *where[DUO_GROUPS];

    for (unsigned g = 0; g < DUO_GROUPS; g++)
        where[g] = duo_runs(d, ALPHA, g)  ? (duo_runs(d, BETA, g) ? "both" : "alpha")
                   : duo_runs(d, BETA, g) ? "beta"
                                          : "-";
    snprintf(text, sizeof text, "ga@%s gb@%s", where[DUO_GA], where[DUO_GB]);
    return text;
}
