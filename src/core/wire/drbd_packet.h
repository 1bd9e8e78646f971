/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DRBD_PACKET_H
#define DRBD_PACKET_H
/* DRBD's packets, protocol 86 to 101 (wire §2, §3): headers, fixed sub-headers, and the numbers in them.
 * The structs hold host-order values; *_encode appends exactly the bytes that stand between the header
 * and the payload (digest, data), *_decode consumes them.  A decoder reads `r` to the end of the
 * sub-header and returns 0, or HV_EPROTO when bytes are missing or cannot be so.  Fields that are opaque
 * on the wire (block_id, barrier) come back unchanged when echoed. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "drbd_state.h"
#include "hv_cursor.h"
#include "hv_error.h"

enum {
    DRBD_PROTOCOL_MIN = 86,
    DRBD_PROTOCOL_MAX = 101,
    DRBD_PROTOCOL_START = 80, /* assumed until the features have been exchanged */
    DRBD_HEADER_BYTES_MAX = 16,
    DRBD_HEADER_BYTES_OLD = 8,
    DRBD_SUB_BYTES_MAX = 148,
    DRBD_RECEIVE_BUFFER_BYTES = 4096, /* sub-headers and bitmap packets fit, header included */
    DRBD_ALG_BYTES = 64,              /* algorithm names, NUL included */
    DRBD_CHALLENGE_BYTES = 64,
    DRBD_CHALLENGE_BYTES_MAX = 128,
    DRBD_BIO_BYTES_MAX = 1 << 20, /* data of one packet, >= 100 */
    DRBD_BIO_BYTES_MAX_95 = 128 << 10,
    DRBD_BIO_BYTES_MAX_OLD = 32 << 10,
    DRBD_DISCARD_BYTES_MAX = 128 << 20, /* with DRBD_FF_WSAME */
    DRBD_DISCARD_BYTES_MAX_OLD = 4 << 20,
    DRBD_SECTOR_BYTES = 512,
    DRBD_BITMAP_BLOCK_BYTES = 4096, /* what one bit stands for */
    DRBD_OV_IN_SYNC = 4711,         /* block_id of P_OV_RESULT */
    DRBD_OV_OUT_OF_SYNC = 4712,
};

#define DRBD_ID_SYNCER         UINT64_C(0xffffffffffffffff)
#define DRBD_UUID_JUST_CREATED UINT64_C(4)
#define DRBD_UUID_BITMAP_STEP  UINT64_C(0x0001000000000000)

enum drbd_socket { DRBD_SOCK_NONE = 0, DRBD_SOCK_DATA = 1, DRBD_SOCK_META = 2, DRBD_SOCK_BOTH = 3 };

/* name, number, socket, fixed sub-header bytes (P_SIZES: without the queue limits), may more follow?
 * DRBD_SOCK_NONE: no handler; receiving one is a protocol error (wire §3). */
#define DRBD_PACKETS(X)                                                                            \
    X(P_DATA, 0x00, DATA, 24, true)                                                                \
    X(P_DATA_REPLY, 0x01, DATA, 24, true)                                                          \
    X(P_RS_DATA_REPLY, 0x02, DATA, 24, true)                                                       \
    X(P_BARRIER, 0x03, DATA, 8, false)                                                             \
    X(P_BITMAP, 0x04, DATA, 0, true)                                                               \
    X(P_BECOME_SYNC_TARGET, 0x05, NONE, 0, false)                                                  \
    X(P_BECOME_SYNC_SOURCE, 0x06, NONE, 0, false)                                                  \
    X(P_UNPLUG_REMOTE, 0x07, DATA, 0, false)                                                       \
    X(P_DATA_REQUEST, 0x08, DATA, 24, false)                                                       \
    X(P_RS_DATA_REQUEST, 0x09, DATA, 24, false)                                                    \
    X(P_SYNC_PARAM, 0x0a, DATA, 0, true)                                                           \
    X(P_PROTOCOL, 0x0b, DATA, 24, true)                                                            \
    X(P_UUIDS, 0x0c, DATA, 48, false)                                                              \
    X(P_SIZES, 0x0d, DATA, 32, false)                                                              \
    X(P_STATE, 0x0e, DATA, 4, false)                                                               \
    X(P_SYNC_UUID, 0x0f, DATA, 8, false)                                                           \
    X(P_AUTH_CHALLENGE, 0x10, DATA, 0, true)                                                       \
    X(P_AUTH_RESPONSE, 0x11, DATA, 0, true)                                                        \
    X(P_STATE_CHG_REQ, 0x12, DATA, 8, false)                                                       \
    X(P_PING, 0x13, META, 0, false)                                                                \
    X(P_PING_ACK, 0x14, META, 0, false)                                                            \
    X(P_RECV_ACK, 0x15, META, 24, false)                                                           \
    X(P_WRITE_ACK, 0x16, META, 24, false)                                                          \
    X(P_RS_WRITE_ACK, 0x17, META, 24, false)                                                       \
    X(P_SUPERSEDED, 0x18, META, 24, false)                                                         \
    X(P_NEG_ACK, 0x19, META, 24, false)                                                            \
    X(P_NEG_DREPLY, 0x1a, META, 24, false)                                                         \
    X(P_NEG_RS_DREPLY, 0x1b, META, 24, false)                                                      \
    X(P_BARRIER_ACK, 0x1c, META, 8, false)                                                         \
    X(P_STATE_CHG_REPLY, 0x1d, META, 4, false)                                                     \
    X(P_OV_REQUEST, 0x1e, DATA, 24, false)                                                         \
    X(P_OV_REPLY, 0x1f, DATA, 24, true)                                                            \
    X(P_OV_RESULT, 0x20, META, 24, false)                                                          \
    X(P_CSUM_RS_REQUEST, 0x21, DATA, 24, true)                                                     \
    X(P_RS_IS_IN_SYNC, 0x22, META, 24, false)                                                      \
    X(P_SYNC_PARAM89, 0x23, DATA, 0, true)                                                         \
    X(P_COMPRESSED_BITMAP, 0x24, DATA, 0, true)                                                    \
    X(P_DELAY_PROBE, 0x27, BOTH, 8, false)                                                         \
    X(P_OUT_OF_SYNC, 0x28, DATA, 16, false)                                                        \
    X(P_RS_CANCEL, 0x29, META, 24, false)                                                          \
    X(P_CONN_ST_CHG_REQ, 0x2a, DATA, 8, false)                                                     \
    X(P_CONN_ST_CHG_REPLY, 0x2b, META, 4, false)                                                   \
    X(P_RETRY_WRITE, 0x2c, META, 24, false)                                                        \
    X(P_PROTOCOL_UPDATE, 0x2d, DATA, 24, true)                                                     \
    X(P_TRIM, 0x31, DATA, 28, false)                                                               \
    X(P_RS_THIN_REQ, 0x32, DATA, 24, false)                                                        \
    X(P_RS_DEALLOCATED, 0x33, DATA, 16, false)                                                     \
    X(P_WSAME, 0x34, NONE, 28, true)                                                               \
    X(P_ZEROES, 0x36, DATA, 28, false)                                                             \
    X(P_INITIAL_META, 0xfff1, META, 0, false)                                                      \
    X(P_INITIAL_DATA, 0xfff2, DATA, 0, false)                                                      \
    X(P_CONNECTION_FEATURES, 0xfffe, DATA, 72, false)

#define DRBD_ENUM_ROW(name, number, socket, sub_bytes, more) name = number,
enum drbd_packet { DRBD_PACKETS(DRBD_ENUM_ROW) };
#undef DRBD_ENUM_ROW

struct drbd_packet_info {
    const char *name;
    uint16_t command;
    enum drbd_socket socket;
    uint16_t sub_bytes;
    bool more; /* a payload may follow the sub-header */
};

/* NULL for a number that is not in the table. */
const struct drbd_packet_info *drbd_packet_info(unsigned command);
/* "P_DATA" …, or "?" */
const char *drbd_packet_name(unsigned command);
/* Fixed sub-header of `command` under the agreed features (matters for P_SIZES only). */
uint32_t drbd_packet_sub_bytes(unsigned command, uint32_t features);
/* May `command` come on this socket with this length?  HV_EPROTO: no such packet, no handler, or the
 * wrong socket; HV_EINVAL: the length does not fit (wire §3: on the meta socket these two differ). */
int drbd_packet_check(unsigned command, enum drbd_socket socket, uint32_t length_bytes,
    uint32_t features) HV_MUST_CHECK;

/* --- feature flags (wire §4) and dp_flags (wire §3.2) --- */
enum {
    DRBD_FF_TRIM = 1,
    DRBD_FF_THIN_RESYNC = 2,
    DRBD_FF_WSAME = 4, /* also: queue limits in P_SIZES, large discards, UUID rule 41 */
    DRBD_FF_WZEROES = 8,
    DRBD_FF_ALL = 15,
};

enum {
    DP_HARDBARRIER = 1,
    DP_RW_SYNC = 2,
    DP_MAY_SET_IN_SYNC = 4,
    DP_UNPLUG = 8,
    DP_FUA = 16,
    DP_FLUSH = 32,
    DP_DISCARD = 64,
    DP_SEND_RECEIVE_ACK = 128,
    DP_SEND_WRITE_ACK = 256,
    DP_WSAME = 512,
    DP_ZEROES = 1024,
};

/* The flags that may be sent to a peer of this version. */
uint32_t drbd_dp_flags_for(uint32_t dp_flags, int version);
/* Largest data payload and largest discard of one request. */
uint32_t drbd_bio_bytes_max(int version);
uint32_t drbd_discard_bytes_max(uint32_t features);

/* --- headers (wire §2) --- */
enum drbd_header_kind { DRBD_H80, DRBD_H95, DRBD_H100 };

struct drbd_header {
    enum drbd_header_kind kind;
    uint16_t command;
    uint16_t volume;       /* 0 with h80 and h95 */
    uint32_t length_bytes; /* what follows the header */
};

/* 8 below version 100, else 16. */
size_t drbd_header_bytes(int version);
/* Returns the bytes of the header; *out is filled only when that is <= n, so: call with what is there,
 * read more while the result exceeds it.  HV_EPROTO as soon as the magic (or the padding) is wrong.
 * The length is not judged here. */
int drbd_header_decode(
    const uint8_t *bytes, size_t n, int version, struct drbd_header *out) HV_MUST_CHECK;
/* Picks the kind that a sender of this version uses; returns the bytes written to `out`, which holds
 * DRBD_HEADER_BYTES_MAX. */
size_t drbd_header_encode(
    uint8_t *out, int version, unsigned volume, unsigned command, uint32_t length_bytes);

/* --- sub-headers (wire §3.1) --- */
struct drbd_data { /* P_DATA, P_DATA_REPLY, P_RS_DATA_REPLY */
    uint64_t sector, block_id;
    uint32_t seq_num, dp_flags;
};

struct drbd_trim { /* P_TRIM, P_ZEROES */
    struct drbd_data data;
    uint32_t size_bytes;
};

struct drbd_block_req { /* P_DATA_REQUEST, P_RS_DATA_REQUEST, P_OV_*, P_CSUM_RS_REQUEST, … */
    uint64_t sector, block_id;
    uint32_t size_bytes;
};

struct drbd_block_ack { /* every ack of the meta socket */
    uint64_t sector, block_id;
    uint32_t size_bytes, seq_num;
};

struct drbd_block_desc { /* P_OUT_OF_SYNC, P_RS_DEALLOCATED */
    uint64_t sector;
    uint32_t size_bytes;
};

struct drbd_barrier {
    uint32_t barrier;
};

struct drbd_barrier_ack {
    uint32_t barrier, set_size;
};

struct drbd_req_state { /* P_STATE_CHG_REQ, P_CONN_ST_CHG_REQ: packed words, see drbd_state.h */
    uint32_t mask, val;
};

enum { DRBD_UUID_CURRENT, DRBD_UUID_BITMAP, DRBD_UUID_HISTORY0, DRBD_UUID_HISTORY1, DRBD_UUIDS };

enum { /* drbd_uuids.flags, wire §6.4 */
    DRBD_UUID_FLAG_DISCARD_MY_DATA = 1,
    DRBD_UUID_FLAG_CRASHED_PRIMARY = 2,
    DRBD_UUID_FLAG_INCONSISTENT = 4,
    DRBD_UUID_FLAG_SKIP_INITIAL_SYNC = 8,
};

struct drbd_uuids {
    uint64_t uuid[DRBD_UUIDS];
    uint64_t dirty_bits, flags;
};

enum { DRBD_DDS_FORCED = 1, DRBD_DDS_NO_RESYNC = 2 };

struct drbd_queue_limits {
    uint32_t physical_block_bytes, logical_block_bytes, alignment_offset_bytes;
    uint32_t io_min_bytes, io_opt_bytes;
    uint8_t discard_enabled, discard_zeroes_data, write_same_capable;
};

struct drbd_sizes {
    uint64_t disk_sectors, user_sectors, current_sectors; /* d_size, u_size, c_size */
    uint32_t max_bio_bytes;
    uint16_t queue_order_type, dds_flags;
    struct drbd_queue_limits limits; /* only with DRBD_FF_WSAME */
};

enum { DRBD_PROT_A = 1, DRBD_PROT_B = 2, DRBD_PROT_C = 3 };
enum { DRBD_CF_DISCARD_MY_DATA = 1, DRBD_CF_DRY_RUN = 2 };

enum drbd_after_sb {
    ASB_DISCONNECT,
    ASB_DISCARD_YOUNGER_PRI,
    ASB_DISCARD_OLDER_PRI,
    ASB_DISCARD_ZERO_CHG,
    ASB_DISCARD_LEAST_CHG,
    ASB_DISCARD_LOCAL,
    ASB_DISCARD_REMOTE,
    ASB_CONSENSUS,
    ASB_DISCARD_SECONDARY,
    ASB_CALL_HELPER,
    ASB_VIOLENTLY,
};

struct drbd_protocol { /* P_PROTOCOL, P_PROTOCOL_UPDATE */
    uint32_t wire_protocol;
    uint32_t after_sb_0p, after_sb_1p, after_sb_2p;
    uint32_t conn_flags, two_primaries;
    char integrity_alg[DRBD_ALG_BYTES]; /* NUL-terminated; "" when unset */
};

struct drbd_rs_param { /* P_SYNC_PARAM, P_SYNC_PARAM89 */
    uint32_t resync_rate_kib_s;
    char verify_alg[DRBD_ALG_BYTES], csums_alg[DRBD_ALG_BYTES];
    uint32_t c_plan_ahead, c_delay_target, c_fill_target,
        c_max_rate_kib_s; /* as configured: 0.1 s … */
};

struct drbd_features {
    uint32_t protocol_min, protocol_max, feature_flags;
};

struct drbd_delay_probe {
    uint32_t seq_num, offset_us;
};

void drbd_data_encode(struct hv_writer *w, const struct drbd_data *p);
void drbd_trim_encode(struct hv_writer *w, const struct drbd_trim *p);
void drbd_block_req_encode(struct hv_writer *w, const struct drbd_block_req *p);
void drbd_block_ack_encode(struct hv_writer *w, const struct drbd_block_ack *p);
void drbd_block_desc_encode(struct hv_writer *w, const struct drbd_block_desc *p);
void drbd_barrier_encode(struct hv_writer *w, const struct drbd_barrier *p);
void drbd_barrier_ack_encode(struct hv_writer *w, const struct drbd_barrier_ack *p);
void drbd_req_state_encode(struct hv_writer *w, const struct drbd_req_state *p);
void drbd_uuids_encode(struct hv_writer *w, const struct drbd_uuids *p);
/* With the queue limits when `features` has DRBD_FF_WSAME. */
void drbd_sizes_encode(struct hv_writer *w, const struct drbd_sizes *p, uint32_t features);
void drbd_protocol_encode(struct hv_writer *w, const struct drbd_protocol *p, int version);
/* The layout of `version`: 4, 4 + name, 132 or 148 bytes; the packet is drbd_rs_param_command(). */
void drbd_rs_param_encode(struct hv_writer *w, const struct drbd_rs_param *p, int version);
void drbd_features_encode(struct hv_writer *w, const struct drbd_features *p);
void drbd_delay_probe_encode(struct hv_writer *w, const struct drbd_delay_probe *p);
void drbd_u32_encode(
    struct hv_writer *w, uint32_t word); /* P_STATE, P_*_CHG_REPLY (as two's complement) */
void drbd_u64_encode(struct hv_writer *w, uint64_t word); /* P_SYNC_UUID */

int drbd_data_decode(struct hv_reader *r, struct drbd_data *p) HV_MUST_CHECK;
int drbd_trim_decode(struct hv_reader *r, struct drbd_trim *p) HV_MUST_CHECK;
int drbd_block_req_decode(struct hv_reader *r, struct drbd_block_req *p) HV_MUST_CHECK;
int drbd_block_ack_decode(struct hv_reader *r, struct drbd_block_ack *p) HV_MUST_CHECK;
int drbd_block_desc_decode(struct hv_reader *r, struct drbd_block_desc *p) HV_MUST_CHECK;
int drbd_barrier_decode(struct hv_reader *r, struct drbd_barrier *p) HV_MUST_CHECK;
int drbd_barrier_ack_decode(struct hv_reader *r, struct drbd_barrier_ack *p) HV_MUST_CHECK;
int drbd_req_state_decode(struct hv_reader *r, struct drbd_req_state *p) HV_MUST_CHECK;
int drbd_uuids_decode(struct hv_reader *r, struct drbd_uuids *p) HV_MUST_CHECK;
int drbd_sizes_decode(struct hv_reader *r, struct drbd_sizes *p, uint32_t features) HV_MUST_CHECK;
int drbd_protocol_decode(struct hv_reader *r, struct drbd_protocol *p, int version) HV_MUST_CHECK;
int drbd_rs_param_decode(struct hv_reader *r, struct drbd_rs_param *p, int version) HV_MUST_CHECK;
int drbd_features_decode(struct hv_reader *r, struct drbd_features *p) HV_MUST_CHECK;
int drbd_delay_probe_decode(struct hv_reader *r, struct drbd_delay_probe *p) HV_MUST_CHECK;
int drbd_u32_decode(struct hv_reader *r, uint32_t *word) HV_MUST_CHECK;
int drbd_u64_decode(struct hv_reader *r, uint64_t *word) HV_MUST_CHECK;

/* P_SYNC_PARAM below 89, else P_SYNC_PARAM89; and the bytes that drbd_rs_param_encode() will write. */
unsigned drbd_rs_param_command(int version);

/* wire §4: do the ranges overlap?  Returns the version to speak, or HV_EPROTO. */
int drbd_features_agree(const struct drbd_features *mine, const struct drbd_features *peer,
    uint32_t *features) HV_MUST_CHECK;

#endif
