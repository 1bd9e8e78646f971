/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REPL_H
#define REPL_H
/* The replication engine: one resource, that is one connection to a peer and one or more volumes.
 *
 * It is a state machine without a world.  repl_step() is told one thing that happened (REPL_EV_*) and
 * appends the things it wants done (REPL_FX_*) to the effects; what was wanted and takes time comes
 * back as another event carrying the token.  Time and random bytes arrive in the event.  Order is kept
 * by withholding: an effect is appended only when everything that must be over before it is over, so
 * the host may carry out all effects of all steps concurrently, with two exceptions: SENDs on one
 * socket go out in the order given, and a SOCK_CLOSE comes after the SENDs before it.
 *
 * Buffers (hv_buf): an event or effect that carries `buf` hands over one reference, in either
 * direction, on success and on error alike.
 *
 * No memory is allocated in a step: pools are sized by repl_config when the engine is made.
 * Units: sectors are 512 bytes; times are milliseconds of a clock that never goes back. */
#include <stdbool.h>
#include <stdint.h>

#include "drbd_packet.h"
#include "hv_buf.h"
#include "hv_digest.h"
#include "hv_entropy.h"
#include "hv_error.h"
#include "hv_log.h"

enum {
    REPL_VOLUMES_MAX = 32,
    REPL_NAME_MAX = 64,
    REPL_SECRET_MAX = 64,
    REPL_SEND_HEAD_MAX = 256,       /* longest packet head sent inline */
    REPL_IO_BYTES_MAX = 1024 * 1024 /* largest application read or write */
};

struct repl;

/* ------------------------------------------------------------------ configuration (admin §1.4) */

enum repl_on_io_error { REPL_IOE_PASS_ON, REPL_IOE_CALL_HANDLER, REPL_IOE_DETACH };
enum repl_fencing {
    REPL_FENCE_DONT_CARE,
    REPL_FENCE_RESOURCE_ONLY,
    REPL_FENCE_RESOURCE_AND_STONITH
};
enum repl_rr_conflict { REPL_RR_DISCONNECT, REPL_RR_VIOLENTLY, REPL_RR_CALL_PRI_LOST };
enum repl_congestion { REPL_CONG_BLOCK, REPL_CONG_PULL_AHEAD, REPL_CONG_DISCONNECT };
enum repl_no_data { REPL_NO_DATA_IO_ERROR, REPL_NO_DATA_SUSPEND_IO };

struct repl_disk_config {
    uint64_t size_sectors; /* `size`: 0 = unlimited */
    enum repl_on_io_error on_io_error;
    enum repl_fencing fencing;
    bool disk_barrier, disk_flushes, disk_drain, md_flushes;
    uint32_t resync_rate_kib;
    uint32_t al_extents;
    bool al_updates, discard_zeroes_if_aligned;
    uint32_t rs_discard_granularity_bytes;
    uint32_t disk_timeout_ds; /* 0.1 s */
    uint32_t c_plan_ahead_ds, c_delay_target_ds, c_fill_target_sectors, c_max_rate_kib,
        c_min_rate_kib;
};

struct repl_net_config {
    uint8_t wire_protocol; /* 1 A, 2 B, 3 C */
    uint32_t timeout_ds, ping_int_s, ping_timeout_ds, connect_int_s, ko_count;
    uint32_t max_buffers, max_epoch_size, socket_check_timeout_ds;
    bool allow_two_primaries, always_asbp, use_rle, csums_after_crash_only, discard_my_data,
        dry_run;
    uint32_t after_sb_0pri, after_sb_1pri, after_sb_2pri; /* numbers of wire §6.1 */
    enum repl_rr_conflict rr_conflict;
    enum repl_congestion on_congestion;
    uint32_t congestion_fill_sectors, congestion_extents;
    char cram_hmac_alg[REPL_NAME_MAX], shared_secret[REPL_SECRET_MAX + 1];
    char integrity_alg[REPL_NAME_MAX], verify_alg[REPL_NAME_MAX], csums_alg[REPL_NAME_MAX];
};

struct repl_volume_config {
    uint16_t vnr;
    uint32_t minor;
    struct repl_disk_config disk;
};

struct repl_config {
    char name[REPL_NAME_MAX];
    struct repl_net_config net;
    enum repl_no_data on_no_data;
    uint32_t volumes;
    struct repl_volume_config volume[REPL_VOLUMES_MAX];
    /* Pools.  Application requests in flight at most; the host must not offer more. */
    uint32_t requests_max;
    const struct hv_digest_ops *digest; /* borrowed for the engine's life */
    struct hv_buf_pool *bufs;           /* payloads that arrive, bitmap and metadata blocks */
    struct hv_log log;
};

/* ---------------------------------------------------------------------------------- what happened */

enum repl_event_kind {
    REPL_EV_TICK, /* repl_next_timeout() has come */

    /* Administration: answered by exactly one REPL_FX_ADMIN_DONE with the same token. */
    REPL_EV_ADMIN,

    /* Network */
    REPL_EV_CONNECTED,   /* .sock: the connect asked for is there */
    REPL_EV_CONN_FAILED, /* .sock, .error: it is not */
    REPL_EV_ACCEPTED,    /* .sock: somebody connected to us (even numbers, chosen by the host) */
    REPL_EV_RECV,        /* .sock, .bytes, .length_bytes: borrowed during the step */
    REPL_EV_RECV_DIRECT, /* .sock, .length_bytes: so many bytes were put where repl_recv_want() said */
    REPL_EV_SENT,        /* .sock, .length_bytes: so many bytes more were taken by TCP */
    REPL_EV_SOCK_CLOSED, /* .sock, .error (0: end of file): nothing more comes; engine closes it */

    /* Disk: results of REPL_FX_READ … REPL_FX_MD_WRITE */
    REPL_EV_IO_DONE, /* .token, .error, .buf (the one of the effect, comes back for reads) */

    /* Handlers */
    REPL_EV_HANDLER_DONE, /* .token, .exit_code */

    /* Front: an application's request; answered by exactly one REPL_FX_APP_DONE */
    REPL_EV_APP,
};

enum repl_app_op {
    REPL_APP_READ,
    REPL_APP_WRITE,
    REPL_APP_FLUSH,
    REPL_APP_DISCARD,
    REPL_APP_ZEROES
};

enum { REPL_APP_FUA = 1, REPL_APP_MAY_UNMAP = 2 /* with ZEROES */ };

enum repl_admin_verb {
    REPL_ADM_ATTACH,  /* .volume, .attach */
    REPL_ADM_DETACH,  /* .volume; .force: do not wait for a healthy peer */
    REPL_ADM_CONNECT, /* .net: NULL, or the options to connect with; discard_my_data is one-shot */
    REPL_ADM_DISCONNECT, /* .force */
    REPL_ADM_PRIMARY,    /* .force */
    REPL_ADM_SECONDARY,  /* .device_open: a front is held open (state rule 2) */
    REPL_ADM_INVALIDATE, /* .volume */
    REPL_ADM_INVALIDATE_REMOTE,
    REPL_ADM_OUTDATE,
    REPL_ADM_VERIFY, /* .start_sector, .stop_sector (0: end) */
    REPL_ADM_PAUSE_SYNC,
    REPL_ADM_RESUME_SYNC,
    REPL_ADM_SUSPEND_IO,
    REPL_ADM_RESUME_IO,
    REPL_ADM_RESIZE,           /* .attach with the new sizes, .force: assume-peer-has-space,
                                  .clear_bitmap: assume-clean */
    REPL_ADM_NEW_CURRENT_UUID, /* .clear_bitmap */
    REPL_ADM_NET_OPTIONS,      /* .net: takes effect as `adjust` does */
    REPL_ADM_DISK_OPTIONS,     /* .volume, .disk */
    REPL_ADM_PEER_FENCED,      /* the cluster is sure that the peer is gone: as fence-peer exit 7 */
    REPL_ADM_PING_PEER, /* find out now whether the peer is there: connected or torn down within
                                  ping-timeout */
    REPL_ADM_DOWN,      /* secondary, disconnect and detach everything; metadata is written */
};

/* What attach needs to know of the disks the host has opened. */
struct repl_attach {
    uint64_t backing_sectors; /* of the whole backing device */
    int32_t md_index;    /* −3 internal, −2 flexible external, n ≥ 0 indexed (disk §1) */
    uint64_t md_sectors; /* of the metadata device; = backing_sectors when internal */
    uint32_t logical_block_bytes, physical_block_bytes, max_io_bytes;
    bool can_discard;
    bool rotational;
};

struct repl_admin {
    enum repl_admin_verb verb;
    uint16_t volume; /* index into the configuration, not vnr */
    bool all_volumes;
    bool force, device_open, clear_bitmap;
    uint64_t start_sector, stop_sector;
    struct repl_attach attach;
    const struct repl_net_config *net;   /* borrowed */
    const struct repl_disk_config *disk; /* borrowed */
};

struct repl_event {
    enum repl_event_kind kind;
    uint64_t now_ms;
    struct hv_entropy *entropy; /* refilled by the host whenever used > 0 */
    uint64_t token;             /* ADMIN, IO_DONE, HANDLER_DONE, APP */
    int error;                  /* 0 or hv_error */
    union {
        struct {
            uint32_t sock;
            const uint8_t *bytes;
            uint32_t length_bytes;
        } net;
        struct {
            struct hv_buf *buf;
        } io;
        struct {
            int exit_code;
        } handler;
        struct {
            enum repl_app_op op;
            uint16_t volume;
            uint32_t flags;
            uint64_t sector;
            uint32_t length_bytes; /* discard and zeroes: up to 128 MiB */
            struct hv_buf *buf;    /* write: the data, taken; read: where it goes, taken */
        } app;
        struct repl_admin admin;
    };
};

/* ------------------------------------------------------------------------------------ what is wanted */

enum repl_effect_kind {
    REPL_FX_LISTEN,     /* .net.on: accept connections on our address, or stop */
    REPL_FX_CONNECT,    /* .net.sock (odd, chosen by the engine): connect to the peer */
    REPL_FX_SOCK_CLOSE, /* .net.sock: after what was sent before; no more events for it */
    REPL_FX_SEND,       /* .send */
    REPL_FX_CORK,       /* .net.sock, .net.on: hint, DRBD's tcp-cork */

    REPL_FX_READ,     /* .io: data device.  All these: one REPL_EV_IO_DONE with .token */
    REPL_FX_WRITE,    /* .io.flags: REPL_IO_FUA */
    REPL_FX_FLUSH,    /* .io: everything completed on this volume's data device before is durable */
    REPL_FX_DISCARD,  /* .io.length_bytes */
    REPL_FX_ZEROES,   /* .io.flags: REPL_IO_MAY_UNMAP */
    REPL_FX_MD_READ,  /* .io: metadata device; sector is absolute on it */
    REPL_FX_MD_WRITE, /* .io.flags: REPL_IO_PREFLUSH, REPL_IO_FUA */

    REPL_FX_CLOSE_DISK, /* .io.volume: detached; close the backing device */

    REPL_FX_APP_DONE, /* .app */
    REPL_FX_FRONT,    /* .front: role, size or readiness changed */
    REPL_FX_HANDLER,  /* .handler: run it; one REPL_EV_HANDLER_DONE */
    REPL_FX_ADMIN_DONE /* .admin */,
    REPL_FX_CHANGED, /* .changed: something repl_status() shows is different */
};

enum { REPL_IO_FUA = 1, REPL_IO_PREFLUSH = 2, REPL_IO_MAY_UNMAP = 4 };

enum repl_handler {
    REPL_H_FENCE_PEER,
    REPL_H_UNFENCE_PEER,
    REPL_H_BEFORE_RESYNC_TARGET,
    REPL_H_BEFORE_RESYNC_SOURCE,
    REPL_H_AFTER_RESYNC_TARGET,
    REPL_H_PRI_ON_INCON_DEGR,
    REPL_H_PRI_LOST_AFTER_SB,
    REPL_H_PRI_LOST,
    REPL_H_LOCAL_IO_ERROR,
    REPL_H_INITIAL_SPLIT_BRAIN,
    REPL_H_SPLIT_BRAIN,
    REPL_H_OUT_OF_SYNC,
    REPL_HANDLERS
};

const char *repl_handler_name(enum repl_handler handler); /* "fence-peer", … */

struct repl_effect {
    enum repl_effect_kind kind;
    uint64_t token;
    union {
        struct {
            uint32_t sock;
            bool on;
        } net;
        struct {
            uint32_t sock;
            uint16_t head_bytes;
            uint8_t head[REPL_SEND_HEAD_MAX];
            struct hv_buf *buf; /* NULL, or follows the head: one reference, the host puts it */
            uint32_t offset_bytes, length_bytes;
        } send;
        struct {
            uint16_t volume;
            uint32_t flags;
            uint64_t sector;
            uint32_t offset_bytes, length_bytes; /* of buf; length alone for discard and zeroes */
            struct hv_buf *buf; /* a reference; a read hands it back in IO_DONE, a write is put */
        } io;
        struct {
            int error;
            struct hv_buf *buf; /* read: the buffer of the request, handed back */
        } app;
        struct {
            uint16_t volume;
            bool writable;         /* Primary: the device may be opened */
            bool usable;           /* there is data somewhere */
            uint64_t size_sectors; /* 0: not known yet */
            uint32_t max_io_bytes;
            bool can_discard;
        } front;
        struct {
            enum repl_handler which;
            int volume; /* −1: for the resource (fence-peer, unfence-peer) */
        } handler;
        struct {
            int retcode; /* ≥ 1 done, ≤ −1 a state error (wire §6.8), or a drbdsetup error > 100 */
            char text[160]; /* one line for stderr, or "" */
        } admin;
        struct {
            int volume; /* −1: connection */
        } changed;
    };
};

/* Effects of one step, oldest first.  The host owns the array, carries them out and sets count = 0.
 * capacity: at least repl_effects_max(). */
struct repl_effects {
    uint32_t count, capacity;
    struct repl_effect *list;
};

/* ------------------------------------------------------------------------------------------ the engine */

/* Copies the configuration.  HV_EINVAL with a diag when it cannot be so, HV_ENOMEM. */
int repl_new(
    const struct repl_config *config, struct repl **out, struct hv_diag *diag) HV_MUST_CHECK;
/* Drops every buffer reference it holds.  Nothing is sent or written. */
void repl_free(struct repl *r);
uint32_t repl_effects_max(const struct repl *r);

void repl_step(struct repl *r, const struct repl_event *ev, struct repl_effects *fx);

/* When to deliver the next REPL_EV_TICK at the latest; UINT64_MAX: no need. */
uint64_t repl_next_timeout(const struct repl *r);

/* While a large payload is arriving: where its next bytes belong, so that the host can receive them in
 * place (then REPL_EV_RECV_DIRECT).  Returns how many bytes, 0 when there is no such place. */
uint32_t repl_recv_want(struct repl *r, uint32_t sock, uint8_t **to);

/* May the host read from this socket / take application requests now?  False is back-pressure; a
 * later step makes it true again. */
bool repl_recv_ready(const struct repl *r, uint32_t sock);
bool repl_app_ready(const struct repl *r, uint16_t volume);

/* ------------------------------------------------------------------------------------------ for status */

struct repl_volume_status {
    uint16_t vnr;
    uint32_t minor;
    struct drbd_state state; /* everything /proc/drbd shows */
    uint64_t size_sectors;
    uint64_t uuid[4]; /* current, bitmap, history 0, 1 */
    uint32_t md_flags;
    /* counters of /proc/drbd (admin §3), in its units */
    uint64_t ns_kib, nr_kib, dw_kib, dr_kib, al_writes, bm_writes;
    uint32_t lo, pe, ua, ap, ep;
    char wo; /* n, d, f, b */
    uint64_t oos_kib;
    /* resync or verify: all 0 when none runs */
    uint64_t rs_total_kib, rs_left_kib, rs_failed_kib;
    uint64_t rs_speed_kib, rs_average_kib, rs_want_kib, rs_eta_ms;
    bool rs_stalled, rs_verify;
    uint32_t rs_start_ago_ms;
    bool al_suspended;
};

struct repl_status {
    enum drbd_conn conn;
    enum drbd_role role, peer_role;
    uint32_t volumes;
    struct repl_volume_status volume[REPL_VOLUMES_MAX];
    uint8_t wire_protocol;
    uint16_t agreed_version;
    uint32_t agreed_features;
    bool split_brain;       /* the last handshake ended in one; cleared by the next success */
    bool waits_for_fencing; /* I/O frozen until fence-peer answers */
    uint64_t last_heard_ms; /* clock value of the last byte from the peer, 0: never */
};

void repl_status(const struct repl *r, uint64_t now_ms, struct repl_status *out);

#endif
