/* SPDX-License-Identifier: Apache-2.0 */
/* The packets of the parameter exchange whose layout depends on version or features (wire §3.1, §4). */
#include <string.h>

#include "drbd_packet.h"
#include "hv_assert.h"

static int reader_result(const struct hv_reader *r)
{
    return r->bad ? HV_EPROTO : 0;
}

static void limits_encode(struct hv_writer *w, const struct drbd_queue_limits *p)
{
    hv_write_be32(w, p->physical_block_bytes);
    hv_write_be32(w, p->logical_block_bytes);
    hv_write_be32(w, p->alignment_offset_bytes);
    hv_write_be32(w, p->io_min_bytes);
    hv_write_be32(w, p->io_opt_bytes);
    hv_write_u8(w, p->discard_enabled);
    hv_write_u8(w, p->discard_zeroes_data);
    hv_write_u8(w, p->write_same_capable);
    hv_write_zeros(w, 1);
}

static void limits_decode(struct hv_reader *r, struct drbd_queue_limits *p)
{
    p->physical_block_bytes = hv_read_be32(r);
    p->logical_block_bytes = hv_read_be32(r);
    p->alignment_offset_bytes = hv_read_be32(r);
    p->io_min_bytes = hv_read_be32(r);
    p->io_opt_bytes = hv_read_be32(r);
    p->discard_enabled = hv_read_u8(r);
    p->discard_zeroes_data = hv_read_u8(r);
    p->write_same_capable = hv_read_u8(r);
    hv_read_u8(r);
}

void drbd_sizes_encode(struct hv_writer *w, const struct drbd_sizes *p, uint32_t features)
{
    hv_write_be64(w, p->disk_sectors);
    hv_write_be64(w, p->user_sectors);
    hv_write_be64(w, p->current_sectors);
    hv_write_be32(w, p->max_bio_bytes);
    hv_write_be16(w, p->queue_order_type);
    hv_write_be16(w, p->dds_flags);
    if (features & DRBD_FF_WSAME)
        limits_encode(w, &p->limits);
}

int drbd_sizes_decode(struct hv_reader *r, struct drbd_sizes *p, uint32_t features)
{
    memset(p, 0, sizeof *p);
    p->disk_sectors = hv_read_be64(r);
    p->user_sectors = hv_read_be64(r);
    p->current_sectors = hv_read_be64(r);
    p->max_bio_bytes = hv_read_be32(r);
    p->queue_order_type = hv_read_be16(r);
    p->dds_flags = hv_read_be16(r);
    if (features & DRBD_FF_WSAME)
        limits_decode(r, &p->limits);
    return reader_result(r);
}

/* A name and its NUL fill the rest of the packet. */
static int name_tail_decode(struct hv_reader *r, char *name)
{
    size_t length_bytes = hv_reader_left(r);
    const uint8_t *bytes;

    if (length_bytes == 0 || length_bytes > DRBD_ALG_BYTES)
        return HV_EPROTO;
    bytes = hv_read_bytes(r, length_bytes);
    if (!bytes || bytes[length_bytes - 1] != 0)
        return HV_EPROTO;
    memset(name, 0, DRBD_ALG_BYTES);
    memcpy(name, bytes, strlen((const char *)bytes));
    return 0;
}

static void name_tail_encode(struct hv_writer *w, const char *name)
{
    size_t length_bytes = strnlen(name, DRBD_ALG_BYTES);

    hv_assert(length_bytes < DRBD_ALG_BYTES);
    hv_write_bytes(w, name, length_bytes + 1);
}

static int name_field_decode(struct hv_reader *r, char *name)
{
    const uint8_t *bytes = hv_read_bytes(r, DRBD_ALG_BYTES);

    memset(name, 0, DRBD_ALG_BYTES);
    if (!bytes || !memchr(bytes, 0, DRBD_ALG_BYTES))
        return HV_EPROTO;
    memcpy(name, bytes, strlen((const char *)bytes));
    return 0;
}

static void name_field_encode(struct hv_writer *w, const char *name)
{
    size_t length_bytes = strnlen(name, DRBD_ALG_BYTES);

    hv_assert(length_bytes < DRBD_ALG_BYTES);
    hv_write_bytes(w, name, length_bytes);
    hv_write_zeros(w, DRBD_ALG_BYTES - length_bytes);
}

void drbd_protocol_encode(struct hv_writer *w, const struct drbd_protocol *p, int version)
{
    hv_write_be32(w, p->wire_protocol);
    hv_write_be32(w, p->after_sb_0p);
    hv_write_be32(w, p->after_sb_1p);
    hv_write_be32(w, p->after_sb_2p);
    hv_write_be32(w, p->conn_flags);
    hv_write_be32(w, p->two_primaries);
    if (version >= 87)
        name_tail_encode(w, p->integrity_alg);
}

int drbd_protocol_decode(struct hv_reader *r, struct drbd_protocol *p, int version)
{
    memset(p, 0, sizeof *p);
    p->wire_protocol = hv_read_be32(r);
    p->after_sb_0p = hv_read_be32(r);
    p->after_sb_1p = hv_read_be32(r);
    p->after_sb_2p = hv_read_be32(r);
    p->conn_flags = hv_read_be32(r);
    p->two_primaries = hv_read_be32(r);
    if (r->bad)
        return HV_EPROTO;
    return version >= 87 ? name_tail_decode(r, p->integrity_alg) : 0;
}

unsigned drbd_rs_param_command(int version)
{
    return version < 89 ? P_SYNC_PARAM : P_SYNC_PARAM89;
}

void drbd_rs_param_encode(struct hv_writer *w, const struct drbd_rs_param *p, int version)
{
    hv_write_be32(w, p->resync_rate_kib_s);
    if (version < 88)
        return;
    if (version == 88) {
        name_tail_encode(w, p->verify_alg);
        return;
    }
    name_field_encode(w, p->verify_alg);
    name_field_encode(w, p->csums_alg);
    if (version < 95)
        return;
    hv_write_be32(w, p->c_plan_ahead);
    hv_write_be32(w, p->c_delay_target);
    hv_write_be32(w, p->c_fill_target);
    hv_write_be32(w, p->c_max_rate_kib_s);
}

int drbd_rs_param_decode(struct hv_reader *r, struct drbd_rs_param *p, int version)
{
    int rc;

    memset(p, 0, sizeof *p);
    p->resync_rate_kib_s = hv_read_be32(r);
    if (version == 88)
        return r->bad ? HV_EPROTO : name_tail_decode(r, p->verify_alg);
    if (version >= 89) {
        rc = name_field_decode(r, p->verify_alg);
        if (!rc)
            rc = name_field_decode(r, p->csums_alg);
        if (rc)
            return rc;
    }
    if (version >= 95) {
        p->c_plan_ahead = hv_read_be32(r);
        p->c_delay_target = hv_read_be32(r);
        p->c_fill_target = hv_read_be32(r);
        p->c_max_rate_kib_s = hv_read_be32(r);
    }
    return reader_result(r);
}

void drbd_features_encode(struct hv_writer *w, const struct drbd_features *p)
{
    hv_write_be32(w, p->protocol_min);
    hv_write_be32(w, p->feature_flags);
    hv_write_be32(w, p->protocol_max);
    hv_write_zeros(w, 4 + 7 * 8);
}

int drbd_features_decode(struct hv_reader *r, struct drbd_features *p)
{
    p->protocol_min = hv_read_be32(r);
    p->feature_flags = hv_read_be32(r);
    p->protocol_max = hv_read_be32(r);
    hv_read_bytes(r, 4 + 7 * 8);
    return reader_result(r);
}

int drbd_features_agree(
    const struct drbd_features *mine, const struct drbd_features *peer, uint32_t *features)
{
    uint32_t peer_max = peer->protocol_max ? peer->protocol_max : peer->protocol_min;

    if (peer->protocol_min > mine->protocol_max || peer_max < mine->protocol_min ||
        peer_max < peer->protocol_min)
        return HV_EPROTO;
    *features = mine->feature_flags & peer->feature_flags;
    return (int)(peer_max < mine->protocol_max ? peer_max : mine->protocol_max);
}
