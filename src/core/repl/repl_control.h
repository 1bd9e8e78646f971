/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REPL_CONTROL_H
#define REPL_CONTROL_H
/* What the files of the control half offer each other. */
#include "repl_int.h"

static inline bool repl_suspended(const struct repl_volume *v)
{
    return v->state.susp || v->state.susp_nod || v->state.susp_fen;
}

static inline bool repl_has_disk(const struct repl_volume *v, enum drbd_disk at_least)
{
    return v->disk_open && v->state.disk >= at_least && v->state.disk != D_FAILED;
}

/* repl.c */
void repl_front_tell(struct repl_volume *v);
void repl_changed(struct repl *r, int volume);

/* repl_time.c */
void repl_timers_run(struct repl *r);
uint64_t repl_timers_next(const struct repl *r);

/* repl_io.c */
int repl_io_new(struct repl *r);
void repl_io_free(struct repl *r);
void repl_io_done(struct repl *r, const struct repl_event *ev);

/* repl_frame.c */
void repl_frame_reset(struct repl_sock *s); /* drops what was being received */
void repl_frame_receive(struct repl *r, struct repl_sock *s, const uint8_t *bytes, uint32_t n);
void repl_frame_direct(struct repl *r, struct repl_sock *s, uint32_t n);
void repl_frame_continue(struct repl *r); /* looks at what is stashed, if it may */
void repl_hold(struct repl_volume *v);
void repl_unhold(struct repl_volume *v);
/* Packets that control takes (repl_packets.c). */
repl_packet_fn repl_ctl_packet(unsigned command);
int repl_handshake_packet(struct repl *r, struct repl_packet *p);

/* repl_state.c, repl_sanitize.c */
int repl_state_valid(const struct repl_volume *v, const struct drbd_state *ns);
int repl_state_soft(
    const struct repl_volume *v, const struct drbd_state *os, const struct drbd_state *ns);
int repl_state_hard(const struct drbd_state *os, const struct drbd_state *ns);
/* *warning: what had to be corrected and is worth a line, or NULL. */
struct drbd_state repl_state_sanitize(const struct repl_volume *v, const struct drbd_state *os,
    struct drbd_state ns, const char **warning);
struct drbd_state repl_state_apply(
    struct drbd_state s, const struct drbd_state *mask, const struct drbd_state *val);
void repl_state_drain(struct repl *r);
/* The same change for every volume, one log line. */
int repl_all_change(struct repl *r, const struct drbd_state *mask, const struct drbd_state *val,
    unsigned flags, const char *cause);
enum repl_fencing repl_fencing_policy(const struct repl *r); /* the strictest volume's */
uint32_t repl_state_md_flags(const struct repl_volume *v, const struct drbd_state *ns);

/* repl_after.c */
void repl_ctl_after_state(
    struct repl_volume *v, const struct drbd_state *from, const struct drbd_state *to);

/* repl_cluster.c */
bool repl_cw_needed(
    const struct repl_volume *v, const struct drbd_state *os, const struct drbd_state *ns);
/* Starts, or does at once, the change.  SS_UNKNOWN_ERROR: wait, the result comes through
 * repl_cw_result(); SS_IN_TRANSIENT_STATE when another one is under way. */
int repl_cw_change(struct repl_volume *v, const struct drbd_state *mask,
    const struct drbd_state *val, unsigned flags);
int repl_cw_conn_change(
    struct repl *r, const struct drbd_state *mask, const struct drbd_state *val, unsigned flags);
bool repl_cw_take(struct repl *r, int *result); /* true once: it is over */
void repl_cw_review(struct repl *r);            /* after a state change: still needed? */
int repl_cw_reply(struct repl *r, struct repl_volume *v, struct repl_packet *p);
int repl_cw_request(struct repl *r, struct repl_volume *v, struct repl_packet *p);
int repl_cw_conn_request(struct repl *r, struct repl_volume *v, struct repl_packet *p);
int repl_tear_down_allowed(
    struct repl *r, const struct drbd_state *mask, const struct drbd_state *val);

/* repl_conn.c */
void repl_conn_unconnected(struct repl *r); /* StandAlone or after a drop: begin to connect */
void repl_conn_timer(struct repl *r, enum repl_timer timer);
void repl_conn_event(struct repl *r, const struct repl_event *ev);
void repl_conn_settle(struct repl *r);    /* end of step: is a drop complete? */
void repl_conn_tell_lost(struct repl *r); /* data half, fencing: once the after-work is done */
struct repl_sock *repl_sock_find(struct repl *r, uint32_t id);

/* repl_handshake.c */
void repl_handshake_begin(struct repl *r);
void repl_volume_announce(struct repl_volume *v); /* the four packets of wire §1.3.6 */

/* repl_params.c */
void repl_send_protocol(struct repl *r, unsigned command);
void repl_send_sync_param(struct repl_volume *v);
void repl_send_sizes(struct repl_volume *v, bool ask, unsigned dds_flags);
void repl_send_uuids(struct repl_volume *v);
void repl_send_state(struct repl_volume *v, const struct drbd_state *state);
int repl_recv_protocol(struct repl *r, struct repl_volume *v, struct repl_packet *p);
int repl_recv_protocol_update(struct repl *r, struct repl_volume *v, struct repl_packet *p);
int repl_recv_sync_param(struct repl *r, struct repl_volume *v, struct repl_packet *p);
int repl_recv_sizes(struct repl *r, struct repl_volume *v, struct repl_packet *p);
int repl_recv_uuids(struct repl *r, struct repl_volume *v, struct repl_packet *p);
/* The size both can hold (wire §6.3); peer_sectors 0: not known. */
uint64_t repl_size_agree(
    uint64_t peer_sectors, uint64_t my_sectors, uint64_t last_sectors, uint64_t user_sectors);
void repl_resync_after_grow(struct repl_volume *v);
/* Exported size, bitmap, superblock.  HV_ENOMEM, HV_EINVAL. */
int repl_size_apply(struct repl_volume *v, uint64_t sectors, bool set_new);

/* repl_peer_state.c */
int repl_recv_state(struct repl *r, struct repl_volume *v, struct repl_packet *p);

/* repl_sync_decision.c */
enum drbd_conn repl_sync_handshake(
    struct repl_volume *v, enum drbd_role peer_role, enum drbd_disk peer_disk);

/* repl_uuid.c */
void repl_uuid_set_current(struct repl_volume *v, uint64_t uuid);
void repl_uuid_rotate_bitmap(struct repl_volume *v);
void repl_uuid_log(struct repl_volume *v, const char *text);
void repl_uuid_role_bit(struct repl_volume *v);
void repl_uuid_new_current_now(struct repl_volume *v, bool degraded);

/* repl_bitmap_xfer.c */
void repl_bitmap_send_start(struct repl_volume *v);
void repl_bitmap_send_pump(struct repl *r);
int repl_recv_bitmap(struct repl *r, struct repl_volume *v, struct repl_packet *p);
int repl_recv_sync_uuid(struct repl *r, struct repl_volume *v, struct repl_packet *p);

/* repl_sync_start.c */
void repl_sync_begin(struct repl_volume *v, enum drbd_conn side); /* SyncSource or SyncTarget */
void repl_sync_full(struct repl_volume *v);                       /* StartingSyncS/T was entered */
void repl_sync_uuid_retry(struct repl_volume *v);
void repl_sync_full_bitmap_write(struct repl_volume *v); /* after bitmap_set_all() */

/* repl_attach.c, repl_detach.c */
void repl_attach_begin(struct repl_volume *v, const struct repl_attach *attach);
void repl_attach_free(struct repl_volume *v);
bool repl_attach_over(const struct repl_volume *v);
void repl_disk_settle(struct repl_volume *v); /* end of step: may the disk be closed? */

/* repl_md.c */
void repl_md_timer(struct repl_volume *v);
void repl_md_free(struct repl_volume *v); /* buffers that wait */
void repl_md_pump(struct repl_volume *v);
bool repl_md_idle(const struct repl_volume *v);

/* repl_fence.c */
void repl_handler_done(struct repl *r, const struct repl_event *ev);
void repl_fence_peer(struct repl *r); /* after a loss; asynchronously */
/* For a promotion: false when it need not run. */
bool repl_fence_start(struct repl *r, repl_handler_fn done);
bool repl_fence_result(struct repl *r, int exit_code); /* true: pdsk <= Outdated */
void repl_thaw_fenced(struct repl_volume *v);

/* repl_admin.c */
void repl_admin_event(struct repl *r, const struct repl_event *ev);
void repl_admin_run(struct repl *r);
void repl_admin_ping_acked(struct repl *r);

#endif
