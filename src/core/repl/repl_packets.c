/* SPDX-License-Identifier: Apache-2.0 */
/* Which packet goes to which handler of the control half. */
#include "repl_control.h"

static int recv_ping(struct repl *r, struct repl_volume *v, struct repl_packet *p)
{
    repl_send(r, DRBD_SOCK_META, 0, P_PING_ACK, NULL, 0, NULL, 0, 0);
    return 0;
}

static int recv_ping_ack(struct repl *r, struct repl_volume *v, struct repl_packet *p)
{
    repl_timer_clear(r, REPL_T_PING_ACK);
    repl_data_ping_acked(r);
    repl_admin_ping_acked(r);
    return 0;
}

static int recv_ignored(struct repl *r, struct repl_volume *v, struct repl_packet *p)
{
    return 0;
}

static const struct {
    unsigned command;
    repl_packet_fn fn;
} handlers[] = {
    {P_PING, recv_ping},
    {P_PING_ACK, recv_ping_ack},
    {P_DELAY_PROBE, recv_ignored},
    {P_PROTOCOL, repl_recv_protocol},
    {P_PROTOCOL_UPDATE, repl_recv_protocol_update},
    {P_SYNC_PARAM, repl_recv_sync_param},
    {P_SYNC_PARAM89, repl_recv_sync_param},
    {P_SIZES, repl_recv_sizes},
    {P_UUIDS, repl_recv_uuids},
    {P_STATE, repl_recv_state},
    {P_SYNC_UUID, repl_recv_sync_uuid},
    {P_BITMAP, repl_recv_bitmap},
    {P_COMPRESSED_BITMAP, repl_recv_bitmap},
    {P_STATE_CHG_REQ, repl_cw_request},
    {P_CONN_ST_CHG_REQ, repl_cw_conn_request},
    {P_STATE_CHG_REPLY, repl_cw_reply},
    {P_CONN_ST_CHG_REPLY, repl_cw_reply},
};

repl_packet_fn repl_ctl_packet(unsigned command)
{
    for (unsigned i = 0; i < sizeof handlers / sizeof *handlers; i++)
        if (handlers[i].command == command)
            return handlers[i].fn;
    return NULL;
}
