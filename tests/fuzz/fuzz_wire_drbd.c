/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as DRBD packets: byte 0 picks the version and features, then header, sub-header and, for
 * bitmap packets, the payload. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "drbd_bitmap_code.h"
#include "drbd_packet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint64_t map_bits = 100003;

static void map_set(void *arg, uint64_t first, uint64_t count)
{
    if (count == 0 || first >= map_bits || count > map_bits - first)
        abort();
}

static void map_merge(void *arg, uint64_t first, const uint8_t *bytes, uint64_t words)
{
    static volatile uint8_t sum;

    if ((first + words) * 64 > map_bits)
        abort();
    for (uint64_t i = 0; i < words * 8; i++)
        sum = (uint8_t)(sum ^ bytes[i]);
}

/* What decodes must take no more than it was given, and encode without overrunning. */
static void sub_header(
    unsigned command, int version, uint32_t features, const uint8_t *at, size_t n)
{
    union {
        struct drbd_data data;
        struct drbd_trim trim;
        struct drbd_block_req req;
        struct drbd_block_ack ack;
        struct drbd_uuids uuids;
        struct drbd_sizes sizes;
        struct drbd_protocol protocol;
        struct drbd_rs_param param;
        struct drbd_features features;
    } u;
    uint8_t out[DRBD_SUB_BYTES_MAX];
    struct hv_reader r;
    struct hv_writer w;

    hv_reader_init(&r, at, n);
    hv_writer_init(&w, out, sizeof out);
#define TRY(kind, ...)                                                                             \
    if (drbd_##kind##_decode(&r, __VA_ARGS__) == 0)                                                \
    drbd_##kind##_encode(&w, __VA_ARGS__)
    switch (command % 9) {
    case 0:
        TRY(data, &u.data);
        break;
    case 1:
        TRY(trim, &u.trim);
        break;
    case 2:
        TRY(block_req, &u.req);
        break;
    case 3:
        TRY(block_ack, &u.ack);
        break;
    case 4:
        TRY(uuids, &u.uuids);
        break;
    case 5:
        TRY(sizes, &u.sizes, features);
        break;
    case 6:
        TRY(protocol, &u.protocol, version);
        break;
    case 7:
        TRY(rs_param, &u.param, version);
        break;
    default:
        TRY(features, &u.features);
    }
    if (w.bad)
        abort();
}

static void bitmap(unsigned command, struct drbd_bitmap_receiver *v, const uint8_t *at, uint32_t n)
{
    int rc = command == P_COMPRESSED_BITMAP ? drbd_bitmap_receive_compressed(v, at, n)
                                            : drbd_bitmap_receive_plain(v, at, n);
    if (rc == 1 && v->at_bit != v->bits)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct drbd_bitmap_receiver v;
    uint32_t features;
    int version;

    if (size < 1)
        return 0;
    version = 86 + data[0] % 16;
    features = data[0] >> 4;
    data++;
    size--;
    drbd_bitmap_receiver_init(
        &v, (struct drbd_bitmap_sink){map_set, map_merge, NULL}, map_bits, 4080);
    for (;;) {
        struct drbd_header h;
        int header_bytes = drbd_header_decode(data, size, version, &h);

        if (header_bytes < 0 || (size_t)header_bytes > size)
            return 0;
        data += header_bytes;
        size -= (size_t)header_bytes;
        if (h.length_bytes > size)
            h.length_bytes = (uint32_t)size;
        if (drbd_packet_check(h.command, DRBD_SOCK_BOTH, h.length_bytes, features) == 0 &&
            (h.command == P_BITMAP || h.command == P_COMPRESSED_BITMAP))
            bitmap(h.command, &v, data, h.length_bytes);
        else
            sub_header(h.command, version, features, data, h.length_bytes);
        data += h.length_bytes;
        size -= h.length_bytes;
    }
}
