/* SPDX-License-Identifier: Apache-2.0 */
#include "drbd_packet.h"

#include <string.h>

#include "hv_assert.h"
#include "hv_endian.h"

static const uint32_t magic_h80 = 0x83740267;
static const uint16_t magic_h95 = 0x835a;
static const uint32_t magic_h100 = 0x8620ec20;

/* Above this a sender of 95..99 uses the header with the wide length. */
enum { H80_LENGTH_MAX = 32768 };

#define INFO_ROW(packet, number, sock, sub, follows)                                               \
    {.name = #packet,                                                                              \
        .command = (packet),                                                                       \
        .socket = DRBD_SOCK_##sock,                                                                \
        .sub_bytes = (sub),                                                                        \
        .more = (follows)},
static const struct drbd_packet_info packets[] = {DRBD_PACKETS(INFO_ROW)};
#undef INFO_ROW

const struct drbd_packet_info *drbd_packet_info(unsigned command)
{
    for (size_t i = 0; i < sizeof packets / sizeof *packets; i++)
        if (packets[i].command == command)
            return &packets[i];
    return NULL;
}

const char *drbd_packet_name(unsigned command)
{
    const struct drbd_packet_info *info = drbd_packet_info(command);
    return info ? info->name : "?";
}

uint32_t drbd_packet_sub_bytes(unsigned command, uint32_t features)
{
    const struct drbd_packet_info *info = drbd_packet_info(command);

    if (!info)
        return 0;
    return info->sub_bytes + (command == P_SIZES && (features & DRBD_FF_WSAME) ? 24u : 0u);
}

int drbd_packet_check(
    unsigned command, enum drbd_socket socket, uint32_t length_bytes, uint32_t features)
{
    const struct drbd_packet_info *info = drbd_packet_info(command);
    uint32_t sub_bytes = drbd_packet_sub_bytes(command, features);

    if (!info || !(info->socket & socket))
        return HV_EPROTO;
    if (length_bytes < sub_bytes || (length_bytes > sub_bytes && !info->more))
        return HV_EINVAL;
    return 0;
}

uint32_t drbd_dp_flags_for(uint32_t dp_flags, int version)
{
    if (version < 95)
        return dp_flags & DP_RW_SYNC;
    if (version < 100)
        return dp_flags & ~(uint32_t)(DP_SEND_RECEIVE_ACK | DP_SEND_WRITE_ACK);
    return dp_flags;
}

uint32_t drbd_bio_bytes_max(int version)
{
    if (version < 95)
        return DRBD_BIO_BYTES_MAX_OLD;
    return version < 100 ? DRBD_BIO_BYTES_MAX_95 : DRBD_BIO_BYTES_MAX;
}

uint32_t drbd_discard_bytes_max(uint32_t features)
{
    return features & DRBD_FF_WSAME ? DRBD_DISCARD_BYTES_MAX : DRBD_DISCARD_BYTES_MAX_OLD;
}

/* ---- headers ---- */

size_t drbd_header_bytes(int version)
{
    return version >= 100 ? 16 : 8;
}

static int header_decode_h100(const uint8_t *bytes, size_t n, struct drbd_header *out)
{
    if (n >= 4 && hv_load_be32(bytes) != magic_h100)
        return HV_EPROTO;
    if (n < 16)
        return 16;
    if (hv_load_be32(bytes + 12) != 0)
        return HV_EPROTO;
    *out = (struct drbd_header){
        .kind = DRBD_H100,
        .volume = hv_load_be16(bytes + 4),
        .command = hv_load_be16(bytes + 6),
        .length_bytes = hv_load_be32(bytes + 8),
    };
    return 16;
}

int drbd_header_decode(const uint8_t *bytes, size_t n, int version, struct drbd_header *out)
{
    bool wide;

    if (version >= 100)
        return header_decode_h100(bytes, n, out);
    if (n < 4)
        return 8;
    wide = hv_load_be16(bytes) == magic_h95;
    if (!wide && hv_load_be32(bytes) != magic_h80)
        return HV_EPROTO;
    if (n < 8)
        return 8;
    *out = (struct drbd_header){
        .kind = wide ? DRBD_H95 : DRBD_H80,
        .command = hv_load_be16(bytes + (wide ? 2 : 4)),
        .length_bytes = wide ? hv_load_be32(bytes + 4) : hv_load_be16(bytes + 6),
    };
    return 8;
}

size_t drbd_header_encode(
    uint8_t *out, int version, unsigned volume, unsigned command, uint32_t length_bytes)
{
    if (version >= 100) {
        hv_store_be32(out, magic_h100);
        hv_store_be16(out + 4, (uint16_t)volume);
        hv_store_be16(out + 6, (uint16_t)command);
        hv_store_be32(out + 8, length_bytes);
        hv_store_be32(out + 12, 0);
        return 16;
    }
    if (version >= 95 && length_bytes > H80_LENGTH_MAX) {
        hv_store_be16(out, magic_h95);
        hv_store_be16(out + 2, (uint16_t)command);
        hv_store_be32(out + 4, length_bytes);
        return 8;
    }
    hv_assert(length_bytes <= UINT16_MAX);
    hv_store_be32(out, magic_h80);
    hv_store_be16(out + 4, (uint16_t)command);
    hv_store_be16(out + 6, (uint16_t)length_bytes);
    return 8;
}

/* ---- sub-headers ---- */

static int reader_result(const struct hv_reader *r)
{
    return r->bad ? HV_EPROTO : 0;
}

void drbd_data_encode(struct hv_writer *w, const struct drbd_data *p)
{
    hv_write_be64(w, p->sector);
    hv_write_be64(w, p->block_id);
    hv_write_be32(w, p->seq_num);
    hv_write_be32(w, p->dp_flags);
}

int drbd_data_decode(struct hv_reader *r, struct drbd_data *p)
{
    p->sector = hv_read_be64(r);
    p->block_id = hv_read_be64(r);
    p->seq_num = hv_read_be32(r);
    p->dp_flags = hv_read_be32(r);
    return reader_result(r);
}

void drbd_trim_encode(struct hv_writer *w, const struct drbd_trim *p)
{
    drbd_data_encode(w, &p->data);
    hv_write_be32(w, p->size_bytes);
}

int drbd_trim_decode(struct hv_reader *r, struct drbd_trim *p)
{
    int rc = drbd_data_decode(r, &p->data);

    p->size_bytes = hv_read_be32(r);
    return rc ? rc : reader_result(r);
}

void drbd_block_req_encode(struct hv_writer *w, const struct drbd_block_req *p)
{
    hv_write_be64(w, p->sector);
    hv_write_be64(w, p->block_id);
    hv_write_be32(w, p->size_bytes);
    hv_write_zeros(w, 4);
}

int drbd_block_req_decode(struct hv_reader *r, struct drbd_block_req *p)
{
    p->sector = hv_read_be64(r);
    p->block_id = hv_read_be64(r);
    p->size_bytes = hv_read_be32(r);
    hv_read_be32(r);
    return reader_result(r);
}

void drbd_block_ack_encode(struct hv_writer *w, const struct drbd_block_ack *p)
{
    hv_write_be64(w, p->sector);
    hv_write_be64(w, p->block_id);
    hv_write_be32(w, p->size_bytes);
    hv_write_be32(w, p->seq_num);
}

int drbd_block_ack_decode(struct hv_reader *r, struct drbd_block_ack *p)
{
    p->sector = hv_read_be64(r);
    p->block_id = hv_read_be64(r);
    p->size_bytes = hv_read_be32(r);
    p->seq_num = hv_read_be32(r);
    return reader_result(r);
}

void drbd_block_desc_encode(struct hv_writer *w, const struct drbd_block_desc *p)
{
    hv_write_be64(w, p->sector);
    hv_write_be32(w, p->size_bytes);
    hv_write_zeros(w, 4);
}

int drbd_block_desc_decode(struct hv_reader *r, struct drbd_block_desc *p)
{
    p->sector = hv_read_be64(r);
    p->size_bytes = hv_read_be32(r);
    hv_read_be32(r);
    return reader_result(r);
}

void drbd_barrier_encode(struct hv_writer *w, const struct drbd_barrier *p)
{
    hv_write_be32(w, p->barrier);
    hv_write_zeros(w, 4);
}

int drbd_barrier_decode(struct hv_reader *r, struct drbd_barrier *p)
{
    p->barrier = hv_read_be32(r);
    hv_read_be32(r);
    return reader_result(r);
}

void drbd_barrier_ack_encode(struct hv_writer *w, const struct drbd_barrier_ack *p)
{
    hv_write_be32(w, p->barrier);
    hv_write_be32(w, p->set_size);
}

int drbd_barrier_ack_decode(struct hv_reader *r, struct drbd_barrier_ack *p)
{
    p->barrier = hv_read_be32(r);
    p->set_size = hv_read_be32(r);
    return reader_result(r);
}

void drbd_req_state_encode(struct hv_writer *w, const struct drbd_req_state *p)
{
    hv_write_be32(w, p->mask);
    hv_write_be32(w, p->val);
}

int drbd_req_state_decode(struct hv_reader *r, struct drbd_req_state *p)
{
    p->mask = hv_read_be32(r);
    p->val = hv_read_be32(r);
    return reader_result(r);
}

void drbd_uuids_encode(struct hv_writer *w, const struct drbd_uuids *p)
{
    for (int i = 0; i < DRBD_UUIDS; i++)
        hv_write_be64(w, p->uuid[i]);
    hv_write_be64(w, p->dirty_bits);
    hv_write_be64(w, p->flags);
}

int drbd_uuids_decode(struct hv_reader *r, struct drbd_uuids *p)
{
    for (int i = 0; i < DRBD_UUIDS; i++)
        p->uuid[i] = hv_read_be64(r);
    p->dirty_bits = hv_read_be64(r);
    p->flags = hv_read_be64(r);
    return reader_result(r);
}

void drbd_delay_probe_encode(struct hv_writer *w, const struct drbd_delay_probe *p)
{
    hv_write_be32(w, p->seq_num);
    hv_write_be32(w, p->offset_us);
}

int drbd_delay_probe_decode(struct hv_reader *r, struct drbd_delay_probe *p)
{
    p->seq_num = hv_read_be32(r);
    p->offset_us = hv_read_be32(r);
    return reader_result(r);
}

void drbd_u32_encode(struct hv_writer *w, uint32_t word)
{
    hv_write_be32(w, word);
}

int drbd_u32_decode(struct hv_reader *r, uint32_t *word)
{
    *word = hv_read_be32(r);
    return reader_result(r);
}

void drbd_u64_encode(struct hv_writer *w, uint64_t word)
{
    hv_write_be64(w, word);
}

int drbd_u64_decode(struct hv_reader *r, uint64_t *word)
{
    *word = hv_read_be64(r);
    return reader_result(r);
}
