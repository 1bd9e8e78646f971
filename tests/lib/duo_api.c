/* SPDX-License-Identifier: Apache-2.0 */
/* duo_repl: what tests call. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "duo_int.h"
#include "hv_assert.h"
#include "hv_crc32c.h"
#include "hv_endian.h"
#include "hv_error.h"
#include "hv_text.h"
#include "md.h"
#include "md_replay.h"

enum { SECTOR = 512, PATIENCE_MS = 600 * 1000, TOY_DIGEST_BYTES = 20 };

/* --- a toy digest: deterministic, depends on every byte and on the key --- */

static int toy_size(const char *alg)
{
    return alg[0] ? TOY_DIGEST_BYTES : HV_EUNSUPPORTED;
}

static int toy_hmac(const char *alg, const void *key, size_t key_bytes, const void *data,
    size_t length_bytes, uint8_t *out)
{
    for (uint32_t i = 0; i < TOY_DIGEST_BYTES / 4; i++) {
        uint32_t crc = hv_crc32c(i + 1, key, key_bytes);
        hv_store_be32(out + 4 * i, hv_crc32c(crc, data, length_bytes));
    }
    return TOY_DIGEST_BYTES;
}

static int toy_hash(const char *alg, const void *data, size_t length_bytes, uint8_t *out)
{
    return toy_hmac(alg, alg, strlen(alg), data, length_bytes, out);
}

static const struct hv_digest_ops toy_digest = {toy_size, toy_hash, toy_hmac};

/* --- buffers --- */

static struct hv_buf *pool_alloc(struct hv_buf_pool *pool, uint32_t capacity_bytes)
{
    struct duo_node *n = hv_container_of(pool, struct duo_node, pool);
    struct hv_buf *buf = calloc(1, sizeof *buf);

    hv_assert(buf);
    buf->data = aligned_alloc(4096, (capacity_bytes + 4095u) & ~4095u);
    hv_assert(buf->data);
    buf->capacity_bytes = capacity_bytes;
    buf->refs = 1;
    buf->pool = pool;
    n->bufs_out++;
    return buf;
}

static void pool_free(struct hv_buf_pool *pool, struct hv_buf *buf)
{
    hv_container_of(pool, struct duo_node, pool)->bufs_out--;
    free(buf->data);
    free(buf);
}

/* --- log --- */

static void node_log(void *arg, enum hv_log_level level, const char *line)
{
    struct duo_node *n = arg;

    if (n->d->options.trace)
        fprintf(stderr, "%8llu.%03llu %c %-6s %s\n", (unsigned long long)n->d->now_ms / 1000,
            (unsigned long long)n->d->now_ms % 1000, n->end == DUO_A ? 'A' : 'B',
            hv_log_level_name(level), line);
    if (n->log_lines < DUO_LOG_LINES_MAX)
        n->log[n->log_lines++] = strdup(line);
}

void duo_log_clear(struct duo *d, enum duo_end end)
{
    struct duo_node *n = &d->node[end];

    while (n->log_lines)
        free(n->log[--n->log_lines]);
}

bool duo_logged(const struct duo *d, enum duo_end end, const char *text)
{
    const struct duo_node *n = &d->node[end];

    for (unsigned i = 0; i < n->log_lines; i++)
        if (strstr(n->log[i], text))
            return true;
    return false;
}

/* --- making and breaking worlds --- */

void duo_options_init(struct duo_options *o)
{
    memset(o, 0, sizeof *o);
    o->seed = 1;
    o->disk_sectors = 64 * 2048;
    o->trace = getenv("DUO_TRACE") != NULL;
    struct repl_config *c = &o->config;
    hv_strcopy(c->name, sizeof c->name, "r0");
    c->volumes = 1;
    c->requests_max = 256;
    c->volume[0].disk = (struct repl_disk_config){.on_io_error = REPL_IOE_DETACH,
        .disk_flushes = true,
        .disk_drain = true,
        .md_flushes = true,
        .resync_rate_kib = 102400,
        .al_extents = 67,
        .al_updates = true,
        .discard_zeroes_if_aligned = true,
        .c_plan_ahead_ds = 20,
        .c_delay_target_ds = 10,
        .c_fill_target_sectors = 100,
        .c_max_rate_kib = 102400,
        .c_min_rate_kib = 250};
    c->net = (struct repl_net_config){.wire_protocol = DRBD_PROT_C,
        .timeout_ds = 60,
        .ping_int_s = 10,
        .ping_timeout_ds = 5,
        .connect_int_s = 10,
        .ko_count = 7,
        .max_buffers = 2048,
        .max_epoch_size = 2048,
        .use_rle = true,
        .congestion_extents = 1237};
    hv_strcopy(c->net.cram_hmac_alg, sizeof c->net.cram_hmac_alg, "sha1");
    hv_strcopy(c->net.shared_secret, sizeof c->net.shared_secret, "s3kr1tFoo");
}

struct duo *duo_new(const struct duo_options *o)
{
    struct duo *d = calloc(1, sizeof *d);

    hv_assert(d);
    d->options = *o;
    d->now_ms = 1000;
    d->link_up = true;
    hv_prng_seed(&d->prng, o->seed);
    hv_list_init(&d->due);
    for (int e = 0; e < DUO_ENDS; e++) {
        struct duo_node *n = &d->node[e];
        n->end = (enum duo_end)e;
        n->d = d;
        n->config = o->config;
        n->config.digest = &toy_digest;
        n->pool = (struct hv_buf_pool){pool_alloc, pool_free};
        n->config.bufs = &n->pool;
        n->config.log = (struct hv_log){node_log, n};
        n->log = calloc(DUO_LOG_LINES_MAX, sizeof *n->log);
        hv_assert(n->log);
        n->entropy.used = sizeof n->entropy.bytes;
        hv_list_init(&n->ios);
        hv_list_init(&n->hung);
        n->faulty_volumes = UINT32_MAX;
        hv_assert(o->config.volumes <= DUO_VOLUMES_MAX);
        for (uint32_t i = 0; i < o->config.volumes; i++)
            duo_disk_init(&n->disk[i], o->disk_sectors);
    }
    return d;
}

static void node_off(struct duo *d, enum duo_end end)
{
    struct duo_node *n = &d->node[end];
    struct hv_list *node, *tmp;

    if (!n->r)
        return;
    duo_disk_release_hung(d, end);
    n->incarnation++;
    /* Whatever is under way belongs to the past: let it be dropped now. */
    hv_list_each_safe(node, tmp, &d->due)
    {
        struct duo_due *due = hv_container_of(node, struct duo_due, node);
        if (due->end != end)
            continue;
        hv_list_remove(node);
        due->drop(d, end, due->arg);
        free(due);
    }
    repl_free(n->r);
    n->r = NULL;
    for (int i = 0; i < DUO_ANSWERS_MAX; i++)
        if (d->answer[i].used && d->answer[i].end == end) {
            *d->answer[i].answer = DUO_ANSWER_LOST;
            d->answer[i].used = false;
        }
    n->listening = n->writable = false;
    free(n->fx.list);
    memset(&n->fx, 0, sizeof n->fx);
    hv_list_each_safe(node, tmp, &n->ios)
    {
        struct duo_app *app = hv_container_of(node, struct duo_app, node);
        hv_list_remove(node);
        free(app);
    }
    hv_assert(n->bufs_out == 0);
}

void duo_crash(struct duo *d, enum duo_end end)
{
    node_off(d, end);
    duo_net_crash(d, end);
    for (uint32_t i = 0; i < d->options.config.volumes; i++)
        duo_disk_power_loss(&d->node[end].disk[i], &d->prng);
}

void duo_kill(struct duo *d, enum duo_end end)
{
    node_off(d, end);
    duo_net_crash(d, end);
}

void duo_free(struct duo *d)
{
    for (int e = 0; e < DUO_ENDS; e++) {
        node_off(d, (enum duo_end)e);
        duo_log_clear(d, (enum duo_end)e);
        free(d->node[e].log);
        for (uint32_t i = 0; i < d->options.config.volumes; i++)
            duo_disk_free(&d->node[e].disk[i]);
    }
    duo_net_free(d);
    free(d);
}

void duo_boot(struct duo *d, enum duo_end end)
{
    struct duo_node *n = &d->node[end];
    struct hv_diag diag = {{0}};

    hv_assert(!n->r);
    if (repl_new(&n->config, &n->r, &diag)) {
        fprintf(stderr, "repl_new: %s\n", diag.text);
        abort();
    }
    n->incarnation++;
    n->fx.capacity = repl_effects_max(n->r);
    n->fx.list = calloc(n->fx.capacity, sizeof *n->fx.list);
    hv_assert(n->fx.list);
}

static struct md_place node_place(const struct duo_node *n)
{
    return (struct md_place){MD_INDEX_INTERNAL, n->disk[0].sectors, n->disk[0].sectors};
}

void duo_create_md(struct duo *d, enum duo_end end)
{
    struct duo_node *n = &d->node[end];
    struct md_place place = node_place(n);
    struct md_superblock sb;
    struct md_layout layout;
    struct hv_diag diag;
    uint8_t block[MD_BLOCK_BYTES];

    int rc = md_create(&sb, &place, MD_AL_STRIPES_DEFAULT, MD_AL_STRIPE_BLOCKS_DEFAULT,
        hv_prng_next(&d->prng), &diag);
    hv_assert(rc == 0);
    rc = md_layout_compute(
        &place, MD_AL_STRIPES_DEFAULT, MD_AL_STRIPE_BLOCKS_DEFAULT, &layout, &diag);
    hv_assert(rc == 0);
    for (uint32_t i = 0; i < n->config.volumes; i++) {
        struct duo_disk *disk = &n->disk[i];
        md_replay_block_init(block);
        for (uint64_t s = 0; s < layout.al_sectors; s += MD_BLOCK_SECTORS)
            duo_disk_write(disk, layout.al_sector + s, MD_BLOCK_SECTORS, block, true);
        duo_disk_write(disk, layout.bm_sector, layout.bm_sectors, NULL, true);
        md_encode(&sb, block);
        duo_disk_write(disk, layout.sb_sector, MD_BLOCK_SECTORS, block, true);
    }
}

uint64_t duo_now_ms(const struct duo *d)
{
    return d->now_ms;
}

struct repl *duo_engine(struct duo *d, enum duo_end end)
{
    return d->node[end].r;
}

struct repl_config *duo_config(struct duo *d, enum duo_end end)
{
    return &d->node[end].config;
}

void duo_link(struct duo *d, bool up)
{
    d->link_up = up;
}

void duo_disk_fails(struct duo *d, enum duo_end end, bool reads, bool writes)
{
    d->node[end].fail_reads = reads;
    d->node[end].fail_writes = writes;
}

void duo_disk_faulty(struct duo *d, enum duo_end end, uint32_t volumes)
{
    d->node[end].faulty_volumes = volumes;
}

void duo_disk_hangs(struct duo *d, enum duo_end end, bool hangs)
{
    d->node[end].hangs = hangs;
    if (!hangs)
        duo_disk_release_hung(d, end);
}

void duo_handler_exit(struct duo *d, enum duo_end end, enum repl_handler h, int exit_code)
{
    d->node[end].handler_exit[h] = exit_code;
}

unsigned duo_handler_calls(const struct duo *d, enum duo_end end, enum repl_handler h)
{
    return d->node[end].handler_calls[h];
}

/* --- running --- */

void duo_run(struct duo *d, uint64_t ms)
{
    uint64_t until = d->now_ms + ms;

    while (duo_turn(d, until))
        continue;
}

bool duo_until(struct duo *d, bool (*holds)(struct duo *d, void *arg), void *arg, uint64_t limit_ms)
{
    uint64_t until = d->now_ms + limit_ms;

    for (;;) {
        if (holds(d, arg))
            return true;
        if (!duo_turn(d, until))
            return holds(d, arg);
    }
}

/* --- administration --- */

void duo_admin_done(struct duo *d, struct repl_effect *fx)
{
    hv_strcopy(d->admin_text, sizeof d->admin_text, fx->admin.text);
    for (int i = 0; i < DUO_ANSWERS_MAX; i++)
        if (d->answer[i].used && d->answer[i].token == fx->token) {
            *d->answer[i].answer = fx->admin.retcode;
            d->answer[i].used = false;
            return;
        }
    hv_assert(!"an answer nobody waits for, or a second one");
}

void duo_admin_start(struct duo *d, enum duo_end end, struct repl_admin admin, int *answer)
{
    struct repl_event ev = {.kind = REPL_EV_ADMIN, .token = ++d->next_token};

    *answer = 0;
    for (int i = 0; i < DUO_ANSWERS_MAX; i++)
        if (!d->answer[i].used) {
            d->answer[i].used = true;
            d->answer[i].end = end;
            d->answer[i].token = ev.token;
            d->answer[i].answer = answer;
            ev.admin = admin;
            duo_step(d, end, &ev);
            return;
        }
    hv_assert(!"too many answers awaited");
}

static bool answered(struct duo *d, void *arg)
{
    return *(int *)arg != 0;
}

int duo_admin(struct duo *d, enum duo_end end, struct repl_admin admin)
{
    int answer;

    duo_admin_start(d, end, admin, &answer);
    if (!duo_until(d, answered, &answer, PATIENCE_MS)) {
        fprintf(stderr, "duo: verb %d was never answered\n", (int)admin.verb);
        abort();
    }
    return answer;
}

int duo_verb(struct duo *d, enum duo_end end, enum repl_admin_verb verb)
{
    return duo_admin(d, end, (struct repl_admin){.verb = verb});
}

const char *duo_admin_text(const struct duo *d)
{
    return d->admin_text;
}

int duo_attach_volume(struct duo *d, enum duo_end end, uint16_t volume)
{
    struct repl_admin a = {.verb = REPL_ADM_ATTACH, .volume = volume};
    uint64_t sectors = d->node[end].disk[volume].sectors;

    a.attach = (struct repl_attach){.backing_sectors = sectors,
        .md_index = MD_INDEX_INTERNAL,
        .md_sectors = sectors,
        .logical_block_bytes = 512,
        .physical_block_bytes = 4096,
        .max_io_bytes = 1 << 20,
        .can_discard = true};
    return duo_admin(d, end, a);
}

int duo_attach(struct duo *d, enum duo_end end)
{
    int worst = SS_SUCCESS;

    for (uint16_t i = 0; i < d->node[end].config.volumes; i++) {
        int rc = duo_attach_volume(d, end, i);
        if (rc < SS_SUCCESS || rc > worst)
            worst = rc;
    }
    return worst;
}

void duo_up(struct duo *d, enum duo_end end)
{
    int rc;

    duo_boot(d, end);
    rc = duo_attach(d, end);
    if (rc < SS_SUCCESS) {
        fprintf(stderr, "attach: %d %s\n", rc, d->admin_text);
        abort();
    }
    rc = duo_verb(d, end, REPL_ADM_CONNECT);
    hv_assert(rc >= SS_SUCCESS);
}

/* --- application I/O --- */

static void pattern_fill(uint8_t *sector_bytes, uint64_t sector, uint32_t value)
{
    for (uint32_t i = 0; i < SECTOR; i += 16) {
        hv_store_be64(sector_bytes + i, sector * 31 + i);
        hv_store_be32(sector_bytes + i + 8, value);
        hv_store_be32(sector_bytes + i + 12, ~value);
    }
}

/* Zeros read as value 0. */
static uint32_t pattern_value(const uint8_t *sector_bytes, uint64_t sector)
{
    uint8_t expected[SECTOR] = {0};
    uint32_t value = hv_load_be32(sector_bytes + 8);

    if (!memcmp(sector_bytes, expected, SECTOR))
        return 0;
    pattern_fill(expected, sector, value);
    return memcmp(sector_bytes, expected, SECTOR) ? UINT32_MAX : value;
}

void duo_app_done(struct duo *d, enum duo_end end, struct repl_effect *fx)
{
    struct hv_list *node;

    hv_list_each(node, &d->node[end].ios)
    {
        struct duo_app *app = hv_container_of(node, struct duo_app, node);
        if (app->token != fx->token)
            continue;
        app->io->done = true;
        app->io->error = fx->app.error;
        app->io->value = UINT32_MAX;
        if (app->read && !fx->app.error) {
            hv_assert(fx->app.buf);
            app->io->value = pattern_value(fx->app.buf->data, app->sector);
            for (uint32_t i = 1; i < app->sectors; i++)
                if (pattern_value(fx->app.buf->data + i * SECTOR, app->sector + i) !=
                    app->io->value)
                    app->io->value = UINT32_MAX;
        }
        hv_buf_put(fx->app.buf);
        hv_list_remove(node);
        free(app);
        return;
    }
    hv_assert(!"completion of a request that is not under way");
}

void duo_start(struct duo *d, enum duo_end end, enum repl_app_op op, uint32_t flags,
    uint64_t sector, uint32_t sectors, uint32_t value, struct duo_io *io)
{
    duo_start_on(d, end, 0, op, flags, sector, sectors, value, io);
}

void duo_start_on(struct duo *d, enum duo_end end, uint16_t volume, enum repl_app_op op,
    uint32_t flags, uint64_t sector, uint32_t sectors, uint32_t value, struct duo_io *io)
{
    struct duo_node *n = &d->node[end];
    struct repl_event ev = {.kind = REPL_EV_APP, .token = ++d->next_token};
    struct duo_app *app = calloc(1, sizeof *app);

    hv_assert(app && n->r);
    *io = (struct duo_io){0};
    app->token = ev.token;
    app->io = io;
    app->sector = sector;
    app->sectors = sectors;
    app->read = op == REPL_APP_READ;
    hv_list_push_back(&n->ios, &app->node);
    ev.app.op = op;
    ev.app.volume = volume;
    ev.app.flags = flags;
    ev.app.sector = sector;
    ev.app.length_bytes = sectors * SECTOR;
    if (op == REPL_APP_READ || op == REPL_APP_WRITE) {
        ev.app.buf = hv_buf_alloc(&n->pool, sectors * SECTOR);
        ev.app.buf->length_bytes = sectors * SECTOR;
        for (uint32_t i = 0; i < sectors && op == REPL_APP_WRITE; i++)
            pattern_fill(ev.app.buf->data + i * SECTOR, sector + i, value);
    }
    duo_step(d, end, &ev);
}

static bool io_done(struct duo *d, void *arg)
{
    return ((struct duo_io *)arg)->done;
}

static int io_whole(struct duo *d, enum duo_end end, enum repl_app_op op, uint64_t sector,
    uint32_t sectors, uint32_t *value)
{
    struct duo_io *io = calloc(1, sizeof *io);
    int error = HV_ETIMEDOUT;

    hv_assert(io);
    duo_start(d, end, op, 0, sector, sectors, value ? *value : 0, io);
    if (!duo_until(d, io_done, io, PATIENCE_MS))
        return error; /* still under way: *io must stay */
    error = io->error;
    if (value)
        *value = io->value;
    free(io);
    return error;
}

int duo_write(struct duo *d, enum duo_end end, uint64_t sector, uint32_t sectors, uint32_t value)
{
    return io_whole(d, end, REPL_APP_WRITE, sector, sectors, &value);
}

int duo_read(struct duo *d, enum duo_end end, uint64_t sector, uint32_t sectors, uint32_t *value)
{
    return io_whole(d, end, REPL_APP_READ, sector, sectors, value);
}

int duo_flush(struct duo *d, enum duo_end end)
{
    return io_whole(d, end, REPL_APP_FLUSH, 0, 0, NULL);
}

int duo_discard(struct duo *d, enum duo_end end, uint64_t sector, uint32_t sectors)
{
    return io_whole(d, end, REPL_APP_DISCARD, sector, sectors, NULL);
}

/* --- looks --- */

struct repl_volume_status duo_status_of(struct duo *d, enum duo_end end, uint16_t volume)
{
    static struct repl_status status;

    repl_status(d->node[end].r, d->now_ms, &status);
    return status.volume[volume];
}

struct repl_volume_status duo_status(struct duo *d, enum duo_end end)
{
    return duo_status_of(d, end, 0);
}

bool duo_connected(struct duo *d)
{
    return d->node[0].r && d->node[1].r && duo_status(d, DUO_A).state.conn >= C_CONNECTED &&
           duo_status(d, DUO_B).state.conn >= C_CONNECTED;
}

bool duo_in_sync(struct duo *d)
{
    for (int e = 0; e < DUO_ENDS; e++) {
        if (!d->node[e].r)
            return false;
        for (uint16_t i = 0; i < d->options.config.volumes; i++) {
            struct drbd_state s = duo_status_of(d, (enum duo_end)e, i).state;
            if (s.conn != C_CONNECTED || s.disk != D_UP_TO_DATE || s.pdsk != D_UP_TO_DATE)
                return false;
        }
    }
    return true;
}

static bool in_sync(struct duo *d, void *arg)
{
    return duo_in_sync(d);
}

bool duo_wait_in_sync(struct duo *d, uint64_t limit_ms)
{
    if (duo_until(d, in_sync, NULL, limit_ms))
        return true;
    for (uint32_t n = 0; n < DUO_ENDS * d->options.config.volumes; n++) {
        int e = n % DUO_ENDS;
        if (!d->node[e].r)
            continue;
        struct repl_volume_status v = duo_status_of(d, (enum duo_end)e, (uint16_t)(n / DUO_ENDS));
        fprintf(stderr, "%c: %s %s/%s %s/%s oos %llu KiB\n", "AB"[e], drbd_conn_name(v.state.conn),
            drbd_role_name(v.state.role), drbd_role_name(v.state.peer),
            drbd_disk_name(v.state.disk), drbd_disk_name(v.state.pdsk),
            (unsigned long long)v.oos_kib);
    }
    return false;
}

static bool volume_equal(struct duo *d, uint16_t volume)
{
    const uint8_t *a = d->node[DUO_A].disk[volume].now, *b = d->node[DUO_B].disk[volume].now;
    uint64_t sectors = duo_status_of(d, DUO_A, volume).size_sectors;

    for (uint64_t s = 0; s < sectors; s++)
        if (memcmp(a + s * SECTOR, b + s * SECTOR, SECTOR)) {
            fprintf(stderr, "volume %u, sector %llu differs: A has %u, B has %u\n", volume,
                (unsigned long long)s, pattern_value(a + s * SECTOR, s),
                pattern_value(b + s * SECTOR, s));
            return false;
        }
    return true;
}

bool duo_disks_equal(struct duo *d)
{
    for (uint16_t i = 0; i < d->options.config.volumes; i++)
        if (!volume_equal(d, i))
            return false;
    return true;
}

uint32_t duo_disk_value(struct duo *d, enum duo_end end, uint64_t sector)
{
    return pattern_value(d->node[end].disk[0].now + sector * SECTOR, sector);
}

uint32_t duo_durable_value(struct duo *d, enum duo_end end, uint64_t sector)
{
    return pattern_value(d->node[end].disk[0].durable + sector * SECTOR, sector);
}

uint8_t *duo_disk_bytes(struct duo *d, enum duo_end end)
{
    return d->node[end].disk[0].now;
}

bool duo_front_writable(struct duo *d, enum duo_end end)
{
    return d->node[end].writable;
}
