/* SPDX-License-Identifier: Apache-2.0 */
/* Two sockets to the peer (wire §1.2), and their loss (wire §14.2).
 *
 * Both nodes listen and connect at once.  When both have opened the same socket, DRBD closes its own and
 * keeps the one it accepted; if both do so at the same moment, both are lost.  Here the accepted one is
 * put aside for a random moment: if the peer closes one of the two meanwhile, the other is it; else we
 * close ours.  That ends the race in one round, whichever way the peer behaves. */
#include "repl_control.h"

enum {
    CONNECT_TRY_MS = 2500, /* longest single attempt: TCP's own retries grow too slow after a cut */
    CROSSING_MS = 50,
    CROSSING_RANDOM_MS = 400,
    RETRY_MS = 1000,
    LAST_WORDS_MS = 100,
};

static uint64_t ping_timeout_ms(const struct repl *r)
{
    return (uint64_t)r->config.net.ping_timeout_ds * 100;
}

static struct repl_sock *slot(struct repl *r, enum drbd_socket role)
{
    return &r->ctl.sock[role == DRBD_SOCK_META];
}

struct repl_sock *repl_sock_find(struct repl *r, uint32_t id)
{
    for (int i = 0; i < 2; i++)
        if (id && r->ctl.sock[i].id == id)
            return &r->ctl.sock[i];
    return NULL;
}

static struct repl_pending *pending_find(struct repl *r, uint32_t id)
{
    for (int i = 0; i < REPL_PENDING_SOCKS; i++)
        if (id && r->ctl.pending[i].id == id)
            return &r->ctl.pending[i];
    return NULL;
}

static void close_id(struct repl *r, uint32_t id)
{
    repl_fx(r, REPL_FX_SOCK_CLOSE)->net.sock = id;
}

static void sock_close(struct repl *r, struct repl_sock *s)
{
    if (s->id)
        close_id(r, s->id);
    s->id = 0;
    s->eof = false;
    s->given_bytes = s->taken_bytes = 0;
    repl_frame_reset(s);
}

static void pending_close(struct repl *r, struct repl_pending *p)
{
    if (p->id)
        close_id(r, p->id);
    p->id = 0;
}

static void listen_set(struct repl *r, bool on)
{
    if (r->ctl.listening == on)
        return;
    r->ctl.listening = on;
    repl_fx(r, REPL_FX_LISTEN)->net.on = on;
}

static bool establishing(const struct repl *r)
{
    return r->conn == C_WF_CONNECTION && r->ctl.hs == REPL_HS_NONE && !r->ctl.closing;
}

static bool both_there(const struct repl *r)
{
    return r->ctl.sock[0].id && r->ctl.sock[1].id;
}

/* connect-int, a seventh more or less */
static uint64_t connect_int_ms(struct repl *r)
{
    uint64_t ms = (uint64_t)r->config.net.connect_int_s * 1000;

    return hv_entropy_u64(r->event->entropy) & 1 ? ms + ms / 7 : ms - ms / 7;
}

/* --- connecting --- */

static void connect_now(struct repl *r)
{
    struct repl_effect *fx;

    if (!establishing(r) || r->ctl.connecting || both_there(r))
        return;
    r->ctl.connecting = r->ctl.next_id;
    r->ctl.next_id += 2;
    fx = repl_fx(r, REPL_FX_CONNECT);
    fx->net.sock = r->ctl.connecting;
    repl_timer_set(r, REPL_T_CONNECT, r->now_ms + CONNECT_TRY_MS);
}

static void look_if_complete(struct repl *r)
{
    uint64_t ms = (uint64_t)r->config.net.socket_check_timeout_ds * 100;

    for (int i = 0; i < REPL_PENDING_SOCKS; i++)
        if (r->ctl.pending[i].id && r->ctl.pending[i].role)
            return; /* a crossing is not decided yet */
    if (!both_there(r))
        return;
    if (r->ctl.connecting) {
        close_id(r, r->ctl.connecting);
        r->ctl.connecting = 0;
    }
    repl_timer_clear(r, REPL_T_CONNECT);
    if (!repl_timer_armed(r, REPL_T_SOCKETS))
        repl_timer_set(r, REPL_T_SOCKETS, r->now_ms + (ms ? ms : ping_timeout_ms(r)));
}

static void established(struct repl *r)
{
    for (int i = 0; i < REPL_PENDING_SOCKS; i++)
        pending_close(r, &r->ctl.pending[i]);
    listen_set(r, false);
    repl_handshake_begin(r);
}

static void connected(struct repl *r, uint32_t id)
{
    enum drbd_socket role;
    struct repl_sock *s;

    if (id != r->ctl.connecting)
        return;
    r->ctl.connecting = 0;
    if (!establishing(r) || both_there(r)) {
        close_id(r, id);
        return;
    }
    role = r->ctl.sock[0].id ? DRBD_SOCK_META : DRBD_SOCK_DATA;
    s = slot(r, role);
    s->id = id;
    if (role == DRBD_SOCK_META)
        r->resolve_conflicts = false;
    repl_send(
        r, role, 0, role == DRBD_SOCK_META ? P_INITIAL_META : P_INITIAL_DATA, NULL, 0, NULL, 0, 0);
    repl_timer_set(r, REPL_T_CONNECT, r->now_ms + connect_int_ms(r));
    look_if_complete(r);
}

static void connect_failed(struct repl *r, uint32_t id)
{
    if (id != r->ctl.connecting)
        return;
    r->ctl.connecting = 0;
    if (establishing(r))
        repl_timer_set(r, REPL_T_CONNECT, r->now_ms + connect_int_ms(r));
}

/* --- accepting --- */

/* An accepted socket, whose first packet is behind it, takes its place. */
static void adopt(struct repl *r, struct repl_pending *p)
{
    struct repl_sock *s = slot(r, p->role);
    uint32_t left = p->have - DRBD_HEADER_BYTES_OLD;

    s->id = p->id;
    p->id = 0;
    if (p->role == DRBD_SOCK_META)
        r->resolve_conflicts = true;
    if (left)
        repl_frame_receive(r, s, p->bytes + DRBD_HEADER_BYTES_OLD, left);
    r->last_heard_ms = r->now_ms;
    look_if_complete(r);
    if (!both_there(r) && !r->ctl.connecting)
        connect_now(r);
}

/* Its first packet says which of the two it is to be. */
static void first_packet(struct repl *r, struct repl_pending *p)
{
    struct drbd_header h;
    int rv = drbd_header_decode(p->bytes, p->have, DRBD_PROTOCOL_START, &h);

    if (rv >= 0 && (uint32_t)rv > p->have)
        return;
    if (rv < 0 || h.length_bytes || (h.command != P_INITIAL_DATA && h.command != P_INITIAL_META)) {
        repl_log(r, HV_LOG_WARN, "Error receiving initial packet");
        pending_close(r, p);
        return;
    }
    if (!establishing(r)) {
        pending_close(r, p);
        return;
    }
    p->role = h.command == P_INITIAL_META ? DRBD_SOCK_META : DRBD_SOCK_DATA;
    if (!slot(r, p->role)->id) {
        adopt(r, p);
        return;
    }
    repl_log(r, HV_LOG_WARN, "initial packet %s crossed", p->role == DRBD_SOCK_META ? "M" : "S");
    repl_timer_clear(r, REPL_T_SOCKETS);
    p->deadline_ms =
        r->now_ms + CROSSING_MS + hv_entropy_u64(r->event->entropy) % CROSSING_RANDOM_MS;
}

/* A free place, or that of the one that has been silent for longest. */
static struct repl_pending *pending_place(struct repl *r)
{
    struct repl_pending *oldest = NULL;

    for (int i = 0; i < REPL_PENDING_SOCKS; i++) {
        struct repl_pending *p = &r->ctl.pending[i];
        if (!p->id)
            return p;
        if (!p->role && (!oldest || p->deadline_ms < oldest->deadline_ms))
            oldest = p;
    }
    if (oldest)
        pending_close(r, oldest);
    return oldest;
}

static void accepted(struct repl *r, uint32_t id)
{
    struct repl_pending *p = r->ctl.listening ? pending_place(r) : NULL;

    if (!p) {
        close_id(r, id);
        return;
    }
    *p = (struct repl_pending){
        .id = id, .deadline_ms = r->now_ms + 4 * ping_timeout_ms(r), .role = DRBD_SOCK_NONE};
}

static void pending_received(
    struct repl *r, struct repl_pending *p, const uint8_t *bytes, uint32_t n)
{
    if (p->have + n > REPL_PENDING_BYTES) {
        pending_close(r, p);
        return;
    }
    for (uint32_t i = 0; i < n; i++)
        p->bytes[p->have++] = bytes[i];
    if (!p->role)
        first_packet(r, p);
}

/* Time is up for an accepted socket: silent ones go, crossed ones replace ours. */
static void pending_expire(struct repl *r)
{
    for (int i = 0; i < REPL_PENDING_SOCKS; i++) {
        struct repl_pending *p = &r->ctl.pending[i];
        if (!p->id || p->deadline_ms > r->now_ms)
            continue;
        if (!p->role) {
            pending_close(r, p);
            continue;
        }
        sock_close(r, slot(r, p->role));
        adopt(r, p);
    }
}

/* --- events --- */

/* We have asked to leave, and the answer comes on the meta socket. */
static bool disconnect_asked(const struct repl *r)
{
    return r->ctl.cw.busy && r->ctl.cw.connection && r->ctl.cw.result == SS_UNKNOWN_ERROR;
}

static void sock_gone(struct repl *r, uint32_t id, int error)
{
    struct repl_sock *s = repl_sock_find(r, id);
    struct repl_pending *p = pending_find(r, id);
    bool meta = s == &r->ctl.sock[1];

    if (p)
        pending_close(r, p);
    for (int i = 0; i < 2; i++)
        if (r->ctl.linger[i] == id) {
            close_id(r, id);
            r->ctl.linger[i] = 0;
        }
    if (id == r->ctl.connecting) {
        close_id(r, id);
        connect_failed(r, id);
        return;
    }
    if (!s)
        return;
    if (r->ctl.hs != REPL_HS_NONE) {
        s->eof = true;
        if (!error)
            repl_log(r, HV_LOG_WARN, "%s",
                meta ? "meta connection shut down by peer." : "sock was shut down by peer");
        /* What the peer said last, and why it left, may still be on its way on the other socket. */
        if (meta ? !r->ctl.sock[0].eof : disconnect_asked(r) && !r->ctl.sock[1].eof)
            repl_timer_set(r, REPL_T_SOCKETS, r->now_ms + LAST_WORDS_MS);
        else
            repl_conn_drop(r, error ? C_NETWORK_FAILURE : C_BROKEN_PIPE, "socket closed");
        return;
    }
    sock_close(r, s);
    repl_timer_clear(r, REPL_T_SOCKETS);
    for (int i = 0; i < REPL_PENDING_SOCKS; i++) {
        p = &r->ctl.pending[i];
        if (p->id && p->role && slot(r, p->role) == s) {
            adopt(r, p);
            return;
        }
    }
    if (establishing(r) && !r->ctl.connecting)
        repl_timer_set(
            r, REPL_T_CONNECT, r->now_ms + hv_entropy_u64(r->event->entropy) % CROSSING_RANDOM_MS);
}

static void received(struct repl *r, const struct repl_event *ev)
{
    struct repl_sock *s = repl_sock_find(r, ev->net.sock);
    struct repl_pending *p = pending_find(r, ev->net.sock);

    if (s && ev->kind == REPL_EV_RECV_DIRECT)
        repl_frame_direct(r, s, ev->net.length_bytes);
    else if (s)
        repl_frame_receive(r, s, ev->net.bytes, ev->net.length_bytes);
    else if (p)
        pending_received(r, p, ev->net.bytes, ev->net.length_bytes);
}

static void sent(struct repl *r, const struct repl_event *ev)
{
    struct repl_sock *s = repl_sock_find(r, ev->net.sock);

    if (!s)
        return;
    s->taken_bytes += ev->net.length_bytes;
    repl_data_sent(r, s == &r->ctl.sock[0] ? DRBD_SOCK_DATA : DRBD_SOCK_META);
}

void repl_conn_event(struct repl *r, const struct repl_event *ev)
{
    switch (ev->kind) {
    case REPL_EV_CONNECTED:
        connected(r, ev->net.sock);
        break;
    case REPL_EV_CONN_FAILED:
        connect_failed(r, ev->net.sock);
        break;
    case REPL_EV_ACCEPTED:
        accepted(r, ev->net.sock);
        break;
    case REPL_EV_RECV:
    case REPL_EV_RECV_DIRECT:
        received(r, ev);
        break;
    case REPL_EV_SENT:
        sent(r, ev);
        break;
    case REPL_EV_SOCK_CLOSED:
        sock_gone(r, ev->net.sock, ev->error);
        break;
    default:
        break;
    }
}

/* --- liveness (wire §13) --- */

void repl_ping(struct repl *r)
{
    if (r->ctl.hs != REPL_HS_RUN)
        return;
    repl_send(r, DRBD_SOCK_META, 0, P_PING, NULL, 0, NULL, 0, 0);
    if (!repl_timer_armed(r, REPL_T_PING_ACK))
        repl_timer_set(r, REPL_T_PING_ACK, r->now_ms + ping_timeout_ms(r));
}

static void ping_due(struct repl *r)
{
    uint64_t idle_ms = (uint64_t)r->config.net.ping_int_s * 1000;

    if (r->ctl.hs != REPL_HS_RUN)
        return;
    if (r->last_heard_ms + idle_ms <= r->now_ms) {
        repl_ping(r);
        repl_timer_set(r, REPL_T_PING, r->now_ms + idle_ms);
    } else {
        repl_timer_set(r, REPL_T_PING, r->last_heard_ms + idle_ms);
    }
}

/* Any byte is life: a P_PING_ACK may stand behind many acks. */
static void ping_ack_overdue(struct repl *r)
{
    uint64_t heard_until = r->last_heard_ms + ping_timeout_ms(r);

    if (heard_until > r->now_ms) {
        repl_timer_set(r, REPL_T_PING_ACK, heard_until);
        return;
    }
    repl_log(r, HV_LOG_ERROR, "PingAck did not arrive in time.");
    repl_conn_drop(r, C_NETWORK_FAILURE, "PingAck did not arrive in time");
}

/* --- timers --- */

static void connect_timer(struct repl *r)
{
    if (r->ctl.connecting) {
        close_id(r, r->ctl.connecting);
        r->ctl.connecting = 0;
    }
    connect_now(r);
}

void repl_conn_timer(struct repl *r, enum repl_timer timer)
{
    switch (timer) {
    case REPL_T_CONNECT:
        connect_timer(r);
        break;
    case REPL_T_SOCKETS:
        if (establishing(r) && both_there(r))
            established(r);
        else if (r->ctl.hs != REPL_HS_NONE)
            repl_conn_drop(r, C_NETWORK_FAILURE, "meta socket closed");
        break;
    case REPL_T_HANDSHAKE:
        repl_log(r, HV_LOG_WARN, "Handshake: no answer from the peer in time.");
        repl_conn_drop(r, C_NETWORK_FAILURE, "handshake timed out");
        break;
    case REPL_T_PING:
        ping_due(r);
        break;
    case REPL_T_PING_ACK:
        ping_ack_overdue(r);
        break;
    case REPL_T_RECONNECT:
        if (r->conn == C_UNCONNECTED)
            repl_conn_unconnected(r);
        break;
    default:
        break;
    }
}

/* --- beginning and end --- */

void repl_conn_unconnected(struct repl *r)
{
    if (r->conn != C_UNCONNECTED)
        return;
    repl_conn_change(r, C_WF_CONNECTION, REPL_CHG_VERBOSE, "connecting");
    if (r->conn != C_WF_CONNECTION)
        return;
    r->agreed_version = DRBD_PROTOCOL_START;
    r->agreed_features = 0;
    listen_set(r, true);
    connect_now(r);
}

static void linger_end(struct repl *r)
{
    for (int i = 0; i < 2; i++)
        if (r->ctl.linger[i])
            close_id(r, r->ctl.linger[i]);
    r->ctl.linger[0] = r->ctl.linger[1] = 0;
    r->ctl.linger_until_ms = 0;
}

static void linger_begin(struct repl *r)
{
    linger_end(r);
    for (int i = 0; i < 2; i++) {
        r->ctl.linger[i] = r->ctl.sock[i].eof ? 0 : r->ctl.sock[i].id;
        if (r->ctl.linger[i])
            r->ctl.sock[i].id = 0;
    }
    r->ctl.linger_until_ms = r->now_ms + LAST_WORDS_MS;
}

static void forget_sockets(struct repl *r)
{
    static const enum repl_timer timers[] = {REPL_T_CONNECT, REPL_T_SOCKETS, REPL_T_HANDSHAKE,
        REPL_T_PING, REPL_T_PING_ACK, REPL_T_RECONNECT};

    for (unsigned i = 0; i < sizeof timers / sizeof *timers; i++)
        repl_timer_clear(r, timers[i]);
    for (int i = 0; i < REPL_PENDING_SOCKS; i++)
        pending_close(r, &r->ctl.pending[i]);
    if (r->ctl.connecting)
        close_id(r, r->ctl.connecting);
    r->ctl.connecting = 0;
    listen_set(r, false);
    if (r->ctl.linger_wanted)
        linger_begin(r);
    r->ctl.linger_wanted = false;
    sock_close(r, &r->ctl.sock[0]);
    sock_close(r, &r->ctl.sock[1]);
    r->ctl.hs = REPL_HS_NONE;
    r->ctl.state_sent = false;
}

void repl_conn_drop(struct repl *r, enum drbd_conn reason, const char *cause)
{
    if (r->conn == C_STANDALONE || r->conn == C_DISCONNECTING)
        return;
    if (r->ctl.closing) {
        if (reason == C_DISCONNECTING)
            repl_conn_change(r, reason, REPL_CHG_HARD, cause);
        return;
    }
    r->ctl.reconnect_at_once = r->conn >= C_WF_REPORT_PARAMS && reason != C_PROTOCOL_ERROR;
    r->ctl.closing = true;
    r->ctl.lost_untold = true;
    forget_sockets(r);
    repl_conn_change(r, reason, REPL_CHG_HARD, cause);
    repl_conn_tell_lost(r);
}

/* The rest of a loss, once the state is changed and what follows from that is done: the data half gives
 * up what waited for the peer only now, so that a new UUID is known to be under way. */
void repl_conn_tell_lost(struct repl *r)
{
    if (!r->ctl.lost_untold || r->ctl.draining)
        return;
    r->ctl.lost_untold = false;
    for (uint32_t i = 0; i < r->config.volumes; i++) {
        struct repl_volume *v = &r->volumes[i];
        repl_unhold(v);
        v->peer_uuids_valid = false;
        v->ctl.bm_sending = v->ctl.bm_receiving = v->ctl.sync_uuid_held = false;
        v->ctl.consider_resync = v->ctl.resize_asked = false;
        v->ctl.sync_side = C_STANDALONE;
    }
    r->peer_integrity_alg[0] = 0;
    repl_data_disconnected(r);
    repl_fence_peer(r);
    for (uint32_t i = 0; i < r->config.volumes; i++)
        repl_md_sync(&r->volumes[i], NULL, NULL);
}

/* A dropped connection is over when nothing of the peer's is under way any more. */
void repl_conn_settle(struct repl *r)
{
    pending_expire(r);
    if (r->ctl.linger_until_ms && r->ctl.linger_until_ms <= r->now_ms)
        linger_end(r);
    if (!r->ctl.closing || r->ctl.lost_untold || !repl_data_peer_idle(r))
        return;
    r->ctl.closing = false;
    repl_log(r, HV_LOG_INFO, "Connection closed");
    if (r->conn == C_DISCONNECTING) {
        repl_conn_change(r, C_STANDALONE, REPL_CHG_HARD, "disconnected");
        return;
    }
    repl_conn_change(r, C_UNCONNECTED, REPL_CHG_HARD, "connection lost");
    if (r->ctl.reconnect_at_once)
        repl_conn_unconnected(r);
    else
        repl_timer_set(r, REPL_T_RECONNECT, r->now_ms + RETRY_MS);
}
