/* SPDX-License-Identifier: Apache-2.0 */
#include "lone.h"

#include <stdio.h>
#include <stdlib.h>

#include "hv_assert.h"
#include "hv_list.h"
#include "md.h"
#include "md_replay.h"

static const uint64_t uuid_now = UINT64_C(0x1122334455667700);

/* --- buffers, log --- */

static struct hv_buf *pool_alloc(struct hv_buf_pool *pool, uint32_t capacity_bytes)
{
    struct hv_buf *buf = calloc(1, sizeof *buf);

    buf->data = malloc(capacity_bytes);
    buf->capacity_bytes = capacity_bytes;
    buf->refs = 1;
    buf->pool = pool;
    hv_container_of(pool, struct lone, pool)->bufs_out++;
    return buf;
}

static void pool_free(struct hv_buf_pool *pool, struct hv_buf *buf)
{
    hv_container_of(pool, struct lone, pool)->bufs_out--;
    free(buf->data);
    free(buf);
}

static void log_write(void *arg, enum hv_log_level level, const char *line)
{
    struct lone *l = arg;

    snprintf(l->last_log, sizeof l->last_log, "%s", line);
    if (getenv("LONE_TRACE"))
        fprintf(stderr, "%6llu %s\n", (unsigned long long)l->now_ms, line);
}

/* --- effects --- */

static void app_done(struct lone *l, struct repl_effect *fx)
{
    assert_true(l->dones < LONE_DONES_MAX);
    l->done_token[l->dones] = fx->token;
    l->done_error[l->dones++] = fx->app.error;
    hv_buf_put(fx->app.buf);
}

static void sent(struct lone *l, struct repl_effect *fx)
{
    int s = fx->send.sock == LONE_META;
    uint8_t *to = l->out[s] + l->out_bytes[s];

    assert_true(l->out_bytes[s] + fx->send.head_bytes + fx->send.length_bytes < LONE_OUT_BYTES);
    memcpy(to, fx->send.head, fx->send.head_bytes);
    if (fx->send.buf)
        memcpy(to + fx->send.head_bytes, fx->send.buf->data + fx->send.offset_bytes,
            fx->send.length_bytes);
    l->out_bytes[s] += fx->send.head_bytes + fx->send.length_bytes;
    hv_buf_put(fx->send.buf);
}

static void carry_out(struct lone *l, struct repl_effect *fx)
{
    switch (fx->kind) {
    case REPL_FX_SEND:
        sent(l, fx);
        break;
    case REPL_FX_SOCK_CLOSE:
        if (fx->net.sock == LONE_DATA || fx->net.sock == LONE_META)
            l->dropped = true;
        break;
    case REPL_FX_READ:
    case REPL_FX_WRITE:
    case REPL_FX_FLUSH:
    case REPL_FX_DISCARD:
    case REPL_FX_ZEROES:
    case REPL_FX_MD_READ:
    case REPL_FX_MD_WRITE:
        assert_true(l->ios < LONE_IOS_MAX);
        l->io[l->ios++] = *fx;
        break;
    case REPL_FX_APP_DONE:
        app_done(l, fx);
        break;
    case REPL_FX_ADMIN_DONE:
        l->admin_retcode = fx->admin.retcode;
        break;
    case REPL_FX_HANDLER: {
        struct repl_event ev = {.kind = REPL_EV_HANDLER_DONE, .token = fx->token};
        lone_step(l, &ev);
        break;
    }
    default:
        break;
    }
}

void lone_step(struct lone *l, struct repl_event *ev)
{
    struct repl_effects fx = {.capacity = repl_effects_max(l->r)};

    if (!l->effects)
        l->effects = calloc(fx.capacity, sizeof *l->effects);
    fx.list = l->effects;
    l->entropy.used = 0;
    ev->entropy = &l->entropy;
    ev->now_ms = l->now_ms;
    repl_step(l->r, ev, &fx);
    /* A copy: carrying them out steps again. */
    fx.list = malloc((fx.count + 1) * sizeof *fx.list);
    memcpy(fx.list, l->effects, fx.count * sizeof *fx.list);
    for (uint32_t i = 0; i < fx.count; i++)
        carry_out(l, &fx.list[i]);
    /* All that was sent has been taken. */
    for (uint32_t i = 0; i < fx.count; i++) {
        struct repl_event taken = {.kind = REPL_EV_SENT};

        if (fx.list[i].kind != REPL_FX_SEND)
            continue;
        taken.net.sock = fx.list[i].send.sock;
        taken.net.length_bytes = fx.list[i].send.head_bytes + fx.list[i].send.length_bytes;
        lone_step(l, &taken);
    }
    free(fx.list);
}

static int io_do(struct lone *l, const struct repl_effect *fx)
{
    uint64_t sectors = fx->io.length_bytes / 512;
    uint8_t *at = fx->io.buf ? fx->io.buf->data + fx->io.offset_bytes : NULL;
    bool meta = fx->kind == REPL_FX_MD_READ || fx->kind == REPL_FX_MD_WRITE;

    struct duo_disk *disk = fx->io.volume ? &l->second : &l->disk;

    if (fx->kind == REPL_FX_FLUSH) {
        if (!l->flush_error)
            duo_disk_flush(disk);
        return l->flush_error;
    }
    if (l->fail_data && !meta)
        return HV_EIO;
    if (fx->kind == REPL_FX_READ || fx->kind == REPL_FX_MD_READ) {
        memcpy(at, disk->now + fx->io.sector * 512, fx->io.length_bytes);
        return 0;
    }
    if (fx->io.flags & REPL_IO_PREFLUSH)
        duo_disk_flush(disk);
    duo_disk_write(disk, fx->io.sector, sectors, at, fx->io.flags & REPL_IO_FUA);
    return 0;
}

static void io_done(struct lone *l, uint32_t n)
{
    struct repl_effect fx = l->io[n];
    struct repl_event ev = {.kind = REPL_EV_IO_DONE, .token = fx.token};
    bool read = fx.kind == REPL_FX_READ || fx.kind == REPL_FX_MD_READ;

    memmove(&l->io[n], &l->io[n + 1], (l->ios - n - 1) * sizeof *l->io);
    l->ios--;
    ev.error = io_do(l, &fx);
    ev.io.buf = read ? fx.io.buf : NULL;
    if (!read)
        hv_buf_put(fx.io.buf);
    lone_step(l, &ev);
}

bool lone_io_one(struct lone *l, enum repl_effect_kind kind)
{
    for (uint32_t i = 0; i < l->ios; i++)
        if (l->io[i].kind == kind) {
            io_done(l, i);
            return true;
        }
    return false;
}

uint32_t lone_io_count(const struct lone *l, enum repl_effect_kind kind)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < l->ios; i++)
        n += l->io[i].kind == kind;
    return n;
}

void lone_settle(struct lone *l)
{
    for (;;) {
        if (l->ios > 0 && !l->hold_io) {
            io_done(l, 0);
        } else if (repl_next_timeout(l->r) <= l->now_ms) {
            struct repl_event ev = {.kind = REPL_EV_TICK};
            lone_step(l, &ev);
        } else {
            return;
        }
    }
}

void lone_pass(struct lone *l, uint64_t ms)
{
    uint64_t until = l->now_ms + ms;

    lone_settle(l);
    while (repl_next_timeout(l->r) <= until) {
        l->now_ms = repl_next_timeout(l->r);
        lone_settle(l);
    }
    l->now_ms = until;
}

/* --- the peer --- */

static int version_of(const struct lone *l)
{
    struct repl_status *s = calloc(1, sizeof *s);
    int version;

    repl_status(l->r, l->now_ms, s);
    version = s->agreed_version;
    free(s);
    return version;
}

void lone_send(struct lone *l, uint32_t sock, unsigned command, const void *sub, uint32_t sub_bytes,
    uint8_t fill, uint32_t data_bytes)
{
    struct repl_event ev = {.kind = REPL_EV_RECV};
    uint8_t *bytes = malloc(DRBD_HEADER_BYTES_MAX + sub_bytes + data_bytes);
    int version = command == P_CONNECTION_FEATURES || command >= P_INITIAL_META
                      ? DRBD_PROTOCOL_START
                      : version_of(l);
    size_t n = drbd_header_encode(bytes, version, l->vnr, command, sub_bytes + data_bytes);

    if (sub_bytes)
        memcpy(bytes + n, sub, sub_bytes);
    memset(bytes + n + sub_bytes, fill, data_bytes);
    ev.net.sock = sock;
    ev.net.bytes = bytes;
    ev.net.length_bytes = (uint32_t)n + sub_bytes + data_bytes;
    lone_step(l, &ev);
    free(bytes);
    lone_settle(l);
}

struct out {
    uint8_t bytes[256];
    struct hv_writer w;
};

static struct hv_writer *out_begin(struct out *o)
{
    hv_writer_init(&o->w, o->bytes, sizeof o->bytes);
    return &o->w;
}

static void out_send(struct lone *l, struct out *o, uint32_t sock, unsigned command)
{
    lone_send(l, sock, command, o->bytes, (uint32_t)hv_writer_length(&o->w), 0, 0);
}

void lone_send_data(struct lone *l, uint64_t sector, uint32_t bytes, uint64_t block_id,
    uint32_t dp_flags, uint8_t fill)
{
    struct drbd_data data = {.sector = sector, .block_id = block_id, .dp_flags = dp_flags};
    struct out o;

    drbd_data_encode(out_begin(&o), &data);
    lone_send(l, LONE_DATA, P_DATA, o.bytes, (uint32_t)hv_writer_length(&o.w), fill, bytes);
}

void lone_send_trim(struct lone *l, unsigned command, uint64_t sector, uint32_t bytes,
    uint64_t block_id, uint32_t dp_flags)
{
    struct drbd_trim trim = {.size_bytes = bytes};
    struct out o;

    trim.data = (struct drbd_data){.sector = sector, .block_id = block_id, .dp_flags = dp_flags};
    drbd_trim_encode(out_begin(&o), &trim);
    out_send(l, &o, LONE_DATA, command);
}

void lone_send_barrier(struct lone *l, uint32_t barrier)
{
    struct drbd_barrier b = {barrier};
    struct out o;

    drbd_barrier_encode(out_begin(&o), &b);
    out_send(l, &o, LONE_DATA, P_BARRIER);
}

void lone_send_barrier_ack(struct lone *l, uint32_t barrier, uint32_t set_size)
{
    struct drbd_barrier_ack b = {barrier, set_size};
    struct out o;

    drbd_barrier_ack_encode(out_begin(&o), &b);
    out_send(l, &o, LONE_META, P_BARRIER_ACK);
}

void lone_send_ack(
    struct lone *l, unsigned command, uint64_t sector, uint64_t block_id, uint32_t bytes)
{
    struct drbd_block_ack ack = {.sector = sector, .block_id = block_id, .size_bytes = bytes};
    struct out o;

    drbd_block_ack_encode(out_begin(&o), &ack);
    out_send(l, &o, LONE_META, command);
}

void lone_send_req(
    struct lone *l, unsigned command, uint64_t sector, uint64_t block_id, uint32_t bytes)
{
    struct drbd_block_req req = {.sector = sector, .block_id = block_id, .size_bytes = bytes};
    struct out o;

    drbd_block_req_encode(out_begin(&o), &req);
    out_send(l, &o, LONE_DATA, command);
}

void lone_send_state(struct lone *l, struct drbd_state s)
{
    struct out o;

    drbd_u32_encode(out_begin(&o), drbd_state_pack(&s));
    out_send(l, &o, LONE_DATA, P_STATE);
}

/* --- what it receives --- */

bool lone_take(struct lone *l, uint32_t sock, struct lone_packet *p)
{
    int s = sock == LONE_META, n, version = DRBD_PROTOCOL_START;
    const uint8_t *at = l->out[s] + l->out_taken[s];
    struct drbd_header h;

    if (l->out_taken[s] == l->out_bytes[s])
        return false;
    if (at[0] == 0x86)
        version = DRBD_PROTOCOL_MAX;
    n = drbd_header_decode(at, l->out_bytes[s] - l->out_taken[s], version, &h);
    assert_true(n > 0);
    p->command = h.command;
    p->vnr = h.volume;
    p->length_bytes = h.length_bytes;
    p->body = at + n;
    l->out_taken[s] += (uint32_t)n + h.length_bytes;
    assert_true(l->out_taken[s] <= l->out_bytes[s]);
    return true;
}

struct lone_packet lone_expect(struct lone *l, uint32_t sock, unsigned command)
{
    struct lone_packet p = {0};

    if (!lone_take(l, sock, &p))
        fail_msg("expected %s, got nothing", drbd_packet_name(command));
    if (p.command != command)
        fail_msg("expected %s, got %s", drbd_packet_name(command), drbd_packet_name(p.command));
    return p;
}

struct drbd_block_ack lone_expect_ack(struct lone *l, unsigned command)
{
    struct lone_packet p = lone_expect(l, LONE_META, command);
    struct drbd_block_ack ack;
    struct hv_reader rd;

    hv_reader_init(&rd, p.body, p.length_bytes);
    assert_int_equal(drbd_block_ack_decode(&rd, &ack), 0);
    return ack;
}

struct drbd_data lone_expect_data(struct lone *l)
{
    struct lone_packet p = lone_expect(l, LONE_DATA, P_DATA);
    struct drbd_data data;
    struct hv_reader rd;

    hv_reader_init(&rd, p.body, p.length_bytes);
    assert_int_equal(drbd_data_decode(&rd, &data), 0);
    return data;
}

struct drbd_block_req lone_expect_req(struct lone *l, unsigned command)
{
    struct lone_packet p = lone_expect(l, LONE_DATA, command);
    struct drbd_block_req req;
    struct hv_reader rd;

    hv_reader_init(&rd, p.body, p.length_bytes);
    assert_int_equal(drbd_block_req_decode(&rd, &req), 0);
    return req;
}

void lone_expect_barrier_ack(struct lone *l, uint32_t barrier, uint32_t set_size)
{
    struct lone_packet p = lone_expect(l, LONE_META, P_BARRIER_ACK);
    struct drbd_barrier_ack ack;
    struct hv_reader rd;

    hv_reader_init(&rd, p.body, p.length_bytes);
    assert_int_equal(drbd_barrier_ack_decode(&rd, &ack), 0);
    assert_int_equal(ack.barrier, barrier);
    assert_int_equal(ack.set_size, set_size);
}

void lone_expect_nothing(struct lone *l)
{
    struct lone_packet p;

    for (uint32_t sock = LONE_DATA; sock <= LONE_META; sock += LONE_META - LONE_DATA)
        if (lone_take(l, sock, &p))
            fail_msg("expected nothing, got %s", drbd_packet_name(p.command));
}

static void forget_all(struct lone *l)
{
    for (int s = 0; s < 2; s++)
        l->out_taken[s] = l->out_bytes[s] = 0;
}

/* --- the application --- */

void lone_app(struct lone *l, enum repl_app_op op, uint32_t flags, uint64_t sector, uint32_t bytes,
    uint8_t fill, uint64_t token)
{
    struct repl_event ev = {.kind = REPL_EV_APP, .token = token};

    ev.app.op = op;
    ev.app.volume = l->vnr;
    ev.app.flags = flags;
    ev.app.sector = sector;
    ev.app.length_bytes = bytes;
    if (op == REPL_APP_READ || op == REPL_APP_WRITE) {
        ev.app.buf = hv_buf_alloc(&l->pool, bytes);
        memset(ev.app.buf->data, fill, bytes);
    }
    lone_step(l, &ev);
    lone_settle(l);
}

int lone_answer(const struct lone *l, uint64_t token)
{
    for (uint32_t i = 0; i < l->dones; i++)
        if (l->done_token[i] == token)
            return l->done_error[i];
    return 1;
}

struct repl_volume_status lone_status(struct lone *l)
{
    struct repl_status *s = calloc(1, sizeof *s);
    struct repl_volume_status v;

    repl_status(l->r, l->now_ms, s);
    v = s->volume[l->vnr];
    free(s);
    return v;
}

/* --- from nothing to Connected --- */

static const char *const alg = "toy";

static int toy_size(const char *name)
{
    return strcmp(name, alg) == 0 ? 4 : HV_EUNSUPPORTED;
}

static int toy_hash(const char *name, const void *data, size_t length_bytes, uint8_t *out)
{
    memset(out, 0, 4);
    for (size_t i = 0; i < length_bytes; i++)
        out[i % 4] = (uint8_t)(out[i % 4] * 31 + ((const uint8_t *)data)[i]);
    return 4;
}

static int toy_hmac(const char *name, const void *key, size_t key_bytes, const void *data,
    size_t length_bytes, uint8_t *out)
{
    return toy_hash(name, data, length_bytes, out);
}

static const struct hv_digest_ops digest = {toy_size, toy_hash, toy_hmac};

static void configure(struct lone *l)
{
    struct repl_config *c = &l->config;

    snprintf(c->name, sizeof c->name, "r0");
    c->volumes = 1;
    c->requests_max = 128;
    c->digest = &digest;
    c->bufs = &l->pool;
    c->log = (struct hv_log){log_write, l};
    c->volume[0].disk = (struct repl_disk_config){.on_io_error = REPL_IOE_DETACH,
        .disk_flushes = true,
        .disk_drain = true,
        .md_flushes = true,
        .resync_rate_kib = 10240,
        .al_extents = 67,
        .al_updates = true,
        .c_plan_ahead_ds = 20,
        .c_delay_target_ds = 10,
        .c_fill_target_sectors = 100,
        .c_max_rate_kib = 102400};
    c->volume[1] = c->volume[0];
    c->volume[1].vnr = 1;
    c->volume[1].minor = 1;
    c->net = (struct repl_net_config){.wire_protocol = DRBD_PROT_C,
        .timeout_ds = 60,
        .ping_int_s = 10,
        .ping_timeout_ds = 5,
        .connect_int_s = 10,
        .ko_count = 7,
        .max_buffers = 2048,
        .max_epoch_size = 2048,
        .use_rle = true};
    snprintf(c->net.verify_alg, sizeof c->net.verify_alg, "%s", alg);
}

static void format(struct lone *l, struct duo_disk *disk, bool consistent)
{
    struct md_place place = {MD_INDEX_INTERNAL, LONE_DISK_SECTORS, LONE_DISK_SECTORS};
    struct md_superblock sb;
    struct md_layout layout;
    struct hv_diag diag;
    uint8_t block[MD_BLOCK_BYTES];

    assert_int_equal(md_create(&sb, &place, 1, 8, 99, &diag), 0);
    assert_int_equal(md_layout_compute(&place, 1, 8, &layout, &diag), 0);
    l->size_sectors = layout.usable_sectors;
    sb.la_size_sectors = layout.usable_sectors;
    if (consistent) {
        sb.uuid[MD_UUID_CURRENT] = uuid_now;
        sb.flags |= MDF_CONSISTENT | MDF_WAS_UP_TO_DATE;
    }
    md_replay_block_init(block);
    for (uint64_t s = 0; s < layout.al_sectors; s += 8)
        duo_disk_write(disk, layout.al_sector + s, 8, block, true);
    md_encode(&sb, block);
    duo_disk_write(disk, layout.sb_sector, 8, block, true);
}

static int admin(struct lone *l, struct repl_admin a)
{
    struct repl_event ev = {.kind = REPL_EV_ADMIN, .token = 1};

    l->admin_retcode = 0;
    ev.admin = a;
    lone_step(l, &ev);
    lone_settle(l);
    return l->admin_retcode;
}

static void attach(struct lone *l)
{
    struct repl_admin a = {.verb = REPL_ADM_ATTACH, .volume = l->vnr};

    a.attach = (struct repl_attach){.backing_sectors = LONE_DISK_SECTORS,
        .md_index = MD_INDEX_INTERNAL,
        .md_sectors = LONE_DISK_SECTORS,
        .logical_block_bytes = 512,
        .physical_block_bytes = 512,
        .max_io_bytes = 1 << 20,
        .can_discard = true};
    assert_true(admin(l, a) >= SS_SUCCESS);
}

static void accepted(struct lone *l, uint32_t sock, unsigned initial)
{
    struct repl_event ev = {.kind = REPL_EV_ACCEPTED};

    ev.net.sock = sock;
    lone_step(l, &ev);
    lone_send(l, sock, initial, NULL, 0, 0, 0);
}

static uint32_t features_of(const struct lone *l)
{
    return l->version < DRBD_PROTOCOL_MAX ? 0 : DRBD_FF_ALL;
}

static void send_parameters(struct lone *l, const struct drbd_state *state, uint64_t uuid)
{
    struct drbd_protocol protocol = {.wire_protocol = DRBD_PROT_C};
    struct drbd_rs_param param = {.resync_rate_kib_s = 10240,
        .c_plan_ahead = 20,
        .c_delay_target = 10,
        .c_fill_target = 100,
        .c_max_rate_kib_s = 102400};
    struct drbd_sizes sizes = {.disk_sectors = l->size_sectors,
        .current_sectors = l->size_sectors,
        .max_bio_bytes = DRBD_BIO_BYTES_MAX};
    struct drbd_uuids uuids = {.uuid = {uuid}};
    struct out o;

    drbd_protocol_encode(out_begin(&o), &protocol, (int)l->version);
    out_send(l, &o, LONE_DATA, P_PROTOCOL);
    snprintf(param.verify_alg, sizeof param.verify_alg, "%s", alg);
    for (l->vnr = 0; l->vnr < l->config.volumes; l->vnr++) {
        drbd_rs_param_encode(out_begin(&o), &param, (int)l->version);
        out_send(l, &o, LONE_DATA, drbd_rs_param_command((int)l->version));
        drbd_sizes_encode(out_begin(&o), &sizes, features_of(l));
        out_send(l, &o, LONE_DATA, P_SIZES);
        drbd_uuids_encode(out_begin(&o), &uuids);
        out_send(l, &o, LONE_DATA, P_UUIDS);
        lone_send_state(l, *state);
    }
    l->vnr = 0;
}

static void connect(struct lone *l, const struct drbd_state *state, uint64_t uuid)
{
    struct drbd_features features = {DRBD_PROTOCOL_MIN, l->version, features_of(l)};
    struct repl_event failed = {.kind = REPL_EV_CONN_FAILED, .error = HV_EIO};
    struct out o;

    admin(l, (struct repl_admin){.verb = REPL_ADM_CONNECT});
    failed.net.sock = 1;
    lone_step(l, &failed);
    accepted(l, LONE_DATA, P_INITIAL_DATA);
    accepted(l, LONE_META, P_INITIAL_META);
    lone_pass(l, 600);
    drbd_features_encode(out_begin(&o), &features);
    hv_write_zeros(&o.w, 72 - hv_writer_length(&o.w));
    out_send(l, &o, LONE_DATA, P_CONNECTION_FEATURES);
    send_parameters(l, state, uuid);
    l->dropped = false;
    forget_all(l);
}

static struct lone *start(bool consistent, uint32_t version, uint32_t volumes)
{
    struct lone *l = calloc(1, sizeof *l);
    struct hv_diag diag = {{0}};

    l->now_ms = 1000;
    l->version = version;
    l->pool = (struct hv_buf_pool){pool_alloc, pool_free};
    l->out[0] = calloc(1, LONE_OUT_BYTES); /* untouched pages cost nothing */
    l->out[1] = calloc(1, LONE_OUT_BYTES);
    duo_disk_init(&l->disk, LONE_DISK_SECTORS);
    duo_disk_init(&l->second, LONE_DISK_SECTORS);
    configure(l);
    l->config.volumes = volumes;
    format(l, &l->disk, consistent);
    format(l, &l->second, consistent);
    assert_int_equal(repl_new(&l->config, &l->r, &diag), 0);
    for (l->vnr = 0; l->vnr < volumes; l->vnr++)
        attach(l);
    l->vnr = 0;
    return l;
}

static struct lone *connected(bool primary, uint32_t version, uint32_t volumes)
{
    struct lone *l = start(true, version, volumes);
    struct drbd_state peer = {.role = primary ? R_SECONDARY : R_PRIMARY,
        .peer = R_UNKNOWN,
        .conn = C_WF_CONNECTION,
        .disk = D_UP_TO_DATE,
        .pdsk = D_UNKNOWN};

    connect(l, &peer, primary ? uuid_now : uuid_now | 1);
    assert_int_equal(lone_status(l).state.conn, C_CONNECTED);
    if (primary) {
        struct repl_event ev = {.kind = REPL_EV_ADMIN, .token = 1};
        struct out o;

        ev.admin.verb = REPL_ADM_PRIMARY;
        lone_step(l, &ev);
        lone_settle(l);
        lone_send(l, LONE_META, P_PING_ACK, NULL, 0, 0, 0);
        for (l->vnr = 0; l->vnr < volumes; l->vnr++) {
            drbd_u32_encode(out_begin(&o), SS_SUCCESS);
            out_send(l, &o, LONE_META, P_STATE_CHG_REPLY);
        }
        l->vnr = 0;
        assert_int_equal(lone_status(l).state.role, R_PRIMARY);
        forget_all(l);
    }
    assert_int_equal(lone_status(l).state.disk, D_UP_TO_DATE);
    assert_int_equal(lone_status(l).state.pdsk, D_UP_TO_DATE);
    return l;
}

struct lone *lone_new(bool primary)
{
    return connected(primary, DRBD_PROTOCOL_MAX, 1);
}

struct lone *lone_new_version(bool primary, uint32_t version)
{
    return connected(primary, version, 1);
}

struct lone *lone_new_pair(bool primary)
{
    return connected(primary, DRBD_PROTOCOL_MAX, 2);
}

struct lone *lone_new_target(void)
{
    struct lone *l = start(false, DRBD_PROTOCOL_MAX, 1);
    struct drbd_state peer = {.role = R_PRIMARY,
        .peer = R_UNKNOWN,
        .conn = C_WF_CONNECTION,
        .disk = D_UP_TO_DATE,
        .pdsk = D_UNKNOWN};
    struct out o;

    connect(l, &peer, uuid_now | 1);
    assert_int_equal(lone_status(l).state.conn, C_WF_BITMAP_T);
    /* Our bitmap: one run of zeroes; all is set at the other side anyway. */
    {
        uint64_t bits = (l->size_sectors + 7) / 8, words = (bits + 63) / 64;
        uint8_t *zero = calloc(1, 4080);

        while (words > 0) {
            uint32_t n = words < 510 ? (uint32_t)words : 510;
            lone_send(l, LONE_DATA, P_BITMAP, zero, n * 8, 0, 0);
            words -= n;
        }
        lone_send(l, LONE_DATA, P_BITMAP, NULL, 0, 0, 0);
        free(zero);
    }
    assert_int_equal(lone_status(l).state.conn, C_WF_SYNC_UUID);
    forget_all(l);
    drbd_u64_encode(out_begin(&o), UINT64_C(0x7766554433221100));
    out_send(l, &o, LONE_DATA, P_SYNC_UUID);
    assert_int_equal(lone_status(l).state.conn, C_SYNC_TARGET);
    return l;
}

void lone_free(struct lone *l)
{
    for (uint32_t i = 0; i < l->ios; i++)
        hv_buf_put(l->io[i].io.buf);
    repl_free(l->r);
    assert_int_equal(l->bufs_out, 0);
    duo_disk_free(&l->disk);
    duo_disk_free(&l->second);
    free(l->out[0]);
    free(l->out[1]);
    free(l->effects);
    free(l);
}
