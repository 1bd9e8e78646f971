/* SPDX-License-Identifier: Apache-2.0 */
/* The cluster engine's hands. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "crypto.h"
#include "havend.h"

enum { SHUTDOWN_AGAIN_MS = 200 };

/* ---- configuration -------------------------------------------------------------------------- */

static enum hb_method method_of(enum conf_auth_method method)
{
    switch (method) {
    case CONF_AUTH_CRC:
        return HB_METHOD_CRC;
    case CONF_AUTH_MD5:
        return HB_METHOD_MD5;
    case CONF_AUTH_SHA1:
        return HB_METHOD_SHA1;
    default:
        return HB_METHOD_SHA256;
    }
}

static int keys_fill(struct havend *h, struct hv_diag *diag)
{
    const struct conf_cluster *c = h->conf->cluster;

    for (int i = 0; i < CONF_AUTH_KEYS_MAX && i < HB_KEYS; i++) {
        struct hb_key *to = &h->keys.key[i];
        if (!c->keys[i].present)
            continue;
        size_t n = strlen(c->keys[i].key);
        if (n > sizeof to->secret) {
            hv_diag_set(diag, "key %d is longer than %zu bytes", i, sizeof to->secret);
            return HV_EINVAL;
        }
        to->method = method_of(c->keys[i].method);
        to->secret_bytes = (uint16_t)n;
        memcpy(to->secret, c->keys[i].key, n);
    }
    if (c->active_key < 0) {
        hv_diag_set(diag, "no key signs our messages: write an auth line");
        return HV_EINVAL;
    }
    h->keys.active = (unsigned)c->active_key;
    return HV_OK;
}

static void config_nodes(const struct havend *h, struct cluster_config *cfg)
{
    const struct conf_cluster *c = h->conf->cluster;

    for (size_t i = 0; i < c->n_nodes; i++)
        hv_strcopy(c->nodes[i].me ? cfg->me : cfg->peer, CLUSTER_NAME_BYTES, c->nodes[i].name);
    for (size_t i = 0; i < c->n_media && i < CLUSTER_MEDIA_MAX; i++)
        hv_strcopy(cfg->media[cfg->media_count++].name, CLUSTER_NAME_BYTES,
            c->media[i].device[0] ? c->media[i].device : c->media[i].address);
    for (size_t i = 0; i < c->n_pings && i < CLUSTER_PINGS_MAX; i++) {
        cfg->pings[cfg->pings_count].group = c->pings[i].group;
        hv_strcopy(cfg->pings[cfg->pings_count++].name, CLUSTER_NAME_BYTES, c->pings[i].name);
    }
}

/* Both nodes must come to the same preference when nobody wrote one. */
static enum cluster_node preferred(const struct cluster_config *cfg, const char *node)
{
    if (!*node)
        return !cfg->peer[0] || strcmp(cfg->me, cfg->peer) < 0 ? CLUSTER_ME : CLUSTER_PEER;
    return !strcmp(node, cfg->me) ? CLUSTER_ME : CLUSTER_PEER;
}

static void config_groups(const struct havend *h, struct cluster_config *cfg)
{
    for (size_t i = 0; i < h->conf->n_services && i < CLUSTER_GROUPS_MAX; i++) {
        const struct conf_service *s = &h->conf->services[i];
        hv_strcopy(cfg->groups[i].key, CLUSTER_NAME_BYTES, s->name);
        cfg->groups[i].prefer = preferred(cfg, s->node);
        cfg->groups_count++;
    }
    for (size_t i = 0; i < h->conf->n_resources && i < CLUSTER_VOLUMES_MAX; i++) {
        const char *name = h->conf->resources[i].name;
        unsigned group = 0;
        for (; group < cfg->groups_count; group++) {
            const struct conf_service *s = &h->conf->services[group];
            size_t k = 0;
            while (k < s->n_items &&
                   (s->items[k].kind != CONF_ITEM_DRBD || strcmp(s->items[k].resource, name)))
                k++;
            if (k < s->n_items)
                break;
        }
        hv_strcopy(cfg->volumes[i].name, CLUSTER_NAME_BYTES, name);
        cfg->volumes[i].group = group;
        cfg->volumes_count++;
    }
}

static int config_check(const struct havend *h, struct hv_diag *diag)
{
    const struct conf_cluster *c = h->conf->cluster;
    bool me = false;

    for (size_t i = 0; i < c->n_nodes; i++)
        me |= c->nodes[i].me;
    if (!me)
        hv_diag_set(diag, "this machine is called %s, which is no node of %s", h->node, c->file);
    else if (c->n_nodes > 2)
        hv_diag_set(diag, "%zu nodes in %s; two are supported", c->n_nodes, c->file);
    else if (h->conf->n_services > CLUSTER_GROUPS_MAX)
        hv_diag_set(
            diag, "%zu groups; at most %d are possible", h->conf->n_services, CLUSTER_GROUPS_MAX);
    else
        return HV_OK;
    return HV_EINVAL;
}

static int engine_new(struct havend *h, struct hv_diag *diag)
{
    const struct conf_cluster *c = h->conf->cluster;
    struct cluster_config *cfg = calloc(1, sizeof *cfg);

    if (!cfg)
        return HV_ENOMEM;
    config_nodes(h, cfg);
    config_groups(h, cfg);
    cfg->keepalive_ms = c->keepalive_ms;
    cfg->deadtime_ms = c->deadtime_ms;
    cfg->warntime_ms = c->warntime_ms;
    cfg->initdead_ms = c->initdead_ms;
    cfg->deadping_ms = c->deadping_ms;
    cfg->rexmit_ms = c->max_rexmit_delay_ms;
    cfg->hopfudge = c->hopfudge;
    cfg->failback =
        c->auto_failback == CONF_FAILBACK_OFF ? CLUSTER_FAILBACK_OFF : CLUSTER_FAILBACK_ON;
    cfg->inner_auth = !c->netstring;
    cfg->ipfail = c->use_ipfail;
    cfg->seed = loop_clock_ms() ^ (uint64_t)getpid() << 32;
    cfg->keys = &h->keys;
    cfg->digest = &crypto_digests;
    cfg->log = &h->log;
    int rc = cluster_create(cfg, &h->cluster, diag);
    free(cfg);
    return rc;
}

/* ---- carrying out --------------------------------------------------------------------------- */

static const char *notify_name(enum cluster_notify what)
{
    static const char *const names[] = {"node", "link", "group", "state"};

    return (size_t)what < sizeof names / sizeof names[0] ? names[what] : "state";
}

static void carry_out(struct havend *h, const struct cluster_effect *e)
{
    switch (e->type) {
    case CLUSTER_FX_SEND:
        havend_media_send(h, e->send.medium, e->send.bytes, e->send.length);
        break;
    case CLUSTER_FX_PING:
        havend_pings_send(h, e->ping.ping, e->ping.bytes, e->ping.length);
        break;
    case CLUSTER_FX_ACQUIRE:
        havend_service_tell(h, (struct service_event){.kind = SERVICE_EV_START, .group = e->group});
        break;
    case CLUSTER_FX_RELEASE:
        havend_service_release(h, e->group);
        break;
    case CLUSTER_FX_FREEZE:
    case CLUSTER_FX_THAW:
        havend_volumes_freeze(h, e->type == CLUSTER_FX_FREEZE);
        break;
    case CLUSTER_FX_TICKLE:
        havend_tickle(h, e->tickle.group, e->tickle.list, e->tickle.count);
        break;
    case CLUSTER_FX_OUTDATE:
        havend_volumes_outdate(h, e->outdate.resource);
        break;
    case CLUSTER_FX_OUTDATE_ANSWER:
        havend_ctl_outdate_answer(h, e->outdate.resource, e->outdate.code);
        break;
    case CLUSTER_FX_NOTIFY:
        havend_ctl_notify(h, notify_name(e->notify.what), e->notify.text);
        break;
    case CLUSTER_FX_STOPPED:
        loop_stop(h->loop, 0);
        break;
    case CLUSTER_FX_FENCE:
    case CLUSTER_FX_ASK_WITNESS:
        break; /* neither is configured (engine_new) */
    }
}

static int step(struct havend *h, struct cluster_event *ev)
{
    ev->now_ms = loop_clock_ms();
    ev->wall_s = (uint64_t)time(NULL);
    int rc = cluster_step(h->cluster, ev, h->cluster_fx);
    for (unsigned i = 0; i < h->cluster_fx->count; i++)
        carry_out(h, &h->cluster_fx->list[i]);
    return rc;
}

int havend_cluster_tell(struct havend *h, struct cluster_event ev)
{
    if (h->cluster_busy) {
        if (h->cluster_queued == HAVEND_EVENTS_MAX) {
            hv_log(&h->log, HV_LOG_CRIT, "too many events at once; one is lost");
            return HV_ENOSPC;
        }
        h->cluster_queue[h->cluster_queued++] = ev;
        return HV_OK;
    }
    h->cluster_busy = true;
    int rc = step(h, &ev);
    while (h->cluster_queued) {
        ev = h->cluster_queue[0];
        memmove(h->cluster_queue, h->cluster_queue + 1, --h->cluster_queued * sizeof ev);
        (void)step(h, &ev);
    }
    h->cluster_busy = false;
    uint64_t next_ms = cluster_next_timeout(h->cluster);
    if (next_ms == CLUSTER_NEVER)
        loop_timer_disarm(h->loop, &h->cluster_timer);
    else
        loop_timer_arm(h->loop, &h->cluster_timer, next_ms);
    return rc;
}

bool havend_peer_alive(const struct havend *h)
{
    static struct cluster_status st; /* large; one thread */

    cluster_status_get(h->cluster, loop_clock_ms(), &st);
    const char *status = st.node[CLUSTER_PEER].status;
    return !strcmp(status, "init") || !strcmp(status, "up") || !strcmp(status, "active");
}

/* A peer that has been silent for half its deadtime may be dead, and then a volume still takes its
 * connection for alive, which forbids the takeover.  Asking now has the answer there in time. */
static void look_after_silent_peer(struct havend *h)
{
    static struct cluster_status st; /* large; one thread */

    cluster_status_get(h->cluster, loop_clock_ms(), &st);
    if (!st.node[CLUSTER_PEER].name[0] || h->shutting_down)
        return;
    bool waits =
        st.verdict == CLUSTER_NO_PEER_PRIMARY && !strcmp(st.node[CLUSTER_PEER].status, "dead");
    uint64_t silence_ms = st.node[CLUSTER_PEER].heard_ms_ago;
    if (waits || (strcmp(st.node[CLUSTER_PEER].status, "dead") &&
                     silence_ms > st.node[CLUSTER_PEER].deadtime_ms / 2 &&
                     silence_ms > 2 * (uint64_t)h->conf->cluster->keepalive_ms))
        havend_volumes_ping_peer(h);
}

static void timer_fired(struct loop_timer *t)
{
    struct havend *h = hv_container_of(t, struct havend, cluster_timer);

    look_after_silent_peer(h);
    havend_cluster_tell(h, (struct cluster_event){.type = CLUSTER_EV_TICK});
}

static void shutdown_fired(struct loop_timer *t)
{
    havend_shutdown(hv_container_of(t, struct havend, shutdown_timer));
}

void havend_shutdown(struct havend *h)
{
    struct cluster_event ev = {.type = CLUSTER_EV_ADMIN};

    h->shutting_down = true;
    ev.admin.command = CLUSTER_ADMIN_SHUTDOWN;
    /* Refused while resources are on their way: then as soon as they have arrived. */
    if (havend_cluster_tell(h, ev))
        loop_timer_arm(h->loop, &h->shutdown_timer, loop_clock_ms() + SHUTDOWN_AGAIN_MS);
}

int havend_cluster_open(struct havend *h, struct hv_diag *diag)
{
    struct cluster_event ev = {.type = CLUSTER_EV_START};
    int rc = config_check(h, diag);

    h->cluster_fx = calloc(1, sizeof *h->cluster_fx);
    h->cluster_queue = calloc(HAVEND_EVENTS_MAX, sizeof *h->cluster_queue);
    if (!rc && (!h->cluster_fx || !h->cluster_queue))
        rc = HV_ENOMEM;
    if (!rc)
        rc = keys_fill(h, diag);
    if (!rc)
        rc = engine_new(h, diag);
    if (!rc)
        rc = havend_state_generation(h, &ev.start.generation, diag);
    if (!rc)
        rc = havend_state_uuid(h, ev.start.uuid, diag);
    if (rc)
        return rc;
    if (h->conf->cluster->witness_address[0])
        hv_log(&h->log, HV_LOG_WARN, "a witness is configured, which this version does not ask");
    if (h->conf->cluster->n_stoniths)
        hv_log(&h->log, HV_LOG_WARN, "stonith is configured, which this version does not use");
    h->cluster_timer.fired = timer_fired;
    h->shutdown_timer.fired = shutdown_fired;
    hv_log(&h->log, HV_LOG_INFO, "Configuration validated. Starting heartbeat 3.0.6 (haven %s)",
        HAVEN_VERSION);
    return havend_cluster_tell(h, ev);
}

void havend_cluster_close(struct havend *h)
{
    loop_timer_disarm(h->loop, &h->cluster_timer);
    loop_timer_disarm(h->loop, &h->shutdown_timer);
    cluster_destroy(h->cluster);
    h->cluster = NULL;
    free(h->cluster_fx);
    free(h->cluster_queue);
}
