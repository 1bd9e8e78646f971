/* SPDX-License-Identifier: Apache-2.0 */
/* Reads that we serve: the peer's application (wire §10) and its resync (wire §11.1). */
#include <string.h>

#include "repl_int.h"

static unsigned refusal(const struct repl_peer_req *p)
{
    return p->kind == REPL_PEER_READ ? P_NEG_DREPLY : P_NEG_RS_DREPLY;
}

static void read_refused(struct repl_peer_req *p)
{
    repl_send_ack(p->v, refusal(p), p->sector, p->block_id, p->length_bytes);
    if (p->kind == REPL_PEER_RS_READ && p->v->data.rs.active)
        p->v->data.rs.failed_bits += (p->length_bytes + BITMAP_BIT_BYTES - 1) / BITMAP_BIT_BYTES;
    repl_peer_end(p);
}

static bool is_zero(const uint8_t *bytes, uint32_t n)
{
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, n - 1) == 0;
}

static void send_deallocated(struct repl_peer_req *p)
{
    struct drbd_block_desc desc = {.sector = p->sector, .size_bytes = p->length_bytes};
    uint8_t sub[DRBD_SUB_BYTES_MAX];
    struct hv_writer w;

    hv_writer_init(&w, sub, sizeof sub);
    drbd_block_desc_encode(&w, &desc);
    repl_send(p->v->r, DRBD_SOCK_DATA, p->v->config.vnr, P_RS_DEALLOCATED, sub,
        (uint32_t)hv_writer_length(&w), NULL, 0, 0);
}

/* The digest that came with P_CSUM_RS_REQUEST is that of our block as well. */
static bool is_equal(const struct repl_peer_req *p)
{
    const struct repl *r = p->v->r;
    uint8_t own[HV_DIGEST_BYTES_MAX];
    int n = r->config.digest->hash(
        r->config.net.csums_alg, p->buf->data + p->offset_bytes, p->length_bytes, own);

    return n > 0 && n == p->digest_bytes && memcmp(own, p->digest, p->digest_bytes) == 0;
}

static void read_answer(struct repl_peer_req *p)
{
    struct repl_volume *v = p->v;
    unsigned command = p->kind == REPL_PEER_READ ? P_DATA_REPLY : P_RS_DATA_REPLY;

    if (p->command == P_CSUM_RS_REQUEST && is_equal(p)) {
        repl_oos_clear(v, p->sector, p->length_bytes / DRBD_SECTOR_BYTES, false);
        v->data.rs.same_bits += p->length_bytes / BITMAP_BIT_BYTES;
        repl_send_ack(v, P_RS_IS_IN_SYNC, p->sector, p->block_id, p->length_bytes);
    } else if (p->command == P_RS_THIN_REQ &&
               is_zero(p->buf->data + p->offset_bytes, p->length_bytes)) {
        send_deallocated(p);
    } else {
        repl_send_data_reply(v, command, p->sector, p->block_id, hv_buf_get(p->buf),
            p->offset_bytes, p->length_bytes);
    }
    repl_peer_end(p);
}

static void read_done(struct repl_volume *v, void *arg, int error, struct hv_buf *buf)
{
    struct repl_peer_req *p = arg;
    uint64_t sector = p->sector;

    repl_peer_io_over(p);
    hv_buf_put(buf);
    if (error)
        repl_oos_set(v, p->sector, p->length_bytes / DRBD_SECTOR_BYTES);
    if (p->dead)
        repl_peer_end(p);
    else if (error)
        read_refused(p);
    else
        read_answer(p);
    if (error) /* last: it may end the connection and all that belongs to it */
        repl_disk_failed(v, REPL_DISK_READ, sector);
}

static void read_go(struct repl_waiter *w)
{
    struct repl_peer_req *p = hv_container_of(w, struct repl_peer_req, wait);
    struct repl_volume *v = p->v;
    bool resync = p->kind == REPL_PEER_RS_READ;

    if (resync && v->state.conn == C_AHEAD) {
        repl_send_ack(v, P_RS_CANCEL, p->sector, p->block_id, p->length_bytes);
        repl_peer_end(p);
        return;
    }
    if (!repl_disk_usable(v) || v->state.disk != D_UP_TO_DATE) {
        read_refused(p);
        return;
    }
    if (resync && !p->locked) {
        if (!repl_rs_lock(v, p->sector, w))
            return;
        p->locked = true;
    }
    if (resync) {
        /* A write that was begun while nothing was pinned: it is in our cache or on our disk, and the
         * peer must not get what was there before. */
        struct repl_interval *iv = repl_interval_conflict(
            &v->data.intervals, p->sector, p->length_bytes / DRBD_SECTOR_BYTES, NULL);

        if (iv) {
            iv->waited = true;
            hv_list_push_back(&v->data.iv_wait, &w->link);
            return;
        }
    }
    if (!p->buf && !repl_peer_read_buf(p))
        return;
    repl_peer_io(p, REPL_FX_READ, 0, read_done);
}

static int read_begin(struct repl_volume *v, enum repl_peer_kind kind,
    const struct drbd_block_req *req, const struct repl_packet *pk, const uint8_t *digest)
{
    struct repl_peer_req *p = repl_peer_new(v, kind, req->sector, req->size_bytes);

    if (!p)
        return HV_EPROTO;
    p->command = pk->command;
    p->block_id = req->block_id;
    if (digest) {
        p->digest_bytes = (uint8_t)(pk->sub_bytes - (uint32_t)(digest - pk->sub));
        memcpy(p->digest, digest, p->digest_bytes);
    }
    p->wait.go = read_go;
    read_go(&p->wait);
    return 0;
}

static int request_decode(struct repl *r, struct repl_volume *v, const struct repl_packet *p,
    struct drbd_block_req *req, const uint8_t **rest)
{
    struct hv_reader rd;

    hv_reader_init(&rd, p->sub, p->sub_bytes);
    if (drbd_block_req_decode(&rd, req))
        return repl_peer_lied(r, "short %s", drbd_packet_name(p->command));
    *rest = rd.at;
    if (v->state.conn < C_CONNECTED)
        return repl_peer_lied(
            r, "%s while %s", drbd_packet_name(p->command), drbd_conn_name(v->state.conn));
    return repl_range_check(
        v, drbd_packet_name(p->command), req->sector, req->size_bytes, DRBD_BIO_BYTES_MAX);
}

int repl_recv_data_request(struct repl *r, struct repl_volume *v, struct repl_packet *p)
{
    struct drbd_block_req req;
    const uint8_t *rest;
    int rc = request_decode(r, v, p, &req, &rest);

    return rc ? rc : read_begin(v, REPL_PEER_READ, &req, p, NULL);
}

/* P_RS_DATA_REQUEST, P_RS_THIN_REQ, P_CSUM_RS_REQUEST (digest behind the sub-header). */
int repl_recv_rs_request(struct repl *r, struct repl_volume *v, struct repl_packet *p)
{
    struct drbd_block_req req;
    const uint8_t *digest = NULL, *rest = NULL;
    int rc = request_decode(r, v, p, &req, &rest);

    if (rc)
        return rc;
    if (p->command == P_RS_THIN_REQ && !(r->agreed_features & DRBD_FF_THIN_RESYNC))
        return repl_peer_lied(r, "P_RS_THIN_REQ was not agreed upon");
    if (req.sector / MD_RS_EXTENT_SECTORS !=
        (req.sector + req.size_bytes / DRBD_SECTOR_BYTES - 1) / MD_RS_EXTENT_SECTORS)
        return repl_peer_lied(r, "%s crosses a 16 MiB extent", drbd_packet_name(p->command));
    if (p->command == P_CSUM_RS_REQUEST) {
        uint32_t n = p->sub_bytes - (uint32_t)(rest - p->sub);

        if (n == 0 || n > HV_DIGEST_BYTES_MAX || !r->config.net.csums_alg[0])
            return repl_peer_lied(r, "P_CSUM_RS_REQUEST with a digest of %u bytes", n);
        digest = rest;
    }
    return read_begin(v, REPL_PEER_RS_READ, &req, p, digest);
}
