/* SPDX-License-Identifier: Apache-2.0 */
/* What comes out of drbd.conf: options inherited and converted, hosts and volumes found. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "conf_fake.h"

#define HOSTS                                                                                      \
    "on ct74 { address 10.0.0.1:7788; }\n"                                                         \
    "on ct75 { address ipv6 [fd00::2]:7789; }\n"
#define VOLUME "device /dev/drbd0; disk /dev/sdb1; meta-disk internal;\n"

/* Reads one resource r0 with `body`; fails on any report. */
static struct conf *read_r0(const char *before, const char *body, const char *node)
{
    struct hv_text text = {0};
    struct conf *conf;

    hv_text_addf(&text, "%sresource r0 {\n%s}\n", before, body);
    int rc = fake_read_drbd(hv_text_str(&text), node, &conf);
    hv_text_free(&text);
    char *reports = fake_reports(conf);
    assert_string_equal(reports, "");
    free(reports);
    assert_int_equal(rc, HV_OK);
    return conf;
}

static void defaults_are_those_of_the_reference(void **state)
{
    struct conf *conf = read_r0("", VOLUME HOSTS, "ct74");
    const struct conf_resource *r = conf_resource_find(conf, "r0");
    const struct conf_disk_options *d = &r->me->volumes[0].disk_options;

    assert_int_equal(r->net.protocol, CONF_PROTOCOL_C);
    assert_int_equal(r->net.timeout_ds, 60);
    assert_int_equal(r->net.ping_int_s, 10);
    assert_int_equal(r->net.max_buffers, 2048);
    assert_true(r->net.use_rle);
    assert_true(r->net.tcp_cork);
    assert_string_equal(r->net.shared_secret, "");
    assert_int_equal(d->on_io_error, CONF_IO_ERROR_DETACH);
    assert_int_equal(d->resync_rate_kibs, 250);
    assert_int_equal(d->al_extents, 1237);
    assert_int_equal(d->c_plan_ahead_ds, 20);
    assert_int_equal(d->c_max_rate_kibs, 102400);
    assert_int_equal(d->resync_after_minor, -1);
    assert_false(d->disk_barrier);
    assert_true(d->disk_flushes && d->disk_drain && d->md_flushes && d->al_updates);
    assert_int_equal(conf->global.dialog_refresh_s, 1);
    assert_int_equal(conf->global.cmd_timeout_medium_s, 121);
    conf_free(conf);
}

static void me_and_peer_follow_the_node(void **state)
{
    struct conf *conf = read_r0("", VOLUME HOSTS, "ct75");
    const struct conf_resource *r = conf_resource_find(conf, "r0");

    assert_string_equal(r->me->names[0], "ct75");
    assert_string_equal(r->me->address, "fd00::2");
    assert_int_equal(r->me->family, CONF_FAMILY_IPV6);
    assert_int_equal(r->me->port, 7789);
    assert_string_equal(r->peer->names[0], "ct74");
    assert_int_equal(r->peer->family, CONF_FAMILY_IPV4);
    conf_free(conf);
}

static void a_node_that_is_not_named_has_no_me(void **state)
{
    struct conf *conf;

    assert_int_equal(fake_read_drbd("resource r0 {\n" VOLUME HOSTS "}\n", "ct47", &conf), HV_OK);
    assert_null(conf_resource_find(conf, "r0")->me);
    assert_null(conf_resource_find(conf, "r0")->peer);
    char *reports = fake_reports(conf);
    assert_string_equal(reports, "/etc/drbd.conf:1: warning: no resource is for this node, 'ct47'; "
                                 "did you mean 'ct74'?\n");
    free(reports);
    conf_free(conf);
}

static void disk_options_are_inherited_by_level(void **state)
{
    struct conf *conf = read_r0("common { disk { size 1G; on-io-error pass_on; al-extents 100; "
                                "resync-rate 5M; } }\n",
        "disk { al-extents 200; resync-rate 6M; c-max-rate 1M; }\n"
        "volume 0 { " VOLUME " disk { resync-rate 7M; c-max-rate 2M; } }\n"
        "on ct74 { address 10.0.0.1:7788; volume 0 { disk { c-max-rate 3M; } } }\n"
        "on ct75 { address 10.0.0.2:7788; }\n",
        "ct74");
    const struct conf_resource *r = conf_resource_find(conf, "r0");
    const struct conf_disk_options *me = &r->me->volumes[0].disk_options;

    assert_int_equal(me->size_sectors, 2097152);
    assert_int_equal(me->on_io_error, CONF_IO_ERROR_PASS_ON);
    assert_int_equal(me->al_extents, 200);
    assert_int_equal(me->resync_rate_kibs, 7168);
    assert_int_equal(me->c_max_rate_kibs, 3072);
    assert_int_equal(r->peer->volumes[0].disk_options.c_max_rate_kibs, 2048);
    conf_free(conf);
}

static void units_are_converted_and_rounded_up(void **state)
{
    struct conf *conf = read_r0("",
        VOLUME HOSTS "disk { size 1s; resync-rate 3s; c-fill-target 1K; }\n"
                     "net { sndbuf-size 512K; congestion-fill 1M; max-buffers 2K; }\n",
        "ct74");
    const struct conf_resource *r = conf_resource_find(conf, "r0");
    const struct conf_disk_options *d = &r->me->volumes[0].disk_options;

    assert_int_equal(d->size_sectors, 1);
    assert_int_equal(d->resync_rate_kibs, 2); /* 1536 bytes */
    assert_int_equal(d->c_fill_target_sectors, 2);
    assert_int_equal(r->net.sndbuf_size_bytes, 524288);
    assert_int_equal(r->net.congestion_fill_sectors, 2048);
    assert_int_equal(r->net.max_buffers, 2048);
    conf_free(conf);
}

static void wire_numbers_are_drbds(void **state)
{
    struct conf *conf = read_r0("",
        VOLUME HOSTS "net { after-sb-0pri discard-remote; after-sb-1pri discard-secondary;\n"
                     "after-sb-2pri violently-as0p; rr-conflict call-pri-lost; protocol A; }\n",
        "ct74");
    const struct conf_net_options *net = &conf_resource_find(conf, "r0")->net;

    assert_int_equal(net->after_sb_0pri, 6);
    assert_int_equal(net->after_sb_1pri, 8);
    assert_int_equal(net->after_sb_2pri, 10);
    assert_int_equal(net->rr_conflict, 9);
    assert_int_equal(net->protocol, 1);
    assert_string_equal(conf_asb_name(net->after_sb_0pri, 0), "discard-remote");
    assert_string_equal(conf_asb_name(net->after_sb_2pri, 2), "violently-as0p");
    assert_string_equal(conf_asb_name(net->rr_conflict, 3), "call-pri-lost");
    conf_free(conf);
}

static void syncer_options_go_where_they_belong(void **state)
{
    struct conf *conf = read_r0("",
        VOLUME HOSTS
        "syncer { rate 10M; verify-alg sha1; al-extents 257; cpu-mask 3; no-use-rle; }\n",
        "ct74");
    const struct conf_resource *r = conf_resource_find(conf, "r0");

    assert_int_equal(r->me->volumes[0].disk_options.resync_rate_kibs, 10240);
    assert_int_equal(r->me->volumes[0].disk_options.al_extents, 257);
    assert_string_equal(r->net.verify_alg, "sha1");
    assert_false(r->net.use_rle);
    assert_string_equal(r->options.cpu_mask, "3");
    conf_free(conf);
}

static void the_last_of_repeated_options_counts(void **state)
{
    struct conf *conf = read_r0(
        "", VOLUME HOSTS "net { timeout 20; timeout 30; no-tcp-cork; tcp-cork; }\n", "ct74");

    assert_int_equal(conf_resource_find(conf, "r0")->net.timeout_ds, 30);
    assert_true(conf_resource_find(conf, "r0")->net.tcp_cork);
    conf_free(conf);
}

static void volumes_are_sorted_and_complete(void **state)
{
    struct conf *conf = read_r0("",
        "volume 2 { device /dev/drbd12; disk /dev/c; meta-disk /dev/m [3]; }\n"
        "volume 1 { device /dev/drbd_x minor 11; disk /dev/b; flexible-meta-disk /dev/n; }\n" HOSTS,
        "ct74");
    const struct conf_host *me = conf_resource_find(conf, "r0")->me;
    const struct conf_resource *found;

    assert_int_equal(me->n_volumes, 2);
    assert_int_equal(me->volumes[0].vnr, 1);
    assert_string_equal(me->volumes[0].device, "/dev/drbd_x");
    assert_int_equal(me->volumes[0].minor, 11);
    assert_int_equal(me->volumes[0].meta_kind, CONF_META_EXTERNAL);
    assert_string_equal(me->volumes[0].meta_disk, "/dev/n");
    assert_int_equal(me->volumes[1].meta_kind, CONF_META_INDEXED);
    assert_int_equal(me->volumes[1].meta_index, 3);
    assert_ptr_equal(conf_minor_find(conf, 12, &found), &me->volumes[1]);
    assert_ptr_equal(found, conf_resource_find(conf, "r0"));
    assert_null(conf_minor_find(conf, 13, &found));
    assert_ptr_equal(conf_volume_find(me, 2), &me->volumes[1]);
    conf_free(conf);
}

static void internal_meta_data_is_on_the_disk(void **state)
{
    struct conf *conf = read_r0("", VOLUME HOSTS, "ct74");
    const struct conf_volume *v = &conf_resource_find(conf, "r0")->me->volumes[0];

    assert_int_equal(v->meta_kind, CONF_META_INTERNAL);
    assert_string_equal(v->meta_disk, "/dev/sdb1");
    conf_free(conf);
}

static void handlers_are_inherited_and_the_outdater_is_known(void **state)
{
    struct conf *conf = read_r0("common { handlers { split-brain \"a b\"; out-of-sync \"c\"; } }\n",
        VOLUME HOSTS "handlers { split-brain \"d\";\n"
                     "outdate-peer \"/usr/lib4/heartbeat/drbd-peer-outdater -t 5\"; }\n",
        "ct74");
    const struct conf_resource *r = conf_resource_find(conf, "r0");

    assert_string_equal(conf_handler_find(r, CONF_HANDLER_SPLIT_BRAIN)->command, "d");
    assert_string_equal(conf_handler_find(r, CONF_HANDLER_OUT_OF_SYNC)->command, "c");
    assert_true(conf_handler_find(r, CONF_HANDLER_FENCE_PEER)->built_in_outdater);
    assert_false(conf_handler_find(r, CONF_HANDLER_SPLIT_BRAIN)->built_in_outdater);
    assert_null(conf_handler_find(r, CONF_HANDLER_PRI_LOST));
    conf_free(conf);
}

static void startup_is_read(void **state)
{
    struct conf *conf = read_r0("common { startup { wfc-timeout 3; become-primary-on both; } }\n",
        VOLUME HOSTS "startup { degr-wfc-timeout 4; become-primary-on ct75; wait-after-sb; }\n",
        "ct74");
    const struct conf_startup *s = &conf_resource_find(conf, "r0")->startup;

    assert_int_equal(s->wfc_timeout_s, 3);
    assert_int_equal(s->degr_wfc_timeout_s, 4);
    assert_true(s->wait_after_sb);
    assert_int_equal(s->n_become_primary_on, 1);
    assert_string_equal(s->become_primary_on[0], "ct75");
    conf_free(conf);
}

static void host_options_count_for_their_host(void **state)
{
    static const char body[] = VOLUME "options { cpu-mask 1; on-no-data-accessible suspend-io; }\n"
                                      "on ct74 { address 10.0.0.1:1; options { cpu-mask 3; } }\n"
                                      "on ct75 { address 10.0.0.2:1; }\n";
    struct conf *here = read_r0("", body, "ct74"), *there = read_r0("", body, "ct75");

    assert_string_equal(conf_resource_find(here, "r0")->options.cpu_mask, "3");
    assert_int_equal(conf_resource_find(here, "r0")->options.on_no_data, CONF_NO_DATA_SUSPEND_IO);
    assert_string_equal(conf_resource_find(there, "r0")->options.cpu_mask, "1");
    conf_free(here);
    conf_free(there);
}

static void resync_after_becomes_a_minor(void **state)
{
    struct conf *conf = read_r0("resource first {\n"
                                "volume 0 { device /dev/drbd7; disk /dev/x; meta-disk internal; }\n"
                                "volume 4 { device /dev/drbd8; disk /dev/y; meta-disk internal; }\n"
                                "on ct74 { address 10.0.0.1:1; }\n"
                                "on ct75 { address 10.0.0.2:1; }\n"
                                "}\n",
        VOLUME HOSTS "disk { resync-after first/4; }\n", "ct74");

    assert_int_equal(
        conf_resource_find(conf, "r0")->me->volumes[0].disk_options.resync_after_minor, 8);
    conf_free(conf);
}

static void a_stacked_resource_lies_on_the_lower_one(void **state)
{
    struct conf *conf = read_r0("resource up {\n"
                                "stacked-on-top-of r0 { device /dev/drbd10; address 10.0.0.9:1; }\n"
                                "on far { device /dev/drbd10; disk /dev/z; meta-disk internal;\n"
                                "address 10.0.1.9:1; }\n"
                                "}\n",
        VOLUME HOSTS, "ct75");
    const struct conf_resource *up = conf_resource_find(conf, "up");

    assert_true(up->stacked);
    assert_string_equal(up->me->lower, "r0");
    assert_string_equal(up->me->volumes[0].disk, "/dev/drbd0");
    assert_int_equal(up->me->n_names, 2);
    assert_string_equal(up->peer->names[0], "far");
    conf_free(conf);
}

static void a_floating_host_is_known_by_its_address(void **state)
{
    struct conf *conf =
        read_r0("", VOLUME "floating 10.0.0.1:7788;\nfloating 127.0.0.1:7788;\n", "whoever");
    const struct conf_resource *r = conf_resource_find(conf, "r0");

    assert_ptr_equal(r->me, &r->hosts[1]);
    assert_true(r->me->floating);
    assert_string_equal(r->peer->names[0], "10.0.0.1");
    conf_free(conf);
}

static void three_hosts_leave_the_peer_open(void **state)
{
    struct conf *conf = read_r0("", VOLUME HOSTS "on ct76 { address 10.0.0.3:7788; }\n", "ct74");

    assert_non_null(conf_resource_find(conf, "r0")->me);
    assert_null(conf_resource_find(conf, "r0")->peer);
    conf_free(conf);
}

static void haven_conf_is_read_before_drbd_conf(void **state)
{
    struct fake fake = {0};
    struct conf *conf;

    fake_set(&fake, "/etc/drbd.conf", "nonsense");
    fake_set(&fake, "/etc/drbd-84.conf", "resource b {\n" VOLUME HOSTS "}\n");
    assert_int_equal(fake_read(&fake, "ct74", false, &conf), HV_OK);
    assert_string_equal(conf->file, "/etc/drbd-84.conf");
    conf_free(conf);
    fake_set(&fake, "/etc/haven/haven.conf", "resource a {\n" VOLUME HOSTS "}\n");
    assert_int_equal(fake_read(&fake, "ct74", false, &conf), HV_OK);
    assert_string_equal(conf->file, "/etc/haven/haven.conf");
    assert_non_null(conf_resource_find(conf, "a"));
    conf_free(conf);
}

static void without_any_file_there_is_nothing(void **state)
{
    struct fake fake = {0};
    struct conf *conf;

    assert_int_equal(fake_read(&fake, "ct74", true, &conf), HV_ENOENT);
    assert_int_equal(conf->n_resources, 0);
    assert_null(conf->cluster);
    conf_free(conf);
}

static void an_include_that_includes_itself_ends(void **state)
{
    struct fake fake = {0};
    struct conf *conf;

    fake_set(&fake, "/etc/drbd.conf", "include \"drbd.conf\"; include \"d/*.res\";\n");
    fake_set(&fake, "/etc/d/a.res", "include \"b.res\";\nresource a {\n" VOLUME HOSTS "}\n");
    fake_set(&fake, "/etc/d/b.res", "include \"a.res\";\n");
    assert_int_equal(fake_read(&fake, "ct74", false, &conf), HV_OK);
    assert_int_equal(conf->n_resources, 1);
    assert_string_equal(conf->resources[0].file, "/etc/d/a.res");
    assert_int_equal(conf->resources[0].line, 2);
    conf_free(conf);
}

static void the_secret_is_in_no_report(void **state)
{
    static const char *const broken[] = {"net { shared-secret geheim }\n",
        "net { shared-secret \"geheim }\n", "net { shared-secret geheim x; }\n",
        "net { shared-secret geheim@x; }\n", "net { shared-secret geheim\ntimeout 5; }\n"};

    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        struct hv_text text = {0};
        struct conf *conf;
        hv_text_addf(&text, "resource r0 {\n" VOLUME HOSTS "%s}\n", broken[i]);
        assert_int_not_equal(fake_read_drbd(hv_text_str(&text), "ct74", &conf), HV_OK);
        char *reports = fake_reports(conf);
        assert_null(strstr(reports, "geheim"));
        free(reports);
        conf_free(conf);
        hv_text_free(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_those_of_the_reference),
        cmocka_unit_test(me_and_peer_follow_the_node),
        cmocka_unit_test(a_node_that_is_not_named_has_no_me),
        cmocka_unit_test(disk_options_are_inherited_by_level),
        cmocka_unit_test(units_are_converted_and_rounded_up),
        cmocka_unit_test(wire_numbers_are_drbds),
        cmocka_unit_test(syncer_options_go_where_they_belong),
        cmocka_unit_test(the_last_of_repeated_options_counts),
        cmocka_unit_test(volumes_are_sorted_and_complete),
        cmocka_unit_test(internal_meta_data_is_on_the_disk),
        cmocka_unit_test(handlers_are_inherited_and_the_outdater_is_known),
        cmocka_unit_test(startup_is_read),
        cmocka_unit_test(host_options_count_for_their_host),
        cmocka_unit_test(resync_after_becomes_a_minor),
        cmocka_unit_test(a_stacked_resource_lies_on_the_lower_one),
        cmocka_unit_test(a_floating_host_is_known_by_its_address),
        cmocka_unit_test(three_hosts_leave_the_peer_open),
        cmocka_unit_test(haven_conf_is_read_before_drbd_conf),
        cmocka_unit_test(without_any_file_there_is_nothing),
        cmocka_unit_test(an_include_that_includes_itself_ends),
        cmocka_unit_test(the_secret_is_in_no_report),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
