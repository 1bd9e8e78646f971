/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REPL_DATA_H
#define REPL_DATA_H
/* The data half's own part of the engine (see repl_int.h, which includes this).
 *
 * Four kinds of things live here, all in pools:
 *   repl_op        what an application asked for; answered once
 *   repl_req       one piece of it (or all): local part, remote part, place in the transfer log.  It
 *                  outlives its op until the peer's barrier ack (wire §9.4)
 *   repl_epoch     the transfer log: writes sent between two barriers
 *   repl_peer_req  something the peer asked for, or that we asked of it for a resync or verify
 * Whatever cannot go on hangs in one wait list as a repl_waiter; the event it waits for moves it to the
 * ready list, which is run at the end of the step. */
#include "repl_interval.h"

struct repl_volume;
struct repl;
struct repl_packet;

enum {
    REPL_PEER_REQS = 4096,       /* pool of repl_peer_req */
    REPL_PEER_REQS_SPARE = 1536, /* free ones below which the data socket is not read */
    REPL_PEER_REQS_OWN = 1024,   /* at most so many for our own resync and verify */
    REPL_PEER_BYTES_SPARE = 2 * 1024 * 1024,
    REPL_PEER_BYTES_MIN = 8 * 1024 * 1024, /* payloads of the peer; more with max-buffers */
    REPL_REQS_EXTRA = 2048,                /* requests that wait for a barrier ack only */
    REPL_RS_EXTENTS = 61,                  /* wire §11.2 */
    REPL_RS_TICK_MS = 100,
    REPL_RS_PLAN_MAX = 300,
    REPL_RS_MARKS = 8,
    REPL_RS_MARK_MS = 3000,
    REPL_BARRIER_IDLE_MS = 5,
};

/* --- pools (repl_data.c) --- */

/* Items begin with a struct hv_list.  Memory that was never used is never touched. */
struct repl_pool {
    struct hv_list free;
    uint8_t *memory;
    size_t item_bytes;
    uint32_t capacity, fresh, used;
};

HV_MUST_CHECK int repl_pool_init(struct repl_pool *pool, size_t item_bytes, uint32_t capacity);
void *repl_pool_get(struct repl_pool *pool); /* NULL: used up; not cleared */
void repl_pool_put(struct repl_pool *pool, void *item);
uint32_t repl_pool_index(const struct repl_pool *pool, const void *item);
void *repl_pool_at(const struct repl_pool *pool, uint32_t index); /* NULL: never given out */

static inline uint32_t repl_pool_left(const struct repl_pool *pool)
{
    return pool->capacity - pool->used;
}

/* --- waiting --- */

struct repl_waiter {
    struct hv_list link;
    void (*go)(struct repl_waiter *w);
};

/* Everybody in the list is tried again at the end of the step, in order. */
void repl_wake(struct repl *r, struct hv_list *list);
void repl_wake_one(struct repl *r, struct repl_waiter *w);

/* --- activity log (repl_al.c) --- */

struct repl_al_pin {
    uint64_t sector;
    uint64_t sectors; /* pinned from `sector` on; 0: nothing */
    uint32_t gen;     /* of the disk: pins of an earlier one are void */
};

/* --- application requests (repl_req.c, repl_write.c) --- */

enum repl_part {
    REPL_PART_NONE,
    REPL_PART_PENDING,
    REPL_PART_LOST, /* was pending or unstable when the connection went; to be decided */
    REPL_PART_OK,
    REPL_PART_FAILED
};

struct repl_op {
    struct repl_waiter wait; /* gate, held, or flush list */
    struct repl_volume *v;
    uint64_t token;
    enum repl_app_op op;
    uint32_t flags;
    uint64_t first_sector, next_sector, end_sector;
    struct hv_buf *buf;
    int error;
    /* FLUSH */
    bool flushing;
    uint64_t flush_epoch; /* id of the last epoch to be acked */
    enum repl_part local, remote;
};

struct repl_req {
    struct repl_waiter wait;
    struct hv_list log;     /* epoch->reqs, or v->data.lost */
    struct hv_list unacked; /* r->data.unacked while the peer owes an answer */
    struct hv_list local_link;
    struct repl_interval iv;
    struct repl_al_pin pin;
    struct repl_op *op; /* NULL: the application has its answer */
    struct repl_volume *v;
    struct repl_epoch *epoch;
    struct hv_buf *buf; /* until no part needs the data any more */
    uint64_t sector;
    uint64_t sent_ms, local_ms;
    uint64_t handed_at; /* protocol A: handed over when TCP took so many bytes */
    uint32_t offset_bytes, length_bytes;
    uint32_t gen; /* part of the block_id */
    enum repl_app_op kind;
    uint32_t flags;
    enum repl_part local, remote;
    bool used, lost, handed, rs_acked, io_out, tried_local, tried_remote;
};

/* --- transfer log (repl_epoch.c) --- */

struct repl_epoch {
    struct hv_list link;
    struct hv_list reqs;
    uint64_t id;
    uint64_t barrier_sent_ms; /* 0: not sent */
    uint32_t number;          /* on the wire */
    uint32_t writes;
};

/* --- the peer's requests --- */

enum repl_peer_kind {
    REPL_PEER_WRITE,   /* P_DATA, P_TRIM, P_ZEROES */
    REPL_PEER_READ,    /* P_DATA_REQUEST */
    REPL_PEER_RS_READ, /* P_RS_DATA_REQUEST, P_RS_THIN_REQ, P_CSUM_RS_REQUEST */
    REPL_PEER_RS_WANT, /* our own request, then the write of what came */
    REPL_PEER_OV_READ, /* P_OV_REQUEST, until P_OV_RESULT */
    REPL_PEER_OV_WANT, /* our own P_OV_REQUEST, until compared */
};

struct repl_peer_epoch {
    struct hv_list link;
    struct hv_list held; /* writes that may not start before earlier epochs are stable */
    uint32_t barrier, writes, active;
    uint32_t flushes; /* under way */
    bool closed, flushed;
};

struct repl_peer_req {
    struct repl_waiter wait;
    struct hv_list all; /* r->data.peer_all */
    struct repl_interval iv;
    struct repl_al_pin pin;
    struct repl_volume *v;
    struct repl_peer_epoch *epoch;
    struct hv_buf *buf;
    uint64_t sector, block_id;
    uint32_t offset_bytes, length_bytes, charged_bytes;
    uint32_t dp_flags;
    unsigned command;
    enum repl_peer_kind kind;
    bool io_out;  /* a repl_io() will call back */
    bool dead;    /* its connection is gone: no answer */
    bool locked;  /* holds a reference on its resync extent */
    bool replied; /* OV_READ: the digest has been sent */
    bool have_data;
    uint8_t digest_bytes;
    uint8_t digest[HV_DIGEST_BYTES_MAX];
};

/* --- resync, verify --- */

struct repl_rs_extent {
    uint64_t number;
    uint32_t refs;
    bool no_writes; /* the entry is in use; application writes wait */
};

struct repl_rs_plan {
    int32_t slot[REPL_RS_PLAN_MAX];
    uint32_t steps, head;
    int64_t total;
};

enum repl_rs_stage { RS_RUN, RS_FLUSH, RS_BITMAP, RS_PING };

struct repl_resync {
    bool active, verify, source;
    bool saved;     /* target: the bits are on disk, requests may go out */
    bool peer_done; /* source: the peer said so, some acks are still on their way */
    bool csums;
    enum repl_rs_stage stage;
    uint32_t serial; /* callbacks of an earlier run are ignored */
    uint64_t total_bits, failed_bits, same_bits;
    uint64_t cursor_bit;
    uint64_t start_ms, paused_since_ms, paused_ms;
    uint64_t mark_ms[REPL_RS_MARKS], mark_left[REPL_RS_MARKS];
    uint32_t mark;
    uint64_t changed_ms; /* last progress */
    uint32_t pending;    /* our requests not yet finished */
    uint64_t pending_sectors;
    uint64_t budget_blocks; /* that may still be asked for before the next tick */
    uint64_t in_flight_sectors, received_sectors; /* as of the last tick; since then (wire §11.3) */
    uint64_t want_kib;
    uint64_t seen_sectors; /* foreign I/O at the last look */
    struct repl_rs_plan plan;
    /* verify */
    uint64_t ov_sector, ov_stop_sector, ov_left_bits, ov_found_bits;
    uint64_t ov_bad_sector, ov_bad_sectors; /* run of differences not logged yet */
    bool ov_started;
};

/* --- the two parts of the engine's structs --- */

struct repl_volume_data {
    struct repl_intervals intervals;
    struct hv_list gated;   /* ops (and pinned requests): I/O is blocked now */
    struct hv_list no_reqs; /* ops: no request was free */
    struct hv_list held;    /* ops: done, yet not to be told */
    struct hv_list iv_wait; /* overlap with something under way */
    struct hv_list rs_wait; /* writes: the resync extent is locked */
    struct hv_list rs_lock_wait;
    struct hv_list lost;       /* requests whose remote part is to be decided */
    struct hv_list lost_flush; /* flushes likewise */
    struct hv_list local_fifo; /* requests on the local disk, oldest first */
    uint32_t ap_count;         /* ops */
    uint32_t local_out;        /* repl_io() of ours under way */
    uint64_t app_sectors;      /* moved for the applications of either node */
    bool unflushed;            /* peer writes completed since the last flush began */
    /* Times that bits were cleared for data just written here, and how many of them a flush that is over
     * covers.  While they differ, no bitmap page may go to the disk without a flush before it. */
    uint64_t clears, clears_durable;
    uint64_t save_clears, al_clears, rs_clears; /* as of the flush under way */
    bool bm_saving, bm_save_again;
    uint64_t bm_saved_ms;
    /* activity log */
    struct hv_list al_open, al_sealed, al_full;
    const struct actlog_block *al_block; /* being written */
    struct hv_buf *al_buf;
    uint32_t al_gen, al_pages;
    struct repl_rs_extent rs_extent[REPL_RS_EXTENTS];
    uint32_t rs_extents; /* in use */
    struct repl_resync rs;
};

struct repl_data {
    struct repl_pool ops, reqs, epochs, peer_reqs, peer_epochs;
    struct hv_list ready;
    bool connected;
    uint32_t conn_gen;
    /* sender */
    struct hv_list epoch_list, unacked, handing, flushes;
    struct repl_epoch *epoch_open, *epoch_unsent;
    uint64_t epoch_id;
    uint32_t epoch_number;
    /* receiver */
    struct hv_list peer_all, peer_epoch_list;
    struct hv_list reads_wait; /* peer reads: no room for the data now */
    uint64_t peer_bytes, peer_bytes_max, peer_read_bytes;
    uint32_t peer_io, own_reqs;
    bool flush_broken; /* a flush is not supported: drain only */
};

/* --- repl_req.c --- */
bool repl_gate_open(const struct repl_volume *v);
bool repl_io_suspended(const struct repl_volume *v);
bool repl_disk_usable(const struct repl_volume *v);
bool repl_peer_has_data(const struct repl_volume *v); /* UpToDate and reachable */
struct repl_req *repl_req_new(struct repl_op *op);
void repl_req_free(struct repl_req *q);
uint64_t repl_req_id(const struct repl_req *q);
/* NULL: no such request, or not on this volume. */
struct repl_req *repl_req_find(struct repl_volume *v, uint64_t block_id);
void repl_req_drop_buf(struct repl_req *q);
/* One piece of the op is over.  `alone`: only the local disk has it; `fresh_loss`: because the peer went while it
 * was under way. */
void repl_op_piece_done(
    struct repl_op *op, struct repl_req *q, int error, bool alone, bool fresh_loss);
void repl_op_flush_acked(struct repl_op *op, enum repl_part remote);
void repl_op_flush_resolve(struct repl_volume *v);
void repl_reads_lost(struct repl *r);
void repl_held_check(struct repl_volume *v);
int repl_recv_data_reply(struct repl *r, struct repl_volume *v, struct repl_packet *p);
int repl_recv_neg_dreply(struct repl *r, struct repl_volume *v, struct repl_packet *p);

/* --- repl_write.c --- */
bool repl_replicates(const struct repl_volume *v, const struct drbd_state *s);
void repl_write_begin(struct repl_req *q);
void repl_write_check(struct repl_req *q);
void repl_write_barrier_acked(struct repl_req *q);
void repl_write_resolve_lost(struct repl_volume *v);
void repl_write_handed(struct repl *r);
void repl_write_disk_timeout(struct repl_volume *v);
int repl_recv_write_ack(struct repl *r, struct repl_volume *v, struct repl_packet *p);

/* --- repl_epoch.c --- */
void repl_epoch_add(struct repl_req *q);
void repl_epoch_close(struct repl *r);
void repl_epoch_send_barrier(struct repl *r);
void repl_epoch_end_of_step(struct repl *r);
/* Close and send now: somebody waits for what only a barrier ack releases. */
void repl_epoch_kick(struct repl *r);
void repl_epoch_disconnected(struct repl *r);
void repl_request_timer(struct repl *r);
void repl_request_timer_arm(struct repl *r);
int repl_recv_barrier_ack(struct repl *r, struct repl_volume *v, struct repl_packet *p);

/* --- repl_al.c --- */
/* True: go on.  False: w waits, and its go() is called when it is worth another try. */
bool repl_al_begin(struct repl_volume *v, struct repl_al_pin *pin, uint64_t sector,
    uint64_t sectors, struct repl_waiter *w);
bool repl_al_pinned(const struct repl_volume *v, const struct repl_al_pin *pin);
void repl_al_release(struct repl_volume *v, struct repl_al_pin *pin);
void repl_al_seal(struct repl_volume *v);
void repl_al_disk_lost(struct repl_volume *v);

/* --- repl_peer_req.c --- */
/* HV_EPROTO: outside the device, no multiple of 512, or larger than max_bytes. */
int repl_range_check(
    struct repl_volume *v, const char *what, uint64_t sector, uint64_t bytes, uint64_t max_bytes);
struct repl_peer_req *repl_peer_new(
    struct repl_volume *v, enum repl_peer_kind kind, uint64_t sector, uint32_t bytes);
void repl_peer_end(struct repl_peer_req *p);
void repl_peer_drop_buf(struct repl_peer_req *p);
/* A buffer for length_bytes, counted; false: wait, w->go is called when there is room. */
bool repl_peer_read_buf(struct repl_peer_req *p);
void repl_peer_charge(struct repl_peer_req *p, uint32_t bytes);
void repl_peer_io(struct repl_peer_req *p, enum repl_effect_kind kind, uint32_t flags,
    void (*done)(struct repl_volume *v, void *arg, int error, struct hv_buf *buf));
void repl_peer_io_over(struct repl_peer_req *p);
struct repl_peer_req *repl_peer_find(
    struct repl_volume *v, enum repl_peer_kind kind, uint64_t sector, uint32_t bytes);
void repl_peer_reads_wake(struct repl *r);
void repl_peer_disconnected(struct repl *r);
int repl_digest_check(struct repl *r, const struct repl_packet *p);
/* Sends data, with our digest when one is agreed; takes the buffer's reference. */
void repl_send_data_reply(struct repl_volume *v, unsigned command, uint64_t sector,
    uint64_t block_id, struct hv_buf *buf, uint32_t offset_bytes, uint32_t length_bytes);
uint32_t repl_integrity_digest(struct repl *r, const struct hv_buf *buf, uint32_t offset_bytes,
    uint32_t length_bytes, uint8_t *out);

/* --- repl_peer_write.c --- */
int repl_recv_data(struct repl *r, struct repl_volume *v, struct repl_packet *p);
int repl_recv_trim(struct repl *r, struct repl_volume *v, struct repl_packet *p);
int repl_recv_barrier(struct repl *r, struct repl_volume *v, struct repl_packet *p);
void repl_peer_epochs_disconnected(struct repl *r);
char repl_write_ordering(const struct repl *r); /* f, d, n */
enum repl_effect_kind repl_discard_effect(const struct repl_volume *v, uint32_t *flags);

/* --- repl_peer_read.c --- */
int repl_recv_data_request(struct repl *r, struct repl_volume *v, struct repl_packet *p);
int repl_recv_rs_request(struct repl *r, struct repl_volume *v, struct repl_packet *p);

/* --- repl_resync.c --- */
void repl_rs_after_state(struct repl_volume *v, struct drbd_state from, struct drbd_state to);
void repl_rs_tick(struct repl_volume *v);
void repl_rs_check(struct repl_volume *v);
void repl_rs_pinged(struct repl_volume *v);
void repl_rs_begin(struct repl_volume *v, bool verify, uint64_t total_bits);
void repl_rs_finish(struct repl_volume *v);
void repl_rs_log_done(struct repl_volume *v, uint64_t bits);
/* After every progress: the marks that speed is computed from. */
void repl_rs_progress(struct repl_volume *v);
uint64_t repl_rs_left_bits(const struct repl_volume *v);
/* One of our requests went out, or is over (the last ends it). */
void repl_rs_wanted(struct repl_peer_req *p);
void repl_rs_unwant(struct repl_peer_req *p);
/* May one more be asked for now? */
bool repl_rs_may_ask(const struct repl_volume *v);
int repl_recv_rs_reply(struct repl *r, struct repl_volume *v, struct repl_packet *p);
int repl_recv_rs_deallocated(struct repl *r, struct repl_volume *v, struct repl_packet *p);
int repl_recv_rs_ack(struct repl *r, struct repl_volume *v, struct repl_packet *p);
int repl_recv_rs_neg(struct repl *r, struct repl_volume *v, struct repl_packet *p);

/* --- repl_rs_extent.c --- */
/* The asking side: locks the 16 MiB extent under the sector, or says no (try again later). */
bool repl_rs_try_lock(struct repl_volume *v, uint64_t sector);
/* The serving side: false: w waits. */
bool repl_rs_lock(struct repl_volume *v, uint64_t sector, struct repl_waiter *w);
void repl_rs_unlock(struct repl_volume *v, uint64_t sector);
bool repl_rs_blocks(const struct repl_volume *v, uint64_t sector, uint64_t sectors);
void repl_rs_unlock_half(struct repl_volume *v);

/* --- repl_rate.c --- */
void repl_rate_reset(struct repl_volume *v);
uint64_t repl_rate_blocks(struct repl_volume *v); /* 4 KiB blocks to ask for until the next tick */
bool repl_rate_throttled(struct repl_volume *v);

/* --- repl_verify.c --- */
void repl_ov_tick(struct repl_volume *v);
void repl_ov_note(struct repl_volume *v, uint64_t sector, uint32_t bytes, bool same);
int repl_recv_ov_request(struct repl *r, struct repl_volume *v, struct repl_packet *p);
int repl_recv_ov_reply(struct repl *r, struct repl_volume *v, struct repl_packet *p);
int repl_recv_ov_result(struct repl *r, struct repl_volume *v, struct repl_packet *p);

/* --- repl_oos.c --- */
/* Sets the bits; returns how many were clear before. */
uint64_t repl_oos_set(struct repl_volume *v, uint64_t sector, uint64_t sectors);
/* Clears the bits of blocks covered whole.  `written`: because of data just written here, which may not be
 * durable yet. */
void repl_oos_clear(struct repl_volume *v, uint64_t sector, uint64_t sectors, bool written);
void repl_clears_durable(struct repl_volume *v, uint64_t clears);
void repl_oos_send(struct repl_volume *v, uint64_t sector, uint32_t bytes);
int repl_recv_out_of_sync(struct repl *r, struct repl_volume *v, struct repl_packet *p);

#endif
