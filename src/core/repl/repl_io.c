/* SPDX-License-Identifier: Apache-2.0 */
/* I/O under way: a token names a slot, the slot knows who waits. */
#include <stdlib.h>

#include "repl_control.h"

static uint64_t token_of(uint32_t slot, uint32_t generation)
{
    return (uint64_t)generation << 32 | (slot + 1);
}

int repl_io_new(struct repl *r)
{
    struct repl_ctl *c = &r->ctl;

    c->io_slots = 2 * repl_data_effects_max(&r->config) + 256 * r->config.volumes;
    c->io = calloc(c->io_slots, sizeof *c->io);
    if (!c->io)
        return HV_ENOMEM;
    for (uint32_t i = 0; i < c->io_slots; i++)
        c->io[i].next_free = i + 1 < c->io_slots ? i + 1 : UINT32_MAX;
    c->io_free = 0;
    return 0;
}

void repl_io_free(struct repl *r)
{
    free(r->ctl.io);
    r->ctl.io = NULL;
}

void repl_io(struct repl_volume *v, enum repl_effect_kind kind, uint64_t sector, struct hv_buf *buf,
    uint32_t offset_bytes, uint32_t length_bytes, uint32_t flags, repl_io_fn done, void *arg)
{
    struct repl *r = v->r;
    struct repl_ctl *c = &r->ctl;
    uint32_t n = c->io_free;
    struct repl_io_slot *slot;
    struct repl_effect *fx;

    hv_assert(v->disk_open);
    hv_assert(n != UINT32_MAX);
    slot = &c->io[n];
    c->io_free = slot->next_free;
    c->io_busy++;
    slot->generation++;
    slot->busy = true;
    slot->read = kind == REPL_FX_READ || kind == REPL_FX_MD_READ;
    slot->v = v;
    slot->done = done;
    slot->arg = arg;
    v->ios++;

    fx = repl_fx(r, kind);
    fx->token = token_of(n, slot->generation);
    fx->io.volume = v->index;
    fx->io.flags = flags;
    fx->io.sector = sector;
    fx->io.offset_bytes = offset_bytes;
    fx->io.length_bytes = length_bytes;
    fx->io.buf = buf;
}

void repl_io_done(struct repl *r, const struct repl_event *ev)
{
    struct repl_ctl *c = &r->ctl;
    uint32_t n = (uint32_t)ev->token - 1, generation = (uint32_t)(ev->token >> 32);
    struct hv_buf *buf = ev->io.buf;
    struct repl_io_slot *slot;
    struct repl_io_slot was;

    hv_assert(n < c->io_slots);
    slot = &c->io[n];
    hv_assert(slot->busy && slot->generation == generation);
    was = *slot;
    slot->busy = false;
    slot->next_free = c->io_free;
    c->io_free = n;
    c->io_busy--;
    was.v->ios--;
    if (!was.read) {
        hv_buf_put(buf);
        buf = NULL;
    }
    was.done(was.v, was.arg, ev->error, buf);
}
