/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REPL_CTL_H
#define REPL_CTL_H
/* The control half's own part of the engine (see repl_int.h, which includes this). */
#include "drbd_bitmap_code.h"
#include "md_replay.h"

enum {
    REPL_PENDING_SOCKS = 8,   /* accepted, first packet not seen yet */
    REPL_PENDING_BYTES = 512, /* of such a socket: first packet, perhaps the features behind it */
    REPL_STASH_BYTES = 768 * 1024,
    REPL_RECV_EFFECTS = 2048, /* effects of one step at which receiving pauses */
    REPL_CTL_EFFECTS = 1024,  /* besides: what control itself may want in one step */
    REPL_ADMIN_QUEUE = 16,
    REPL_HANDLER_SLOTS = 64,
    REPL_AFTER_QUEUE = 256,
    REPL_MD_WAITERS = 32,
    REPL_BM_JOBS = 160,
    REPL_BM_WRITES = 16, /* bitmap writes in flight, of a volume */
    REPL_BM_RUN_PAGES = 16,
    REPL_ATTACH_CHUNK_BYTES = 128 * 1024,
    REPL_ATTACH_READS = 4,
    REPL_BITMAP_QUEUE_BYTES = 512 * 1024, /* of bitmap packets waiting in a socket */
};

/* --- metadata writes (repl_md.c) --- */

typedef void (*repl_md_fn)(struct repl_volume *v, void *arg, int error);

struct repl_md_waiter {
    repl_md_fn done;
    void *arg;
};

struct repl_bm_job {
    uint32_t next_page, end_page;
    uint64_t last_write; /* number of the last write this job waits for */
    int error;
    repl_md_fn done;
    void *arg;
};

struct repl_bm_write {
    bool busy;
    uint64_t number;
    uint32_t first_page, pages;
    uint64_t clears;    /* while the data is being flushed: what that flush covers */
    struct hv_buf *buf; /* and what is to be written then */
    struct repl_volume *v;
};

struct repl_md_ctl {
    bool dirty, writing;
    uint32_t waiting_now, waiting_next; /* waiters of the write under way, and of the one after */
    struct repl_md_waiter now[REPL_MD_WAITERS], next[REPL_MD_WAITERS];
    uint32_t job_first, jobs; /* a ring: pumped and answered in order */
    struct repl_bm_job job[REPL_BM_JOBS];
    struct repl_bm_write write[REPL_BM_WRITES];
    uint64_t writes; /* numbers given out */
};

/* --- attach (repl_attach.c) --- */

enum repl_attach_phase {
    REPL_ATT_IDLE,
    REPL_ATT_SUPERBLOCK,
    REPL_ATT_RING,
    REPL_ATT_BITMAP,
    REPL_ATT_WRITE_BITMAP,
    REPL_ATT_WRITE_RING,
};

struct repl_attach_ctl {
    enum repl_attach_phase phase;
    bool over;   /* retcode and text say how it ended */
    int retcode; /* SS_SUCCESS, or a drbdsetup error */
    char text[160];
    bool unclean, set_all;
    uint64_t at_bytes, end_bytes; /* of the ring or the bitmap being read or written */
    uint32_t reads;
    int error;
    uint8_t *ring;            /* while attaching */
    struct md_replay *replay; /* while attaching */
};

/* --- of a volume --- */

struct repl_volume_ctl {
    /* A new current UUID is on its way to the disk: nothing that is only on this disk may be
     * acknowledged to the application. */
    bool md_uuid_pending;
    bool new_cur_uuid;    /* DRBD's NEW_CUR_UUID: due when I/O is thawed */
    bool consider_resync; /* both were Inconsistent, the peer was forced Primary */
    bool resync_after_neg, skip_initial_sync;
    bool crashed_primary;
    bool was_io_error, was_read_error;
    bool primary_durable;      /* the superblock says Primary: the device may be opened */
    enum drbd_disk negotiated; /* what disk becomes after D_NEGOTIATING */
    enum drbd_disk negotiated_pdsk;
    uint64_t comm_bm_set; /* dirty bits as last told in P_UUIDS */
    bool sync_uuid_held;  /* P_SYNC_UUID waits for WFSyncUUID */
    uint64_t sync_uuid;
    bool holding;               /* counts in r->ctl.holds */
    enum drbd_conn sync_side;   /* resync about to start: handler or metadata under way */
    bool resize_asked;          /* a P_SIZES of ours waits for the answer */
    uint64_t peer_disk_sectors; /* the peer's d_size */

    bool bm_sending, bm_receiving;
    struct drbd_bitmap_sender bm_sender;
    struct drbd_bitmap_receiver bm_receiver;
    uint8_t bm_window[BITMAP_PAGE_BYTES];
    uint64_t bm_received_packets[2], bm_received_bytes[2];

    bool going_diskless; /* the last metadata is being written */
    bool front_known;    /* the values below were told to the host */
    bool front_writable, front_usable, front_can_discard;
    uint64_t front_size_sectors;
    uint32_t front_max_io_bytes;

    struct repl_md_ctl md;
    struct repl_attach_ctl att;
};

/* --- sockets (repl_conn.c, repl_frame.c) --- */

struct repl_sock {
    uint32_t id; /* 0: none */
    bool eof;
    uint64_t given_bytes, taken_bytes;
    uint32_t have; /* bytes of the packet under way, in buf */
    uint8_t buf[DRBD_RECEIVE_BUFFER_BYTES + DRBD_HEADER_BYTES_MAX];
    bool in_data; /* the sub-header is complete, bulk data is arriving */
    struct repl_packet packet;
    struct repl_volume *volume;
    uint32_t data_have;
    uint8_t *stash; /* [REPL_STASH_BYTES]: received, not looked at yet */
    uint32_t stash_bytes;
};

struct repl_pending {
    uint32_t id; /* 0: free */
    uint64_t deadline_ms;
    enum drbd_socket role; /* known once the first packet was complete: a crossing to be decided */
    uint32_t have;
    uint8_t bytes[REPL_PENDING_BYTES];
};

enum repl_hs {
    REPL_HS_NONE,
    REPL_HS_FEATURES,
    REPL_HS_CHALLENGE,
    REPL_HS_RESPONSE,
    REPL_HS_RUN,
};

/* --- I/O and handlers under way (repl_io.c, repl_fence.c) --- */

struct repl_io_slot {
    uint32_t generation, next_free;
    bool busy, read;
    struct repl_volume *v;
    repl_io_fn done;
    void *arg;
};

typedef void (*repl_handler_fn)(struct repl *r, struct repl_volume *v, int exit_code);

struct repl_handler_slot {
    uint32_t generation;
    bool busy;
    enum repl_handler which;
    struct repl_volume *v;
    repl_handler_fn done;
};

/* --- administration (repl_admin.c) --- */

struct repl_admin_action {
    uint64_t token;
    struct repl_admin args;
    struct repl_net_config net; /* copies: the event's are borrowed */
    struct repl_disk_config disk;
    unsigned phase, tries;
    uint16_t volume; /* the one under way */
    bool forced, mask_pdsk, mask_disk, waiting, last_try, fenced, changed, plain;
    int fence_for; /* the refusal that the fence-peer handler was called for */
    unsigned part, transient_tries;
    uint64_t until_ms;
    bool md_started;
    uint32_t md_serial, md_waiting;
    int md_error;
};

/* A cluster-wide state change (wire §14), one at a time. */
struct repl_cw {
    bool busy, connection, answered;
    struct repl_volume *v;
    struct drbd_state mask, val;
    unsigned flags;
    int result; /* SS_*; SS_UNKNOWN_ERROR while it runs */
};

struct repl_after {
    struct repl_volume *v;
    struct drbd_state from, to;
};

struct repl_ctl {
    /* sockets */
    struct repl_sock sock[2]; /* data, meta */
    struct repl_pending pending[REPL_PENDING_SOCKS];
    /* Sockets of a refused connection: open for a moment more, so that the peer can read why. */
    uint32_t linger[2];
    uint64_t linger_until_ms;
    bool linger_wanted;
    uint32_t connecting; /* id of the attempt under way, 0 */
    uint32_t next_id;    /* odd */
    bool listening;
    bool closing; /* dropped; waits until nothing of the peer's is under way */
    bool lost_untold, reconnect_at_once; /* of a dropped connection */
    bool discard_my_data;                /* one-shot, of the configuration */
    bool discarding;                     /* it was, in the handshake under way */
    uint32_t holds;                      /* the data socket is not looked at while > 0 */
    bool again;                          /* deliver a tick at once */

    /* handshake */
    enum repl_hs hs;
    uint8_t my_challenge[DRBD_CHALLENGE_BYTES];
    bool dry_run;
    bool state_sent; /* the handshake's P_STATE is out, the peer's not in */

    bool split_brain, fencing;
    uint32_t connect_count; /* times Connected was reached */
    uint32_t fence_connect_count;

    /* the state gate's after-work */
    bool draining;
    uint64_t changes; /* committed ones */
    uint32_t after_first, afters;
    struct repl_after after[REPL_AFTER_QUEUE];

    struct repl_cw cw;

    uint32_t io_slots, io_free, io_busy;
    struct repl_io_slot *io;
    struct repl_handler_slot handler[REPL_HANDLER_SLOTS];

    bool admin_running;
    char admin_text[160];
    uint32_t md_serial;
    struct repl_admin_action admin;
    uint32_t admin_first, admins; /* waiting: a ring */
    struct repl_admin_action admin_waiting[REPL_ADMIN_QUEUE];
};

#endif
