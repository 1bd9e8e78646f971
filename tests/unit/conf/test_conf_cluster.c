/* SPDX-License-Identifier: Apache-2.0 */
/* What comes out of ha.cf, authkeys, haresources, exports and haven.conf. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "conf_fake.h"

/* Reads it and fails on any report. */
static struct conf *read_well(const struct fake *fake, const char *node)
{
    struct conf *conf;
    int rc = fake_read(fake, node, true, &conf);
    char *reports = fake_reports(conf);

    assert_string_equal(reports, "");
    free(reports);
    assert_int_equal(rc, HV_OK);
    return conf;
}

static struct conf *read_ha_cf(const char *text)
{
    struct fake fake;

    fake_guide(&fake);
    fake_set(&fake, "/etc/ha.d/ha.cf", text);
    return read_well(&fake, "ct74");
}

static void the_guide_is_understood_on_both_nodes(void **state)
{
    struct fake fake;

    fake_guide(&fake);
    for (int i = 0; i < 2; i++) {
        struct conf *conf = read_well(&fake, i ? "ct75" : "ct74");
        const struct conf_cluster *c = conf->cluster;
        assert_int_equal(c->n_nodes, 2);
        assert_int_equal(c->nodes[i].me, true);
        assert_int_equal(c->nodes[!i].me, false);
        assert_int_equal(c->keepalive_ms, 1000);
        assert_int_equal(c->deadtime_ms, 5000);
        assert_int_equal(c->warntime_ms, 2000);
        assert_int_equal(c->initdead_ms, 10000);
        assert_int_equal(c->deadping_ms, 5000);
        assert_int_equal(c->auto_failback, CONF_FAILBACK_OFF);
        assert_int_equal(c->n_media, 1);
        assert_int_equal(c->media[0].kind, CONF_MEDIUM_UCAST);
        assert_string_equal(c->media[0].device, "eth0");
        assert_string_equal(c->media[0].address, "192.168.137.75");
        assert_int_equal(c->media[0].port, 694);
        assert_int_equal(c->n_pings, 1);
        assert_string_equal(c->pings[0].hosts[0], "192.168.137.1");
        assert_true(c->use_ipfail);
        assert_false(c->use_dopd);
        assert_string_equal(c->logfacility, "local0");
        assert_int_equal(c->active_key, 1);
        assert_int_equal(c->keys[1].method, CONF_AUTH_SHA1);
        assert_string_equal(c->keys[1].key, "HA_DB");
        conf_free(conf);
    }
}

static void the_guides_group_gets_its_nfs_server(void **state)
{
    static const enum conf_item_kind kinds[] = {CONF_ITEM_ADDRESS, CONF_ITEM_DRBD,
        CONF_ITEM_FILESYSTEM, CONF_ITEM_NFS_SERVER, CONF_ITEM_EXPORT, CONF_ITEM_SCRIPT};
    struct fake fake;

    fake_guide(&fake);
    struct conf *conf = read_well(&fake, "ct74");
    const struct conf_service *s = &conf->services[0];
    assert_int_equal(conf->n_services, 1);
    assert_string_equal(s->node, "ct74");
    assert_string_equal(s->name, "IPaddr::192.168.137.82/24/eth0");
    assert_int_equal(s->n_items, 6);
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(s->items[i].kind, kinds[i]);
        assert_int_equal(s->items[i].implied, i == 3 || i == 4);
    }
    assert_string_equal(s->items[0].address.ip, "192.168.137.82");
    assert_int_equal(s->items[0].address.prefix, 24);
    assert_string_equal(s->items[0].address.device, "eth0");
    assert_string_equal(s->items[1].resource, "r0");
    assert_string_equal(s->items[2].mount.device, "/dev/drbd0");
    assert_string_equal(s->items[2].mount.directory, "/nfs");
    assert_string_equal(s->items[2].mount.type, "ext4");
    assert_string_equal(s->items[2].mount.resource, "r0");
    assert_string_equal(s->items[4].export->directory, "/nfs");
    assert_string_equal(s->items[4].export->clients[0].host, "192.168.137.0/24");
    assert_true(s->items[4].export->clients[0].read_write);
    assert_int_equal(s->items[4].export->clients[0].squash, CONF_SQUASH_NONE);
    assert_string_equal(s->items[5].script, "killnfsd");
    assert_int_equal(s->monitor_ms, 5000);
    conf_free(conf);
}

static void exports_elsewhere_imply_nothing(void **state)
{
    struct fake fake;

    fake_guide(&fake);
    fake_set(&fake, "/etc/exports", "/nfsx *(rw)\n/ *(ro)\n");
    struct conf *conf = read_well(&fake, "ct74");
    assert_int_equal(conf->services[0].n_items, 4);
    assert_int_equal(conf->exports->n, 2);
    conf_free(conf);
}

static void an_export_belongs_to_the_deepest_mount(void **state)
{
    struct fake fake;

    fake_guide(&fake);
    fake_set(&fake, "/etc/ha.d/haresources",
        "ct74 drbddisk::r0 Filesystem::/dev/drbd0::/a::ext4 Filesystem::/dev/sdz::/a/b::xfs\n");
    fake_set(&fake, "/etc/exports", "/a/b/c *(rw)\n");
    struct conf *conf = read_well(&fake, "ct74");
    const struct conf_service *s = &conf->services[0];
    assert_int_equal(s->n_items, 5);
    assert_int_equal(s->items[2].kind, CONF_ITEM_FILESYSTEM);
    assert_int_equal(s->items[3].kind, CONF_ITEM_NFS_SERVER);
    assert_null(s->items[2].mount.resource);
    conf_free(conf);
}

static void haresources_joins_lines_and_drops_comments(void **state)
{
    struct fake fake;

    fake_guide(&fake);
    fake_set(&fake, "/etc/ha.d/haresources",
        "# a comment\n\nCT74 \\\n\t10.0.0.9 \\\n   drbddisk::r0 # more\nct75 10.0.0.10/24\n");
    struct conf *conf = read_well(&fake, "ct74");
    assert_int_equal(conf->n_services, 2);
    assert_string_equal(conf->services[0].node, "ct74");
    assert_int_equal(conf->services[0].n_items, 2);
    assert_int_equal(conf->services[0].line, 3);
    assert_int_equal(conf->services[0].items[0].kind, CONF_ITEM_ADDRESS);
    assert_false(conf->services[0].items[0].address.prefix_given);
    assert_string_equal(conf->services[0].items[0].script, "IPaddr");
    assert_string_equal(conf->services[1].node, "ct75");
    conf_free(conf);
}

static void addresses_have_every_part(void **state)
{
    struct fake fake;

    fake_guide(&fake);
    fake_set(&fake, "/etc/ha.d/haresources",
        "ct74 IPaddr::10.0.0.5/24/eth0:1/10.0.0.255 IPaddr2::10.0.0.6/255.255.0.0/10.0.255.255 "
        "IPv6addr::fd00::9/64/eth1\n");
    struct conf *conf = read_well(&fake, "ct74");
    const struct conf_item *items = conf->services[0].items;
    assert_string_equal(items[0].address.device, "eth0");
    assert_string_equal(items[0].address.label, "1");
    assert_string_equal(items[0].address.broadcast, "10.0.0.255");
    assert_int_equal(items[1].address.prefix, 16);
    assert_string_equal(items[1].address.device, "");
    assert_string_equal(items[1].address.broadcast, "10.0.255.255");
    assert_true(items[2].address.ipv6);
    assert_string_equal(items[2].address.ip, "fd00::9");
    assert_int_equal(items[2].address.prefix, 64);
    assert_string_equal(items[2].address.device, "eth1");
    conf_free(conf);
}

static void ha_cf_fills_in_what_follows_from_deadtime(void **state)
{
    static const struct {
        const char *text;
        uint32_t warntime_ms, initdead_ms;
    } rows[] = {{"deadtime 4\n", 2000, 12000}, {"deadtime 8\n", 4000, 16000},
        {"deadtime 20\n", 10000, 20000}, {"", 15000, 30000}};

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct hv_text text = {0};
        hv_text_addf(&text, "node ct74 ct75\nbcast eth0\n%s", rows[i].text);
        struct conf *conf = read_ha_cf(hv_text_str(&text));
        assert_int_equal(conf->cluster->warntime_ms, rows[i].warntime_ms);
        assert_int_equal(conf->cluster->initdead_ms, rows[i].initdead_ms);
        conf_free(conf);
        hv_text_free(&text);
    }
}

static void ha_cf_knows_every_medium(void **state)
{
    struct conf *conf =
        read_ha_cf("node ct74,ct75\nudpport 700\nbaud 38400\nbcast eth0,eth1\n"
                   "mcast eth0 239.0.0.1 695 1 0\nmcast6 eth0 ff02::1 696 5 1\n"
                   "ucast6 eth0 fd00::2\nserial /dev/ttyS0\nping_group g 10.0.0.1 10.0.0.2\n");
    const struct conf_cluster *c = conf->cluster;

    assert_int_equal(c->n_media, 6);
    assert_int_equal(c->media[1].kind, CONF_MEDIUM_BCAST);
    assert_string_equal(c->media[1].device, "eth1");
    assert_int_equal(c->media[1].port, 700);
    assert_int_equal(c->media[2].port, 695);
    assert_int_equal(c->media[2].ttl, 1);
    assert_false(c->media[2].loop);
    assert_int_equal(c->media[3].kind, CONF_MEDIUM_MCAST6);
    assert_true(c->media[3].loop);
    assert_int_equal(c->media[4].kind, CONF_MEDIUM_UCAST6);
    assert_int_equal(c->media[5].kind, CONF_MEDIUM_SERIAL);
    assert_int_equal(c->media[5].baud, 38400);
    assert_true(c->pings[0].group);
    assert_int_equal(c->pings[0].n_hosts, 2);
    conf_free(conf);
}

static void ha_cf_reads_times_with_decimals_and_units(void **state)
{
    struct conf *conf = read_ha_cf("node ct74 ct75\nbcast eth0\nkeepalive 0.25\nwarntime 500ms\n"
                                   "deadtime 1500MSEC\ninitdead 2000000us\n");

    assert_int_equal(conf->cluster->keepalive_ms, 250);
    assert_int_equal(conf->cluster->warntime_ms, 500);
    assert_int_equal(conf->cluster->deadtime_ms, 1500);
    assert_int_equal(conf->cluster->initdead_ms, 2000);
    conf_free(conf);
}

static void ha_cf_keeps_the_rest(void **state)
{
    struct conf *conf =
        read_ha_cf("node ct74 ct75\nbcast eth0\nrespawn root /usr/lib/dopd -x 1,2\n"
                   "failfast root /bin/x\nstonith_host * ssh ct74 ct75\nstonith ssh /etc/s.conf\n"
                   "apiauth dopd uid=root,hacluster gid=haclient\nenv A=b c\nwatchdog /dev/wd\n"
                   "msgfmt netstring\nuse_logd on\ndebug 2\ncluster mine\n");
    const struct conf_cluster *c = conf->cluster;

    assert_string_equal(c->respawns[0].command, "/usr/lib/dopd -x 1,2");
    assert_true(c->respawns[0].built_in_dopd && c->use_dopd && !c->use_ipfail);
    assert_true(c->respawns[1].failfast);
    assert_string_equal(c->stoniths[0].host, "*");
    assert_string_equal(c->stoniths[0].type, "ssh");
    assert_string_equal(c->stoniths[0].parameters, "ct74 ct75");
    assert_string_equal(c->stoniths[1].parameters, "/etc/s.conf");
    assert_int_equal(c->apiauths[0].n_uids, 2);
    assert_string_equal(c->apiauths[0].gids[0], "haclient");
    assert_string_equal(c->envs[0].name, "A");
    assert_string_equal(c->envs[0].value, "b c");
    assert_string_equal(c->watchdog, "/dev/wd");
    assert_true(c->netstring && c->use_logd);
    assert_int_equal(c->debug_level, 2);
    assert_string_equal(c->name, "mine");
    assert_int_equal(c->auto_failback, CONF_FAILBACK_LEGACY);
    conf_free(conf);
}

static void authkeys_that_others_can_read_are_refused(void **state)
{
    static const struct {
        uint32_t mode, uid;
        bool good;
    } rows[] = {{0600, 0, true}, {0400, 0, true}, {0644, 0, false}, {0640, 0, false},
        {0620, 0, false}, {0600, 1000, false}};

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fake fake;
        struct conf *conf;
        fake_guide(&fake);
        fake_mode(&fake, "/etc/ha.d/authkeys", rows[i].mode, rows[i].uid);
        int rc = fake_read(&fake, "ct74", true, &conf);
        assert_int_equal(rc == HV_OK, rows[i].good);
        char *reports = fake_reports(conf);
        assert_null(strstr(reports, "HA_DB"));
        free(reports);
        conf_free(conf);
    }
}

static const char haven[] =
    "cluster {\n"
    "    node ct74 { address 192.168.137.74; }\n"
    "    node ct75 { address 192.168.137.75; }\n"
    "    keepalive 200ms;  warntime 500ms;  deadtime 1s;  initdead 10s;\n"
    "    auth sha256 \"HA_DB\";\n"
    "    ping 192.168.137.1;\n"
    "    witness 192.168.137.90:7799;\n"
    "    auto-failback off;\n"
    "}\n"
    "resource r0 {\n"
    "    device /dev/drbd0; disk /dev/sdb1; meta-disk internal;\n"
    "    on ct74 { address 192.168.137.74:7788; }\n"
    "    on ct75 { address 192.168.137.75:7788; }\n"
    "}\n"
    "service nfs {\n"
    "    on r0;                                   # promoted first\n"
    "    prefer ct74;\n"
    "    address 192.168.137.82/24 dev eth0;\n"
    "    mount /nfs type ext4;\n"
    "    export /nfs to 192.168.137.0/24 (rw,sync,no_root_squash) fd00::/64 (ro);\n"
    "    server auto;\n"
    "    monitor 5s;  restart 1;\n"
    "}\n";

static void haven_conf_says_all_of_the_design_at_once(void **state)
{
    static const enum conf_item_kind kinds[] = {CONF_ITEM_DRBD, CONF_ITEM_FILESYSTEM,
        CONF_ITEM_NFS_SERVER, CONF_ITEM_EXPORT, CONF_ITEM_ADDRESS};
    struct fake fake;

    fake_guide(&fake); /* its files stay unread */
    fake_set(&fake, "/etc/ha.d/ha.cf", "nonsense\n");
    fake_set(&fake, "/etc/haven/haven.conf", haven);
    struct conf *conf = read_well(&fake, "ct75");
    const struct conf_cluster *c = conf->cluster;
    const struct conf_service *s = &conf->services[0];

    assert_int_equal(c->keepalive_ms, 200);
    assert_int_equal(c->deadtime_ms, 1000);
    assert_int_equal(c->n_media, 1);
    assert_string_equal(c->media[0].address, "192.168.137.74");
    assert_string_equal(c->media[0].device, "");
    assert_int_equal(c->media[0].port, 694);
    assert_int_equal(c->keys[c->active_key].method, CONF_AUTH_SHA256);
    assert_string_equal(c->keys[c->active_key].key, "HA_DB");
    assert_string_equal(c->witness_address, "192.168.137.90");
    assert_int_equal(c->witness_port, 7799);
    assert_int_equal(c->auto_failback, CONF_FAILBACK_OFF);
    assert_string_equal(s->name, "nfs");
    assert_string_equal(s->node, "ct74");
    assert_int_equal(s->monitor_ms, 5000);
    assert_int_equal(s->restarts, 1);
    assert_int_equal(s->n_items, 5);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(s->items[i].kind, kinds[i]);
    assert_string_equal(s->items[1].mount.device, "/dev/drbd0");
    assert_string_equal(s->items[1].mount.resource, "r0");
    assert_string_equal(s->items[1].word, "Filesystem::/dev/drbd0::/nfs::ext4");
    assert_int_equal(s->items[3].export->n_clients, 2);
    assert_int_equal(s->items[3].export->clients[0].squash, CONF_SQUASH_NONE);
    assert_string_equal(s->items[3].export->clients[1].host, "fd00::/64");
    assert_false(s->items[3].export->clients[1].read_write);
    assert_string_equal(s->items[4].address.device, "eth0");
    conf_free(conf);
}

static void haven_conf_with_a_key_must_be_private(void **state)
{
    struct fake fake = {0};
    struct conf *conf;

    fake_set(&fake, "/etc/haven/haven.conf", haven);
    fake_mode(&fake, "/etc/haven/haven.conf", 0644, 0);
    assert_int_equal(fake_read(&fake, "ct74", true, &conf), HV_ESYNTAX);
    char *reports = fake_reports(conf);
    assert_string_equal(reports, "/etc/haven/haven.conf: holds the cluster's key, and its mode 644 "
                                 "lets others at it; chmod 600 /etc/haven/haven.conf\n");
    free(reports);
    conf_free(conf);
}

static void exports_are_read_as_exports_5_says(void **state)
{
    struct fake fake;

    fake_guide(&fake);
    fake_set(&fake, "/etc/exports",
        "\"/srv\" -sync,rw a(ro) @group b(all_squash,anonuid=5,anongid=6,fsid=0,sec=krb5:sys)\n"
        "/pub\n/x *.example.org(rw,insecure,async) \\\n  10.0.0.0/24(nohide,crossmnt)\n");
    struct conf *conf = read_well(&fake, "ct74");
    const struct conf_export *e = conf->exports->items;

    assert_int_equal(conf->exports->n, 3);
    assert_string_equal(e[0].directory, "/srv");
    assert_int_equal(e[0].n_clients, 3);
    assert_false(e[0].clients[0].read_write);
    assert_string_equal(e[0].clients[1].host, "@group");
    assert_true(e[0].clients[1].read_write);
    assert_int_equal(e[0].clients[2].squash, CONF_SQUASH_ALL);
    assert_int_equal(e[0].clients[2].anon_uid, 5);
    assert_int_equal(e[0].clients[2].anon_gid, 6);
    assert_string_equal(e[0].clients[2].fsid, "0");
    assert_string_equal(e[0].clients[2].sec, "krb5:sys");
    assert_string_equal(e[1].clients[0].host, "*");
    assert_int_equal(e[1].clients[0].squash, CONF_SQUASH_ROOT);
    assert_int_equal(e[1].clients[0].anon_uid, 65534);
    assert_true(e[2].clients[0].insecure && e[2].clients[0].async);
    assert_true(e[2].clients[1].crossmnt && !e[2].clients[1].hide);
    assert_int_equal(e[2].line, 3);
    conf_free(conf);
}

static void a_script_that_cannot_be_run_is_reported(void **state)
{
    struct fake fake;
    struct conf *conf;

    fake_guide(&fake);
    fake_mode(&fake, "/etc/ha.d/resource.d/killnfsd", 0644, 0);
    assert_int_equal(fake_read(&fake, "ct74", true, &conf), HV_EINVAL);
    char *reports = fake_reports(conf);
    assert_string_equal(reports, "/etc/ha.d/haresources:1: script 'killnfsd' cannot be run; chmod "
                                 "+x /etc/ha.d/resource.d/killnfsd\n");
    free(reports);
    conf_free(conf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_guide_is_understood_on_both_nodes),
        cmocka_unit_test(the_guides_group_gets_its_nfs_server),
        cmocka_unit_test(exports_elsewhere_imply_nothing),
        cmocka_unit_test(an_export_belongs_to_the_deepest_mount),
        cmocka_unit_test(haresources_joins_lines_and_drops_comments),
        cmocka_unit_test(addresses_have_every_part),
        cmocka_unit_test(ha_cf_fills_in_what_follows_from_deadtime),
        cmocka_unit_test(ha_cf_knows_every_medium),
        cmocka_unit_test(ha_cf_reads_times_with_decimals_and_units),
        cmocka_unit_test(ha_cf_keeps_the_rest),
        cmocka_unit_test(authkeys_that_others_can_read_are_refused),
        cmocka_unit_test(haven_conf_says_all_of_the_design_at_once),
        cmocka_unit_test(haven_conf_with_a_key_must_be_private),
        cmocka_unit_test(exports_are_read_as_exports_5_says),
        cmocka_unit_test(a_script_that_cannot_be_run_is_reported),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
