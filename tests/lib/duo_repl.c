/* SPDX-License-Identifier: Apache-2.0 */
/* duo_repl: the world, its clock, and what engines want done. */
#include "duo_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hv_assert.h"
#include "hv_error.h"

enum { SECTOR = 512, TURNS_WITHOUT_TIME_MAX = 200000 };

static void due_insert(struct duo *d, struct duo_due *new)
{
    struct hv_list *at = d->due.prev;

    while (at != &d->due) {
        struct duo_due *due = hv_container_of(at, struct duo_due, node);
        if (due->at_ms <= new->at_ms)
            break;
        at = at->prev;
    }
    hv_list_insert_before(at->next, &new->node);
}

void duo_schedule(struct duo *d, enum duo_end end, uint64_t delay_ms,
    void (*fn)(struct duo *, enum duo_end, void *),
    void (*drop)(struct duo *, enum duo_end, void *), void *arg)
{
    struct duo_due *due = calloc(1, sizeof *due);

    hv_assert(due);
    due->at_ms = d->now_ms + delay_ms;
    due->order = d->order++;
    due->incarnation = d->node[end].incarnation;
    due->end = end;
    due->fn = fn;
    due->drop = drop;
    due->arg = arg;
    due_insert(d, due);
}

/* --- disks --- */

struct duo_disk_op {
    struct hv_list node;
    struct repl_effect fx;
    uint8_t *data; /* of a write, as it was when it was submitted */
};

static void disk_op_apply(struct duo_node *n, struct duo_disk_op *op, bool fua)
{
    struct duo_disk *disk = &n->disk[op->fx.io.volume];
    uint64_t sectors = op->fx.io.length_bytes / SECTOR;

    switch (op->fx.kind) {
    case REPL_FX_WRITE:
    case REPL_FX_MD_WRITE:
        if (op->fx.io.flags & REPL_IO_PREFLUSH)
            duo_disk_flush(disk);
        duo_disk_write(disk, op->fx.io.sector, sectors, op->data, fua);
        break;
    case REPL_FX_DISCARD:
    case REPL_FX_ZEROES:
        duo_disk_write(disk, op->fx.io.sector, sectors, NULL, fua);
        break;
    case REPL_FX_FLUSH:
        duo_disk_flush(disk);
        break;
    case REPL_FX_READ:
    case REPL_FX_MD_READ:
        memcpy(op->fx.io.buf->data + op->fx.io.offset_bytes, disk->now + op->fx.io.sector * SECTOR,
            op->fx.io.length_bytes);
        break;
    default:
        hv_assert(!"not a disk effect");
    }
}

static bool disk_op_reads(const struct duo_disk_op *op)
{
    return op->fx.kind == REPL_FX_READ || op->fx.kind == REPL_FX_MD_READ;
}

static void disk_op_free(struct duo_disk_op *op)
{
    free(op->data);
    free(op);
}

static void disk_op_done(struct duo *d, enum duo_end end, void *arg)
{
    struct duo_node *n = &d->node[end];
    struct duo_disk_op *op = arg;
    struct repl_event ev = {.kind = REPL_EV_IO_DONE, .token = op->fx.token};

    bool faulty = n->faulty_volumes >> op->fx.io.volume & 1;
    if (n->hangs && faulty) {
        hv_list_push_back(&n->hung, &op->node);
        return;
    }
    if (faulty && (disk_op_reads(op) ? n->fail_reads : n->fail_writes))
        ev.error = HV_EIO;
    else
        disk_op_apply(n, op, op->fx.io.flags & REPL_IO_FUA);
    if (disk_op_reads(op))
        ev.io.buf = op->fx.io.buf;
    else
        hv_buf_put(op->fx.io.buf);
    disk_op_free(op);
    duo_step(d, end, &ev);
}

/* Power went away while the write was under way: it may have reached the cache or not. */
static void disk_op_lost(struct duo *d, enum duo_end end, void *arg)
{
    struct duo_disk_op *op = arg;

    if (!disk_op_reads(op) && op->fx.kind != REPL_FX_FLUSH && hv_prng_below(&d->prng, 2)) {
        op->fx.io.flags &= ~(uint32_t)REPL_IO_PREFLUSH;
        disk_op_apply(&d->node[end], op, false);
    }
    hv_buf_put(op->fx.io.buf);
    disk_op_free(op);
}

void duo_disk_effect(struct duo *d, enum duo_end end, struct repl_effect *fx)
{
    struct duo_disk_op *op = calloc(1, sizeof *op);
    struct duo_node *n = &d->node[end];

    hv_assert(op);
    hv_list_init(&op->node);
    op->fx = *fx;
    if (fx->kind != REPL_FX_FLUSH) {
        hv_assert(fx->io.length_bytes % SECTOR == 0);
        hv_assert(fx->io.sector + fx->io.length_bytes / SECTOR <= n->disk[fx->io.volume].sectors);
    }
    if (fx->kind == REPL_FX_WRITE || fx->kind == REPL_FX_MD_WRITE) {
        hv_assert(
            fx->io.buf && fx->io.offset_bytes + fx->io.length_bytes <= fx->io.buf->capacity_bytes);
        op->data = malloc(fx->io.length_bytes + 1);
        hv_assert(op->data);
        memcpy(op->data, fx->io.buf->data + fx->io.offset_bytes, fx->io.length_bytes);
    }
    duo_schedule(d, end, 1 + hv_prng_below(&d->prng, 3), disk_op_done, disk_op_lost, op);
}

void duo_disk_release_hung(struct duo *d, enum duo_end end)
{
    struct hv_list *node, *tmp;

    hv_list_each_safe(node, tmp, &d->node[end].hung)
    {
        struct duo_disk_op *op = hv_container_of(node, struct duo_disk_op, node);
        hv_list_remove(node);
        duo_schedule(d, end, 1, disk_op_done, disk_op_lost, op);
    }
}

/* --- handlers --- */

struct duo_handler_op {
    uint64_t token;
    enum repl_handler which;
};

static void handler_done(struct duo *d, enum duo_end end, void *arg)
{
    struct duo_handler_op *op = arg;
    struct repl_event ev = {.kind = REPL_EV_HANDLER_DONE, .token = op->token};

    ev.handler.exit_code = d->node[end].handler_exit[op->which];
    free(op);
    duo_step(d, end, &ev);
}

static void handler_lost(struct duo *d, enum duo_end end, void *arg)
{
    free(arg);
}

static void handler_start(struct duo *d, enum duo_end end, const struct repl_effect *fx)
{
    struct duo_handler_op *op = calloc(1, sizeof *op);

    hv_assert(op);
    op->token = fx->token;
    op->which = fx->handler.which;
    d->node[end].handler_calls[op->which]++;
    duo_schedule(d, end, 20, handler_done, handler_lost, op);
}

/* --- steps --- */

static void effect_do(struct duo *d, enum duo_end end, struct repl_effect *fx)
{
    struct duo_node *n = &d->node[end];

    switch (fx->kind) {
    case REPL_FX_LISTEN:
        n->listening = fx->net.on;
        break;
    case REPL_FX_CONNECT:
        duo_net_connect(d, end, fx->net.sock);
        break;
    case REPL_FX_SOCK_CLOSE:
        duo_net_close(d, end, fx->net.sock);
        break;
    case REPL_FX_SEND:
        duo_net_send(d, end, fx);
        break;
    case REPL_FX_READ:
    case REPL_FX_WRITE:
    case REPL_FX_FLUSH:
    case REPL_FX_DISCARD:
    case REPL_FX_ZEROES:
    case REPL_FX_MD_READ:
    case REPL_FX_MD_WRITE:
        duo_disk_effect(d, end, fx);
        break;
    case REPL_FX_APP_DONE:
        duo_app_done(d, end, fx);
        break;
    case REPL_FX_FRONT:
        n->writable = fx->front.writable;
        n->front_sectors = fx->front.size_sectors;
        break;
    case REPL_FX_HANDLER:
        handler_start(d, end, fx);
        break;
    case REPL_FX_ADMIN_DONE:
        duo_admin_done(d, fx);
        break;
    case REPL_FX_CORK:
    case REPL_FX_CLOSE_DISK:
    case REPL_FX_CHANGED:
        break;
    }
}

void duo_step(struct duo *d, enum duo_end end, struct repl_event *ev)
{
    struct duo_node *n = &d->node[end];

    if (!n->r) {
        if (ev->kind == REPL_EV_IO_DONE)
            hv_buf_put(ev->io.buf);
        return;
    }
    if (n->entropy.used) {
        for (size_t i = 0; i < sizeof n->entropy.bytes; i++)
            n->entropy.bytes[i] = (uint8_t)hv_prng_next(&d->prng);
        n->entropy.used = 0;
    }
    ev->now_ms = d->now_ms;
    ev->entropy = &n->entropy;
    /* A list of its own: carrying out an effect never steps the engine, but be sure. */
    hv_assert(n->fx.count == 0);
    repl_step(n->r, ev, &n->fx);
    uint32_t count = n->fx.count;
    for (uint32_t i = 0; i < count; i++)
        effect_do(d, end, &n->fx.list[i]);
    hv_assert(n->fx.count == count);
    n->fx.count = 0;
}

static bool ticks(struct duo *d)
{
    bool any = false;

    for (int e = 0; e < DUO_ENDS; e++) {
        struct duo_node *n = &d->node[e];
        if (!n->r || repl_next_timeout(n->r) > d->now_ms)
            continue;
        struct repl_event ev = {.kind = REPL_EV_TICK};
        duo_step(d, (enum duo_end)e, &ev);
        any = true;
    }
    return any;
}

static bool dues(struct duo *d)
{
    bool any = false;

    while (!hv_list_empty(&d->due)) {
        struct duo_due *due = hv_list_first(&d->due, struct duo_due, node);
        if (due->at_ms > d->now_ms)
            break;
        hv_list_remove(&due->node);
        if (due->incarnation == d->node[due->end].incarnation)
            due->fn(d, due->end, due->arg);
        else
            due->drop(d, due->end, due->arg);
        free(due);
        any = true;
    }
    return any;
}

static uint64_t next_time(const struct duo *d)
{
    uint64_t next = duo_net_next(d);

    if (!hv_list_empty(&d->due)) {
        uint64_t at = hv_list_first(&d->due, struct duo_due, node)->at_ms;
        if (at < next)
            next = at;
    }
    for (int e = 0; e < DUO_ENDS; e++)
        if (d->node[e].r && repl_next_timeout(d->node[e].r) < next)
            next = repl_next_timeout(d->node[e].r);
    return next;
}

bool duo_turn(struct duo *d, uint64_t until_ms)
{
    bool happened = false;

    for (unsigned turns = 0;; turns++) {
        if (turns == TURNS_WITHOUT_TIME_MAX) {
            fprintf(stderr, "duo: an engine spins at %llu ms\n", (unsigned long long)d->now_ms);
            abort();
        }
        bool any = dues(d);
        any |= duo_net_turn(d);
        any |= ticks(d);
        if (!any)
            break;
        happened = true;
    }
    /* Let the caller look at what has happened before time goes on. */
    if (happened)
        return true;
    uint64_t next = next_time(d);
    if (next > until_ms) {
        d->now_ms = until_ms;
        return false;
    }
    if (next > d->now_ms)
        d->now_ms = next;
    return true;
}
