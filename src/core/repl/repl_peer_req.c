/* SPDX-License-Identifier: Apache-2.0 */
/* Things the peer asked for, and things we asked of it for resync and verify: their pool, their
 * buffers, and what all of them share. */
#include <string.h>

#include "repl_int.h"

int repl_range_check(
    struct repl_volume *v, const char *what, uint64_t sector, uint64_t bytes, uint64_t max_bytes)
{
    uint64_t sectors = bytes / DRBD_SECTOR_BYTES;

    if (bytes == 0 || bytes % DRBD_SECTOR_BYTES != 0 || bytes > max_bytes)
        return repl_peer_lied(v->r, "%s of %llu bytes", what, (unsigned long long)bytes);
    if (sector > v->size_sectors || sectors > v->size_sectors - sector)
        return repl_peer_lied(v->r,
            "%s beyond the end of the device: sector %llu+%llu, it has %llu", what,
            (unsigned long long)sector, (unsigned long long)sectors,
            (unsigned long long)v->size_sectors);
    return 0;
}

struct repl_peer_req *repl_peer_new(
    struct repl_volume *v, enum repl_peer_kind kind, uint64_t sector, uint32_t bytes)
{
    struct repl_data *d = &v->r->data;
    struct repl_peer_req *p = repl_pool_get(&d->peer_reqs);

    if (!p) {
        repl_log(
            v->r, HV_LOG_ERROR, "too many requests of the peer under way (%u)", REPL_PEER_REQS);
        return NULL;
    }
    memset(p, 0, sizeof *p);
    hv_list_init(&p->wait.link);
    hv_list_init(&p->all);
    hv_list_push_back(&d->peer_all, &p->all);
    p->v = v;
    p->kind = kind;
    p->sector = sector;
    p->length_bytes = bytes;
    if (kind == REPL_PEER_RS_WANT || kind == REPL_PEER_OV_WANT)
        d->own_reqs++;
    return p;
}

static void uncharge(struct repl_peer_req *p)
{
    struct repl_data *d = &p->v->r->data;

    d->peer_bytes -= p->charged_bytes;
    if (p->kind != REPL_PEER_WRITE)
        d->peer_read_bytes -= p->charged_bytes;
    p->charged_bytes = 0;
}

void repl_peer_charge(struct repl_peer_req *p, uint32_t bytes)
{
    struct repl_data *d = &p->v->r->data;

    p->charged_bytes += bytes;
    d->peer_bytes += bytes;
    if (p->kind != REPL_PEER_WRITE)
        d->peer_read_bytes += bytes;
}

void repl_peer_end(struct repl_peer_req *p)
{
    struct repl_volume *v = p->v;
    struct repl_data *d = &v->r->data;
    bool waited = p->iv.active && p->iv.waited;

    hv_assert(!p->io_out);
    if (p->kind == REPL_PEER_RS_WANT || p->kind == REPL_PEER_OV_WANT)
        d->own_reqs--;
    repl_interval_remove(&p->iv);
    if (waited)
        repl_wake(v->r, &v->data.iv_wait);
    if (p->locked)
        repl_rs_unlock(v, p->sector);
    repl_al_release(v, &p->pin);
    repl_peer_drop_buf(p);
    hv_list_remove(&p->wait.link);
    hv_list_remove(&p->all);
    repl_pool_put(&d->peer_reqs, p);
    repl_peer_reads_wake(v->r);
}

void repl_peer_drop_buf(struct repl_peer_req *p)
{
    hv_buf_put(p->buf);
    p->buf = NULL;
    uncharge(p);
}

/* Half of the room is for what the peer writes; data that TCP has not taken yet counts as ours. */
static bool room_to_read(const struct repl *r, uint32_t bytes)
{
    const struct repl_data *d = &r->data;
    uint64_t used = d->peer_read_bytes + repl_sock_queued_bytes(r, DRBD_SOCK_DATA);

    return used == 0 || used + bytes <= d->peer_bytes_max / 2;
}

bool repl_peer_read_buf(struct repl_peer_req *p)
{
    struct repl *r = p->v->r;

    if (room_to_read(r, p->length_bytes)) {
        p->buf = hv_buf_alloc(r->config.bufs, p->length_bytes);
        if (p->buf) {
            repl_peer_charge(p, p->length_bytes);
            return true;
        }
    }
    hv_list_push_back(&r->data.reads_wait, &p->wait.link);
    return false;
}

void repl_peer_reads_wake(struct repl *r)
{
    if (!hv_list_empty(&r->data.reads_wait) &&
        room_to_read(
            r, hv_list_first(&r->data.reads_wait, struct repl_peer_req, wait.link)->length_bytes))
        repl_wake(r, &r->data.reads_wait);
}

void repl_peer_io(struct repl_peer_req *p, enum repl_effect_kind kind, uint32_t flags,
    void (*done)(struct repl_volume *v, void *arg, int error, struct hv_buf *buf))
{
    struct repl_volume *v = p->v;

    p->io_out = true;
    v->r->data.peer_io++;
    v->data.local_out++;
    if (kind == REPL_FX_READ)
        v->read_sectors += p->length_bytes / DRBD_SECTOR_BYTES;
    else
        v->write_sectors += p->length_bytes / DRBD_SECTOR_BYTES;
    repl_io(v, kind, p->sector, p->buf ? hv_buf_get(p->buf) : NULL, p->offset_bytes,
        p->length_bytes, flags, done, p);
}

void repl_peer_io_over(struct repl_peer_req *p)
{
    p->io_out = false;
    p->v->r->data.peer_io--;
    p->v->data.local_out--;
}

struct want {
    enum repl_peer_kind kind;
    uint32_t bytes;
};

static bool is_wanted(struct repl_interval *iv, void *arg)
{
    const struct want *want = arg;
    const struct repl_peer_req *p;

    if (iv->writing) /* an application's, or one that is past being looked for */
        return false;
    p = hv_container_of(iv, struct repl_peer_req, iv);
    return p->kind == want->kind && p->length_bytes == want->bytes && !p->dead;
}

struct repl_peer_req *repl_peer_find(
    struct repl_volume *v, enum repl_peer_kind kind, uint64_t sector, uint32_t bytes)
{
    struct want want = {.kind = kind, .bytes = bytes};
    struct repl_interval *iv = repl_interval_exact(
        &v->data.intervals, sector, bytes / DRBD_SECTOR_BYTES, is_wanted, &want);

    return iv ? hv_container_of(iv, struct repl_peer_req, iv) : NULL;
}

/* What is on the disk's queue is waited for and then forgotten; all else is forgotten now. */
void repl_peer_disconnected(struct repl *r)
{
    struct hv_list *n, *tmp;

    hv_list_each_safe(n, tmp, &r->data.peer_all)
    {
        struct repl_peer_req *p = hv_container_of(n, struct repl_peer_req, all);

        p->dead = true;
        p->epoch = NULL;
        if (!p->io_out)
            repl_peer_end(p);
    }
    for (uint32_t i = 0; i < r->config.volumes; i++) {
        r->volumes[i].data.rs.pending = 0;
        r->volumes[i].data.rs.pending_sectors = 0;
        repl_rs_unlock_half(&r->volumes[i]);
    }
}

/* --- bulk data --- */

static int place_reply(
    struct repl *r, struct repl_volume *v, struct repl_packet *p, const struct drbd_data *data)
{
    struct repl_req *q = repl_req_find(v, data->block_id);

    if (!q || q->kind != REPL_APP_READ || q->remote != REPL_PART_PENDING ||
        q->sector != data->sector || q->length_bytes != p->data_bytes)
        return repl_peer_lied(r, "P_DATA_REPLY that nobody asked for");
    p->buf = hv_buf_get(q->op->buf);
    p->buf_offset_bytes = q->offset_bytes;
    return 0;
}

int repl_data_place(struct repl *r, struct repl_volume *v, struct repl_packet *p)
{
    struct drbd_data data;
    struct hv_reader rd;
    int rc;

    hv_reader_init(&rd, p->sub, p->sub_bytes);
    if (!v || drbd_data_decode(&rd, &data))
        return repl_peer_lied(r, "short %s", drbd_packet_name(p->command));
    rc = repl_range_check(v, drbd_packet_name(p->command), data.sector, p->data_bytes,
        drbd_bio_bytes_max(r->agreed_version));
    if (rc)
        return rc;
    if (p->command == P_DATA_REPLY)
        return place_reply(r, v, p, &data);
    if (p->command == P_RS_DATA_REPLY &&
        !repl_peer_find(v, REPL_PEER_RS_WANT, data.sector, p->data_bytes))
        return repl_peer_lied(r, "P_RS_DATA_REPLY that nobody asked for");
    p->buf = hv_buf_alloc(r->config.bufs, p->data_bytes);
    p->buf_offset_bytes = 0;
    if (!p->buf) {
        repl_log(r, HV_LOG_ERROR, "no buffer for %u bytes of %s, dropping the connection",
            p->data_bytes, drbd_packet_name(p->command));
        return HV_EPROTO;
    }
    return 0;
}

int repl_digest_check(struct repl *r, const struct repl_packet *p)
{
    uint8_t own[HV_DIGEST_BYTES_MAX];
    int n;

    if (p->digest_bytes == 0)
        return 0;
    n = r->config.digest->hash(
        r->peer_integrity_alg, p->buf->data + p->buf_offset_bytes, p->data_bytes, own);
    if (n < 0 || (uint32_t)n != p->digest_bytes || memcmp(own, p->digest, p->digest_bytes) != 0)
        return repl_peer_lied(r, "Digest mismatch in %s", drbd_packet_name(p->command));
    return 0;
}

uint32_t repl_integrity_digest(struct repl *r, const struct hv_buf *buf, uint32_t offset_bytes,
    uint32_t length_bytes, uint8_t *out)
{
    int n;

    if (!r->config.net.integrity_alg[0] || !r->config.digest)
        return 0;
    n = r->config.digest->hash(
        r->config.net.integrity_alg, buf->data + offset_bytes, length_bytes, out);
    return n > 0 ? (uint32_t)n : 0;
}

void repl_send_data_reply(struct repl_volume *v, unsigned command, uint64_t sector,
    uint64_t block_id, struct hv_buf *buf, uint32_t offset_bytes, uint32_t length_bytes)
{
    struct drbd_data data = {.sector = sector, .block_id = block_id};
    uint8_t sub[DRBD_SUB_BYTES_MAX], digest[HV_DIGEST_BYTES_MAX];
    struct hv_writer w;

    hv_writer_init(&w, sub, sizeof sub);
    drbd_data_encode(&w, &data);
    hv_write_bytes(
        &w, digest, repl_integrity_digest(v->r, buf, offset_bytes, length_bytes, digest));
    v->send_sectors += length_bytes / DRBD_SECTOR_BYTES;
    repl_send(v->r, DRBD_SOCK_DATA, v->config.vnr, command, sub, (uint32_t)hv_writer_length(&w),
        buf, offset_bytes, length_bytes);
}
