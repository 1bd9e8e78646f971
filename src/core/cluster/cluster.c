/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster_state.h"
#include "hv_assert.h"
#include "hv_text.h"

/* ---- effects ---- */

struct cluster_effect *cluster_effect_add(struct cluster *c, enum cluster_effect_type type)
{
    struct cluster_effect *e = &c->fx->list[c->fx->count];

    hv_assert(c->fx->count < CLUSTER_EFFECTS_MAX);
    c->fx->count++;
    memset(e, 0, sizeof *e);
    e->type = type;
    return e;
}

void cluster_notify_send(struct cluster *c, enum cluster_notify what, const char *fmt, ...)
{
    struct cluster_effect *e;
    va_list ap;

    if (c->fx->count >= CLUSTER_EFFECTS_MAX - EFFECTS_RESERVED)
        return;
    e = cluster_effect_add(c, CLUSTER_FX_NOTIFY);
    e->notify.what = what;
    va_start(ap, fmt);
    vsnprintf(e->notify.text, sizeof e->notify.text, fmt, ap);
    va_end(ap);
}

/* ---- configuration ---- */

static int config_check(const struct cluster_config *cfg, struct hv_diag *diag)
{
    if (!cfg->me[0] || strcmp(cfg->me, cfg->peer) == 0)
        hv_diag_set(diag, "two nodes with different names are needed");
    else if (cfg->media_count > CLUSTER_MEDIA_MAX || cfg->pings_count > CLUSTER_PINGS_MAX ||
             cfg->groups_count > CLUSTER_GROUPS_MAX || cfg->volumes_count > CLUSTER_VOLUMES_MAX)
        hv_diag_set(diag, "more than %d media, %d ping nodes, %d groups or %d volumes",
            CLUSTER_MEDIA_MAX, CLUSTER_PINGS_MAX, CLUSTER_GROUPS_MAX, CLUSTER_VOLUMES_MAX);
    else if (cfg->peer[0] && !cfg->media_count)
        hv_diag_set(diag, "no medium to reach node %s", cfg->peer);
    else if (!cfg->keepalive_ms || cfg->deadtime_ms <= 2 * cfg->keepalive_ms)
        hv_diag_set(diag, "Dead time [%llu] is too small compared to keeplive [%llu]",
            (unsigned long long)cfg->deadtime_ms, (unsigned long long)cfg->keepalive_ms);
    else if (cfg->initdead_ms < cfg->deadtime_ms)
        hv_diag_set(diag, "Initial dead time [%llu] is smaller than dead time [%llu]",
            (unsigned long long)cfg->initdead_ms, (unsigned long long)cfg->deadtime_ms);
    else if (!cfg->keys || cfg->keys->active >= HB_KEYS ||
             cfg->keys->key[cfg->keys->active].method == HB_METHOD_NONE || !cfg->digest)
        hv_diag_set(diag, "no key to sign with");
    else
        return 0;
    return HV_EINVAL;
}

static void group_init(struct cluster *c, const char *key, enum cluster_node prefer, bool real)
{
    struct cluster_group *g = &c->group[c->groups++];

    hv_strcopy(g->key, sizeof g->key, key);
    g->prefer = prefer == CLUSTER_PEER && c->peer.present ? CLUSTER_PEER : CLUSTER_ME;
    g->real = real;
    g->retry_at_ms = g->idle_since_ms = CLUSTER_NEVER;
    g->side[CLUSTER_ME].volumes_good = true;
}

/* A class without groups is held like any other (see CLUSTER_ALL_GROUPS_MAX).  Its key begins with a
 * character that no resource has, and ends with the node's name, so that both nodes agree on it. */
static void classes_complete(struct cluster *c)
{
    char key[CLUSTER_NAME_BYTES + 1];

    if (!cluster_mask_of(c, CLUSTER_ME)) {
        snprintf(key, sizeof key, "*%s", c->cfg.me);
        group_init(c, key, CLUSTER_ME, false);
    }
    if (c->peer.present && !cluster_mask_of(c, CLUSTER_PEER)) {
        snprintf(key, sizeof key, "*%s", c->cfg.peer);
        group_init(c, key, CLUSTER_PEER, false);
    }
}

int cluster_create(const struct cluster_config *config, struct cluster **out, struct hv_diag *diag)
{
    struct cluster *c;
    int rc = config_check(config, diag);

    *out = NULL;
    if (rc)
        return rc;
    c = calloc(1, sizeof *c);
    if (!c)
        return HV_ENOMEM;
    c->cfg = *config;
    if (!c->cfg.deadping_ms)
        c->cfg.deadping_ms = c->cfg.deadtime_ms;
    if (!c->cfg.rexmit_ms)
        c->cfg.rexmit_ms = 250;
    hv_prng_seed(&c->rng, config->seed);
    c->peer.present = config->peer[0] != 0;
    c->peer.ack_trigger = (unsigned)hv_prng_below(&c->rng, ACK_STEP);
    c->peer.deadtime_ms = config->deadtime_ms;
    c->peer.blind_since_ms = c->peer.ask_at_ms = c->peer.clash_since_ms = CLUSTER_NEVER;
    c->next_reqnodes_ms = c->stalled_ms = c->failback_ms = c->standby_until_ms = CLUSTER_NEVER;
    c->shutdone_ms = c->giveup_ms = c->next_status_ms = CLUSTER_NEVER;
    for (unsigned i = 0; i < config->groups_count; i++)
        group_init(c, config->groups[i].key, config->groups[i].prefer, true);
    classes_complete(c);
    *out = c;
    return 0;
}

void cluster_destroy(struct cluster *c)
{
    free(c);
}

/* ---- events ---- */

static uint64_t group_mask(const struct cluster *c, unsigned group)
{
    const struct cluster_group *g = &c->group[group];
    uint64_t mask = UINT64_C(1) << group;

    /* A Heartbeat understands it when the group is all there is of its class. */
    return mask == cluster_mask_of(c, g->prefer) ? cluster_mask_of(c, g->prefer) : mask;
}

static int admin_move(struct cluster *c, unsigned group, enum cluster_node to)
{
    if (group >= c->cfg.groups_count)
        return HV_EINVAL;
    if (cluster_group_claimed(&c->group[group], to))
        return 0;
    if (to == CLUSTER_PEER)
        return cluster_standby_begin(c, group_mask(c, group));
    return cluster_takeover_ask(c, group_mask(c, group));
}

static void maintenance_set(struct cluster *c, bool on)
{
    if (c->maintenance == on)
        return;
    c->maintenance = on;
    cluster_log(c, HV_LOG_NOTICE, "maintenance %s", on ? "begins" : "ends");
    cluster_notify_send(c, CLUSTER_NOTIFY_STATE, "maintenance %s", on ? "on" : "off");
    cluster_takeover_try(c);
}

static int admin_handle(struct cluster *c, const struct cluster_event *ev)
{
    unsigned group = ev->admin.group;

    switch (ev->admin.command) {
    case CLUSTER_ADMIN_STANDBY:
        return cluster_standby_begin(c, cluster_scope_mask(c, ev->admin.scope, CLUSTER_ME));
    case CLUSTER_ADMIN_TAKEOVER:
        return cluster_takeover_ask(c, cluster_scope_mask(c, ev->admin.scope, CLUSTER_ME));
    case CLUSTER_ADMIN_MOVE:
        return admin_move(c, group, ev->admin.to);
    case CLUSTER_ADMIN_SHUTDOWN:
        return cluster_shutdown_begin(c);
    case CLUSTER_ADMIN_MAINTENANCE_ON:
    case CLUSTER_ADMIN_MAINTENANCE_OFF:
        maintenance_set(c, ev->admin.command == CLUSTER_ADMIN_MAINTENANCE_ON);
        return 0;
    case CLUSTER_ADMIN_RETRY:
        if (group >= c->cfg.groups_count)
            return HV_EINVAL;
        c->group[group].side[CLUSTER_ME].failures = 0;
        c->group[group].retry_at_ms = CLUSTER_NEVER;
        return 0;
    }
    return HV_EINVAL;
}

static void volume_handle(struct cluster *c, unsigned volume, const struct cluster_volume_state *s)
{
    if (volume >= c->cfg.volumes_count)
        return;
    if (s->split_brain && !c->volume[volume].split_brain) {
        cluster_log(c, HV_LOG_CRIT,
            "volume %s: split brain; its data is left as it is on both nodes",
            c->cfg.volumes[volume].name);
        cluster_notify_send(
            c, CLUSTER_NOTIFY_STATE, "volume %s split brain", c->cfg.volumes[volume].name);
    }
    c->volume[volume] = *s;
    for (unsigned g = 0; g < c->cfg.groups_count; g++) {
        bool good = true;

        for (unsigned v = 0; v < c->cfg.volumes_count; v++)
            if (c->cfg.volumes[v].group == g)
                good &= c->volume[v].primary && c->volume[v].up_to_date;
        c->group[g].side[CLUSTER_ME].volumes_good = good;
    }
    cluster_takeover_try(c);
}

static void fence_result(struct cluster *c, bool done)
{
    if (!c->fence_asked || c->peer.alive)
        return;
    c->fence_asked = false;
    if (done) {
        cluster_log(c, HV_LOG_NOTICE, "node %s is off", c->cfg.peer);
        c->peer_gone = true;
    } else {
        cluster_log(c, HV_LOG_ERROR, "STONITH of %s failed.  Retrying...", c->cfg.peer);
        c->fence_retry_ms = c->now_ms + FENCE_RETRY_MS;
    }
    cluster_takeover_try(c);
}

static void witness_answer(struct cluster *c, bool granted)
{
    if (!c->witness_asked || c->peer.alive)
        return;
    c->witness_refused = !granted;
    c->peer_gone = granted;
    cluster_takeover_try(c);
}

static int event_handle(struct cluster *c, const struct cluster_event *ev)
{
    switch (ev->type) {
    case CLUSTER_EV_START:
        c->generation = ev->start.generation;
        memcpy(c->uuid, ev->start.uuid, HB_UUID_BYTES);
        cluster_log(
            c, HV_LOG_INFO, "Heartbeat generation: %llu", (unsigned long long)c->generation);
        cluster_member_start(c);
        break;
    case CLUSTER_EV_TICK:
        break;
    case CLUSTER_EV_PACKET:
        if (ev->packet.medium < c->cfg.media_count)
            cluster_packet_receive(c, ev->packet.medium, ev->packet.bytes, ev->packet.length);
        break;
    case CLUSTER_EV_PING_REPLY:
        if (ev->ping_reply.ping < c->cfg.pings_count)
            cluster_ping_receive(
                c, ev->ping_reply.ping, ev->ping_reply.bytes, ev->ping_reply.length);
        break;
    case CLUSTER_EV_LINK_ERROR:
        if (ev->link_error.medium < c->cfg.media_count)
            cluster_log(
                c, HV_LOG_ERROR, "Unable to send on %s", c->cfg.media[ev->link_error.medium].name);
        break;
    case CLUSTER_EV_ADMIN:
        return admin_handle(c, ev);
    case CLUSTER_EV_SERVICE:
        if (ev->service.group < c->cfg.groups_count)
            cluster_group_service(c, ev->service.group, ev->service.what);
        break;
    case CLUSTER_EV_VOLUME:
        volume_handle(c, ev->volume.volume, &ev->volume.state);
        break;
    case CLUSTER_EV_TCP:
        if (ev->tcp.group < c->cfg.groups_count)
            cluster_tcp_send(c, ev->tcp.group, ev->tcp.list, ev->tcp.count);
        break;
    case CLUSTER_EV_FENCE_RESULT:
        fence_result(c, ev->fence_result.done);
        break;
    case CLUSTER_EV_WITNESS_ANSWER:
        witness_answer(c, ev->witness_answer.granted);
        break;
    case CLUSTER_EV_OUTDATE_ASK:
        cluster_outdate_ask(c, ev->outdate.resource);
        break;
    case CLUSTER_EV_OUTDATE_DONE:
        cluster_outdate_done(c, ev->outdate.resource, ev->outdate.exit_code);
        break;
    }
    return 0;
}

/* ---- stalls ---- */

/* This process did not run for longer than a deadtime: to the peer it was dead, and what has come in
 * meanwhile waits in socket buffers.  Nobody is declared dead for our own absence; what we hold is suspect
 * until the peer, hearing us, has let two deadtimes pass without claiming it. */
static void stall_check(struct cluster *c)
{
    uint64_t gap_ms = c->now_ms - c->last_step_ms;

    if (c->status == MY_NONE || gap_ms <= c->cfg.deadtime_ms)
        return;
    cluster_log(c, HV_LOG_CRIT, "this node did not run for %llu ms (deadtime %llu ms)",
        (unsigned long long)gap_ms, (unsigned long long)c->cfg.deadtime_ms);
    c->stalled_ms = c->now_ms;
    if (c->peer.alive)
        c->peer.heard_ms += gap_ms;
    for (unsigned i = 0; i < c->cfg.media_count; i++)
        c->link[i].heard_ms += gap_ms;
    for (unsigned i = 0; i < c->cfg.pings_count; i++)
        c->ping[i].heard_ms += gap_ms;
    c->started_ms += c->comm_up ? 0 : gap_ms;
    for (unsigned i = 0; i < c->groups; i++)
        c->group[i].side[CLUSTER_ME].suspect = cluster_group_claimed(&c->group[i], CLUSTER_ME);
}

static void stall_forget(struct cluster *c)
{
    if (c->stalled_ms == CLUSTER_NEVER || !c->comm_up ||
        (c->peer.alive && !c->peer.sees_me && c->peer.haven) ||
        c->now_ms - c->stalled_ms < 2 * c->cfg.deadtime_ms)
        return;
    c->stalled_ms = CLUSTER_NEVER;
    for (unsigned i = 0; i < c->groups; i++)
        c->group[i].side[CLUSTER_ME].suspect = false;
}

/* ---- steps and time ---- */

static void timers_run(struct cluster *c)
{
    if (c->status == MY_NONE)
        return;
    cluster_member_timers(c);
    cluster_link_timers(c);
    cluster_standby_timers(c);
    cluster_client_timers(c);
    cluster_takeover_try(c);
    cluster_resource_timers(c);
    cluster_claim_timers(c);
    cluster_groups_timers(c);
    cluster_freeze_check(c);
    stall_forget(c);
}

int cluster_step(struct cluster *c, const struct cluster_event *ev, struct cluster_effects *fx)
{
    int rc;

    fx->count = 0;
    fx->used_bytes = 0;
    if (c->stopped)
        return HV_ESTATE;
    hv_assert(ev->now_ms >= c->last_step_ms);
    c->fx = fx;
    c->now_ms = ev->now_ms;
    c->wall_s = ev->wall_s;
    stall_check(c);
    c->last_step_ms = c->now_ms;
    rc = event_handle(c, ev);
    timers_run(c);
    c->fx = NULL;
    return rc;
}

uint64_t cluster_next_timeout(const struct cluster *c)
{
    uint64_t next = CLUSTER_NEVER, at;
    uint64_t (*const sources[])(const struct cluster *) = {cluster_member_next, cluster_link_next,
        cluster_standby_next, cluster_client_next, cluster_decide_next, cluster_resource_next,
        cluster_claim_next, cluster_groups_next};

    if (c->status == MY_NONE || c->stopped)
        return CLUSTER_NEVER;
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++)
        if ((at = sources[i](c)) < next)
            next = at;
    return next;
}

/* ---- status ---- */

void cluster_status_get(const struct cluster *c, uint64_t now_ms, struct cluster_status *out)
{
    static const char *const my_names[] = {"dead", "init", "up", "active"};

    memset(out, 0, sizeof *out);
    hv_strcopy(out->node[CLUSTER_ME].name, CLUSTER_NAME_BYTES, c->cfg.me);
    hv_strcopy(out->node[CLUSTER_ME].status, 16, my_names[c->status]);
    out->node[CLUSTER_ME].haven = true;
    out->node[CLUSTER_ME].generation = c->generation;
    out->node[CLUSTER_ME].deadtime_ms = c->cfg.deadtime_ms;
    hv_strcopy(out->node[CLUSTER_PEER].name, CLUSTER_NAME_BYTES, c->cfg.peer);
    hv_strcopy(out->node[CLUSTER_PEER].status, 16, c->peer.alive ? c->peer.status : "dead");
    out->node[CLUSTER_PEER].haven = c->peer.haven;
    out->node[CLUSTER_PEER].generation = c->peer.generation;
    out->node[CLUSTER_PEER].heard_ms_ago =
        c->peer.heard ? now_ms - c->peer.heard_ms : CLUSTER_NEVER;
    out->node[CLUSTER_PEER].deadtime_ms = c->peer.deadtime_ms;
    for (unsigned i = 0; i < c->cfg.media_count; i++) {
        hv_strcopy(out->link[i].name, CLUSTER_NAME_BYTES, c->cfg.media[i].name);
        out->link[i].up = c->link[i].up;
    }
    out->links = c->cfg.media_count;
    for (unsigned i = 0; i < c->cfg.pings_count; i++) {
        hv_strcopy(out->ping[i].name, CLUSTER_NAME_BYTES, c->cfg.pings[i].name);
        out->ping[i].alive = c->ping[i].alive;
    }
    out->pings = c->cfg.pings_count;
    for (unsigned i = 0; i < c->cfg.groups_count; i++) {
        hv_strcopy(out->group[i].key, CLUSTER_NAME_BYTES, c->group[i].key);
        out->group[i].prefer = c->group[i].prefer;
        for (int n = CLUSTER_ME; n <= CLUSTER_PEER; n++) {
            out->group[i].state[n] = c->group[i].side[n].state;
            out->group[i].failures[n] = c->group[i].side[n].failures;
        }
    }
    out->groups = c->cfg.groups_count;
    hv_strcopy(out->held, sizeof out->held,
        cluster_in_transition(c) ? "transition" : cluster_scope_name(cluster_holds(c)));
    out->isolated = c->isolated;
    out->frozen = c->frozen;
    out->maintenance = c->maintenance;
    out->shutting_down = c->rs == RS_SHUTDOWN;
    out->verdict = c->verdict;
    out->packets_received = c->packets_received;
    out->packets_bad = c->packets_bad;
    out->packets_lost = c->packets_lost;
    out->retransmitted = c->retransmitted;
}
