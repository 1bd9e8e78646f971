/* SPDX-License-Identifier: Apache-2.0 */
/* The agents against this kernel, in namespaces of their own:
 *
 *     here: eth0 10.77.0.1/24 fd77::1/64 ------ eth0 10.77.0.2/24 fd77::2/64 :far
 *
 * The process that runs the tests is init of a PID namespace: whatever it leaves behind ends with it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent.h"
#include "agent_link.h"
#include "agent_mounts.h"
#include "agent_nfs.h"
#include "agent_util.h"
#include "hv_endian.h"

enum { SKIP = 77, WORDS = 12 };

static char loop_device[2][32];

/* ---- the place ------------------------------------------------------------------------------ */

static int sh(const char *command)
{
    char out[4096];
    int rc = agent_run_program("/bin/sh",
        (char *[]){(char *)"sh", (char *)"-c", (char *)(uintptr_t)command, NULL}, out, sizeof out);
    if (rc)
        print_message("%s\n-> %d: %s\n", command, rc, out);
    return rc;
}

static int act(const char *kind, const char *action, struct hv_diag *diag, const char *const *words)
{
    struct agent_request r = {.root = "", .words = words};
    enum agent_action a = !strcmp(action, "start")  ? AGENT_START
                          : !strcmp(action, "stop") ? AGENT_STOP
                                                    : AGENT_MONITOR;

    while (words[r.n_words])
        r.n_words++;
    diag->text[0] = 0;
    int rc = !strcmp(kind, "address")      ? agent_address(&r, a, diag)
             : !strcmp(kind, "filesystem") ? agent_filesystem(&r, a, diag)
             : !strcmp(kind, "tickle")     ? agent_tickle(&r, diag)
                                           : agent_nfs(&r, a, diag);
    if (diag->text[0])
        print_message("%s %s: %d %s\n", kind, action, rc, diag->text);
    return rc;
}

/* A packet socket on the far machine's end. */
static int far_socket(uint16_t protocol)
{
    int here = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    int far = open("/run/netns/far", O_RDONLY | O_CLOEXEC);

    assert_int_equal(setns(far, CLONE_NEWNET), 0);
    int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, htons(protocol));
    assert_int_equal(setns(here, CLONE_NEWNET), 0);
    close(here);
    close(far);
    assert_true(fd >= 0);
    return fd;
}

/* The next packet that arrives there and that `wanted` takes; false after a second. */
static bool far_sees(int fd, bool (*wanted)(const uint8_t *b, size_t n))
{
    uint64_t end_ms = agent_clock_ms() + 1000;
    uint8_t b[256];

    for (;;) {
        uint64_t now_ms = agent_clock_ms();
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (now_ms >= end_ms || poll(&p, 1, (int)(end_ms - now_ms)) <= 0)
            return false;
        ssize_t n = recv(fd, b, sizeof b, 0);
        if (n > 0 && wanted(b, (size_t)n))
            return true;
    }
}

/* ---- addresses ------------------------------------------------------------------------------ */

static const char *const service_ip[] = {
    "ip=10.77.0.82", "prefix=24", "device=eth0", "label=0", NULL};

static void an_address_comes_and_goes(void **state)
{
    struct hv_diag diag;

    (void)state;
    assert_int_equal(act("address", "monitor", &diag, service_ip), AGENT_NOT_RUNNING);
    assert_int_equal(act("address", "start", &diag, service_ip), AGENT_OK);
    assert_int_equal(
        sh("ip -4 a show dev eth0 | grep -q 'inet 10.77.0.82/24 brd 10.77.0.255 .*eth0:0'"), 0);
    assert_int_equal(act("address", "monitor", &diag, service_ip), AGENT_OK);
    assert_int_equal(act("address", "start", &diag, service_ip), AGENT_OK); /* again: no harm */
    assert_int_equal(act("address", "stop", &diag, service_ip), AGENT_OK);
    assert_int_equal(act("address", "monitor", &diag, service_ip), AGENT_NOT_RUNNING);
    assert_int_equal(act("address", "stop", &diag, service_ip), AGENT_OK);
    assert_int_equal(sh("ip -4 a show dev eth0 | grep -q 10.77.0.1/24"), 0);
}

static void the_interface_and_prefix_are_found(void **state)
{
    static const char *const words[] = {"ip=10.77.0.83", "label=auto", NULL};
    struct hv_diag diag;

    (void)state;
    assert_int_equal(act("address", "start", &diag, words), AGENT_OK);
    assert_int_equal(sh("ip -4 a show dev eth0 | grep -q 'inet 10.77.0.83/24 .*eth0:0'"), 0);
    assert_int_equal(act("address", "stop", &diag, words), AGENT_OK);
}

static void an_address_of_no_network_here_is_refused(void **state)
{
    static const char *const words[] = {"ip=192.0.2.1", NULL};
    struct hv_diag diag;

    (void)state;
    assert_int_equal(act("address", "start", &diag, words), AGENT_ERROR);
    assert_non_null(strstr(diag.text, "no interface has an address in the network of 192.0.2.1"));
}

static void an_address_that_somebody_has_is_refused(void **state)
{
    struct hv_diag diag;

    (void)state;
    assert_int_equal(sh("ip -n far addr add 10.77.0.82/24 dev eth0"), 0);
    assert_int_equal(act("address", "start", &diag, service_ip), AGENT_ERROR);
    assert_int_equal(sh("ip -n far addr del 10.77.0.82/24 dev eth0"), 0);
    assert_non_null(strstr(diag.text, "10.77.0.82 is in use: "));
    assert_non_null(strstr(diag.text, " answers for it on eth0"));
    assert_int_equal(act("address", "monitor", &diag, service_ip), AGENT_NOT_RUNNING);
}

static bool is_gratuitous_arp(const uint8_t *b, size_t n)
{
    static const uint8_t ip[4] = {10, 77, 0, 82};

    return n >= 28 && !memcmp(b + 14, ip, 4) && !memcmp(b + 24, ip, 4);
}

static bool is_gratuitous_request(const uint8_t *b, size_t n)
{
    return is_gratuitous_arp(b, n) && b[7] == 1;
}

static bool is_gratuitous_reply(const uint8_t *b, size_t n)
{
    return is_gratuitous_arp(b, n) && b[7] == 2;
}

static void the_neighbours_are_told_repeatedly_and_in_both_forms(void **state)
{
    struct hv_diag diag;
    int fd = far_socket(ETH_P_ARP);

    (void)state;
    assert_int_equal(act("address", "start", &diag, service_ip), AGENT_OK);
    for (int i = 0; i < 3; i++) { /* at once, after 100 ms, after 500 ms */
        assert_true(far_sees(fd, is_gratuitous_request));
        assert_true(far_sees(fd, is_gratuitous_reply));
    }
    assert_int_equal(act("address", "stop", &diag, service_ip), AGENT_OK);
    close(fd);
}

static bool is_unsolicited_na(const uint8_t *b, size_t n)
{
    return n >= 72 && b[6] == 58 && b[40] == 136 && b[44] == 0x20 && b[63] == 0x82 && b[64] == 2;
}

static void an_ipv6_address_is_asked_for_added_and_told(void **state)
{
    static const char *const words[] = {"ip=fd77::82", NULL};
    struct hv_diag diag;
    int fd = far_socket(ETH_P_IPV6);

    (void)state;
    assert_int_equal(act("address", "start", &diag, words), AGENT_OK);
    assert_int_equal(sh("ip -6 a show dev eth0 | grep fd77::82/64 | grep -vq tentative"), 0);
    assert_true(far_sees(fd, is_unsolicited_na));
    close(fd);
    assert_int_equal(act("address", "stop", &diag, words), AGENT_OK);
    assert_int_equal(sh("ip -n far addr add fd77::82/64 dev eth0 nodad"), 0);
    assert_int_equal(act("address", "start", &diag, words), AGENT_ERROR);
    assert_int_equal(sh("ip -n far addr del fd77::82/64 dev eth0"), 0);
    assert_non_null(strstr(diag.text, "fd77::82 is in use"));
}

static void a_link_without_carrier_is_said(void **state)
{
    struct hv_diag diag;

    (void)state;
    assert_int_equal(act("address", "start", &diag, service_ip), AGENT_OK);
    assert_int_equal(sh("ip -n far link set eth0 down"), 0);
    assert_int_equal(act("address", "monitor", &diag, service_ip), AGENT_ERROR);
    assert_string_equal(diag.text, "10.77.0.82 is on eth0, which is without carrier");
    assert_int_equal(act("address", "stop", &diag, service_ip), AGENT_OK);
    assert_int_equal(act("address", "start", &diag, service_ip), AGENT_ERROR);
    assert_int_equal(sh("ip -n far link set eth0 up"), 0);
}

/* ---- tickle --------------------------------------------------------------------------------- */

static bool is_tickle(const uint8_t *b, size_t n)
{
    uint32_t sum = 6 + 20;

    if (n < 40 || b[9] != 6 || hv_load_be16(b + 20) != 2049 || hv_load_be16(b + 22) != 777)
        return false;
    for (size_t i = 12; i < 40; i += 2)
        sum += hv_load_be16(b + i);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return b[33] == 0x10 && sum == 0xffff;
}

static void a_client_is_tickled_with_a_valid_segment(void **state)
{
    static const char *const words[] = {"connection=10.77.0.82,2049,10.77.0.2,777", NULL};
    struct hv_diag diag;
    int fd = far_socket(ETH_P_IP);

    (void)state;
    assert_int_equal(act("tickle", "start", &diag, words), AGENT_OK);
    assert_true(far_sees(fd, is_tickle));
    assert_true(far_sees(fd, is_tickle));
    close(fd);
}

static void remembered_clients_are_tickled_too(void **state)
{
    static const char *const save[] = {
        "file=/srv/clients", "connection=10.77.0.82,2049,10.77.0.2,777", NULL};
    static const char *const file[] = {"file=/srv/clients", NULL};
    static const char *const absent[] = {"file=/srv/absent", NULL};
    struct agent_request r = {.root = "", .words = save, .n_words = 2};
    struct hv_diag diag = {""};
    int fd = far_socket(ETH_P_IP);

    (void)state;
    assert_int_equal(agent_clients_save(&r, &diag), AGENT_OK);
    assert_int_equal(act("tickle", "start", &diag, file), AGENT_OK);
    assert_true(far_sees(fd, is_tickle));
    assert_int_equal(act("tickle", "start", &diag, absent), AGENT_OK);
    close(fd);
}

/* ---- file systems --------------------------------------------------------------------------- */

static const char *const *filesystem_words(int i)
{
    static char device[80];
    static const char *words[] = {
        device, "directory=/srv/nfs", "type=ext4", "options=noatime", NULL};

    snprintf(device, sizeof device, "device=%s", loop_device[i]);
    return words;
}

static void a_file_system_comes_and_goes(void **state)
{
    struct hv_diag diag;
    struct agent_mount m;

    (void)state;
    assert_int_equal(act("filesystem", "monitor", &diag, filesystem_words(0)), AGENT_NOT_RUNNING);
    assert_int_equal(act("filesystem", "start", &diag, filesystem_words(0)), AGENT_OK);
    assert_int_equal(act("filesystem", "start", &diag, filesystem_words(0)), AGENT_OK);
    assert_true(agent_mount_at("/srv/nfs", &m));
    assert_string_equal(m.source, loop_device[0]);
    assert_int_equal(act("filesystem", "monitor", &diag, filesystem_words(0)), AGENT_OK);
    /* Another device where ours should be: dead, and not silently ours. */
    assert_int_equal(act("filesystem", "monitor", &diag, filesystem_words(1)), AGENT_ERROR);
    assert_int_equal(act("filesystem", "start", &diag, filesystem_words(1)), AGENT_ERROR);
    assert_int_equal(act("filesystem", "stop", &diag, filesystem_words(0)), AGENT_OK);
    assert_false(agent_mount_at("/srv/nfs", &m));
    assert_int_equal(act("filesystem", "stop", &diag, filesystem_words(0)), AGENT_OK);
}

static void what_holds_a_file_system_is_ended(void **state)
{
    struct hv_diag diag;
    int status, ready[2];
    char byte;

    (void)state;
    assert_int_equal(act("filesystem", "start", &diag, filesystem_words(0)), AGENT_OK);
    assert_int_equal(pipe(ready), 0);
    pid_t stubborn = fork();
    if (!stubborn) {
        signal(SIGTERM, SIG_IGN);
        if (open("/srv/nfs/held", O_CREAT | O_RDWR, 0600) < 0 || write(ready[1], "x", 1) < 0)
            _exit(1);
        for (;;)
            pause();
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    pid_t polite = fork();
    if (!polite) {
        if (chdir("/srv/nfs") || write(ready[1], "x", 1) < 0)
            _exit(1);
        for (;;)
            pause();
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(act("filesystem", "stop", &diag, filesystem_words(0)), AGENT_OK);
    assert_int_equal(waitpid(polite, &status, 0), polite);
    assert_int_equal(WTERMSIG(status), SIGTERM);
    assert_int_equal(waitpid(stubborn, &status, 0), stubborn);
    assert_int_equal(WTERMSIG(status), SIGKILL);
    close(ready[0]);
    close(ready[1]);
}

static void nobody_is_ended_for_a_directory_that_is_no_mount(void **state)
{
    pid_t pids[4];

    (void)state;
    assert_int_equal(agent_mount_holders("/usr", pids, 4), 0);
}

static void a_full_file_system_is_not_dead(void **state)
{
    struct hv_diag diag;

    (void)state;
    assert_int_equal(act("filesystem", "start", &diag, filesystem_words(0)), AGENT_OK);
    sh("cat /dev/zero > /srv/nfs/fill 2>/dev/null; true");
    assert_int_equal(act("filesystem", "monitor", &diag, filesystem_words(0)), AGENT_OK);
    assert_int_equal(sh("rm /srv/nfs/fill"), 0);
    assert_int_equal(act("filesystem", "stop", &diag, filesystem_words(0)), AGENT_OK);
}

static void what_cannot_be_mounted_says_why(void **state)
{
    static const char *const no_directory[] = {
        "device=/dev/null", "directory=/does/not/exist", NULL};
    char device[80];
    const char *xfs[] = {device, "directory=/srv/nfs", "type=xfs", NULL};
    struct hv_diag diag;

    (void)state;
    assert_int_equal(act("filesystem", "start", &diag, no_directory), AGENT_ERROR);
    assert_non_null(strstr(diag.text, "/does/not/exist is no directory"));
    snprintf(device, sizeof device, "device=%s", loop_device[0]);
    assert_int_equal(act("filesystem", "start", &diag, xfs), AGENT_ERROR);
    assert_non_null(strstr(diag.text, "as xfs: no such file system is on it"));
}

/* ---- the NFS server ------------------------------------------------------------------------- */

static const char *const nfs_words[] = {"name=g::1", "server=ganesha", "state=/srv/nfs/.haven",
    "scope=10.77.0.82", "export=/srv/nfs|10.77.0.0/24|rw:1,squash:none,insecure:1",
    "export=/srv/nfs|127.0.0.1|rw:1,squash:none,insecure:1", NULL};

/* MOUNT version 3, procedure MNT: the export's file handle; its length, or 0. */
static size_t mount_handle(const char *path, uint8_t handle[64])
{
    uint8_t call[512] = {0}, reply[512];
    struct sockaddr_in to = {.sin_family = AF_INET,
        .sin_port = htons(MOUNTD_PORT),
        .sin_addr.s_addr = htonl(0x7f000001)};
    const uint32_t words[] = {0, 7, 0, 2, 100005, 3, 1, 0, 0, 0, 0, (uint32_t)strlen(path)};
    size_t length = sizeof words + (strlen(path) + 3) / 4 * 4, got = 0;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    for (size_t i = 0; i < sizeof words / 4; i++)
        hv_store_be32(call + 4 * i, words[i]);
    hv_store_be32(call, 0x80000000 | (uint32_t)(length - 4));
    memcpy(call + sizeof words, path, strlen(path));
    if (!connect(fd, (struct sockaddr *)&to, sizeof to) &&
        send(fd, call, length, 0) == (ssize_t)length)
        while (got < 36) {
            ssize_t n = recv(fd, reply + got, sizeof reply - got, 0);
            if (n <= 0)
                break;
            got += (size_t)n;
        }
    close(fd);
    uint32_t size = got >= 36 && !hv_load_be32(reply + 28) ? hv_load_be32(reply + 32) : 0;
    if (size > 64 || got < 36 + size)
        return 0;
    memcpy(handle, reply + 36, size);
    return size;
}

static void need_ganesha(void)
{
    if (access("/usr/bin/ganesha.nfsd", X_OK) || access("/usr/sbin/rpcbind", X_OK)) {
        print_message("nfs-ganesha or rpcbind is not installed\n");
        skip();
    }
}

static void the_nfs_server_answers_when_its_start_is_over(void **state)
{
    struct hv_diag diag;

    (void)state;
    need_ganesha();
    assert_int_equal(act("filesystem", "start", &diag, filesystem_words(0)), AGENT_OK);
    assert_int_equal(act("nfs", "monitor", &diag, nfs_words), AGENT_NOT_RUNNING);
    assert_int_equal(act("nfs", "start", &diag, nfs_words), AGENT_OK);
    assert_int_equal(agent_rpc_null("127.0.0.1", NFS_PORT, 100003, 3, 500), HV_OK);
    assert_int_equal(agent_rpc_null("127.0.0.1", NFS_PORT, 100003, 4, 500), HV_OK);
    assert_int_equal(act("nfs", "monitor", &diag, nfs_words), AGENT_OK);
    assert_int_equal(sh("showmount -e 10.77.0.1 | grep -q '^/srv/nfs '"), 0);
    assert_int_equal(act("nfs", "start", &diag, nfs_words), AGENT_OK);
    assert_int_equal(act("nfs", "stop", &diag, nfs_words), AGENT_OK);
    assert_int_equal(act("nfs", "monitor", &diag, nfs_words), AGENT_NOT_RUNNING);
    assert_int_equal(act("filesystem", "stop", &diag, filesystem_words(0)), AGENT_OK);
}

static void a_killed_nfs_server_is_seen_and_restarted(void **state)
{
    struct hv_diag diag;

    (void)state;
    need_ganesha();
    assert_int_equal(act("filesystem", "start", &diag, filesystem_words(0)), AGENT_OK);
    assert_int_equal(act("nfs", "start", &diag, nfs_words), AGENT_OK);
    pid_t pid = agent_pid_of_file("/run/haven/nfs/g__1/ganesha.pid");
    assert_true(pid > 1);
    agent_kill_and_wait(pid);
    assert_int_equal(act("nfs", "monitor", &diag, nfs_words), AGENT_NOT_RUNNING);
    assert_int_equal(act("nfs", "start", &diag, nfs_words), AGENT_OK);
    assert_int_equal(act("nfs", "stop", &diag, nfs_words), AGENT_OK);
    assert_int_equal(act("filesystem", "stop", &diag, filesystem_words(0)), AGENT_OK);
}

/* After a move the same bytes stand on another device with another number. */
static void file_handles_are_the_same_on_another_device(void **state)
{
    struct hv_diag diag;
    uint8_t handle[2][64];
    size_t length[2];

    (void)state;
    need_ganesha();
    assert_int_equal(sh("cp /srv/disk0 /srv/disk1"), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(act("filesystem", "start", &diag, filesystem_words(i)), AGENT_OK);
        assert_int_equal(act("nfs", "start", &diag, nfs_words), AGENT_OK);
        length[i] = mount_handle("/srv/nfs", handle[i]);
        assert_int_equal(act("nfs", "stop", &diag, nfs_words), AGENT_OK);
        assert_int_equal(act("filesystem", "stop", &diag, filesystem_words(i)), AGENT_OK);
    }
    assert_true(length[0] > 0);
    assert_int_equal(length[0], length[1]);
    assert_memory_equal(handle[0], handle[1], length[0]);
}

static void a_server_that_cannot_start_says_why(void **state)
{
    static const char *const absent[] = {
        "name=bad", "server=ganesha", "state=/srv/state", "export=/does/not/exist|*|rw:1", NULL};
    static const char *const bind[] = {"name=bad", "server=ganesha", "state=/srv/state",
        "bind=192.0.2.9", "export=/srv|*|rw:1", NULL};
    struct hv_diag diag;

    (void)state;
    need_ganesha();
    assert_int_equal(act("nfs", "start", &diag, absent), AGENT_ERROR);
    assert_string_equal(diag.text, "there is no directory /does/not/exist to export");
    assert_int_equal(act("nfs", "start", &diag, bind), AGENT_ERROR);
    assert_non_null(strstr(diag.text, "the NFS server ended while it started: "));
}

/* ---- setting up ----------------------------------------------------------------------------- */

static int set_up(void **state)
{
    (void)state;
    return sh("set -e; ip link set lo up; ip netns add far\n"
              "ip link add eth0 type veth peer name eth0 netns far\n"
              "ip addr add 10.77.0.1/24 brd + dev eth0; ip -6 addr add fd77::1/64 dev eth0 nodad\n"
              "ip -n far addr add 10.77.0.2/24 dev eth0\n"
              "ip -n far -6 addr add fd77::2/64 dev eth0 nodad\n"
              "ip link set eth0 up; ip -n far link set eth0 up\n");
}

static int run_all(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_address_comes_and_goes),
        cmocka_unit_test(the_interface_and_prefix_are_found),
        cmocka_unit_test(an_address_of_no_network_here_is_refused),
        cmocka_unit_test(an_address_that_somebody_has_is_refused),
        cmocka_unit_test(the_neighbours_are_told_repeatedly_and_in_both_forms),
        cmocka_unit_test(an_ipv6_address_is_asked_for_added_and_told),
        cmocka_unit_test(a_link_without_carrier_is_said),
        cmocka_unit_test(a_client_is_tickled_with_a_valid_segment),
        cmocka_unit_test(remembered_clients_are_tickled_too),
        cmocka_unit_test(a_file_system_comes_and_goes),
        cmocka_unit_test(what_holds_a_file_system_is_ended),
        cmocka_unit_test(nobody_is_ended_for_a_directory_that_is_no_mount),
        cmocka_unit_test(a_full_file_system_is_not_dead),
        cmocka_unit_test(what_cannot_be_mounted_says_why),
        cmocka_unit_test(the_nfs_server_answers_when_its_start_is_over),
        cmocka_unit_test(a_killed_nfs_server_is_seen_and_restarted),
        cmocka_unit_test(file_handles_are_the_same_on_another_device),
        cmocka_unit_test(a_server_that_cannot_start_says_why),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

static int inside(void)
{
    if (mount("proc", "/proc", "proc", 0, NULL) || set_up(NULL))
        return SKIP;
    return run_all() ? 1 : 0;
}

static int run_in_child(int (*run)(void))
{
    int status = 0;
    pid_t pid = fork();

    if (!pid) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        _exit(run());
    }
    while (waitpid(pid, &status, 0) < 0)
        ;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

/* The next child is process 1 of its own world. */
static int in_namespace(void)
{
    return unshare(CLONE_NEWPID) ? SKIP : run_in_child(inside);
}

/* Loop devices know no namespaces: the process outside attaches and detaches them, so that a crash of
 * the tests leaves none. */
static bool attach(int i)
{
    char command[256];

    /* Not `losetup -f`: it names the first free device to everybody who asks at the same time. */
    snprintf(command, sizeof command,
        "truncate -s 32M /srv/disk%d; mkfs.ext4 -q /srv/disk%d\n"
        "for n in 7 6 5 4 3 2; do losetup /dev/loop$n /srv/disk%d 2>/dev/null && "
        "echo /dev/loop$n && exit; done; exit 1",
        i, i, i);
    int rc = agent_run_program("/bin/sh", (char *[]){(char *)"sh", (char *)"-c", command, NULL},
        loop_device[i], sizeof loop_device[i]);
    loop_device[i][strcspn(loop_device[i], "\n")] = 0;
    return !rc;
}

static void detach(int i)
{
    char command[64];

    snprintf(command, sizeof command, "losetup -d %s", loop_device[i]);
    if (loop_device[i][0])
        sh(command);
}

int main(void)
{
    int status = 0;

    if (geteuid() || unshare(CLONE_NEWNET | CLONE_NEWNS)) {
        puts("needs root and namespaces of its own");
        return SKIP;
    }
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
        mount("tmpfs", "/run", "tmpfs", 0, NULL) || mount("tmpfs", "/srv", "tmpfs", 0, NULL) ||
        mount("tmpfs", "/var/log", "tmpfs", 0, NULL) || mkdir("/srv/nfs", 0755)) {
        puts("cannot make private mounts");
        return SKIP;
    }
    if (!attach(0) || !attach(1)) {
        puts("no loop device");
        detach(0);
        return SKIP;
    }
    status = run_in_child(in_namespace);
    detach(0);
    detach(1);
    return status;
}
