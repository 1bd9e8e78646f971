/* SPDX-License-Identifier: Apache-2.0 */
/* The hand-over of groups from one node to the other (heartbeat §6.4, §6.5).  Between two havens a field
 * `groups` names them; a Heartbeat knows local, foreign and all only. */
#include <string.h>

#include "cluster_state.h"

/* The smallest scope, seen by `node`, that has all of `mask` in it. */
static unsigned scope_of(const struct cluster *c, uint64_t mask, enum cluster_node node)
{
    uint64_t local = cluster_mask_of(c, node);

    return (mask & local ? CLUSTER_LOCAL : 0u) | (mask & ~local ? CLUSTER_FOREIGN : 0u);
}

static void groups_add(struct cluster *c, struct hb_msg *m, uint64_t mask)
{
    char keys[KEYS_BYTES_MAX];

    if (!c->peer.haven)
        return;
    cluster_mask_text(c, mask, keys, sizeof keys);
    hb_msg_add(m, "groups", keys);
}

/* What a message of the peer's is about; its scope words are as its sender sees them. */
static uint64_t mask_read(const struct cluster *c, const struct hb_msg *m)
{
    const char *keys = hb_msg_get(m, "groups"), *hold = hb_msg_get(m, "rsc_hold");
    int scope = hold ? cluster_scope_from_name(hold) : CLUSTER_ALL;

    if (keys && c->peer.haven)
        return cluster_mask_parse(c, keys);
    return scope < 0 ? 0 : cluster_scope_mask(c, (unsigned)scope, CLUSTER_PEER);
}

static void ask_send(struct cluster *c, const char *info, uint64_t mask)
{
    struct hb_msg *m = cluster_msg_begin(c, "ask_resources");

    hb_msg_add(m, "rsc_hold", cluster_scope_name(c->standby_scope));
    hb_msg_add(m, "info", info);
    groups_add(c, m, mask);
    cluster_msg_send(c, false);
}

static void standby_end(struct cluster *c)
{
    c->standby = SB_NOT;
    c->standby_until_ms = CLUSTER_NEVER;
    cluster_notify_send(c, CLUSTER_NOTIFY_STATE, "standby finished");
}

static void standby_enter(struct cluster *c, enum standby_state state, uint64_t limit_ms)
{
    c->standby = state;
    c->standby_until_ms = c->now_ms + limit_ms;
}

/* A Heartbeat takes whole classes only. */
static bool peer_can_take(const struct cluster *c, uint64_t mask)
{
    unsigned scope = scope_of(c, mask, CLUSTER_ME);
    return c->peer.haven || mask == cluster_scope_mask(c, scope, CLUSTER_ME);
}

static bool hand_over_possible(const struct cluster *c)
{
    return c->rs == RS_STABLE && c->other_stable && c->standby == SB_NOT && c->peer.alive &&
           !c->peer.left && !c->isolated;
}

int cluster_standby_begin(struct cluster *c, uint64_t mask)
{
    if (!mask)
        return HV_EINVAL;
    if (!hand_over_possible(c))
        return HV_ESTATE;
    if (!peer_can_take(c, mask))
        return HV_EUNSUPPORTED;
    for (unsigned i = 0; i < c->groups; i++)
        if (mask >> i & 1 && (c->group[i].side[CLUSTER_ME].state == CLUSTER_GROUP_ACQUIRING ||
                                 c->group[i].side[CLUSTER_ME].state == CLUSTER_GROUP_RELEASING))
            return HV_ESTATE;
    c->standby_mask = mask;
    c->standby_scope = (enum cluster_scope)scope_of(c, mask, CLUSTER_ME);
    cluster_log(c, HV_LOG_INFO, "%s wants to go standby [%s]", c->cfg.me,
        cluster_scope_name(c->standby_scope));
    cluster_notify_send(c, CLUSTER_NOTIFY_STATE, "node %s goes standby [%s]", c->cfg.me,
        cluster_scope_name(c->standby_scope));
    standby_enter(c, SB_ME, STANDBY_REPLY_MS);
    c->other_stable = false;
    ask_send(c, "me", mask);
    return 0;
}

int cluster_takeover_ask(struct cluster *c, uint64_t mask)
{
    struct hb_msg *m;

    if (!mask)
        return HV_EINVAL;
    if (!hand_over_possible(c))
        return HV_ESTATE;
    if (!peer_can_take(c, mask))
        return HV_EUNSUPPORTED;
    m = cluster_msg_begin(c, "hb_takeover");
    hb_msg_add(m, "rsc_hold", cluster_scope_name(scope_of(c, mask, CLUSTER_ME)));
    groups_add(c, m, mask);
    cluster_msg_send(c, false);
    return 0;
}

void cluster_takeover_message(struct cluster *c, const struct hb_msg *m)
{
    int rc;

    if (c->maintenance)
        return;
    rc = cluster_standby_begin(c, mask_read(c, m));
    if (rc)
        cluster_log(
            c, HV_LOG_WARN, "takeover request from %s ignored: %s", c->cfg.peer, hv_strerror(rc));
}

/* ---- the messages ---- */

static void standby_request(struct cluster *c, const struct hb_msg *m)
{
    uint64_t mask = mask_read(c, m);
    const char *hold = hb_msg_get(m, "rsc_hold");
    int scope = hold ? cluster_scope_from_name(hold) : CLUSTER_ALL;
    bool other_stable = c->other_stable || c->standby == SB_OTHER;

    /* Two requests at once: the node whose name sorts first goes first. */
    if (c->standby == SB_ME && c->peer.haven && strcmp(c->cfg.peer, c->cfg.me) < 0) {
        cluster_log(c, HV_LOG_INFO, "standby: %s goes first", c->cfg.peer);
        standby_end(c);
        other_stable = true;
    }
    if (c->standby == SB_OTHER) { /* the peer begins again: it has given the first attempt up */
        standby_end(c);
    } else if (c->standby != SB_NOT) {
        cluster_log(
            c, HV_LOG_WARN, "Standby in progress- new request from %s ignored", c->cfg.peer);
        return;
    }
    if (c->rs != RS_STABLE || !other_stable || c->maintenance || scope <= 0 || !mask) {
        cluster_log(c, HV_LOG_WARN, "standby message [me] from %s ignored. Other side is in flux.",
            c->cfg.peer);
        return;
    }
    cluster_log(c, HV_LOG_INFO, "%s wants to go standby [%s]", c->cfg.peer,
        cluster_scope_name((unsigned)scope));
    c->standby_mask = mask;
    c->standby_scope = (enum cluster_scope)scope;
    /* Heartbeat may refuse its own request when it comes round: it says nothing then, so we do not wait
     * for ever.  Its report with info=standby shows that it goes on. */
    standby_enter(c, SB_OTHER, STANDBY_REPLY_MS);
    c->other_stable = false;
    ask_send(c, "other", mask);
}

void cluster_standby_peer_gives(struct cluster *c)
{
    if (c->standby == SB_OTHER)
        standby_enter(c, SB_OTHER, STANDBY_WORK_MS);
}

static void standby_accepted(struct cluster *c)
{
    cluster_log(c, HV_LOG_INFO, "standby: %s can take our %s resources", c->cfg.peer,
        cluster_scope_name(c->standby_scope));
    standby_enter(c, SB_GIVING, STANDBY_WORK_MS);
    cluster_groups_release(c, c->standby_mask);
    cluster_report_send(c, "standby");
    cluster_standby_advance(c);
}

static void standby_given(struct cluster *c, const struct hb_msg *m)
{
    c->standby_mask = mask_read(c, m);
    cluster_log(c, HV_LOG_INFO, "standby: acquire [%s] resources from %s",
        cluster_scope_name(c->standby_scope), c->cfg.peer);
    standby_enter(c, SB_TAKING, STANDBY_WORK_MS);
    cluster_groups_acquire(c, c->standby_mask);
    cluster_standby_advance(c);
}

static void standby_taken(struct cluster *c)
{
    cluster_log(c, HV_LOG_INFO, "Other node completed standby takeover of %s resources.",
        cluster_scope_name(c->standby_scope));
    standby_end(c);
    cluster_report_send(c, NULL);
}

void cluster_standby_message(struct cluster *c, const struct hb_msg *m, uint64_t seq)
{
    if (c->rs == RS_SHUTDOWN || c->rs == RS_INIT)
        return;
    if (seq > c->peer.standby_seq)
        c->peer.standby_seq = seq;
    if (hb_msg_is(m, "info", "me"))
        standby_request(c, m);
    else if (hb_msg_is(m, "info", "other") && c->standby == SB_ME)
        standby_accepted(c);
    else if (hb_msg_is(m, "info", "done") && c->standby == SB_OTHER)
        standby_given(c, m);
    else if (hb_msg_is(m, "info", "done") && c->standby == SB_DONE)
        standby_taken(c);
    else
        cluster_log(c, HV_LOG_ERROR, "Ignored standby message from %s in state %d", c->cfg.peer,
            (int)c->standby);
}

/* ---- progress ---- */

static uint64_t mask_in_state(const struct cluster *c, enum cluster_group_state state)
{
    uint64_t mask = 0;

    for (unsigned i = 0; i < c->groups; i++)
        if (c->group[i].side[CLUSTER_ME].state == state)
            mask |= UINT64_C(1) << i;
    return mask & c->standby_mask;
}

/* Everything that could be released is: say which, so that nothing else is started over there. */
static void giving_finished(struct cluster *c)
{
    uint64_t stuck = mask_in_state(c, CLUSTER_GROUP_STOP_FAILED);

    if (stuck && !c->peer.haven) { /* it would start them all */
        cluster_log(c, HV_LOG_CRIT, "standby given up: not everything could be stopped");
        cluster_standby_cancel(c);
        return;
    }
    cluster_log(c, HV_LOG_INFO, "Local standby process completed [%s].",
        cluster_scope_name(c->standby_scope));
    standby_enter(c, SB_DONE, STANDBY_WORK_MS);
    ask_send(c, "done", mask_in_state(c, CLUSTER_GROUP_IDLE));
}

static void taking_finished(struct cluster *c)
{
    cluster_log(c, HV_LOG_INFO, "Standby resource acquisition done [%s].",
        cluster_scope_name(c->standby_scope));
    ask_send(c, "done", mask_in_state(c, CLUSTER_GROUP_HELD));
    standby_end(c);
    cluster_report_send(c, NULL);
}

void cluster_standby_advance(struct cluster *c)
{
    if (c->standby == SB_GIVING && !mask_in_state(c, CLUSTER_GROUP_RELEASING))
        giving_finished(c);
    else if (c->standby == SB_TAKING && !mask_in_state(c, CLUSTER_GROUP_ACQUIRING))
        taking_finished(c);
}

/* Until `done` is sent the groups are ours, and we take them back. */
void cluster_standby_cancel(struct cluster *c)
{
    bool giving = c->standby == SB_GIVING;

    if (c->standby == SB_NOT)
        return;
    cluster_log(c, HV_LOG_INFO, "Cancelling pending standby operation");
    standby_end(c);
    c->other_stable = true;
    if (giving && c->rs == RS_STABLE && !c->isolated)
        cluster_groups_acquire(c, c->standby_mask);
}

/* We wait for the peer's next word, but it has left the hand-over: since its last one it has sent a
 * status that knows of none.  What is still under way gets as long as an answer may take. */
void cluster_standby_peer_out(struct cluster *c, uint64_t seq)
{
    if ((c->standby != SB_OTHER && c->standby != SB_DONE) || seq < c->peer.standby_seq)
        return;
    if (c->standby_until_ms > c->now_ms + STANDBY_REPLY_MS)
        c->standby_until_ms = c->now_ms + STANDBY_REPLY_MS;
}

void cluster_standby_timers(struct cluster *c)
{
    if (c->standby == SB_NOT || c->now_ms < c->standby_until_ms)
        return;
    if (c->standby == SB_ME)
        cluster_log(c, HV_LOG_WARN, "No reply to standby request.  Standby request cancelled.");
    cluster_standby_cancel(c);
    cluster_report_send(c, NULL);
}

uint64_t cluster_standby_next(const struct cluster *c)
{
    return c->standby_until_ms;
}
