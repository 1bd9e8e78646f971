/* SPDX-License-Identifier: Apache-2.0 */
/* The service engine's hands: each action a child process of ours that runs one agent. */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent.h"
#include "havend.h"

enum {
    OUTPUT_BYTES = 4096,
    ARGS_MAX = 540,
    MONITOR_DEFAULT_MS = 2000, /* where the file has no word for it */
    TICKLE_MS = 10000,
    SILENCE_MS = 300,
};

/* What an action may take.  A monitor that takes longer is asked once more before it counts. */
static const struct limits {
    uint32_t start_ms, stop_ms, monitor_ms;
    bool alone, cut;
} limits[] = {
    [CONF_ITEM_ADDRESS] = {10000, 10000, 5000, true, true},
    [CONF_ITEM_DRBD] = {30000, 20000, 5000, false, true},
    [CONF_ITEM_FILESYSTEM] = {60000, 60000, 20000, false, true},
    [CONF_ITEM_NFS_SERVER] = {40000, 20000, 3000, true, true},
    [CONF_ITEM_SCRIPT] = {120000, 60000, 20000, true, false},
};

struct action {
    struct hv_list link;
    struct havend *h;
    struct loop_child child;
    uint64_t token; /* 0: not the engine's (tickle, silence) */
    bool silences;  /* ends the server of a group whose volume is to be abandoned */
    size_t group, item;
    enum service_action action;
    bool cancelled;
    char output[OUTPUT_BYTES];
};

struct havend_actions {
    struct hv_list running;
    char **environment;
    struct hv_text variables; /* "NAME=value\0…" */
};

/* ---- configuration -------------------------------------------------------------------------- */

static bool is_resource(const struct conf_item *item)
{
    return item->kind != CONF_ITEM_EXPORT;
}

const struct conf_item *havend_item(const struct havend *h, size_t group, size_t item)
{
    const struct conf_service *s = &h->conf->services[group];

    for (size_t i = 0; i < s->n_items; i++)
        if (is_resource(&s->items[i]) && item-- == 0)
            return &s->items[i];
    return NULL;
}

static bool from_haresources(const struct conf_service *s)
{
    const char *slash = strrchr(s->file, '/');

    return !strcmp(slash ? slash + 1 : s->file, "haresources");
}

static size_t items_fill(const struct conf_service *s, struct service_item_config *to)
{
    size_t n = 0;

    for (size_t i = 0; i < s->n_items && n < SERVICE_ITEMS_MAX; i++) {
        if (!is_resource(&s->items[i]))
            continue;
        const struct limits *l = &limits[s->items[i].kind];
        to[n++] = (struct service_item_config){.name = s->items[i].word,
            .restarts_alone = l->alone,
            .start_can_be_cut = l->cut,
            .start_timeout_ms = l->start_ms,
            .stop_timeout_ms = l->stop_ms,
            .monitor_timeout_ms = l->monitor_ms};
    }
    return n;
}

static int engine_new(struct havend *h, struct hv_diag *diag)
{
    struct service_group_config *groups = calloc(h->conf->n_services + 1, sizeof *groups);
    struct service_item_config *items =
        calloc(h->conf->n_services + 1, SERVICE_ITEMS_MAX * sizeof *items);

    for (size_t g = 0; groups && items && g < h->conf->n_services; g++) {
        const struct conf_service *s = &h->conf->services[g];
        struct service_item_config *mine = items + g * SERVICE_ITEMS_MAX;
        groups[g] = (struct service_group_config){.name = s->name,
            .items = mine,
            .n_items = items_fill(s, mine),
            .monitor_ms = from_haresources(s) ? MONITOR_DEFAULT_MS : s->monitor_ms,
            .restarts = s->restarts};
    }
    if (groups && items)
        h->service = service_new(groups, h->conf->n_services, &h->log, diag);
    free(items);
    free(groups);
    return h->service ? HV_OK : HV_EINVAL;
}

/* ---- the scripts' environment (heartbeat §9, last line) --------------------------------------- */

static void variable(struct havend_actions *a, const char *name, const char *value)
{
    hv_text_addf(&a->variables, "%s=%s", name, value);
    hv_text_addn(&a->variables, "", 1);
}

static int environment_make(struct havend *h)
{
    struct havend_actions *a = h->actions;
    const struct conf_cluster *c = h->conf->cluster;
    char level[16], path[HAVEND_PATH_BYTES];
    size_t n = 0;

    snprintf(level, sizeof level, "%u", c->debug_level);
    const char *search = getenv("PATH");
    variable(a, "PATH",
        search ? search : "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    variable(a, "HOME", "/");
    variable(a, "LC_ALL", "C");
    variable(a, "HAVEN_ROOT", h->root);
    variable(a, "HA_CURHOST", h->node);
    snprintf(path, sizeof path, "%.3000s/etc/ha.d", h->root);
    variable(a, "HA_DIR", path);
    snprintf(path, sizeof path, "%.3000s/etc/ha.d/shellfuncs", h->root);
    variable(a, "HA_FUNCS", path);
    snprintf(path, sizeof path, "%.3000s/etc/ha.d/resource.d", h->root);
    variable(a, "HA_RESOURCEDIR", path);
    variable(a, "HA_DATEFMT", "%Y/%m/%d_%T ");
    variable(a, "HA_debug", level);
    variable(a, "HA_LOGD", c->use_logd ? "yes" : "no");
    if (c->logfile[0])
        variable(a, "HA_LOGFILE", c->logfile);
    if (c->debugfile[0])
        variable(a, "HA_DEBUGLOG", c->debugfile);
    if (c->logfacility[0])
        variable(a, "HA_LOGFACILITY", c->logfacility);
    for (size_t i = 0; i < c->n_envs; i++) {
        snprintf(path, sizeof path, "HA_%.1000s", c->envs[i].name);
        variable(a, path, c->envs[i].value);
    }
    if (a->variables.failed)
        return HV_ENOMEM;
    for (size_t at = 0; at < a->variables.length; at++)
        n += !a->variables.s[at];
    a->environment = calloc(n + 1, sizeof *a->environment);
    if (!a->environment)
        return HV_ENOMEM;
    char *at = a->variables.s;
    for (size_t i = 0; i < n; i++, at += strlen(at) + 1)
        a->environment[i] = at;
    return HV_OK;
}

/* ---- actions -------------------------------------------------------------------------------- */

static enum service_result result_of(const struct action *a)
{
    if (a->cancelled)
        return SERVICE_CANCELLED;
    if (a->child.timed_out)
        return SERVICE_TIMED_OUT;
    switch (a->child.exit_code) {
    case AGENT_OK:
        return SERVICE_OK;
    case AGENT_NOT_RUNNING:
        return SERVICE_NOT_RUNNING;
    case AGENT_CANNOT_TELL:
        return SERVICE_CANNOT_TELL;
    default:
        return SERVICE_ERROR;
    }
}

/* The last line is the result's; those before it are news on the way. */
static const char *log_output(const struct action *a, char *output)
{
    const char *name = a->silences ? "nfs-server" : "tickle";
    struct service_item_status st;
    size_t n = strlen(output);

    while (n && isspace((unsigned char)output[n - 1]))
        output[--n] = 0;
    if (a->token) {
        service_item_status(a->h->service, a->group, a->item, &st);
        name = st.name;
    }
    char *last = strrchr(output, '\n');
    for (char *line = output; last && line < last; line += strcspn(line, "\n") + 1)
        hv_log(&a->h->log, HV_LOG_INFO, "%s: %.*s", name, (int)strcspn(line, "\n"), line);
    last = last ? last + 1 : output;
    if (result_of(a) == SERVICE_OK && *last)
        hv_log(&a->h->log, HV_LOG_INFO, "%s: %s", name, last);
    return last;
}

static void release_abandoned(struct havend *h, size_t group)
{
    havend_volumes_abandon_suspended(h, (unsigned)group);
    havend_service_tell(h, (struct service_event){.kind = SERVICE_EV_STOP, .group = group});
}

static void action_done(struct loop_child *child)
{
    struct action *a = hv_container_of(child, struct action, child);
    struct havend *h = a->h;
    const char *why = log_output(a, a->output);

    hv_list_remove(&a->link);
    if (a->silences)
        release_abandoned(h, a->group);
    if (a->token)
        havend_service_tell(h, (struct service_event){.kind = SERVICE_EV_ACTION_DONE,
                                   .token = a->token,
                                   .result = result_of(a),
                                   .output = why});
    free(a);
}

/* Takes the action on success. */
static int action_start(
    struct havend *h, struct action *a, const char *verb, struct havend_words *w, uint32_t limit_ms)
{
    char *argv[ARGS_MAX];
    size_t n = 0;
    struct hv_diag diag = {""};

    a->h = h;
    a->child = (struct loop_child){
        .done = action_done, .output = a->output, .output_capacity = sizeof a->output};
    argv[n++] = (char *)"havend";
    argv[n++] = (char *)"--root";
    argv[n++] = (char *)(uintptr_t)h->root;
    if (h->config_file) {
        argv[n++] = (char *)"-c";
        argv[n++] = (char *)(uintptr_t)h->config_file;
    }
    argv[n++] = (char *)"--agent";
    argv[n++] = (char *)(uintptr_t)w->kind;
    argv[n++] = (char *)(uintptr_t)verb;
    for (size_t i = 0; i < w->n; i++)
        argv[n++] = w->word[i];
    argv[n] = NULL;
    struct loop_child_spec spec = {.path = "/proc/self/exe",
        .argv = argv,
        .envp = h->actions->environment,
        .limit_ms = limit_ms};
    int rc = loop_child_start(h->loop, &a->child, &spec, &diag);
    if (rc)
        hv_log(&h->log, HV_LOG_ERROR, "cannot run the agent %s: %s", w->kind, diag.text);
    else
        hv_list_push_back(&h->actions->running, &a->link);
    return rc;
}

static void run(struct havend *h, const struct service_effect *e)
{
    static const char *const verbs[] = {"monitor", "start", "stop", "monitor"};
    const struct conf_item *item = havend_item(h, e->group, e->item);
    struct havend_words words = {0};
    struct action *a = calloc(1, sizeof *a);

    havend_words_make(h, e->group, item, &words);
    if (a) {
        a->token = e->token;
        a->group = e->group;
        a->item = e->item;
        a->action = e->action;
        hv_list_init(&a->link);
    }
    if (!a || action_start(h, a, verbs[e->action], &words, e->timeout_ms)) {
        free(a);
        havend_service_tell(h, (struct service_event){.kind = SERVICE_EV_ACTION_DONE,
                                   .token = e->token,
                                   .result = SERVICE_ERROR,
                                   .output = "the agent could not be run"});
    }
    havend_words_free(&words);
}

/* Suspended I/O would hold every stop above the volume up for ever.  Its process is ended instead, which
 * fails what waits for it; but first the NFS server gets its SIGKILL, so that no client is told of that
 * failure.  Threads of it that wait for the disk die when the volume does: not waited for here. */
void havend_service_release(struct havend *h, size_t group)
{
    struct service_group_status st;

    service_group_status(h->service, group, &st);
    for (size_t i = 0; havend_volumes_suspended(h, (unsigned)group) && i < st.n_items; i++) {
        struct havend_words words = {0};
        const struct conf_item *item = havend_item(h, group, i);
        struct action *a = item->kind == CONF_ITEM_NFS_SERVER ? calloc(1, sizeof *a) : NULL;
        if (!a)
            continue;
        hv_list_init(&a->link);
        a->group = group;
        a->silences = true;
        havend_words_make(h, group, item, &words);
        int rc = action_start(h, a, "stop", &words, SILENCE_MS);
        havend_words_free(&words);
        if (!rc)
            return;
        free(a);
    }
    release_abandoned(h, group);
}

static void cancel(struct havend *h, uint64_t token)
{
    struct hv_list *node;

    hv_list_each(node, &h->actions->running)
    {
        struct action *a = hv_container_of(node, struct action, link);
        if (a->token == token) {
            a->cancelled = true;
            loop_child_kill(&a->child, SIGKILL);
        }
    }
}

/* Where a group's clients are remembered: on its file system, which the next holder has too.  Empty when
 * it has none. */
static void clients_file(const struct havend *h, size_t group, struct havend_words *words)
{
    const struct conf_service *s = &h->conf->services[group];
    char *word = NULL;

    for (size_t i = 0; i < s->n_items; i++)
        if (s->items[i].kind == CONF_ITEM_FILESYSTEM) {
            if (asprintf(&word, "file=%s/.haven/clients", s->items[i].mount.directory) >= 0)
                words->word[words->n++] = word;
            return;
        }
}

static void clients_add(struct havend_words *words, const struct cluster_tcp *list, unsigned count)
{
    for (unsigned i = 0; i < count && i < CLUSTER_TCP_MAX; i++) {
        char service[INET6_ADDRSTRLEN], client[INET6_ADDRSTRLEN], *word = NULL;
        int family = list[i].family == 6 ? AF_INET6 : AF_INET;
        if (inet_ntop(family, list[i].server, service, sizeof service) &&
            inet_ntop(family, list[i].client, client, sizeof client) &&
            asprintf(&word, "connection=%s,%u,%s,%u", service, list[i].server_port, client,
                list[i].client_port) >= 0)
            words->word[words->n++] = word;
    }
}

/* An action that no engine waits for. */
static void run_aside(struct havend *h, size_t group, struct havend_words *words)
{
    struct action *a = calloc(1, sizeof *a);

    if (a) {
        hv_list_init(&a->link);
        a->group = group;
    }
    if (!a || !words->n || action_start(h, a, "start", words, TICKLE_MS))
        free(a);
    havend_words_free(words);
}

void havend_tickle(struct havend *h, unsigned group, const struct cluster_tcp *list, unsigned count)
{
    struct havend_words words = {.kind = "tickle"};

    clients_add(&words, list, count);
    run_aside(h, group, &words);
}

void havend_clients_save(
    struct havend *h, size_t group, const struct cluster_tcp *list, unsigned count)
{
    struct havend_words words = {.kind = "clients"};
    struct service_group_status st;

    service_group_status(h->service, group, &st);
    if (st.state != SERVICE_STARTED)
        return;
    clients_file(h, group, &words);
    if (words.n)
        clients_add(&words, list, count);
    run_aside(h, group, &words);
}

static void tickle_remembered(struct havend *h, size_t group)
{
    struct havend_words words = {.kind = "tickle"};

    clients_file(h, group, &words);
    run_aside(h, group, &words);
}

/* ---- the engine ----------------------------------------------------------------------------- */

static void tell_cluster(struct havend *h, size_t group, enum cluster_service what)
{
    struct cluster_event ev = {.type = CLUSTER_EV_SERVICE};

    ev.service.group = (unsigned)group;
    ev.service.what = what;
    havend_cluster_tell(h, ev);
}

static bool any_item(const struct havend *h, size_t group, int kind, enum service_item_state state)
{
    struct service_group_status g;
    struct service_item_status it;

    service_group_status(h->service, group, &g);
    for (size_t i = 0; i < g.n_items; i++) {
        service_item_status(h->service, group, i, &it);
        if ((kind < 0 || (int)havend_item(h, group, i)->kind == kind) && it.state == state)
            return true;
    }
    return false;
}

static bool all_stopped(const struct havend *h, size_t group)
{
    return !any_item(h, group, -1, SERVICE_ITEM_STARTED) &&
           !any_item(h, group, -1, SERVICE_ITEM_UNKNOWN) &&
           !any_item(h, group, -1, SERVICE_ITEM_DEAD);
}

/* What an earlier havend left half done.  Where we are Primary nobody else is: go on with it.  A stray
 * address or mount without that may be the other node's by now: away with it. */
static void resolve_partial(struct havend *h, size_t group)
{
    bool primary = any_item(h, group, CONF_ITEM_DRBD, SERVICE_ITEM_STARTED);

    hv_log(&h->log, HV_LOG_WARN, "group %s: some of it runs here already; %s it",
        h->conf->services[group].name, primary ? "completing" : "stopping");
    havend_service_tell(
        h, (struct service_event){
               .kind = primary ? SERVICE_EV_START : SERVICE_EV_STOP, .group = group});
}

static void report(struct havend *h, const struct service_effect *e)
{
    switch (e->state) {
    case SERVICE_STARTED:
        tell_cluster(h, e->group, CLUSTER_SERVICE_STARTED);
        if (!e->reason[0]) /* not merely found running */
            tickle_remembered(h, e->group);
        break;
    case SERVICE_STOPPED:
        havend_volumes_group_stopped(h, (unsigned)e->group);
        tell_cluster(h, e->group, CLUSTER_SERVICE_STOPPED);
        break;
    case SERVICE_STOP_FAILED:
        hv_log(&h->log, HV_LOG_CRIT, "group %s cannot be stopped: %s. It stays here, and blocked.",
            h->conf->services[e->group].name, e->reason);
        tell_cluster(h, e->group, CLUSTER_SERVICE_STOP_FAILED);
        break;
    case SERVICE_PARTIAL:
        resolve_partial(h, e->group);
        break;
    default:
        break; /* FAILED: MOVE_NEEDED follows and is what counts */
    }
}

static void move_needed(struct havend *h, const struct service_effect *e)
{
    hv_log(&h->log, HV_LOG_ERROR, "group %s cannot be kept up here: %s",
        h->conf->services[e->group].name, e->reason);
    if (!all_stopped(h, e->group)) {
        tell_cluster(h, e->group, CLUSTER_SERVICE_MOVE_NEEDED);
        return;
    }
    /* Nothing of it runs here, so the other node may begin at once: we must not try again unasked.
     * This first: what the cluster answers may be that it should start here after all. */
    havend_service_tell(h, (struct service_event){.kind = SERVICE_EV_STOP, .group = e->group});
    tell_cluster(h, e->group, CLUSTER_SERVICE_START_FAILED);
}

static void notify(struct havend *h, const struct service_effect *e)
{
    struct service_group_status g;
    char text[512];

    service_group_status(h->service, e->group, &g);
    if (e->item == SERVICE_NO_ITEM) {
        snprintf(text, sizeof text, "group %.128s %s%s%.200s", g.name, service_state_name(e->state),
            e->reason[0] ? ": " : "", e->reason);
    } else {
        struct service_item_status it;
        service_item_status(h->service, e->group, e->item, &it);
        snprintf(text, sizeof text, "resource %.128s %s%s%.200s", it.name,
            service_item_state_name(it.state), e->reason[0] ? ": " : "", e->reason);
    }
    havend_ctl_notify(h, "service", text);
}

static void step(struct havend *h, struct service_event *ev)
{
    ev->now_ms = loop_clock_ms();
    service_step(h->service, ev, h->service_fx);
    for (size_t i = 0; i < h->service_fx->n; i++) {
        const struct service_effect *e = &h->service_fx->items[i];
        switch (e->kind) {
        case SERVICE_FX_RUN:
            run(h, e);
            break;
        case SERVICE_FX_CANCEL:
            cancel(h, e->token);
            break;
        case SERVICE_FX_REPORT:
            report(h, e);
            break;
        case SERVICE_FX_MOVE_NEEDED:
            move_needed(h, e);
            break;
        case SERVICE_FX_NOTIFY:
            notify(h, e);
            break;
        }
    }
}

void havend_service_tell(struct havend *h, struct service_event ev)
{
    if (h->service_busy) {
        if (h->service_queued < HAVEND_EVENTS_MAX)
            h->service_queue[h->service_queued++] = ev;
        else
            hv_log(&h->log, HV_LOG_CRIT, "too many service events at once; one is lost");
        return;
    }
    h->service_busy = true;
    step(h, &ev);
    while (h->service_queued) {
        ev = h->service_queue[0];
        memmove(h->service_queue, h->service_queue + 1, --h->service_queued * sizeof ev);
        step(h, &ev);
    }
    h->service_busy = false;
    uint64_t next_ms = service_next_timeout_ms(h->service);
    if (next_ms == UINT64_MAX)
        loop_timer_disarm(h->loop, &h->service_timer);
    else
        loop_timer_arm(h->loop, &h->service_timer, next_ms);
}

static void timer_fired(struct loop_timer *t)
{
    struct havend *h = hv_container_of(t, struct havend, service_timer);

    havend_service_tell(h, (struct service_event){.kind = SERVICE_EV_TICK});
}

int havend_service_open(struct havend *h, struct hv_diag *diag)
{
    h->service_fx = calloc(1, sizeof *h->service_fx);
    h->actions = calloc(1, sizeof *h->actions);
    if (!h->service_fx || !h->actions)
        return HV_ENOMEM;
    hv_list_init(&h->actions->running);
    h->service_timer.fired = timer_fired;
    int rc = environment_make(h);
    return rc ? rc : engine_new(h, diag);
}

void havend_service_close(struct havend *h)
{
    loop_timer_disarm(h->loop, &h->service_timer);
    if (h->actions) {
        struct hv_list *node;
        hv_list_each(node, &h->actions->running)
            loop_child_kill(&hv_container_of(node, struct action, link)->child, SIGKILL);
        for (int turns = 0; !hv_list_empty(&h->actions->running) && turns < 200; turns++)
            loop_turn(h->loop, 10);
        free(h->actions->environment);
        hv_text_free(&h->actions->variables);
    }
    free(h->actions);
    free(h->service_fx);
    service_free(h->service);
    h->service = NULL;
}
