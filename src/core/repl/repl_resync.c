/* SPDX-License-Identifier: Apache-2.0 */
/* Resync: the target asks, writes and acknowledges; the source counts (wire §11). */
#include <string.h>

#include "repl_int.h"

enum { QUEUE_BYTES_MAX = 256 * 1024 /* of requests or data not taken by TCP yet */ };

uint64_t repl_rs_left_bits(const struct repl_volume *v)
{
    return v->data.rs.verify ? v->data.rs.ov_left_bits : v->bm.weight;
}

void repl_rs_progress(struct repl_volume *v)
{
    struct repl_resync *rs = &v->data.rs;

    if (!rs->active)
        return;
    rs->changed_ms = v->r->now_ms;
    if (v->r->now_ms - rs->mark_ms[rs->mark] >= REPL_RS_MARK_MS) {
        rs->mark = (rs->mark + 1) % REPL_RS_MARKS;
        rs->mark_ms[rs->mark] = v->r->now_ms;
        rs->mark_left[rs->mark] = repl_rs_left_bits(v);
    }
    if (rs->source && rs->peer_done)
        repl_rs_check(v);
}

/* --- our own requests --- */

void repl_rs_wanted(struct repl_peer_req *p)
{
    struct repl_resync *rs = &p->v->data.rs;
    uint64_t sectors = p->length_bytes / DRBD_SECTOR_BYTES;
    uint64_t blocks = (p->length_bytes + BITMAP_BIT_BYTES - 1) / BITMAP_BIT_BYTES;

    rs->pending++;
    rs->pending_sectors += sectors;
    rs->in_flight_sectors += sectors;
    rs->budget_blocks -= blocks < rs->budget_blocks ? blocks : rs->budget_blocks;
}

void repl_rs_unwant(struct repl_peer_req *p)
{
    struct repl_resync *rs = &p->v->data.rs;
    uint64_t sectors = p->length_bytes / DRBD_SECTOR_BYTES;

    if (!p->dead && rs->pending > 0) {
        rs->pending--;
        rs->pending_sectors -= sectors < rs->pending_sectors ? sectors : rs->pending_sectors;
    }
    repl_peer_end(p);
}

bool repl_rs_may_ask(const struct repl_volume *v)
{
    const struct repl *r = v->r;
    const struct repl_resync *rs = &v->data.rs;

    return rs->budget_blocks > 0 && r->data.own_reqs < REPL_PEER_REQS_OWN &&
           rs->pending_sectors < (uint64_t)r->config.net.max_buffers / 2 * BITMAP_BIT_SECTORS &&
           repl_sock_queued_bytes(r, DRBD_SOCK_DATA) < QUEUE_BYTES_MAX;
}

/* --- start --- */

static void count_pending(struct repl_volume *v)
{
    struct repl_resync *rs = &v->data.rs;
    struct hv_list *n;

    /* Requests of a run that was cut short on this same connection are still answered. */
    hv_list_each(n, &v->r->data.peer_all)
    {
        const struct repl_peer_req *p = hv_container_of(n, struct repl_peer_req, all);

        if (p->v == v && !p->dead &&
            (p->kind == REPL_PEER_RS_WANT || p->kind == REPL_PEER_OV_WANT)) {
            rs->pending++;
            rs->pending_sectors += p->length_bytes / DRBD_SECTOR_BYTES;
        }
    }
}

void repl_rs_begin(struct repl_volume *v, bool verify, uint64_t total_bits)
{
    struct repl_resync *rs = &v->data.rs;
    uint32_t serial = rs->serial + 1;

    memset(rs, 0, sizeof *rs);
    rs->serial = serial;
    rs->active = true;
    rs->verify = verify;
    rs->source = v->state.conn == C_SYNC_SOURCE || v->state.conn == C_PAUSED_SYNC_S;
    rs->stage = RS_RUN;
    rs->total_bits = total_bits;
    rs->start_ms = rs->changed_ms = v->r->now_ms;
    for (unsigned i = 0; i < REPL_RS_MARKS; i++) {
        rs->mark_ms[i] = v->r->now_ms;
        rs->mark_left[i] = total_bits;
    }
    if (v->state.conn == C_PAUSED_SYNC_S || v->state.conn == C_PAUSED_SYNC_T)
        rs->paused_since_ms = v->r->now_ms;
    count_pending(v);
    repl_rate_reset(v);
}

static bool is_current(const struct repl_volume *v, const void *arg)
{
    return v->data.rs.active && arg == (void *)(uintptr_t)v->data.rs.serial;
}

static void *serial_arg(const struct repl_volume *v)
{
    return (void *)(uintptr_t)v->data.rs.serial;
}

static void bits_durable(struct repl_volume *v, void *arg, int error)
{
    if (!is_current(v, arg) || error)
        return;
    v->data.rs.saved = true;
    repl_volume_timer_set(v, REPL_VT_RESYNC, v->r->now_ms);
}

static void bits_written(struct repl_volume *v, void *arg, int error)
{
    if (!is_current(v, arg))
        return;
    if (error) {
        repl_disk_failed(v, REPL_DISK_META, v->layout.bm_sector);
        return;
    }
    repl_md_mark(v);
    repl_md_sync(v, bits_durable, arg); /* flushes the pages as well */
}

static bool wants_csums(const struct repl_volume *v)
{
    const struct repl_net_config *net = &v->r->config.net;

    return net->csums_alg[0] && v->r->agreed_version >= 89 &&
           (!net->csums_after_crash_only || v->ctl.crashed_primary);
}

void repl_resync_start(struct repl_volume *v)
{
    struct repl_resync *rs = &v->data.rs;

    repl_rs_begin(v, false, v->bm.weight);
    rs->csums = wants_csums(v);
    repl_volume_log(v, HV_LOG_INFO, "Began resync as %s (will sync %llu KB [%llu bits set]).",
        drbd_conn_name(v->state.conn), (unsigned long long)rs->total_bits * 4,
        (unsigned long long)rs->total_bits);
    /* The target's bits must be on disk before the first acknowledgement lets the source clear its own:
     * they are then the only mark on what our cache may still lose. */
    if (!rs->source)
        repl_bm_write(v, 0, v->bm.pages, bits_written, serial_arg(v));
}

static void cancel(struct repl_volume *v)
{
    v->data.rs.active = false;
    v->data.rs.serial++;
    repl_volume_timer_clear(v, REPL_VT_RESYNC);
    repl_rs_unlock_half(v);
}

static bool is_paused(enum drbd_conn conn)
{
    return conn == C_PAUSED_SYNC_S || conn == C_PAUSED_SYNC_T;
}

void repl_rs_after_state(struct repl_volume *v, struct drbd_state from, struct drbd_state to)
{
    struct repl_resync *rs = &v->data.rs;
    uint64_t now = v->r->now_ms;

    if (!rs->active)
        return;
    if (to.conn < C_SYNC_SOURCE || to.conn > C_PAUSED_SYNC_T) {
        cancel(v);
    } else if (is_paused(to.conn) && !is_paused(from.conn)) {
        rs->paused_since_ms = now;
        repl_rs_unlock_half(v);
    } else if (!is_paused(to.conn) && is_paused(from.conn)) {
        rs->paused_ms += now - rs->paused_since_ms;
        if (rs->saved)
            repl_volume_timer_set(v, REPL_VT_RESYNC, now);
    }
}

/* --- the target asks --- */

static uint32_t run_bytes_max(const struct repl_volume *v, bool *thin)
{
    uint32_t max = drbd_bio_bytes_max(v->r->agreed_version);
    uint32_t granularity = v->config.disk.rs_discard_granularity_bytes;

    if (v->peer_max_bio_bytes >= BITMAP_BIT_BYTES && v->peer_max_bio_bytes < max)
        max = (uint32_t)v->peer_max_bio_bytes & ~(uint32_t)(BITMAP_BIT_BYTES - 1);
    *thin = granularity >= BITMAP_BIT_BYTES && granularity <= max &&
            (v->r->agreed_features & DRBD_FF_THIN_RESYNC);
    return *thin ? granularity : max;
}

/* wire §11.1: a run of dirty blocks in one extent, aligned to the next power of two above its size. */
static uint32_t run_bytes(const struct repl_volume *v, uint64_t bit, uint32_t max)
{
    uint64_t blocks = 1, align = 2;

    while ((blocks + 1) * BITMAP_BIT_BYTES <= max) {
        if (bit % align != 0 || (bit + blocks) % BITMAP_EXTENT_BITS == 0 ||
            bit + blocks >= v->bm.bits || !bitmap_test_bit(&v->bm, bit + blocks))
            break;
        blocks++;
        if (align <= blocks)
            align *= 2;
    }
    if ((bit + blocks) * BITMAP_BIT_SECTORS > v->size_sectors)
        return (uint32_t)((v->size_sectors - bit * BITMAP_BIT_SECTORS) * DRBD_SECTOR_BYTES);
    return (uint32_t)(blocks * BITMAP_BIT_BYTES);
}

static void give_up(struct repl_peer_req *p)
{
    struct repl_volume *v = p->v;

    v->data.rs.failed_bits += (p->length_bytes + BITMAP_BIT_BYTES - 1) / BITMAP_BIT_BYTES;
    v->data.rs.received_sectors += p->length_bytes / DRBD_SECTOR_BYTES;
    repl_rs_unwant(p);
    repl_rs_check(v);
}

static void csum_read(struct repl_volume *v, void *arg, int error, struct hv_buf *buf)
{
    struct repl_peer_req *p = arg;
    uint64_t sector = p->sector;
    int n;

    repl_peer_io_over(p);
    hv_buf_put(buf);
    if (p->dead) {
        repl_peer_end(p);
    } else if (error) {
        give_up(p);
    } else {
        n = v->r->config.digest->hash(
            v->r->config.net.csums_alg, p->buf->data, p->length_bytes, p->digest);
        repl_peer_drop_buf(p);
        if (n > 0)
            repl_send_block_req(v, P_CSUM_RS_REQUEST, p->sector, DRBD_ID_SYNCER, p->length_bytes,
                p->digest, (uint32_t)n);
        else
            give_up(p);
    }
    if (error)
        repl_disk_failed(v, REPL_DISK_READ, sector);
}

static void csum_go(struct repl_waiter *w)
{
    struct repl_peer_req *p = hv_container_of(w, struct repl_peer_req, wait);

    if (!repl_disk_usable(p->v))
        give_up(p);
    else if (p->buf || repl_peer_read_buf(p))
        repl_peer_io(p, REPL_FX_READ, 0, csum_read);
}

static bool ask_one(struct repl_volume *v)
{
    struct repl_resync *rs = &v->data.rs;
    uint64_t bit = bitmap_next_set(&v->bm, rs->cursor_bit), sector = bit * BITMAP_BIT_SECTORS;
    struct repl_peer_req *p;
    uint32_t bytes, max;
    bool thin;

    if (bit == BITMAP_NONE) {
        rs->cursor_bit = v->bm.bits;
        return false;
    }
    if (!repl_rs_try_lock(v, sector))
        return false;
    max = run_bytes_max(v, &thin);
    bytes = run_bytes(v, bit, max);
    p = repl_peer_new(v, REPL_PEER_RS_WANT, sector, bytes);
    if (!p) {
        repl_rs_unlock(v, sector);
        return false;
    }
    p->locked = true;
    repl_interval_add(&v->data.intervals, &p->iv, sector, bytes / DRBD_SECTOR_BYTES, false);
    rs->cursor_bit = bit + (bytes + BITMAP_BIT_BYTES - 1) / BITMAP_BIT_BYTES;
    repl_rs_wanted(p);
    if (rs->csums) {
        p->wait.go = csum_go;
        csum_go(&p->wait);
    } else {
        repl_send_block_req(v, thin && bytes == max ? P_RS_THIN_REQ : P_RS_DATA_REQUEST, sector,
            DRBD_ID_SYNCER, bytes, NULL, 0);
    }
    return true;
}

static bool may_run(const struct repl_volume *v)
{
    const struct repl_resync *rs = &v->data.rs;

    return rs->active && !rs->verify && !rs->source && rs->saved && rs->stage == RS_RUN &&
           v->state.conn == C_SYNC_TARGET && repl_disk_usable(v);
}

static void ask(struct repl_volume *v)
{
    while (may_run(v) && repl_rs_may_ask(v) && ask_one(v))
        continue;
}

void repl_rs_tick(struct repl_volume *v)
{
    struct repl_resync *rs = &v->data.rs;

    if (!may_run(v))
        return;
    rs->budget_blocks = repl_rate_blocks(v);
    if (rs->budget_blocks == 0 && rs->pending == 0)
        rs->budget_blocks = 1; /* slow, but never for ever */
    if (repl_rate_throttled(v))
        rs->budget_blocks = 0;
    /* Cancelled requests, and bits set meanwhile. */
    if (rs->cursor_bit >= v->bm.bits && rs->pending == 0 && v->bm.weight > rs->failed_bits)
        rs->cursor_bit = 0;
    repl_volume_timer_set(v, REPL_VT_RESYNC, v->r->now_ms + REPL_RS_TICK_MS);
    ask(v);
    repl_rs_progress(v);
    repl_rs_check(v);
}

/* --- what comes back --- */

static void write_done(struct repl_volume *v, void *arg, int error, struct hv_buf *buf)
{
    struct repl_peer_req *p = arg;
    uint64_t sector = p->sector;
    uint32_t bytes = p->length_bytes;

    repl_peer_io_over(p);
    if (p->dead) {
        repl_peer_end(p);
    } else if (error) {
        repl_send_ack(v, P_NEG_ACK, sector, DRBD_ID_SYNCER, bytes);
        give_up(p);
    } else {
        v->data.unflushed = true;
        repl_rs_unwant(p);
        repl_oos_clear(v, sector, bytes / DRBD_SECTOR_BYTES, true);
        repl_send_ack(v, P_RS_WRITE_ACK, sector, DRBD_ID_SYNCER, bytes);
        ask(v);
        repl_rs_check(v);
    }
    if (error)
        repl_disk_failed(v, REPL_DISK_WRITE, sector);
}

static void write_go(struct repl_waiter *w)
{
    struct repl_peer_req *p = hv_container_of(w, struct repl_peer_req, wait);
    struct repl_volume *v = p->v;
    struct repl_interval *iv = repl_interval_conflict(
        &v->data.intervals, p->sector, p->length_bytes / DRBD_SECTOR_BYTES, &p->iv);

    if (iv) {
        iv->waited = true;
        hv_list_push_back(&v->data.iv_wait, &w->link);
        return;
    }
    if (!repl_disk_usable(v)) {
        repl_send_ack(v, P_NEG_ACK, p->sector, DRBD_ID_SYNCER, p->length_bytes);
        give_up(p);
        return;
    }
    p->iv.writing = true;
    if (p->command == P_RS_DEALLOCATED)
        repl_peer_io(p, REPL_FX_ZEROES, REPL_IO_MAY_UNMAP, write_done);
    else
        repl_peer_io(p, REPL_FX_WRITE, 0, write_done);
}

/* One answer is enough for each request. */
static struct repl_peer_req *wanted(
    struct repl_volume *v, unsigned command, uint64_t sector, uint32_t bytes)
{
    struct repl_peer_req *p = repl_peer_find(v, REPL_PEER_RS_WANT, sector, bytes);

    if (!p || p->have_data || p->io_out) {
        (void)repl_peer_lied(v->r, "%s that nobody asked for: sector %llu, %u bytes",
            drbd_packet_name(command), (unsigned long long)sector, bytes);
        return NULL;
    }
    return p;
}

static void write_begin(struct repl_peer_req *p, unsigned command)
{
    p->have_data = true;
    p->command = command;
    p->v->data.rs.received_sectors += p->length_bytes / DRBD_SECTOR_BYTES;
    p->wait.go = write_go;
    write_go(&p->wait);
}

int repl_recv_rs_reply(struct repl *r, struct repl_volume *v, struct repl_packet *pk)
{
    struct repl_peer_req *p = NULL;
    struct drbd_data data;
    struct hv_reader rd;

    hv_reader_init(&rd, pk->sub, pk->sub_bytes);
    if (!drbd_data_decode(&rd, &data))
        p = wanted(v, pk->command, data.sector, pk->data_bytes);
    if (!p || repl_digest_check(r, pk)) {
        hv_buf_put(pk->buf);
        pk->buf = NULL;
        return HV_EPROTO;
    }
    p->buf = pk->buf;
    p->offset_bytes = pk->buf_offset_bytes;
    pk->buf = NULL;
    repl_peer_charge(p, pk->data_bytes);
    v->recv_sectors += pk->data_bytes / DRBD_SECTOR_BYTES;
    write_begin(p, pk->command);
    return 0;
}

int repl_recv_rs_deallocated(struct repl *r, struct repl_volume *v, struct repl_packet *pk)
{
    struct drbd_block_desc desc;
    struct repl_peer_req *p;
    struct hv_reader rd;

    hv_reader_init(&rd, pk->sub, pk->sub_bytes);
    if (drbd_block_desc_decode(&rd, &desc))
        return repl_peer_lied(r, "short P_RS_DEALLOCATED");
    p = wanted(v, pk->command, desc.sector, desc.size_bytes);
    if (!p)
        return HV_EPROTO;
    write_begin(p, pk->command);
    return 0;
}

static int is_in_sync(struct repl_volume *v, const struct drbd_block_ack *ack)
{
    struct repl_peer_req *p = wanted(v, P_RS_IS_IN_SYNC, ack->sector, ack->size_bytes);

    if (!p)
        return HV_EPROTO;
    v->data.rs.same_bits += ack->size_bytes / BITMAP_BIT_BYTES;
    v->data.rs.received_sectors += ack->size_bytes / DRBD_SECTOR_BYTES;
    repl_rs_unwant(p);
    /* Equal, but perhaps only in a volatile cache. */
    repl_oos_clear(v, ack->sector, ack->size_bytes / DRBD_SECTOR_BYTES, true);
    ask(v);
    repl_rs_check(v);
    return 0;
}

/* The target's answers to the source, and P_RS_IS_IN_SYNC the other way. */
int repl_recv_rs_ack(struct repl *r, struct repl_volume *v, struct repl_packet *pk)
{
    struct drbd_block_ack ack;
    struct hv_reader rd;
    bool syncing = v->state.conn >= C_SYNC_SOURCE && v->state.conn <= C_AHEAD;

    hv_reader_init(&rd, pk->sub, pk->sub_bytes);
    if (drbd_block_ack_decode(&rd, &ack))
        return repl_peer_lied(r, "short %s", drbd_packet_name(pk->command));
    if (pk->command == P_RS_IS_IN_SYNC)
        return is_in_sync(v, &ack);
    if (pk->command == P_NEG_ACK) {
        v->data.rs.failed_bits += (ack.size_bytes + BITMAP_BIT_BYTES - 1) / BITMAP_BIT_BYTES;
        repl_rs_check(v);
        return 0;
    }
    if (pk->command != P_RS_WRITE_ACK)
        return repl_peer_lied(r, "%s for a resync write", drbd_packet_name(pk->command));
    if (syncing)
        repl_oos_clear(v, ack.sector, ack.size_bytes / DRBD_SECTOR_BYTES, false);
    return 0;
}

/* P_NEG_RS_DREPLY, P_RS_CANCEL: to resync and to verify requests alike. */
int repl_recv_rs_neg(struct repl *r, struct repl_volume *v, struct repl_packet *pk)
{
    struct drbd_block_ack ack;
    struct repl_peer_req *p;
    struct hv_reader rd;

    hv_reader_init(&rd, pk->sub, pk->sub_bytes);
    if (drbd_block_ack_decode(&rd, &ack))
        return repl_peer_lied(r, "short %s", drbd_packet_name(pk->command));
    p = repl_peer_find(v, REPL_PEER_OV_WANT, ack.sector, ack.size_bytes);
    if (p && !p->have_data) {
        repl_rs_unwant(p);
        repl_ov_note(v, ack.sector, ack.size_bytes, true);
        return 0;
    }
    p = wanted(v, pk->command, ack.sector, ack.size_bytes);
    if (!p)
        return HV_EPROTO;
    if (pk->command == P_NEG_RS_DREPLY) {
        give_up(p);
    } else {
        v->data.rs.received_sectors += ack.size_bytes / DRBD_SECTOR_BYTES;
        repl_rs_unwant(p);
        repl_rs_check(v);
    }
    return 0;
}
