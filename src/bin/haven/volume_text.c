/* SPDX-License-Identifier: Apache-2.0 */
/* A volume's status as drbdadm's text. */
#include <string.h>

#include "ctl.h"
#include "drbd_state.h"
#include "volume_client.h"

/* 9.x names of connection and replication states; the others are as in 8.4. */
static const char *connection_name(const char *conn)
{
    return !strcmp(conn, "WFConnection")     ? "Connecting"
           : !strcmp(conn, "WFReportParams") ? "Connected"
                                             : conn;
}

static bool connected(const json_t *status)
{
    return drbd_conn_from_name(ctl_string(status, "connection")) >= C_CONNECTED;
}

static double done_percent(const json_t *sync)
{
    double total = (double)ctl_integer(sync, "total_kib", 0);

    return total > 0 ? 100.0 * (total - (double)ctl_integer(sync, "left_kib", 0)) / total : 100.0;
}

const json_t *volume_status_find(const json_t *status, uint32_t vnr)
{
    const json_t *volumes = json_object_get(status, "volumes"), *v;
    size_t i;

    json_array_foreach(volumes, i, v)
    {
        if (ctl_integer(v, "volume", -1) == (int64_t)vnr)
            return v;
    }
    return NULL;
}

static void peer_volume(struct hv_text *to, const json_t *v, bool several)
{
    const json_t *sync = json_object_get(v, "sync");
    const char *repl = ctl_string(v, "connection"), *paused = ctl_string(v, "resync_suspended");

    hv_text_add(to, "    ");
    if (several)
        hv_text_addf(to, "volume:%d ", (int)ctl_integer(v, "volume", 0));
    hv_text_addf(to, "replication:%s peer-disk:%s",
        !strcmp(repl, "Connected") ? "Established" : repl, ctl_string(v, "peer_disk"));
    if (json_is_object(sync))
        hv_text_addf(to, " done:%.2f", done_percent(sync));
    if (strcmp(paused, "no"))
        hv_text_addf(to, " resync-suspended:%s", paused);
    hv_text_add(to, "\n");
}

void volume_status_text(struct hv_text *to, const json_t *status)
{
    const json_t *volumes = json_object_get(status, "volumes"), *v;
    bool several = json_array_size(volumes) > 1, up = connected(status);
    const char *suspended = ctl_string(status, "suspended");
    size_t i;

    hv_text_addf(to, "%s role:%s", ctl_string(status, "resource"), ctl_string(status, "role"));
    if (strcmp(suspended, "no"))
        hv_text_addf(to, " suspended:%s", suspended);
    hv_text_add(to, "\n");
    json_array_foreach(volumes, i, v)
    {
        hv_text_add(to, "  ");
        if (several)
            hv_text_addf(to, "volume:%d ", (int)ctl_integer(v, "volume", 0));
        hv_text_addf(to, "disk:%s\n", ctl_string(v, "disk"));
    }
    hv_text_add(to, "  peer");
    if (!up)
        hv_text_addf(to, " connection:%s", connection_name(ctl_string(status, "connection")));
    if (up || strcmp(ctl_string(status, "peer_role"), "Unknown"))
        hv_text_addf(to, " role:%s", ctl_string(status, "peer_role"));
    hv_text_add(to, "\n");
    if (up)
        json_array_foreach(volumes, i, v) peer_volume(to, v, several);
    hv_text_add(to, "\n");
}

void volume_sh_status(struct hv_text *to, const struct volume_target *t, const json_t *status)
{
    const json_t *v = status ? volume_status_find(status, t->volume->vnr) : NULL;
    const json_t *sync = v ? json_object_get(v, "sync") : NULL;
    const char *paused = v ? ctl_string(v, "resync_suspended") : "";

    hv_text_addf(to, "_minor=%u\n_res_name=%s\n_volume=%u\n", t->volume->minor, t->resource->name,
        t->volume->vnr);
    hv_text_addf(to, "_known=%s\n", v ? "Configured" : "Unconfigured");
    hv_text_addf(to, "_cstate=%s\n_role=%s\n_peer=%s\n_disk=%s\n_pdsk=%s\n",
        v ? ctl_string(v, "connection") : "Unconfigured", v ? ctl_string(status, "role") : "",
        v ? ctl_string(status, "peer_role") : "", v ? ctl_string(v, "disk") : "",
        v ? ctl_string(v, "peer_disk") : "");
    hv_text_addf(
        to, "_flags_susp=%s\n", v && strcmp(ctl_string(status, "suspended"), "no") ? "1" : "");
    hv_text_addf(to, "_flags_aftr_isp=%s\n_flags_peer_isp=%s\n_flags_user_isp=%s\n",
        strstr(paused, "dependency") ? "1" : "", strstr(paused, "peer") ? "1" : "",
        strstr(paused, "user") ? "1" : "");
    if (json_is_object(sync))
        hv_text_addf(to, "_resynced_percent=%.1f\n", done_percent(sync));
    else
        hv_text_add(to, "_resynced_percent=\n");
    hv_text_add(to, "_sh_status_process\n\n\n");
}
