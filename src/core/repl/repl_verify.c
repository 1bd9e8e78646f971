/* SPDX-License-Identifier: Apache-2.0 */
/* Online verify (wire §11.5): VerifyS asks for digests and compares, VerifyT reads and digests. */
#include <string.h>

#include "repl_int.h"

static uint64_t bits_of(uint64_t bytes)
{
    return (bytes + BITMAP_BIT_BYTES - 1) / BITMAP_BIT_BYTES;
}

static uint64_t stop_of(const struct repl_volume *v)
{
    uint64_t stop = v->data.rs.ov_stop_sector;

    return stop && stop < v->size_sectors ? stop : v->size_sectors;
}

static void begin_at(struct repl_volume *v, uint64_t sector)
{
    struct repl_resync *rs = &v->data.rs;
    uint64_t first = sector / BITMAP_BIT_SECTORS, last;

    last = (stop_of(v) + BITMAP_BIT_SECTORS - 1) / BITMAP_BIT_SECTORS;
    rs->ov_started = true;
    rs->ov_sector = first * BITMAP_BIT_SECTORS;
    rs->ov_left_bits = rs->total_bits = last > first ? last - first : 0;
    for (unsigned i = 0; i < REPL_RS_MARKS; i++)
        rs->mark_left[i] = rs->ov_left_bits;
}

void repl_verify_start(struct repl_volume *v, uint64_t start_sector, uint64_t stop_sector)
{
    struct repl_resync *rs = &v->data.rs;
    int version = v->r->agreed_version;

    repl_rs_begin(v, true, 0);
    if (v->state.conn == C_VERIFY_T) {
        rs->total_bits = rs->ov_left_bits = v->bm.bits;
        return;
    }
    /* A peer that does not understand a stop sector would wait for the rest. */
    if (version >= 97 && version != 100)
        rs->ov_stop_sector = stop_sector;
    begin_at(v, start_sector);
    repl_volume_log(v, HV_LOG_INFO, "Starting Online Verify from sector %llu",
        (unsigned long long)rs->ov_sector);
    repl_volume_timer_set(v, REPL_VT_RESYNC, v->r->now_ms);
}

static void log_bad(struct repl_volume *v)
{
    struct repl_resync *rs = &v->data.rs;

    if (rs->ov_bad_sectors > 0)
        repl_volume_log(v, HV_LOG_ERROR, "Out of sync: start=%llu, size=%llu (sectors)",
            (unsigned long long)rs->ov_bad_sector, (unsigned long long)rs->ov_bad_sectors);
    rs->ov_bad_sectors = 0;
}

/* One block's verdict is in.  bytes 0: only write the last log line. */
void repl_ov_note(struct repl_volume *v, uint64_t sector, uint32_t bytes, bool same)
{
    struct repl_resync *rs = &v->data.rs;
    uint64_t sectors = bytes / DRBD_SECTOR_BYTES, bits = bits_of(bytes);

    if (same || sector != rs->ov_bad_sector + rs->ov_bad_sectors)
        log_bad(v);
    if (!same) {
        if (rs->ov_bad_sectors == 0)
            rs->ov_bad_sector = sector;
        rs->ov_bad_sectors += sectors;
        rs->ov_found_bits += bits;
        repl_oos_set(v, sector, sectors);
    }
    if (bytes == 0 || !rs->active || !rs->verify)
        return;
    rs->ov_left_bits -= bits < rs->ov_left_bits ? bits : rs->ov_left_bits;
    rs->received_sectors += sectors;
    repl_rs_progress(v);
    if (rs->ov_left_bits == 0)
        repl_rs_finish(v);
}

/* --- VerifyS --- */

static bool ask_one(struct repl_volume *v)
{
    struct repl_resync *rs = &v->data.rs;
    uint64_t sector = rs->ov_sector, left = stop_of(v) > sector ? stop_of(v) - sector : 0;
    struct repl_peer_req *p;
    uint32_t bytes;

    if (left == 0 || !repl_rs_try_lock(v, sector))
        return false;
    bytes = BITMAP_BIT_BYTES;
    if (sector + BITMAP_BIT_SECTORS > v->size_sectors)
        bytes = (uint32_t)((v->size_sectors - sector) * DRBD_SECTOR_BYTES);
    p = repl_peer_new(v, REPL_PEER_OV_WANT, sector, bytes);
    if (!p) {
        repl_rs_unlock(v, sector);
        return false;
    }
    p->locked = true;
    repl_interval_add(&v->data.intervals, &p->iv, sector, bytes / DRBD_SECTOR_BYTES, false);
    rs->ov_sector += BITMAP_BIT_SECTORS;
    repl_rs_wanted(p);
    repl_send_block_req(v, P_OV_REQUEST, sector, DRBD_ID_SYNCER, bytes, NULL, 0);
    return true;
}

static void ask(struct repl_volume *v)
{
    while (v->data.rs.active && v->state.conn == C_VERIFY_S && repl_rs_may_ask(v) && ask_one(v))
        continue;
}

void repl_ov_tick(struct repl_volume *v)
{
    struct repl_resync *rs = &v->data.rs;

    if (v->state.conn != C_VERIFY_S)
        return;
    if (rs->ov_left_bits == 0) {
        repl_rs_finish(v);
        return;
    }
    rs->budget_blocks = repl_rate_blocks(v);
    if (rs->budget_blocks == 0 && rs->pending == 0)
        rs->budget_blocks = 1;
    if (repl_rate_throttled(v))
        rs->budget_blocks = 0;
    repl_volume_timer_set(v, REPL_VT_RESYNC, v->r->now_ms + REPL_RS_TICK_MS);
    ask(v);
    repl_rs_progress(v);
}

static void verdict(struct repl_peer_req *p, bool same)
{
    struct repl_volume *v = p->v;
    uint64_t sector = p->sector;
    uint32_t bytes = p->length_bytes;

    /* Our answer to the peer says so in block_id, which is a number here (wire §3.1). */
    repl_send_ack(v, P_OV_RESULT, sector, same ? DRBD_OV_IN_SYNC : DRBD_OV_OUT_OF_SYNC, bytes);
    repl_rs_unwant(p);
    repl_ov_note(v, sector, bytes, same);
    ask(v);
}

static bool is_equal(const struct repl_peer_req *p)
{
    const struct repl *r = p->v->r;
    uint8_t own[HV_DIGEST_BYTES_MAX];
    int n = r->config.digest->hash(r->config.net.verify_alg, p->buf->data, p->length_bytes, own);

    return n > 0 && n == p->digest_bytes && memcmp(own, p->digest, p->digest_bytes) == 0;
}

static void compare_read(struct repl_volume *v, void *arg, int error, struct hv_buf *buf)
{
    struct repl_peer_req *p = arg;
    uint64_t sector = p->sector;

    repl_peer_io_over(p);
    hv_buf_put(buf);
    if (p->dead)
        repl_peer_end(p);
    else
        verdict(p, !error && is_equal(p));
    if (error)
        repl_disk_failed(v, REPL_DISK_READ, sector);
}

static void compare_go(struct repl_waiter *w)
{
    struct repl_peer_req *p = hv_container_of(w, struct repl_peer_req, wait);

    if (!repl_disk_usable(p->v))
        verdict(p, true); /* nothing to compare with: no verdict, no mark */
    else if (p->buf || repl_peer_read_buf(p))
        repl_peer_io(p, REPL_FX_READ, 0, compare_read);
}

int repl_recv_ov_reply(struct repl *r, struct repl_volume *v, struct repl_packet *pk)
{
    struct drbd_block_req reply;
    struct repl_peer_req *p;
    struct hv_reader rd;
    size_t n;

    hv_reader_init(&rd, pk->sub, pk->sub_bytes);
    if (drbd_block_req_decode(&rd, &reply))
        return repl_peer_lied(r, "short P_OV_REPLY");
    n = hv_reader_left(&rd);
    p = repl_peer_find(v, REPL_PEER_OV_WANT, reply.sector, reply.size_bytes);
    if (!p || p->have_data || n == 0 || n > HV_DIGEST_BYTES_MAX)
        return repl_peer_lied(r, "P_OV_REPLY that nobody asked for");
    p->have_data = true;
    p->digest_bytes = (uint8_t)n;
    memcpy(p->digest, rd.at, n);
    p->wait.go = compare_go;
    compare_go(&p->wait);
    return 0;
}

/* --- VerifyT --- */

static void reply(struct repl_peer_req *p, bool read)
{
    const struct repl *r = p->v->r;
    int n = r->config.digest->size(r->config.net.verify_alg);

    memset(p->digest, 0, sizeof p->digest); /* zeroes: could not be read */
    if (read)
        n = r->config.digest->hash(
            r->config.net.verify_alg, p->buf->data, p->length_bytes, p->digest);
    repl_peer_drop_buf(p);
    p->replied = true;
    repl_send_block_req(p->v, P_OV_REPLY, p->sector, p->block_id, p->length_bytes, p->digest,
        n > 0 ? (uint32_t)n : 0);
}

static void digest_read(struct repl_volume *v, void *arg, int error, struct hv_buf *buf)
{
    struct repl_peer_req *p = arg;
    uint64_t sector = p->sector;

    repl_peer_io_over(p);
    hv_buf_put(buf);
    if (p->dead)
        repl_peer_end(p);
    else
        reply(p, !error);
    if (error)
        repl_disk_failed(v, REPL_DISK_READ, sector);
}

static void digest_go(struct repl_waiter *w)
{
    struct repl_peer_req *p = hv_container_of(w, struct repl_peer_req, wait);
    struct repl_volume *v = p->v;

    if (!repl_disk_usable(v) || v->state.disk != D_UP_TO_DATE) {
        repl_send_ack(v, P_NEG_RS_DREPLY, p->sector, p->block_id, p->length_bytes);
        repl_peer_end(p);
        return;
    }
    if (!p->locked) {
        if (!repl_rs_lock(v, p->sector, w))
            return;
        p->locked = true;
    }
    if (p->buf || repl_peer_read_buf(p))
        repl_peer_io(p, REPL_FX_READ, 0, digest_read);
}

int repl_recv_ov_request(struct repl *r, struct repl_volume *v, struct repl_packet *pk)
{
    struct repl_resync *rs = &v->data.rs;
    struct drbd_block_req req;
    struct repl_peer_req *p;
    struct hv_reader rd;
    int rc;

    hv_reader_init(&rd, pk->sub, pk->sub_bytes);
    if (drbd_block_req_decode(&rd, &req))
        return repl_peer_lied(r, "short P_OV_REQUEST");
    rc = repl_range_check(v, "P_OV_REQUEST", req.sector, req.size_bytes, DRBD_BIO_BYTES_MAX);
    if (rc)
        return rc;
    if (v->state.conn < C_CONNECTED || !r->config.net.verify_alg[0])
        return repl_peer_lied(r, "P_OV_REQUEST while %s", drbd_conn_name(v->state.conn));
    if (repl_peer_find(v, REPL_PEER_OV_READ, req.sector, req.size_bytes))
        return repl_peer_lied(
            r, "P_OV_REQUEST twice for sector %llu", (unsigned long long)req.sector);
    if (rs->active && rs->verify && !rs->ov_started) {
        begin_at(v, req.sector);
        repl_volume_log(
            v, HV_LOG_INFO, "Online Verify start sector: %llu", (unsigned long long)req.sector);
    }
    p = repl_peer_new(v, REPL_PEER_OV_READ, req.sector, req.size_bytes);
    if (!p)
        return HV_EPROTO;
    p->block_id = req.block_id;
    repl_interval_add(
        &v->data.intervals, &p->iv, req.sector, req.size_bytes / DRBD_SECTOR_BYTES, false);
    p->wait.go = digest_go;
    digest_go(&p->wait);
    return 0;
}

int repl_recv_ov_result(struct repl *r, struct repl_volume *v, struct repl_packet *pk)
{
    struct drbd_block_ack ack;
    struct repl_peer_req *p;
    struct hv_reader rd;

    hv_reader_init(&rd, pk->sub, pk->sub_bytes);
    if (drbd_block_ack_decode(&rd, &ack))
        return repl_peer_lied(r, "short P_OV_RESULT");
    p = repl_peer_find(v, REPL_PEER_OV_READ, ack.sector, ack.size_bytes);
    if (!p || !p->replied)
        return repl_peer_lied(r, "P_OV_RESULT that nobody asked for");
    repl_peer_end(p);
    repl_ov_note(v, ack.sector, ack.size_bytes, ack.block_id != DRBD_OV_OUT_OF_SYNC);
    return 0;
}
