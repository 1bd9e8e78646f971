/* SPDX-License-Identifier: Apache-2.0 */
/* The receiving side of writes: epochs, acks, what is on the disk when (wire §9.3, §9.5). */
#include "lone.h"

#include "hv_error.h"

enum { DP_C = DP_SEND_WRITE_ACK | DP_RW_SYNC };

static void write_is_acked_when_it_is_on_the_disk(void **state)
{
    struct lone *l = lone_new(false);
    struct drbd_block_ack ack;

    l->hold_io = true;
    lone_send_data(l, 800, 4096, 0xabcdef, DP_C, 7);
    assert_int_equal(lone_io_count(l, REPL_FX_WRITE), 1);
    lone_expect_nothing(l);
    assert_true(lone_io_one(l, REPL_FX_WRITE));
    ack = lone_expect_ack(l, P_WRITE_ACK);
    assert_int_equal(ack.sector, 800);
    assert_int_equal(ack.block_id, 0xabcdef);
    assert_int_equal(ack.size_bytes, 4096);
    assert_int_equal(l->disk.now[800 * 512], 7);
    lone_free(l);
}

static void barrier_is_acked_after_a_flush(void **state)
{
    struct lone *l = lone_new(false);

    l->hold_io = true;
    lone_send_data(l, 0, 512, 1, DP_C, 1);
    lone_send_data(l, 8, 512, 2, DP_C, 2);
    lone_send_barrier(l, 77);
    lone_io_one(l, REPL_FX_WRITE);
    lone_expect_ack(l, P_WRITE_ACK);
    assert_int_equal(lone_io_count(l, REPL_FX_FLUSH), 0);
    lone_io_one(l, REPL_FX_WRITE);
    lone_expect_ack(l, P_WRITE_ACK);
    lone_expect_nothing(l);
    assert_int_equal(lone_io_count(l, REPL_FX_FLUSH), 1);
    lone_io_one(l, REPL_FX_FLUSH);
    lone_expect_barrier_ack(l, 77, 2);
    lone_free(l);
}

static void next_epoch_waits_for_the_flush_of_this_one(void **state)
{
    struct lone *l = lone_new(false);

    l->hold_io = true;
    lone_send_data(l, 0, 512, 1, DP_C, 1);
    lone_send_barrier(l, 1);
    lone_send_data(l, 8, 512, 2, DP_C, 2);
    lone_send_barrier(l, 2);
    lone_send_data(l, 16, 512, 3, DP_C, 3);
    assert_int_equal(lone_io_count(l, REPL_FX_WRITE), 1);
    lone_io_one(l, REPL_FX_WRITE);
    assert_int_equal(lone_io_count(l, REPL_FX_WRITE), 0);
    lone_io_one(l, REPL_FX_FLUSH);
    assert_int_equal(lone_io_count(l, REPL_FX_WRITE), 1);
    lone_expect_ack(l, P_WRITE_ACK);
    lone_expect_barrier_ack(l, 1, 1);
    lone_io_one(l, REPL_FX_WRITE);
    assert_int_equal(lone_io_count(l, REPL_FX_WRITE), 0);
    lone_io_one(l, REPL_FX_FLUSH);
    assert_int_equal(lone_io_count(l, REPL_FX_WRITE), 1);
    l->hold_io = false;
    lone_settle(l);
    assert_int_equal(l->disk.durable[0], 1);
    assert_int_equal(l->disk.durable[8 * 512], 2);
    assert_int_equal(l->disk.now[16 * 512], 3);
    lone_free(l);
}

static void overlapping_writes_are_done_one_after_the_other(void **state)
{
    struct lone *l = lone_new(false);

    l->hold_io = true;
    lone_send_data(l, 100, 4096, 1, DP_C, 1);
    lone_send_data(l, 104, 4096, 2, DP_C, 2);
    lone_send_data(l, 200, 4096, 3, DP_C, 3);
    assert_int_equal(lone_io_count(l, REPL_FX_WRITE), 2);
    l->hold_io = false;
    lone_settle(l);
    assert_int_equal(l->disk.now[103 * 512], 1);
    assert_int_equal(l->disk.now[104 * 512], 2);
    assert_int_equal(l->disk.now[111 * 512], 2);
    lone_free(l);
}

static void fua_reaches_the_disk(void **state)
{
    struct lone *l = lone_new(false);

    lone_send_data(l, 100, 512, 1, DP_C | DP_FUA, 9);
    lone_expect_ack(l, P_WRITE_ACK);
    assert_int_equal(l->disk.durable[100 * 512], 9);
    lone_free(l);
}

static void trim_and_zeroes_are_acked_and_counted(void **state)
{
    struct lone *l = lone_new(false);

    lone_send_data(l, 100, 4096, 1, DP_C, 9);
    lone_expect_ack(l, P_WRITE_ACK);
    l->hold_io = true;
    lone_send_trim(l, P_TRIM, 96, 4096, 2, DP_C | DP_DISCARD);
    assert_int_equal(lone_io_count(l, REPL_FX_DISCARD), 1);
    lone_io_one(l, REPL_FX_DISCARD);
    lone_send_trim(l, P_ZEROES, 104, 8192, 3, DP_C | DP_ZEROES);
    assert_int_equal(lone_io_count(l, REPL_FX_ZEROES), 1);
    l->hold_io = false;
    lone_settle(l);
    assert_int_equal(lone_expect_ack(l, P_WRITE_ACK).block_id, 2);
    assert_int_equal(lone_expect_ack(l, P_WRITE_ACK).block_id, 3);
    assert_int_equal(l->disk.now[104 * 512], 0);
    lone_send_barrier(l, 5);
    lone_expect_barrier_ack(l, 5, 3);
    lone_free(l);
}

static void failed_write_is_refused_and_marked(void **state)
{
    struct lone *l = lone_new(false);
    struct lone_packet p;

    l->fail_data = true;
    lone_send_data(l, 800, 4096, 5, DP_C, 7);
    assert_int_equal(lone_expect_ack(l, P_NEG_ACK).block_id, 5);
    assert_true(lone_status(l).state.disk <= D_FAILED);
    /* Without a disk: refused, and counted in the epoch all the same. */
    lone_send_data(l, 808, 4096, 6, DP_C, 7);
    assert_int_equal(lone_expect_ack(l, P_NEG_ACK).block_id, 6);
    lone_send_barrier(l, 3);
    lone_expect_barrier_ack(l, 3, 2);
    assert_false(l->dropped);
    while (lone_take(l, LONE_DATA, &p))
        assert_int_equal(p.command, P_STATE);
    lone_free(l);
}

static void failed_flush_drops_the_connection(void **state)
{
    struct lone *l = lone_new(false);

    lone_send_data(l, 0, 512, 1, DP_C, 1);
    lone_expect_ack(l, P_WRITE_ACK);
    l->flush_error = HV_EIO;
    lone_send_barrier(l, 1);
    assert_true(l->dropped);
    struct lone_packet p;
    assert_false(lone_take(l, LONE_META, &p));
    lone_free(l);
}

static void reads_are_served(void **state)
{
    struct lone *l = lone_new(false);
    struct lone_packet p;

    memset(l->disk.now + 3000 * 512, 0x5a, 8192);
    lone_send_req(l, P_DATA_REQUEST, 3000, 4711, 8192);
    p = lone_expect(l, LONE_DATA, P_DATA_REPLY);
    assert_int_equal(p.length_bytes, 24 + 8192);
    assert_int_equal(p.body[24], 0x5a);
    assert_int_equal(p.body[24 + 8191], 0x5a);
    assert_int_equal(p.body[15], 4711 & 0xff);
    l->fail_data = true;
    lone_send_req(l, P_DATA_REQUEST, 3000, 4712, 512);
    assert_int_equal(lone_expect_ack(l, P_NEG_DREPLY).block_id, 4712);
    lone_free(l);
}

static void many_large_reads_share_the_room(void **state)
{
    struct lone *l = lone_new(false);
    uint32_t most = 0, answers = 0;
    struct lone_packet p;

    l->hold_io = true;
    for (uint32_t i = 0; i < 64; i++) {
        lone_send_req(l, P_DATA_REQUEST, (uint64_t)i * 512, i, 1 << 20);
        if (lone_io_count(l, REPL_FX_READ) > most)
            most = lone_io_count(l, REPL_FX_READ);
    }
    assert_in_range(most, 1, 8);
    while (lone_io_one(l, REPL_FX_READ)) {
        while (lone_take(l, LONE_DATA, &p))
            answers += p.command == P_DATA_REPLY;
        l->out_bytes[0] = l->out_taken[0] = 0;
    }
    assert_int_equal(answers, 64);
    lone_free(l);
}

static void verify_request_is_answered_with_a_digest(void **state)
{
    struct lone *l = lone_new(false);
    struct lone_packet p;

    lone_send_req(l, P_OV_REQUEST, 64, DRBD_ID_SYNCER, 4096);
    p = lone_expect(l, LONE_DATA, P_OV_REPLY);
    assert_int_equal(p.length_bytes, 24 + 4);
    lone_send_ack(l, P_OV_RESULT, 64, DRBD_OV_OUT_OF_SYNC, 4096);
    assert_int_equal(lone_status(l).oos_kib, 4);
    assert_false(l->dropped);
    lone_free(l);
}

static void old_peer_is_acked_as_the_protocol_says(void **state)
{
    struct lone *l = lone_new_version(false, 95);

    lone_send_data(l, 800, 4096, 3, DP_RW_SYNC, 7); /* below 100 no ack is asked for */
    assert_int_equal(lone_expect_ack(l, P_WRITE_ACK).block_id, 3);
    assert_false(l->dropped);
    lone_free(l);
}

/* Bits cleared for resync data that a power loss could still take must not reach the disk first. */
static void lost_source_finds_the_bits_of_unflushed_data_on_disk(void **state)
{
    struct lone *l = lone_new_target();
    struct repl_event gone = {.kind = REPL_EV_SOCK_CLOSED};
    struct drbd_block_req req = lone_expect_req(l, P_RS_DATA_REQUEST);
    struct drbd_data data = {.sector = req.sector, .block_id = DRBD_ID_SYNCER};
    struct hv_writer w;
    uint8_t sub[24];

    hv_writer_init(&w, sub, sizeof sub);
    drbd_data_encode(&w, &data);
    lone_send(l, LONE_DATA, P_RS_DATA_REPLY, sub, sizeof sub, 0x21, req.size_bytes);
    assert_int_equal(l->disk.durable[req.sector * 512], 0);
    l->hold_io = true;
    gone.net.sock = LONE_DATA;
    lone_step(l, &gone);
    for (uint32_t i = 0; i < l->ios; i++)
        if (l->io[i].kind == REPL_FX_MD_WRITE)
            assert_true(l->io[i].io.flags & REPL_IO_PREFLUSH); /* the superblock, no bitmap page */
    assert_true(lone_io_count(l, REPL_FX_FLUSH) > 0);
    l->hold_io = false;
    lone_settle(l);
    assert_int_equal(l->disk.durable[req.sector * 512], 0x21);
    lone_free(l);
}

static void barrier_flushes_every_volume_that_was_written(void **state)
{
    struct lone *l = lone_new_pair(false);

    l->hold_io = true;
    for (l->vnr = 0; l->vnr < 2; l->vnr++) {
        lone_send_data(l, 8, 512, 1, DP_C, 4);
        lone_io_one(l, REPL_FX_WRITE);
        lone_expect_ack(l, P_WRITE_ACK);
    }
    l->vnr = 0;
    lone_send_barrier(l, 9);
    assert_int_equal(lone_io_count(l, REPL_FX_FLUSH), 2);
    lone_io_one(l, REPL_FX_FLUSH);
    lone_expect_nothing(l);
    lone_io_one(l, REPL_FX_FLUSH);
    lone_expect_barrier_ack(l, 9, 2);
    assert_int_equal(l->disk.durable[8 * 512], 4);
    assert_int_equal(l->second.durable[8 * 512], 4);
    lone_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(write_is_acked_when_it_is_on_the_disk),
        cmocka_unit_test(barrier_is_acked_after_a_flush),
        cmocka_unit_test(next_epoch_waits_for_the_flush_of_this_one),
        cmocka_unit_test(overlapping_writes_are_done_one_after_the_other),
        cmocka_unit_test(fua_reaches_the_disk),
        cmocka_unit_test(trim_and_zeroes_are_acked_and_counted),
        cmocka_unit_test(failed_write_is_refused_and_marked),
        cmocka_unit_test(failed_flush_drops_the_connection),
        cmocka_unit_test(reads_are_served),
        cmocka_unit_test(many_large_reads_share_the_room),
        cmocka_unit_test(verify_request_is_answered_with_a_digest),
        cmocka_unit_test(barrier_flushes_every_volume_that_was_written),
        cmocka_unit_test(old_peer_is_acked_as_the_protocol_says),
        cmocka_unit_test(lost_source_finds_the_bits_of_unflushed_data_on_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
