/* SPDX-License-Identifier: Apache-2.0 */
/* The queue of administrative actions, and what the verbs share. */
#include <stdio.h>
#include <string.h>

#include "repl_admin.h"

enum { TRANSIENT_WAIT_MS = 50, TRANSIENT_TRIES = 100, ERR_QUEUE_FULL = 129 };

static const repl_verb_fn verbs[] = {
    [REPL_ADM_ATTACH] = repl_verb_attach,
    [REPL_ADM_DETACH] = repl_verb_detach,
    [REPL_ADM_CONNECT] = repl_verb_connect,
    [REPL_ADM_DISCONNECT] = repl_verb_disconnect,
    [REPL_ADM_PRIMARY] = repl_verb_primary,
    [REPL_ADM_SECONDARY] = repl_verb_secondary,
    [REPL_ADM_INVALIDATE] = repl_verb_invalidate,
    [REPL_ADM_INVALIDATE_REMOTE] = repl_verb_invalidate,
    [REPL_ADM_OUTDATE] = repl_verb_outdate,
    [REPL_ADM_VERIFY] = repl_verb_verify,
    [REPL_ADM_PAUSE_SYNC] = repl_verb_pause,
    [REPL_ADM_RESUME_SYNC] = repl_verb_pause,
    [REPL_ADM_SUSPEND_IO] = repl_verb_suspend,
    [REPL_ADM_RESUME_IO] = repl_verb_suspend,
    [REPL_ADM_RESIZE] = repl_verb_resize,
    [REPL_ADM_NEW_CURRENT_UUID] = repl_verb_new_uuid,
    [REPL_ADM_NET_OPTIONS] = repl_verb_net_options,
    [REPL_ADM_DISK_OPTIONS] = repl_verb_disk_options,
    [REPL_ADM_PEER_FENCED] = repl_verb_peer_fenced,
    [REPL_ADM_PING_PEER] = repl_verb_ping_peer,
    [REPL_ADM_DOWN] = repl_verb_down,
};

static void answer(struct repl *r, uint64_t token, int retcode, const char *text)
{
    struct repl_effect *fx = repl_fx(r, REPL_FX_ADMIN_DONE);

    fx->token = token;
    fx->admin.retcode = retcode;
    snprintf(fx->admin.text, sizeof fx->admin.text, "%s", text);
}

void repl_admin_text(struct repl *r, const char *text)
{
    snprintf(r->ctl.admin_text, sizeof r->ctl.admin_text, "%s", text);
}

void repl_admin_event(struct repl *r, const struct repl_event *ev)
{
    struct repl_ctl *c = &r->ctl;
    struct repl_admin_action *a;

    if ((unsigned)ev->admin.verb > REPL_ADM_DOWN) {
        answer(r, ev->token, ERR_INVALID_REQUEST, "no such verb");
        return;
    }
    if (!ev->admin.all_volumes && ev->admin.volume >= r->config.volumes) {
        answer(r, ev->token, ERR_MINOR_INVALID, "no such volume");
        return;
    }
    if (c->admins == REPL_ADMIN_QUEUE) {
        answer(r, ev->token, ERR_QUEUE_FULL, "too many actions are waiting: try again");
        return;
    }
    a = &c->admin_waiting[(c->admin_first + c->admins++) % REPL_ADMIN_QUEUE];
    memset(a, 0, sizeof *a);
    a->token = ev->token;
    a->args = ev->admin;
    if (ev->admin.net)
        a->net = *ev->admin.net;
    if (ev->admin.disk)
        a->disk = *ev->admin.disk;
}

void repl_admin_run(struct repl *r)
{
    struct repl_ctl *c = &r->ctl;

    for (;;) {
        int rv;
        if (!c->admin_running) {
            if (!c->admins)
                return;
            c->admin = c->admin_waiting[c->admin_first];
            c->admin_first = (c->admin_first + 1) % REPL_ADMIN_QUEUE;
            c->admins--;
            c->admin_running = true;
            c->admin_text[0] = 0;
            c->admin.volume = c->admin.args.all_volumes ? 0 : c->admin.args.volume;
        }
        rv = verbs[c->admin.args.verb](r, &c->admin);
        if (rv == REPL_ADMIN_WAIT)
            return;
        c->admin_running = false;
        repl_timer_clear(r, REPL_T_ADMIN);
        if (!c->admin_text[0] && rv < SS_SUCCESS)
            repl_admin_text(r, drbd_retcode_text(rv));
        answer(r, c->admin.token, rv, c->admin_text);
    }
}

void repl_admin_sleep(struct repl *r, struct repl_admin_action *a, uint64_t ms)
{
    a->until_ms = r->now_ms + ms;
    repl_timer_set(r, REPL_T_ADMIN, a->until_ms);
}

int repl_admin_change(struct repl *r, struct repl_admin_action *a, struct repl_volume *v,
    const struct drbd_state *mask, const struct drbd_state *val)
{
    int rv;

    if (a->waiting) {
        if (!repl_cw_take(r, &rv))
            return REPL_ADMIN_WAIT;
        a->waiting = false;
        return rv;
    }
    if (a->until_ms > r->now_ms)
        return REPL_ADMIN_WAIT;
    a->until_ms = 0;
    rv = repl_cw_change(v, mask, val, 0);
    if (rv == SS_UNKNOWN_ERROR) {
        a->waiting = true;
        return REPL_ADMIN_WAIT;
    }
    if (rv == SS_IN_TRANSIENT_STATE && a->transient_tries < TRANSIENT_TRIES) {
        a->transient_tries++;
        repl_admin_sleep(r, a, TRANSIENT_WAIT_MS);
        return REPL_ADMIN_WAIT;
    }
    return rv;
}

/* --- durable superblocks --- */

static void one_durable(struct repl_volume *v, void *arg, int error)
{
    struct repl_admin_action *a = &v->r->ctl.admin;

    if (a->md_serial != (uint32_t)(uintptr_t)arg)
        return; /* of an action that is over */
    a->md_waiting--;
    if (error)
        a->md_error = error;
}

int repl_admin_durable(struct repl *r, struct repl_admin_action *a, struct repl_volume *only)
{
    if (!a->md_started) {
        a->md_started = true;
        a->md_error = 0;
        a->md_serial = ++r->ctl.md_serial;
        a->md_waiting = 1;
        for (uint32_t i = 0; i < r->config.volumes; i++) {
            struct repl_volume *v = &r->volumes[i];
            if ((only && v != only) || !v->disk_open)
                continue;
            a->md_waiting++;
            repl_md_sync(v, one_durable, (void *)(uintptr_t)a->md_serial);
        }
        a->md_waiting--;
    }
    if (a->md_waiting)
        return REPL_ADMIN_WAIT;
    a->md_started = false;
    return a->md_error ? 118 /* ERR_IO_MD_DISK */ : SS_SUCCESS;
}
