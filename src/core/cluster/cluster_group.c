/* SPDX-License-Identifier: Apache-2.0 */
/* What this node does with each group, what it knows of the peer's, and groups that nobody holds. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster_state.h"

const char *cluster_group_state_name(enum cluster_group_state state)
{
    static const char *const names[] = {"idle", "acquiring", "held", "releasing", "stop failed"};
    return (unsigned)state < sizeof names / sizeof *names ? names[state] : "?";
}

static uint64_t bit(unsigned group)
{
    return UINT64_C(1) << group;
}

/* The next blank-separated word; NULL at the end. */
static const char *word_next(const char **text, size_t *n)
{
    const char *word = *text + strspn(*text, " ");

    *n = strcspn(word, " ");
    *text = word + *n;
    return *n ? word : NULL;
}

/* ---- masks ---- */

bool cluster_group_claimed(const struct cluster_group *g, enum cluster_node node)
{
    enum cluster_group_state state = g->side[node].state;
    return state == CLUSTER_GROUP_ACQUIRING || state == CLUSTER_GROUP_HELD;
}

uint64_t cluster_mask_all(const struct cluster *c)
{
    return bit(c->groups) - 1;
}

uint64_t cluster_mask_of(const struct cluster *c, enum cluster_node node)
{
    uint64_t mask = 0;

    for (unsigned i = 0; i < c->groups; i++)
        if (c->group[i].prefer == node)
            mask |= bit(i);
    return mask;
}

uint64_t cluster_mask_claimed(const struct cluster *c, enum cluster_node node)
{
    uint64_t mask = 0;

    for (unsigned i = 0; i < c->groups; i++)
        if (cluster_group_claimed(&c->group[i], node))
            mask |= bit(i);
    return mask;
}

unsigned cluster_holds(const struct cluster *c)
{
    uint64_t mine = cluster_mask_claimed(c, CLUSTER_ME);

    return (mine & cluster_mask_of(c, CLUSTER_ME) ? CLUSTER_LOCAL : 0u) |
           (mine & cluster_mask_of(c, CLUSTER_PEER) ? CLUSTER_FOREIGN : 0u);
}

static const char *const scope_names[] = {"none", "local", "foreign", "all"};

const char *cluster_scope_name(unsigned scope)
{
    return scope_names[scope & CLUSTER_ALL];
}

int cluster_scope_from_name(const char *name)
{
    for (int i = 0; i < 4; i++)
        if (strcmp(scope_names[i], name) == 0)
            return i;
    return HV_EPROTO;
}

uint64_t cluster_scope_mask(const struct cluster *c, unsigned scope, enum cluster_node seen_by)
{
    enum cluster_node other = seen_by == CLUSTER_ME ? CLUSTER_PEER : CLUSTER_ME;

    return (scope & CLUSTER_LOCAL ? cluster_mask_of(c, seen_by) : 0) |
           (scope & CLUSTER_FOREIGN ? cluster_mask_of(c, other) : 0);
}

/* The keys of `mask`, each followed by a blank, and back. */
void cluster_mask_text(const struct cluster *c, uint64_t mask, char *text, size_t capacity)
{
    size_t length = 0;

    text[0] = 0;
    for (unsigned i = 0; i < c->groups; i++) {
        size_t n = strlen(c->group[i].key);

        if (!(mask & bit(i)) || capacity - length < n + 2)
            continue;
        memcpy(text + length, c->group[i].key, n);
        length += n;
        text[length++] = ' ';
        text[length] = 0;
    }
}

uint64_t cluster_mask_parse(const struct cluster *c, const char *text)
{
    uint64_t mask = 0;

    for (;;) {
        size_t n;
        const char *key = word_next(&text, &n);

        if (!key)
            return mask;
        for (unsigned i = 0; i < c->groups; i++)
            if (strlen(c->group[i].key) == n && memcmp(c->group[i].key, key, n) == 0)
                mask |= bit(i);
    }
}

/* ---- this node ---- */

static void my_state_set(struct cluster *c, struct cluster_group *g, enum cluster_group_state state)
{
    g->side[CLUSTER_ME].state = state;
    if (g->real)
        cluster_notify_send(c, CLUSTER_NOTIFY_GROUP, "group %s %s on %s", g->key,
            cluster_group_state_name(state), c->cfg.me);
}

static void effect_group(struct cluster *c, enum cluster_effect_type type, unsigned group)
{
    cluster_effect_add(c, type)->group = group;
}

static void group_acquire(struct cluster *c, unsigned i)
{
    struct cluster_group *g = &c->group[i];
    struct cluster_side *mine = &g->side[CLUSTER_ME], *peers = &g->side[CLUSTER_PEER];

    if (mine->state == CLUSTER_GROUP_RELEASING) {
        g->take_when_stopped = true;
        return;
    }
    if (cluster_group_claimed(g, CLUSTER_ME))
        return;
    mine->claim = 1 + (mine->claim > peers->claim ? mine->claim : peers->claim);
    mine->suspect = false;
    g->idle_since_ms = CLUSTER_NEVER;
    if (!g->real) {
        mine->state = CLUSTER_GROUP_HELD;
        return;
    }
    my_state_set(c, g, CLUSTER_GROUP_ACQUIRING);
    effect_group(c, CLUSTER_FX_ACQUIRE, i);
}

void cluster_groups_acquire(struct cluster *c, uint64_t mask)
{
    for (unsigned i = 0; i < c->groups; i++)
        if (mask & bit(i))
            group_acquire(c, i);
}

void cluster_groups_release(struct cluster *c, uint64_t mask)
{
    for (unsigned i = 0; i < c->groups; i++) {
        struct cluster_group *g = &c->group[i];
        enum cluster_group_state state = g->side[CLUSTER_ME].state;

        if (!(mask & bit(i)))
            continue;
        g->take_when_stopped = false;
        if (state == CLUSTER_GROUP_IDLE || state == CLUSTER_GROUP_RELEASING)
            continue;
        if (!g->real) {
            g->side[CLUSTER_ME].state = CLUSTER_GROUP_IDLE;
            continue;
        }
        my_state_set(c, g, CLUSTER_GROUP_RELEASING);
        effect_group(c, CLUSTER_FX_RELEASE, i);
    }
}

static void tickle_send(struct cluster *c, unsigned i)
{
    struct cluster_group *g = &c->group[i];
    struct cluster_effect *e;

    if (g->tcp_count == 0)
        return;
    e = cluster_effect_add(c, CLUSTER_FX_TICKLE);
    e->tickle.group = i;
    e->tickle.list = g->tcp;
    e->tickle.count = g->tcp_count;
    g->tcp_count = 0; /* the list itself stays as it is until the peer sends another */
}

static void group_started(struct cluster *c, unsigned i)
{
    struct cluster_group *g = &c->group[i];
    struct cluster_side *mine = &g->side[CLUSTER_ME];

    if (mine->state == CLUSTER_GROUP_RELEASING || mine->state == CLUSTER_GROUP_HELD)
        return;
    if (mine->state != CLUSTER_GROUP_ACQUIRING) { /* found running: it is ours */
        uint32_t known = g->side[CLUSTER_PEER].claim;
        mine->claim = 1 + (mine->claim > known ? mine->claim : known);
        /* We do not know what happened while nobody watched it: a peer that claims it keeps it. */
        mine->suspect = true;
        c->stalled_ms = c->now_ms;
    }
    mine->failures = 0;
    g->retry_at_ms = CLUSTER_NEVER;
    g->idle_since_ms = CLUSTER_NEVER;
    my_state_set(c, g, CLUSTER_GROUP_HELD);
    tickle_send(c, i);
}

static void group_stopped(struct cluster *c, unsigned i)
{
    struct cluster_group *g = &c->group[i];

    if (g->side[CLUSTER_ME].state == CLUSTER_GROUP_IDLE ||
        g->side[CLUSTER_ME].state == CLUSTER_GROUP_ACQUIRING)
        return;
    my_state_set(c, g, CLUSTER_GROUP_IDLE);
    if (g->take_when_stopped) {
        g->take_when_stopped = false;
        group_acquire(c, i);
    }
}

static void group_start_failed(struct cluster *c, unsigned i)
{
    struct cluster_group *g = &c->group[i];
    uint64_t pause = c->cfg.start_retry_ms ? c->cfg.start_retry_ms : START_RETRY_MS;

    if (g->side[CLUSTER_ME].state != CLUSTER_GROUP_ACQUIRING)
        return;
    g->side[CLUSTER_ME].failures++;
    g->retry_at_ms = c->now_ms + pause;
    cluster_log(c, HV_LOG_CRIT, "Giving up resources due to failure of %s", g->key);
    my_state_set(c, g, CLUSTER_GROUP_IDLE);
}

static void group_stop_failed(struct cluster *c, unsigned i)
{
    struct cluster_group *g = &c->group[i];

    cluster_log(c, HV_LOG_CRIT,
        "Group %s could not be stopped; it is not started on another node until this one is gone.",
        g->key);
    g->take_when_stopped = false;
    my_state_set(c, g, CLUSTER_GROUP_STOP_FAILED);
}

static void group_move_needed(struct cluster *c, unsigned i)
{
    struct cluster_group *g = &c->group[i];
    const struct cluster_side *peers = &g->side[CLUSTER_PEER];

    if (g->side[CLUSTER_ME].state != CLUSTER_GROUP_HELD)
        return;
    g->side[CLUSTER_ME].failures++;
    if (peers->failures == 0 && !c->maintenance && cluster_standby_begin(c, bit(i)) == 0)
        return;
    cluster_log(c, HV_LOG_ERROR, "Group %s runs badly here, and the peer cannot take it: it stays.",
        g->key);
    cluster_notify_send(
        c, CLUSTER_NOTIFY_STATE, "group %s fails on %s and cannot be moved", g->key, c->cfg.me);
}

void cluster_group_service(struct cluster *c, unsigned group, enum cluster_service what)
{
    switch (what) {
    case CLUSTER_SERVICE_STARTED:
        group_started(c, group);
        break;
    case CLUSTER_SERVICE_STOPPED:
        group_stopped(c, group);
        break;
    case CLUSTER_SERVICE_START_FAILED:
        group_start_failed(c, group);
        break;
    case CLUSTER_SERVICE_STOP_FAILED:
        group_stop_failed(c, group);
        break;
    case CLUSTER_SERVICE_MOVE_NEEDED:
        group_move_needed(c, group);
        break;
    }
    cluster_standby_advance(c);
    if (c->comm_up)
        cluster_status_send(c); /* the peer's decisions need it */
}

/* ---- the peer ---- */

static void peer_state_set(
    struct cluster *c, struct cluster_group *g, enum cluster_group_state state)
{
    if (g->side[CLUSTER_PEER].state == state)
        return;
    g->side[CLUSTER_PEER].state = state;
    if (g->real)
        cluster_notify_send(c, CLUSTER_NOTIFY_GROUP, "group %s %s on %s", g->key,
            cluster_group_state_name(state), c->cfg.peer);
}

void cluster_peer_holds(struct cluster *c, unsigned holds)
{
    uint64_t mask = cluster_scope_mask(c, holds, CLUSTER_PEER);

    c->peer.holds = holds;
    for (unsigned i = 0; i < c->groups; i++)
        peer_state_set(c, &c->group[i], mask & bit(i) ? CLUSTER_GROUP_HELD : CLUSTER_GROUP_IDLE);
}

void cluster_peer_idle(struct cluster *c)
{
    cluster_peer_holds(c, 0);
}

/* One letter for the state, then v: volumes good, s: suspect. */
static const char state_letters[] = "iahrf";

void cluster_groups_text(const struct cluster *c, char *text, size_t capacity)
{
    size_t length = 0;

    text[0] = 0;
    for (unsigned i = 0; i < c->groups; i++) {
        const struct cluster_group *g = &c->group[i];
        const struct cluster_side *mine = &g->side[CLUSTER_ME];
        int n = snprintf(text + length, capacity - length, "%s %c%s%s %u %u ", g->key,
            state_letters[mine->state], mine->volumes_good ? "v" : "", mine->suspect ? "s" : "",
            mine->claim, mine->failures);

        if (n < 0 || (size_t)n >= capacity - length) {
            text[length] = 0;
            return;
        }
        length += (size_t)n;
    }
}

static struct cluster_group *group_by_key(struct cluster *c, const char *key, size_t n)
{
    for (unsigned i = 0; i < c->groups; i++)
        if (strlen(c->group[i].key) == n && memcmp(c->group[i].key, key, n) == 0)
            return &c->group[i];
    return NULL;
}

static void side_learn(struct cluster *c, struct cluster_group *g, const char *flags,
    size_t flags_bytes, unsigned claim, unsigned failures)
{
    struct cluster_side *s = &g->side[CLUSTER_PEER];
    const char *letter = strchr(state_letters, flags[0]);

    if (!letter)
        return;
    s->volumes_good = memchr(flags, 'v', flags_bytes) != NULL;
    s->suspect = memchr(flags, 's', flags_bytes) != NULL;
    s->claim = claim;
    s->failures = failures;
    peer_state_set(c, g, (enum cluster_group_state)(letter - state_letters));
}

void cluster_groups_learn(struct cluster *c, const char *text, uint64_t seq)
{
    if (seq < c->peer.groups_seq)
        return;
    c->peer.groups_seq = seq;
    for (;;) {
        size_t key_bytes, flags_bytes, n;
        const char *key = word_next(&text, &key_bytes), *flags = word_next(&text, &flags_bytes);
        const char *claim = word_next(&text, &n), *failures = word_next(&text, &n);
        struct cluster_group *g = failures ? group_by_key(c, key, key_bytes) : NULL;

        if (!failures)
            break;
        if (g)
            side_learn(c, g, flags, flags_bytes, (unsigned)strtoul(claim, NULL, 10),
                (unsigned)strtoul(failures, NULL, 10));
    }
    cluster_claim_resolve(c);
}

/* ---- groups that nobody holds ---- */

static bool alone(const struct cluster *c)
{
    return !c->peer.alive || c->peer.left;
}

static bool audit_allowed(const struct cluster *c)
{
    if (c->rs != RS_STABLE || c->maintenance || c->isolated || c->standby != SB_NOT ||
        c->takeover_pending)
        return false;
    return alone(c) || (c->other_stable && strcmp(c->peer.status, "active") == 0);
}

/* Two stable nodes and an idle group: the node that failed less takes it, of equals the preferred one.
 * A Heartbeat says nothing about failures and takes nothing for this reason: it is always up to us. */
static bool my_turn(const struct cluster *c, const struct cluster_group *g)
{
    const struct cluster_side *mine = &g->side[CLUSTER_ME], *peers = &g->side[CLUSTER_PEER];

    if (alone(c) || !c->peer.haven)
        return true;
    if (mine->failures != peers->failures)
        return mine->failures < peers->failures;
    return g->prefer == CLUSTER_ME;
}

static uint64_t audit_at_ms(const struct cluster *c, const struct cluster_group *g)
{
    uint64_t settled;

    if (g->idle_since_ms == CLUSTER_NEVER || !my_turn(c, g))
        return CLUSTER_NEVER;
    settled = g->idle_since_ms + 2 * c->cfg.keepalive_ms;
    if (!alone(c) && !c->peer.haven)
        settled = g->idle_since_ms + HEARTBEAT_SETTLES_MS;
    if (g->side[CLUSTER_ME].failures && g->retry_at_ms != CLUSTER_NEVER && g->retry_at_ms > settled)
        return g->retry_at_ms;
    return settled;
}

static void idle_note(const struct cluster *c, struct cluster_group *g)
{
    bool idle = g->side[CLUSTER_ME].state == CLUSTER_GROUP_IDLE &&
                g->side[CLUSTER_PEER].state == CLUSTER_GROUP_IDLE;

    if (!idle)
        g->idle_since_ms = CLUSTER_NEVER;
    else if (g->idle_since_ms == CLUSTER_NEVER)
        g->idle_since_ms = c->now_ms;
}

void cluster_groups_timers(struct cluster *c)
{
    bool allowed = audit_allowed(c);
    uint64_t mask = 0;

    for (unsigned i = 0; i < c->groups; i++) {
        struct cluster_group *g = &c->group[i];

        if (allowed)
            idle_note(c, g);
        else
            g->idle_since_ms = CLUSTER_NEVER;
        if (audit_at_ms(c, g) <= c->now_ms)
            mask |= bit(i);
    }
    if (mask) {
        cluster_groups_acquire(c, mask);
        cluster_report_send(c, NULL);
        cluster_status_send(c);
    }
}

uint64_t cluster_groups_next(const struct cluster *c)
{
    uint64_t next = CLUSTER_NEVER, at;

    if (!audit_allowed(c))
        return next;
    for (unsigned i = 0; i < c->groups; i++)
        if ((at = audit_at_ms(c, &c->group[i])) < next)
            next = at;
    return next;
}
