/* SPDX-License-Identifier: Apache-2.0 */
/* drbd.conf: what is said about each mistake. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "conf_error_case.h"

#define R0_OPEN "resource r0 {\n"
#define VOLUME  "device /dev/drbd0; disk /dev/sdb1; meta-disk internal;\n"
#define HOSTS                                                                                      \
    "on ct74 { address 10.0.0.1:7788; }\n"                                                         \
    "on ct75 { address 10.0.0.2:7788; }\n"
#define R0_VOLUME R0_OPEN VOLUME
#define R0        R0_VOLUME HOSTS

static const struct error_case cases[] = {
    {FILE_DRBD, "resorce r0 { }\n",
        "/etc/drbd.conf:1: 'resorce' is not known here; did you mean 'resource'?\n"},
    {FILE_DRBD, "}\n", "/etc/drbd.conf:1: '}' closes nothing; remove it\n"},
    {FILE_DRBD,
        R0 "net { timeout 5 }\n"
           "}\n",
        "/etc/drbd.conf:5: ';' is missing after '5'; write ';' there\n"},
    {FILE_DRBD,
        R0 "net { timeout 5\n"
           "ping-int 3; }\n"
           "}\n",
        "/etc/drbd.conf:5: ';' is missing after '5'; write ';' there\n"},
    {FILE_DRBD,
        R0 "net { timeout 5 6; }\n"
           "}\n",
        "/etc/drbd.conf:5: unexpected '6' after '5'; end the statement with ';'\n"},
    {FILE_DRBD,
        R0 "net { timeout; }\n"
           "}\n",
        "/etc/drbd.conf:5: ';' where the value of timeout belongs\n"},
    {FILE_DRBD,
        R0 "net timeout 5;\n"
           "}\n",
        "/etc/drbd.conf:5: 'timeout' after 'net', where '{' belongs; write '{' there\n"},
    {FILE_DRBD, R0 "net { timeout 5;\n",
        "/etc/drbd.conf:1: resource r0 { is not closed before the file ends; close it with '}'\n"
        "/etc/drbd.conf:5: net { is not closed before the file ends; close it with '}'\n"},
    {FILE_DRBD, "resource { }\n", "/etc/drbd.conf:1: '{' where the name of the resource belongs\n"},
    {FILE_DRBD, "resource r0 disk;\n",
        "/etc/drbd.conf:1: 'disk' after 'resource r0', where '{' belongs; write '{' there\n"},
    {FILE_DRBD,
        R0 "handlers { split-brain \"abc; }\n"
           "}\n",
        "/etc/drbd.conf:1: resource r0 { is not closed before the file ends; close it with '}'\n"
        "/etc/drbd.conf:5: string is not closed; close it with '\"' on the same line\n"},
    {FILE_DRBD,
        R0 "net { shared-secret abc@d; }\n"
           "}\n",
        "/etc/drbd.conf:5: unexpected '@' after 'shared-secret'; put the value into double "
        "quotes\n"},
    {FILE_DRBD, "global { minor-count 0; }\n",
        "/etc/drbd.conf:1: minor-count cannot be '0'; use 1 to 255\n"},
    {FILE_DRBD, "global { dialog-refresh 601; }\n",
        "/etc/drbd.conf:1: dialog-refresh cannot be '601'; use 0 to 600\n"},
    {FILE_DRBD, "global { usage-count maybe; }\n",
        "/etc/drbd.conf:1: usage-count cannot be 'maybe'; use no, yes or ask\n"},
    {FILE_DRBD, "global { usge-count yes; }\n",
        "/etc/drbd.conf:1: 'usge-count' is not known in global { }; did you mean 'usage-count'?\n"},
    {FILE_DRBD,
        "global { }\n"
        "global { }\n",
        "/etc/drbd.conf:2: section 'global' stands a second time; first at /etc/drbd.conf:1; keep "
        "one of them\n"},
    {FILE_DRBD,
        "common { }\n"
        "common { }\n",
        "/etc/drbd.conf:2: section 'common' stands a second time; first at /etc/drbd.conf:1; keep "
        "one of them\n"},
    {FILE_DRBD,
        "common {\n"
        "on ct74 { address 10.0.0.1:7788; }\n"
        "}\n",
        "/etc/drbd.conf:2: a host section has no place in common { }; move it into a resource\n"},
    {FILE_DRBD,
        "common {\n"
        "device /dev/drbd0;\n"
        "}\n",
        "/etc/drbd.conf:2: a volume has no place in common { }; move it into a resource\n"},
    {FILE_DRBD, "skip {\n",
        "/etc/drbd.conf:1: skip { is not closed before the file ends; close it with '}'\n"},
    {FILE_DRBD, "include \"nothing.conf\";\n",
        "/etc/drbd.conf:1: file '/etc/nothing.conf' does not exist\n"},
    {FILE_DRBD,
        "include \"drbd.conf\";\n"
        "include *.res;\n",
        "/etc/drbd.conf:2: '*' where the name of a file, in double quotes, belongs; put it into "
        "double quotes\n"},
    {FILE_DRBD,
        R0 "net { tiemout 50; }\n"
           "}\n",
        "/etc/drbd.conf:5: 'tiemout' is not an option of net { }; did you mean 'timeout'?\n"},
    {FILE_DRBD,
        R0 "net { al-extents 1237; }\n"
           "}\n",
        "/etc/drbd.conf:5: 'al-extents' is not an option of net { }; it belongs into disk { }\n"},
    {FILE_DRBD,
        R0 "disk { zzz 1; }\n"
           "}\n",
        "/etc/drbd.conf:5: 'zzz' is not an option of disk { }\n"},
    {FILE_DRBD,
        R0 "syncer { rat 10M; }\n"
           "}\n",
        "/etc/drbd.conf:5: 'rat' is not an option of syncer { }\n"},
    {FILE_DRBD,
        R0 "handlers { split-brian \"x\"; }\n"
           "}\n",
        "/etc/drbd.conf:5: 'split-brian' is not an option of handlers { }; did you mean "
        "'split-brain'?\n"},
    {FILE_DRBD,
        R0 "startup { wfc-timout 5; }\n"
           "}\n",
        "/etc/drbd.conf:5: 'wfc-timout' is not an option of startup { }; did you mean "
        "'wfc-timeout'?\n"},
    {FILE_DRBD,
        R0 "net { timeout 601; }\n"
           "}\n",
        "/etc/drbd.conf:5: timeout: 601 is out of range; use 1 to 600\n"},
    {FILE_DRBD,
        R0 "net { timeout soon; }\n"
           "}\n",
        "/etc/drbd.conf:5: timeout: 'soon' is not a number; use 1 to 600\n"},
    {FILE_DRBD,
        R0 "net { sndbuf-size 11M; }\n"
           "}\n",
        "/etc/drbd.conf:5: sndbuf-size: 11M is out of range; use 0 to 10485760\n"},
    {FILE_DRBD,
        R0 "disk { resync-rate 5G; }\n"
           "}\n",
        "/etc/drbd.conf:5: resync-rate: 5G is out of range; use 1 to 4194304 KiB\n"},
    {FILE_DRBD,
        R0 "disk { al-extents 66; }\n"
           "}\n",
        "/etc/drbd.conf:5: al-extents: 66 is out of range; use 67 to 65534\n"},
    {FILE_DRBD,
        R0 "disk { on-io-error detatch; }\n"
           "}\n",
        "/etc/drbd.conf:5: on-io-error cannot be 'detatch'; did you mean 'detach'?\n"},
    {FILE_DRBD,
        R0 "disk { fencing stonith; }\n"
           "}\n",
        "/etc/drbd.conf:5: fencing cannot be 'stonith'; use dont-care, resource-only or "
        "resource-and-stonith\n"},
    {FILE_DRBD,
        R0 "net { protocol D; }\n"
           "}\n",
        "/etc/drbd.conf:5: protocol cannot be 'D'; use A, B or C\n"},
    {FILE_DRBD,
        R0 "protocol c;\n"
           "}\n",
        "/etc/drbd.conf:5: protocol cannot be 'c'; use A, B or C\n"},
    {FILE_DRBD,
        R0 "net { after-sb-0pri discard-least; }\n"
           "}\n",
        "/etc/drbd.conf:5: after-sb-0pri cannot be 'discard-least'; did you mean "
        "'discard-local'?\n"},
    {FILE_DRBD,
        R0 "net { always-asbp maybe; }\n"
           "}\n",
        "/etc/drbd.conf:5: always-asbp cannot be 'maybe'; use yes or no\n"},
    {FILE_DRBD,
        R0 "net { timeout 5; }\n"
           "net { timeout 6; }\n"
           "}\n",
        "/etc/drbd.conf:6: section 'net' stands a second time; first at /etc/drbd.conf:5; keep one "
        "of them\n"},
    {FILE_DRBD,
        R0 "net { allow-two-primaries; protocol A; }\n"
           "}\n",
        "/etc/drbd.conf:5: resource r0: allow-two-primaries needs protocol C; use protocol C\n"},
    {FILE_DRBD,
        R0 "net { on-congestion pull-ahead; }\n"
           "}\n",
        "/etc/drbd.conf:5: resource r0: on-congestion other than block needs protocol A; use "
        "on-congestion block, or protocol A\n"},
    {FILE_DRBD,
        R0 "disk { fencing resource-and-stonith; }\n"
           "net { protocol A; }\n"
           "}\n",
        "/etc/drbd.conf:5: resource r0: fencing resource-and-stonith forbids protocol A; use "
        "protocol C\n"},
    {FILE_DRBD,
        R0 "net { cram-hmac-alg sha1; }\n"
           "}\n",
        "/etc/drbd.conf:5: resource r0: cram-hmac-alg without shared-secret; write 'shared-secret "
        "\"…\";'\n"},
    {FILE_DRBD,
        R0 "net { timeout 300; }\n"
           "}\n",
        "/etc/drbd.conf:5: warning: resource r0: timeout is not shorter than connect-int and "
        "ping-int; make it smaller; its unit is a tenth of a second\n"},
    {FILE_DRBD,
        R0 "startup { become-primary-on both; }\n"
           "}\n",
        "/etc/drbd.conf:5: resource r0: become-primary-on both without allow-two-primaries; write "
        "'allow-two-primaries;' in net { }, or name one node\n"},
    {FILE_DRBD,
        R0 "startup { become-primary-on ct73; }\n"
           "}\n",
        "/etc/drbd.conf:5: resource r0: become-primary-on names 'ct73', which is none of its "
        "hosts; use ct74 or ct75\n"},
    {FILE_DRBD,
        R0 "disk { resync-after r9; }\n"
           "}\n",
        "/etc/drbd.conf:5: warning: resync-after names 'r9', which is not defined\n"},
    {FILE_DRBD,
        R0_VOLUME "on ct74 { address 10.0.0.1:7788; }\n"
                  "}\n",
        "/etc/drbd.conf:1: resource r0 has one host only; write 'on HOST { }' for the other one "
        "too\n"},
    {FILE_DRBD, R0_VOLUME "}\n",
        "/etc/drbd.conf:1: resource r0 has no host; write 'on HOST { }' for each of two hosts\n"},
    {FILE_DRBD,
        R0_VOLUME "on ct74 { address 10.0.0.1:7788; }\n"
                  "on ct75 { }\n"
                  "}\n",
        "/etc/drbd.conf:4: resource r0, host ct75: no address; write 'address IP:PORT;'\n"},
    {FILE_DRBD, R0_OPEN "disk /dev/sdb1; meta-disk internal;\n" HOSTS "}\n",
        "/etc/drbd.conf:3: resource r0, host ct74: no device; write 'device /dev/drbdN;'\n"
        "/etc/drbd.conf:4: resource r0, host ct75: no device; write 'device /dev/drbdN;'\n"},
    {FILE_DRBD, R0_OPEN "device /dev/drbd0; meta-disk internal;\n" HOSTS "}\n",
        "/etc/drbd.conf:3: resource r0, host ct74: no disk; write 'disk /dev/…;'\n"
        "/etc/drbd.conf:4: resource r0, host ct75: no disk; write 'disk /dev/…;'\n"},
    {FILE_DRBD, R0_OPEN "device /dev/drbd0; disk /dev/sdb1;\n" HOSTS "}\n",
        "/etc/drbd.conf:3: resource r0, host ct74: no meta-disk; write 'meta-disk internal;'\n"
        "/etc/drbd.conf:4: resource r0, host ct75: no meta-disk; write 'meta-disk internal;'\n"},
    {FILE_DRBD, R0_OPEN "device /dev/sda; disk /dev/sdb1; meta-disk internal;\n" HOSTS "}\n",
        "/etc/drbd.conf:2: device '/dev/sda' does not begin with /dev/drbd; use /dev/drbdN, or "
        "/dev/drbd_NAME minor N\n"},
    {FILE_DRBD, R0_OPEN "device /dev/drbdx; disk /dev/sdb1; meta-disk internal;\n" HOSTS "}\n",
        "/etc/drbd.conf:2: '/dev/drbdx' is neither /dev/drbd and a number nor /dev/drbd_ and a "
        "name; use /dev/drbdN, or /dev/drbd_NAME minor N\n"},
    {FILE_DRBD, R0_OPEN "device /dev/drbd_x; disk /dev/sdb1; meta-disk internal;\n" HOSTS "}\n",
        "/etc/drbd.conf:2: device '/dev/drbd_x' does not say its minor number; use 'device "
        "/dev/drbd_x minor N;'\n"},
    {FILE_DRBD,
        R0_OPEN "device /dev/drbd1 minor 2; disk /dev/sdb1; meta-disk internal;\n" HOSTS "}\n",
        "/etc/drbd.conf:2: minor 2 does not match '/dev/drbd1'; use 'device /dev/drbd2 minor "
        "2;'\n"},
    {FILE_DRBD,
        R0_VOLUME "on ct74 { address 10.0.0.300:7788; }\n"
                  "on ct75 { address ct75:7788; }\n"
                  "}\n",
        "/etc/drbd.conf:3: '10.0.0.300' is not an IPv4 address; write ADDRESS:PORT, such as "
        "192.168.1.10:7788\n"
        "/etc/drbd.conf:4: 'ct75' is not an IPv4 address; write ADDRESS:PORT, such as "
        "192.168.1.10:7788\n"},
    {FILE_DRBD,
        R0_VOLUME "on ct74 { address 10.0.0.1; }\n"
                  "on ct75 { address 10.0.0.2:99999; }\n"
                  "}\n",
        "/etc/drbd.conf:3: ';' after '10.0.0.1', where ':' belongs; write ':' there\n"
        "/etc/drbd.conf:4: the port cannot be '99999'; use 1 to 65535\n"},
    {FILE_DRBD,
        R0_VOLUME "on ct74 { address ipv6 fd00::1:7788; }\n"
                  "on ct75 { address [fd00::2]:7788; }\n"
                  "}\n",
        "/etc/drbd.conf:3: an IPv6 address stands in square brackets; write 'ipv6 [ADDRESS]:PORT'\n"
        "/etc/drbd.conf:4: an address in square brackets must follow 'ipv6'; write 'ipv6 "
        "[ADDRESS]:PORT'\n"},
    {FILE_DRBD,
        R0_VOLUME "on ct74 { address 10.0.0.1:7788; }\n"
                  "on ct75 { address 10.0.0.1:7788; }\n"
                  "}\n",
        "/etc/drbd.conf:4: address 10.0.0.1:7788 is used already at /etc/drbd.conf:3; use another "
        "one\n"},
    {FILE_DRBD,
        R0_VOLUME "on ct74 { address 10.0.0.1:7788; }\n"
                  "on ct74 { address 10.0.0.2:7788; }\n"
                  "}\n",
        "/etc/drbd.conf:4: host ct74 in resource r0 is used already at /etc/drbd.conf:3; use "
        "another one\n"},
    {FILE_DRBD, R0 "}\n" R0 "}\n",
        "/etc/drbd.conf:6: resource 'r0' stands a second time; first at /etc/drbd.conf:1; give it "
        "another name\n"},
    {FILE_DRBD,
        R0 "}\n"
           "resource r1 {\n"
           "device /dev/drbd0; disk /dev/sdb1; meta-disk internal;\n" HOSTS "}\n",
        "/etc/drbd.conf:7: device minor 0 on ct74 is used already at /etc/drbd.conf:2; use another "
        "one\n"
        "/etc/drbd.conf:7: device minor 0 on ct75 is used already at /etc/drbd.conf:2; use another "
        "one\n"
        "/etc/drbd.conf:7: disk '/dev/sdb1' on ct74 is used already at /etc/drbd.conf:2; use "
        "another one\n"
        "/etc/drbd.conf:7: disk '/dev/sdb1' on ct75 is used already at /etc/drbd.conf:2; use "
        "another one\n"
        "/etc/drbd.conf:8: address 10.0.0.1:7788 is used already at /etc/drbd.conf:3; use another "
        "one\n"
        "/etc/drbd.conf:9: address 10.0.0.2:7788 is used already at /etc/drbd.conf:4; use another "
        "one\n"},
    {FILE_DRBD,
        R0_OPEN "volume 0 { device /dev/drbd0; disk /dev/sdb1; meta-disk internal; }\n"
                "device /dev/drbd1;\n" HOSTS "}\n",
        "/etc/drbd.conf:3: a statement outside of the volumes cannot stand beside 'volume 0 { }'; "
        "move it into 'volume 0 { }'\n"},
    {FILE_DRBD,
        R0_OPEN "volume 0 { device /dev/drbd0; disk /dev/sdb1; meta-disk internal; }\n"
                "on ct74 { address 10.0.0.1:7788; }\n"
                "on ct75 { address 10.0.0.2:7788; volume 1 { device /dev/drbd1; disk /dev/x; "
                "meta-disk internal; } }\n"
                "}\n",
        "/etc/drbd.conf:3: resource r0: volume 1 is missing here, but is at /etc/drbd.conf:4; "
        "define it on every host\n"},
    {FILE_DRBD,
        R0_OPEN "volume x { device /dev/drbd0; disk /dev/sdb1; meta-disk internal; }\n"
                "device /dev/drbd0; disk /dev/sdb1; meta-disk internal;\n" HOSTS "}\n",
        "/etc/drbd.conf:2: the volume number cannot be 'x'; use 0 to 65534\n"
        "/etc/drbd.conf:3: a statement outside of the volumes cannot stand beside 'volume 0 { }'; "
        "move it into 'volume 0 { }'\n"},
    {FILE_DRBD, R0_VOLUME "device /dev/drbd1;\n" HOSTS "}\n",
        "/etc/drbd.conf:3: device stands a second time; first at /etc/drbd.conf:2; keep one of "
        "them\n"},
    {FILE_DRBD,
        R0_VOLUME "floating 10.0.0.1:7788 { address 10.0.0.1:7789; }\n"
                  "floating 10.0.0.2:7788;\n"
                  "}\n",
        "/etc/drbd.conf:3: a floating section has its address in its head; leave it out\n"},
    {FILE_DRBD,
        R0_VOLUME "stacked-on-top-of low { device /dev/drbd1; address 10.0.0.9:1; }\n"
                  "on ct75 { address 10.0.0.2:7788; }\n"
                  "}\n",
        "/etc/drbd.conf:3: resource r0 is stacked on top of 'low', which is not defined; name a "
        "resource that is defined\n"},
    {FILE_DRBD,
        R0_VOLUME "on ct74 { address 10.0.0.1:7788; disk { size 1G; } }\n"
                  "on ct75 { adress 10.0.0.2:7788; }\n"
                  "}\n",
        "/etc/drbd.conf:3: disk options have no place in a host section; move it into the "
        "resource, or into 'volume 0 { }'\n"
        "/etc/drbd.conf:4: 'adress' is not known in a host section; did you mean 'address'?\n"
        "/etc/drbd.conf:4: resource r0, host ct75: no address; write 'address IP:PORT;'\n"},
    {FILE_DRBD,
        R0_VOLUME "on { address 10.0.0.1:7788; }\n"
                  "on ct75 { address 10.0.0.2:7788; proxy { } }\n"
                  "}\n",
        "/etc/drbd.conf:3: 'on' names no host; write 'on HOST { }'\n"
        "/etc/drbd.conf:4: 'proxy' does not say on which host; write 'proxy on HOST { }'\n"},
    {FILE_DRBD,
        R0 "ignore-on ct76;\n"
           "}\n",
        "/etc/drbd.conf:5: warning: ignore-on does nothing any more; leave it out\n"},
};

static void each_mistake_is_named(void **state)
{
    error_cases_run(cases, sizeof cases / sizeof cases[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_mistake_is_named)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
