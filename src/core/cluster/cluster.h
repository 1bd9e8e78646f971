/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLUSTER_H
#define CLUSTER_H
/* Membership and decisions of a two-node cluster that speaks Heartbeat 3's messages (heartbeat §2-§8,
 * §12.3, §12.4), as an engine: no system calls, no clock.  Feed it events with the time of a monotonic
 * clock; carry out the effects in order before the next step; call it again (CLUSTER_EV_TICK) at
 * cluster_next_timeout() at the latest.
 *
 * Groups, media, ping nodes and volumes go by their index in the configuration.
 *
 * What goes beyond Heartbeat, between two havens (a real Heartbeat ignores the additional fields):
 *  - each status carries what the sender does with every group, so ownership is known group by group
 *    and `move` works for one;
 *  - a healed partition restarts nobody: of two nodes that hold a group, one releases it
 *    (cluster_claim.h says which);
 *  - a node without peer and without any ping node freezes (before its peer's deadtime for it is over),
 *    releases everything, and joins later;
 *  - a takeover is withheld while a volume sees its peer alive and Primary;
 *  - a group that could not be stopped is not started on the other node until that node is gone. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hb_msg.h"
#include "hv_digest.h"
#include "hv_error.h"
#include "hv_log.h"

enum {
    CLUSTER_NAME_BYTES = 256,
    CLUSTER_MEDIA_MAX = 8,
    CLUSTER_PINGS_MAX = 8,
    CLUSTER_GROUPS_MAX = 32,
    CLUSTER_VOLUMES_MAX = 128,
    CLUSTER_TCP_MAX = 256, /* client connections remembered per group */
    CLUSTER_EFFECTS_MAX = 256,
    CLUSTER_EFFECT_BYTES = 128 << 10, /* messages of one step */
};
#define CLUSTER_ALL_MEDIA UINT32_MAX
#define CLUSTER_NEVER     UINT64_MAX

enum cluster_node { CLUSTER_ME, CLUSTER_PEER, CLUSTER_NOBODY };

/* ---- configuration: copied by cluster_create(), but for keys, digest and log, which stay borrowed ---- */

enum cluster_failback { CLUSTER_FAILBACK_OFF, CLUSTER_FAILBACK_ON };

struct cluster_config {
    char me[CLUSTER_NAME_BYTES];   /* as in ha.cf, lower case */
    char peer[CLUSTER_NAME_BYTES]; /* "" for a single node */
    struct {
        char name[CLUSTER_NAME_BYTES]; /* the link's name: eth0, /dev/ttyS0 */
    } media[CLUSTER_MEDIA_MAX];
    unsigned media_count;
    struct {
        char name[CLUSTER_NAME_BYTES]; /* as in ha.cf: an address, or the name of a ping_group */
        bool group;
    } pings[CLUSTER_PINGS_MAX];
    unsigned pings_count;
    struct {
        char key[CLUSTER_NAME_BYTES]; /* first resource of its haresources line */
        enum cluster_node prefer;     /* the node that the line names */
    } groups[CLUSTER_GROUPS_MAX];
    unsigned groups_count;
    struct {
        char name[CLUSTER_NAME_BYTES]; /* DRBD resource */
        unsigned group;                /* the group that stands on it, or >= groups_count: none */
    } volumes[CLUSTER_VOLUMES_MAX];
    unsigned volumes_count;
    uint64_t keepalive_ms, deadtime_ms, warntime_ms, initdead_ms, deadping_ms;
    uint64_t rexmit_ms; /* max_rexmit_delay */
    unsigned hopfudge;
    enum cluster_failback
        failback;    /* legacy is treated as ON (heartbeat §6.9 needs no messages of ours) */
    bool inner_auth; /* msgfmt classic */
    bool fence;      /* a fence device is configured: CLUSTER_FX_FENCE before a takeover */
    bool witness;    /* CLUSTER_FX_ASK_WITNESS before a takeover */
    bool ipfail;     /* the better connected node keeps the service */
    uint64_t start_retry_ms; /* a failed group is tried again after this; 0 means 30 s */
    uint64_t seed;           /* for jitter only */
    const struct hb_keys *keys;
    const struct hv_digest_ops *digest;
    const struct hv_log *log;
};

/* ---- events ---- */

enum cluster_event_type {
    CLUSTER_EV_START,      /* once, first */
    CLUSTER_EV_TICK,       /* time passed */
    CLUSTER_EV_PACKET,     /* a datagram came in on a medium */
    CLUSTER_EV_PING_REPLY, /* payload of an echo reply with our id, from this ping node */
    CLUSTER_EV_LINK_ERROR, /* sending on a medium failed (logged; death is by silence) */
    CLUSTER_EV_ADMIN,
    CLUSTER_EV_SERVICE, /* what became of a group */
    CLUSTER_EV_VOLUME,  /* a volume's state, at start and on every change */
    CLUSTER_EV_TCP,     /* this node's client connections of a group, to be told to the peer */
    CLUSTER_EV_FENCE_RESULT,
    CLUSTER_EV_WITNESS_ANSWER,
    CLUSTER_EV_OUTDATE_ASK,  /* our volume's fence-peer handler wants the peer outdated */
    CLUSTER_EV_OUTDATE_DONE, /* answer to CLUSTER_FX_OUTDATE */
};

enum cluster_admin {
    CLUSTER_ADMIN_STANDBY,  /* hb_standby: `scope` goes to the peer */
    CLUSTER_ADMIN_TAKEOVER, /* hb_takeover: `scope` (as this node sees it) comes here */
    CLUSTER_ADMIN_MOVE, /* one group to node `to`; needs a haven as peer unless it is alone in its scope */
    CLUSTER_ADMIN_SHUTDOWN,       /* release everything, say so, CLUSTER_FX_STOPPED */
    CLUSTER_ADMIN_MAINTENANCE_ON, /* nothing is taken over, moved or failed back */
    CLUSTER_ADMIN_MAINTENANCE_OFF,
    CLUSTER_ADMIN_RETRY, /* forget the failures of `group`, so that it may start here again */
};

enum cluster_scope { CLUSTER_LOCAL = 1, CLUSTER_FOREIGN = 2, CLUSTER_ALL = 3 };

/* What the service room says about a group.  Every ACQUIRE is answered by STARTED, START_FAILED or
 * STOP_FAILED, every RELEASE by STOPPED or STOP_FAILED; a RELEASE during a start takes the place of it,
 * and only its own answer counts.  A failed start must already have been stopped again; if that failed,
 * report STOP_FAILED.  STARTED without an ACQUIRE, before or after CLUSTER_EV_START, says that the group was found
 * running here; STOPPED without a RELEASE, that it is down (also after STOP_FAILED, when somebody
 * stopped it by hand). */
enum cluster_service {
    CLUSTER_SERVICE_STARTED,
    CLUSTER_SERVICE_STOPPED,
    CLUSTER_SERVICE_START_FAILED, /* and it is stopped */
    CLUSTER_SERVICE_STOP_FAILED,  /* something of it may still run */
    CLUSTER_SERVICE_MOVE_NEEDED,  /* it runs badly here and restarting did not help */
};

struct cluster_volume_state {
    bool connected;    /* the replication connection to the peer is up (cstate >= Connected) */
    bool peer_primary; /* as last heard on that connection */
    bool primary;      /* my role */
    bool up_to_date;   /* my disk */
    bool split_brain;
};

struct cluster_tcp {
    uint8_t family;                 /* 4 or 6 */
    uint8_t server[16], client[16]; /* IPv4 in the first four */
    uint16_t server_port, client_port;
};

struct cluster_event {
    enum cluster_event_type type;
    uint64_t now_ms; /* monotonic; never goes back */
    uint64_t wall_s; /* time(2), for `ts` */
    union {
        struct {
            uint64_t generation; /* already incremented and durable */
            uint8_t uuid[HB_UUID_BYTES];
        } start;
        struct {
            unsigned medium;
            const uint8_t *bytes;
            size_t length;
        } packet;
        struct {
            unsigned ping;
            const uint8_t *bytes;
            size_t length;
        } ping_reply;
        struct {
            unsigned medium;
        } link_error;
        struct {
            enum cluster_admin command;
            enum cluster_scope scope;
            unsigned group;
            enum cluster_node to;
        } admin;
        struct {
            unsigned group;
            enum cluster_service what;
        } service;
        struct {
            unsigned volume;
            struct cluster_volume_state state;
        } volume;
        struct {
            unsigned group;
            const struct cluster_tcp *list;
            unsigned count;
        } tcp;
        struct {
            bool done; /* the node is certainly off */
        } fence_result;
        struct {
            bool granted;
        } witness_answer;
        struct {
            char resource[CLUSTER_NAME_BYTES];
            int exit_code; /* OUTDATE_DONE: of `drbdadm outdate` (0, 5, 17, other) */
        } outdate;
    };
};

/* ---- effects ---- */

enum cluster_effect_type {
    CLUSTER_FX_SEND,    /* bytes, on `medium` or on all */
    CLUSTER_FX_PING,    /* echo request with these bytes to ping node `ping` (each of a group) */
    CLUSTER_FX_ACQUIRE, /* start `group`; answer with CLUSTER_EV_SERVICE */
    CLUSTER_FX_RELEASE, /* stop `group`; likewise */
    CLUSTER_FX_FREEZE, /* suspend the I/O of all volumes: nobody has been heard for almost a deadtime
                            * (ping nodes configured); a THAW or the RELEASEs of an isolated node follow */
    CLUSTER_FX_THAW,
    CLUSTER_FX_TICKLE, /* after `group` is up here: tickle these client connections of the peer's */
    CLUSTER_FX_FENCE,  /* make sure that the peer is off; answer with FENCE_RESULT */
    CLUSTER_FX_ASK_WITNESS, /* answer with WITNESS_ANSWER */
    CLUSTER_FX_OUTDATE, /* the peer asks: `drbdadm outdate resource`; answer with OUTDATE_DONE */
    CLUSTER_FX_OUTDATE_ANSWER, /* for OUTDATE_ASK: code 3, 4, 5, 6, 20 or 21 (heartbeat §12.4) */
    CLUSTER_FX_NOTIFY,         /* something changed */
    CLUSTER_FX_STOPPED,        /* shutdown is complete: the process may end */
};

enum cluster_notify {
    CLUSTER_NOTIFY_NODE,  /* a node's status */
    CLUSTER_NOTIFY_LINK,  /* a link's or ping node's */
    CLUSTER_NOTIFY_GROUP, /* what a node does with a group */
    CLUSTER_NOTIFY_STATE, /* transition, isolation, withheld takeover, maintenance … */
};

struct cluster_effect {
    enum cluster_effect_type type;
    union {
        struct {
            uint32_t medium;      /* or CLUSTER_ALL_MEDIA */
            const uint8_t *bytes; /* borrowed until the next step */
            size_t length;
        } send;
        struct {
            unsigned ping;
            const uint8_t *bytes;
            size_t length;
        } ping;
        unsigned group; /* ACQUIRE, RELEASE */
        struct {
            unsigned group;
            const struct cluster_tcp *list; /* borrowed until the next step */
            unsigned count;
        } tickle;
        struct {
            char resource[CLUSTER_NAME_BYTES];
            int code;
        } outdate;
        struct {
            enum cluster_notify what;
            char text[192]; /* "ct75 dead", "group nfs held by ct74", … */
        } notify;
    };
};

struct cluster_effects {
    unsigned count;
    size_t used_bytes;
    struct cluster_effect list[CLUSTER_EFFECTS_MAX];
    uint8_t bytes[CLUSTER_EFFECT_BYTES];
};

/* ---- the engine ---- */

struct cluster;

/* The only allocation.  HV_EINVAL with a sentence in *diag, or HV_ENOMEM. */
int cluster_create(
    const struct cluster_config *config, struct cluster **out, struct hv_diag *diag) HV_MUST_CHECK;
void cluster_destroy(struct cluster *c); /* NULL is fine */

/* Clears *fx, handles the event, and everything whose time has come.  0, or for CLUSTER_EV_ADMIN:
 * HV_ESTATE (resources are in transition, or no peer to give to), HV_EINVAL, HV_EUNSUPPORTED (one group
 * of several to a peer that is no haven). */
int cluster_step(struct cluster *c, const struct cluster_event *ev, struct cluster_effects *fx);

/* When to step again at the latest (monotonic ms), or CLUSTER_NEVER. */
uint64_t cluster_next_timeout(const struct cluster *c);

/* ---- what it knows, for cl_status and `haven status` ---- */

enum cluster_group_state {
    CLUSTER_GROUP_IDLE,
    CLUSTER_GROUP_ACQUIRING,
    CLUSTER_GROUP_HELD,
    CLUSTER_GROUP_RELEASING,
    CLUSTER_GROUP_STOP_FAILED, /* not held, but not certainly stopped */
};
const char *cluster_group_state_name(enum cluster_group_state state); /* "idle", "acquiring", … */

/* Why a dead peer's groups are not (yet) taken over. */
enum cluster_verdict {
    CLUSTER_MAY,
    CLUSTER_WAIT_PING, /* no ping node has answered since the peer fell silent; not all are dead yet */
    CLUSTER_WAIT_FENCE,
    CLUSTER_WAIT_WITNESS,
    CLUSTER_NO_ISOLATED,     /* every ping node is dead too */
    CLUSTER_NO_PEER_PRIMARY, /* a volume's connection says the peer lives and is Primary */
    CLUSTER_NO_WITNESS,      /* refused */
    CLUSTER_NO_MAINTENANCE,
    CLUSTER_WAIT_PEER, /* the network is just back: the peer is given a deadtime to be heard */
};
const char *cluster_verdict_text(enum cluster_verdict verdict);

struct cluster_status {
    struct {
        char name[CLUSTER_NAME_BYTES];
        char status[16]; /* init, up, active, dead */
        bool haven;
        uint64_t generation;
        uint64_t heard_ms_ago; /* of the peer's last status */
        uint64_t deadtime_ms;  /* that it advertises */
    } node[2];                 /* CLUSTER_ME, CLUSTER_PEER */
    struct {
        char name[CLUSTER_NAME_BYTES];
        bool up; /* packets of the peer arrive on it */
    } link[CLUSTER_MEDIA_MAX];
    unsigned links;
    struct {
        char name[CLUSTER_NAME_BYTES];
        bool alive;
    } ping[CLUSTER_PINGS_MAX];
    unsigned pings;
    struct {
        char key[CLUSTER_NAME_BYTES];
        enum cluster_node prefer;
        enum cluster_group_state state[2];
        unsigned failures[2]; /* failed starts since the last good one */
    } group[CLUSTER_GROUPS_MAX];
    unsigned groups;
    char held[16]; /* none, local, foreign, all, or transition: cl_status rscstatus */
    bool isolated, frozen, maintenance, shutting_down;
    enum cluster_verdict verdict; /* meaningful while the peer is dead */
    uint64_t packets_received, packets_bad, packets_lost, retransmitted;
};

void cluster_status_get(const struct cluster *c, uint64_t now_ms, struct cluster_status *out);

#endif
