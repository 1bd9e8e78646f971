/* SPDX-License-Identifier: Apache-2.0 */
/* The life of the generation identifiers (wire §7.2). */
#include <string.h>

#include "repl_control.h"

void repl_uuid_log(struct repl_volume *v, const char *text)
{
    const uint64_t *u = v->md.uuid;

    repl_volume_log(v, HV_LOG_INFO, "%s %016llX:%016llX:%016llX:%016llX", text,
        (unsigned long long)u[MD_UUID_CURRENT], (unsigned long long)u[MD_UUID_BITMAP],
        (unsigned long long)u[MD_UUID_HISTORY_0], (unsigned long long)u[MD_UUID_HISTORY_1]);
}

void repl_uuid_set_current(struct repl_volume *v, uint64_t uuid)
{
    uuid = v->state.role == R_PRIMARY ? uuid | 1 : uuid & ~UINT64_C(1);
    v->md.uuid[MD_UUID_CURRENT] = uuid;
    v->exposed_uuid = uuid;
    repl_md_mark(v);
}

void repl_uuid_role_bit(struct repl_volume *v)
{
    repl_uuid_set_current(v, v->md.uuid[MD_UUID_CURRENT]);
}

static void rotate(struct repl_volume *v, uint64_t uuid)
{
    v->md.uuid[MD_UUID_HISTORY_1] = v->md.uuid[MD_UUID_HISTORY_0];
    v->md.uuid[MD_UUID_HISTORY_0] = uuid;
}

/* What the bitmap slot holds becomes history. */
void repl_uuid_rotate_bitmap(struct repl_volume *v)
{
    if (!v->md.uuid[MD_UUID_BITMAP])
        return;
    rotate(v, v->md.uuid[MD_UUID_BITMAP]);
    v->md.uuid[MD_UUID_BITMAP] = 0;
    repl_md_mark(v);
}

static void new_current_durable(struct repl_volume *v, void *arg, int error)
{
    /* On an error the disk is being detached: nothing is acknowledged from it alone any more. */
    v->ctl.md_uuid_pending = false;
}

void repl_uuid_new_current_now(struct repl_volume *v, bool degraded)
{
    if (v->md.uuid[MD_UUID_BITMAP])
        repl_volume_log(v, HV_LOG_WARN, "bm UUID was already set: %llX",
            (unsigned long long)v->md.uuid[MD_UUID_BITMAP]);
    v->md.uuid[MD_UUID_BITMAP] = v->md.uuid[MD_UUID_CURRENT];
    repl_uuid_set_current(v, hv_entropy_u64(v->r->event->entropy));
    repl_uuid_log(v, "new current UUID");
    v->ctl.md_uuid_pending |= degraded;
    repl_md_sync(v, degraded ? new_current_durable : NULL, NULL);
}

void repl_uuid_new_current(struct repl_volume *v)
{
    repl_uuid_new_current_now(v, true);
}

/* The source may say the new identifier only when it cannot forget it: a target that carries one the
 * source does not know would look unrelated. */
static void sync_uuid_durable(struct repl_volume *v, void *arg, int error)
{
    uint8_t sub[8];
    struct hv_writer w;

    if (error || (v->state.conn != C_SYNC_SOURCE && v->state.conn != C_PAUSED_SYNC_S))
        return;
    hv_writer_init(&w, sub, sizeof sub);
    drbd_u64_encode(&w, v->md.uuid[MD_UUID_BITMAP]);
    repl_send(v->r, DRBD_SOCK_DATA, v->config.vnr, P_SYNC_UUID, sub, sizeof sub, NULL, 0, 0);
    repl_resync_start(v);
}

void repl_uuid_sync_started(struct repl_volume *v)
{
    uint64_t uuid = v->md.uuid[MD_UUID_BITMAP];

    if (uuid && uuid != DRBD_UUID_JUST_CREATED)
        uuid += DRBD_UUID_BITMAP_STEP;
    else
        uuid = hv_entropy_u64(v->r->event->entropy);
    repl_uuid_rotate_bitmap(v);
    v->md.uuid[MD_UUID_BITMAP] = uuid;
    repl_md_mark(v);
    repl_uuid_log(v, "updated sync UUID");
    repl_md_sync(v, sync_uuid_durable, NULL);
}

void repl_uuid_sync_finished(struct repl_volume *v)
{
    uint64_t *mine = v->md.uuid, *peer = v->peer_uuids.uuid;
    bool target = v->state.conn == C_SYNC_TARGET || v->state.conn == C_PAUSED_SYNC_T;

    if (target && v->peer_uuids_valid) {
        for (int i = MD_UUID_BITMAP; i < MD_UUIDS; i++)
            mine[i] = peer[i];
        repl_uuid_rotate_bitmap(v);
        mine[MD_UUID_BITMAP] = mine[MD_UUID_CURRENT];
        repl_uuid_set_current(v, peer[DRBD_UUID_CURRENT]);
    }
    repl_uuid_rotate_bitmap(v);
    repl_md_mark(v);
    repl_uuid_log(v, "updated UUIDs");
    if (v->peer_uuids_valid)
        memcpy(peer, mine, sizeof v->peer_uuids.uuid);
}
