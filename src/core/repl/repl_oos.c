/* SPDX-License-Identifier: Apache-2.0 */
/* Out-of-sync bookkeeping: who sets and clears bits, and P_OUT_OF_SYNC (wire §8, §9.1). */
#include "repl_int.h"

enum { BITMAP_SAVE_MS = 2000 };

uint64_t repl_oos_set(struct repl_volume *v, uint64_t sector, uint64_t sectors)
{
    /* Without a disk there is no bitmap; the peer keeps the account (wire §9.3). */
    return v->bm.bits ? bitmap_set_sectors(&v->bm, sector, sectors) : 0;
}

void repl_clears_durable(struct repl_volume *v, uint64_t clears)
{
    if (clears > v->data.clears_durable)
        v->data.clears_durable = clears;
}

static void bitmap_saved(struct repl_volume *v, void *arg, int error)
{
    v->data.bm_saving = false;
    if (!v->data.bm_save_again)
        return;
    v->data.bm_save_again = false;
    repl_bitmap_save(v);
}

static void data_flushed(struct repl_volume *v, void *arg, int error, struct hv_buf *buf)
{
    v->data.local_out--;
    if ((error && error != HV_EUNSUPPORTED) || !repl_disk_usable(v)) {
        v->data.bm_saving = v->data.bm_save_again = false;
        return;
    }
    repl_clears_durable(v, v->data.save_clears);
    repl_bm_write(v, 0, v->bm.pages, bitmap_saved, NULL);
}

/* The data first: a bit that is clear on disk while the block is still in a volatile cache would be a
 * difference that nobody knows of after a power failure. */
void repl_bitmap_save(struct repl_volume *v)
{
    if (!repl_disk_usable(v))
        return;
    if (v->data.bm_saving) {
        v->data.bm_save_again = true;
        return;
    }
    v->data.bm_saving = true;
    v->data.bm_saved_ms = v->r->now_ms;
    if (v->data.clears != v->data.clears_durable) {
        v->data.save_clears = v->data.clears;
        v->data.local_out++;
        repl_io(v, REPL_FX_FLUSH, 0, NULL, 0, 0, 0, data_flushed, NULL);
        return;
    }
    repl_bm_write(v, 0, v->bm.pages, bitmap_saved, NULL);
}

void repl_oos_clear(struct repl_volume *v, uint64_t sector, uint64_t sectors, bool written)
{
    if (!v->bm.bits || bitmap_clear_sectors(&v->bm, sector, sectors) == 0)
        return;
    if (written)
        v->data.clears++;
    repl_rs_progress(v);
    /* Now and then what resync has achieved is written, so that a crash does not begin it anew
     * (disk §4). */
    if (v->data.rs.active && v->data.rs.stage == RS_RUN && !v->data.bm_saving &&
        v->r->now_ms - v->data.bm_saved_ms >= BITMAP_SAVE_MS &&
        bitmap_extent_weight(&v->bm, sector / MD_RS_EXTENT_SECTORS) == 0)
        repl_bitmap_save(v);
}

void repl_oos_send(struct repl_volume *v, uint64_t sector, uint32_t bytes)
{
    struct drbd_block_desc desc = {.sector = sector, .size_bytes = bytes};
    uint8_t sub[DRBD_SUB_BYTES_MAX];
    struct hv_writer w;

    hv_writer_init(&w, sub, sizeof sub);
    drbd_block_desc_encode(&w, &desc);
    repl_send(v->r, DRBD_SOCK_DATA, v->config.vnr, P_OUT_OF_SYNC, sub,
        (uint32_t)hv_writer_length(&w), NULL, 0, 0);
}

/* Setting a bit too many costs a needless copy, so it is done in every state. */
int repl_recv_out_of_sync(struct repl *r, struct repl_volume *v, struct repl_packet *p)
{
    struct drbd_block_desc desc;
    struct hv_reader rd;
    int rc;

    hv_reader_init(&rd, p->sub, p->sub_bytes);
    if (drbd_block_desc_decode(&rd, &desc))
        return repl_peer_lied(r, "short P_OUT_OF_SYNC");
    rc = repl_range_check(v, "P_OUT_OF_SYNC", desc.sector, desc.size_bytes, DRBD_DISCARD_BYTES_MAX);
    if (rc)
        return rc;
    repl_oos_set(v, desc.sector, desc.size_bytes / DRBD_SECTOR_BYTES);
    return 0;
}
