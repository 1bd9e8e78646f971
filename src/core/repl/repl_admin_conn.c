/* SPDX-License-Identifier: Apache-2.0 */
/* Connect, disconnect (wire §14.1), down, and questions about the peer. */
#include <string.h>

#include "repl_admin.h"

int repl_verb_connect(struct repl *r, struct repl_admin_action *a)
{
    int rv;

    if (r->ctl.closing)
        return REPL_ADMIN_WAIT;
    if (r->conn != C_STANDALONE)
        return ERR_NET_CONFIGURED;
    if (a->args.net)
        r->config.net = a->net;
    r->ctl.discard_my_data = r->config.net.discard_my_data;
    rv = repl_conn_change(r, C_UNCONNECTED, REPL_CHG_VERBOSE, "connect");
    if (rv >= SS_SUCCESS)
        repl_conn_unconnected(r);
    return rv;
}

/* --- disconnect --- */

enum { D_ASKING, D_LEAVING };

static void leave(struct repl *r, struct repl_admin_action *a, const struct drbd_state *mask,
    const struct drbd_state *val)
{
    const struct drbd_state disk = {.disk = mask->disk};

    if (r->conn != C_STANDALONE && r->conn != C_DISCONNECTING && !r->ctl.closing)
        repl_all_change(r, mask, val, REPL_CHG_HARD, "disconnect");
    else if (mask->disk)
        repl_all_change(r, &disk, val, 0, "disconnect"); /* the peer may count on it */
    repl_conn_drop(r, C_DISCONNECTING, "disconnect");
    a->phase = D_LEAVING;
}

/* Once more, with what makes it acceptable; SS_SUCCESS: another try, else the answer. */
static int disconnect_refused(struct repl_admin_action *a, int rv)
{
    if (rv == SS_PRIMARY_NOP && !a->mask_pdsk && !a->mask_disk) {
        a->mask_pdsk = true;
        return SS_SUCCESS;
    }
    if (rv == SS_OUTDATE_WO_CONN && a->mask_pdsk) {
        a->mask_pdsk = false;
        a->mask_disk = true; /* not again */
        a->plain = true;
        return SS_SUCCESS;
    }
    if (rv == SS_CW_FAILED_BY_PEER && !a->mask_disk) {
        a->mask_disk = true;
        return SS_SUCCESS;
    }
    if ((rv == SS_IS_DISKLESS || rv == SS_LOWER_THAN_OUTDATED) && a->mask_disk) {
        a->args.force = true;
        return SS_SUCCESS;
    }
    return rv;
}

static int disconnect_ask(struct repl *r, struct repl_admin_action *a)
{
    struct drbd_state mask = {.conn = C_MASK}, val = {.conn = C_DISCONNECTING};
    int rv;

    if (a->mask_pdsk) {
        mask.pdsk = D_MASK;
        val.pdsk = D_OUTDATED;
    }
    if (a->mask_disk && !a->plain) {
        mask.disk = D_MASK;
        val.disk = D_OUTDATED;
    }
    if (a->args.force) {
        mask = (struct drbd_state){.conn = C_MASK};
        leave(r, a, &mask, &val);
        return SS_SUCCESS;
    }
    if (a->until_ms > r->now_ms)
        return REPL_ADMIN_WAIT;
    a->until_ms = 0;
    if (a->waiting) {
        if (!repl_cw_take(r, &rv))
            return REPL_ADMIN_WAIT;
        a->waiting = false;
    } else {
        rv = repl_cw_conn_change(r, &mask, &val, 0);
        a->waiting = rv == SS_UNKNOWN_ERROR;
        if (a->waiting)
            return REPL_ADMIN_WAIT;
    }
    if (rv == SS_ALREADY_STANDALONE)
        return SS_NOTHING_TO_DO;
    if (rv == SS_IN_TRANSIENT_STATE && a->transient_tries++ < 100) {
        repl_admin_sleep(r, a, 50);
        return REPL_ADMIN_WAIT;
    }
    if (rv < SS_SUCCESS)
        return disconnect_refused(a, rv);
    leave(r, a, &mask, &val);
    return SS_SUCCESS;
}

int repl_verb_disconnect(struct repl *r, struct repl_admin_action *a)
{
    if (a->phase == D_ASKING && r->conn == C_STANDALONE)
        return SS_NOTHING_TO_DO;
    while (a->phase == D_ASKING) {
        int rv = disconnect_ask(r, a);
        if (rv != SS_SUCCESS)
            return rv;
    }
    if (r->conn == C_STANDALONE)
        return SS_SUCCESS;
    if (r->conn != C_DISCONNECTING)
        repl_conn_drop(r, C_DISCONNECTING, "disconnect");
    return REPL_ADMIN_WAIT;
}

/* --- down: secondary, disconnect, detach --- */

/* Each part is a verb of its own, with its own phases. */
static int part(struct repl *r, struct repl_admin_action *a, repl_verb_fn verb)
{
    int rv = verb(r, a);

    if (rv == REPL_ADMIN_WAIT || rv < SS_SUCCESS || rv > 100)
        return rv;
    a->phase = a->tries = a->transient_tries = 0;
    a->volume = 0;
    a->until_ms = 0;
    a->waiting = a->mask_pdsk = a->mask_disk = a->plain = a->md_started = false;
    a->part++;
    return SS_SUCCESS;
}

static int detach_all(struct repl *r, struct repl_admin_action *a)
{
    a->args.all_volumes = true;
    return repl_verb_detach(r, a);
}

int repl_verb_down(struct repl *r, struct repl_admin_action *a)
{
    static const repl_verb_fn parts[] = {repl_verb_secondary, repl_verb_disconnect, detach_all};

    while (a->part < sizeof parts / sizeof *parts) {
        int rv = part(r, a, parts[a->part]);
        if (rv != SS_SUCCESS)
            return rv;
    }
    return SS_SUCCESS;
}

/* --- options --- */

int repl_verb_net_options(struct repl *r, struct repl_admin_action *a)
{
    bool connected = r->conn >= C_WF_REPORT_PARAMS;

    if (!a->args.net)
        return ERR_INVALID_REQUEST;
    if (a->net.allow_two_primaries) {
        repl_admin_text(r, "allow-two-primaries is not supported");
        return ERR_INVALID_REQUEST;
    }
    if (connected && strcmp(a->net.integrity_alg, r->config.net.integrity_alg)) {
        repl_admin_text(r, "data-integrity-alg: disconnect first");
        return ERR_INVALID_REQUEST;
    }
    if (connected && a->net.wire_protocol != r->config.net.wire_protocol &&
        r->agreed_version < 100) {
        repl_admin_text(r, "protocol: disconnect first");
        return ERR_INVALID_REQUEST;
    }
    r->config.net = a->net;
    if (connected && r->agreed_version >= 100)
        repl_send_protocol(r, P_PROTOCOL_UPDATE);
    for (uint32_t i = 0; connected && i < r->config.volumes; i++)
        repl_send_sync_param(&r->volumes[i]);
    return SS_SUCCESS;
}

/* --- the peer --- */

int repl_verb_peer_fenced(struct repl *r, struct repl_admin_action *a)
{
    const struct drbd_state mask = {.pdsk = D_MASK}, val = {.pdsk = D_OUTDATED};

    if (r->conn >= C_WF_REPORT_PARAMS) {
        repl_admin_text(r, "the peer is connected");
        return ERR_CONNECTED;
    }
    return repl_all_change(r, &mask, &val, REPL_CHG_VERBOSE, "peer was fenced");
}

void repl_admin_ping_acked(struct repl *r)
{
    struct repl_admin_action *a = &r->ctl.admin;

    if (r->ctl.admin_running && a->args.verb == REPL_ADM_PING_PEER)
        a->waiting = false;
}

int repl_verb_ping_peer(struct repl *r, struct repl_admin_action *a)
{
    if (a->phase == 0) {
        a->phase = 1;
        a->waiting = r->ctl.hs == REPL_HS_RUN;
        repl_ping(r);
    }
    return a->waiting && r->ctl.hs == REPL_HS_RUN ? REPL_ADMIN_WAIT : SS_SUCCESS;
}
