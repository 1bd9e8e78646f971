/* SPDX-License-Identifier: Apache-2.0 */
/* Promotion and demotion (wire §7.2, §13, §14). */
#include "repl_admin.h"

enum { TRIES = 4 };

enum { P_PINGING, P_ASKING, P_FENCING, P_PEER_PRIMARY, P_DURABLE };

static void next_volume(struct repl_admin_action *a)
{
    a->volume++;
    a->phase = P_ASKING;
    a->tries = a->transient_tries = 0;
    a->forced = a->mask_pdsk = a->mask_disk = a->last_try = false;
}

static void fence_answered(struct repl *r, struct repl_volume *v, int exit_code)
{
    struct repl_admin_action *a = &r->ctl.admin;
    bool fenced = repl_fence_result(r, exit_code);

    if (!r->ctl.admin_running || a->args.verb != REPL_ADM_PRIMARY || a->phase != P_FENCING)
        return;
    a->fenced = fenced;
    a->waiting = false;
}

/* Runs the handler for the promotion; its answer is a->fenced. */
static void fence_begin(struct repl *r, struct repl_admin_action *a)
{
    a->phase = P_FENCING;
    a->fenced = repl_fencing_policy(r) == REPL_FENCE_DONT_CARE;
    a->waiting = !a->fenced && repl_fence_start(r, fence_answered);
}

/* The handler has answered: what may be asked for now? */
static void fence_end(struct repl *r, struct repl_admin_action *a)
{
    a->phase = P_ASKING;
    if (a->fence_for == SS_NO_UP_TO_DATE_DISK) {
        a->mask_disk = a->mask_disk || a->fenced;
        return;
    }
    if (a->fenced || !a->args.force)
        return;
    repl_log(r, HV_LOG_WARN, "Forced into split brain situation!");
    a->mask_pdsk = true;
}

/* A refusal: is there something to be done about it?  WAIT: yes, and it has begun. */
static int refused(struct repl *r, struct repl_admin_action *a, struct repl_volume *v, int rv)
{
    if (a->tries++ < TRIES) {
        if (rv == SS_CW_FAILED_BY_PEER && a->mask_pdsk) {
            a->mask_pdsk = false;
            return REPL_ADMIN_WAIT;
        }
        if (rv == SS_NO_UP_TO_DATE_DISK && a->args.force && !a->forced &&
            v->state.disk < D_UP_TO_DATE && v->state.disk >= D_INCONSISTENT) {
            a->mask_disk = a->forced = true;
            return REPL_ADMIN_WAIT;
        }
        if ((rv == SS_NO_UP_TO_DATE_DISK && v->state.disk == D_CONSISTENT && !a->mask_pdsk) ||
            (rv == SS_PRIMARY_NOP && !a->mask_pdsk)) {
            a->fence_for = rv;
            fence_begin(r, a);
            return REPL_ADMIN_WAIT;
        }
        if (rv == SS_TWO_PRIMARIES) {
            /* Perhaps the ping shows in a moment that the peer is dead. */
            a->tries = TRIES;
            a->phase = P_PEER_PRIMARY;
            repl_admin_sleep(r, a, ((uint64_t)r->config.net.ping_timeout_ds + 1) * 100);
            return REPL_ADMIN_WAIT;
        }
    }
    if (rv == SS_CW_FAILED_BY_PEER && !a->last_try) {
        a->last_try = true;
        return REPL_ADMIN_WAIT;
    }
    return rv;
}

/* The role has changed: the identifiers follow, and must be durable before the device is opened. */
static void promoted(struct repl *r, struct repl_admin_action *a, struct repl_volume *v)
{
    bool alone = v->state.conn < C_CONNECTED || v->state.pdsk <= D_FAILED;

    if (a->forced)
        repl_volume_log(v, HV_LOG_WARN, "Forced to consider local data as UpToDate!");
    r->ctl.discard_my_data = false;
    if (repl_has_disk(v, D_NEGOTIATING)) {
        if ((alone && !v->md.uuid[MD_UUID_BITMAP]) || a->forced)
            repl_uuid_new_current(v);
        repl_uuid_role_bit(v);
    }
    a->phase = P_DURABLE;
}

static int ask(struct repl *r, struct repl_admin_action *a, struct repl_volume *v)
{
    struct drbd_state mask = {.role = R_MASK}, val = {.role = R_PRIMARY};
    int rv;

    if (a->mask_disk) {
        mask.disk = D_MASK;
        val.disk = D_UP_TO_DATE;
    }
    if (a->mask_pdsk) {
        mask.pdsk = D_MASK;
        val.pdsk = D_OUTDATED;
    }
    rv = repl_admin_change(r, a, v, &mask, &val);
    if (rv == REPL_ADMIN_WAIT)
        return rv;
    if (rv == SS_NOTHING_TO_DO) {
        next_volume(a);
        return rv;
    }
    if (rv < SS_SUCCESS)
        return refused(r, a, v, rv) == REPL_ADMIN_WAIT ? SS_SUCCESS : rv;
    promoted(r, a, v);
    return rv;
}

static int durable(struct repl *r, struct repl_admin_action *a, struct repl_volume *v)
{
    int rv = repl_admin_durable(r, a, v);

    if (rv != SS_SUCCESS)
        return rv;
    v->ctl.primary_durable = true;
    if (v->state.conn >= C_WF_REPORT_PARAMS) {
        if (a->forced)
            repl_send_uuids(v);
        repl_send_state(v, &v->state);
    }
    a->changed = true;
    next_volume(a);
    return SS_SUCCESS;
}

static int primary_step(struct repl *r, struct repl_admin_action *a, struct repl_volume *v)
{
    switch (a->phase) {
    case P_PINGING:
        repl_ping(r);
        a->phase = P_ASKING;
        return SS_SUCCESS;
    case P_ASKING:
        return ask(r, a, v);
    case P_FENCING:
        if (a->waiting)
            return REPL_ADMIN_WAIT;
        fence_end(r, a);
        return SS_SUCCESS;
    case P_PEER_PRIMARY:
        /* Sooner, when the connection is lost before. */
        if (a->until_ms > r->now_ms && v->state.conn >= C_CONNECTED)
            return REPL_ADMIN_WAIT;
        a->until_ms = 0;
        a->phase = P_ASKING;
        return SS_SUCCESS;
    default:
        return durable(r, a, v);
    }
}

int repl_verb_primary(struct repl *r, struct repl_admin_action *a)
{
    if (a->phase == P_PINGING)
        a->volume = 0;
    while (a->volume < r->config.volumes) {
        int rv = primary_step(r, a, &r->volumes[a->volume]);
        if (rv == REPL_ADMIN_WAIT)
            return rv;
        if (rv < SS_SUCCESS || rv > 100)
            return rv;
    }
    return a->changed ? SS_SUCCESS : SS_NOTHING_TO_DO;
}

static bool frozen(const struct repl *r)
{
    for (uint32_t i = 0; i < r->config.volumes; i++)
        if (repl_suspended(&r->volumes[i]))
            return true;
    return false;
}

/* Nobody may begin to write any more, or may again. */
static void allow_writers(struct repl *r, bool allow)
{
    for (uint32_t i = 0; i < r->config.volumes; i++)
        r->volumes[i].ctl.primary_durable = allow && r->role == R_PRIMARY;
}

static int demote(struct repl *r)
{
    const struct drbd_state mask = {.role = R_MASK}, val = {.role = R_SECONDARY};
    int rv = repl_all_change(r, &mask, &val, REPL_CHG_VERBOSE, "secondary");

    if (rv != SS_SUCCESS) {
        allow_writers(r, true);
        return rv;
    }
    for (uint32_t i = 0; i < r->config.volumes; i++) {
        struct repl_volume *v = &r->volumes[i];
        if (v->disk_open && v->state.disk >= D_INCONSISTENT)
            repl_uuid_role_bit(v);
        if (v->state.conn >= C_WF_REPORT_PARAMS)
            repl_send_state(v, &v->state);
    }
    return rv;
}

int repl_verb_secondary(struct repl *r, struct repl_admin_action *a)
{
    if (a->phase == 0) {
        if (a->args.device_open && r->role == R_PRIMARY)
            return SS_DEVICE_IN_USE;
        allow_writers(r, false);
        a->phase = 1;
    }
    if (a->phase == 1) {
        int rv;
        /* What was begun as Primary ends as Primary: the peer is told of the role only when no write is
         * under way that it has not got. */
        if (!repl_data_app_idle(r) && frozen(r)) {
            allow_writers(r, true);
            return SS_DEVICE_IN_USE;
        }
        if (!repl_data_app_idle(r))
            return REPL_ADMIN_WAIT;
        rv = demote(r);
        if (rv != SS_SUCCESS)
            return rv;
        a->phase = 2;
    }
    return repl_admin_durable(r, a, NULL);
}
