/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DRBD_STATE_H
#define DRBD_STATE_H
/* Roles, connection and disk states, the 32-bit word that P_STATE carries (wire §6.5), and the
 * results of state changes (wire §6.8).  Numbers and names are DRBD's. */
#include <stdbool.h>
#include <stdint.h>

#define DRBD_ROLES(X)                                                                              \
    X(R_UNKNOWN, 0, "Unknown")                                                                     \
    X(R_PRIMARY, 1, "Primary")                                                                     \
    X(R_SECONDARY, 2, "Secondary")

#define DRBD_CONNS(X)                                                                              \
    X(C_STANDALONE, 0, "StandAlone")                                                               \
    X(C_DISCONNECTING, 1, "Disconnecting")                                                         \
    X(C_UNCONNECTED, 2, "Unconnected")                                                             \
    X(C_TIMEOUT, 3, "Timeout")                                                                     \
    X(C_BROKEN_PIPE, 4, "BrokenPipe")                                                              \
    X(C_NETWORK_FAILURE, 5, "NetworkFailure")                                                      \
    X(C_PROTOCOL_ERROR, 6, "ProtocolError")                                                        \
    X(C_TEAR_DOWN, 7, "TearDown")                                                                  \
    X(C_WF_CONNECTION, 8, "WFConnection")                                                          \
    X(C_WF_REPORT_PARAMS, 9, "WFReportParams")                                                     \
    X(C_CONNECTED, 10, "Connected")                                                                \
    X(C_STARTING_SYNC_S, 11, "StartingSyncS")                                                      \
    X(C_STARTING_SYNC_T, 12, "StartingSyncT")                                                      \
    X(C_WF_BITMAP_S, 13, "WFBitMapS")                                                              \
    X(C_WF_BITMAP_T, 14, "WFBitMapT")                                                              \
    X(C_WF_SYNC_UUID, 15, "WFSyncUUID")                                                            \
    X(C_SYNC_SOURCE, 16, "SyncSource")                                                             \
    X(C_SYNC_TARGET, 17, "SyncTarget")                                                             \
    X(C_VERIFY_S, 18, "VerifyS")                                                                   \
    X(C_VERIFY_T, 19, "VerifyT")                                                                   \
    X(C_PAUSED_SYNC_S, 20, "PausedSyncS")                                                          \
    X(C_PAUSED_SYNC_T, 21, "PausedSyncT")                                                          \
    X(C_AHEAD, 22, "Ahead")                                                                        \
    X(C_BEHIND, 23, "Behind")

#define DRBD_DISKS(X)                                                                              \
    X(D_DISKLESS, 0, "Diskless")                                                                   \
    X(D_ATTACHING, 1, "Attaching")                                                                 \
    X(D_FAILED, 2, "Failed")                                                                       \
    X(D_NEGOTIATING, 3, "Negotiating")                                                             \
    X(D_INCONSISTENT, 4, "Inconsistent")                                                           \
    X(D_OUTDATED, 5, "Outdated")                                                                   \
    X(D_UNKNOWN, 6, "DUnknown")                                                                    \
    X(D_CONSISTENT, 7, "Consistent")                                                               \
    X(D_UP_TO_DATE, 8, "UpToDate")

/* SS_*: what a state change came to.  Positive is good; the negative ones travel in
 * P_STATE_CHG_REPLY and P_CONN_ST_CHG_REPLY. */
#define DRBD_RETCODES(X)                                                                           \
    X(SS_CW_NO_NEED, 4, "Cluster wide state change: nothing to do")                                \
    X(SS_CW_SUCCESS, 3, "Cluster wide state change successful")                                    \
    X(SS_NOTHING_TO_DO, 2, "State change: nothing to do")                                          \
    X(SS_SUCCESS, 1, "State change successful")                                                    \
    X(SS_UNKNOWN_ERROR, 0, "Unknown result of a state change")                                     \
    X(SS_TWO_PRIMARIES, -1, "Multiple primaries not allowed by config")                            \
    X(SS_NO_UP_TO_DATE_DISK, -2, "Need access to UpToDate data")                                   \
    X(SS_NO_LOCAL_DISK, -4, "Can not resync without local disk")                                   \
    X(SS_NO_REMOTE_DISK, -5, "Can not resync without remote disk")                                 \
    X(SS_CONNECTED_OUTDATES, -6, "Refusing to be Outdated while Connected")                        \
    X(SS_PRIMARY_NOP, -7, "Refusing to be Primary while peer is not outdated")                     \
    X(SS_RESYNC_RUNNING, -8, "Can not start OV/resync since it is already active")                 \
    X(SS_ALREADY_STANDALONE, -9, "Can not disconnect a StandAlone device")                         \
    X(SS_CW_FAILED_BY_PEER, -10, "State change was refused by peer node")                          \
    X(SS_IS_DISKLESS, -11, "Device is diskless, the requested operation requires a disk")          \
    X(SS_DEVICE_IN_USE, -12, "Device is held open by someone")                                     \
    X(SS_NO_NET_CONFIG, -13, "Have no net/connection configuration")                               \
    X(SS_NO_VERIFY_ALG, -14, "Need a verify algorithm to start online verify")                     \
    X(SS_NEED_CONNECTION, -15, "Need a connection to start verify or resync")                      \
    X(SS_LOWER_THAN_OUTDATED, -16, "Disk state is lower than outdated")                            \
    X(SS_NOT_SUPPORTED, -17, "Peer does not support protocol")                                     \
    X(SS_IN_TRANSIENT_STATE, -18, "In transient state, retry after next state change")             \
    X(SS_CONCURRENT_ST_CHG, -19, "Concurrent state changes detected and aborted")                  \
    X(SS_O_VOL_PEER_PRI, -20, "Other vol primary on peer not allowed by config")                   \
    X(SS_OUTDATE_WO_CONN, -21, "Need a connection for a graceful disconnect/outdate peer")

#define DRBD_ENUM_ROW(name, number, text) name = number,
enum drbd_role { DRBD_ROLES(DRBD_ENUM_ROW) R_MASK = 3 };
enum drbd_conn { DRBD_CONNS(DRBD_ENUM_ROW) C_MASK = 31 };
enum drbd_disk { DRBD_DISKS(DRBD_ENUM_ROW) D_MASK = 15 };
enum drbd_retcode { DRBD_RETCODES(DRBD_ENUM_ROW) };
#undef DRBD_ENUM_ROW

/* One volume's state as one node sees it.  Also used as a mask (all ones in the fields that a request
 * wants to change) and as the values that go with it. */
struct drbd_state {
    enum drbd_role role, peer;
    enum drbd_conn conn;
    enum drbd_disk disk, pdsk;
    bool susp;     /* I/O suspended by the administrator */
    bool aftr_isp; /* resync paused: resync-after */
    bool peer_isp; /* resync paused by the peer */
    bool user_isp; /* resync paused by the administrator */
    bool susp_nod; /* I/O suspended: no data */
    bool susp_fen; /* I/O suspended: fence-peer runs */
};

/* Bits as in wire §6.5.  Unpacking ignores bits 23 and up and accepts any number in a field: what came
 * from a peer is to be checked with drbd_state_known() before it is believed. */
uint32_t drbd_state_pack(const struct drbd_state *s);
struct drbd_state drbd_state_unpack(uint32_t word);
/* Every field has one of the values named above (the masks are not among them). */
bool drbd_state_known(const struct drbd_state *s);

/* DRBD's own names; "?" for a number that has none. */
const char *drbd_role_name(enum drbd_role role);
const char *drbd_conn_name(enum drbd_conn conn);
const char *drbd_disk_name(enum drbd_disk disk);
const char *drbd_retcode_text(int retcode);

/* The number of a name, or -1. */
int drbd_role_from_name(const char *name);
int drbd_conn_from_name(const char *name);
int drbd_disk_from_name(const char *name);

#endif
