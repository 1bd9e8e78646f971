/* SPDX-License-Identifier: Apache-2.0 */
/* The state gate: propose, sanitise, validate, commit, log, and tell everybody.
 *
 * What follows from a change may change the state again.  So the after-work is queued: a change made
 * within it is committed at once, and its own after-work runs when that before it is over. */
#include <stdio.h>
#include <string.h>

#include "repl_control.h"

static bool same(const struct drbd_state *a, const struct drbd_state *b)
{
    return drbd_state_pack(a) == drbd_state_pack(b);
}

enum repl_fencing repl_fencing_policy(const struct repl *r)
{
    enum repl_fencing policy = REPL_FENCE_DONT_CARE;

    for (uint32_t i = 0; i < r->config.volumes; i++) {
        const struct repl_volume *v = &r->volumes[i];
        if (v->config.disk.fencing > policy)
            policy = v->config.disk.fencing;
    }
    return policy;
}

/* --- logging --- */

struct line {
    char text[256];
    size_t length;
};

static void line_add(struct line *l, const char *field, const char *from, const char *to)
{
    int n = snprintf(
        l->text + l->length, sizeof l->text - l->length, "%s( %s -> %s ) ", field, from, to);

    if (n > 0 && (size_t)n < sizeof l->text - l->length)
        l->length += (size_t)n;
}

static void line_add_bit(struct line *l, const char *field, bool from, bool to)
{
    if (from != to)
        line_add(l, field, from ? "1" : "0", to ? "1" : "0");
}

static void line_fill(struct line *l, const struct drbd_state *os, const struct drbd_state *ns)
{
    if (os->role != ns->role)
        line_add(l, "role", drbd_role_name(os->role), drbd_role_name(ns->role));
    if (os->peer != ns->peer)
        line_add(l, "peer", drbd_role_name(os->peer), drbd_role_name(ns->peer));
    if (os->conn != ns->conn)
        line_add(l, "conn", drbd_conn_name(os->conn), drbd_conn_name(ns->conn));
    if (os->disk != ns->disk)
        line_add(l, "disk", drbd_disk_name(os->disk), drbd_disk_name(ns->disk));
    if (os->pdsk != ns->pdsk)
        line_add(l, "pdsk", drbd_disk_name(os->pdsk), drbd_disk_name(ns->pdsk));
    line_add_bit(l, "susp", os->susp || os->susp_nod || os->susp_fen,
        ns->susp || ns->susp_nod || ns->susp_fen);
    line_add_bit(l, "aftr_isp", os->aftr_isp, ns->aftr_isp);
    line_add_bit(l, "peer_isp", os->peer_isp, ns->peer_isp);
    line_add_bit(l, "user_isp", os->user_isp, ns->user_isp);
}

/* --- commit --- */

static void note_resync_pause(
    struct repl_volume *v, const struct drbd_state *os, const struct drbd_state *ns)
{
    bool was = os->conn == C_PAUSED_SYNC_S || os->conn == C_PAUSED_SYNC_T;
    bool is = ns->conn == C_PAUSED_SYNC_S || ns->conn == C_PAUSED_SYNC_T;

    if (was && (ns->conn == C_SYNC_SOURCE || ns->conn == C_SYNC_TARGET))
        repl_volume_log(v, HV_LOG_INFO, "Syncer continues.");
    if (is && (os->conn == C_SYNC_SOURCE || os->conn == C_SYNC_TARGET))
        repl_volume_log(v, HV_LOG_INFO, "Resync suspended");
}

static void commit(struct repl_volume *v, struct drbd_state ns)
{
    struct repl *r = v->r;
    struct drbd_state os = v->state;
    struct repl_after *after;

    v->state = ns;
    r->ctl.changes++;
    r->role = ns.role;
    if (ns.conn >= C_CONNECTED && r->conn == C_WF_REPORT_PARAMS)
        r->conn = C_CONNECTED;
    if (os.disk == D_ATTACHING && ns.disk >= D_NEGOTIATING)
        repl_uuid_log(v, "attached to UUIDs");
    note_resync_pause(v, &os, &ns);
    if ((os.disk != D_UP_TO_DATE || os.pdsk != D_UP_TO_DATE) && ns.disk == D_UP_TO_DATE &&
        ns.pdsk == D_UP_TO_DATE) {
        v->ctl.crashed_primary = false;
        v->peer_uuids.flags &= ~(uint64_t)DRBD_UUID_FLAG_CRASHED_PRIMARY;
    }
    if (ns.disk >= D_INCONSISTENT && v->disk_open) {
        uint32_t flags = repl_state_md_flags(v, &ns);
        if (flags != v->md.flags) {
            v->md.flags = flags;
            repl_md_mark(v);
        }
        if (os.disk < D_CONSISTENT && ns.disk >= D_CONSISTENT)
            v->exposed_uuid = v->md.uuid[MD_UUID_CURRENT];
    }
    if (os.disk == D_INCONSISTENT && os.pdsk == D_INCONSISTENT && os.peer == R_SECONDARY &&
        ns.peer == R_PRIMARY)
        v->ctl.consider_resync = true;
    if (os.conn < C_CONNECTED && ns.conn >= C_CONNECTED) {
        r->ctl.connect_count++;
        if (v->al && actlog_is_suspended(v->al))
            actlog_resume(v->al);
    }
    hv_assert(r->ctl.afters < REPL_AFTER_QUEUE);
    after = &r->ctl.after[(r->ctl.after_first + r->ctl.afters++) % REPL_AFTER_QUEUE];
    *after = (struct repl_after){.v = v, .from = os, .to = ns};
    repl_changed(r, v->index);
}

void repl_state_drain(struct repl *r)
{
    struct repl_ctl *c = &r->ctl;

    if (c->draining)
        return;
    c->draining = true;
    while (c->afters) {
        struct repl_after a = c->after[c->after_first];
        c->after_first = (c->after_first + 1) % REPL_AFTER_QUEUE;
        c->afters--;
        repl_ctl_after_state(a.v, &a.from, &a.to);
        repl_data_after_state(a.v, a.from, a.to);
    }
    c->draining = false;
    repl_conn_tell_lost(r);
    repl_cw_review(r);
}

/* --- the gate --- */

static int judge(struct repl_volume *v, struct drbd_state *ns, unsigned flags, const char **warning)
{
    const struct drbd_state *os = &v->state;
    int rv;

    *ns = repl_state_sanitize(v, os, *ns, warning);
    if (same(os, ns))
        return SS_NOTHING_TO_DO;
    rv = repl_state_hard(os, ns);
    if (rv < SS_SUCCESS || (flags & REPL_CHG_HARD))
        return rv;
    rv = repl_state_valid(v, ns);
    if (rv >= SS_SUCCESS || repl_state_valid(v, os) == rv)
        rv = repl_state_soft(v, os, ns);
    return rv;
}

static void refuse(struct repl_volume *v, const struct drbd_state *want, int rv, const char *cause)
{
    if (rv == SS_IN_TRANSIENT_STATE)
        return;
    repl_volume_log(v, HV_LOG_ERROR, "State change failed: %s (%s)", drbd_retcode_text(rv), cause);
    repl_volume_log(v, HV_LOG_ERROR, "  state = { cs:%s ro:%s/%s ds:%s/%s }",
        drbd_conn_name(v->state.conn), drbd_role_name(v->state.role), drbd_role_name(v->state.peer),
        drbd_disk_name(v->state.disk), drbd_disk_name(v->state.pdsk));
    repl_volume_log(v, HV_LOG_ERROR, " wanted = { cs:%s ro:%s/%s ds:%s/%s }",
        drbd_conn_name(want->conn), drbd_role_name(want->role), drbd_role_name(want->peer),
        drbd_disk_name(want->disk), drbd_disk_name(want->pdsk));
}

int repl_state_change(
    struct repl_volume *v, struct drbd_state want, unsigned flags, const char *cause)
{
    const char *warning;
    struct line line = {.length = 0};
    struct drbd_state ns = want;
    int rv = judge(v, &ns, flags, &warning);

    if (rv == SS_NOTHING_TO_DO)
        return rv;
    if (rv < SS_SUCCESS) {
        if (flags & REPL_CHG_VERBOSE)
            refuse(v, &ns, rv, cause);
        return rv;
    }
    if (warning)
        repl_volume_log(v, HV_LOG_WARN, "%s", warning);
    line_fill(&line, &v->state, &ns);
    if (line.length)
        repl_volume_log(v, HV_LOG_INFO, "%s", line.text);
    commit(v, ns);
    repl_state_drain(v->r);
    return SS_SUCCESS;
}

/* The fields that all volumes change alike are one line of the resource, the others one of the volume. */
static void log_all(struct repl *r, const struct drbd_state *ns)
{
    bool alike = true;

    for (uint32_t i = 1; i < r->config.volumes; i++)
        alike = alike && same(&r->volumes[i].state, &r->volumes[0].state) && same(&ns[i], &ns[0]);
    for (uint32_t i = 0; i < r->config.volumes; i++) {
        struct line line = {.length = 0};
        line_fill(&line, &r->volumes[i].state, &ns[i]);
        if (alike && i > 0)
            return;
        if (!line.length)
            continue;
        if (alike)
            repl_log(r, HV_LOG_INFO, "%s", line.text);
        else
            repl_volume_log(&r->volumes[i], HV_LOG_INFO, "%s", line.text);
    }
}

int repl_all_change(struct repl *r, const struct drbd_state *mask, const struct drbd_state *val,
    unsigned flags, const char *cause)
{
    struct drbd_state ns[REPL_VOLUMES_MAX];
    int result = SS_NOTHING_TO_DO;
    const char *warning;

    for (uint32_t i = 0; i < r->config.volumes; i++) {
        struct repl_volume *v = &r->volumes[i];
        int rv;
        ns[i] = repl_state_apply(v->state, mask, val);
        rv = judge(v, &ns[i], flags, &warning);
        if (rv < SS_SUCCESS) {
            if (flags & REPL_CHG_VERBOSE)
                refuse(v, &ns[i], rv, cause);
            return rv;
        }
        if (warning)
            repl_volume_log(v, HV_LOG_WARN, "%s", warning);
        if (rv == SS_SUCCESS)
            result = rv;
    }
    log_all(r, ns);
    for (uint32_t i = 0; i < r->config.volumes; i++)
        if (!same(&r->volumes[i].state, &ns[i]))
            commit(&r->volumes[i], ns[i]);
    repl_state_drain(r);
    return result;
}

int repl_conn_change(struct repl *r, enum drbd_conn conn, unsigned flags, const char *cause)
{
    const struct drbd_state mask = {.conn = C_MASK}, val = {.conn = conn};
    enum drbd_conn before = r->conn;
    int rv;

    /* Told first: what runs after the change looks at the connection's state, too. */
    r->conn = conn;
    rv = repl_all_change(r, &mask, &val, flags, cause);
    if (rv < SS_SUCCESS)
        r->conn = before;
    else
        repl_changed(r, -1);
    return rv;
}
