/* SPDX-License-Identifier: Apache-2.0 */
/* The state gate: every state there is goes through the sanitiser and the checks (wire §6.7, §6.8). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "repl_control.h"

static struct hv_buf *buf_alloc(struct hv_buf_pool *pool, uint32_t bytes)
{
    struct hv_buf *buf = calloc(1, sizeof *buf);

    *buf =
        (struct hv_buf){.data = calloc(1, bytes), .capacity_bytes = bytes, .refs = 1, .pool = pool};
    return buf;
}

static void buf_free(struct hv_buf_pool *pool, struct hv_buf *buf)
{
    free(buf->data);
    free(buf);
}

static struct hv_buf_pool pool = {.alloc = buf_alloc, .free = buf_free};

static int digest_size(const char *alg)
{
    return 20;
}

static const struct hv_digest_ops digest = {.size = digest_size};

static struct repl *engine(void)
{
    struct repl_config c = {.name = "r0",
        .net = {.wire_protocol = DRBD_PROT_C, .verify_alg = "sha1"},
        .volumes = 1,
        .requests_max = 4,
        .bufs = &pool,
        .digest = &digest};
    struct hv_diag diag;
    struct repl *r;

    assert_int_equal(repl_new(&c, &r, &diag), 0);
    r->agreed_version = 101;
    return r;
}

struct range {
    enum drbd_conn from, to;
    enum drbd_disk disk_min, disk_max, pdsk_min, pdsk_max;
};

/* wire §6.7's table */
static const struct range ranges[] = {
    {C_WF_BITMAP_T, C_WF_BITMAP_T, D_INCONSISTENT, D_OUTDATED, D_UP_TO_DATE, D_UP_TO_DATE},
    {C_PAUSED_SYNC_T, C_PAUSED_SYNC_T, D_INCONSISTENT, D_OUTDATED, D_UP_TO_DATE, D_UP_TO_DATE},
    {C_STARTING_SYNC_T, C_STARTING_SYNC_T, D_INCONSISTENT, D_OUTDATED, D_UP_TO_DATE, D_UP_TO_DATE},
    {C_WF_SYNC_UUID, C_WF_SYNC_UUID, D_INCONSISTENT, D_OUTDATED, D_UP_TO_DATE, D_UP_TO_DATE},
    {C_BEHIND, C_BEHIND, D_INCONSISTENT, D_OUTDATED, D_UP_TO_DATE, D_UP_TO_DATE},
    {C_VERIFY_S, C_VERIFY_T, D_UP_TO_DATE, D_UP_TO_DATE, D_UP_TO_DATE, D_UP_TO_DATE},
    {C_CONNECTED, C_CONNECTED, D_DISKLESS, D_UP_TO_DATE, D_DISKLESS, D_UP_TO_DATE},
    {C_WF_BITMAP_S, C_WF_BITMAP_S, D_UP_TO_DATE, D_UP_TO_DATE, D_INCONSISTENT, D_CONSISTENT},
    {C_PAUSED_SYNC_S, C_PAUSED_SYNC_S, D_UP_TO_DATE, D_UP_TO_DATE, D_INCONSISTENT, D_CONSISTENT},
    {C_STARTING_SYNC_S, C_STARTING_SYNC_S, D_UP_TO_DATE, D_UP_TO_DATE, D_INCONSISTENT,
        D_CONSISTENT},
    {C_AHEAD, C_AHEAD, D_UP_TO_DATE, D_UP_TO_DATE, D_INCONSISTENT, D_CONSISTENT},
    {C_SYNC_TARGET, C_SYNC_TARGET, D_INCONSISTENT, D_INCONSISTENT, D_UP_TO_DATE, D_UP_TO_DATE},
    {C_SYNC_SOURCE, C_SYNC_SOURCE, D_UP_TO_DATE, D_UP_TO_DATE, D_INCONSISTENT, D_INCONSISTENT},
    {C_STANDALONE, C_WF_REPORT_PARAMS, D_DISKLESS, D_UP_TO_DATE, D_INCONSISTENT, D_UNKNOWN},
};

static const struct range *range_of(enum drbd_conn conn)
{
    for (unsigned i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (conn >= ranges[i].from && conn <= ranges[i].to)
            return &ranges[i];
    fail_msg("no range for %s", drbd_conn_name(conn));
    return NULL;
}

static void each_state(
    struct repl *r, void (*look)(struct repl *r, struct drbd_state s, void *arg), void *arg)
{
    for (int role = R_PRIMARY; role <= R_SECONDARY; role++)
        for (int peer = R_UNKNOWN; peer <= R_SECONDARY; peer++)
            for (int conn = C_STANDALONE; conn <= C_BEHIND; conn++)
                for (int disk = D_DISKLESS; disk <= D_UP_TO_DATE; disk++)
                    for (int pdsk = D_DISKLESS; pdsk <= D_UP_TO_DATE; pdsk++)
                        for (int isp = 0; isp < 8; isp++)
                            look(r,
                                (struct drbd_state){.role = (enum drbd_role)role,
                                    .peer = (enum drbd_role)peer,
                                    .conn = (enum drbd_conn)conn,
                                    .disk = (enum drbd_disk)disk,
                                    .pdsk = (enum drbd_disk)pdsk,
                                    .aftr_isp = isp & 1,
                                    .peer_isp = isp & 2,
                                    .user_isp = isp & 4},
                                arg);
}

static struct drbd_state clean(struct repl *r, struct drbd_state s)
{
    const char *warning;

    return repl_state_sanitize(&r->volumes[0], &r->volumes[0].state, s, &warning);
}

static void look_sanitized(struct repl *r, struct drbd_state s, void *arg)
{
    struct drbd_state n = clean(r, s), again = clean(r, n);
    const struct range *t = range_of(n.conn);
    bool paused = n.aftr_isp || n.peer_isp || n.user_isp;

    if (drbd_state_pack(&n) != drbd_state_pack(&again))
        fail_msg("0x%x becomes 0x%x and then 0x%x", drbd_state_pack(&s), drbd_state_pack(&n),
            drbd_state_pack(&again));
    if (n.disk < t->disk_min || n.disk > t->disk_max || n.pdsk < t->pdsk_min ||
        n.pdsk > t->pdsk_max)
        fail_msg("0x%x becomes 0x%x: out of range", drbd_state_pack(&s), drbd_state_pack(&n));
    assert_int_equal(n.role, s.role);
    if (n.conn < C_CONNECTED) {
        assert_int_equal(n.peer, R_UNKNOWN);
        assert_false(n.peer_isp);
    }
    if (n.conn == C_SYNC_SOURCE || n.conn == C_SYNC_TARGET)
        assert_false(paused);
    if (n.conn == C_PAUSED_SYNC_S || n.conn == C_PAUSED_SYNC_T)
        assert_true(paused);
    /* Only an aborted resync and a pause change the connection. */
    if (n.conn != s.conn && n.conn != C_CONNECTED)
        assert_true(s.conn >= C_SYNC_SOURCE && s.conn <= C_PAUSED_SYNC_T);
}

static void sanitising_clamps_every_state_once(void **state)
{
    struct repl *r = engine();

    each_state(r, look_sanitized, NULL);
    repl_free(r);
}

static void look_valid(struct repl *r, struct drbd_state s, void *arg)
{
    struct drbd_state n = clean(r, s);

    if (repl_state_valid(&r->volumes[0], &n) != SS_SUCCESS)
        return;
    (*(unsigned *)arg)++;
    /* What must never be, whatever rule forbids it. */
    assert_false(n.role == R_PRIMARY && n.peer == R_PRIMARY);
    if (n.role == R_PRIMARY)
        assert_true(n.disk == D_UP_TO_DATE || (n.conn >= C_CONNECTED && n.pdsk == D_UP_TO_DATE));
    if (n.conn > C_CONNECTED) {
        assert_true(n.disk >= D_INCONSISTENT && n.pdsk >= D_INCONSISTENT);
        assert_true(n.disk == D_UP_TO_DATE || n.pdsk == D_UP_TO_DATE);
    }
    if (n.conn >= C_CONNECTED)
        assert_int_not_equal(n.pdsk, D_UNKNOWN);
}

static void no_valid_state_is_dangerous(void **state)
{
    struct repl *r = engine();
    unsigned valid = 0;

    each_state(r, look_valid, &valid);
    assert_true(valid > 1000);
    repl_free(r);
}

static void look_fenced(struct repl *r, struct drbd_state s, void *arg)
{
    struct drbd_state n = clean(r, s);

    if (n.role == R_PRIMARY && n.conn < C_CONNECTED && n.pdsk > D_OUTDATED) {
        assert_true(n.susp_fen);
        assert_int_not_equal(repl_state_valid(&r->volumes[0], &n), SS_SUCCESS);
    } else {
        assert_false(n.susp_fen);
    }
}

static void stonith_freezes_a_lonely_primary(void **state)
{
    struct repl *r = engine();

    r->volumes[0].config.disk.fencing = REPL_FENCE_RESOURCE_AND_STONITH;
    each_state(r, look_fenced, NULL);
    repl_free(r);
}

struct valid_row {
    struct drbd_state s;
    enum repl_fencing fencing;
    int code;
};

static void each_rule_has_its_code(void **state)
{
    static const struct valid_row rows[] = {
        {{R_PRIMARY, R_PRIMARY, C_CONNECTED, D_UP_TO_DATE, D_UP_TO_DATE}, 0, SS_TWO_PRIMARIES},
        {{R_PRIMARY, R_UNKNOWN, C_WF_CONNECTION, D_CONSISTENT, D_UNKNOWN}, 0,
            SS_NO_UP_TO_DATE_DISK},
        {{R_PRIMARY, R_UNKNOWN, C_WF_CONNECTION, D_UP_TO_DATE, D_UNKNOWN}, REPL_FENCE_RESOURCE_ONLY,
            SS_PRIMARY_NOP},
        {{R_PRIMARY, R_UNKNOWN, C_WF_CONNECTION, D_UP_TO_DATE, D_OUTDATED},
            REPL_FENCE_RESOURCE_ONLY, SS_SUCCESS},
        {{R_PRIMARY, R_UNKNOWN, C_WF_CONNECTION, D_UP_TO_DATE, D_UNKNOWN}, 0, SS_SUCCESS},
        {{R_PRIMARY, R_SECONDARY, C_CONNECTED, D_INCONSISTENT, D_INCONSISTENT}, 0,
            SS_NO_UP_TO_DATE_DISK},
        {{R_SECONDARY, R_SECONDARY, C_SYNC_SOURCE, D_DISKLESS, D_INCONSISTENT}, 0,
            SS_NO_LOCAL_DISK},
        {{R_SECONDARY, R_SECONDARY, C_SYNC_SOURCE, D_UP_TO_DATE, D_DISKLESS}, 0, SS_NO_REMOTE_DISK},
        {{R_SECONDARY, R_SECONDARY, C_SYNC_TARGET, D_INCONSISTENT, D_INCONSISTENT}, 0,
            SS_NO_UP_TO_DATE_DISK},
        {{R_SECONDARY, R_SECONDARY, C_CONNECTED, D_OUTDATED, D_UP_TO_DATE}, 0,
            SS_CONNECTED_OUTDATES},
        {{R_SECONDARY, R_SECONDARY, C_CONNECTED, D_UP_TO_DATE, D_UNKNOWN}, 0,
            SS_CONNECTED_OUTDATES},
        {{R_SECONDARY, R_SECONDARY, C_CONNECTED, D_INCONSISTENT, D_INCONSISTENT}, 0, SS_SUCCESS},
    };
    struct repl *r = engine();

    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        r->volumes[0].config.disk.fencing = rows[i].fencing;
        int code = repl_state_valid(&r->volumes[0], &rows[i].s);
        if (code != rows[i].code)
            fail_msg("row %u: %d (%s), not %d", i, code, drbd_retcode_text(code), rows[i].code);
    }
    r->config.net.verify_alg[0] = 0;
    const struct drbd_state verify = {
        R_PRIMARY, R_SECONDARY, C_VERIFY_S, D_UP_TO_DATE, D_UP_TO_DATE};
    assert_int_equal(repl_state_valid(&r->volumes[0], &verify), SS_NO_VERIFY_ALG);
    repl_free(r);
}

struct soft_row {
    struct drbd_state from, to;
    int code;
};

static void soft_transitions(void **state)
{
    static const struct soft_row rows[] = {
        {{.conn = C_SYNC_SOURCE}, {.conn = C_STARTING_SYNC_S}, SS_RESYNC_RUNNING},
        {{.conn = C_STANDALONE}, {.conn = C_DISCONNECTING}, SS_ALREADY_STANDALONE},
        {{.disk = D_DISKLESS}, {.disk = D_INCONSISTENT}, SS_IS_DISKLESS},
        {{.conn = C_STANDALONE}, {.conn = C_WF_CONNECTION}, SS_NO_NET_CONFIG},
        {{.disk = D_INCONSISTENT}, {.disk = D_OUTDATED}, SS_LOWER_THAN_OUTDATED},
        {{.disk = D_ATTACHING}, {.disk = D_OUTDATED}, SS_SUCCESS},
        {{.conn = C_UNCONNECTED}, {.conn = C_DISCONNECTING}, SS_IN_TRANSIENT_STATE},
        {{.role = R_SECONDARY,
             .conn = C_WF_SYNC_UUID,
             .disk = D_INCONSISTENT,
             .pdsk = D_UP_TO_DATE},
            {.role = R_PRIMARY,
                .conn = C_WF_SYNC_UUID,
                .disk = D_INCONSISTENT,
                .pdsk = D_UP_TO_DATE},
            SS_IN_TRANSIENT_STATE},
        {{.conn = C_WF_CONNECTION}, {.conn = C_VERIFY_S}, SS_NEED_CONNECTION},
        {{.conn = C_SYNC_SOURCE}, {.conn = C_VERIFY_S}, SS_RESYNC_RUNNING},
        {{.conn = C_WF_CONNECTION}, {.conn = C_STARTING_SYNC_T}, SS_NEED_CONNECTION},
        {{.conn = C_UNCONNECTED}, {.conn = C_SYNC_TARGET}, SS_NEED_CONNECTION},
        {{.conn = C_WF_CONNECTION, .pdsk = D_UNKNOWN},
            {.conn = C_DISCONNECTING, .pdsk = D_OUTDATED}, SS_OUTDATE_WO_CONN},
    };
    struct repl *r = engine();

    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        int code = repl_state_soft(&r->volumes[0], &rows[i].from, &rows[i].to);
        if (code != rows[i].code)
            fail_msg("row %u: %d (%s), not %d", i, code, drbd_retcode_text(code), rows[i].code);
    }
    r->ctl.state_sent = true;
    const struct drbd_state from = {.conn = C_WF_REPORT_PARAMS}, on = {.conn = C_CONNECTED},
                            off = {.conn = C_DISCONNECTING};
    assert_int_equal(repl_state_soft(&r->volumes[0], &from, &on), SS_SUCCESS);
    assert_int_equal(repl_state_soft(&r->volumes[0], &from, &off), SS_IN_TRANSIENT_STATE);
    r->ctl.state_sent = false;
    repl_free(r);
}

/* Every pair of connection states against the hard rules, stated once more the other way round. */
static bool may_follow(enum drbd_conn from, enum drbd_conn to)
{
    if (from == to)
        return true;
    if (from == C_STANDALONE)
        return to == C_UNCONNECTED;
    if (from == C_DISCONNECTING)
        return to == C_STANDALONE;
    if (from >= C_TIMEOUT && from <= C_TEAR_DOWN)
        return to == C_UNCONNECTED || to == C_DISCONNECTING;
    return from >= C_WF_REPORT_PARAMS || to < C_CONNECTED;
}

static void hard_transitions(void **state)
{
    for (int from = C_STANDALONE; from <= C_BEHIND; from++)
        for (int to = C_STANDALONE; to <= C_BEHIND; to++) {
            struct drbd_state os = {.conn = (enum drbd_conn)from, .disk = D_UP_TO_DATE};
            struct drbd_state ns = {.conn = (enum drbd_conn)to, .disk = D_UP_TO_DATE};
            bool may = may_follow(os.conn, ns.conn);
            if ((repl_state_hard(&os, &ns) >= SS_SUCCESS) != may)
                fail_msg("%s -> %s", drbd_conn_name(os.conn), drbd_conn_name(ns.conn));
        }
    const struct drbd_state none = {.disk = D_DISKLESS}, failed = {.disk = D_FAILED};
    assert_int_equal(repl_state_hard(&none, &failed), SS_IS_DISKLESS);
}

static void metadata_flags_follow_the_state(void **state)
{
    struct repl *r = engine();
    struct repl_volume *v = &r->volumes[0];
    const struct drbd_state primary = {
        R_PRIMARY, R_SECONDARY, C_CONNECTED, D_UP_TO_DATE, D_UP_TO_DATE};
    const struct drbd_state target = {
        R_SECONDARY, R_PRIMARY, C_SYNC_TARGET, D_INCONSISTENT, D_UP_TO_DATE};
    const struct drbd_state outdated = {
        R_SECONDARY, R_UNKNOWN, C_STANDALONE, D_OUTDATED, D_UNKNOWN};
    const struct drbd_state for_diskless = {
        R_SECONDARY, R_PRIMARY, C_CONNECTED, D_UP_TO_DATE, D_DISKLESS};

    assert_int_equal(repl_state_md_flags(v, &primary),
        MDF_PRIMARY_IND | MDF_CONNECTED_IND | MDF_CONSISTENT | MDF_WAS_UP_TO_DATE);
    assert_int_equal(repl_state_md_flags(v, &target), MDF_CONNECTED_IND);
    assert_int_equal(repl_state_md_flags(v, &outdated), MDF_CONSISTENT);
    assert_int_equal(repl_state_md_flags(v, &for_diskless),
        MDF_PRIMARY_IND | MDF_CONNECTED_IND | MDF_CONSISTENT | MDF_WAS_UP_TO_DATE);
    repl_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sanitising_clamps_every_state_once),
        cmocka_unit_test(no_valid_state_is_dangerous),
        cmocka_unit_test(stonith_freezes_a_lonely_primary),
        cmocka_unit_test(each_rule_has_its_code),
        cmocka_unit_test(soft_transitions),
        cmocka_unit_test(hard_transitions),
        cmocka_unit_test(metadata_flags_follow_the_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
