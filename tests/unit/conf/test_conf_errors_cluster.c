/* SPDX-License-Identifier: Apache-2.0 */
/* ha.cf, authkeys, haresources, exports and haven.conf: what is said about each mistake. */
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

#define HA_BASE                                                                                    \
    "keepalive 1\n"                                                                                \
    "deadtime 5\n"                                                                                 \
    "initdead 10\n"                                                                                \
    "ucast eth0 10.0.0.2\n"                                                                        \
    "auto_failback off\n"                                                                          \
    "node ct74 ct75\n"

static const struct error_case cases[] = {
    {FILE_HA_CF, HA_BASE "keepaliv 1\n",
        "/etc/ha.d/ha.cf:7: 'keepaliv' is not a directive of ha.cf; did you mean 'keepalive'?\n"},
    {FILE_HA_CF, HA_BASE "keepalive 500 ms\n",
        "/etc/ha.d/ha.cf:7: keepalive takes one value, and no blank in it; write 'keepalive "
        "500ms'\n"},
    {FILE_HA_CF, HA_BASE "keepalive 10s\n",
        "/etc/ha.d/ha.cf:7: keepalive cannot be '10s'; write seconds, such as 5 or 0.5, or "
        "milliseconds, such as 500ms\n"},
    {FILE_HA_CF, HA_BASE "deadtime 2\n",
        "/etc/ha.d/ha.cf:7: deadtime 2000 ms is too small compared to keepalive 1000 ms; make "
        "deadtime more than twice keepalive\n"},
    {FILE_HA_CF, HA_BASE "initdead 4\n",
        "/etc/ha.d/ha.cf:7: initdead 4000 ms is smaller than deadtime 5000 ms; make initdead at "
        "least deadtime\n"},
    {FILE_HA_CF, HA_BASE "deadping 2\n",
        "/etc/ha.d/ha.cf:7: deadping 2000 ms is too small compared to keepalive 1000 ms; make "
        "deadping more than twice keepalive\n"},
    {FILE_HA_CF, HA_BASE "warntime 5\n",
        "/etc/ha.d/ha.cf:7: warning: warntime 5000 ms warns of nothing before deadtime 5000 ms; "
        "make warntime less than deadtime\n"},
    {FILE_HA_CF, HA_BASE "auto_failback maybe\n",
        "/etc/ha.d/ha.cf:7: auto_failback cannot be 'maybe'; use on, off or legacy\n"},
    {FILE_HA_CF,
        HA_BASE "ucast 10.0.0.2\n"
                "ucast eth0 ct75\n",
        "/etc/ha.d/ha.cf:7: ucast takes an interface and the address of the other node; write "
        "'ucast INTERFACE ADDRESS'\n"
        "/etc/ha.d/ha.cf:8: 'ct75' is not an IPv4 address\n"},
    {FILE_HA_CF,
        HA_BASE "mcast eth0 10.0.0.1 694 1 0\n"
                "mcast eth0 225.0.0.1 694 9 0\n",
        "/etc/ha.d/ha.cf:7: '10.0.0.1' is not a multicast address; use 224.0.0.0 to "
        "239.255.255.255\n"
        "/etc/ha.d/ha.cf:8: mcast cannot have '694 9 0'; use a port, a ttl of 0 to 4 and 0 or 1\n"},
    {FILE_HA_CF, HA_BASE "respawn hacluster ipfail\n",
        "/etc/ha.d/ha.cf:7: respawn takes a user and the absolute path of a program; write "
        "'respawn USER /PATH…'\n"},
    {FILE_HA_CF,
        "keepalive 1\n"
        "deadtime 5\n"
        "initdead 10\n"
        "ucast eth0 10.0.0.2\n"
        "auto_failback off\n",
        "/etc/ha.d/ha.cf: no node is named; write a line 'node NAME' for each node\n"},
    {FILE_HA_CF, HA_BASE "node ct74\n",
        "/etc/ha.d/ha.cf:7: node 'ct74' stands a second time; name it once\n"},
    {FILE_HA_CF,
        "keepalive 1\n"
        "deadtime 5\n"
        "initdead 10\n"
        "ucast eth0 10.0.0.2\n"
        "auto_failback off\n"
        "node ct74x ct75\n",
        "/etc/drbd.d/drbd_basic.cfg:27: host 'ct74' is not a node of the cluster "
        "(/etc/ha.d/ha.cf); did you mean 'ct74x'?\n"
        "/etc/ha.d/ha.cf:6: this node, 'ct74', is not among the nodes; write 'node ct74'\n"
        "/etc/ha.d/haresources:1: 'ct74' is not a node of the cluster; did you mean 'ct74x'?\n"},
    {FILE_HA_CF,
        "keepalive 1\n"
        "deadtime 5\n"
        "initdead 10\n"
        "auto_failback off\n"
        "node ct74 ct75\n",
        "/etc/ha.d/ha.cf: there is no medium to reach the other node by; write a line 'ucast "
        "INTERFACE ADDRESS'\n"},
    {FILE_HA_CF,
        HA_BASE "crm yes\n"
                "autojoin any\n",
        "/etc/ha.d/ha.cf:7: crm yes wants another cluster resource manager; leave it out; haven "
        "runs the groups of haresources itself\n"
        "/etc/ha.d/ha.cf:8: autojoin any needs a cluster resource manager; write 'autojoin none' "
        "and name each node\n"},
    {FILE_HA_CF,
        HA_BASE "logfacility local9\n"
                "compression lzma\n"
                "baud 5\n"
                "use_logd maybe\n"
                "hbgenmethod clock\n"
                "udpport 0\n",
        "/etc/ha.d/ha.cf:7: logfacility 'local9' is not one of syslog's; did you mean 'local0'?\n"
        "/etc/ha.d/ha.cf:8: compression cannot be 'lzma'; use zlib or bz2\n"
        "/etc/ha.d/ha.cf:9: baud cannot be '5'; use 9600 to 460800\n"
        "/etc/ha.d/ha.cf:10: use_logd cannot be 'maybe'; use on or off\n"
        "/etc/ha.d/ha.cf:11: hbgenmethod cannot be 'clock'; use file or time\n"
        "/etc/ha.d/ha.cf:12: udpport cannot be '0'; use 1 to 65535\n"},
    {FILE_HA_CF,
        HA_BASE "udpport 700\n"
                "logfile\n"
                "env X\n"
                "apiauth ipfail user=x\n"
                "stonith x\n"
                "ping_group a\n",
        "/etc/ha.d/ha.cf:7: warning: udpport does not count for the media named before it; put it "
        "in front of them\n"
        "/etc/ha.d/ha.cf:8: logfile has no value\n"
        "/etc/ha.d/ha.cf:9: env takes NAME=VALUE; write 'env NAME=VALUE'\n"
        "/etc/ha.d/ha.cf:10: apiauth cannot have 'user=x'; write uid=… or gid=…\n"
        "/etc/ha.d/ha.cf:11: stonith takes more than that; write 'stonith TYPE FILE'\n"
        "/etc/ha.d/ha.cf:12: ping_group takes a name and at least one host; write 'ping_group NAME "
        "HOST…'\n"},
    {FILE_AUTHKEYS,
        "1 sha1 secret\n"
        "auth 1\n",
        "/etc/ha.d/authkeys:2: key 1 stands in front of the line 'auth 1'; put the line 'auth' in "
        "front of it\n"},
    {FILE_AUTHKEYS,
        "auth 2\n"
        "1 sha1 secret\n",
        "/etc/ha.d/authkeys:1: key 2 of the line 'auth 2' is missing; write '2 sha1 SECRET'\n"},
    {FILE_AUTHKEYS, "1 sha1 secret\n",
        "/etc/ha.d/authkeys: does not say which key to sign with; write 'auth N' in front of the "
        "keys\n"},
    {FILE_AUTHKEYS,
        "auth 1\n"
        "1 sha2 secret\n",
        "/etc/ha.d/authkeys:2: 'sha2' is not a method of signing; did you mean 'sha1'?\n"},
    {FILE_AUTHKEYS,
        "auth 1\n"
        "1 secret sha1\n",
        "/etc/ha.d/authkeys:2: the key stands before its method; write the method first\n"},
    {FILE_AUTHKEYS,
        "auth 1\n"
        "1 sha1\n",
        "/etc/ha.d/authkeys:2: sha1 needs a key; write a secret after it\n"},
    {FILE_AUTHKEYS,
        "auth 1\n"
        "1 crc secret\n",
        "/etc/ha.d/authkeys:2: crc takes no key; leave it out\n"},
    {FILE_AUTHKEYS,
        "auth 16\n"
        "auth 1\n"
        "1 sha1 a b\n"
        "1 sha1 a\n",
        "/etc/ha.d/authkeys:1: this does not name the key to sign with; write 'auth N', N from 0 "
        "to 15\n"
        "/etc/ha.d/authkeys:3: this is not a key; write 'N METHOD KEY', N from 0 to 15\n"},
    {FILE_AUTHKEYS, NULL,
        "/etc/ha.d/authkeys: does not exist, but ha.cf does; write it: 'auth 1' and '1 sha1 "
        "SECRET', mode 600\n"},
    {FILE_HARESOURCES, "ct47 drbddisk::r0\n",
        "/etc/ha.d/haresources:1: 'ct47' is not a node of the cluster; did you mean 'ct74'?\n"},
    {FILE_HARESOURCES, "ct74\n",
        "/etc/ha.d/haresources:1: the group of ct74 has no resource; write 'NODE RESOURCE…'\n"},
    {FILE_HARESOURCES,
        "ct74 drbddisk::r0\n"
        "ct75 drbddisk::r0\n",
        "/etc/ha.d/haresources:2: two groups begin with 'drbddisk::r0'; first at line 1; begin "
        "each group with a resource of its own\n"},
    {FILE_HARESOURCES, "ct74 drbddisk::r9\n",
        "/etc/ha.d/haresources:1: resource 'r9' is not defined; use r0\n"},
    {FILE_HARESOURCES, "ct74 drbddisk\n",
        "/etc/ha.d/haresources:1: drbddisk takes the name of one resource; write "
        "'drbddisk::RESOURCE', one for each resource\n"},
    {FILE_HARESOURCES, "ct74 IPaddr::10.0.0.300\n",
        "/etc/ha.d/haresources:1: '10.0.0.300' is not a service address; write IP/BITS/INTERFACE, "
        "such as 192.168.1.82/24/eth0\n"},
    {FILE_HARESOURCES, "ct74 10.0.0.9/33/eth0\n",
        "/etc/ha.d/haresources:1: '10.0.0.9/33/eth0' is not a service address; write "
        "IP/BITS/INTERFACE, such as 192.168.1.82/24/eth0\n"},
    {FILE_HARESOURCES, "ct74 IPaddr\n",
        "/etc/ha.d/haresources:1: IPaddr takes one argument; write 'IPaddr::IP/BITS/INTERFACE'\n"},
    {FILE_HARESOURCES, "ct74 Filesystem::/dev/drbd0::/nfs::ext4 drbddisk::r0\n",
        "/etc/ha.d/haresources:1: /dev/drbd0 is mounted before resource r0 is Primary; put "
        "drbddisk::r0 in front of it\n"},
    {FILE_HARESOURCES, "ct74 Filesystem::/dev/drbd0::/nfs::ext4\n",
        "/etc/ha.d/haresources:1: /dev/drbd0 is mounted, but the group does not make resource r0 "
        "Primary; put drbddisk::r0 in front of it\n"},
    {FILE_HARESOURCES, "ct74 drbddisk::r0 Filesystem::/dev/drbd1::/nfs::ext4\n",
        "/etc/ha.d/haresources:1: device /dev/drbd1 belongs to no resource; did you mean "
        "'/dev/drbd0'?\n"},
    {FILE_HARESOURCES,
        "ct74 drbddisk::r0 \\\n"
        "  Filesystem::/dev/drbd0\n",
        "/etc/ha.d/haresources:1: Filesystem takes a device, a directory, a type and perhaps "
        "options; write 'Filesystem::DEVICE::DIRECTORY::TYPE'\n"},
    {FILE_HARESOURCES, "ct74 drbddisk::r0 Filesystem::/dev/drbd0::nfs::ext4\n",
        "/etc/ha.d/haresources:1: 'nfs' is not a directory to mount on; write an absolute path\n"},
    {FILE_HARESOURCES, "ct74 drbddisk::r0 filesystem::/dev/drbd0::/nfs::ext4\n",
        "/etc/ha.d/haresources:1: script 'filesystem' is neither in /etc/ha.d/resource.d nor in "
        "/etc/init.d; did you mean 'Filesystem'?\n"},
    {FILE_HARESOURCES, "ct74 killnfs\n",
        "/etc/ha.d/haresources:1: script 'killnfs' is neither in /etc/ha.d/resource.d nor in "
        "/etc/init.d; did you mean 'killnfsd'?\n"},
    {FILE_HARESOURCES, "ct74 /etc/x\n",
        "/etc/ha.d/haresources:1: '/etc/x' is a path; put it into /etc/ha.d/resource.d and write "
        "its name only\n"},
    {FILE_HARESOURCES, NULL,
        "/etc/ha.d/haresources: does not exist, but ha.cf does; write it: 'NODE RESOURCE…' for "
        "each group\n"},
    {FILE_EXPORTS, "nfs 10.0.0.0/24(rw)\n",
        "/etc/exports:1: 'nfs' is not a directory to export; write an absolute path\n"},
    {FILE_EXPORTS, "/nfs 10.0.0.0/24(rw,no_root_sqash)\n",
        "/etc/exports:1: 'no_root_sqash' is not an option of an export; did you mean "
        "'no_root_squash'?\n"},
    {FILE_EXPORTS, "/nfs 10.0.0.0/24 (rw)\n",
        "/etc/exports:1: warning: (rw) stands by itself: it exports /nfs to everybody; remove the "
        "blank in front of '('\n"},
    {FILE_EXPORTS, "/nfs 10.0.0.0/24(rw,anonuid=x)\n",
        "/etc/exports:1: anonuid cannot be 'x'; write a number\n"},
    {FILE_EXPORTS, "/nfs 10.0.0.0/24(rw, sync)\n",
        "/etc/exports:1: '(' is not closed in '10.0.0.0/24(rw,'; close it with ')', and put no "
        "blank into it\n"},
    {FILE_HAVEN,
        "cluster {\n"
        "node ct74 { address 10.0.0.1; }\n"
        "node ct75 { address 10.0.0.2; }\n"
        "auth sha256 k;\n"
        "deadtme 5s;\n"
        "}\n",
        "/etc/haven/haven.conf:5: 'deadtme' is not known in cluster { }; did you mean "
        "'deadtime'?\n"},
    {FILE_HAVEN,
        "cluster {\n"
        "node ct74 { adress 10.0.0.1; }\n"
        "node ct75 { address ct75; }\n"
        "auth sha265 k;\n"
        "}\n",
        "/etc/haven/haven.conf:1: there is no medium to reach the other node by; give the other "
        "node its address\n"
        "/etc/haven/haven.conf:2: 'adress' is not known in a node; did you mean 'address'?\n"
        "/etc/haven/haven.conf:3: this is not the address of a node; write 'address IP;'\n"
        "/etc/haven/haven.conf:4: 'sha265' is not a method of signing; did you mean 'sha256'?\n"},
    {FILE_HAVEN,
        "cluster {\n"
        "node ct74 { address 10.0.0.1; }\n"
        "node ct75;\n"
        "}\n",
        "/etc/haven/haven.conf:1: the cluster has no key to sign its messages with; write 'auth "
        "sha256 \"SECRET\";'\n"
        "/etc/haven/haven.conf:1: there is no medium to reach the other node by; give the other "
        "node its address\n"},
    {FILE_HAVEN,
        "cluster {\n"
        "node ct74 { address 10.0.0.1; }\n"
        "node ct75 { address 10.0.0.2; }\n"
        "auth sha256 k;\n"
        "keepalive 200;\n"
        "witness 10.0.0.9;\n"
        "}\n",
        "/etc/haven/haven.conf:1: deadtime 30000 ms is too small compared to keepalive 200000 ms; "
        "make deadtime more than twice keepalive\n"
        "/etc/haven/haven.conf:6: this is not the address of a witness; write 'witness "
        "ADDRESS:PORT;'\n"},
    {FILE_HAVEN,
        "cluster {\n"
        "node ct74 { address 10.0.0.1; }\n"
        "node ct75 { address 10.0.0.2; }\n"
        "auth sha256 \"k;\n"
        "keepalive 200ms\n"
        "}\n",
        "/etc/haven/haven.conf:1: the cluster has no key to sign its messages with; write 'auth "
        "sha256 \"SECRET\";'\n"
        "/etc/haven/haven.conf:4: auth takes a method and a key; write 'auth sha256 \"SECRET\";'\n"
        "/etc/haven/haven.conf:4: string is not closed; close it with '\"' on the same line\n"
        "/etc/haven/haven.conf:6: ';' is missing after 'auth'; write ';' there\n"},
    {FILE_HAVEN,
        R0 "}\n"
           "service nfs {\n"
           "on r1;\n"
           "prefer ct74;\n"
           "address 10.0.0.300/24 dev eth0;\n"
           "mount nfs type ext4;\n"
           "export /srv to * (rw);\n"
           "server nfsd;\n"
           "monitor often;\n"
           "restart x;\n"
           "foo;\n"
           "}\n",
        "/etc/haven/haven.conf:7: resource 'r1' is not defined; use r0\n"
        "/etc/haven/haven.conf:9: '10.0.0.300/24' is not a service address; write "
        "IP/BITS/INTERFACE, such as 192.168.1.82/24/eth0\n"
        "/etc/haven/haven.conf:10: this is not a mount; write 'mount DIRECTORY type TYPE;'\n"
        "/etc/haven/haven.conf:11: export /srv: no mount of this service is above it; export a "
        "directory that the service mounts\n"
        "/etc/haven/haven.conf:12: server cannot be 'nfsd'; use auto, kernel or ganesha\n"
        "/etc/haven/haven.conf:13: monitor cannot be 'often'; write a number and ms, s or m\n"
        "/etc/haven/haven.conf:14: restart cannot be 'x'; use 0 to 1000\n"
        "/etc/haven/haven.conf:15: 'foo' is not known in service { }; use on, address, mount, "
        "export, server, script, prefer, monitor or restart\n"},
    {FILE_HAVEN,
        R0 "}\n"
           "service nfs {\n"
           "mount /nfs type ext4;\n"
           "}\n"
           "service nfs {\n"
           "on r0;\n"
           "}\n",
        "/etc/haven/haven.conf:7: mount /nfs: there is no device to mount; write 'on RESOURCE;', "
        "or 'device DEVICE'\n"
        "/etc/haven/haven.conf:9: service 'nfs' stands a second time; first at "
        "/etc/haven/haven.conf:6; give it another name\n"},
    {FILE_HAVEN,
        R0 "}\n"
           "service nfs {\n"
           "on r0;\n"
           "mount /nfs tpye ext4;\n"
           "address 10.0.0.9/24 eth0;\n"
           "export /nfs 10.0.0.0/24;\n"
           "script nope;\n",
        "/etc/haven/haven.conf:6: service nfs { is not closed before the file ends; close it with "
        "'}'\n"
        "/etc/haven/haven.conf:8: mount cannot have 'tpye'; write 'mount DIRECTORY type TYPE;'\n"
        "/etc/haven/haven.conf:9: this is not a service address; write 'address IP/BITS dev "
        "INTERFACE;'\n"
        "/etc/haven/haven.conf:10: this is not an export; write 'export DIRECTORY to NETWORK "
        "(rw,sync);'\n"
        "/etc/haven/haven.conf:11: script 'nope' is neither in /etc/ha.d/resource.d nor in "
        "/etc/init.d\n"},
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
