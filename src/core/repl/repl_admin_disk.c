/* SPDX-License-Identifier: Apache-2.0 */
/* Attach, detach, and what is asked of the data: invalidate, outdate, verify, new identifiers (admin §2). */
#include "repl_admin.h"

/* The volumes an action is for, one after the other: SS_SUCCESS while there is one. */
static struct repl_volume *volume_of(struct repl *r, const struct repl_admin_action *a)
{
    return a->volume < r->config.volumes ? &r->volumes[a->volume] : NULL;
}

/* True when there is another one. */
static bool volume_next(struct repl *r, struct repl_admin_action *a)
{
    a->phase = a->tries = a->transient_tries = 0;
    if (!a->args.all_volumes)
        return false;
    a->volume++;
    return a->volume < r->config.volumes;
}

/* --- attach and detach --- */

int repl_verb_attach(struct repl *r, struct repl_admin_action *a)
{
    struct repl_volume *v = volume_of(r, a);

    if (a->phase == 0) {
        if (v->state.disk == D_FAILED || (v->state.disk == D_DISKLESS && v->disk_open))
            return REPL_ADMIN_WAIT; /* the disk before is being closed */
        if (v->state.disk != D_DISKLESS)
            return ERR_DISK_CONFIGURED;
        a->phase = 1;
        repl_attach_begin(v, &a->args.attach);
    }
    if (!repl_attach_over(v))
        return REPL_ADMIN_WAIT;
    if (v->ctl.att.retcode != SS_SUCCESS && v->disk_open)
        return REPL_ADMIN_WAIT; /* answered when the host has been told to close it */
    repl_admin_text(r, v->ctl.att.text);
    return v->ctl.att.retcode;
}

static int detach_ask(struct repl *r, struct repl_admin_action *a, struct repl_volume *v)
{
    const struct drbd_state mask = {.disk = D_MASK}, val = {.disk = D_FAILED};

    if (!a->args.force)
        return repl_admin_change(r, a, v, &mask, &val);
    return repl_state_change(
        v, repl_state_apply(v->state, &mask, &val), REPL_CHG_HARD, "forced detach");
}

int repl_verb_detach(struct repl *r, struct repl_admin_action *a)
{
    do {
        struct repl_volume *v = volume_of(r, a);
        if (a->phase == 0) {
            int rv = SS_NOTHING_TO_DO;
            /* Without I/O in flight the disk is gone by the time the answer is looked at. */
            if (a->waiting || v->state.disk > D_ATTACHING) {
                rv = detach_ask(r, a, v);
                if (rv == REPL_ADMIN_WAIT)
                    return rv;
            }
            if (rv < SS_SUCCESS && rv != SS_IS_DISKLESS)
                return rv;
            a->phase = 1;
        }
        repl_disk_settle(v);
        if (v->disk_open && v->state.disk != D_ATTACHING)
            return REPL_ADMIN_WAIT;
    } while (volume_next(r, a));
    return SS_SUCCESS;
}

/* --- invalidate --- */

static void mark_all(struct repl_volume *v)
{
    v->md.flags |= MDF_FULL_SYNC;
    repl_md_mark(v);
    bitmap_set_all(&v->bm);
    repl_sync_full_bitmap_write(v);
}

/* Without a connection only the mark is made; with one a full sync begins. */
static int invalidate_one(struct repl *r, struct repl_admin_action *a, struct repl_volume *v)
{
    bool remote = a->args.verb == REPL_ADM_INVALIDATE_REMOTE;
    struct drbd_state mask = {.conn = C_MASK}, val = {.conn = C_STARTING_SYNC_T};
    bool local_only;
    int rv;

    if (v->state.disk < D_INCONSISTENT)
        return ERR_NO_DISK;
    local_only = v->state.conn == C_STANDALONE &&
                 (remote ? v->state.role == R_PRIMARY : v->state.role == R_SECONDARY);
    if (local_only) {
        mask = (struct drbd_state){.disk = remote ? 0 : D_MASK, .pdsk = remote ? D_MASK : 0};
        val = (struct drbd_state){.disk = D_INCONSISTENT, .pdsk = D_INCONSISTENT};
    } else if (remote) {
        val.conn = C_STARTING_SYNC_S;
    }
    rv = repl_admin_change(r, a, v, &mask, &val);
    if (rv >= SS_SUCCESS && local_only)
        mark_all(v);
    return rv;
}

int repl_verb_invalidate(struct repl *r, struct repl_admin_action *a)
{
    do {
        struct repl_volume *v = volume_of(r, a);
        int rv;
        if (a->phase == 0) {
            rv = invalidate_one(r, a, v);
            if (rv == REPL_ADMIN_WAIT || rv < SS_SUCCESS || rv > 100)
                return rv;
            a->phase = 1;
        }
        rv = repl_admin_durable(r, a, v);
        if (rv != SS_SUCCESS)
            return rv;
    } while (volume_next(r, a));
    return SS_SUCCESS;
}

/* --- outdate --- */

int repl_verb_outdate(struct repl *r, struct repl_admin_action *a)
{
    const struct drbd_state mask = {.disk = D_MASK}, val = {.disk = D_OUTDATED};

    do {
        struct repl_volume *v = volume_of(r, a);
        int rv;
        if (a->phase == 0) {
            if (v->state.conn >= C_CONNECTED)
                return SS_CONNECTED_OUTDATES;
            rv = repl_admin_change(r, a, v, &mask, &val);
            if (rv == REPL_ADMIN_WAIT || rv < SS_SUCCESS)
                return rv;
            a->phase = 1;
        }
        rv = repl_admin_durable(r, a, v);
        if (rv != SS_SUCCESS)
            return rv;
    } while (volume_next(r, a));
    return SS_SUCCESS;
}

/* --- verify, pause, suspend --- */

int repl_verb_verify(struct repl *r, struct repl_admin_action *a)
{
    const struct drbd_state mask = {.conn = C_MASK}, val = {.conn = C_VERIFY_S};
    struct repl_volume *v = volume_of(r, a);
    int rv = repl_admin_change(r, a, v, &mask, &val);

    if (rv >= SS_SUCCESS && rv != SS_NOTHING_TO_DO && v->state.conn == C_VERIFY_S)
        repl_verify_start(v, a->args.start_sector, a->args.stop_sector);
    return rv;
}

int repl_verb_pause(struct repl *r, struct repl_admin_action *a)
{
    bool pause = a->args.verb == REPL_ADM_PAUSE_SYNC;

    do {
        struct repl_volume *v = volume_of(r, a);
        struct drbd_state ns = v->state;
        int rv;
        ns.user_isp = pause;
        rv = repl_state_change(v, ns, REPL_CHG_VERBOSE, pause ? "pause-sync" : "resume-sync");
        if (rv == SS_NOTHING_TO_DO)
            return pause ? ERR_PAUSE_IS_SET : ERR_PAUSE_IS_CLEAR;
        if (rv < SS_SUCCESS)
            return rv;
    } while (volume_next(r, a));
    return SS_SUCCESS;
}

int repl_verb_suspend(struct repl *r, struct repl_admin_action *a)
{
    struct drbd_state mask = {.susp = true}, val = {.susp = true};

    if (a->args.verb == REPL_ADM_SUSPEND_IO)
        return repl_all_change(r, &mask, &val, REPL_CHG_VERBOSE, "suspend-io");
    for (uint32_t i = 0; i < r->config.volumes; i++) {
        struct repl_volume *v = &r->volumes[i];
        if (v->ctl.new_cur_uuid && repl_has_disk(v, D_UP_TO_DATE))
            repl_uuid_new_current(v);
        v->ctl.new_cur_uuid = false;
    }
    mask = (struct drbd_state){.susp = true, .susp_nod = true, .susp_fen = true};
    val = (struct drbd_state){.susp = false};
    return repl_all_change(r, &mask, &val, REPL_CHG_VERBOSE, "resume-io");
}

/* --- new-current-uuid --- */

static void clear_bitmap(struct repl_volume *v)
{
    bitmap_clear_all(&v->bm);
    repl_bm_write(v, 0, UINT32_MAX, NULL, NULL);
}

/* Both disks are fresh, connected, and declared equal (wire §6.4, flag 8). */
static void skip_initial_sync(struct repl_volume *v)
{
    struct drbd_state ns = v->state;

    v->ctl.skip_initial_sync = true;
    repl_send_uuids(v);
    v->ctl.skip_initial_sync = false;
    v->md.uuid[MD_UUID_BITMAP] = 0;
    repl_md_mark(v);
    repl_uuid_log(v, "cleared bitmap UUID");
    ns.disk = D_UP_TO_DATE;
    ns.pdsk = D_UP_TO_DATE;
    repl_state_change(v, ns, REPL_CHG_VERBOSE, "skip initial sync");
}

int repl_verb_new_uuid(struct repl *r, struct repl_admin_action *a)
{
    do {
        struct repl_volume *v = volume_of(r, a);
        bool skip = a->args.clear_bitmap && v->state.conn == C_CONNECTED &&
                    r->agreed_version >= 90 && v->md.uuid[MD_UUID_CURRENT] == MD_UUID_JUST_CREATED;
        int rv;
        if (a->phase == 0) {
            if (!repl_has_disk(v, D_NEGOTIATING))
                return ERR_NO_DISK;
            if (!skip && v->state.conn != C_STANDALONE)
                return ERR_CONNECTED;
            repl_uuid_rotate_bitmap(v);
            repl_uuid_new_current(v);
            if (a->args.clear_bitmap)
                clear_bitmap(v);
            if (skip)
                skip_initial_sync(v);
            a->phase = 1;
        }
        rv = repl_admin_durable(r, a, v);
        if (rv != SS_SUCCESS)
            return rv;
    } while (volume_next(r, a));
    return SS_SUCCESS;
}

int repl_verb_disk_options(struct repl *r, struct repl_admin_action *a)
{
    struct repl_volume *v = volume_of(r, a);
    uint64_t size = v->config.disk.size_sectors;

    if (!a->args.disk)
        return ERR_INVALID_REQUEST;
    v->config.disk = a->disk;
    v->config.disk.size_sectors = size; /* `resize` changes that */
    if (v->al && actlog_is_idle(v->al))
        actlog_set_updates(v->al, v->config.disk.al_updates);
    if (r->conn >= C_WF_REPORT_PARAMS)
        repl_send_sync_param(v);
    return SS_SUCCESS;
}
