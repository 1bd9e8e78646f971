/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "drbd_state.h"
#include "hv_text.h"
#include "proc_drbd.h"
#include "vol.h"

static json_t *number(uint64_t n)
{
    return json_integer((json_int_t)n);
}

static json_t *counters_json(const struct repl_volume_status *s)
{
    char wo[2] = {s->wo ? s->wo : 'd', 0};

    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:i, s:i, s:i, s:i, s:i, s:s}", "ns",
        number(s->ns_kib), "nr", number(s->nr_kib), "dw", number(s->dw_kib), "dr",
        number(s->dr_kib), "al", number(s->al_writes), "bm", number(s->bm_writes), "lo", (int)s->lo,
        "pe", (int)s->pe, "ua", (int)s->ua, "ap", (int)s->ap, "ep", (int)s->ep, "wo", wo);
}

static json_t *sync_json(const struct repl_volume_status *s)
{
    if (!s->rs_total_kib)
        return json_null();
    return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:b}", "kind",
        s->rs_verify ? "verify" : "resync", "total_kib", number(s->rs_total_kib), "left_kib",
        number(s->rs_left_kib), "failed_kib", number(s->rs_failed_kib), "speed_kib",
        number(s->rs_speed_kib), "average_kib", number(s->rs_average_kib), "want_kib",
        number(s->rs_want_kib), "eta_ms", number(s->rs_eta_ms), "stalled", s->rs_stalled);
}

static json_t *paused_json(const struct drbd_state *s)
{
    struct hv_text t = {0};

    if (s->user_isp)
        hv_text_add(&t, "user");
    if (s->peer_isp)
        hv_text_add(&t, t.length ? ",peer" : "peer");
    if (s->aftr_isp)
        hv_text_add(&t, t.length ? ",dependency" : "dependency");
    json_t *j = json_string(t.length ? hv_text_str(&t) : "no");
    hv_text_free(&t);
    return j;
}

static json_t *volume_json(const struct vol_volume *volume, const struct repl_volume_status *s)
{
    json_t *uuids = json_array();
    char text[32];

    for (int i = 0; i < 4; i++) {
        snprintf(text, sizeof text, "%016llX", (unsigned long long)s->uuid[i]);
        json_array_append_new(uuids, json_string(text));
    }
    return json_pack(
        "{s:i, s:i, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
        "volume", (int)s->vnr, "minor", (int)s->minor, "device", volume->conf->device,
        "block_device", volume->front ? front_device(volume->front) : "", "backing_disk",
        volume->conf->disk, "connection", drbd_conn_name(s->state.conn), "disk",
        drbd_disk_name(s->state.disk), "peer_disk", drbd_disk_name(s->state.pdsk), "role",
        drbd_role_name(s->state.role), "size_sectors", number(s->size_sectors), "uuid", uuids,
        "md_flags", number(s->md_flags), "out_of_sync_kib", number(s->oos_kib), "resync_suspended",
        paused_json(&s->state), "sync", sync_json(s), "counters", counters_json(s));
}

static json_t *suspended_json(const struct repl_status *s)
{
    struct hv_text t = {0};
    bool user = false, no_data = false, fencing = false;

    for (uint32_t i = 0; i < s->volumes; i++) {
        user = user || s->volume[i].state.susp;
        no_data = no_data || s->volume[i].state.susp_nod;
        fencing = fencing || s->volume[i].state.susp_fen;
    }
    if (user)
        hv_text_add(&t, "user");
    if (no_data)
        hv_text_add(&t, t.length ? ",no-data" : "no-data");
    if (fencing)
        hv_text_add(&t, t.length ? ",fencing" : "fencing");
    json_t *j = json_string(t.length ? hv_text_str(&t) : "no");
    hv_text_free(&t);
    return j;
}

json_t *vol_status_json(struct vol *v)
{
    struct repl_status *s = malloc(sizeof *s);
    char letter[2] = {'C', 0}, peer[160], local[160];
    uint64_t now = loop_clock_ms();

    if (!s)
        return json_null();
    repl_status(v->repl, now, s);
    json_t *volumes = json_array();
    for (uint32_t i = 0; i < s->volumes; i++)
        json_array_append_new(volumes, volume_json(&v->volume[i], &s->volume[i]));
    letter[0] = (char)('A' + (s->wire_protocol ? s->wire_protocol : 3) - 1);
    net_addr_format(&v->local, local, sizeof local);
    net_addr_format(&v->peer, peer, sizeof peer);
    json_t *j = json_pack("{s:s, s:s, s:s, s:s, s:s, s:i, s:b, s:b, s:o, s:o, s:s, s:s, s:s, s:o}",
        "resource", v->name, "role", drbd_role_name(s->role), "peer_role",
        drbd_role_name(s->peer_role), "connection", drbd_conn_name(s->conn), "protocol", letter,
        "agreed_version", (int)s->agreed_version, "split_brain", s->split_brain,
        "waits_for_fencing", s->waits_for_fencing, "suspended", suspended_json(s),
        "last_heard_ago_ms", s->last_heard_ms ? number(now - s->last_heard_ms) : json_null(),
        "local", local, "peer", peer, "peer_node",
        v->resource->peer->n_names ? v->resource->peer->names[0] : "", "volumes", volumes);
    free(s);
    return j;
}

void vol_proc_text(struct vol *v, struct hv_text *to)
{
    struct repl_status *s = malloc(sizeof *s);

    if (!s)
        return;
    repl_status(v->repl, loop_clock_ms(), s);
    for (uint32_t i = 0; i < s->volumes; i++)
        proc_drbd_volume(to, s, &s->volume[i]);
    free(s);
}
