/* SPDX-License-Identifier: Apache-2.0 */
/* The activity log and the requests that wait for it (disk §3.4).  One transaction is written at a time:
 * first the bitmap pages of the extents it evicts, then the block with PREFLUSH and FUA. */
#include <string.h>

#include "repl_int.h"

/* The part of [from, end) that one actlog_begin() takes. */
static uint64_t chunk_sectors(uint64_t from, uint64_t end)
{
    uint64_t stop =
        (from / MD_AL_EXTENT_SECTORS + ACTLOG_REQUEST_EXTENTS_MAX) * MD_AL_EXTENT_SECTORS;

    return (stop < end ? stop : end) - from;
}

bool repl_al_pinned(const struct repl_volume *v, const struct repl_al_pin *pin)
{
    return pin->sectors > 0 && pin->gen == v->data.al_gen;
}

static void wait_full(struct repl_volume *v, struct repl_waiter *w)
{
    hv_list_push_back(&v->data.al_full, &w->link);
    repl_epoch_kick(v->r); /* extents become free with barrier acks */
}

bool repl_al_begin(struct repl_volume *v, struct repl_al_pin *pin, uint64_t sector,
    uint64_t sectors, struct repl_waiter *w)
{
    if (!v->al || !repl_disk_usable(v))
        return true;
    if (pin->gen != v->data.al_gen)
        *pin = (struct repl_al_pin){.sector = sector, .gen = v->data.al_gen};
    while (pin->sectors < sectors) {
        uint64_t n = chunk_sectors(sector + pin->sectors, sector + sectors);
        const struct actlog_block *block = NULL;

        switch (actlog_begin(v->al, sector + pin->sectors, (uint32_t)n, &block)) {
        case ACTLOG_READY:
            pin->sectors += n;
            break;
        case ACTLOG_JOURNAL:
            pin->sectors += n;
            hv_list_push_back(block->sealed ? &v->data.al_sealed : &v->data.al_open, &w->link);
            return false;
        case ACTLOG_FULL:
            wait_full(v, w);
            return false;
        case ACTLOG_SUSPENDED:
            return true;
        }
    }
    return true;
}

void repl_al_release(struct repl_volume *v, struct repl_al_pin *pin)
{
    uint64_t done = 0;
    bool freed = false;

    if (v->al && repl_al_pinned(v, pin)) {
        while (done < pin->sectors) {
            uint64_t n = chunk_sectors(pin->sector + done, pin->sector + pin->sectors);

            freed |= actlog_release(v->al, pin->sector + done, (uint32_t)n);
            done += n;
        }
    }
    pin->sectors = 0;
    if (freed) {
        repl_wake(v->r, &v->data.al_full);
        repl_wake(v->r, &v->data.rs_lock_wait);
    }
}

/* --- writing a transaction; callbacks of a disk that is gone find another generation --- */

static void *gen_arg(const struct repl_volume *v)
{
    return (void *)(uintptr_t)v->data.al_gen;
}

static bool is_stale(const struct repl_volume *v, const void *arg)
{
    return arg != gen_arg(v) || !v->data.al_block;
}

static void block_written(struct repl_volume *v, void *arg, int error, struct hv_buf *buf)
{
    const struct actlog_block *block = v->data.al_block;

    v->data.local_out--;
    if (is_stale(v, arg))
        return;
    if (error) {
        repl_disk_failed(v, REPL_DISK_META, v->layout.al_sector);
        return;
    }
    v->data.al_block = NULL;
    actlog_journaled(v->al, block);
    v->al_writes++;
    repl_wake(v->r, &v->data.al_sealed);
    repl_wake(v->r, &v->data.al_full);
}

static void write_block(struct repl_volume *v)
{
    const struct actlog_block *block = v->data.al_block;
    uint32_t flags = v->config.disk.md_flushes ? REPL_IO_PREFLUSH | REPL_IO_FUA : 0;

    memcpy(v->data.al_buf->data, block->bytes, MD_BLOCK_BYTES);
    v->data.al_buf->length_bytes = MD_BLOCK_BYTES;
    v->data.local_out++;
    repl_io(v, REPL_FX_MD_WRITE,
        v->layout.al_sector + (uint64_t)block->ring_block * MD_BLOCK_SECTORS,
        hv_buf_get(v->data.al_buf), 0, MD_BLOCK_BYTES, flags, block_written, gen_arg(v));
}

static void page_written(struct repl_volume *v, void *arg, int error)
{
    if (is_stale(v, arg))
        return;
    if (error) {
        repl_disk_failed(v, REPL_DISK_META, v->layout.bm_sector);
        return;
    }
    if (--v->data.al_pages == 0)
        write_block(v);
}

/* A crash after the extent has left the log on disk finds the bits of its page on disk. */
static void write_pages(struct repl_volume *v)
{
    const struct actlog_block *block = v->data.al_block;
    uint32_t last = UINT32_MAX;
    void *arg = gen_arg(v);

    v->data.al_pages = 1; /* held until all have been asked for */
    for (uint32_t i = 0; i < block->evicted_count && !is_stale(v, arg); i++) {
        uint32_t page = bitmap_page_of_al_extent(&v->bm, block->evicted[i]);

        if (page == UINT32_MAX || page == last)
            continue;
        last = page;
        v->data.al_pages++;
        repl_bm_write(v, page, page + 1, page_written, arg);
    }
    page_written(v, arg, 0);
}

static void data_flushed(struct repl_volume *v, void *arg, int error, struct hv_buf *buf)
{
    v->data.local_out--;
    if (is_stale(v, arg))
        return;
    if (error && error != HV_EUNSUPPORTED) {
        repl_disk_failed(v, REPL_DISK_WRITE, 0);
        return;
    }
    repl_clears_durable(v, v->data.al_clears);
    write_pages(v);
}

void repl_al_seal(struct repl_volume *v)
{
    if (!v->al || v->data.al_block || !repl_disk_usable(v))
        return;
    v->data.al_block = actlog_seal(v->al);
    if (!v->data.al_block)
        return;
    while (!hv_list_empty(&v->data.al_open)) {
        struct hv_list *n = v->data.al_open.next;

        hv_list_remove(n);
        hv_list_push_back(&v->data.al_sealed, n);
    }
    if (v->data.clears != v->data.clears_durable && v->data.al_block->evicted_count > 0) {
        /* The pages may say "in sync" of blocks that resync wrote and that are not durable. */
        v->data.al_clears = v->data.clears;
        v->data.local_out++;
        repl_io(v, REPL_FX_FLUSH, 0, NULL, 0, 0, 0, data_flushed, gen_arg(v));
        return;
    }
    write_pages(v);
}

/* What was pinned is void, and whoever waited goes on without this disk. */
void repl_al_disk_lost(struct repl_volume *v)
{
    v->data.al_gen++;
    v->data.al_block = NULL;
    v->data.al_pages = 0;
    if (v->al)
        actlog_reset(v->al);
    repl_wake(v->r, &v->data.al_open);
    repl_wake(v->r, &v->data.al_sealed);
    repl_wake(v->r, &v->data.al_full);
    repl_wake(v->r, &v->data.rs_lock_wait);
    repl_wake(v->r, &v->data.rs_wait);
}
