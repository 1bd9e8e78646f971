/* SPDX-License-Identifier: Apache-2.0 */
/* The parameters two nodes exchange (wire §6.1-6.4): protocol, resync, sizes, UUIDs. */
#include <stdlib.h>
#include <string.h>

#include "repl_control.h"

struct packer {
    uint8_t bytes[DRBD_SUB_BYTES_MAX + DRBD_ALG_BYTES];
    struct hv_writer w;
};

static struct hv_writer *pack(struct packer *p)
{
    hv_writer_init(&p->w, p->bytes, sizeof p->bytes);
    return &p->w;
}

static void send_packed(struct repl *r, uint16_t vnr, unsigned command, const struct packer *p)
{
    hv_assert(!p->w.bad);
    repl_send(
        r, DRBD_SOCK_DATA, vnr, command, p->bytes, (uint32_t)hv_writer_length(&p->w), NULL, 0, 0);
}

/* --- P_PROTOCOL (wire §6.1) --- */

static void alg_copy(char to[DRBD_ALG_BYTES], const char *from)
{
    size_t n = strlen(from);

    memset(to, 0, DRBD_ALG_BYTES);
    memcpy(to, from, n < DRBD_ALG_BYTES ? n : DRBD_ALG_BYTES - 1);
}

void repl_send_protocol(struct repl *r, unsigned command)
{
    const struct repl_net_config *net = &r->config.net;
    struct drbd_protocol p = {.wire_protocol = net->wire_protocol,
        .after_sb_0p = net->after_sb_0pri,
        .after_sb_1p = net->after_sb_1pri,
        .after_sb_2p = net->after_sb_2pri,
        .two_primaries = net->allow_two_primaries};
    struct packer out;

    if (r->ctl.discard_my_data)
        p.conn_flags |= DRBD_CF_DISCARD_MY_DATA;
    if (net->dry_run)
        p.conn_flags |= DRBD_CF_DRY_RUN;
    alg_copy(p.integrity_alg, net->integrity_alg);
    drbd_protocol_encode(pack(&out), &p, r->agreed_version);
    send_packed(r, 0, command, &out);
}

/* What I discard locally, the peer discards remotely. */
static uint32_t mirrored(uint32_t policy)
{
    if (policy == ASB_DISCARD_LOCAL)
        return ASB_DISCARD_REMOTE;
    return policy == ASB_DISCARD_REMOTE ? (uint32_t)ASB_DISCARD_LOCAL : policy;
}

static int incompatible(struct repl *r, const char *what)
{
    repl_log(r, HV_LOG_ERROR, "incompatible %s settings", what);
    return HV_EAUTH;
}

static int take_integrity(struct repl *r, const char *alg)
{
    if (alg[0] && (!r->config.digest || r->config.digest->size(alg) < 1)) {
        repl_log(r, HV_LOG_ERROR, "peer data-integrity-alg %s not supported", alg);
        return HV_EAUTH;
    }
    memcpy(r->peer_integrity_alg, alg, DRBD_ALG_BYTES);
    return 0;
}

int repl_recv_protocol(struct repl *r, struct repl_volume *v, struct repl_packet *p)
{
    const struct repl_net_config *net = &r->config.net;
    struct drbd_protocol peer;
    struct hv_reader reader;

    hv_reader_init(&reader, p->sub, p->sub_bytes);
    if (drbd_protocol_decode(&reader, &peer, r->agreed_version))
        return repl_peer_lied(r, "bad P_PROTOCOL");
    if (peer.conn_flags & DRBD_CF_DRY_RUN)
        r->ctl.dry_run = true;
    if (peer.wire_protocol != net->wire_protocol)
        return incompatible(r, "protocol");
    if (mirrored(peer.after_sb_0p) != net->after_sb_0pri)
        return incompatible(r, "after-sb-0pri");
    if (mirrored(peer.after_sb_1p) != net->after_sb_1pri)
        return incompatible(r, "after-sb-1pri");
    if (mirrored(peer.after_sb_2p) != net->after_sb_2pri)
        return incompatible(r, "after-sb-2pri");
    if ((peer.conn_flags & DRBD_CF_DISCARD_MY_DATA) && r->ctl.discarding)
        return incompatible(r, "discard-my-data");
    if (peer.two_primaries != (uint32_t)net->allow_two_primaries)
        return incompatible(r, "allow-two-primaries");
    if (strcmp(peer.integrity_alg, net->integrity_alg))
        return incompatible(r, "data-integrity-alg");
    return take_integrity(r, peer.integrity_alg);
}

/* The peer's new settings become ours (wire §6.1). */
int repl_recv_protocol_update(struct repl *r, struct repl_volume *v, struct repl_packet *p)
{
    struct repl_net_config *net = &r->config.net;
    struct drbd_protocol peer;
    struct hv_reader reader;

    hv_reader_init(&reader, p->sub, p->sub_bytes);
    if (drbd_protocol_decode(&reader, &peer, r->agreed_version))
        return repl_peer_lied(r, "bad P_PROTOCOL_UPDATE");
    if (peer.wire_protocol < DRBD_PROT_A || peer.wire_protocol > DRBD_PROT_C)
        return repl_peer_lied(r, "protocol %u", peer.wire_protocol);
    if (peer.two_primaries)
        return incompatible(r, "allow-two-primaries");
    if (peer.after_sb_0p > ASB_VIOLENTLY || peer.after_sb_1p > ASB_VIOLENTLY ||
        peer.after_sb_2p > ASB_VIOLENTLY)
        return repl_peer_lied(r, "unknown after-sb policy");
    net->wire_protocol = (uint8_t)peer.wire_protocol;
    net->after_sb_0pri = mirrored(peer.after_sb_0p);
    net->after_sb_1pri = mirrored(peer.after_sb_1p);
    net->after_sb_2pri = mirrored(peer.after_sb_2p);
    return take_integrity(r, peer.integrity_alg);
}

/* --- P_SYNC_PARAM (wire §6.2) --- */

void repl_send_sync_param(struct repl_volume *v)
{
    const struct repl *r = v->r;
    const struct repl_disk_config *d = &v->config.disk;
    struct drbd_rs_param p = {.resync_rate_kib_s = 250,
        .c_plan_ahead = 20,
        .c_delay_target = 10,
        .c_fill_target = 100,
        .c_max_rate_kib_s = 102400};
    struct packer out;

    if (v->disk_open) {
        p.resync_rate_kib_s = d->resync_rate_kib;
        p.c_plan_ahead = d->c_plan_ahead_ds;
        p.c_delay_target = d->c_delay_target_ds;
        p.c_fill_target = d->c_fill_target_sectors;
        p.c_max_rate_kib_s = d->c_max_rate_kib;
    }
    alg_copy(p.verify_alg, r->config.net.verify_alg);
    alg_copy(p.csums_alg, r->config.net.csums_alg);
    drbd_rs_param_encode(pack(&out), &p, r->agreed_version);
    send_packed(v->r, v->config.vnr, drbd_rs_param_command(r->agreed_version), &out);
}

static int take_alg(
    struct repl *r, struct repl_volume *v, const char *what, char *mine, const char *peer)
{
    if (!strcmp(mine, peer))
        return 0;
    if (v->state.conn == C_WF_REPORT_PARAMS) {
        repl_log(r, HV_LOG_ERROR, "Different %s settings. me=\"%s\" peer=\"%s\"", what, mine, peer);
        return HV_EAUTH;
    }
    if (peer[0] && (!r->config.digest || r->config.digest->size(peer) < 1)) {
        repl_log(r, HV_LOG_ERROR, "%s %s not supported", what, peer);
        return HV_EAUTH;
    }
    memcpy(mine, peer, strlen(peer) + 1);
    repl_volume_log(v, HV_LOG_INFO, "using %s: \"%s\"", what, peer);
    return 0;
}

int repl_recv_sync_param(struct repl *r, struct repl_volume *v, struct repl_packet *p)
{
    struct repl_disk_config *d = &v->config.disk;
    struct drbd_rs_param peer;
    struct hv_reader reader;
    int rv = 0;

    hv_reader_init(&reader, p->sub, p->sub_bytes);
    if (drbd_rs_param_decode(&reader, &peer, r->agreed_version))
        return repl_peer_lied(r, "bad P_SYNC_PARAM");
    if (v->disk_open) {
        d->resync_rate_kib = peer.resync_rate_kib_s ? peer.resync_rate_kib_s : 1;
        if (r->agreed_version >= 95) {
            d->c_plan_ahead_ds = peer.c_plan_ahead < 300 ? peer.c_plan_ahead : 300;
            d->c_delay_target_ds = peer.c_delay_target ? peer.c_delay_target : 1;
            d->c_fill_target_sectors = peer.c_fill_target;
            d->c_max_rate_kib = peer.c_max_rate_kib_s;
        }
    }
    if (r->agreed_version >= 88)
        rv = take_alg(r, v, "verify-alg", r->config.net.verify_alg, peer.verify_alg);
    if (!rv && r->agreed_version >= 89)
        rv = take_alg(r, v, "csums-alg", r->config.net.csums_alg, peer.csums_alg);
    return rv;
}

/* --- P_SIZES (wire §6.3) --- */

static uint64_t min_not_zero(uint64_t a, uint64_t b)
{
    if (!a || !b)
        return a ? a : b;
    return a < b ? a : b;
}

void repl_send_sizes(struct repl_volume *v, bool ask, unsigned dds_flags)
{
    const struct repl *r = v->r;
    struct drbd_sizes p = {.max_bio_bytes = DRBD_BIO_BYTES_MAX, .dds_flags = (uint16_t)dds_flags};
    struct packer out;

    p.limits.logical_block_bytes = p.limits.physical_block_bytes = p.limits.io_min_bytes = 512;
    if (v->disk_open && v->state.disk >= D_NEGOTIATING) {
        const struct repl_attach *a = &v->attach;
        p.disk_sectors = v->layout.usable_sectors;
        p.user_sectors = v->config.disk.size_sectors;
        p.max_bio_bytes = (uint32_t)min_not_zero(a->max_io_bytes, DRBD_BIO_BYTES_MAX);
        p.limits.logical_block_bytes = a->logical_block_bytes ? a->logical_block_bytes : 512;
        p.limits.physical_block_bytes =
            a->physical_block_bytes ? a->physical_block_bytes : p.limits.logical_block_bytes;
        p.limits.io_min_bytes = p.limits.physical_block_bytes;
        p.limits.discard_enabled = a->can_discard;
    }
    p.current_sectors = ask ? 0 : v->size_sectors;
    if (r->agreed_version < 94)
        p.max_bio_bytes = (uint32_t)min_not_zero(p.max_bio_bytes, DRBD_BIO_BYTES_MAX_OLD);
    else if (r->agreed_version < 100)
        p.max_bio_bytes = (uint32_t)min_not_zero(p.max_bio_bytes, DRBD_BIO_BYTES_MAX_95);
    drbd_sizes_encode(pack(&out), &p, r->agreed_features);
    send_packed(v->r, v->config.vnr, P_SIZES, &out);
}

/* --- P_UUIDS (wire §6.4), P_STATE --- */

void repl_send_uuids(struct repl_volume *v)
{
    struct drbd_uuids p = {.dirty_bits = v->bm.weight};
    struct packer out;

    if (!repl_has_disk(v, D_NEGOTIATING))
        return;
    memcpy(p.uuid, v->md.uuid, sizeof p.uuid);
    v->ctl.comm_bm_set = v->bm.weight;
    if (v->r->ctl.discard_my_data)
        p.flags |= DRBD_UUID_FLAG_DISCARD_MY_DATA;
    if (v->ctl.crashed_primary)
        p.flags |= DRBD_UUID_FLAG_CRASHED_PRIMARY;
    if (v->state.disk == D_NEGOTIATING && v->ctl.negotiated == D_INCONSISTENT)
        p.flags |= DRBD_UUID_FLAG_INCONSISTENT;
    if (v->ctl.skip_initial_sync)
        p.flags |= DRBD_UUID_FLAG_SKIP_INITIAL_SYNC;
    drbd_uuids_encode(pack(&out), &p);
    send_packed(v->r, v->config.vnr, P_UUIDS, &out);
}

void repl_send_state(struct repl_volume *v, const struct drbd_state *state)
{
    struct packer out;

    drbd_u32_encode(pack(&out), drbd_state_pack(state));
    send_packed(v->r, v->config.vnr, P_STATE, &out);
}

/* new-current-uuid --clear-bitmap at the peer: two fresh disks are declared equal. */
static void skip_initial_sync(struct repl_volume *v)
{
    struct drbd_state ns = v->state;

    repl_volume_log(v, HV_LOG_INFO, "Accepted new current UUID, preparing to skip initial sync");
    bitmap_clear_all(&v->bm);
    repl_bm_write(v, 0, UINT32_MAX, NULL, NULL);
    repl_uuid_set_current(v, v->peer_uuids.uuid[DRBD_UUID_CURRENT]);
    v->md.uuid[MD_UUID_BITMAP] = 0;
    ns.disk = D_UP_TO_DATE;
    ns.pdsk = D_UP_TO_DATE;
    repl_state_change(v, ns, REPL_CHG_VERBOSE, "skip initial sync");
    repl_md_sync(v, NULL, NULL);
}

int repl_recv_uuids(struct repl *r, struct repl_volume *v, struct repl_packet *p)
{
    const uint64_t role_bit = 1;
    const struct drbd_state *s = &v->state;
    struct drbd_uuids uuids;
    struct hv_reader reader;
    bool diskless_primary = s->disk < D_INCONSISTENT && s->role == R_PRIMARY;

    hv_reader_init(&reader, p->sub, p->sub_bytes);
    if (drbd_uuids_decode(&reader, &uuids))
        return repl_peer_lied(r, "bad P_UUIDS");
    v->peer_uuids = uuids;
    v->peer_uuids_valid = true;
    if (diskless_primary && (s->conn < C_CONNECTED || s->pdsk == D_DISKLESS) &&
        (v->exposed_uuid & ~role_bit) != (uuids.uuid[DRBD_UUID_CURRENT] & ~role_bit)) {
        repl_volume_log(v, HV_LOG_ERROR, "Can only connect to data with current UUID=%016llX",
            (unsigned long long)v->exposed_uuid);
        return HV_EAUTH;
    }
    if (repl_has_disk(v, D_INCONSISTENT) && (uuids.flags & DRBD_UUID_FLAG_SKIP_INITIAL_SYNC) &&
        s->conn == C_CONNECTED && r->agreed_version >= 90 &&
        v->md.uuid[MD_UUID_CURRENT] == DRBD_UUID_JUST_CREATED)
        skip_initial_sync(v);
    if (diskless_primary)
        v->exposed_uuid = uuids.uuid[DRBD_UUID_CURRENT];
    return 0;
}
