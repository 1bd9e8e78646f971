/* SPDX-License-Identifier: Apache-2.0 */
/* What /proc/drbd and drbdadm status would show (admin §2.1, §3). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "proc_drbd.h"
#include "volume_client.h"

static struct repl_status status;
static struct hv_text text;

static int setup(void **state)
{
    (void)state;
    memset(&status, 0, sizeof status);
    memset(&text, 0, sizeof text);
    status.wire_protocol = 3;
    status.volumes = 1;
    status.volume[0].minor = 1;
    status.volume[0].state = (struct drbd_state){.role = R_PRIMARY,
        .peer = R_SECONDARY,
        .conn = C_CONNECTED,
        .disk = D_UP_TO_DATE,
        .pdsk = D_UP_TO_DATE};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    hv_text_free(&text);
    return 0;
}

static void proc_connected(void **state)
{
    struct repl_volume_status *v = &status.volume[0];

    (void)state;
    v->ns_kib = 32804;
    v->dw_kib = 1064;
    v->dr_kib = 32764;
    v->al_writes = 10;
    v->ep = 1;
    v->wo = 'f';
    proc_drbd_volume(&text, &status, v);
    assert_string_equal(hv_text_str(&text),
        " 1: cs:Connected ro:Primary/Secondary ds:UpToDate/UpToDate C r-----\n"
        "    ns:32804 nr:0 dw:1064 dr:32764 al:10 bm:0 lo:0 pe:0 ua:0 ap:0 ep:1 wo:f oos:0\n");
}

static void proc_syncing(void **state)
{
    struct repl_volume_status *v = &status.volume[0];

    (void)state;
    v->state.conn = C_SYNC_SOURCE;
    v->state.pdsk = D_INCONSISTENT;
    v->oos_kib = 21204;
    v->rs_total_kib = 32764;
    v->rs_left_kib = 21204;
    v->rs_speed_kib = v->rs_average_kib = 11560;
    v->rs_eta_ms = 1834;
    proc_drbd_volume(&text, &status, v);
    assert_non_null(
        strstr(hv_text_str(&text), "oos:21204\n"
                                   "\t[======>.............] sync'ed: 35.2% (21204/32764)K\n"
                                   "\tfinish: 0:00:01 speed: 11,560 (11,560) K/sec\n"));
}

static void proc_verifying_a_large_volume_stalled(void **state)
{
    struct repl_volume_status *v = &status.volume[0];

    (void)state;
    v->state.conn = C_VERIFY_S;
    v->rs_verify = v->rs_stalled = true;
    v->rs_total_kib = UINT64_C(5) << 20;
    v->rs_left_kib = v->rs_total_kib;
    v->rs_want_kib = 1234567;
    v->rs_eta_ms = 3723000;
    proc_drbd_volume(&text, &status, v);
    assert_non_null(strstr(hv_text_str(&text),
        "\t[>....................] verified:  0.0% (5120/5120)M\n"
        "\tfinish: 1:02:03 speed: 0 (0) want: 1,234,567 K/sec (stalled)\n"));
}

static void proc_flags(void **state)
{
    struct repl_volume_status *v = &status.volume[0];

    (void)state;
    v->state.susp = v->state.aftr_isp = v->state.peer_isp = v->state.user_isp = true;
    v->al_suspended = true;
    status.wire_protocol = 1;
    proc_drbd_volume(&text, &status, v);
    assert_non_null(strstr(hv_text_str(&text), " A sapu-s\n"));
}

static void proc_unconfigured(void **state)
{
    (void)state;
    status.volume[0].state = (struct drbd_state){.role = R_SECONDARY};
    proc_drbd_volume(&text, &status, &status.volume[0]);
    assert_string_equal(hv_text_str(&text), " 1: cs:Unconfigured\n");
}

static const char *status_of(const char *json)
{
    json_t *object = json_loads(json, 0, NULL);

    assert_non_null(object);
    volume_status_text(&text, object);
    json_decref(object);
    return hv_text_str(&text);
}

static void status_connected(void **state)
{
    (void)state;
    assert_string_equal(
        status_of("{\"resource\":\"r0\",\"role\":\"Primary\",\"peer_role\":\"Secondary\","
                  "\"connection\":\"Connected\",\"suspended\":\"no\",\"volumes\":[{\"volume\":0,"
                  "\"connection\":\"Connected\",\"disk\":\"UpToDate\",\"peer_disk\":\"UpToDate\","
                  "\"resync_suspended\":\"no\",\"sync\":null}]}"),
        "r0 role:Primary\n"
        "  disk:UpToDate\n"
        "  peer role:Secondary\n"
        "    replication:Established peer-disk:UpToDate\n\n");
}

static void status_alone(void **state)
{
    (void)state;
    assert_string_equal(
        status_of("{\"resource\":\"r0\",\"role\":\"Primary\",\"peer_role\":\"Unknown\","
                  "\"connection\":\"WFConnection\",\"suspended\":\"fencing\",\"volumes\":[{"
                  "\"volume\":0,\"connection\":\"WFConnection\",\"disk\":\"UpToDate\","
                  "\"peer_disk\":\"DUnknown\",\"resync_suspended\":\"no\",\"sync\":null}]}"),
        "r0 role:Primary suspended:fencing\n"
        "  disk:UpToDate\n"
        "  peer connection:Connecting\n\n");
}

static void status_of_two_volumes_one_syncing(void **state)
{
    (void)state;
    assert_string_equal(
        status_of("{\"resource\":\"r0\",\"role\":\"Secondary\",\"peer_role\":\"Primary\","
                  "\"connection\":\"Connected\",\"suspended\":\"no\",\"volumes\":[{\"volume\":0,"
                  "\"connection\":\"SyncTarget\",\"disk\":\"Inconsistent\",\"peer_disk\":"
                  "\"UpToDate\",\"resync_suspended\":\"user\",\"sync\":{\"total_kib\":1000,"
                  "\"left_kib\":750}},{\"volume\":3,\"connection\":\"Connected\",\"disk\":"
                  "\"UpToDate\",\"peer_disk\":\"UpToDate\",\"resync_suspended\":\"no\"}]}"),
        "r0 role:Secondary\n"
        "  volume:0 disk:Inconsistent\n"
        "  volume:3 disk:UpToDate\n"
        "  peer role:Primary\n"
        "    volume:0 replication:SyncTarget peer-disk:UpToDate done:25.00 resync-suspended:user\n"
        "    volume:3 replication:Established peer-disk:UpToDate\n\n");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(proc_connected),
        T(proc_syncing),
        T(proc_verifying_a_large_volume_stalled),
        T(proc_flags),
        T(proc_unconfigured),
        T(status_connected),
        T(status_alone),
        T(status_of_two_volumes_one_syncing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
