/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LONE_H
#define LONE_H
/* One engine, and a peer that the test plays packet by packet.  Time stands still until lone_pass();
 * disk I/O is done when the test says so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "drbd_packet.h"
#include "duo_disk.h"
#include "repl.h"

enum {
    LONE_DATA = 2, /* sockets: the peer connected both */
    LONE_META = 4,
    LONE_IOS_MAX = 4096,
    LONE_DISK_SECTORS = 64 * 2048,
    LONE_OUT_BYTES = 8 << 20,
    LONE_DONES_MAX = 4096
};

struct lone_packet {
    unsigned command;
    uint16_t vnr;
    uint32_t length_bytes;
    const uint8_t *body; /* everything after the header; until the next packet is taken */
};

struct lone {
    struct repl *r;
    struct repl_effect *effects; /* where a step puts them: repl_effects_max() */
    struct repl_config config;
    struct repl_effects fx;
    struct hv_entropy entropy;
    struct hv_buf_pool pool;
    uint32_t bufs_out;
    struct duo_disk disk, second; /* of volume 0, of volume 1 */
    uint16_t vnr;                 /* what is sent and asked concerns this volume */
    uint64_t size_sectors;
    uint64_t now_ms;
    struct repl_effect io[LONE_IOS_MAX]; /* under way, oldest first */
    uint32_t ios;
    bool hold_io;   /* nothing is done until lone_io_one() or false */
    bool fail_data; /* data I/O fails */
    int flush_error;
    uint8_t *out[2]; /* sent on data, meta */
    uint32_t out_bytes[2], out_taken[2];
    bool dropped; /* a socket was closed by the engine */
    uint64_t done_token[LONE_DONES_MAX];
    int done_error[LONE_DONES_MAX];
    uint32_t dones;
    int admin_retcode;
    uint32_t version;
    char last_log[512];
};

/* Attached, Connected, UpToDate/UpToDate: as a Secondary whose peer is Primary, or the other way round.  What
 * was exchanged on the way is taken from the sockets. */
struct lone *lone_new(bool primary);
/* The peer speaks nothing newer than this. */
struct lone *lone_new_version(bool primary, uint32_t version);
/* The same with two volumes. */
struct lone *lone_new_pair(bool primary);
/* The same with an Inconsistent disk, every bit set, and the peer UpToDate Primary: SyncTarget, asking. */
struct lone *lone_new_target(void);
void lone_free(struct lone *l);

void lone_step(struct lone *l, struct repl_event *ev);
void lone_pass(struct lone *l, uint64_t ms);
/* Lets everything on the disk be done (unless hold_io), and the timers that are due. */
void lone_settle(struct lone *l);
/* The oldest I/O of this kind is done; false: there is none. */
bool lone_io_one(struct lone *l, enum repl_effect_kind kind);
uint32_t lone_io_count(const struct lone *l, enum repl_effect_kind kind);

/* A packet from the peer: sub-header, then `data_bytes` of the byte `fill`. */
void lone_send(struct lone *l, uint32_t sock, unsigned command, const void *sub, uint32_t sub_bytes,
    uint8_t fill, uint32_t data_bytes);
void lone_send_data(struct lone *l, uint64_t sector, uint32_t bytes, uint64_t block_id,
    uint32_t dp_flags, uint8_t fill);
void lone_send_trim(struct lone *l, unsigned command, uint64_t sector, uint32_t bytes,
    uint64_t block_id, uint32_t dp_flags);
void lone_send_barrier(struct lone *l, uint32_t barrier);
void lone_send_ack(
    struct lone *l, unsigned command, uint64_t sector, uint64_t block_id, uint32_t bytes);
void lone_send_barrier_ack(struct lone *l, uint32_t barrier, uint32_t set_size);
void lone_send_req(
    struct lone *l, unsigned command, uint64_t sector, uint64_t block_id, uint32_t bytes);
void lone_send_state(struct lone *l, struct drbd_state s);

/* The next packet of ours on that socket; false: there is none. */
bool lone_take(struct lone *l, uint32_t sock, struct lone_packet *p);
/* It must be this one. */
struct lone_packet lone_expect(struct lone *l, uint32_t sock, unsigned command);
struct drbd_block_ack lone_expect_ack(struct lone *l, unsigned command);
struct drbd_data lone_expect_data(struct lone *l);
struct drbd_block_req lone_expect_req(struct lone *l, unsigned command);
void lone_expect_barrier_ack(struct lone *l, uint32_t barrier, uint32_t set_size);
void lone_expect_nothing(struct lone *l);

void lone_app(struct lone *l, enum repl_app_op op, uint32_t flags, uint64_t sector, uint32_t bytes,
    uint8_t fill, uint64_t token);
/* 1: not answered; else the error. */
int lone_answer(const struct lone *l, uint64_t token);
struct repl_volume_status lone_status(struct lone *l);

#endif
