/* SPDX-License-Identifier: Apache-2.0 */
/* The bitmaps are exchanged (wire §8): the source sends first, the target merges and answers with its own. */
#include <string.h>

#include "repl_control.h"

static const uint8_t *window(void *arg, uint64_t word, uint64_t *words)
{
    struct repl_volume *v = arg;
    uint64_t n = sizeof v->ctl.bm_window / 8;

    if (n > v->bm.words - word)
        n = v->bm.words - word;
    bitmap_words_write(&v->bm, word, n, v->ctl.bm_window);
    *words = n;
    return v->ctl.bm_window;
}

static void sink_set(void *arg, uint64_t first, uint64_t count)
{
    struct repl_volume *v = arg;

    bitmap_set_bits(&v->bm, first, first + count);
}

static void sink_merge(void *arg, uint64_t first_word, const uint8_t *bytes, uint64_t words)
{
    struct repl_volume *v = arg;

    bitmap_words_merge(&v->bm, first_word, words, bytes);
}

static uint32_t packet_bytes(const struct repl *r)
{
    return DRBD_RECEIVE_BUFFER_BYTES - (uint32_t)drbd_header_bytes(r->agreed_version);
}

/* --- sending --- */

void repl_bitmap_send_start(struct repl_volume *v)
{
    struct repl *r = v->r;
    const struct drbd_bitmap_source source = {.window = window, .arg = v};

    drbd_bitmap_sender_init(&v->ctl.bm_sender, source, v->bm.bits, packet_bytes(r),
        r->agreed_version >= 90 && r->config.net.use_rle);
    v->ctl.bm_sending = true;
}

static void log_stats(struct repl_volume *v, const char *direction, const uint64_t packets[2],
    const uint64_t bytes[2])
{
    unsigned header = (unsigned)drbd_header_bytes(v->r->agreed_version);
    uint64_t per_packet = packet_bytes(v->r) & ~UINT32_C(7);
    uint64_t whole = v->bm.words * 8;
    uint64_t plain_all = whole + header * (whole / per_packet + 1);
    uint64_t total = bytes[0] + bytes[1] + header * (packets[0] + packets[1]);
    uint64_t promille = total < plain_all ? 1000 - total * 1000 / plain_all : 0;

    repl_volume_log(v, HV_LOG_INFO,
        "%s bitmap stats [Bytes(packets)]: plain %llu(%llu), RLE %llu(%llu), total %llu; "
        "compression: %llu.%llu%%",
        direction, (unsigned long long)(bytes[0] + header * packets[0]),
        (unsigned long long)packets[0], (unsigned long long)(bytes[1] + header * packets[1]),
        (unsigned long long)packets[1], (unsigned long long)total,
        (unsigned long long)(promille / 10), (unsigned long long)(promille % 10));
}

/* The target has told its bitmap: now it waits for the source's word. */
static void sent_all(struct repl_volume *v)
{
    struct drbd_state ns = v->state;

    v->ctl.bm_sending = false;
    log_stats(v, "send", v->ctl.bm_sender.packets, v->ctl.bm_sender.bytes);
    if (v->state.conn != C_WF_BITMAP_T)
        return;
    ns.conn = C_WF_SYNC_UUID;
    repl_state_change(v, ns, REPL_CHG_VERBOSE, "bitmap sent");
}

/* One packet; false when it has to wait for a buffer. */
static bool send_one(struct repl_volume *v)
{
    struct hv_buf *buf = hv_buf_alloc(v->r->config.bufs, DRBD_RECEIVE_BUFFER_BYTES);
    uint32_t length;
    int command;

    if (!buf)
        return false;
    command = drbd_bitmap_send(&v->ctl.bm_sender, buf->data, &length);
    if (!command) {
        hv_buf_put(buf);
        sent_all(v);
        return true;
    }
    if (length) {
        buf->length_bytes = length;
    } else {
        hv_buf_put(buf);
        buf = NULL;
    }
    repl_send(v->r, DRBD_SOCK_DATA, v->config.vnr, (unsigned)command, NULL, 0, buf, 0, length);
    return true;
}

void repl_bitmap_send_pump(struct repl *r)
{
    for (uint32_t i = 0; i < r->config.volumes; i++) {
        struct repl_volume *v = &r->volumes[i];
        int packets = 256; /* a step's share */
        while (v->ctl.bm_sending && packets-- > 0 &&
               repl_sock_queued_bytes(r, DRBD_SOCK_DATA) < REPL_BITMAP_QUEUE_BYTES)
            if (!send_one(v))
                break;
        if (v->ctl.bm_sending && packets < 0)
            r->ctl.again = true;
    }
}

/* --- receiving --- */

static void receive_start(struct repl_volume *v)
{
    const struct drbd_bitmap_sink sink = {.set = sink_set, .merge = sink_merge, .arg = v};

    drbd_bitmap_receiver_init(&v->ctl.bm_receiver, sink, v->bm.bits, packet_bytes(v->r));
    memset(v->ctl.bm_received_packets, 0, sizeof v->ctl.bm_received_packets);
    memset(v->ctl.bm_received_bytes, 0, sizeof v->ctl.bm_received_bytes);
    v->ctl.bm_receiving = true;
}

static void received_all(struct repl_volume *v)
{
    v->ctl.bm_receiving = false;
    log_stats(v, "receive", v->ctl.bm_received_packets, v->ctl.bm_received_bytes);
    if (v->state.conn == C_WF_BITMAP_T)
        repl_bitmap_send_start(v);
    else
        repl_sync_begin(v, C_SYNC_SOURCE);
}

int repl_recv_bitmap(struct repl *r, struct repl_volume *v, struct repl_packet *p)
{
    int compressed = p->command == P_COMPRESSED_BITMAP, rv;

    if ((v->state.conn != C_WF_BITMAP_S && v->state.conn != C_WF_BITMAP_T) || !v->bm.bits ||
        (v->state.conn == C_WF_BITMAP_T && v->ctl.bm_sending))
        return repl_peer_lied(
            r, "%s in state %s", drbd_packet_name(p->command), drbd_conn_name(v->state.conn));
    if (compressed && (r->agreed_version < 90 || !r->config.net.use_rle))
        return repl_peer_lied(r, "compressed bitmap, and use-rle is off");
    if (!v->ctl.bm_receiving)
        receive_start(v);
    v->ctl.bm_received_packets[compressed]++;
    v->ctl.bm_received_bytes[compressed] += p->sub_bytes;
    rv = compressed ? drbd_bitmap_receive_compressed(&v->ctl.bm_receiver, p->sub, p->sub_bytes)
                    : drbd_bitmap_receive_plain(&v->ctl.bm_receiver, p->sub, p->sub_bytes);
    if (rv < 0)
        return repl_peer_lied(r, "bad %s", drbd_packet_name(p->command));
    if (rv > 0)
        received_all(v);
    return 0;
}
