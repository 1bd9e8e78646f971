/* SPDX-License-Identifier: Apache-2.0 */
/* The sending side: activity log first, epochs and barriers, what completes when, and what a lost peer
 * leaves behind (wire §9.1 to §9.5, disk §3.4). */
#include "lone.h"

#include "hv_error.h"

static const enum repl_effect_kind al_write = REPL_FX_MD_WRITE;

static struct lone *begin(void)
{
    struct lone *l = lone_new(true);

    lone_expect_nothing(l);
    return l;
}

/* Its first write: then the extent is in the activity log. */
static void warm(struct lone *l)
{
    uint64_t id;

    lone_app(l, REPL_APP_WRITE, 0, 0, 4096, 1, 1000);
    id = lone_expect_data(l).block_id;
    lone_send_ack(l, P_WRITE_ACK, 0, id, 4096);
    lone_expect(l, LONE_DATA, P_BARRIER);
    lone_send_barrier_ack(l, 0, 1);
    assert_int_equal(lone_answer(l, 1000), 0);
}

static void nothing_starts_before_the_activity_log_is_durable(void **state)
{
    struct lone *l = begin();

    l->hold_io = true;
    lone_app(l, REPL_APP_WRITE, 0, 800, 4096, 7, 1);
    assert_int_equal(lone_io_count(l, al_write), 1);
    assert_int_equal(l->io[0].io.flags, REPL_IO_PREFLUSH | REPL_IO_FUA);
    assert_int_equal(lone_io_count(l, REPL_FX_WRITE), 0);
    lone_expect_nothing(l);
    lone_io_one(l, al_write);
    assert_int_equal(lone_io_count(l, REPL_FX_WRITE), 1);
    lone_expect_data(l);
    lone_free(l);
}

static void requests_of_one_turn_share_a_transaction(void **state)
{
    struct lone *l = begin();

    l->hold_io = true;
    lone_app(l, REPL_APP_WRITE, 0, 0, 4096, 1, 1);
    /* These come while the first block is under way: one more block for all of them. */
    for (uint64_t i = 1; i < 8; i++)
        lone_app(l, REPL_APP_WRITE, 0, i * 8192, 4096, 1, 1 + i);
    assert_int_equal(lone_io_count(l, al_write), 1);
    lone_io_one(l, al_write);
    assert_int_equal(lone_io_count(l, al_write), 1);
    assert_int_equal(lone_io_count(l, REPL_FX_WRITE), 1);
    lone_io_one(l, al_write);
    assert_int_equal(lone_io_count(l, al_write), 0);
    assert_int_equal(lone_io_count(l, REPL_FX_WRITE), 8);
    lone_free(l);
}

static void write_needs_both_disks(void **state)
{
    struct lone *l = begin();
    struct drbd_data data;

    warm(l);
    l->hold_io = true;
    lone_app(l, REPL_APP_WRITE, 0, 800, 4096, 7, 1);
    data = lone_expect_data(l);
    assert_int_equal(data.sector, 800);
    assert_int_equal(data.dp_flags, DP_RW_SYNC | DP_SEND_WRITE_ACK);
    lone_io_one(l, REPL_FX_WRITE);
    assert_int_equal(lone_answer(l, 1), 1);
    lone_send_ack(l, P_WRITE_ACK, 800, data.block_id, 4096);
    assert_int_equal(lone_answer(l, 1), 0);

    lone_app(l, REPL_APP_WRITE, 0, 808, 4096, 7, 2);
    lone_expect(l, LONE_DATA, P_BARRIER); /* idle, so at once */
    data = lone_expect_data(l);
    lone_send_ack(l, P_WRITE_ACK, 808, data.block_id, 4096);
    assert_int_equal(lone_answer(l, 2), 1);
    lone_io_one(l, REPL_FX_WRITE);
    assert_int_equal(lone_answer(l, 2), 0);
    lone_free(l);
}

static uint32_t barrier_number(const struct lone_packet *p)
{
    struct drbd_barrier b;
    struct hv_reader rd;

    hv_reader_init(&rd, p->body, p->length_bytes);
    assert_int_equal(drbd_barrier_decode(&rd, &b), 0);
    return b.barrier;
}

static void barrier_separates_what_was_acknowledged_from_what_follows(void **state)
{
    struct lone *l = begin();
    struct lone_packet p;
    uint64_t a, b;

    warm(l);
    lone_app(l, REPL_APP_WRITE, 0, 16, 512, 1, 1);
    lone_app(l, REPL_APP_WRITE, 0, 32, 512, 1, 2);
    a = lone_expect_data(l).block_id;
    b = lone_expect_data(l).block_id;
    lone_send_ack(l, P_WRITE_ACK, 16, a, 512);
    assert_int_equal(lone_answer(l, 1), 0);
    lone_expect_nothing(l); /* another is on its way: the barrier comes with the next write */
    lone_app(l, REPL_APP_WRITE, 0, 48, 512, 1, 3);
    p = lone_expect(l, LONE_DATA, P_BARRIER);
    assert_int_equal(barrier_number(&p), 1);
    lone_expect_data(l);
    lone_send_ack(l, P_WRITE_ACK, 32, b, 512);
    lone_send_barrier_ack(l, 1, 2);
    assert_false(l->dropped);
    lone_free(l);
}

static void late_barrier_goes_out_by_itself(void **state)
{
    struct lone *l = begin();
    uint64_t a;

    warm(l);
    lone_app(l, REPL_APP_WRITE, 0, 16, 512, 1, 1);
    lone_app(l, REPL_APP_WRITE, 0, 32, 512, 1, 2);
    a = lone_expect_data(l).block_id;
    lone_expect_data(l);
    lone_send_ack(l, P_WRITE_ACK, 16, a, 512);
    lone_expect_nothing(l);
    lone_pass(l, 10);
    lone_expect(l, LONE_DATA, P_BARRIER);
    lone_free(l);
}

static void flush_waits_for_barrier_ack_and_disk(void **state)
{
    struct lone *l = begin();
    uint64_t a;

    warm(l);
    lone_app(l, REPL_APP_WRITE, 0, 16, 512, 1, 1);
    a = lone_expect_data(l).block_id;
    lone_send_ack(l, P_WRITE_ACK, 16, a, 512);
    lone_expect(l, LONE_DATA, P_BARRIER);
    l->hold_io = true;
    lone_app(l, REPL_APP_FLUSH, 0, 0, 0, 0, 2);
    assert_int_equal(lone_io_count(l, REPL_FX_FLUSH), 1);
    lone_io_one(l, REPL_FX_FLUSH);
    assert_int_equal(lone_answer(l, 2), 1);
    lone_send_barrier_ack(l, 1, 1);
    assert_int_equal(lone_answer(l, 2), 0);
    /* Nothing since: the peer has nothing to make stable. */
    lone_app(l, REPL_APP_FLUSH, 0, 0, 0, 0, 3);
    lone_io_one(l, REPL_FX_FLUSH);
    assert_int_equal(lone_answer(l, 3), 0);
    lone_expect_nothing(l);
    lone_free(l);
}

static void flush_closes_the_open_epoch(void **state)
{
    struct lone *l = begin();
    uint64_t a;

    warm(l);
    lone_app(l, REPL_APP_WRITE, 0, 16, 512, 1, 1);
    a = lone_expect_data(l).block_id;
    lone_app(l, REPL_APP_FLUSH, 0, 0, 0, 0, 2);
    lone_expect(l, LONE_DATA, P_BARRIER);
    assert_int_equal(lone_answer(l, 2), 1);
    lone_send_ack(l, P_WRITE_ACK, 16, a, 512);
    lone_send_barrier_ack(l, 1, 1);
    assert_int_equal(lone_answer(l, 2), 0);
    lone_free(l);
}

static void fua_is_asked_of_both(void **state)
{
    struct lone *l = begin();

    warm(l);
    l->hold_io = true;
    lone_app(l, REPL_APP_WRITE, REPL_APP_FUA, 16, 512, 1, 1);
    assert_true(lone_expect_data(l).dp_flags & DP_FUA);
    assert_int_equal(l->io[0].kind, REPL_FX_WRITE);
    assert_int_equal(l->io[0].io.flags, REPL_IO_FUA);
    lone_free(l);
}

static void refusal_leaves_a_mark(void **state)
{
    struct lone *l = begin();
    uint64_t a;

    warm(l);
    lone_app(l, REPL_APP_WRITE, 0, 16, 4096, 1, 1);
    a = lone_expect_data(l).block_id;
    lone_send_ack(l, P_NEG_ACK, 16, a, 4096);
    assert_int_equal(lone_answer(l, 1), 0);
    assert_int_equal(lone_status(l).oos_kib, 4);
    lone_free(l);
}

static void lost_peer_leaves_marks_and_a_new_uuid(void **state)
{
    struct lone *l = begin();
    struct repl_event gone = {.kind = REPL_EV_SOCK_CLOSED};
    uint64_t before, a;

    warm(l);
    before = lone_status(l).uuid[0];
    lone_app(l, REPL_APP_WRITE, 0, 16, 4096, 1, 1); /* never acked */
    lone_app(l, REPL_APP_WRITE, 0, 32, 4096, 1, 2); /* acked, not stable at the peer */
    lone_expect_data(l);
    a = lone_expect_data(l).block_id;
    lone_send_ack(l, P_WRITE_ACK, 32, a, 4096);
    assert_int_equal(lone_answer(l, 2), 0);
    l->hold_io = true;
    gone.net.sock = LONE_DATA;
    lone_step(l, &gone);
    lone_settle(l);
    assert_int_equal(lone_status(l).oos_kib, 8);
    assert_int_equal(lone_answer(l, 1), 1); /* the new UUID is not durable yet */
    l->hold_io = false;
    lone_settle(l);
    assert_int_equal(lone_answer(l, 1), 0);
    assert_int_not_equal(lone_status(l).uuid[0], before);
    lone_free(l);
}

static void overdue_answer_ends_the_connection(void **state)
{
    struct lone *l = begin();

    warm(l);
    lone_app(l, REPL_APP_WRITE, 0, 16, 4096, 1, 1);
    for (int i = 0; i < 43; i++) {
        lone_pass(l, 1000);
        lone_send(l, LONE_META, P_PING_ACK, NULL, 0, 0, 0);
    }
    assert_true(l->dropped);
    assert_int_equal(lone_answer(l, 1), 0);
    lone_free(l);
}

static void overlapping_writes_go_one_after_the_other(void **state)
{
    struct lone *l = begin();
    uint64_t a;

    warm(l);
    lone_app(l, REPL_APP_WRITE, 0, 16, 4096, 1, 1);
    lone_app(l, REPL_APP_WRITE, 0, 20, 4096, 2, 2);
    a = lone_expect_data(l).block_id;
    lone_expect_nothing(l);
    lone_send_ack(l, P_WRITE_ACK, 16, a, 4096);
    lone_expect(l, LONE_DATA, P_BARRIER);
    assert_int_equal(lone_expect_data(l).sector, 20);
    assert_int_equal(l->disk.now[20 * 512], 2);
    lone_free(l);
}

static void full_activity_log_waits_for_barrier_acks(void **state)
{
    struct lone *l = begin();
    uint64_t id[80], sector = 0;
    struct lone_packet p;
    uint32_t n = 0;

    /* The volume has 16 extents and the log 67: pin them all, none is ever refused. */
    for (; n < 15; n++, sector += 8192)
        lone_app(l, REPL_APP_WRITE, 0, sector, 512, 1, n);
    for (uint32_t i = 0; i < n; i++)
        id[i] = lone_expect_data(l).block_id;
    for (uint32_t i = 0; i < n; i++)
        lone_send_ack(l, P_WRITE_ACK, (uint64_t)i * 8192, id[i], 512);
    p = lone_expect(l, LONE_DATA, P_BARRIER);
    lone_send_barrier_ack(l, barrier_number(&p), n);
    assert_false(l->dropped);
    assert_in_range(lone_status(l).al_writes, 1, 15);
    lone_free(l);
}

static void read_error_is_served_by_the_peer(void **state)
{
    struct lone *l = begin();
    struct drbd_block_req req;
    struct drbd_data data = {0};
    uint8_t sub[24];
    struct hv_writer w;

    l->fail_data = true;
    lone_app(l, REPL_APP_READ, 0, 640, 4096, 0, 1);
    while (l->out[0][l->out_taken[0] + 7] == (P_STATE & 0xff))
        lone_expect(l, LONE_DATA, P_STATE);
    req = lone_expect_req(l, P_DATA_REQUEST);
    assert_int_equal(req.sector, 640);
    assert_int_equal(lone_answer(l, 1), 1);
    data.sector = 640;
    data.block_id = req.block_id;
    hv_writer_init(&w, sub, sizeof sub);
    drbd_data_encode(&w, &data);
    lone_send(l, LONE_DATA, P_DATA_REPLY, sub, sizeof sub, 0x33, 4096);
    assert_int_equal(lone_answer(l, 1), 0);
    assert_false(l->dropped);
    lone_free(l);
}

/* Below 95 only the hint travels: what must be stable waits for the barrier ack (wire §3.2). */
static void old_peer_is_not_told_of_fua_and_waited_for(void **state)
{
    struct lone *l = lone_new_version(true, 94);
    struct drbd_data data;

    lone_app(l, REPL_APP_WRITE, REPL_APP_FUA, 0, 4096, 1, 1);
    data = lone_expect_data(l);
    assert_int_equal(data.dp_flags, DP_RW_SYNC);
    lone_send_ack(l, P_WRITE_ACK, 0, data.block_id, 4096);
    assert_int_equal(lone_answer(l, 1), 1);
    lone_expect(l, LONE_DATA, P_BARRIER);
    lone_send_barrier_ack(l, 0, 1);
    assert_int_equal(lone_answer(l, 1), 0);
    assert_false(l->dropped);
    lone_free(l);
}

static void old_peer_gets_large_writes_in_pieces(void **state)
{
    struct lone *l = lone_new_version(true, 94);
    struct lone_packet p;
    struct drbd_data data;
    struct hv_reader rd;

    lone_app(l, REPL_APP_WRITE, 0, 64, 100 * 1024, 5, 1);
    for (uint32_t at = 0; at < 100; at += 32) {
        uint32_t bytes = (at + 32 <= 100 ? 32 : 100 - at) * 1024;

        do {
            p = (struct lone_packet){0};
            assert_true(lone_take(l, LONE_DATA, &p));
        } while (p.command == P_BARRIER);
        assert_int_equal(p.command, P_DATA);
        assert_int_equal(p.length_bytes, 24 + bytes);
        hv_reader_init(&rd, p.body, p.length_bytes);
        assert_int_equal(drbd_data_decode(&rd, &data), 0);
        assert_int_equal(data.sector, 64 + at * 2);
        assert_int_equal(lone_answer(l, 1), 1);
        lone_send_ack(l, P_WRITE_ACK, data.sector, data.block_id, bytes);
    }
    assert_int_equal(lone_answer(l, 1), 0);
    assert_int_equal(l->disk.now[64 * 512 + 100 * 1024 - 1], 5);
    lone_free(l);
}

static void old_peer_is_not_sent_discards(void **state)
{
    struct lone *l = lone_new_version(true, 100);

    lone_app(l, REPL_APP_DISCARD, 0, 0, 1 << 20, 0, 1);
    assert_int_equal(lone_answer(l, 1), HV_EUNSUPPORTED);
    lone_app(l, REPL_APP_ZEROES, 0, 0, 1 << 20, 0, 2);
    assert_int_equal(lone_answer(l, 2), HV_EUNSUPPORTED);
    lone_expect_nothing(l);
    lone_free(l);
}

static void volumes_share_epochs(void **state)
{
    struct lone *l = lone_new_pair(true);
    struct lone_packet p;
    struct drbd_data data[2];
    struct hv_reader rd;

    for (l->vnr = 0; l->vnr < 2; l->vnr++) {
        lone_app(l, REPL_APP_WRITE, 0, 64, 4096, (uint8_t)(5 + l->vnr), l->vnr);
        p = lone_expect(l, LONE_DATA, P_DATA);
        assert_int_equal(p.vnr, l->vnr);
        hv_reader_init(&rd, p.body, p.length_bytes);
        assert_int_equal(drbd_data_decode(&rd, &data[l->vnr]), 0);
    }
    assert_int_equal(l->disk.now[64 * 512], 5);
    assert_int_equal(l->second.now[64 * 512], 6);
    for (l->vnr = 0; l->vnr < 2; l->vnr++)
        lone_send_ack(l, P_WRITE_ACK, 64, data[l->vnr].block_id, 4096);
    p = lone_expect(l, LONE_DATA, P_BARRIER);
    lone_send_barrier_ack(l, barrier_number(&p), 2);
    assert_int_equal(lone_answer(l, 0), 0);
    assert_int_equal(lone_answer(l, 1), 0);
    assert_false(l->dropped);
    /* An ack on the wrong volume is a lie. */
    l->vnr = 1;
    lone_app(l, REPL_APP_WRITE, 0, 64, 4096, 7, 2);
    p = lone_expect(l, LONE_DATA, P_DATA);
    hv_reader_init(&rd, p.body, p.length_bytes);
    assert_int_equal(drbd_data_decode(&rd, &data[0]), 0);
    l->vnr = 0;
    lone_send_ack(l, P_WRITE_ACK, 64, data[0].block_id, 4096);
    assert_true(l->dropped);
    lone_free(l);
}

static void lost_peer_is_noted_on_every_volume(void **state)
{
    struct lone *l = lone_new_pair(true);
    struct repl_event gone = {.kind = REPL_EV_SOCK_CLOSED};
    uint64_t before[2];

    for (l->vnr = 0; l->vnr < 2; l->vnr++) {
        before[l->vnr] = lone_status(l).uuid[0];
        lone_app(l, REPL_APP_WRITE, 0, 64, 4096, 5, l->vnr);
    }
    l->vnr = 0;
    gone.net.sock = LONE_DATA;
    lone_step(l, &gone);
    lone_settle(l);
    for (l->vnr = 0; l->vnr < 2; l->vnr++) {
        assert_int_equal(lone_status(l).oos_kib, 4);
        assert_int_not_equal(lone_status(l).uuid[0], before[l->vnr]);
        assert_int_equal(lone_answer(l, l->vnr), 0);
    }
    lone_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_starts_before_the_activity_log_is_durable),
        cmocka_unit_test(requests_of_one_turn_share_a_transaction),
        cmocka_unit_test(write_needs_both_disks),
        cmocka_unit_test(barrier_separates_what_was_acknowledged_from_what_follows),
        cmocka_unit_test(late_barrier_goes_out_by_itself),
        cmocka_unit_test(flush_waits_for_barrier_ack_and_disk),
        cmocka_unit_test(flush_closes_the_open_epoch),
        cmocka_unit_test(fua_is_asked_of_both),
        cmocka_unit_test(refusal_leaves_a_mark),
        cmocka_unit_test(lost_peer_leaves_marks_and_a_new_uuid),
        cmocka_unit_test(overdue_answer_ends_the_connection),
        cmocka_unit_test(overlapping_writes_go_one_after_the_other),
        cmocka_unit_test(full_activity_log_waits_for_barrier_acks),
        cmocka_unit_test(read_error_is_served_by_the_peer),
        cmocka_unit_test(volumes_share_epochs),
        cmocka_unit_test(lost_peer_is_noted_on_every_volume),
        cmocka_unit_test(old_peer_is_not_told_of_fua_and_waited_for),
        cmocka_unit_test(old_peer_gets_large_writes_in_pieces),
        cmocka_unit_test(old_peer_is_not_sent_discards),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
