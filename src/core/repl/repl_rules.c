/* SPDX-License-Identifier: Apache-2.0 */
/* Which states there are and which may follow each other: sanitising (wire §6.7) and the checks (wire §6.8).
 * Pure: nothing here changes anything. */
#include "repl_control.h"

struct drbd_state repl_state_apply(
    struct drbd_state s, const struct drbd_state *mask, const struct drbd_state *val)
{
    if (mask->role)
        s.role = val->role;
    if (mask->peer)
        s.peer = val->peer;
    if (mask->conn)
        s.conn = val->conn;
    if (mask->disk)
        s.disk = val->disk;
    if (mask->pdsk)
        s.pdsk = val->pdsk;
    s.susp = mask->susp ? val->susp : s.susp;
    s.aftr_isp = mask->aftr_isp ? val->aftr_isp : s.aftr_isp;
    s.peer_isp = mask->peer_isp ? val->peer_isp : s.peer_isp;
    s.user_isp = mask->user_isp ? val->user_isp : s.user_isp;
    s.susp_nod = mask->susp_nod ? val->susp_nod : s.susp_nod;
    s.susp_fen = mask->susp_fen ? val->susp_fen : s.susp_fen;
    return s;
}

/* --- sanitising --- */

struct clamp {
    enum drbd_disk disk_min, disk_max, pdsk_min, pdsk_max;
};

#define CLAMP_TARGET                                                                               \
    {                                                                                              \
        D_INCONSISTENT, D_OUTDATED, D_UP_TO_DATE, D_UP_TO_DATE                                     \
    }
#define CLAMP_VERIFY                                                                               \
    {                                                                                              \
        D_UP_TO_DATE, D_UP_TO_DATE, D_UP_TO_DATE, D_UP_TO_DATE                                     \
    }
#define CLAMP_SOURCE                                                                               \
    {                                                                                              \
        D_UP_TO_DATE, D_UP_TO_DATE, D_INCONSISTENT, D_CONSISTENT                                   \
    }
#define CLAMP_OTHER                                                                                \
    {                                                                                              \
        D_DISKLESS, D_UP_TO_DATE, D_INCONSISTENT, D_UNKNOWN                                        \
    }

static const struct clamp clamps[C_BEHIND + 1] = {
    [C_STANDALONE] = CLAMP_OTHER,
    [C_DISCONNECTING] = CLAMP_OTHER,
    [C_UNCONNECTED] = CLAMP_OTHER,
    [C_TIMEOUT] = CLAMP_OTHER,
    [C_BROKEN_PIPE] = CLAMP_OTHER,
    [C_NETWORK_FAILURE] = CLAMP_OTHER,
    [C_PROTOCOL_ERROR] = CLAMP_OTHER,
    [C_TEAR_DOWN] = CLAMP_OTHER,
    [C_WF_CONNECTION] = CLAMP_OTHER,
    [C_WF_REPORT_PARAMS] = CLAMP_OTHER,
    [C_CONNECTED] = {D_DISKLESS, D_UP_TO_DATE, D_DISKLESS, D_UP_TO_DATE},
    [C_STARTING_SYNC_S] = CLAMP_SOURCE,
    [C_STARTING_SYNC_T] = CLAMP_TARGET,
    [C_WF_BITMAP_S] = CLAMP_SOURCE,
    [C_WF_BITMAP_T] = CLAMP_TARGET,
    [C_WF_SYNC_UUID] = CLAMP_TARGET,
    [C_SYNC_SOURCE] = {D_UP_TO_DATE, D_UP_TO_DATE, D_INCONSISTENT, D_INCONSISTENT},
    [C_SYNC_TARGET] = {D_INCONSISTENT, D_INCONSISTENT, D_UP_TO_DATE, D_UP_TO_DATE},
    [C_VERIFY_S] = CLAMP_VERIFY,
    [C_VERIFY_T] = CLAMP_VERIFY,
    [C_PAUSED_SYNC_S] = CLAMP_SOURCE,
    [C_PAUSED_SYNC_T] = CLAMP_TARGET,
    [C_AHEAD] = CLAMP_SOURCE,
    [C_BEHIND] = CLAMP_TARGET,
};

static enum drbd_disk clamp_disk(enum drbd_disk disk, enum drbd_disk min, enum drbd_disk max)
{
    if (disk < min)
        return min;
    return disk > max ? max : disk;
}

/* Primary, alone, and nothing says that the peer's data is old. */
static bool peer_unfenced(const struct drbd_state *s)
{
    return s->role == R_PRIMARY && s->conn < C_CONNECTED && s->pdsk > D_OUTDATED;
}

static bool no_data(const struct drbd_state *s)
{
    return s->role == R_PRIMARY && s->disk < D_UP_TO_DATE && s->pdsk < D_UP_TO_DATE;
}

static enum drbd_conn pause_or_continue(const struct drbd_state *ns)
{
    bool paused = ns->aftr_isp || ns->peer_isp || ns->user_isp;

    switch (ns->conn) {
    case C_SYNC_SOURCE:
        return paused ? C_PAUSED_SYNC_S : C_SYNC_SOURCE;
    case C_SYNC_TARGET:
        return paused ? C_PAUSED_SYNC_T : C_SYNC_TARGET;
    case C_PAUSED_SYNC_S:
        return paused ? C_PAUSED_SYNC_S : C_SYNC_SOURCE;
    case C_PAUSED_SYNC_T:
        return paused ? C_PAUSED_SYNC_T : C_SYNC_TARGET;
    default:
        return ns->conn;
    }
}

static void sanitize_negotiating(
    const struct repl_volume *v, struct drbd_state *ns, const char **warning)
{
    if (v->exposed_uuid == v->md.uuid[MD_UUID_CURRENT]) {
        ns->disk = v->ctl.negotiated;
        ns->pdsk = v->ctl.negotiated_pdsk;
        return;
    }
    *warning = "Connection lost while negotiating, no data!";
    ns->disk = D_DISKLESS;
    ns->pdsk = D_UNKNOWN;
}

static void sanitize_unconnected(
    const struct repl_volume *v, struct drbd_state *ns, const char **warning)
{
    ns->peer_isp = false;
    ns->peer = R_UNKNOWN;
    if (ns->disk == D_NEGOTIATING)
        sanitize_negotiating(v, ns, warning);
    if (ns->pdsk > D_UNKNOWN || ns->pdsk < D_INCONSISTENT)
        ns->pdsk = D_UNKNOWN;
    if (ns->conn == C_STANDALONE && ns->disk == D_DISKLESS && ns->role == R_SECONDARY)
        ns->aftr_isp = false;
}

struct drbd_state repl_state_sanitize(const struct repl_volume *v, const struct drbd_state *os,
    struct drbd_state ns, const char **warning)
{
    const struct clamp *c;

    *warning = NULL;
    if (ns.conn > C_CONNECTED && (ns.disk <= D_FAILED || ns.pdsk <= D_FAILED)) {
        *warning = os->conn == C_VERIFY_S || os->conn == C_VERIFY_T ? "Online-verify aborted."
                                                                    : "Resync aborted.";
        ns.conn = C_CONNECTED;
    }
    if (ns.conn < C_CONNECTED)
        sanitize_unconnected(v, &ns, warning);
    if (ns.conn >= C_CONNECTED && ns.conn < C_AHEAD) {
        if (ns.disk == D_CONSISTENT || ns.disk == D_OUTDATED)
            ns.disk = D_UP_TO_DATE;
        if (ns.pdsk == D_CONSISTENT || ns.pdsk == D_OUTDATED)
            ns.pdsk = D_UP_TO_DATE;
    }
    hv_assert(ns.conn <= C_BEHIND);
    c = &clamps[ns.conn];
    ns.disk = clamp_disk(ns.disk, c->disk_min, c->disk_max);
    ns.pdsk = clamp_disk(ns.pdsk, c->pdsk_min, c->pdsk_max);
    if (repl_fencing_policy(v->r) == REPL_FENCE_RESOURCE_AND_STONITH && peer_unfenced(&ns) &&
        !peer_unfenced(os))
        ns.susp_fen = true;
    if (v->r->config.on_no_data == REPL_NO_DATA_SUSPEND_IO && no_data(&ns) && !no_data(os))
        ns.susp_nod = true;
    ns.conn = pause_or_continue(&ns);
    c = &clamps[ns.conn];
    ns.disk = clamp_disk(ns.disk, c->disk_min, c->disk_max);
    ns.pdsk = clamp_disk(ns.pdsk, c->pdsk_min, c->pdsk_max);
    return ns;
}

/* --- validity --- */

static bool verifying(enum drbd_conn conn)
{
    return conn == C_VERIFY_S || conn == C_VERIFY_T;
}

static bool starting(enum drbd_conn conn)
{
    return conn == C_STARTING_SYNC_S || conn == C_STARTING_SYNC_T;
}

static bool other_volume_has_primary_peer(const struct repl_volume *v)
{
    for (uint32_t i = 0; i < v->r->config.volumes; i++)
        if (i != v->index && v->r->volumes[i].state.peer == R_PRIMARY)
            return true;
    return false;
}

int repl_state_valid(const struct repl_volume *v, const struct drbd_state *ns)
{
    const struct repl *r = v->r;
    bool primary = ns->role == R_PRIMARY;

    if (primary && !r->config.net.allow_two_primaries) {
        if (ns->peer == R_PRIMARY)
            return SS_TWO_PRIMARIES;
        if (other_volume_has_primary_peer(v))
            return SS_O_VOL_PEER_PRI;
    }
    if (primary && ns->conn < C_CONNECTED && ns->disk < D_UP_TO_DATE)
        return SS_NO_UP_TO_DATE_DISK;
    if (primary && ns->conn < C_CONNECTED && ns->pdsk >= D_UNKNOWN &&
        repl_fencing_policy(r) >= REPL_FENCE_RESOURCE_ONLY)
        return SS_PRIMARY_NOP;
    if (primary && ns->disk <= D_INCONSISTENT && ns->pdsk <= D_INCONSISTENT)
        return SS_NO_UP_TO_DATE_DISK;
    if (ns->conn > C_CONNECTED && ns->disk < D_INCONSISTENT)
        return SS_NO_LOCAL_DISK;
    if (ns->conn > C_CONNECTED && ns->pdsk < D_INCONSISTENT)
        return SS_NO_REMOTE_DISK;
    if (ns->conn > C_CONNECTED && ns->disk < D_UP_TO_DATE && ns->pdsk < D_UP_TO_DATE)
        return SS_NO_UP_TO_DATE_DISK;
    if ((ns->conn == C_CONNECTED || ns->conn == C_WF_BITMAP_S || ns->conn == C_SYNC_SOURCE ||
            ns->conn == C_PAUSED_SYNC_S) &&
        ns->disk == D_OUTDATED)
        return SS_CONNECTED_OUTDATES;
    if (verifying(ns->conn) && !r->config.net.verify_alg[0])
        return SS_NO_VERIFY_ALG;
    if (verifying(ns->conn) && r->agreed_version < 88)
        return SS_NOT_SUPPORTED;
    if (primary && ns->disk < D_UP_TO_DATE && ns->pdsk < D_UP_TO_DATE)
        return SS_NO_UP_TO_DATE_DISK;
    if (starting(ns->conn) && ns->pdsk == D_UNKNOWN)
        return SS_NEED_CONNECTION;
    if (ns->conn >= C_CONNECTED && ns->pdsk == D_UNKNOWN)
        return SS_CONNECTED_OUTDATES;
    return SS_SUCCESS;
}

/* The last one that applies wins (wire §6.8). */
int repl_state_soft(
    const struct repl_volume *v, const struct drbd_state *os, const struct drbd_state *ns)
{
    int rv = SS_SUCCESS;

    if (starting(ns->conn) && os->conn > C_CONNECTED)
        rv = SS_RESYNC_RUNNING;
    if (ns->conn == C_DISCONNECTING && os->conn == C_STANDALONE)
        rv = SS_ALREADY_STANDALONE;
    if (ns->disk > D_ATTACHING && os->disk == D_DISKLESS)
        rv = SS_IS_DISKLESS;
    if (ns->conn == C_WF_CONNECTION && os->conn < C_UNCONNECTED)
        rv = SS_NO_NET_CONFIG;
    if (ns->disk == D_OUTDATED && os->disk < D_OUTDATED && os->disk != D_ATTACHING)
        rv = SS_LOWER_THAN_OUTDATED;
    if (ns->conn == C_DISCONNECTING && os->conn == C_UNCONNECTED)
        rv = SS_IN_TRANSIENT_STATE;
    if (v->r->ctl.state_sent && !((ns->conn == C_WF_REPORT_PARAMS && os->conn == C_WF_CONNECTION) ||
                                    (ns->conn >= C_CONNECTED && os->conn == C_WF_REPORT_PARAMS)))
        rv = SS_IN_TRANSIENT_STATE;
    if (os->role != R_PRIMARY && ns->role == R_PRIMARY && ns->pdsk == D_UP_TO_DATE &&
        ns->disk != D_UP_TO_DATE && ns->disk != D_DISKLESS &&
        (ns->conn <= C_WF_SYNC_UUID || ns->conn != os->conn))
        rv = SS_IN_TRANSIENT_STATE;
    if (verifying(ns->conn) && os->conn < C_CONNECTED)
        rv = SS_NEED_CONNECTION;
    if (verifying(ns->conn) && ns->conn != os->conn && os->conn > C_CONNECTED)
        rv = SS_RESYNC_RUNNING;
    if (starting(ns->conn) && os->conn < C_CONNECTED)
        rv = SS_NEED_CONNECTION;
    if ((ns->conn == C_SYNC_TARGET || ns->conn == C_SYNC_SOURCE) && os->conn < C_WF_REPORT_PARAMS)
        rv = SS_NEED_CONNECTION;
    if (ns->conn == C_DISCONNECTING && ns->pdsk == D_OUTDATED && os->conn < C_CONNECTED &&
        os->pdsk > D_OUTDATED)
        rv = SS_OUTDATE_WO_CONN;
    return rv;
}

int repl_state_hard(const struct drbd_state *os, const struct drbd_state *ns)
{
    enum drbd_conn from = os->conn, to = ns->conn;

    if (ns->disk == D_FAILED && (os->disk == D_DISKLESS || os->disk == D_ATTACHING))
        return SS_IS_DISKLESS;
    if (from == to)
        return SS_SUCCESS;
    if (from == C_STANDALONE && to == C_DISCONNECTING)
        return SS_ALREADY_STANDALONE;
    if (from == C_STANDALONE && to != C_UNCONNECTED)
        return SS_NEED_CONNECTION;
    if (from < C_WF_REPORT_PARAMS && to >= C_CONNECTED)
        return SS_NEED_CONNECTION;
    if (from >= C_TIMEOUT && from <= C_TEAR_DOWN && to != C_UNCONNECTED && to != C_DISCONNECTING)
        return SS_IN_TRANSIENT_STATE;
    if (from == C_DISCONNECTING && to != C_STANDALONE)
        return SS_IN_TRANSIENT_STATE;
    return SS_SUCCESS;
}

/* The flags of disk §2.2 that follow from the state. */
uint32_t repl_state_md_flags(const struct repl_volume *v, const struct drbd_state *ns)
{
    uint32_t flags = v->md.flags & (MDF_FULL_SYNC | MDF_AL_DISABLED);

    if (v->ctl.crashed_primary)
        flags |= MDF_CRASHED_PRIMARY;
    if (ns->role == R_PRIMARY || (ns->pdsk < D_INCONSISTENT && ns->peer == R_PRIMARY))
        flags |= MDF_PRIMARY_IND;
    if (ns->conn > C_WF_REPORT_PARAMS)
        flags |= MDF_CONNECTED_IND;
    if (ns->disk > D_INCONSISTENT)
        flags |= MDF_CONSISTENT;
    if (ns->disk > D_OUTDATED)
        flags |= MDF_WAS_UP_TO_DATE;
    if (ns->pdsk >= D_INCONSISTENT && ns->pdsk <= D_OUTDATED)
        flags |= MDF_PEER_OUT_DATED;
    return flags;
}
