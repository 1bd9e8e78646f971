/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLUSTER_STATE_H
#define CLUSTER_STATE_H
/* The engine's inside, shared by the files of this room and nobody else. */
#include "cluster.h"
#include "hv_prng.h"

enum {
    /* Heartbeat counts a node as holding "local" even when its haresources has no line for it: each
     * class without a group is kept as one more group that needs no starting. */
    CLUSTER_ALL_GROUPS_MAX = CLUSTER_GROUPS_MAX + 2,
    HISTORY_MAX = 500, /* heartbeat §4.2 */
    HISTORY_BYTES_MAX = 2048,
    MISSING_MAX = 500,
    GAP_MAX = 250,
    ACK_STEP = 10,
    REXMIT_BATCH_MAX = 50,
    BOTH_STARTING_MS = 10000, /* heartbeat §6.3 */
    STANDBY_REPLY_MS = 10000, /* heartbeat §6.4 */
    STANDBY_WORK_MS = 3600000,
    REQNODES_MS = 1000,
    FAILBACK_RETRY_MS = 1000,
    FENCE_RETRY_MS = 5000,
    SHUTDOWN_LINGER_MS = 1000,    /* heartbeat §6.6 */
    HEARTBEAT_SETTLES_MS = 10000, /* what it does not claim by then it will not take unasked */
    HEARTBEAT_YIELDS_MS = 4000, /* a Heartbeat that yields has begun to after 2 s (heartbeat §8) */
    START_RETRY_MS = 30000,
    OUTDATE_MS = 60000, /* heartbeat §12.4 */
    OUTDATES_MAX = 32,
    EFFECTS_RESERVED = 80, /* kept free of messages and notices: for what must not be lost */
    KEYS_BYTES_MAX = CLUSTER_ALL_GROUPS_MAX * CLUSTER_NAME_BYTES,
    BAD_PACKET_LOG_MS = 10000,
};

/* heartbeat §6.2 */
enum resource_state { RS_INIT, RS_STARTING, RS_BOTH_STARTING, RS_RECEIVED, RS_STABLE, RS_SHUTDOWN };
enum standby_state { SB_NOT, SB_ME, SB_GIVING, SB_OTHER, SB_TAKING, SB_DONE };
enum my_status { MY_NONE, MY_INIT, MY_UP, MY_ACTIVE };

struct cluster_side { /* what one node does with one group */
    enum cluster_group_state state;
    uint32_t claim; /* counts every acquisition, on whichever node */
    unsigned failures;
    bool suspect; /* claimed before a stall of that node, and not confirmed since */
    bool volumes_good;
};

struct cluster_group {
    char key[CLUSTER_NAME_BYTES];
    enum cluster_node prefer;
    bool real; /* false: stands for a class without groups */
    struct cluster_side side[2];
    uint64_t retry_at_ms;   /* after a failed start; CLUSTER_NEVER */
    uint64_t idle_since_ms; /* nobody claims it; CLUSTER_NEVER when somebody does */
    bool take_when_stopped; /* the peer died while we were giving it up */
    unsigned tcp_count;
    struct cluster_tcp tcp[CLUSTER_TCP_MAX]; /* the peer's clients */
};

struct missing_packet {
    uint64_t seq, ask_at_ms;
};

struct history_slot {
    uint64_t seq; /* 0: empty */
    uint64_t sent_ms;
    size_t length;
    uint8_t bytes[HISTORY_BYTES_MAX];
};

struct cluster_peer {
    bool present;              /* there is a peer in the configuration */
    bool heard;                /* in this run of ours */
    bool alive;                /* not declared dead, and heard */
    bool resolved;             /* heard or declared dead at least once */
    bool haven, sees_me, left; /* left: said `shutdone` */
    bool starting_seen, reported;
    char status[16];
    bool uuid_known;
    uint8_t uuid[HB_UUID_BYTES];
    uint64_t generation;
    uint64_t heard_ms; /* its last status */
    uint64_t deadtime_ms;
    uint64_t silent_ms; /* when it was last heard before it was declared dead */
    uint64_t ask_at_ms; /* a Heartbeat, back from a partition: ask what it holds; CLUSTER_NEVER */
    uint64_t clash_since_ms; /* a Heartbeat claims what we claim; CLUSTER_NEVER */
    uint64_t blind_since_ms; /* its statuses say that it does not hear us; CLUSTER_NEVER */
    /* sequence, heartbeat §4 */
    bool seq_known;
    uint64_t last_seq, status_seq, groups_seq, stable_seq, tcp_count_seen;
    uint64_t standby_seq; /* of its last hand-over message */
    uint64_t echo_seq;    /* our last status that it has heard, by its own word */
    unsigned ack_trigger, missing_count;
    struct missing_packet missing[MISSING_MAX];
    uint64_t acked_seq; /* of ours */
    unsigned holds;     /* as reported: CLUSTER_LOCAL | CLUSTER_FOREIGN, seen from the peer */
};

struct cluster {
    struct cluster_config cfg;
    struct hv_prng rng;
    struct cluster_effects *fx; /* of the running step */
    uint64_t now_ms, wall_s, started_ms, last_step_ms;

    /* this node */
    enum my_status status;
    uint8_t uuid[HB_UUID_BYTES];
    uint64_t generation, seq, tcp_sent;
    uint64_t next_status_ms, next_reqnodes_ms;
    bool nodes_known, comm_up;
    uint64_t bad_logged_ms;
    uint64_t stalled_ms; /* when we noticed that we had not run; CLUSTER_NEVER */

    struct cluster_peer peer;
    struct cluster_link {
        bool up;
        uint64_t heard_ms;
    } link[CLUSTER_MEDIA_MAX];
    struct cluster_ping {
        bool alive, resolved;
        uint64_t heard_ms;
    } ping[CLUSTER_PINGS_MAX];

    /* resources */
    enum resource_state rs;
    bool other_stable;
    bool needs_failback;
    uint64_t received_ms; /* when RS_RECEIVED was entered */
    uint64_t failback_ms;
    enum standby_state standby;
    uint64_t standby_mask;            /* groups on their way */
    enum cluster_scope standby_scope; /* as its initiator says it */
    uint64_t standby_until_ms;
    uint64_t shutdone_ms; /* when `shutdone` was sent; CLUSTER_NEVER */
    bool stopped;

    /* decisions */
    bool takeover_pending, takeover_explained;
    bool peer_gone; /* for certain: fenced, granted, or it said good-bye */
    bool fence_needed, fence_asked, witness_asked, witness_refused;
    uint64_t fence_retry_ms, listen_until_ms, frozen_ms, frozen_seq;
    enum cluster_verdict verdict;
    bool isolated, frozen, maintenance;
    uint64_t giveup_ms; /* ipfail */
    uint64_t giveup_mask;

    struct cluster_outdate {
        bool asking;
        char resource[CLUSTER_NAME_BYTES];
        uint64_t until_ms;
    } outdate[OUTDATES_MAX];

    struct cluster_volume_state volume[CLUSTER_VOLUMES_MAX];
    unsigned groups;
    struct cluster_group group[CLUSTER_ALL_GROUPS_MAX];
    uint64_t packets_received, packets_bad, packets_lost, retransmitted;

    struct hb_msg in, out;
    struct history_slot history[HISTORY_MAX];
};

/* cluster.c */
void cluster_notify_send(struct cluster *c, enum cluster_notify what, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
struct cluster_effect *cluster_effect_add(struct cluster *c, enum cluster_effect_type type);

/* cluster_link.c: bytes, sequence numbers, retransmission (heartbeat §2, §4) */
struct hb_msg *cluster_msg_begin(struct cluster *c, const char *type);
/* Adds the control fields, signs and sends c->out; with `to_peer` it has `dest`. */
void cluster_msg_send(struct cluster *c, bool to_peer);
void cluster_packet_receive(struct cluster *c, unsigned medium, const uint8_t *bytes, size_t n);
void cluster_ping_send(struct cluster *c, unsigned ping);
void cluster_ping_receive(struct cluster *c, unsigned ping, const uint8_t *bytes, size_t n);
void cluster_link_reset(struct cluster *c); /* forget the peer's sequence numbers */
void cluster_link_timers(struct cluster *c);
uint64_t cluster_link_next(const struct cluster *c);

/* cluster_member.c: who is there (heartbeat §5) */
void cluster_member_start(struct cluster *c);
void cluster_member_timers(struct cluster *c);
void cluster_status_send(struct cluster *c);
void cluster_member_status(struct cluster *c, const struct hb_msg *m, uint64_t seq);
void cluster_member_restarted(struct cluster *c, uint64_t generation);
void cluster_member_healed(struct cluster *c);
void cluster_member_packet_seen(struct cluster *c, unsigned medium);
void cluster_ping_alive(struct cluster *c, unsigned ping);
void cluster_member_deliver(struct cluster *c, const struct hb_msg *m, uint64_t seq);
unsigned cluster_pings_alive(const struct cluster *c);
uint64_t cluster_member_next(const struct cluster *c);

/* cluster_resource.c: reports, start-up, shutdown (heartbeat §6) */
void cluster_resource_begin(struct cluster *c); /* send `starting` */
void cluster_resource_starting(struct cluster *c, uint64_t seq);
/* Packets come in any order: `seq` says whether this is news. */
void cluster_other_stable(struct cluster *c, bool stable, uint64_t seq);
void cluster_resource_report(struct cluster *c, const struct hb_msg *m, uint64_t seq);
void cluster_resource_shutdone(struct cluster *c);
void cluster_resource_timers(struct cluster *c);
uint64_t cluster_resource_next(const struct cluster *c);
void cluster_report_send(struct cluster *c, const char *info);
int cluster_shutdown_begin(struct cluster *c);
bool cluster_in_transition(const struct cluster *c);

/* cluster_standby.c: the hand-over of groups (heartbeat §6.4, §6.5) */
int cluster_standby_begin(struct cluster *c, uint64_t mask);
int cluster_takeover_ask(struct cluster *c, uint64_t mask);
void cluster_standby_message(struct cluster *c, const struct hb_msg *m, uint64_t seq);
void cluster_standby_peer_gives(struct cluster *c);             /* it has begun to release */
void cluster_standby_peer_out(struct cluster *c, uint64_t seq); /* its status says: no hand-over */
void cluster_takeover_message(struct cluster *c, const struct hb_msg *m);
void cluster_standby_cancel(struct cluster *c);
void cluster_standby_advance(struct cluster *c); /* a group of it has changed */
void cluster_standby_timers(struct cluster *c);
uint64_t cluster_standby_next(const struct cluster *c);

/* cluster_group.c: what this node does with groups, and what it knows of the peer's */
/* Started there, or being started. */
bool cluster_group_claimed(const struct cluster_group *g, enum cluster_node node);
uint64_t cluster_mask_all(const struct cluster *c);
/* Groups that `node` prefers. */
uint64_t cluster_mask_of(const struct cluster *c, enum cluster_node node);
uint64_t cluster_mask_claimed(const struct cluster *c, enum cluster_node node);
unsigned cluster_holds(const struct cluster *c); /* our rsc_hold bits */
const char *cluster_scope_name(unsigned scope);
int cluster_scope_from_name(const char *name);
uint64_t cluster_scope_mask(const struct cluster *c, unsigned scope, enum cluster_node seen_by);
void cluster_mask_text(const struct cluster *c, uint64_t mask, char *text, size_t capacity);
uint64_t cluster_mask_parse(const struct cluster *c, const char *text);
void cluster_groups_acquire(struct cluster *c, uint64_t mask);
void cluster_groups_release(struct cluster *c, uint64_t mask);
void cluster_group_service(struct cluster *c, unsigned group, enum cluster_service what);
void cluster_peer_holds(struct cluster *c, unsigned holds); /* from a Heartbeat's report */
void cluster_peer_idle(struct cluster *c);                  /* it holds nothing */
void cluster_groups_text(const struct cluster *c, char *text, size_t capacity);
void cluster_groups_learn(struct cluster *c, const char *text, uint64_t seq);
void cluster_groups_timers(struct cluster *c);
uint64_t cluster_groups_next(const struct cluster *c);

/* cluster_decide.c: death, takeover, isolation */
void cluster_peer_dead(struct cluster *c);
void cluster_takeover_try(struct cluster *c);
/* May the dead peer's groups be started here?  Asks the fence or the witness when that is what is
 * missing.  This is where a third vote has its say. */
enum cluster_verdict cluster_may_take_over(struct cluster *c);
void cluster_isolation_check(struct cluster *c);
/* Freezes before the peer may take over, thaws when somebody is heard. */
void cluster_freeze_check(struct cluster *c);
uint64_t cluster_decide_next(const struct cluster *c);

/* cluster_client.c: what Heartbeat leaves to client programs: ipfail (§12.3), dopd (§12.4), and the
 * exchange of TCP connections */
void cluster_ipfail_ask(struct cluster *c);
void cluster_ipfail_message(struct cluster *c, const struct hb_msg *m);
void cluster_client_join(struct cluster *c);
void cluster_client_timers(struct cluster *c);
uint64_t cluster_client_next(const struct cluster *c);
void cluster_outdate_ask(struct cluster *c, const char *resource);
void cluster_outdate_done(struct cluster *c, const char *resource, int exit_code);
void cluster_outdate_message(struct cluster *c, const struct hb_msg *m);
void cluster_tcp_send(
    struct cluster *c, unsigned group, const struct cluster_tcp *list, unsigned count);
void cluster_tcp_message(struct cluster *c, const struct hb_msg *m);

/* cluster_claim.c */
/* Of two nodes that both claim a group, does the first keep it?  Exactly one of the two says yes, since
 * the configuration prefers one. */
bool cluster_claim_keeps(
    const struct cluster_side *mine, const struct cluster_side *other, bool i_am_preferred);
void cluster_claim_resolve(struct cluster *c);
/* The same for a Heartbeat as peer, which yields only by its own restart. */
void cluster_claim_timers(struct cluster *c);
uint64_t cluster_claim_next(const struct cluster *c);

#define cluster_log(c, level, ...) hv_log((c)->cfg.log, (level), __VA_ARGS__)

#endif
