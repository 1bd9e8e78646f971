/* SPDX-License-Identifier: Apache-2.0 */
/* The control socket (doc/control.md, havend). */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "havend.h"

enum { EXIT_REFUSED = 1, OUTDATE_ASKERS_MAX = 64 };

struct asker {
    struct ctl_request *request; /* NULL: free */
    char resource[CLUSTER_NAME_BYTES];
};

struct havend_ctl {
    struct ctl_server *server;
    struct asker asker[OUTDATE_ASKERS_MAX];
};

static void reply_admin(struct havend *h, struct ctl_request *r, struct cluster_event *ev)
{
    ev->type = CLUSTER_EV_ADMIN;
    int rc = havend_cluster_tell(h, *ev);
    switch (rc) {
    case HV_OK:
        ctl_reply(r, NULL);
        break;
    case HV_ESTATE:
        ctl_reply_error(r, EXIT_REFUSED,
            "not now: resources are on their way, or the other node cannot take them");
        break;
    case HV_EUNSUPPORTED:
        ctl_reply_error(r, EXIT_REFUSED,
            "the other node is a Heartbeat, which can only move all groups of a node together");
        break;
    default:
        ctl_reply_error(r, EXIT_REFUSED, "%s", hv_strerror(rc));
    }
}

static bool parse_scope(const char *word, enum cluster_scope *scope)
{
    static const struct {
        const char *word;
        enum cluster_scope scope;
    } words[] = {{"", CLUSTER_ALL}, {"all", CLUSTER_ALL}, {"local", CLUSTER_LOCAL},
        {"foreign", CLUSTER_FOREIGN}, {"failback", CLUSTER_FOREIGN}};

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (!strcmp(words[i].word, word)) {
            *scope = words[i].scope;
            return true;
        }
    return false;
}

static void verb_ping(struct havend *h, struct ctl_request *r)
{
    (void)h;
    ctl_reply(r, json_pack("{s:i, s:s}", "pid", (int)getpid(), "version", HAVEN_VERSION));
}

static void verb_status(struct havend *h, struct ctl_request *r)
{
    ctl_reply(r, json_pack("{s:o}", "status", havend_status(h)));
}

static void verb_subscribe(struct havend *h, struct ctl_request *r)
{
    ctl_subscribe(r);
    verb_status(h, r);
}

static void verb_scope(struct havend *h, struct ctl_request *r)
{
    struct cluster_event ev = {0};
    bool standby = !strcmp(r->verb, "standby");

    ev.admin.command = standby ? CLUSTER_ADMIN_STANDBY : CLUSTER_ADMIN_TAKEOVER;
    if (!parse_scope(ctl_string(r->body, "scope"), &ev.admin.scope)) {
        ctl_reply_error(r, EXIT_REFUSED, "wrong resources(%s)", ctl_string(r->body, "scope"));
        return;
    }
    if (standby)
        hv_log(&h->log, HV_LOG_INFO, "Going standby [%s].",
            *ctl_string(r->body, "scope") ? ctl_string(r->body, "scope") : "all");
    reply_admin(h, r, &ev);
}

static bool find_group(struct havend *h, struct ctl_request *r, unsigned *group)
{
    const char *name = ctl_string(r->body, "group");
    size_t n = service_group_find(h->service, name);

    /* One group alone needs no name: those of haresources are long. */
    if (!*name && service_group_count(h->service) == 1)
        n = 0;
    *group = (unsigned)n;
    if (n < service_group_count(h->service))
        return true;
    ctl_reply_error(r, EXIT_REFUSED, *name ? "there is no group '%s'" : "which group?%s", name);
    return false;
}

static void verb_move(struct havend *h, struct ctl_request *r)
{
    static struct cluster_status st; /* large; one thread */
    const char *to = ctl_string(r->body, "to");
    struct cluster_event ev = {0};

    ev.admin.command = CLUSTER_ADMIN_MOVE;
    if (!find_group(h, r, &ev.admin.group))
        return;
    cluster_status_get(h->cluster, loop_clock_ms(), &st);
    if (!*to)
        ev.admin.to = st.group[ev.admin.group].state[CLUSTER_ME] == CLUSTER_GROUP_IDLE
                          ? CLUSTER_ME
                          : CLUSTER_PEER;
    else if (!strcmp(to, st.node[CLUSTER_ME].name))
        ev.admin.to = CLUSTER_ME;
    else if (!strcmp(to, st.node[CLUSTER_PEER].name))
        ev.admin.to = CLUSTER_PEER;
    else {
        ctl_reply_error(r, EXIT_REFUSED, "there is no node '%s'", to);
        return;
    }
    reply_admin(h, r, &ev);
}

static void verb_retry(struct havend *h, struct ctl_request *r)
{
    struct cluster_event ev = {0};

    ev.admin.command = CLUSTER_ADMIN_RETRY;
    if (find_group(h, r, &ev.admin.group))
        reply_admin(h, r, &ev);
}

static void verb_maintenance(struct havend *h, struct ctl_request *r)
{
    struct cluster_event ev = {0};

    ev.admin.command =
        ctl_flag(r->body, "on") ? CLUSTER_ADMIN_MAINTENANCE_ON : CLUSTER_ADMIN_MAINTENANCE_OFF;
    reply_admin(h, r, &ev);
}

static void verb_shutdown(struct havend *h, struct ctl_request *r)
{
    ctl_reply(r, NULL);
    havend_shutdown(h);
}

static void verb_outdate_peer(struct havend *h, struct ctl_request *r)
{
    struct cluster_event ev = {.type = CLUSTER_EV_OUTDATE_ASK};
    struct asker *a = NULL;

    for (size_t i = 0; i < OUTDATE_ASKERS_MAX && !a; i++)
        if (!h->ctl->asker[i].request)
            a = &h->ctl->asker[i];
    if (!a) {
        ctl_reply_error(r, EXIT_REFUSED, "too many ask at once");
        return;
    }
    a->request = r;
    hv_strcopy(a->resource, sizeof a->resource, ctl_string(r->body, "resource"));
    hv_strcopy(ev.outdate.resource, sizeof ev.outdate.resource, a->resource);
    havend_cluster_tell(h, ev);
}

void havend_ctl_outdate_answer(struct havend *h, const char *resource, int code)
{
    for (size_t i = 0; h->ctl && i < OUTDATE_ASKERS_MAX; i++) {
        struct asker *a = &h->ctl->asker[i];
        if (!a->request || strcmp(a->resource, resource))
            continue;
        ctl_reply(a->request, json_pack("{s:i}", "code", code));
        a->request = NULL;
    }
}

static void handle(void *arg, struct ctl_request *r)
{
    static const struct {
        const char *verb;
        void (*run)(struct havend *h, struct ctl_request *r);
    } verbs[] = {{"ping", verb_ping}, {"status", verb_status}, {"subscribe", verb_subscribe},
        {"standby", verb_scope}, {"takeover", verb_scope}, {"move", verb_move},
        {"retry", verb_retry}, {"maintenance", verb_maintenance}, {"shutdown", verb_shutdown},
        {"outdate-peer", verb_outdate_peer}};

    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
        if (!strcmp(verbs[i].verb, r->verb)) {
            verbs[i].run(arg, r);
            return;
        }
    ctl_reply_error(r, EXIT_REFUSED, "'%s' is not understood", r->verb);
}

void havend_ctl_notify(struct havend *h, const char *what, const char *text)
{
    struct timespec now;

    if (!h->ctl || !ctl_has_subscribers(h->ctl->server))
        return;
    clock_gettime(CLOCK_REALTIME, &now);
    ctl_publish(
        h->ctl->server, json_pack("{s:s, s:s, s:s, s:f}", "event", "change", "what", what, "text",
                            text, "time", (double)now.tv_sec + (double)now.tv_nsec / 1e9));
}

int havend_ctl_open(struct havend *h, struct hv_diag *diag)
{
    char path[CTL_PATH_MAX];

    h->ctl = calloc(1, sizeof *h->ctl);
    if (!h->ctl)
        return HV_ENOMEM;
    if (!ctl_path(path, sizeof path, h->root, "havend")) {
        hv_diag_set(diag, "the path of the control socket is too long");
        return HV_EINVAL;
    }
    return ctl_server_new(h->loop, path, handle, h, &h->ctl->server, diag);
}

void havend_ctl_close(struct havend *h)
{
    struct havend_ctl *c = h->ctl;

    if (!c)
        return;
    h->ctl = NULL;
    for (size_t i = 0; i < OUTDATE_ASKERS_MAX; i++)
        if (c->asker[i].request)
            ctl_reply_error(c->asker[i].request, EXIT_REFUSED, "havend ends");
    if (c->server)
        ctl_server_free(c->server);
    free(c);
}
