/* SPDX-License-Identifier: Apache-2.0 */
/* The engine's frame: made, stepped, asked, freed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "repl_control.h"

static const char *const handler_names[REPL_HANDLERS] = {
    [REPL_H_FENCE_PEER] = "fence-peer",
    [REPL_H_UNFENCE_PEER] = "unfence-peer",
    [REPL_H_BEFORE_RESYNC_TARGET] = "before-resync-target",
    [REPL_H_BEFORE_RESYNC_SOURCE] = "before-resync-source",
    [REPL_H_AFTER_RESYNC_TARGET] = "after-resync-target",
    [REPL_H_PRI_ON_INCON_DEGR] = "pri-on-incon-degr",
    [REPL_H_PRI_LOST_AFTER_SB] = "pri-lost-after-sb",
    [REPL_H_PRI_LOST] = "pri-lost",
    [REPL_H_LOCAL_IO_ERROR] = "local-io-error",
    [REPL_H_INITIAL_SPLIT_BRAIN] = "initial-split-brain",
    [REPL_H_SPLIT_BRAIN] = "split-brain",
    [REPL_H_OUT_OF_SYNC] = "out-of-sync",
};

const char *repl_handler_name(enum repl_handler handler)
{
    return (unsigned)handler < REPL_HANDLERS ? handler_names[handler] : "?";
}

struct repl_effect *repl_fx(struct repl *r, enum repl_effect_kind kind)
{
    struct repl_effect *fx;

    hv_assert(r->fx && r->fx->count < r->fx->capacity);
    fx = &r->fx->list[r->fx->count++];
    memset(fx, 0, sizeof *fx);
    fx->kind = kind;
    return fx;
}

static void log_line(
    struct repl *r, enum hv_log_level level, const char *who, const char *fmt, va_list ap)
{
    char text[400];

    vsnprintf(text, sizeof text, fmt, ap);
    hv_log(&r->config.log, level, "drbd %s: %s", who, text);
}

void repl_log(struct repl *r, enum hv_log_level level, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    log_line(r, level, r->config.name, fmt, ap);
    va_end(ap);
}

void repl_volume_log(struct repl_volume *v, enum hv_log_level level, const char *fmt, ...)
{
    char who[REPL_NAME_MAX + 32];
    va_list ap;

    snprintf(who, sizeof who, "%s/%u drbd%u", v->r->config.name, v->config.vnr, v->config.minor);
    va_start(ap, fmt);
    log_line(v->r, level, who, fmt, ap);
    va_end(ap);
}

struct repl_volume *repl_volume_by_nr(struct repl *r, uint16_t vnr)
{
    for (uint32_t i = 0; i < r->config.volumes; i++)
        if (r->volumes[i].config.vnr == vnr)
            return &r->volumes[i];
    return NULL;
}

void repl_changed(struct repl *r, int volume)
{
    for (uint32_t i = r->fx->count; i > 0; i--) {
        const struct repl_effect *fx = &r->fx->list[i - 1];
        if (fx->kind == REPL_FX_CHANGED && fx->changed.volume == volume)
            return;
    }
    repl_fx(r, REPL_FX_CHANGED)->changed.volume = volume;
}

/* Tells the host what the device may be used for, when that is new. */
void repl_front_tell(struct repl_volume *v)
{
    struct repl_volume_ctl *c = &v->ctl;
    const struct drbd_state *s = &v->state;
    bool local = s->disk >= D_INCONSISTENT && v->disk_open;
    bool writable = s->role == R_PRIMARY && c->primary_durable;
    bool usable = s->disk == D_UP_TO_DATE || (s->conn >= C_CONNECTED && s->pdsk == D_UP_TO_DATE);
    bool can_discard = !local || v->attach.can_discard;
    uint32_t max_io = REPL_IO_BYTES_MAX;
    struct repl_effect *fx;

    if (local && v->attach.max_io_bytes && v->attach.max_io_bytes < max_io)
        max_io = v->attach.max_io_bytes;
    if (s->conn >= C_CONNECTED && v->peer_max_bio_bytes >= 4096 && v->peer_max_bio_bytes < max_io)
        max_io = (uint32_t)v->peer_max_bio_bytes;
    if (c->front_known && c->front_writable == writable && c->front_usable == usable &&
        c->front_size_sectors == v->size_sectors && c->front_max_io_bytes == max_io &&
        c->front_can_discard == can_discard)
        return;
    c->front_known = true;
    c->front_writable = writable;
    c->front_usable = usable;
    c->front_size_sectors = v->size_sectors;
    c->front_max_io_bytes = max_io;
    c->front_can_discard = can_discard;
    fx = repl_fx(v->r, REPL_FX_FRONT);
    fx->front.volume = v->index;
    fx->front.writable = writable;
    fx->front.usable = usable;
    fx->front.size_sectors = v->size_sectors;
    fx->front.max_io_bytes = max_io;
    fx->front.can_discard = can_discard;
}

/* ------------------------------------------------------------------------------- made and freed */

static int check_config(const struct repl_config *c, struct hv_diag *diag)
{
    if (!c->volumes || c->volumes > REPL_VOLUMES_MAX) {
        hv_diag_set(diag, "a resource has 1 to %d volumes, not %u", REPL_VOLUMES_MAX, c->volumes);
        return HV_EINVAL;
    }
    if (c->net.wire_protocol < DRBD_PROT_A || c->net.wire_protocol > DRBD_PROT_C) {
        hv_diag_set(diag, "protocol is A, B or C");
        return HV_EINVAL;
    }
    if (c->net.allow_two_primaries) {
        hv_diag_set(diag, "allow-two-primaries is not supported: say no, or leave it out");
        return HV_EUNSUPPORTED;
    }
    if (c->net.cram_hmac_alg[0] && (!c->digest || c->digest->size(c->net.cram_hmac_alg) < 1)) {
        hv_diag_set(diag, "cram-hmac-alg: no such digest: %s", c->net.cram_hmac_alg);
        return HV_EINVAL;
    }
    if (c->net.cram_hmac_alg[0] && !c->net.shared_secret[0]) {
        hv_diag_set(diag, "cram-hmac-alg needs a shared-secret");
        return HV_EINVAL;
    }
    for (uint32_t i = 0; i < c->volumes; i++)
        for (uint32_t k = 0; k < i; k++)
            if (c->volume[i].vnr == c->volume[k].vnr) {
                hv_diag_set(diag, "volume %u appears twice", c->volume[i].vnr);
                return HV_EINVAL;
            }
    return 0;
}

static int make_volumes(struct repl *r)
{
    r->volumes = calloc(r->config.volumes, sizeof *r->volumes);
    if (!r->volumes)
        return HV_ENOMEM;
    for (uint32_t i = 0; i < r->config.volumes; i++) {
        struct repl_volume *v = &r->volumes[i];
        v->r = r;
        v->index = (uint16_t)i;
        v->config = r->config.volume[i];
        v->state = (struct drbd_state){.role = R_SECONDARY,
            .peer = R_UNKNOWN,
            .conn = C_STANDALONE,
            .disk = D_DISKLESS,
            .pdsk = D_UNKNOWN};
        v->peer_max_bio_bytes = REPL_IO_BYTES_MAX;
    }
    return 0;
}

int repl_new(const struct repl_config *config, struct repl **out, struct hv_diag *diag)
{
    struct repl *r;
    int rv = check_config(config, diag);

    if (rv)
        return rv;
    r = calloc(1, sizeof *r);
    if (!r) {
        hv_diag_set(diag, "out of memory");
        return HV_ENOMEM;
    }
    r->config = *config;
    r->role = R_SECONDARY;
    r->conn = C_STANDALONE;
    r->agreed_version = DRBD_PROTOCOL_START;
    r->ctl.next_id = 1;
    r->ctl.discard_my_data = config->net.discard_my_data;
    r->ctl.sock[0].stash = malloc(REPL_STASH_BYTES);
    r->ctl.sock[1].stash = malloc(REPL_STASH_BYTES);
    rv = r->ctl.sock[0].stash && r->ctl.sock[1].stash ? make_volumes(r) : HV_ENOMEM;
    if (!rv)
        rv = repl_io_new(r);
    if (!rv)
        rv = repl_data_new(r);
    if (rv) {
        hv_diag_set(diag, "out of memory");
        repl_free(r);
        return rv;
    }
    *out = r;
    return 0;
}

void repl_free(struct repl *r)
{
    if (!r)
        return;
    for (int i = 0; i < 2; i++) {
        repl_frame_reset(&r->ctl.sock[i]);
        free(r->ctl.sock[i].stash);
    }
    if (r->volumes) {
        repl_data_free(r);
        for (uint32_t i = 0; i < r->config.volumes; i++) {
            repl_attach_free(&r->volumes[i]);
            repl_md_free(&r->volumes[i]);
            bitmap_free(&r->volumes[i].bm);
            actlog_free(r->volumes[i].al);
        }
    }
    repl_io_free(r);
    free(r->volumes);
    free(r);
}

uint32_t repl_effects_max(const struct repl *r)
{
    return repl_data_effects_max(&r->config) + REPL_CTL_EFFECTS + REPL_RECV_EFFECTS +
           64 * r->config.volumes;
}

/* ---------------------------------------------------------------------------------------- stepped */

static void dispatch(struct repl *r, const struct repl_event *ev)
{
    switch (ev->kind) {
    case REPL_EV_TICK:
        break;
    case REPL_EV_ADMIN:
        repl_admin_event(r, ev);
        break;
    case REPL_EV_CONNECTED:
    case REPL_EV_CONN_FAILED:
    case REPL_EV_ACCEPTED:
    case REPL_EV_RECV:
    case REPL_EV_RECV_DIRECT:
    case REPL_EV_SENT:
    case REPL_EV_SOCK_CLOSED:
        repl_conn_event(r, ev);
        break;
    case REPL_EV_IO_DONE:
        repl_io_done(r, ev);
        break;
    case REPL_EV_HANDLER_DONE:
        repl_handler_done(r, ev);
        break;
    case REPL_EV_APP:
        repl_data_app(r, ev);
        break;
    }
}

static void settle_once(struct repl *r)
{
    repl_bitmap_send_pump(r);
    repl_data_end_of_step(r);
    for (uint32_t i = 0; i < r->config.volumes; i++) {
        repl_md_pump(&r->volumes[i]);
        repl_disk_settle(&r->volumes[i]);
    }
    repl_conn_settle(r);
    repl_admin_run(r);
    for (uint32_t i = 0; i < r->config.volumes; i++) {
        repl_md_pump(&r->volumes[i]);
        repl_front_tell(&r->volumes[i]);
    }
}

/* What became possible in this step.  A state change makes other things possible: an answered
 * administrator lets the next action begin, a closed connection lets a disconnect end. */
static void settle(struct repl *r)
{
    uint64_t changes;

    do {
        changes = r->ctl.changes;
        settle_once(r);
    } while (changes != r->ctl.changes);
}

void repl_step(struct repl *r, const struct repl_event *ev, struct repl_effects *fx)
{
    hv_assert(fx->capacity - fx->count >= repl_effects_max(r));
    r->fx = fx;
    r->event = ev;
    r->now_ms = ev->now_ms;
    r->ctl.again = false;
    dispatch(r, ev);
    repl_timers_run(r);
    repl_frame_continue(r);
    settle(r);
    r->fx = NULL;
    r->event = NULL;
}

uint64_t repl_next_timeout(const struct repl *r)
{
    return r->ctl.again ? r->now_ms : repl_timers_next(r);
}

/* ------------------------------------------------------------------------------------------- asked */

bool repl_app_ready(const struct repl *r, uint16_t volume)
{
    return repl_data_app_ready(r, volume);
}

static void volume_status(const struct repl_volume *v, struct repl_volume_status *out)
{
    out->vnr = v->config.vnr;
    out->minor = v->config.minor;
    out->state = v->state;
    out->size_sectors = v->size_sectors;
    memcpy(out->uuid, v->md.uuid, sizeof out->uuid);
    out->md_flags = v->md.flags;
    out->ns_kib = v->send_sectors / 2;
    out->nr_kib = v->recv_sectors / 2;
    out->dw_kib = v->write_sectors / 2;
    out->dr_kib = v->read_sectors / 2;
    out->al_writes = v->al_writes;
    out->bm_writes = v->bm_writes;
    out->oos_kib = v->bm.weight * (BITMAP_BIT_BYTES / 1024);
    out->al_suspended = v->al && actlog_is_suspended(v->al);
}

void repl_status(const struct repl *r, uint64_t now_ms, struct repl_status *out)
{
    memset(out, 0, sizeof *out);
    out->conn = r->conn;
    out->role = r->role;
    out->peer_role = R_UNKNOWN;
    out->volumes = r->config.volumes;
    for (uint32_t i = 0; i < r->config.volumes; i++) {
        const struct repl_volume *v = &r->volumes[i];
        volume_status(v, &out->volume[i]);
        repl_data_status(v, now_ms, &out->volume[i]);
        if (v->state.peer == R_PRIMARY || out->peer_role == R_UNKNOWN)
            out->peer_role = v->state.peer;
        out->waits_for_fencing |= v->state.susp_fen;
    }
    out->wire_protocol = r->config.net.wire_protocol;
    out->agreed_version = (uint16_t)r->agreed_version;
    out->agreed_features = r->agreed_features;
    out->split_brain = r->ctl.split_brain;
    out->last_heard_ms = r->last_heard_ms;
}
