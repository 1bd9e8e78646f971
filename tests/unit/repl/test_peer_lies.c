/* SPDX-License-Identifier: Apache-2.0 */
/* Everything that a peer may say and that cannot be so costs it the connection, and this disk nothing. */
#include "lone.h"

#include <stdio.h>

#include "hv_crc32c.h"
#include "hv_prng.h"

enum { DP_C = DP_SEND_WRITE_ACK };

static uint32_t disk_sum(const struct lone *l)
{
    return hv_crc32c(0, l->disk.now, (size_t)l->size_sectors * 512);
}

struct lie {
    const char *name;
    bool primary;
    void (*tell)(struct lone *l);
};

static void data_beyond_the_end(struct lone *l)
{
    lone_send_data(l, l->size_sectors - 1, 1024, 1, DP_C, 9);
}

static void data_far_beyond_the_end(struct lone *l)
{
    lone_send_data(l, UINT64_MAX - 1, 1024, 1, DP_C, 9);
}

static void data_of_no_bytes(struct lone *l)
{
    lone_send_data(l, 0, 0, 1, DP_C, 9);
}

static void data_of_half_a_sector(struct lone *l)
{
    lone_send_data(l, 0, 700, 1, DP_C, 9);
}

static void data_to_a_primary(struct lone *l)
{
    lone_send_data(l, 0, 512, 1, DP_C, 9);
}

static void trim_of_too_much(struct lone *l)
{
    lone_send_trim(l, P_TRIM, 0, 0xfffffe00, 1, DP_C);
}

static void zeroes_beyond_the_end(struct lone *l)
{
    lone_send_trim(l, P_ZEROES, l->size_sectors, 512, 1, DP_C);
}

static void reply_to_nothing(struct lone *l)
{
    uint8_t sub[24] = {0};

    lone_send(l, LONE_DATA, P_DATA_REPLY, sub, sizeof sub, 9, 4096);
}

static void resync_data_unasked(struct lone *l)
{
    uint8_t sub[24] = {0};

    memset(sub + 8, 0xff, 8);
    lone_send(l, LONE_DATA, P_RS_DATA_REPLY, sub, sizeof sub, 9, 4096);
}

static void deallocated_unasked(struct lone *l)
{
    uint8_t sub[16] = {0};

    sub[10] = 0x10;
    lone_send(l, LONE_DATA, P_RS_DEALLOCATED, sub, sizeof sub, 0, 0);
}

static void ack_of_nothing(struct lone *l)
{
    lone_send_ack(l, P_WRITE_ACK, 0, 12345, 4096);
}

static void negative_ack_of_nothing(struct lone *l)
{
    lone_send_ack(l, P_NEG_ACK, 0, 12345, 4096);
}

static void superseded(struct lone *l)
{
    lone_send_ack(l, P_SUPERSEDED, 0, 12345, 4096);
}

static void retry(struct lone *l)
{
    lone_send_ack(l, P_RETRY_WRITE, 0, 12345, 4096);
}

static void barrier_ack_of_nothing(struct lone *l)
{
    lone_send_barrier_ack(l, 0, 0);
}

static uint64_t one_write(struct lone *l)
{
    lone_app(l, REPL_APP_WRITE, 0, 0, 4096, 0, 1);
    return lone_expect_data(l).block_id;
}

static void ack_of_another_size(struct lone *l)
{
    lone_send_ack(l, P_WRITE_ACK, 0, one_write(l), 512);
}

static void ack_of_another_sector(struct lone *l)
{
    lone_send_ack(l, P_WRITE_ACK, 8, one_write(l), 4096);
}

static void receive_ack_with_protocol_c(struct lone *l)
{
    lone_send_ack(l, P_RECV_ACK, 0, one_write(l), 4096);
}

static void ack_twice(struct lone *l)
{
    uint64_t id = one_write(l);

    lone_send_ack(l, P_WRITE_ACK, 0, id, 4096);
    assert_false(l->dropped);
    lone_send_ack(l, P_WRITE_ACK, 0, id, 4096);
}

static void barrier_ack_before_the_barrier(struct lone *l)
{
    one_write(l);
    lone_send_barrier_ack(l, 0, 1);
}

static void barrier_ack_with_a_wrong_count(struct lone *l)
{
    lone_send_ack(l, P_WRITE_ACK, 0, one_write(l), 4096);
    lone_send_barrier_ack(l, 0, 2);
}

static void barrier_ack_with_a_wrong_number(struct lone *l)
{
    lone_send_ack(l, P_WRITE_ACK, 0, one_write(l), 4096);
    lone_send_barrier_ack(l, 1, 1);
}

static void barrier_ack_before_the_write_ack(struct lone *l)
{
    one_write(l);
    lone_app(l, REPL_APP_FLUSH, 0, 0, 0, 0, 2);
    lone_send_barrier_ack(l, 0, 1);
}

static void read_beyond_the_end(struct lone *l)
{
    lone_send_req(l, P_DATA_REQUEST, l->size_sectors - 7, 1, 4096);
}

static void read_of_too_much(struct lone *l)
{
    lone_send_req(l, P_DATA_REQUEST, 0, 1, (1 << 20) + 512);
}

static void resync_request_over_two_extents(struct lone *l)
{
    lone_send_req(l, P_RS_DATA_REQUEST, 32760, DRBD_ID_SYNCER, 8192);
}

static void checksum_request_without_algorithm(struct lone *l)
{
    uint8_t sub[28] = {0};

    sub[18] = 0x10;
    lone_send(l, LONE_DATA, P_CSUM_RS_REQUEST, sub, sizeof sub, 0, 0);
}

static void out_of_sync_beyond_the_end(struct lone *l)
{
    uint8_t sub[16] = {0xff, [10] = 0x10};

    lone_send(l, LONE_DATA, P_OUT_OF_SYNC, sub, sizeof sub, 0, 0);
}

static void verdict_unasked(struct lone *l)
{
    lone_send_ack(l, P_OV_RESULT, 0, DRBD_OV_OUT_OF_SYNC, 4096);
}

static void digest_unasked(struct lone *l)
{
    uint8_t sub[28] = {0};

    sub[18] = 0x10;
    lone_send(l, LONE_DATA, P_OV_REPLY, sub, sizeof sub, 0, 0);
}

static void in_sync_unasked(struct lone *l)
{
    lone_send_ack(l, P_RS_IS_IN_SYNC, 0, DRBD_ID_SYNCER, 4096);
}

static void cancel_unasked(struct lone *l)
{
    lone_send_ack(l, P_RS_CANCEL, 0, DRBD_ID_SYNCER, 4096);
}

#define LIE(name, primary)                                                                         \
    {                                                                                              \
#name, primary, name                                                                       \
    }
static const struct lie lies[] = {
    LIE(data_beyond_the_end, false),
    LIE(data_far_beyond_the_end, false),
    LIE(data_of_no_bytes, false),
    LIE(data_of_half_a_sector, false),
    LIE(data_to_a_primary, true),
    LIE(trim_of_too_much, false),
    LIE(zeroes_beyond_the_end, false),
    LIE(reply_to_nothing, true),
    LIE(resync_data_unasked, false),
    LIE(deallocated_unasked, false),
    LIE(ack_of_nothing, true),
    LIE(negative_ack_of_nothing, true),
    LIE(superseded, true),
    LIE(retry, true),
    LIE(barrier_ack_of_nothing, true),
    LIE(ack_of_another_size, true),
    LIE(ack_of_another_sector, true),
    LIE(receive_ack_with_protocol_c, true),
    LIE(ack_twice, true),
    LIE(barrier_ack_before_the_barrier, true),
    LIE(barrier_ack_with_a_wrong_count, true),
    LIE(barrier_ack_with_a_wrong_number, true),
    LIE(barrier_ack_before_the_write_ack, true),
    LIE(read_beyond_the_end, false),
    LIE(read_of_too_much, false),
    LIE(resync_request_over_two_extents, false),
    LIE(checksum_request_without_algorithm, false),
    LIE(out_of_sync_beyond_the_end, false),
    LIE(verdict_unasked, false),
    LIE(digest_unasked, false),
    LIE(in_sync_unasked, false),
    LIE(cancel_unasked, false),
};

static void every_lie_costs_the_connection_and_no_byte(void **state)
{
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        struct lone *l = lone_new(lies[i].primary);
        uint32_t before = disk_sum(l);

        lies[i].tell(l);
        if (!l->dropped || disk_sum(l) != before)
            fail_msg("%s: dropped %d; %s", lies[i].name, l->dropped, l->last_log);
        lone_free(l);
    }
}

static void resync_data_twice_is_a_lie(void **state)
{
    struct lone *l = lone_new_target();
    struct drbd_block_req req;
    uint8_t sub[24] = {0};
    struct drbd_data data = {.block_id = DRBD_ID_SYNCER};
    struct hv_writer w;

    req = lone_expect_req(l, P_RS_DATA_REQUEST);
    data.sector = req.sector;
    hv_writer_init(&w, sub, sizeof sub);
    drbd_data_encode(&w, &data);
    lone_send(l, LONE_DATA, P_RS_DATA_REPLY, sub, sizeof sub, 0x21, req.size_bytes);
    assert_false(l->dropped);
    assert_int_equal(lone_expect_ack(l, P_RS_WRITE_ACK).size_bytes, req.size_bytes);
    assert_int_equal(l->disk.now[req.sector * 512], 0x21);
    lone_send(l, LONE_DATA, P_RS_DATA_REPLY, sub, sizeof sub, 0x22, req.size_bytes);
    assert_true(l->dropped);
    assert_int_equal(l->disk.now[req.sector * 512], 0x21);
    lone_free(l);
}

/* Packets of random kind and content: nothing but a dropped connection may come of it. */
static void noise_is_survived(void **state)
{
    static const unsigned commands[] = {P_DATA, P_DATA_REPLY, P_RS_DATA_REPLY, P_BARRIER,
        P_UNPLUG_REMOTE, P_DATA_REQUEST, P_RS_DATA_REQUEST, P_RECV_ACK, P_WRITE_ACK, P_RS_WRITE_ACK,
        P_SUPERSEDED, P_NEG_ACK, P_NEG_DREPLY, P_NEG_RS_DREPLY, P_BARRIER_ACK, P_OV_REQUEST,
        P_OV_REPLY, P_OV_RESULT, P_CSUM_RS_REQUEST, P_RS_IS_IN_SYNC, P_OUT_OF_SYNC, P_RS_CANCEL,
        P_TRIM, P_RS_THIN_REQ, P_RS_DEALLOCATED, P_ZEROES};
    struct hv_prng prng;

    hv_prng_seed(&prng, 11);
    for (int round = 0; round < 300; round++) {
        struct lone *l = round % 3 == 2 ? lone_new_target() : lone_new(round % 3);

        for (int n = 0; n < 40 && !l->dropped; n++) {
            const struct drbd_packet_info *info = drbd_packet_info(
                commands[hv_prng_below(&prng, sizeof commands / sizeof commands[0])]);
            uint8_t sub[64];

            for (size_t i = 0; i < sizeof sub; i++)
                sub[i] = hv_prng_below(&prng, 3) ? 0 : (uint8_t)hv_prng_next(&prng);
            if (hv_prng_below(&prng, 8)) { /* mostly inside the device and of a usual size */
                memset(sub, 0, 6);
                sub[6] &= 0x3f;
                memset(sub + 16, 0, 4);
                sub[18] = (uint8_t)(hv_prng_below(&prng, 8) * 16);
                memset(sub + 24, 0, 4);
                sub[26] = 0x10;
            }
            lone_send(l, info->socket == DRBD_SOCK_META ? LONE_META : LONE_DATA, info->command, sub,
                info->sub_bytes, 0x77, info->more ? (uint32_t)hv_prng_below(&prng, 9) * 512 : 0);
        }
        lone_pass(l, 2000);
        lone_free(l);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_lie_costs_the_connection_and_no_byte),
        cmocka_unit_test(resync_data_twice_is_a_lie),
        cmocka_unit_test(noise_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
