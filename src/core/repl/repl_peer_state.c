/* SPDX-License-Identifier: Apache-2.0 */
/* The peer says how it is: P_STATE (wire §6.6). */
#include <string.h>

#include "repl_control.h"

/* Steps 2 to 4.  True when the packet has done its work. */
static bool end_of_something(
    struct repl_volume *v, const struct drbd_state *peer, enum drbd_disk *peer_disk)
{
    const struct drbd_state *s = &v->state;

    if ((s->pdsk == D_INCONSISTENT || s->pdsk == D_CONSISTENT) && *peer_disk == D_UP_TO_DATE &&
        s->conn > C_CONNECTED && s->disk == D_UP_TO_DATE) {
        if (peer->conn > C_CONNECTED && peer->conn < C_SYNC_SOURCE) {
            *peer_disk = D_INCONSISTENT;
        } else if (s->conn >= C_SYNC_SOURCE && peer->conn == C_CONNECTED) {
            repl_resync_peer_done(v);
            return true;
        }
    }
    if (s->conn == C_VERIFY_T && s->disk == D_UP_TO_DATE && peer->conn == C_CONNECTED &&
        *peer_disk == D_UP_TO_DATE) {
        repl_verify_peer_done(v);
        return true;
    }
    if (s->pdsk == D_UP_TO_DATE && *peer_disk == D_INCONSISTENT && s->conn == C_CONNECTED &&
        peer->conn > C_SYNC_SOURCE)
        *peer_disk = D_UP_TO_DATE;
    return false;
}

/* Step 6: is there a reason to compare the identifiers? */
static bool consider_resync(const struct repl_volume *v, const struct drbd_state *peer)
{
    const struct drbd_state *s = &v->state;

    if (!v->peer_uuids_valid || peer->disk < D_NEGOTIATING || !repl_has_disk(v, D_NEGOTIATING))
        return false;
    if (s->conn < C_CONNECTED || v->ctl.consider_resync)
        return true;
    if (s->conn != C_CONNECTED)
        return false;
    return peer->disk == D_NEGOTIATING || s->disk == D_NEGOTIATING ||
           (peer->conn >= C_STARTING_SYNC_S && peer->conn <= C_WF_BITMAP_T);
}

/* The comparison said no.  HV_ESTATE: go StandAlone; HV_EPROTO: try again; 0: go on without a disk. */
static int no_agreement(struct repl_volume *v, const struct drbd_state *peer,
    enum drbd_disk *peer_disk, struct drbd_state *ns)
{
    ns->conn = C_CONNECTED;
    if (v->state.disk == D_NEGOTIATING) {
        struct drbd_state failed = v->state;
        failed.disk = D_FAILED;
        repl_state_change(v, failed, REPL_CHG_HARD, "attach refused");
        ns->disk = v->state.disk;
        return 0;
    }
    if (peer->disk == D_NEGOTIATING) {
        repl_volume_log(v, HV_LOG_ERROR, "Disk attach process on the peer node was aborted.");
        *peer_disk = D_DISKLESS;
        return 0;
    }
    return v->r->ctl.dry_run && !v->r->config.net.dry_run ? HV_EPROTO : HV_ESTATE;
}

/* Step 8: a rebooted peer must not be sent the frozen writes again. */
static bool only_consistent(struct repl_volume *v, const struct drbd_state *ns)
{
    return ns->pdsk == D_CONSISTENT && repl_suspended(v) && ns->conn == C_CONNECTED &&
           v->state.conn < C_CONNECTED && v->ctl.new_cur_uuid;
}

static int abort_thaw(struct repl_volume *v)
{
    repl_volume_log(
        v, HV_LOG_ERROR, "Aborting Connect, can not thaw IO with an only Consistent peer");
    repl_conn_drop(v->r, C_PROTOCOL_ERROR, "peer only Consistent");
    repl_thaw_fenced(v);
    return HV_EPROTO;
}

/* Step 9 and 10. */
static int apply(struct repl_volume *v, const struct drbd_state *peer, struct drbd_state ns)
{
    const struct drbd_state os = v->state;
    bool establishes = os.conn < C_CONNECTED && ns.conn >= C_CONNECTED;
    int rv = repl_state_change(
        v, ns, REPL_CHG_VERBOSE | (establishes ? 0 : REPL_CHG_HARD), "peer's state");

    if (rv < SS_SUCCESS)
        return HV_ESTATE;
    if (os.conn > C_WF_REPORT_PARAMS && v->state.conn > C_CONNECTED && peer->conn <= C_CONNECTED &&
        peer->disk != D_NEGOTIATING && os.conn != v->state.conn) {
        repl_send_uuids(v);
        repl_send_state(v, &v->state);
    }
    repl_md_sync(v, NULL, NULL);
    return 0;
}

/* DRBD 9 numbers a disk state of its own where 8.4 has UpToDate (reference drbd9 §4). */
static void drbd9_disk(struct drbd_state *s)
{
    if ((unsigned)s->disk == 9)
        s->disk = D_UP_TO_DATE;
    if ((unsigned)s->pdsk == 9)
        s->pdsk = D_UP_TO_DATE;
}

int repl_recv_state(struct repl *r, struct repl_volume *v, struct repl_packet *p)
{
    struct drbd_state peer, ns;
    enum drbd_disk peer_disk;
    struct hv_reader reader;
    uint32_t word;
    int rv;

    hv_reader_init(&reader, p->sub, p->sub_bytes);
    if (drbd_u32_decode(&reader, &word))
        return repl_peer_lied(r, "bad P_STATE");
    peer = drbd_state_unpack(word);
    drbd9_disk(&peer);
    if (!drbd_state_known(&peer))
        return repl_peer_lied(r, "P_STATE 0x%08x", word);
    peer_disk = peer.disk;
    if (peer.disk == D_NEGOTIATING) {
        bool bad = v->peer_uuids.flags & DRBD_UUID_FLAG_INCONSISTENT;
        peer_disk = v->peer_uuids_valid && bad ? D_INCONSISTENT : D_CONSISTENT;
        repl_volume_log(v, HV_LOG_INFO, "real peer disk state = %s", drbd_disk_name(peer_disk));
    }
    if (v->state.conn <= C_TEAR_DOWN)
        return HV_EPROTO;
    if (end_of_something(v, &peer, &peer_disk))
        return 0;
    ns = v->state;
    if (ns.conn == C_WF_REPORT_PARAMS)
        ns.conn = C_CONNECTED;
    if (peer.conn == C_AHEAD)
        ns.conn = C_BEHIND;
    if (consider_resync(v, &peer)) {
        enum drbd_conn conn = repl_sync_handshake(v, peer.role, peer_disk);
        ns.conn = conn;
        if (conn == C_MASK) {
            rv = no_agreement(v, &peer, &peer_disk, &ns);
            if (rv)
                return rv;
        }
        if (r->ctl.closing)
            return HV_EPROTO;
    }
    v->ctl.consider_resync = false;
    ns.peer = peer.role;
    ns.pdsk = peer_disk;
    ns.peer_isp = peer.aftr_isp || peer.user_isp;
    if ((ns.conn == C_CONNECTED || ns.conn == C_WF_BITMAP_S) && ns.disk == D_NEGOTIATING)
        ns.disk = v->ctl.negotiated;
    if (only_consistent(v, &ns))
        return abort_thaw(v);
    return apply(v, &peer, ns);
}
