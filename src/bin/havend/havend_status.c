/* SPDX-License-Identifier: Apache-2.0 */
/* Everything that `haven status` shows, as one JSON object (doc/control.md). */
#include <string.h>
#include <unistd.h>

#include "havend.h"

/* In the order of the configuration, on both nodes. */
static json_t *status_nodes(const struct havend *h, const struct cluster_status *st)
{
    json_t *nodes = json_array();

    for (size_t n = 0; n < h->conf->cluster->n_nodes; n++) {
        int i = h->conf->cluster->nodes[n].me ? CLUSTER_ME : CLUSTER_PEER;
        json_t *node = json_pack("{s:s, s:s, s:b, s:b, s:I, s:I}", "name", st->node[i].name,
            "status", st->node[i].status, "me", i == CLUSTER_ME, "haven", st->node[i].haven,
            "generation", (json_int_t)st->node[i].generation, "deadtime_ms",
            (json_int_t)st->node[i].deadtime_ms);
        if (i == CLUSTER_PEER)
            json_object_set_new(
                node, "heard_ago_ms", json_integer((json_int_t)st->node[i].heard_ms_ago));
        json_array_append_new(nodes, node);
    }
    return nodes;
}

static json_t *status_links(const struct cluster_status *st)
{
    json_t *links = json_array();

    for (unsigned i = 0; i < st->links; i++)
        json_array_append_new(
            links, json_pack("{s:s, s:b}", "name", st->link[i].name, "up", st->link[i].up));
    return links;
}

static json_t *status_pings(const struct cluster_status *st)
{
    json_t *pings = json_array();

    for (unsigned i = 0; i < st->pings; i++)
        json_array_append_new(
            pings, json_pack("{s:s, s:b}", "name", st->ping[i].name, "alive", st->ping[i].alive));
    return pings;
}

static const char *item_kind(enum conf_item_kind kind)
{
    static const char *const names[] = {[CONF_ITEM_ADDRESS] = "address",
        [CONF_ITEM_DRBD] = "drbd",
        [CONF_ITEM_FILESYSTEM] = "filesystem",
        [CONF_ITEM_NFS_SERVER] = "nfs",
        [CONF_ITEM_EXPORT] = "export",
        [CONF_ITEM_SCRIPT] = "script"};

    return names[kind];
}

static json_t *status_items(struct havend *h, size_t group, size_t n)
{
    json_t *items = json_array();

    for (size_t i = 0; i < n; i++) {
        struct service_item_status it;
        service_item_status(h->service, group, i, &it);
        json_array_append_new(items, json_pack("{s:s, s:s, s:s, s:s, s:i, s:s}", "name", it.name,
                                         "kind", item_kind(havend_item(h, group, i)->kind), "state",
                                         service_item_state_name(it.state), "busy",
                                         it.busy ? service_action_name(it.action) : "", "restarts",
                                         (int)it.restarts, "error", it.error));
    }
    return items;
}

static json_t *status_groups(struct havend *h, const struct cluster_status *st)
{
    json_t *groups = json_array();

    for (unsigned i = 0; i < st->groups && i < service_group_count(h->service); i++) {
        struct service_group_status g;
        service_group_status(h->service, i, &g);
        json_array_append_new(groups,
            json_pack("{s:s, s:s, s:s, s:s, s:i, s:i, s:s, s:s, s:I, s:o}", "name", g.name,
                "prefers",
                st->group[i].prefer == CLUSTER_NOBODY ? "" : st->node[st->group[i].prefer].name,
                "here", cluster_group_state_name(st->group[i].state[CLUSTER_ME]), "there",
                cluster_group_state_name(st->group[i].state[CLUSTER_PEER]), "failures_here",
                (int)st->group[i].failures[CLUSTER_ME], "failures_there",
                (int)st->group[i].failures[CLUSTER_PEER], "state", service_state_name(g.state),
                "reason", g.reason, "since_ms", (json_int_t)(loop_clock_ms() - g.since_ms),
                "resources", status_items(h, i, g.n_items)));
    }
    return groups;
}

/* The roles and states; the whole is to be had from the volume itself. */
static json_t *status_volumes(struct havend *h)
{
    json_t *volumes = json_array();

    for (size_t i = 0; i < h->conf->n_resources; i++) {
        json_t *st = havend_volume_status(h, i);
        if (!h->conf->resources[i].me)
            continue;
        json_array_append_new(volumes,
            json_pack("{s:s, s:b, s:s, s:s, s:s, s:b}", "resource", h->conf->resources[i].name,
                "running", st != NULL, "role", ctl_string(st, "role"), "peer_role",
                ctl_string(st, "peer_role"), "connection", ctl_string(st, "connection"),
                "split_brain", ctl_flag(st, "split_brain")));
    }
    return volumes;
}

json_t *havend_status(struct havend *h)
{
    static struct cluster_status st; /* large; one thread */
    const struct conf_cluster *c = h->conf->cluster;

    cluster_status_get(h->cluster, loop_clock_ms(), &st);
    json_t *status = json_pack("{s:s, s:i, s:s, s:s}", "node", h->node, "pid", (int)getpid(),
        "version", HAVEN_VERSION, "held", st.held);
    json_object_set_new(status, "nodes", status_nodes(h, &st));
    json_object_set_new(status, "links", status_links(&st));
    json_object_set_new(status, "pings", status_pings(&st));
    json_object_set_new(status, "groups", status_groups(h, &st));
    json_object_set_new(status, "volumes", status_volumes(h));
    json_object_set_new(status, "isolated", json_boolean(st.isolated));
    json_object_set_new(status, "frozen", json_boolean(st.frozen));
    json_object_set_new(status, "maintenance", json_boolean(st.maintenance));
    json_object_set_new(status, "shutting_down", json_boolean(h->shutting_down));
    bool peer_dead = !strcmp(st.node[CLUSTER_PEER].status, "dead");
    json_object_set_new(status, "verdict",
        json_string(
            peer_dead && st.verdict != CLUSTER_MAY ? cluster_verdict_text(st.verdict) : ""));
    json_object_set_new(status, "packets",
        json_pack("{s:I, s:I, s:I, s:I}", "received", (json_int_t)st.packets_received, "bad",
            (json_int_t)st.packets_bad, "lost", (json_int_t)st.packets_lost, "sent_again",
            (json_int_t)st.retransmitted));
    json_object_set_new(status, "parameters",
        json_pack("{s:i, s:i, s:i, s:i, s:i, s:s}", "keepalive", (int)c->keepalive_ms, "deadtime",
            (int)c->deadtime_ms, "warntime", (int)c->warntime_ms, "initdead", (int)c->initdead_ms,
            "udpport", (int)c->udpport, "auto_failback",
            c->auto_failback == CONF_FAILBACK_OFF  ? "off"
            : c->auto_failback == CONF_FAILBACK_ON ? "on"
                                                   : "legacy"));
    return status;
}
