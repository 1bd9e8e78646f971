/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "hv_assert.h"
#include "vol.h"

enum { IO_CHUNK = 64, MD_INDEX_INTERNAL = -3, MD_INDEX_FLEXIBLE = -2 };

/* One operation in flight.  They are made in chunks and never given back: as many as there ever were
 * at one time, which the engine's pools bound. */
struct vol_io {
    struct store_io io;
    struct vol_volume *volume;
    uint64_t token;
    struct hv_buf *buf;
    bool is_read;
    struct hv_list link;
};

static struct vol_io *io_take(struct vol *v)
{
    if (hv_list_empty(&v->free_ios)) {
        struct vol_io *chunk = calloc(IO_CHUNK, sizeof *chunk);
        hv_assert(chunk);
        for (int i = 0; i < IO_CHUNK; i++)
            hv_list_push_back(&v->free_ios, &chunk[i].link);
    }
    struct vol_io *io = hv_list_first(&v->free_ios, struct vol_io, link);
    hv_list_remove(&io->link);
    return io;
}

static void io_end(struct vol *v, struct vol_io *io, int error)
{
    struct repl_event ev = {.kind = REPL_EV_IO_DONE, .token = io->token, .error = error};

    if (io->is_read)
        ev.io.buf = io->buf;
    else
        hv_buf_put(io->buf);
    io->buf = NULL;
    hv_list_push_front(&v->free_ios, &io->link);
    vol_event(v, &ev);
}

static void io_done(struct store_io *store_io, int error)
{
    struct vol_io *io = hv_container_of(store_io, struct vol_io, io);
    struct vol_volume *volume = io->volume;

    volume->io_in_flight--;
    if (volume->close_wanted && !volume->io_in_flight)
        vol_disk_close(volume);
    io_end(volume->vol, io, error);
}

static uint32_t store_flags(uint32_t flags)
{
    return (flags & REPL_IO_FUA ? STORE_FUA : 0) | (flags & REPL_IO_PREFLUSH ? STORE_PREFLUSH : 0) |
           (flags & REPL_IO_MAY_UNMAP ? STORE_MAY_UNMAP : 0);
}

void vol_disk_effect(struct vol *v, struct repl_effect *fx)
{
    struct vol_volume *volume = &v->volume[fx->io.volume];
    bool meta = fx->kind == REPL_FX_MD_READ || fx->kind == REPL_FX_MD_WRITE;
    struct store *s = meta ? volume->meta : volume->data;
    struct vol_io *io = io_take(v);
    uint8_t *memory = fx->io.buf ? fx->io.buf->data + fx->io.offset_bytes : NULL;
    uint32_t flags = store_flags(fx->io.flags);

    io->io.done = io_done;
    io->volume = volume;
    io->token = fx->token;
    io->buf = fx->io.buf;
    io->is_read = fx->kind == REPL_FX_READ || fx->kind == REPL_FX_MD_READ;
    if (!s) {
        io_end(v, io, HV_EIO);
        return;
    }
    volume->io_in_flight++;
    switch (fx->kind) {
    case REPL_FX_READ:
    case REPL_FX_MD_READ:
        store_read(v->loop, s, &io->io, memory, fx->io.sector, fx->io.length_bytes);
        break;
    case REPL_FX_WRITE:
    case REPL_FX_MD_WRITE:
        store_write(v->loop, s, &io->io, memory, fx->io.sector, fx->io.length_bytes, flags);
        break;
    case REPL_FX_FLUSH:
        store_flush(v->loop, s, &io->io);
        break;
    case REPL_FX_DISCARD:
        store_discard(v->loop, s, &io->io, fx->io.sector, fx->io.length_bytes);
        break;
    default:
        hv_assert(fx->kind == REPL_FX_ZEROES);
        store_zeroes(v->loop, s, &io->io, fx->io.sector, fx->io.length_bytes, flags);
        break;
    }
}

static void attach_fill(const struct vol_volume *volume, struct repl_attach *attach)
{
    const struct store *data = volume->data;

    *attach = (struct repl_attach){
        .backing_sectors = data->sectors,
        .md_index = volume->conf->meta_kind == CONF_META_INTERNAL ? MD_INDEX_INTERNAL
                    : volume->conf->meta_kind == CONF_META_EXTERNAL
                        ? MD_INDEX_FLEXIBLE
                        : (int32_t)volume->conf->meta_index,
        .md_sectors = volume->meta->sectors,
        .logical_block_bytes = data->logical_block_bytes,
        .physical_block_bytes = data->physical_block_bytes,
        .max_io_bytes = data->max_io_bytes,
        .can_discard = data->can_discard,
        .rotational = data->rotational,
    };
}

int vol_disk_open(struct vol_volume *volume, struct repl_attach *attach, struct hv_diag *diag)
{
    const struct conf_volume *c = volume->conf;
    int rv;

    if (!strcmp(c->disk, "none")) {
        hv_diag_set(diag, "volume %u has no disk on this node", c->vnr);
        return HV_ESTATE;
    }
    rv = store_open(c->disk, STORE_EXCLUSIVE, &volume->data, diag);
    if (rv)
        return rv;
    volume->meta = volume->data;
    if (c->meta_kind != CONF_META_INTERNAL) {
        /* Slots of an indexed device belong to several volumes, and so to several processes. */
        rv = store_open(c->meta_disk, c->meta_kind == CONF_META_INDEXED ? 0 : STORE_EXCLUSIVE,
            &volume->meta, diag);
        if (rv) {
            volume->meta = NULL;
            vol_disk_close(volume);
            return rv;
        }
    }
    volume->close_wanted = false;
    attach_fill(volume, attach);
    return HV_OK;
}

void vol_disk_close(struct vol_volume *volume)
{
    if (volume->io_in_flight) {
        volume->close_wanted = true;
        return;
    }
    volume->close_wanted = false;
    if (volume->meta != volume->data)
        store_close(volume->meta);
    store_close(volume->data);
    volume->data = volume->meta = NULL;
}

bool vol_disk_measure(struct vol_volume *volume, struct repl_attach *attach)
{
    if (!volume->data)
        return false;
    store_refresh_size(volume->data);
    if (volume->meta != volume->data)
        store_refresh_size(volume->meta);
    attach_fill(volume, attach);
    return true;
}
