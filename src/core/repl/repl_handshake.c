/* SPDX-License-Identifier: Apache-2.0 */
/* From two sockets to a connection: features, authentication, our parameters (wire §1.3, §4, §5). */
#include <string.h>

#include "repl_control.h"

static void answer_within(struct repl *r)
{
    repl_timer_set(
        r, REPL_T_HANDSHAKE, r->now_ms + 4 * (uint64_t)r->config.net.ping_timeout_ds * 100);
}

void repl_handshake_begin(struct repl *r)
{
    struct drbd_features f = {.protocol_min = DRBD_PROTOCOL_MIN,
        .protocol_max = DRBD_PROTOCOL_MAX,
        .feature_flags = DRBD_FF_ALL};
    uint8_t sub[DRBD_SUB_BYTES_MAX];
    struct hv_writer w;

    r->agreed_version = DRBD_PROTOCOL_START;
    r->agreed_features = 0;
    r->ctl.dry_run = false;
    r->ctl.hs = REPL_HS_FEATURES;
    hv_writer_init(&w, sub, sizeof sub);
    drbd_features_encode(&w, &f);
    repl_send(r, DRBD_SOCK_DATA, 0, P_CONNECTION_FEATURES, sub, (uint32_t)hv_writer_length(&w),
        NULL, 0, 0);
    answer_within(r);
}

void repl_volume_announce(struct repl_volume *v)
{
    repl_send_sync_param(v);
    repl_send_sizes(v, false, 0);
    repl_send_uuids(v);
    repl_send_state(v, &v->state);
    v->ctl.resize_asked = false;
}

/* The configured volume with the next higher number. */
static struct repl_volume *next_volume(struct repl *r, int after)
{
    struct repl_volume *next = NULL;

    for (uint32_t i = 0; i < r->config.volumes; i++) {
        struct repl_volume *v = &r->volumes[i];
        if (v->config.vnr > after && (!next || v->config.vnr < next->config.vnr))
            next = v;
    }
    return next;
}

/* Everything is agreed: our parameters go out before the peer's are read (wire §1.3.5-7). */
static int finish(struct repl *r)
{
    repl_timer_clear(r, REPL_T_HANDSHAKE);
    r->ctl.hs = REPL_HS_RUN;
    repl_timer_set(r, REPL_T_PING, r->now_ms + (uint64_t)r->config.net.ping_int_s * 1000);
    for (uint32_t i = 0; i < r->config.volumes; i++)
        r->volumes[i].packet_seq = 0;
    repl_send_protocol(r, P_PROTOCOL);
    for (struct repl_volume *v = next_volume(r, -1); v; v = next_volume(r, v->config.vnr))
        repl_volume_announce(v);
    r->ctl.discarding = r->ctl.discard_my_data;
    r->ctl.discard_my_data = r->config.net.discard_my_data = false;
    if (repl_conn_change(r, C_WF_REPORT_PARAMS, REPL_CHG_VERBOSE, "handshake") < SS_SUCCESS) {
        repl_conn_drop(r, C_NETWORK_FAILURE, "handshake");
        return HV_EPROTO;
    }
    r->ctl.state_sent = true;
    repl_data_connected(r);
    return 0;
}

static int send_challenge(struct repl *r)
{
    r->ctl.hs = REPL_HS_CHALLENGE;
    hv_entropy_take(r->event->entropy, r->ctl.my_challenge, DRBD_CHALLENGE_BYTES);
    repl_send(r, DRBD_SOCK_DATA, 0, P_AUTH_CHALLENGE, r->ctl.my_challenge, DRBD_CHALLENGE_BYTES,
        NULL, 0, 0);
    answer_within(r);
    return 0;
}

static void log_features(struct repl *r)
{
    uint32_t f = r->agreed_features;

    repl_log(r, HV_LOG_INFO, "Handshake successful: Agreed network protocol version %d",
        r->agreed_version);
    repl_log(r, HV_LOG_INFO, "Feature flags enabled on protocol level: 0x%x%s%s%s%s.", f,
        f & DRBD_FF_TRIM ? " TRIM" : "", f & DRBD_FF_THIN_RESYNC ? " THIN_RESYNC" : "",
        f & DRBD_FF_WSAME ? " WRITE_SAME" : "", f & DRBD_FF_WZEROES ? " WRITE_ZEROES" : "");
}

static int got_features(struct repl *r, struct repl_packet *p)
{
    const struct drbd_features mine = {.protocol_min = DRBD_PROTOCOL_MIN,
        .protocol_max = DRBD_PROTOCOL_MAX,
        .feature_flags = DRBD_FF_ALL};
    struct drbd_features peer;
    struct hv_reader reader;
    int version;

    hv_reader_init(&reader, p->sub, p->sub_bytes);
    if (p->command != P_CONNECTION_FEATURES) {
        repl_peer_lied(r, "expected ConnectionFeatures packet, received: %s (0x%04x)",
            drbd_packet_name(p->command), p->command);
        return HV_EAUTH;
    }
    if (drbd_features_decode(&reader, &peer))
        return repl_peer_lied(r, "bad ConnectionFeatures packet");
    version = drbd_features_agree(&mine, &peer, &r->agreed_features);
    if (version < 0) {
        repl_log(r, HV_LOG_ERROR,
            "incompatible DRBD dialects: I support %d-%d, peer supports %u-%u", DRBD_PROTOCOL_MIN,
            DRBD_PROTOCOL_MAX, peer.protocol_min, peer.protocol_max);
        return HV_EAUTH;
    }
    r->agreed_version = version;
    log_features(r);
    return r->config.net.cram_hmac_alg[0] ? send_challenge(r) : finish(r);
}

static int hmac(struct repl *r, const uint8_t *message, size_t bytes, uint8_t *out)
{
    const char *secret = r->config.net.shared_secret;

    return r->config.digest->hmac(
        r->config.net.cram_hmac_alg, secret, strlen(secret), message, bytes, out);
}

static int got_challenge(struct repl *r, struct repl_packet *p)
{
    uint8_t response[HV_DIGEST_BYTES_MAX];
    int n;

    if (p->command != P_AUTH_CHALLENGE) {
        repl_peer_lied(r, "expected AuthChallenge packet, received: %s (0x%04x)",
            drbd_packet_name(p->command), p->command);
        return HV_EAUTH;
    }
    if (p->sub_bytes < DRBD_CHALLENGE_BYTES || p->sub_bytes > DRBD_CHALLENGE_BYTES_MAX) {
        repl_peer_lied(r, "AuthChallenge of %u bytes", p->sub_bytes);
        return HV_EAUTH;
    }
    if (!memcmp(p->sub, r->ctl.my_challenge, DRBD_CHALLENGE_BYTES)) {
        repl_peer_lied(r, "presented the same challenge!");
        return HV_EAUTH;
    }
    n = hmac(r, p->sub, p->sub_bytes, response);
    if (n < 0) {
        repl_log(r, HV_LOG_ERROR, "%s failed: %s", r->config.net.cram_hmac_alg, hv_strerror(n));
        return HV_EAUTH;
    }
    repl_send(r, DRBD_SOCK_DATA, 0, P_AUTH_RESPONSE, response, (uint32_t)n, NULL, 0, 0);
    r->ctl.hs = REPL_HS_RESPONSE;
    answer_within(r);
    return 0;
}

/* Looks at every byte whatever is found, so that the time taken says nothing. */
static bool equal(const uint8_t *a, const uint8_t *b, uint32_t n)
{
    uint8_t difference = 0;

    for (uint32_t i = 0; i < n; i++)
        difference |= a[i] ^ b[i];
    return !difference;
}

static int got_response(struct repl *r, struct repl_packet *p)
{
    uint8_t right[HV_DIGEST_BYTES_MAX];
    int n = hmac(r, r->ctl.my_challenge, DRBD_CHALLENGE_BYTES, right);

    if (p->command != P_AUTH_RESPONSE || n < 0 || p->sub_bytes != (uint32_t)n)
        return repl_peer_lied(r, "expected AuthResponse packet, received: %s of %u bytes",
            drbd_packet_name(p->command), p->sub_bytes);
    if (!equal(p->sub, right, (uint32_t)n)) {
        repl_log(r, HV_LOG_ERROR, "Authentication of peer failed");
        return HV_EAUTH;
    }
    repl_log(r, HV_LOG_INFO, "Peer authenticated using %d bytes HMAC", n);
    return finish(r);
}

int repl_handshake_packet(struct repl *r, struct repl_packet *p)
{
    hv_buf_put(p->buf);
    switch (r->ctl.hs) {
    case REPL_HS_FEATURES:
        return got_features(r, p);
    case REPL_HS_CHALLENGE:
        return got_challenge(r, p);
    case REPL_HS_RESPONSE:
        return got_response(r, p);
    default:
        return HV_EPROTO;
    }
}
