/* SPDX-License-Identifier: Apache-2.0 */
/* Control fields, signatures, sequence numbers and retransmission (heartbeat §2, §4, §5.4). */
#include <string.h>

#include "cluster_state.h"

/* ---- sending ---- */

struct hb_msg *cluster_msg_begin(struct cluster *c, const char *type)
{
    hb_msg_init(&c->out);
    hb_msg_add(&c->out, "t", type);
    return &c->out;
}

static bool type_is_unsequenced(const char *type)
{
    return strncmp(type, "NS_", 3) == 0;
}

/* Room for one message among this step's effects; NULL when it is used up. */
static uint8_t *effect_bytes(struct cluster *c)
{
    if (CLUSTER_EFFECT_BYTES - c->fx->used_bytes < HB_MSG_BYTES_MAX ||
        c->fx->count >= CLUSTER_EFFECTS_MAX - EFFECTS_RESERVED)
        return NULL;
    return c->fx->bytes + c->fx->used_bytes;
}

static void bytes_send(struct cluster *c, const uint8_t *bytes, size_t length)
{
    struct cluster_effect *e;
    uint8_t *room = effect_bytes(c);

    if (!room)
        return; /* the peer will ask for it again */
    if (room != bytes)
        memcpy(room, bytes, length);
    e = cluster_effect_add(c, CLUSTER_FX_SEND);
    e->send.medium = CLUSTER_ALL_MEDIA;
    e->send.bytes = room;
    e->send.length = length;
    c->fx->used_bytes += length;
}

static void history_store(struct cluster *c, const uint8_t *bytes, size_t length)
{
    struct history_slot *slot = &c->history[c->seq % HISTORY_MAX];

    slot->seq = c->seq;
    slot->sent_ms = c->now_ms;
    slot->length = length <= HISTORY_BYTES_MAX ? length : 0;
    memcpy(slot->bytes, bytes, slot->length);
}

/* Signs c->out with the active key into the effects' memory; 0 on failure. */
static size_t out_encode(struct cluster *c, uint8_t *room)
{
    int rc = 0;

    if (c->cfg.inner_auth)
        rc = hb_msg_add_auth(&c->out, c->cfg.keys, c->cfg.keys->active, c->cfg.digest);
    if (rc == 0)
        rc = hb_msg_encode(&c->out, HB_NETSTRING, c->cfg.keys, c->cfg.keys->active, c->cfg.digest,
            room, HB_MSG_BYTES_MAX);
    if (rc <= 0) {
        cluster_log(c, HV_LOG_ERROR, "cannot sign a message: %s", hv_strerror(rc));
        return 0;
    }
    return (size_t)rc;
}

void cluster_msg_send(struct cluster *c, bool to_peer)
{
    struct hb_msg *m = &c->out;
    bool sequenced = !type_is_unsequenced(hb_msg_get(m, "t"));
    unsigned nodes = 1 + c->peer.present + c->cfg.pings_count;
    uint8_t *room = effect_bytes(c);
    size_t length;

    if (to_peer) {
        hb_msg_add(m, "dest", c->cfg.peer);
        if (c->peer.uuid_known)
            hb_msg_add_bytes(m, HB_BINARY, "destuuid", c->peer.uuid, HB_UUID_BYTES);
    }
    hb_msg_add(m, "src", c->cfg.me);
    hb_msg_add_bytes(m, HB_BINARY, "srcuuid", c->uuid, HB_UUID_BYTES);
    if (sequenced)
        hb_msg_addf(m, "seq", "%llx", (unsigned long long)++c->seq);
    hb_msg_addf(m, "hg", "%llx", (unsigned long long)c->generation);
    hb_msg_addf(m, "ts", "%llx", (unsigned long long)c->wall_s);
    if (sequenced)
        hb_msg_add(m, "ld", "n/a");
    hb_msg_addf(m, "ttl", "%u", c->cfg.hopfudge + nodes);
    length = room ? out_encode(c, room) : 0;
    if (!length)
        return;
    if (sequenced)
        history_store(c, room, length);
    bytes_send(c, room, length);
}

/* heartbeat §5.4: what comes back is to look as if the ping node had sent it. */
void cluster_ping_send(struct cluster *c, unsigned ping)
{
    struct hb_msg *m = cluster_msg_begin(c, "NS_st");
    uint8_t *room = effect_bytes(c);
    struct cluster_effect *e;
    size_t length;

    hb_msg_add(m, "st", "ping");
    hb_msg_add(m, "info", c->cfg.pings[ping].group ? "ping_group" : "ping");
    hb_msg_add(m, "src", c->cfg.pings[ping].name);
    hb_msg_addf(m, "ts", "%llx", (unsigned long long)c->wall_s);
    length = room ? out_encode(c, room) : 0;
    if (!length)
        return;
    e = cluster_effect_add(c, CLUSTER_FX_PING);
    e->ping.ping = ping;
    e->ping.bytes = room;
    e->ping.length = length;
    c->fx->used_bytes += length;
}

/* ---- receiving: authenticity ---- */

static void packet_bad(struct cluster *c, const char *why)
{
    c->packets_bad++;
    if (c->bad_logged_ms && c->now_ms - c->bad_logged_ms < BAD_PACKET_LOG_MS)
        return;
    c->bad_logged_ms = c->now_ms ? c->now_ms : 1;
    cluster_log(c, HV_LOG_WARN, "packet refused: %s (%llu so far)", why,
        (unsigned long long)c->packets_bad);
}

void cluster_ping_receive(struct cluster *c, unsigned ping, const uint8_t *bytes, size_t n)
{
    const char *info = c->cfg.pings[ping].group ? "ping_group" : "ping";
    uint64_t ts, oldest = c->cfg.deadping_ms / 1000 + 2;
    int rc = hb_msg_decode(bytes, n, c->cfg.keys, c->cfg.digest, &c->in, NULL);

    if (rc || !hb_msg_is(&c->in, "t", "NS_st") || !hb_msg_is(&c->in, "info", info) ||
        !hb_msg_is(&c->in, "src", c->cfg.pings[ping].name) ||
        hb_msg_get_number(&c->in, "ts", 16, &ts) != 0) {
        packet_bad(c, rc ? hv_strerror(rc) : "not an echo of ours");
        return;
    }
    if (ts + oldest < c->wall_s) /* an old echo, played again */
        return;
    cluster_ping_alive(c, ping);
}

enum origin { FROM_PEER, FROM_ME, FROM_STRANGER };

static enum origin packet_origin(struct cluster *c, const struct hb_msg *m)
{
    size_t uuid_bytes;
    const uint8_t *uuid = hb_msg_get_bytes(m, "srcuuid", &uuid_bytes);
    bool has_uuid = uuid && uuid_bytes == HB_UUID_BYTES;

    if (hb_msg_is(m, "src", c->cfg.me))
        return FROM_ME;
    if (!c->peer.present || !hb_msg_is(m, "src", c->cfg.peer))
        return FROM_STRANGER;
    if (has_uuid && (!c->peer.uuid_known || memcmp(c->peer.uuid, uuid, HB_UUID_BYTES) != 0)) {
        if (c->peer.uuid_known)
            cluster_log(c, HV_LOG_INFO, "node %s has a new uuid", c->cfg.peer);
        memcpy(c->peer.uuid, uuid, HB_UUID_BYTES);
        c->peer.uuid_known = true;
    }
    return FROM_PEER;
}

static bool addressed_to_me(const struct cluster *c, const struct hb_msg *m, bool by_uuid)
{
    static const uint8_t null_uuid[HB_UUID_BYTES];
    size_t uuid_bytes;
    const uint8_t *uuid = hb_msg_get_bytes(m, "destuuid", &uuid_bytes);

    if (by_uuid && uuid && uuid_bytes == HB_UUID_BYTES &&
        memcmp(uuid, null_uuid, HB_UUID_BYTES) != 0)
        return memcmp(uuid, c->uuid, HB_UUID_BYTES) == 0;
    return !hb_msg_get(m, "dest") || hb_msg_is(m, "dest", c->cfg.me);
}

/* ---- receiving: sequence (heartbeat §4.1) ---- */

void cluster_link_reset(struct cluster *c)
{
    c->peer.seq_known = false;
    c->peer.missing_count = 0;
}

static void ack_send(struct cluster *c, uint64_t seq)
{
    struct hb_msg *m = cluster_msg_begin(c, "NS_ackmsg");

    hb_msg_addf(m, "ackseq", "%llx", (unsigned long long)seq);
    cluster_msg_send(c, true);
}

static void ack_highest(struct cluster *c)
{
    uint64_t last = c->peer.last_seq;
    uint64_t past = (last + ACK_STEP - c->peer.ack_trigger) % ACK_STEP;

    if (last > past)
        ack_send(c, last - past);
}

static bool missing_remove(struct cluster_peer *p, uint64_t seq)
{
    for (unsigned i = 0; i < p->missing_count; i++)
        if (p->missing[i].seq == seq) {
            p->missing[i] = p->missing[--p->missing_count];
            return true;
        }
    return false;
}

static void missing_add(struct cluster *c, uint64_t seq)
{
    struct cluster_peer *p = &c->peer;
    uint64_t longest = c->cfg.rexmit_ms, shortest = longest > 100 ? 50 : 0;

    if (p->missing_count == MISSING_MAX)
        return;
    p->missing[p->missing_count++] = (struct missing_packet){
        seq, c->now_ms + shortest + hv_prng_below(&c->rng, longest - shortest + 1)};
}

static void gap_note(struct cluster *c, uint64_t seq)
{
    struct cluster_peer *p = &c->peer;
    uint64_t lost = seq - p->last_seq - 1;

    c->packets_lost += lost;
    if (lost > GAP_MAX) {
        cluster_log(c, HV_LOG_ERROR, "lost a lot of packets! (%llu from %s)",
            (unsigned long long)lost, c->cfg.peer);
        p->missing_count = 0;
        return;
    }
    cluster_log(c, HV_LOG_WARN, "%llu lost packet(s) for [%s] [%llu:%llu]",
        (unsigned long long)lost, c->cfg.peer, (unsigned long long)p->last_seq,
        (unsigned long long)seq);
    for (uint64_t s = p->last_seq + 1; s < seq; s++)
        missing_add(c, s);
}

/* Is this packet new? */
static bool sequence_accept(struct cluster *c, uint64_t seq)
{
    struct cluster_peer *p = &c->peer;

    if (!p->seq_known || seq == p->last_seq + 1) {
        p->seq_known = true;
        p->last_seq = seq;
        if (p->missing_count == 0 && seq % ACK_STEP == p->ack_trigger)
            ack_send(c, seq);
        return true;
    }
    if (seq > p->last_seq) {
        gap_note(c, seq);
        p->last_seq = seq;
        return true;
    }
    if (seq < p->last_seq && missing_remove(p, seq)) {
        if (p->missing_count == 0) {
            cluster_log(c, HV_LOG_INFO, "No pkts missing from %s!", c->cfg.peer);
            ack_highest(c);
        }
        return true;
    }
    return false;
}

/* Generations and stale packets come before the sequence.  False: drop it. */
static bool generation_accept(struct cluster *c, const struct hb_msg *m, uint64_t seq)
{
    struct cluster_peer *p = &c->peer;
    bool status = hb_msg_is(m, "t", "status");
    uint64_t generation;

    if (hb_msg_get_number(m, "hg", 16, &generation) != 0 || generation == 0)
        return false;
    if (generation < p->generation) {
        packet_bad(c, "attempted replay attack: an older generation");
        return false;
    }
    if (!status) /* a node that is dead, or newer than we know, comes back with a status */
        return generation == p->generation && p->alive;
    if (generation > p->generation) {
        cluster_member_restarted(c, generation);
        return true;
    }
    if (p->alive)
        return true;
    if (seq <= p->status_seq)
        return false;
    cluster_member_healed(c);
    return true;
}

/* ---- unsequenced messages (heartbeat §4.2, §4.3) ---- */

static void rexmit_refuse(struct cluster *c, uint64_t seq, const char *why)
{
    struct hb_msg *m = cluster_msg_begin(c, "NS_nak_rexmit");

    hb_msg_addf(m, "firstseq", "%llx", (unsigned long long)seq);
    hb_msg_add(m, "info", why);
    cluster_msg_send(c, true);
}

static void rexmit_one(struct cluster *c, uint64_t seq)
{
    struct history_slot *slot = &c->history[seq % HISTORY_MAX];
    uint64_t pause = c->cfg.rexmit_ms > 10 ? c->cfg.rexmit_ms - 10 : 0;

    if (seq <= c->peer.acked_seq)
        return;
    if (seq > c->seq) {
        cluster_log(c, HV_LOG_WARN, "Rexmit of seq %llu requested. %llu is max.",
            (unsigned long long)seq, (unsigned long long)c->seq);
        return;
    }
    if (seq + HISTORY_MAX <= c->seq) {
        rexmit_refuse(c, seq, "seqno too low");
    } else if (slot->seq != seq || slot->length == 0) {
        rexmit_refuse(c, seq, "seqno not found");
    } else if (c->now_ms - slot->sent_ms >= pause) {
        slot->sent_ms = c->now_ms;
        c->retransmitted++;
        bytes_send(c, slot->bytes, slot->length);
    }
}

static void rexmit_receive(struct cluster *c, const struct hb_msg *m)
{
    uint64_t first, last;

    if (hb_msg_get_number(m, "firstseq", 10, &first) != 0 ||
        hb_msg_get_number(m, "lastseq", 10, &last) != 0 || last < first)
        return;
    if (last - first >= REXMIT_BATCH_MAX)
        last = first + REXMIT_BATCH_MAX - 1;
    for (uint64_t seq = first; seq <= last; seq++)
        rexmit_one(c, seq);
}

static void ack_receive(struct cluster *c, const struct hb_msg *m)
{
    uint64_t seq;

    if (hb_msg_get_number(m, "ackseq", 16, &seq) != 0)
        return;
    if (seq > c->seq)
        cluster_log(c, HV_LOG_ERROR, "%s acknowledged packet %llu, we sent %llu", c->cfg.peer,
            (unsigned long long)seq, (unsigned long long)c->seq);
    else if (seq > c->peer.acked_seq)
        c->peer.acked_seq = seq;
}

static void unsequenced_receive(struct cluster *c, const struct hb_msg *m, const char *type)
{
    uint64_t generation, seq;

    if (!addressed_to_me(c, m, false) || hb_msg_get_number(m, "hg", 16, &generation) != 0 ||
        generation != c->peer.generation)
        return;
    if (strcmp(type, "NS_rexmit") == 0) {
        rexmit_receive(c, m);
    } else if (strcmp(type, "NS_ackmsg") == 0) {
        ack_receive(c, m);
    } else if (strcmp(type, "NS_nak_rexmit") == 0) {
        if (hb_msg_get_number(m, "firstseq", 16, &seq) == 0 && missing_remove(&c->peer, seq))
            cluster_log(c, HV_LOG_ERROR, "Irretrievably lost packet: node %s seq %llu", c->cfg.peer,
                (unsigned long long)seq);
    } else if (strcmp(type, "NS_haven_tcp") == 0) {
        cluster_tcp_message(c, m);
    }
}

void cluster_packet_receive(struct cluster *c, unsigned medium, const uint8_t *bytes, size_t n)
{
    struct hb_msg *m = &c->in;
    int rc = hb_msg_decode(bytes, n, c->cfg.keys, c->cfg.digest, m, NULL);
    const char *type = rc ? NULL : hb_msg_get(m, "t");
    enum origin origin;
    uint64_t seq, ts;

    if (!type) {
        packet_bad(c, rc ? hv_strerror(rc) : "no type");
        return;
    }
    origin = packet_origin(c, m);
    if (origin == FROM_STRANGER)
        packet_bad(c, "from a node that is not in the configuration");
    if (origin != FROM_PEER)
        return;
    c->packets_received++;
    if (hb_msg_get_number(m, "ts", 16, &ts) != 0 || ts == 0)
        return;
    if (type_is_unsequenced(type)) {
        if (c->peer.alive)
            cluster_member_packet_seen(c, medium);
        unsequenced_receive(c, m, type);
        return;
    }
    if (hb_msg_get_number(m, "seq", 16, &seq) != 0 || seq == 0 || !generation_accept(c, m, seq))
        return;
    cluster_member_packet_seen(c, medium);
    if (sequence_accept(c, seq) && addressed_to_me(c, m, true))
        cluster_member_deliver(c, m, seq);
}

/* ---- asking for what is missing ---- */

void cluster_link_timers(struct cluster *c)
{
    struct cluster_peer *p = &c->peer;

    if (!p->alive)
        return;
    for (unsigned i = 0; i < p->missing_count; i++) {
        struct hb_msg *m;

        if (p->missing[i].ask_at_ms > c->now_ms)
            continue;
        p->missing[i].ask_at_ms = c->now_ms + c->cfg.rexmit_ms;
        m = cluster_msg_begin(c, "NS_rexmit");
        hb_msg_addf(m, "firstseq", "%llu", (unsigned long long)p->missing[i].seq);
        hb_msg_addf(m, "lastseq", "%llu", (unsigned long long)p->missing[i].seq);
        cluster_msg_send(c, true);
    }
}

uint64_t cluster_link_next(const struct cluster *c)
{
    uint64_t next = CLUSTER_NEVER;

    for (unsigned i = 0; c->peer.alive && i < c->peer.missing_count; i++)
        if (c->peer.missing[i].ask_at_ms < next)
            next = c->peer.missing[i].ask_at_ms;
    return next;
}
