/* SPDX-License-Identifier: Apache-2.0 */
/* State changes that the peer has to agree to (wire §14), and our answer to the peer's. */
#include <string.h>

#include "repl_control.h"

bool repl_cw_needed(
    const struct repl_volume *v, const struct drbd_state *os, const struct drbd_state *ns)
{
    if (os->conn < C_CONNECTED || ns->conn < C_DISCONNECTING)
        return false;
    return (os->role != R_PRIMARY && ns->role == R_PRIMARY) ||
           (os->conn != C_STARTING_SYNC_T && ns->conn == C_STARTING_SYNC_T) ||
           (os->conn != C_STARTING_SYNC_S && ns->conn == C_STARTING_SYNC_S) ||
           (os->disk != D_FAILED && ns->disk == D_FAILED) ||
           (os->conn == C_CONNECTED && ns->conn == C_VERIFY_S) ||
           (os->conn >= C_CONNECTED && ns->conn == C_DISCONNECTING && v->r->agreed_version < 100);
}

static void send_request(struct repl *r, uint16_t vnr, unsigned command,
    const struct drbd_state *mask, const struct drbd_state *val)
{
    struct drbd_req_state req = {.mask = drbd_state_pack(mask), .val = drbd_state_pack(val)};
    uint8_t sub[8];
    struct hv_writer w;

    hv_writer_init(&w, sub, sizeof sub);
    drbd_req_state_encode(&w, &req);
    repl_send(r, DRBD_SOCK_DATA, vnr, command, sub, sizeof sub, NULL, 0, 0);
}

static void send_reply(struct repl *r, uint16_t vnr, unsigned command, int retcode)
{
    uint8_t sub[4];
    struct hv_writer w;

    hv_writer_init(&w, sub, sizeof sub);
    drbd_u32_encode(&w, (uint32_t)retcode);
    repl_send(r, DRBD_SOCK_META, vnr, command, sub, sizeof sub, NULL, 0, 0);
}

/* --- our requests --- */

static int change_now(struct repl_volume *v, const struct drbd_state *mask,
    const struct drbd_state *val, unsigned flags)
{
    return repl_state_change(v, repl_state_apply(v->state, mask, val), flags, "requested");
}

int repl_cw_change(struct repl_volume *v, const struct drbd_state *mask,
    const struct drbd_state *val, unsigned flags)
{
    struct repl_cw *cw = &v->r->ctl.cw;
    struct drbd_state ns = repl_state_apply(v->state, mask, val);
    const char *warning;
    int rv;

    ns = repl_state_sanitize(v, &v->state, ns, &warning);
    if (drbd_state_pack(&ns) == drbd_state_pack(&v->state))
        return SS_NOTHING_TO_DO;
    rv = repl_state_hard(&v->state, &ns);
    if (rv < SS_SUCCESS)
        return rv;
    if (!repl_cw_needed(v, &v->state, &ns))
        return change_now(v, mask, val, flags);
    rv = repl_state_valid(v, &ns);
    if (rv >= SS_SUCCESS)
        rv = repl_state_soft(v, &v->state, &ns);
    if (rv < SS_SUCCESS)
        return rv;
    if (cw->busy)
        return SS_IN_TRANSIENT_STATE;
    *cw = (struct repl_cw){.busy = true,
        .v = v,
        .mask = *mask,
        .val = *val,
        .flags = flags,
        .result = SS_UNKNOWN_ERROR};
    send_request(v->r, v->config.vnr, P_STATE_CHG_REQ, mask, val);
    return SS_UNKNOWN_ERROR;
}

int repl_cw_conn_change(
    struct repl *r, const struct drbd_state *mask, const struct drbd_state *val, unsigned flags)
{
    struct repl_cw *cw = &r->ctl.cw;

    for (uint32_t i = 0; i < r->config.volumes; i++) {
        struct repl_volume *v = &r->volumes[i];
        struct drbd_state ns = repl_state_apply(v->state, mask, val);
        const char *warning;
        int rv;
        ns = repl_state_sanitize(v, &v->state, ns, &warning);
        rv = repl_state_hard(&v->state, &ns);
        if (rv >= SS_SUCCESS)
            rv = repl_state_valid(v, &ns);
        if (rv >= SS_SUCCESS)
            rv = repl_state_soft(v, &v->state, &ns);
        if (rv < SS_SUCCESS)
            return rv;
    }
    if (r->conn < C_WF_REPORT_PARAMS || r->agreed_version < 100)
        return SS_CW_NO_NEED;
    if (cw->busy)
        return SS_IN_TRANSIENT_STATE;
    *cw = (struct repl_cw){.busy = true,
        .connection = true,
        .mask = *mask,
        .val = *val,
        .flags = flags,
        .result = SS_UNKNOWN_ERROR};
    send_request(r, 0, P_CONN_ST_CHG_REQ, mask, val);
    return SS_UNKNOWN_ERROR;
}

bool repl_cw_take(struct repl *r, int *result)
{
    struct repl_cw *cw = &r->ctl.cw;

    if (!cw->busy || cw->result == SS_UNKNOWN_ERROR)
        return false;
    *result = cw->result;
    cw->busy = false;
    return true;
}

/* The connection, or what made the question necessary, is gone. */
void repl_cw_review(struct repl *r)
{
    struct repl_cw *cw = &r->ctl.cw;
    struct drbd_state ns;
    const char *warning;
    int rv;

    if (!cw->busy || cw->result != SS_UNKNOWN_ERROR)
        return;
    if (cw->connection) {
        if (r->conn < C_WF_REPORT_PARAMS)
            cw->result = SS_CW_NO_NEED;
        return;
    }
    ns = repl_state_sanitize(
        cw->v, &cw->v->state, repl_state_apply(cw->v->state, &cw->mask, &cw->val), &warning);
    if (!repl_cw_needed(cw->v, &cw->v->state, &ns)) {
        rv = change_now(cw->v, &cw->mask, &cw->val, cw->flags);
        cw->result = rv;
        return;
    }
    rv = repl_state_valid(cw->v, &ns);
    if (rv < SS_SUCCESS)
        cw->result = rv;
}

int repl_cw_reply(struct repl *r, struct repl_volume *v, struct repl_packet *p)
{
    struct repl_cw *cw = &r->ctl.cw;
    struct hv_reader reader;
    uint32_t word;
    int retcode, rv;

    hv_reader_init(&reader, p->sub, p->sub_bytes);
    if (drbd_u32_decode(&reader, &word))
        return repl_peer_lied(r, "bad %s", drbd_packet_name(p->command));
    retcode = (int32_t)word;
    if (!cw->busy || cw->result != SS_UNKNOWN_ERROR ||
        (p->command == P_STATE_CHG_REPLY && (cw->connection || (v && v != cw->v))))
        return 0; /* an answer that came too late */
    if (retcode < SS_SUCCESS) {
        repl_log(r, HV_LOG_ERROR, "Requested state change failed by peer: %s (%d)",
            drbd_retcode_text(retcode), retcode);
        cw->result = SS_CW_FAILED_BY_PEER;
        return 0;
    }
    if (cw->connection) {
        cw->result = SS_CW_SUCCESS;
        return 0;
    }
    cw->result = SS_CW_SUCCESS; /* not to be reviewed while it is applied */
    rv = change_now(cw->v, &cw->mask, &cw->val, cw->flags);
    cw->result = rv < SS_SUCCESS ? rv : SS_CW_SUCCESS;
    return 0;
}

/* --- the peer's requests --- */

/* What the peer calls its own is the other's here, and the other way round. */
static struct drbd_state mirrored(struct drbd_state s)
{
    static const enum drbd_conn conns[C_MASK + 1] = {
        [C_WF_REPORT_PARAMS] = C_WF_REPORT_PARAMS,
        [C_CONNECTED] = C_CONNECTED,
        [C_STARTING_SYNC_S] = C_STARTING_SYNC_T,
        [C_STARTING_SYNC_T] = C_STARTING_SYNC_S,
        [C_DISCONNECTING] = C_TEAR_DOWN,
        [C_VERIFY_S] = C_VERIFY_T,
        [C_MASK] = C_MASK,
    };
    struct drbd_state m = {.role = s.peer,
        .peer = s.role,
        .conn = conns[s.conn & C_MASK],
        .disk = s.pdsk,
        .pdsk = s.disk,
        .peer_isp = s.aftr_isp || s.user_isp};

    return m;
}

static int decode(
    struct repl *r, struct repl_packet *p, struct drbd_state *mask, struct drbd_state *val)
{
    struct drbd_req_state req;
    struct drbd_state m;
    struct hv_reader reader;

    hv_reader_init(&reader, p->sub, p->sub_bytes);
    if (drbd_req_state_decode(&reader, &req))
        return repl_peer_lied(r, "bad %s", drbd_packet_name(p->command));
    m = drbd_state_unpack(req.mask);
    *val = drbd_state_unpack(req.val);
    /* DRBD 9's UpToDate (reference drbd9 §4) */
    if ((unsigned)val->disk == 9)
        val->disk = D_UP_TO_DATE;
    if (!drbd_state_known(val))
        return repl_peer_lied(r, "%s wants 0x%08x", drbd_packet_name(p->command), req.val);
    *mask = mirrored(m);
    *val = mirrored(*val);
    return 0;
}

static void verify_begins(struct repl_volume *v)
{
    if (v->state.conn == C_VERIFY_T)
        repl_verify_start(v, 0, 0);
}

int repl_cw_request(struct repl *r, struct repl_volume *v, struct repl_packet *p)
{
    struct drbd_state mask, val;
    enum drbd_conn before = v->state.conn;
    int rv = decode(r, p, &mask, &val);

    if (rv)
        return rv;
    if (r->resolve_conflicts && r->ctl.cw.busy && r->ctl.cw.result == SS_UNKNOWN_ERROR) {
        send_reply(r, v->config.vnr, P_STATE_CHG_REPLY, SS_CONCURRENT_ST_CHG);
        return 0;
    }
    rv = repl_state_change(
        v, repl_state_apply(v->state, &mask, &val), REPL_CHG_VERBOSE, "peer's request");
    send_reply(r, v->config.vnr, P_STATE_CHG_REPLY, rv);
    if (before != C_VERIFY_T)
        verify_begins(v);
    repl_md_sync(v, NULL, NULL);
    return 0;
}

/* The peer asks for all volumes at once: a graceful disconnect, or, with DRBD 9, a role change. */
int repl_cw_conn_request(struct repl *r, struct repl_volume *v, struct repl_packet *p)
{
    struct drbd_state mask, val;
    unsigned reply = r->agreed_version >= 100 ? P_CONN_ST_CHG_REPLY : P_STATE_CHG_REPLY;
    int rv = decode(r, p, &mask, &val);

    if (rv)
        return rv;
    if (r->resolve_conflicts && r->ctl.cw.busy && r->ctl.cw.result == SS_UNKNOWN_ERROR) {
        send_reply(r, 0, reply, SS_CONCURRENT_ST_CHG);
        return 0;
    }
    if (mask.conn && val.conn == C_TEAR_DOWN) {
        /* Answered first: afterwards there is nobody to answer. */
        struct drbd_state os = r->volumes[0].state;
        rv = repl_tear_down_allowed(r, &mask, &val);
        send_reply(r, 0, reply, rv);
        if (rv >= SS_SUCCESS && os.conn > C_TEAR_DOWN) {
            repl_all_change(r, &mask, &val, REPL_CHG_HARD, "peer disconnects");
            repl_conn_drop(r, C_TEAR_DOWN, "peer disconnects");
        }
        return 0;
    }
    rv = repl_all_change(r, &mask, &val, REPL_CHG_VERBOSE, "peer's request");
    send_reply(r, 0, reply, rv);
    return 0;
}

/* May the peer leave?  Judged by the soft rules; that it cannot be outdated does not matter (wire §14.1). */
int repl_tear_down_allowed(
    struct repl *r, const struct drbd_state *mask, const struct drbd_state *val)
{
    for (uint32_t i = 0; i < r->config.volumes; i++) {
        struct repl_volume *v = &r->volumes[i];
        struct drbd_state ns = repl_state_apply(v->state, mask, val);
        const char *warning;
        int rv;
        ns = repl_state_sanitize(v, &v->state, ns, &warning);
        rv = repl_state_valid(v, &ns);
        if (rv >= SS_SUCCESS)
            rv = repl_state_soft(v, &v->state, &ns);
        if (rv == SS_LOWER_THAN_OUTDATED)
            rv = SS_SUCCESS;
        if (rv < SS_SUCCESS)
            return rv;
    }
    return SS_SUCCESS;
}
