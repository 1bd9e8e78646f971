/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REPL_INT_H
#define REPL_INT_H
/* Inside the replication engine: what its two halves share.
 *
 *   control (repl_ctl.h)   who we are to each other: the state gate, sockets and handshake, parameters,
 *                          UUIDs and the sync decision, bitmap exchange, attach and metadata,
 *                          administration, handlers, liveness
 *   data    (repl_data.h)  what the data goes through: requests, activity log, epochs and barriers,
 *                          the peer's writes and reads, resync, verify, out-of-sync accounting
 *
 * State is changed in one place, repl_state_change(); after each change both halves are told
 * (repl_ctl_after_state(), repl_data_after_state()) and act on what is different. */
#include "actlog.h"
#include "bitmap.h"
#include "drbd_packet.h"
#include "hv_assert.h"
#include "hv_endian.h"
#include "hv_list.h"
#include "md.h"
#include "repl.h"

struct repl_volume;

/* --- things under way on a disk (repl_io.c, control): token → who wants to know --- */

typedef void (*repl_io_fn)(struct repl_volume *v, void *arg, int error, struct hv_buf *buf);

/* Appends the effect; `done` is called in the step that brings its IO_DONE.  buf: one reference is
 * taken; for reads it is passed to done (which takes it), for writes done gets NULL.
 * The volume must have an open disk.  Every I/O counts in v->ios until it is done; a detach waits. */
void repl_io(struct repl_volume *v, enum repl_effect_kind kind, uint64_t sector, struct hv_buf *buf,
    uint32_t offset_bytes, uint32_t length_bytes, uint32_t flags, repl_io_fn done, void *arg);

/* --- timers (repl_time.c, control) --- */

enum repl_timer {
    /* connection */
    REPL_T_CONNECT,   /* try to connect, or go back to accepting */
    REPL_T_SOCKETS,   /* both sockets are there: check them and begin */
    REPL_T_HANDSHAKE, /* features, authentication: no answer */
    REPL_T_PING,      /* idle: send P_PING */
    REPL_T_PING_ACK,  /* P_PING_ACK is overdue */
    REPL_T_RECONNECT, /* pause before the next attempt */
    REPL_T_REQUEST,   /* data: a request is overdue (timeout × ko-count) */
    REPL_T_BARRIER,   /* data: close an idle epoch */
    REPL_T_ADMIN,     /* control: time limit of an administrative action */
    REPL_TIMERS
};

enum repl_volume_timer {
    REPL_VT_RESYNC, /* data: the 100 ms step of resync and verify */
    REPL_VT_MD,     /* control: metadata is dirty since 5 s */
    REPL_VT_AHEAD,  /* data: Ahead → SyncSource */
    REPL_VT_DISK,   /* data: disk-timeout */
    REPL_VOLUME_TIMERS
};

void repl_timer_set(struct repl *r, enum repl_timer timer, uint64_t at_ms);
void repl_timer_clear(struct repl *r, enum repl_timer timer);
bool repl_timer_armed(const struct repl *r, enum repl_timer timer);
void repl_volume_timer_set(struct repl_volume *v, enum repl_volume_timer timer, uint64_t at_ms);
void repl_volume_timer_clear(struct repl_volume *v, enum repl_volume_timer timer);
bool repl_volume_timer_armed(const struct repl_volume *v, enum repl_volume_timer timer);

/* --- packets --- */

/* One packet, complete.  `sub` reads the sub-header and everything after it that is not bulk data;
 * `digest` (data-integrity-alg) stands before bulk data; `buf` is the bulk data of P_DATA, P_DATA_REPLY and
 * P_RS_DATA_REPLY: one reference, the handler takes it. */
struct repl_packet {
    unsigned command;
    uint16_t vnr;
    uint32_t length_bytes; /* after the header */
    const uint8_t *sub;    /* everything after the header except bulk data */
    uint32_t sub_bytes;
    const uint8_t *digest; /* NULL when none is agreed */
    uint32_t digest_bytes;
    struct hv_buf *buf;
    uint32_t buf_offset_bytes; /* where in buf the data begins (a reply may land in a part) */
    uint32_t data_bytes;
};

/* 0, or HV_EPROTO after saying why with repl_peer_lied(): the connection is dropped.  v is NULL for the
 * packets of the connection. */
typedef int (*repl_packet_fn)(struct repl *r, struct repl_volume *v, struct repl_packet *p);

/* Sends; the head is built from an encoded sub-header of at most DRBD_SUB_BYTES_MAX bytes. Nothing happens
 * when that socket is not there.  `buf` (may be NULL): one reference is taken. */
void repl_send(struct repl *r, enum drbd_socket socket, uint16_t vnr, unsigned command,
    const void *sub, uint32_t sub_bytes, struct hv_buf *buf, uint32_t offset_bytes,
    uint32_t length_bytes);
/* Shorthands for what is sent most. */
void repl_send_ack(struct repl_volume *v, unsigned command, uint64_t sector, uint64_t block_id,
    uint32_t size_bytes); /* meta socket; seq_num = ++v->packet_seq */
void repl_send_block_req(struct repl_volume *v, unsigned command, uint64_t sector,
    uint64_t block_id, uint32_t size_bytes, const uint8_t *digest, uint32_t digest_bytes);

/* Bytes given to SEND on this socket and not yet taken by TCP; and counters since the connection began. */
uint64_t repl_sock_queued_bytes(const struct repl *r, enum drbd_socket socket);
uint64_t repl_sock_sent_total(const struct repl *r, enum drbd_socket socket); /* taken by TCP */
uint64_t repl_sock_given_total(const struct repl *r, enum drbd_socket socket);

/* Logs "peer: …" and returns HV_EPROTO. */
int repl_peer_lied(struct repl *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* --- the state gate (repl_state.c, control) --- */

enum {
    REPL_CHG_HARD = 1,    /* skip the soft checks of wire §6.8 */
    REPL_CHG_VERBOSE = 2, /* log a refusal */
};

/* Sanitise, validate, commit, log, tell both halves, emit FX_FRONT and FX_CHANGED.  `cause` for the log.
 * Returns SS_SUCCESS, SS_NOTHING_TO_DO or a negative SS_*; on those nothing changed. */
int repl_state_change(
    struct repl_volume *v, struct drbd_state want, unsigned flags, const char *cause);
/* The same connection state for every volume and for the connection. */
int repl_conn_change(struct repl *r, enum drbd_conn conn, unsigned flags, const char *cause);
/* Tear the connection down and try again later: C_TIMEOUT, C_BROKEN_PIPE, C_NETWORK_FAILURE,
 * C_PROTOCOL_ERROR; C_DISCONNECTING: stay StandAlone. */
void repl_conn_drop(struct repl *r, enum drbd_conn reason, const char *cause);

/* --- structures --- */

#include "repl_ctl.h"
#include "repl_data.h"

struct repl_volume {
    struct repl *r;
    uint16_t index;
    struct repl_volume_config config;
    struct drbd_state state; /* only repl_state_change() writes it */

    /* The disk; meaningful while state.disk > D_ATTACHING, or attach is under way. */
    bool disk_open; /* the host holds the device open for us */
    uint32_t ios;   /* repl_io() under way */
    struct repl_attach attach;
    struct md_place place;
    struct md_layout layout;
    struct md_superblock md; /* what is, or will be, on disk; .uuid is the truth about our UUIDs */
    struct bitmap bm;
    struct actlog *al;
    uint64_t size_sectors; /* exported size; 0: not known */
    uint64_t peer_max_bio_bytes;

    struct drbd_uuids peer_uuids; /* last P_UUIDS */
    bool peer_uuids_valid;
    uint64_t exposed_uuid; /* wire §7.2 */
    uint32_t packet_seq;   /* shared by P_DATA and acks (wire §9.2) */

    uint64_t timer[REPL_VOLUME_TIMERS]; /* 0: not armed */

    /* counters of /proc/drbd, in sectors or events */
    uint64_t send_sectors, recv_sectors, write_sectors, read_sectors, al_writes, bm_writes;

    struct repl_volume_ctl ctl;
    struct repl_volume_data data;
};

struct repl {
    struct repl_config config;
    struct repl_effects *fx;        /* of the step under way */
    const struct repl_event *event; /* of the step under way */
    uint64_t now_ms;
    struct repl_volume *volumes; /* [config.volumes] */

    enum drbd_conn conn; /* of the connection: at most C_CONNECTED; the volumes' may be beyond */
    enum drbd_role role;
    bool resolve_conflicts; /* wire §1.2 */
    int agreed_version;
    uint32_t agreed_features;
    char peer_integrity_alg[REPL_NAME_MAX]; /* what the peer's data packets carry; "" none */
    uint64_t last_heard_ms;

    uint64_t timer[REPL_TIMERS]; /* 0: not armed */

    struct repl_ctl ctl;
    struct repl_data data;
};

/* --- what control offers to data --- */

struct repl_effect *repl_fx(struct repl *r, enum repl_effect_kind kind); /* appended, zeroed */
void repl_log(struct repl *r, enum hv_log_level level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4))); /* "drbd r0: …" */
void repl_volume_log(struct repl_volume *v, enum hv_log_level level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));                           /* "drbd r0/0 drbd0: …" */
struct repl_volume *repl_volume_by_nr(struct repl *r, uint16_t vnr); /* NULL: not configured */

/* The superblock differs from the disk; it is written soon (within 5 s), or now: `done` (may be NULL) once it is
 * durable. */
void repl_md_mark(struct repl_volume *v);
void repl_md_sync(
    struct repl_volume *v, void (*done)(struct repl_volume *v, void *arg, int error), void *arg);
/* Writes every dirty bitmap page in [first, end); `done` when they are written (not flushed), and
 * also those of the range whose write was under way before.  `done` may be called before it returns. */
void repl_bm_write(struct repl_volume *v, uint32_t first_page, uint32_t end_page,
    void (*done)(struct repl_volume *v, void *arg, int error), void *arg);

/* A new current UUID: bitmap slot := current, current := random (wire §7.2); persisted at once. */
void repl_uuid_new_current(struct repl_volume *v);
/* Sync start at the source and end at either side (wire §7.2). */
void repl_uuid_sync_started(struct repl_volume *v);
void repl_uuid_sync_finished(struct repl_volume *v);

/* P_PING now; repl_data_ping_acked() when P_PING_ACK comes. */
void repl_ping(struct repl *r);
/* Any byte from the peer counts as life: control notes it by itself. */

/* Runs a handler; `done` (may be NULL) with its exit code. */
void repl_handler(struct repl *r, enum repl_handler which, struct repl_volume *v,
    void (*done)(struct repl *r, struct repl_volume *v, int exit_code));

enum repl_disk_error { REPL_DISK_READ, REPL_DISK_WRITE, REPL_DISK_META };
/* A local I/O failed: log, on-io-error policy (admin §1.4): detach, handler, or pass on. */
void repl_disk_failed(struct repl_volume *v, enum repl_disk_error what, uint64_t sector);

/* --- what data offers to control --- */

int repl_data_new(struct repl *r); /* pools; HV_ENOMEM */
void repl_data_free(struct repl *r);
void repl_data_app(struct repl *r, const struct repl_event *ev); /* REPL_EV_APP */
bool repl_data_app_ready(const struct repl *r, uint16_t volume);
/* Every application request has been answered: the role may change. */
bool repl_data_app_idle(const struct repl *r);
/* Room for one receive of up to 256 KiB on the data socket, whatever is in it?  (The meta socket is always
 * read: what the data socket waits for may be an ack.) */
bool repl_data_recv_ready(const struct repl *r);
/* Where bulk data of the packet whose sub-header is in p goes: sets p->buf and p->buf_offset_bytes (one
 * reference), from the pool or, for P_DATA_REPLY, the request's own buffer.  HV_EPROTO: drop. */
int repl_data_place(struct repl *r, struct repl_volume *v, struct repl_packet *p);
/* The handler of a packet that data takes, or NULL: not its. */
repl_packet_fn repl_data_packet(unsigned command);
void repl_data_timer(struct repl *r, enum repl_timer timer);
void repl_data_volume_timer(struct repl_volume *v, enum repl_volume_timer timer);
void repl_data_after_state(
    struct repl_volume *v, struct drbd_state from, struct drbd_state to); /* after each commit */
void repl_data_sent(struct repl *r, enum drbd_socket socket);             /* TCP took more */
void repl_data_ping_acked(struct repl *r);
/* A connection has been established (the state goes to WFReportParams, before any volume is Connected): epoch
 * numbers begin anew; suspended requests are sent again when their volume's state becomes Connected.  And: it
 * is lost; from here no packet of it counts. */
void repl_data_connected(struct repl *r);
void repl_data_disconnected(struct repl *r);
/* Nothing of the peer's is under way on our disk any more: control reconnects only then. */
bool repl_data_peer_idle(const struct repl *r);
/* Nothing of data's is under way that needs this volume's disk: detach may close it. */
bool repl_data_disk_idle(const struct repl_volume *v);
/* The bitmap exchange is over, the state says SyncSource or SyncTarget, and on the target the superblock that
 * says Inconsistent is durable: begin.  Called by control alone.  Verify: VerifyS or VerifyT has been
 * entered; the target's start sector is unknown (0). */
void repl_resync_start(struct repl_volume *v);
void repl_verify_start(struct repl_volume *v, uint64_t start_sector, uint64_t stop_sector);
/* At the end of each step: seal the activity log, close epochs, cut corks, finish what became ready. */
void repl_data_end_of_step(struct repl *r);
/* The peer's P_STATE says that its side of the resync, or of the verify, is over (wire §6.6.2, §6.6.3):
 * finish as well, at once or when the last acks are in.  The rest of that P_STATE is not processed. */
void repl_resync_peer_done(struct repl_volume *v);
void repl_verify_peer_done(struct repl_volume *v);
/* Every dirty bitmap page goes to the disk, after the data whose bits were cleared. */
void repl_bitmap_save(struct repl_volume *v);
void repl_data_status(const struct repl_volume *v, uint64_t now_ms, struct repl_volume_status *out);
uint32_t repl_data_effects_max(const struct repl_config *config);

#endif
