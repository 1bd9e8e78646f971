/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "drbd_packet.h"

/* wire §2, real bytes. */
static void header_old_form(void **state)
{
    static const uint8_t bytes[] = {0x83, 0x74, 0x02, 0x67, 0xff, 0xfe, 0x00, 0x48};
    uint8_t again[DRBD_HEADER_BYTES_MAX];
    struct drbd_header h;

    assert_int_equal(drbd_header_decode(bytes, sizeof bytes, DRBD_PROTOCOL_START, &h), 8);
    assert_int_equal(h.kind, DRBD_H80);
    assert_int_equal(h.command, P_CONNECTION_FEATURES);
    assert_int_equal(h.length_bytes, 72);
    assert_int_equal(drbd_header_encode(again, DRBD_PROTOCOL_START, 0, h.command, 72), 8);
    assert_memory_equal(again, bytes, 8);
}

static void header_new_form(void **state)
{
    static const uint8_t bytes[] = {
        0x86, 0x20, 0xec, 0x20, 0x00, 0x00, 0x00, 0x10, 0x00, 0x00, 0x00, 0x40, 0, 0, 0, 0};
    uint8_t again[DRBD_HEADER_BYTES_MAX];
    struct drbd_header h;

    assert_int_equal(drbd_header_decode(bytes, sizeof bytes, 101, &h), 16);
    assert_int_equal(h.command, P_AUTH_CHALLENGE);
    assert_int_equal(h.volume, 0);
    assert_int_equal(h.length_bytes, 64);
    assert_int_equal(drbd_header_encode(again, 100, 0, P_AUTH_CHALLENGE, 64), 16);
    assert_memory_equal(again, bytes, 16);
}

static void header_wide_form_only_when_needed(void **state)
{
    uint8_t bytes[DRBD_HEADER_BYTES_MAX];
    struct drbd_header h;

    drbd_header_encode(bytes, 95, 0, P_DATA, 32768);
    assert_int_equal(drbd_header_decode(bytes, 8, 95, &h), 8);
    assert_int_equal(h.kind, DRBD_H80);
    drbd_header_encode(bytes, 99, 0, P_DATA, 32769);
    assert_int_equal(drbd_header_decode(bytes, 8, 90, &h), 8);
    assert_int_equal(h.kind, DRBD_H95);
    assert_int_equal(h.length_bytes, 32769);
    assert_int_equal(h.command, P_DATA);
}

static void header_asks_for_more_and_refuses_early(void **state)
{
    uint8_t bytes[DRBD_HEADER_BYTES_MAX];
    struct drbd_header h = {.command = 77};

    drbd_header_encode(bytes, 101, 3, P_STATE, 4);
    for (size_t n = 0; n < 16; n++)
        assert_int_equal(drbd_header_decode(bytes, n, 101, &h), 16);
    assert_int_equal(h.command, 77);
    bytes[15] = 1; /* padding */
    assert_int_equal(drbd_header_decode(bytes, 16, 101, &h), HV_EPROTO);
    bytes[3] = 0; /* magic */
    assert_int_equal(drbd_header_decode(bytes, 4, 101, &h), HV_EPROTO);
    assert_int_equal(drbd_header_decode((const uint8_t *)"GET / HT", 8, 80, &h), HV_EPROTO);
    /* The new form is not understood before version 100, nor the old one after. */
    drbd_header_encode(bytes, 101, 0, P_STATE, 4);
    assert_int_equal(drbd_header_decode(bytes, 16, 99, &h), HV_EPROTO);
    drbd_header_encode(bytes, 99, 0, P_STATE, 4);
    assert_int_equal(drbd_header_decode(bytes, 8, 100, &h), HV_EPROTO);
}

/* wire §3: every row of the catalogue that has a fixed length. */
static void packet_lengths(void **state)
{
    assert_int_equal(drbd_packet_check(P_DATA, DRBD_SOCK_DATA, 24 + 4096, 0), 0);
    assert_int_equal(drbd_packet_check(P_DATA, DRBD_SOCK_DATA, 23, 0), HV_EINVAL);
    assert_int_equal(drbd_packet_check(P_DATA, DRBD_SOCK_META, 24, 0), HV_EPROTO);
    assert_int_equal(drbd_packet_check(P_SIZES, DRBD_SOCK_DATA, 32, 0), 0);
    assert_int_equal(drbd_packet_check(P_SIZES, DRBD_SOCK_DATA, 32, DRBD_FF_ALL), HV_EINVAL);
    assert_int_equal(drbd_packet_check(P_SIZES, DRBD_SOCK_DATA, 56, DRBD_FF_WSAME), 0);
    assert_int_equal(drbd_packet_check(P_PING, DRBD_SOCK_META, 1, 0), HV_EINVAL);
    assert_int_equal(drbd_packet_check(P_DELAY_PROBE, DRBD_SOCK_META, 8, 0), 0);
    assert_int_equal(drbd_packet_check(P_DELAY_PROBE, DRBD_SOCK_DATA, 8, 0), 0);
    assert_int_equal(drbd_packet_check(P_WSAME, DRBD_SOCK_DATA, 28, 0), HV_EPROTO);
    assert_int_equal(drbd_packet_check(P_BECOME_SYNC_TARGET, DRBD_SOCK_DATA, 0, 0), HV_EPROTO);
    assert_int_equal(drbd_packet_check(0x25, DRBD_SOCK_DATA, 0, 0), HV_EPROTO);
    assert_string_equal(drbd_packet_name(0x24), "P_COMPRESSED_BITMAP");
    assert_string_equal(drbd_packet_name(0x1234), "?");
}

/* wire §6.5's examples, and every single field. */
static void state_word(void **state)
{
    struct drbd_state s = drbd_state_unpack(0x000110a6);

    assert_int_equal(s.role, R_SECONDARY);
    assert_int_equal(s.peer, R_PRIMARY);
    assert_int_equal(s.conn, C_CONNECTED);
    assert_int_equal(s.disk, D_UP_TO_DATE);
    assert_int_equal(s.pdsk, D_UP_TO_DATE);
    assert_true(drbd_state_known(&s));
    s = drbd_state_unpack(0x0000c882);
    assert_int_equal(s.conn, C_WF_CONNECTION);
    assert_int_equal(s.pdsk, D_UNKNOWN);
    for (int bit = 0; bit < 23; bit++) {
        s = drbd_state_unpack(1u << bit);
        assert_int_equal(drbd_state_pack(&s), 1u << bit);
    }
    s = drbd_state_unpack(0xffffffff);
    assert_int_equal(drbd_state_pack(&s), 0x007fffff);
    assert_false(drbd_state_known(&s));
}

static void state_names(void **state)
{
    assert_string_equal(drbd_conn_name(C_PAUSED_SYNC_T), "PausedSyncT");
    assert_string_equal(drbd_conn_name((enum drbd_conn)24), "?");
    assert_string_equal(drbd_disk_name(D_UNKNOWN), "DUnknown");
    assert_string_equal(drbd_role_name(R_PRIMARY), "Primary");
    assert_int_equal(drbd_disk_from_name("UpToDate"), 8);
    assert_int_equal(drbd_conn_from_name("nonsense"), -1);
    assert_string_equal(drbd_retcode_text(-10), "State change was refused by peer node");
    assert_string_equal(drbd_retcode_text(-3), "?");
}

static void params_follow_the_version(void **state)
{
    struct drbd_rs_param p = {
        .resync_rate_kib_s = 250, .verify_alg = "sha1", .csums_alg = "md5", .c_max_rate_kib_s = 9};
    static const struct {
        int version;
        size_t bytes;
    } rows[] = {{86, 4}, {87, 4}, {88, 9}, {89, 132}, {94, 132}, {95, 148}, {101, 148}};

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint8_t bytes[DRBD_SUB_BYTES_MAX];
        struct drbd_rs_param q;
        struct hv_writer w;
        struct hv_reader r;

        hv_writer_init(&w, bytes, sizeof bytes);
        drbd_rs_param_encode(&w, &p, rows[i].version);
        assert_int_equal(hv_writer_length(&w), rows[i].bytes);
        hv_reader_init(&r, bytes, rows[i].bytes);
        assert_int_equal(drbd_rs_param_decode(&r, &q, rows[i].version), 0);
        assert_string_equal(q.verify_alg, rows[i].version >= 88 ? "sha1" : "");
        assert_string_equal(q.csums_alg, rows[i].version >= 89 ? "md5" : "");
        assert_int_equal(q.c_max_rate_kib_s, rows[i].version >= 95 ? 9 : 0);
        hv_reader_init(&r, bytes, rows[i].bytes - 1);
        assert_int_equal(drbd_rs_param_decode(&r, &q, rows[i].version), HV_EPROTO);
    }
}

static void names_without_end_are_refused(void **state)
{
    uint8_t bytes[DRBD_SUB_BYTES_MAX];
    struct drbd_rs_param param;
    struct drbd_protocol protocol;
    struct hv_reader r;

    memset(bytes, 'x', sizeof bytes);
    hv_reader_init(&r, bytes, 148);
    assert_int_equal(drbd_rs_param_decode(&r, &param, 101), HV_EPROTO);
    hv_reader_init(&r, bytes, 24 + 5);
    assert_int_equal(drbd_protocol_decode(&r, &protocol, 101), HV_EPROTO);
    hv_reader_init(&r, bytes, 24); /* at least the NUL must be there */
    assert_int_equal(drbd_protocol_decode(&r, &protocol, 101), HV_EPROTO);
    hv_reader_init(&r, bytes, 24);
    assert_int_equal(drbd_protocol_decode(&r, &protocol, 86), 0);
}

static void opaque_fields_come_back_unchanged(void **state)
{
    static const uint8_t id[] = {1, 2, 3, 4, 5, 6, 7, 8};
    uint8_t in[24] = {0}, out[24];
    struct drbd_data data;
    struct drbd_block_ack ack;
    struct hv_reader r;
    struct hv_writer w;

    memcpy(in + 8, id, sizeof id);
    hv_reader_init(&r, in, sizeof in);
    assert_int_equal(drbd_data_decode(&r, &data), 0);
    ack = (struct drbd_block_ack){.sector = data.sector, .block_id = data.block_id};
    hv_writer_init(&w, out, sizeof out);
    drbd_block_ack_encode(&w, &ack);
    assert_memory_equal(out + 8, id, sizeof id);
}

static void features_overlap(void **state)
{
    const struct drbd_features mine = {86, 101, DRBD_FF_ALL};
    uint32_t flags = 99;

    assert_int_equal(
        drbd_features_agree(&mine, &(struct drbd_features){86, 124, 0x3ff}, &flags), 101);
    assert_int_equal(flags, DRBD_FF_ALL);
    assert_int_equal(drbd_features_agree(&mine, &(struct drbd_features){80, 96, 1}, &flags), 96);
    assert_int_equal(flags, 1);
    assert_int_equal(drbd_features_agree(&mine, &(struct drbd_features){90, 0, 0}, &flags), 90);
    assert_int_equal(
        drbd_features_agree(&mine, &(struct drbd_features){110, 118, 0}, &flags), HV_EPROTO);
    assert_int_equal(
        drbd_features_agree(&mine, &(struct drbd_features){80, 85, 0}, &flags), HV_EPROTO);
}

static void limits_follow_version_and_features(void **state)
{
    assert_int_equal(drbd_bio_bytes_max(94), 32768);
    assert_int_equal(drbd_bio_bytes_max(99), 131072);
    assert_int_equal(drbd_bio_bytes_max(100), 1048576);
    assert_int_equal(drbd_discard_bytes_max(DRBD_FF_TRIM), 4 << 20);
    assert_int_equal(drbd_discard_bytes_max(DRBD_FF_ALL), 128 << 20);
    assert_int_equal(drbd_dp_flags_for(0x142, 101), 0x142);
    assert_int_equal(drbd_dp_flags_for(0x142, 99), 0x42);
    assert_int_equal(drbd_dp_flags_for(0x142, 94), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(header_old_form),
        cmocka_unit_test(header_new_form),
        cmocka_unit_test(header_wide_form_only_when_needed),
        cmocka_unit_test(header_asks_for_more_and_refuses_early),
        cmocka_unit_test(packet_lengths),
        cmocka_unit_test(state_word),
        cmocka_unit_test(state_names),
        cmocka_unit_test(params_follow_the_version),
        cmocka_unit_test(names_without_end_are_refused),
        cmocka_unit_test(opaque_fields_come_back_unchanged),
        cmocka_unit_test(features_overlap),
        cmocka_unit_test(limits_follow_version_and_features),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
