/* SPDX-License-Identifier: Apache-2.0 */
#include "proc_drbd.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "drbd_packet.h"

enum { BAR_WIDTH = 20, KIB_IN_MIB_FROM = 4 << 20 };

void proc_drbd_header(struct hv_text *to)
{
    hv_text_addf(to, "version: 8.4.11 (api:1/proto:%d-%d)\nhaven: %s\n", DRBD_PROTOCOL_MIN,
        DRBD_PROTOCOL_MAX, HAVEN_VERSION);
}

/* 1234567 as 1,234,567 */
static const char *thousands(uint64_t n, char to[32])
{
    char digits[24];
    int length = snprintf(digits, sizeof digits, "%" PRIu64, n), at = 0;

    for (int i = 0; i < length; i++) {
        if (i && (length - i) % 3 == 0)
            to[at++] = ',';
        to[at++] = digits[i];
    }
    to[at] = 0;
    return to;
}

static void progress(struct hv_text *to, const struct repl_volume_status *v)
{
    uint64_t done_kib = v->rs_total_kib - v->rs_left_kib;
    unsigned per_mil = (unsigned)(done_kib * 1000 / (v->rs_total_kib ? v->rs_total_kib : 1));
    unsigned x = per_mil / 50, y = BAR_WIDTH - x;
    bool mib = v->rs_total_kib > KIB_IN_MIB_FROM;
    uint64_t eta_s = v->rs_eta_ms / 1000;
    char speed[32], average[32], want[32];

    hv_text_add(to, "\t[");
    for (unsigned i = 1; i < x; i++)
        hv_text_add(to, "=");
    hv_text_add(to, ">");
    for (unsigned i = 0; i < y; i++)
        hv_text_add(to, ".");
    hv_text_addf(to, "] %s%3u.%u%% (%" PRIu64 "/%" PRIu64 ")%s\n",
        v->rs_verify ? "verified:" : "sync'ed:", per_mil / 10, per_mil % 10,
        mib ? v->rs_left_kib / 1024 : v->rs_left_kib,
        mib ? v->rs_total_kib / 1024 : v->rs_total_kib, mib ? "M" : "K");
    hv_text_addf(to, "\tfinish: %" PRIu64 ":%02u:%02u speed: %s (%s)", eta_s / 3600,
        (unsigned)(eta_s / 60 % 60), (unsigned)(eta_s % 60), thousands(v->rs_speed_kib, speed),
        thousands(v->rs_average_kib, average));
    if (v->state.conn == C_SYNC_TARGET || v->state.conn == C_VERIFY_S)
        hv_text_addf(to, " want: %s", thousands(v->rs_want_kib, want));
    hv_text_addf(to, " K/sec%s\n", v->rs_stalled ? " (stalled)" : "");
}

void proc_drbd_volume(
    struct hv_text *to, const struct repl_status *status, const struct repl_volume_status *v)
{
    const struct drbd_state *s = &v->state;
    bool suspended = s->susp || s->susp_nod || s->susp_fen;

    if (s->conn == C_STANDALONE && s->disk == D_DISKLESS && s->role == R_SECONDARY) {
        hv_text_addf(to, "%2u: cs:Unconfigured\n", v->minor);
        return;
    }
    hv_text_addf(to, "%2u: cs:%s ro:%s/%s ds:%s/%s %c %c%c%c%c%c%c\n", v->minor,
        drbd_conn_name(s->conn), drbd_role_name(s->role), drbd_role_name(s->peer),
        drbd_disk_name(s->disk), drbd_disk_name(s->pdsk),
        s->conn == C_STANDALONE ? ' ' : (char)('A' + status->wire_protocol - 1),
        suspended ? 's' : 'r', s->aftr_isp ? 'a' : '-', s->peer_isp ? 'p' : '-',
        s->user_isp ? 'u' : '-', '-', v->al_suspended ? 's' : '-');
    hv_text_addf(to,
        "    ns:%" PRIu64 " nr:%" PRIu64 " dw:%" PRIu64 " dr:%" PRIu64 " al:%" PRIu64 " bm:%" PRIu64
        " lo:%u pe:%u ua:%u ap:%u ep:%u wo:%c oos:%" PRIu64 "\n",
        v->ns_kib, v->nr_kib, v->dw_kib, v->dr_kib, v->al_writes, v->bm_writes, v->lo, v->pe, v->ua,
        v->ap, v->ep, v->wo ? v->wo : 'd', v->oos_kib);
    if (s->conn == C_SYNC_SOURCE || s->conn == C_SYNC_TARGET || s->conn == C_VERIFY_S ||
        s->conn == C_VERIFY_T)
        progress(to, v);
}
