/* SPDX-License-Identifier: Apache-2.0 */
/* Handlers, and what the fence-peer handler decides (admin §5, wire §14.2). */
#include "repl_control.h"

/* --- handlers --- */

void repl_handler(
    struct repl *r, enum repl_handler which, struct repl_volume *v, repl_handler_fn done)
{
    struct repl_ctl *c = &r->ctl;
    struct repl_handler_slot *slot = NULL;
    struct repl_effect *fx;
    uint32_t n;

    for (n = 0; n < REPL_HANDLER_SLOTS; n++)
        if (!c->handler[n].busy) {
            slot = &c->handler[n];
            break;
        }
    hv_assert(slot);
    slot->busy = true;
    slot->generation++;
    slot->which = which;
    slot->v = v;
    slot->done = done;
    if (v)
        repl_volume_log(v, HV_LOG_INFO, "helper command: %s", repl_handler_name(which));
    else
        repl_log(r, HV_LOG_INFO, "helper command: %s", repl_handler_name(which));
    fx = repl_fx(r, REPL_FX_HANDLER);
    fx->token = (uint64_t)slot->generation << 32 | (n + 1);
    fx->handler.which = which;
    fx->handler.volume = v ? v->index : -1;
}

void repl_handler_done(struct repl *r, const struct repl_event *ev)
{
    uint32_t n = (uint32_t)ev->token - 1;
    struct repl_handler_slot was;
    int code = ev->handler.exit_code;

    hv_assert(n < REPL_HANDLER_SLOTS);
    was = r->ctl.handler[n];
    hv_assert(was.busy && was.generation == (uint32_t)(ev->token >> 32));
    r->ctl.handler[n].busy = false;
    if (was.v)
        repl_volume_log(was.v, HV_LOG_INFO, "helper command: %s exit code %d (0x%x)",
            repl_handler_name(was.which), code, (unsigned)code << 8);
    else
        repl_log(r, HV_LOG_INFO, "helper command: %s exit code %d (0x%x)",
            repl_handler_name(was.which), code, (unsigned)code << 8);
    if (was.done)
        was.done(r, was.v, code);
}

/* --- fencing --- */

static enum drbd_disk highest_disk(const struct repl *r)
{
    enum drbd_disk disk = D_DISKLESS;

    for (uint32_t i = 0; i < r->config.volumes; i++)
        if (r->volumes[i].state.disk > disk)
            disk = r->volumes[i].state.disk;
    return disk;
}

static enum drbd_disk highest_pdsk(const struct repl *r)
{
    enum drbd_disk pdsk = D_DISKLESS;

    for (uint32_t i = 0; i < r->config.volumes; i++)
        if (r->volumes[i].state.pdsk > pdsk)
            pdsk = r->volumes[i].state.pdsk;
    return pdsk;
}

static void set_pdsk(struct drbd_state *mask, struct drbd_state *val, enum drbd_disk pdsk)
{
    mask->pdsk = D_MASK;
    val->pdsk = pdsk;
}

/* False: the handler is broken, or says that the peer is not fenced. */
static bool interpret(struct repl *r, int code, struct drbd_state *mask, struct drbd_state *val)
{
    const char *meaning;

    switch (code) {
    case 3:
        meaning = "peer is inconsistent or worse";
        set_pdsk(mask, val, D_INCONSISTENT);
        break;
    case 4:
        meaning = "peer was fenced";
        set_pdsk(mask, val, D_OUTDATED);
        break;
    case 5:
        if (highest_disk(r) == D_UP_TO_DATE) {
            meaning = "peer is unreachable, assumed to be dead";
            set_pdsk(mask, val, D_OUTDATED);
        } else {
            meaning = "peer unreachable, doing nothing since disk != UpToDate";
        }
        break;
    case 6:
        repl_log(r, HV_LOG_WARN, "Peer is primary, outdating myself.");
        meaning = "peer is active";
        mask->disk = D_MASK;
        val->disk = D_OUTDATED;
        break;
    case 7:
        if (repl_fencing_policy(r) != REPL_FENCE_RESOURCE_AND_STONITH)
            repl_log(r, HV_LOG_ERROR, "fence-peer() = 7 && fencing != Stonith !!!");
        meaning = "peer was stonithed";
        set_pdsk(mask, val, D_OUTDATED);
        break;
    default:
        repl_log(r, HV_LOG_ERROR, "fence-peer helper broken, returned %d", code);
        return false;
    }
    repl_log(r, HV_LOG_INFO, "fence-peer helper returned %d (%s)", code, meaning);
    return true;
}

bool repl_fence_result(struct repl *r, int exit_code)
{
    struct drbd_state mask = {.role = R_UNKNOWN}, val = {.role = R_UNKNOWN};

    r->ctl.fencing = false;
    if (!interpret(r, exit_code, &mask, &val))
        return false;
    if (r->conn >= C_WF_REPORT_PARAMS || r->ctl.connect_count != r->ctl.fence_connect_count) {
        repl_log(r, HV_LOG_INFO, "Ignoring fence-peer exit code");
        return highest_pdsk(r) <= D_OUTDATED;
    }
    repl_all_change(r, &mask, &val, REPL_CHG_VERBOSE, "fence-peer");
    return highest_pdsk(r) <= D_OUTDATED;
}

bool repl_fence_start(struct repl *r, repl_handler_fn done)
{
    if (r->conn >= C_WF_REPORT_PARAMS || r->ctl.fencing)
        return false;
    if (highest_disk(r) < D_CONSISTENT) {
        repl_log(r, HV_LOG_WARN, "Not fencing peer, I'm not even Consistent myself.");
        return false;
    }
    r->ctl.fencing = true;
    r->ctl.fence_connect_count = r->ctl.connect_count;
    repl_handler(r, REPL_H_FENCE_PEER, NULL, done);
    return true;
}

static void fenced(struct repl *r, struct repl_volume *v, int exit_code)
{
    bool stale = r->ctl.connect_count != r->ctl.fence_connect_count;

    /* The peer came and went while the handler ran: its answer is about the loss before. */
    if (!repl_fence_result(r, exit_code) && stale && r->conn < C_WF_REPORT_PARAMS)
        repl_fence_peer(r);
}

/* A Primary has lost its peer, and nothing says that the peer's data is old. */
void repl_fence_peer(struct repl *r)
{
    if (r->role != R_PRIMARY || highest_pdsk(r) < D_UNKNOWN ||
        repl_fencing_policy(r) == REPL_FENCE_DONT_CARE)
        return;
    repl_fence_start(r, fenced);
}

/* The frozen requests go on with this disk alone: with a new UUID first, when one is due. */
void repl_thaw_fenced(struct repl_volume *v)
{
    struct drbd_state mask = {.susp_fen = true}, val = {.susp_fen = false};
    struct repl *r = v->r;

    for (uint32_t i = 0; i < r->config.volumes; i++) {
        struct repl_volume *each = &r->volumes[i];
        if (each->ctl.new_cur_uuid && repl_has_disk(each, D_UP_TO_DATE))
            repl_uuid_new_current(each);
        each->ctl.new_cur_uuid = false;
    }
    repl_all_change(r, &mask, &val, REPL_CHG_HARD, "peer is fenced");
}
