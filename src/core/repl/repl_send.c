/* SPDX-License-Identifier: Apache-2.0 */
/* Sending: a header of the agreed version, the encoded sub-header, a payload by reference (wire §2). */
#include <string.h>

#include "repl_control.h"

static struct repl_sock *sock_of(struct repl *r, enum drbd_socket socket)
{
    return &r->ctl.sock[socket == DRBD_SOCK_META];
}

void repl_send(struct repl *r, enum drbd_socket socket, uint16_t vnr, unsigned command,
    const void *sub, uint32_t sub_bytes, struct hv_buf *buf, uint32_t offset_bytes,
    uint32_t length_bytes)
{
    struct repl_sock *s = sock_of(r, socket);
    struct repl_effect *fx;
    size_t head;

    if (!s->id || s->eof) {
        hv_buf_put(buf);
        return;
    }
    fx = repl_fx(r, REPL_FX_SEND);
    fx->send.sock = s->id;
    head = drbd_header_encode(
        fx->send.head, r->agreed_version, vnr, command, sub_bytes + (buf ? length_bytes : 0));
    hv_assert(head + sub_bytes <= sizeof fx->send.head);
    if (sub_bytes)
        memcpy(fx->send.head + head, sub, sub_bytes);
    fx->send.head_bytes = (uint16_t)(head + sub_bytes);
    fx->send.buf = buf;
    fx->send.offset_bytes = buf ? offset_bytes : 0;
    fx->send.length_bytes = buf ? length_bytes : 0;
    s->given_bytes += fx->send.head_bytes + fx->send.length_bytes;
}

void repl_send_ack(struct repl_volume *v, unsigned command, uint64_t sector, uint64_t block_id,
    uint32_t size_bytes)
{
    uint8_t sub[DRBD_SUB_BYTES_MAX];
    struct hv_writer w;
    struct drbd_block_ack ack = {.sector = sector,
        .block_id = block_id,
        .size_bytes = size_bytes,
        .seq_num = ++v->packet_seq};

    hv_writer_init(&w, sub, sizeof sub);
    drbd_block_ack_encode(&w, &ack);
    repl_send(v->r, DRBD_SOCK_META, v->config.vnr, command, sub, (uint32_t)hv_writer_length(&w),
        NULL, 0, 0);
}

void repl_send_block_req(struct repl_volume *v, unsigned command, uint64_t sector,
    uint64_t block_id, uint32_t size_bytes, const uint8_t *digest, uint32_t digest_bytes)
{
    uint8_t sub[DRBD_SUB_BYTES_MAX];
    struct hv_writer w;
    struct drbd_block_req req = {.sector = sector, .block_id = block_id, .size_bytes = size_bytes};

    hv_writer_init(&w, sub, sizeof sub);
    drbd_block_req_encode(&w, &req);
    if (digest_bytes)
        hv_write_bytes(&w, digest, digest_bytes);
    hv_assert(!w.bad);
    repl_send(v->r, DRBD_SOCK_DATA, v->config.vnr, command, sub, (uint32_t)hv_writer_length(&w),
        NULL, 0, 0);
}

uint64_t repl_sock_given_total(const struct repl *r, enum drbd_socket socket)
{
    return r->ctl.sock[socket == DRBD_SOCK_META].given_bytes;
}

uint64_t repl_sock_sent_total(const struct repl *r, enum drbd_socket socket)
{
    return r->ctl.sock[socket == DRBD_SOCK_META].taken_bytes;
}

uint64_t repl_sock_queued_bytes(const struct repl *r, enum drbd_socket socket)
{
    return repl_sock_given_total(r, socket) - repl_sock_sent_total(r, socket);
}
