/* SPDX-License-Identifier: Apache-2.0 */
/* From received bytes to packets: header, sub-header, bulk data in place, dispatch (wire §2, §3).
 *
 * While the data socket is held (repl_hold()), or so many effects are wanted already that one more packet
 * might be too many, what comes is stashed and looked at later; the host is told to stop reading. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "repl_control.h"

static enum drbd_socket socket_of(const struct repl *r, const struct repl_sock *s)
{
    return s == &r->ctl.sock[0] ? DRBD_SOCK_DATA : DRBD_SOCK_META;
}

int repl_peer_lied(struct repl *r, const char *fmt, ...)
{
    char text[200];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    repl_log(r, HV_LOG_ERROR, "peer: %s", text);
    return HV_EPROTO;
}

void repl_frame_reset(struct repl_sock *s)
{
    hv_buf_put(s->packet.buf);
    memset(&s->packet, 0, sizeof s->packet);
    s->have = s->data_have = s->stash_bytes = 0;
    s->in_data = false;
    s->volume = NULL;
}

void repl_hold(struct repl_volume *v)
{
    if (!v->ctl.holding)
        v->r->ctl.holds++;
    v->ctl.holding = true;
}

void repl_unhold(struct repl_volume *v)
{
    if (v->ctl.holding)
        v->r->ctl.holds--;
    v->ctl.holding = false;
}

/* May a packet of this socket be looked at now? */
static bool may_look(const struct repl *r, const struct repl_sock *s)
{
    if (!s->id || r->ctl.hs == REPL_HS_NONE || r->ctl.closing)
        return false;
    if (r->fx && r->fx->count >= REPL_RECV_EFFECTS)
        return false;
    if (socket_of(r, s) == DRBD_SOCK_META)
        return r->ctl.hs == REPL_HS_RUN;
    return !r->ctl.holds && repl_data_recv_ready(r);
}

bool repl_recv_ready(const struct repl *r, uint32_t sock)
{
    for (int i = 0; i < 2; i++) {
        const struct repl_sock *s = &r->ctl.sock[i];
        if (s->id != sock)
            continue;
        if (s->in_data)
            return true; /* its buffer is there */
        return !s->stash_bytes && (r->ctl.hs == REPL_HS_NONE || may_look(r, s));
    }
    return true;
}

/* Packets that concern the connection: whatever volume number they carry (reference drbd9 §2). */
static bool of_connection(unsigned command)
{
    switch (command) {
    case P_CONNECTION_FEATURES:
    case P_AUTH_CHALLENGE:
    case P_AUTH_RESPONSE:
    case P_PROTOCOL:
    case P_PROTOCOL_UPDATE:
    case P_PING:
    case P_PING_ACK:
    case P_BARRIER:
    case P_BARRIER_ACK:
    case P_UNPLUG_REMOTE:
    case P_CONN_ST_CHG_REQ:
    case P_CONN_ST_CHG_REPLY:
    case P_DELAY_PROBE:
        return true;
    default:
        return false;
    }
}

/* Configuration of a volume that we do not have is read and forgotten (wire §1.3). */
static bool may_be_unknown(unsigned command)
{
    return command == P_SYNC_PARAM || command == P_SYNC_PARAM89 || command == P_SIZES ||
           command == P_UUIDS || command == P_STATE;
}

static bool has_bulk(unsigned command)
{
    return command == P_DATA || command == P_DATA_REPLY || command == P_RS_DATA_REPLY;
}

static int judge_header(struct repl *r, struct repl_sock *s, const struct drbd_header *h)
{
    struct repl_packet *p = &s->packet;
    int rv = drbd_packet_check(h->command, socket_of(r, s), h->length_bytes, r->agreed_features);
    uint32_t digest = 0;

    if (rv) {
        repl_peer_lied(r, "unexpected packet %s (0x%04x) length %u on the %s socket",
            drbd_packet_name(h->command), h->command, h->length_bytes,
            socket_of(r, s) == DRBD_SOCK_DATA ? "data" : "meta");
        return rv == HV_EPROTO && socket_of(r, s) == DRBD_SOCK_META ? HV_ESTATE : HV_EPROTO;
    }
    *p = (struct repl_packet){
        .command = h->command, .vnr = h->volume, .length_bytes = h->length_bytes};
    p->sub_bytes = h->length_bytes;
    if (has_bulk(h->command)) {
        if (r->peer_integrity_alg[0])
            digest = (uint32_t)r->config.digest->size(r->peer_integrity_alg);
        p->sub_bytes = drbd_packet_sub_bytes(h->command, r->agreed_features);
        if (h->length_bytes < p->sub_bytes + digest)
            return repl_peer_lied(r, "%s is too short", drbd_packet_name(h->command));
        p->digest_bytes = digest;
        p->data_bytes = h->length_bytes - p->sub_bytes - digest;
        if (p->data_bytes > DRBD_BIO_BYTES_MAX)
            return repl_peer_lied(r, "%s of %u bytes", drbd_packet_name(h->command), p->data_bytes);
    }
    if (p->sub_bytes + p->digest_bytes >
        DRBD_RECEIVE_BUFFER_BYTES - (uint32_t)drbd_header_bytes(r->agreed_version))
        return repl_peer_lied(
            r, "%s of %u bytes does not fit", drbd_packet_name(h->command), h->length_bytes);
    s->volume = of_connection(h->command) ? NULL : repl_volume_by_nr(r, h->volume);
    if (!s->volume && !of_connection(h->command) && !may_be_unknown(h->command))
        return repl_peer_lied(r, "%s for volume %u, which is not configured",
            drbd_packet_name(h->command), h->volume);
    return 0;
}

static int run_handler(struct repl *r, struct repl_sock *s)
{
    struct repl_packet p = s->packet;
    struct repl_volume *v = s->volume;
    repl_packet_fn fn;
    int rv;

    /* The handler may drop the connection: from here the socket is ready for the next packet. */
    s->packet.buf = NULL;
    s->have = s->data_have = 0;
    s->in_data = false;
    if (r->ctl.hs != REPL_HS_RUN)
        return repl_handshake_packet(r, &p);
    if (!v && may_be_unknown(p.command)) {
        repl_log(r, HV_LOG_WARN, "Received packet for non existent volume %u, ignored: %s", p.vnr,
            drbd_packet_name(p.command));
        return 0;
    }
    fn = repl_ctl_packet(p.command);
    if (!fn)
        fn = repl_data_packet(p.command);
    if (!fn) {
        hv_buf_put(p.buf);
        return repl_peer_lied(r, "unexpected packet %s", drbd_packet_name(p.command));
    }
    rv = fn(r, v, &p);
    return rv;
}

/* Moves bytes into the socket's buffer until it has `want`; true when it has. */
static bool fill(struct repl_sock *s, uint32_t want, const uint8_t **at, uint32_t *n)
{
    uint32_t step = want - s->have < *n ? want - s->have : *n;

    memcpy(s->buf + s->have, *at, step);
    s->have += step;
    *at += step;
    *n -= step;
    return s->have == want;
}

static void take_data(struct repl_sock *s, const uint8_t **at, uint32_t *n)
{
    struct repl_packet *p = &s->packet;
    uint32_t left = p->data_bytes - s->data_have, step = left < *n ? left : *n;

    if (p->buf)
        memcpy(p->buf->data + p->buf_offset_bytes + s->data_have, *at, step);
    s->data_have += step;
    *at += step;
    *n -= step;
}

/* One step on: to the end of the header, of sub-header and digest, or of the bulk data.  *packet: it is
 * complete. */
static int take(struct repl *r, struct repl_sock *s, const uint8_t **at, uint32_t *n, bool *packet)
{
    struct repl_packet *p = &s->packet;
    uint32_t head = (uint32_t)drbd_header_bytes(r->agreed_version);
    int rv;

    *packet = false;
    if (s->in_data) {
        take_data(s, at, n);
        *packet = s->data_have == p->data_bytes;
        return 0;
    }
    if (s->have < head) {
        struct drbd_header h;
        if (!fill(s, head, at, n))
            return 0;
        rv = drbd_header_decode(s->buf, s->have, r->agreed_version, &h);
        if (rv != (int)head)
            return repl_peer_lied(r, "bad header (magic 0x%08x)", hv_load_be32(s->buf));
        rv = judge_header(r, s, &h);
        if (rv)
            return rv;
    }
    if (!fill(s, head + p->sub_bytes + p->digest_bytes, at, n))
        return 0;
    p->sub = s->buf + head;
    p->digest = p->digest_bytes ? p->sub + p->sub_bytes : NULL;
    if (has_bulk(p->command)) {
        rv = repl_data_place(r, s->volume, p);
        if (rv)
            return rv;
        s->in_data = p->data_bytes > 0;
    }
    *packet = !s->in_data;
    return 0;
}

/* A packet that the meta socket does not know, and what the handshake finds incompatible, mean StandAlone
 * (HV_ESTATE, HV_EAUTH); all else reconnects (wire §1.3, §3). */
static void drop_for(struct repl *r, const struct repl_sock *s, int error)
{
    if (r->ctl.closing || !s->id)
        return;
    r->ctl.linger_wanted = error == HV_EAUTH || error == HV_ESTATE;
    repl_conn_drop(r, error == HV_EAUTH || error == HV_ESTATE ? C_DISCONNECTING : C_PROTOCOL_ERROR,
        "packet refused");
}

/* Returns how many bytes were looked at. */
static uint32_t look(struct repl *r, struct repl_sock *s, const uint8_t *bytes, uint32_t n)
{
    const uint8_t *at = bytes;
    uint32_t id = s->id;

    while (n && s->id == id && (s->in_data || may_look(r, s))) {
        bool packet;
        int rv = take(r, s, &at, &n, &packet);
        if (!rv && packet)
            rv = run_handler(r, s);
        if (rv) {
            drop_for(r, s, rv);
            break;
        }
    }
    return (uint32_t)(at - bytes);
}

static void stash(struct repl *r, struct repl_sock *s, const uint8_t *bytes, uint32_t n)
{
    if (s->stash_bytes + n > REPL_STASH_BYTES) {
        repl_peer_lied(r, "sends more than it may");
        repl_conn_drop(r, C_PROTOCOL_ERROR, "too much received");
        return;
    }
    memcpy(s->stash + s->stash_bytes, bytes, n);
    s->stash_bytes += n;
}

void repl_frame_receive(struct repl *r, struct repl_sock *s, const uint8_t *bytes, uint32_t n)
{
    uint32_t id = s->id, used = 0;

    r->last_heard_ms = r->now_ms;
    if (!s->stash_bytes)
        used = look(r, s, bytes, n);
    if (s->id == id && used < n)
        stash(r, s, bytes + used, n - used);
}

void repl_frame_continue(struct repl *r)
{
    for (int i = 1; i >= 0; i--) {
        struct repl_sock *s = &r->ctl.sock[i];
        uint32_t id = s->id, used;
        if (!s->stash_bytes || !may_look(r, s))
            continue;
        used = look(r, s, s->stash, s->stash_bytes);
        if (s->id != id)
            continue;
        s->stash_bytes -= used;
        memmove(s->stash, s->stash + used, s->stash_bytes);
    }
    for (int i = 0; i < 2; i++)
        if (r->ctl.sock[i].stash_bytes && r->fx->count >= REPL_RECV_EFFECTS)
            r->ctl.again = true;
}

void repl_frame_direct(struct repl *r, struct repl_sock *s, uint32_t n)
{
    uint32_t id = s->id;
    int rv;

    r->last_heard_ms = r->now_ms;
    hv_assert(s->in_data && n <= s->packet.data_bytes - s->data_have);
    s->data_have += n;
    if (s->data_have < s->packet.data_bytes)
        return;
    rv = run_handler(r, s);
    if (rv && s->id == id)
        drop_for(r, s, rv);
}

uint32_t repl_recv_want(struct repl *r, uint32_t sock, uint8_t **to)
{
    struct repl_sock *s = repl_sock_find(r, sock);

    if (!s || !s->in_data || s->stash_bytes || !s->packet.buf)
        return 0;
    *to = s->packet.buf->data + s->packet.buf_offset_bytes + s->data_have;
    return s->packet.data_bytes - s->data_have;
}
