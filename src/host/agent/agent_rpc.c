/* SPDX-License-Identifier: Apache-2.0 */
/* The one remote procedure call that says "I am here" (RFC 5531: procedure 0). */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent_link.h"
#include "agent_nfs.h"
#include "agent_util.h"
#include "hv_endian.h"

enum { CALL_WORDS = 10, REPLY_BYTES = 28, XID = 0x68617665 };

static int wait_for(int fd, short events, uint64_t end_ms)
{
    uint64_t now_ms = agent_clock_ms();
    struct pollfd p = {.fd = fd, .events = events};

    return now_ms < end_ms && poll(&p, 1, (int)(end_ms - now_ms)) > 0 ? HV_OK : HV_ETIMEDOUT;
}

static int connect_to(int fd, const struct agent_ip *ip, uint16_t port, uint64_t end_ms)
{
    struct sockaddr_storage to = {.ss_family = ip->v6 ? AF_INET6 : AF_INET};
    socklen_t length = ip->v6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    int error = 0;
    socklen_t error_length = sizeof error;

    if (ip->v6) {
        ((struct sockaddr_in6 *)(void *)&to)->sin6_addr = ip->six;
        ((struct sockaddr_in6 *)(void *)&to)->sin6_port = htons(port);
    } else {
        ((struct sockaddr_in *)(void *)&to)->sin_addr = ip->v4;
        ((struct sockaddr_in *)(void *)&to)->sin_port = htons(port);
    }
    if (connect(fd, (struct sockaddr *)&to, length) && errno != EINPROGRESS)
        return errno == ECONNREFUSED ? HV_ENOENT : HV_EIO;
    if (wait_for(fd, POLLOUT, end_ms))
        return HV_ETIMEDOUT;
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &error_length);
    return !error ? HV_OK : error == ECONNREFUSED ? HV_ENOENT : HV_EIO;
}

int agent_rpc_null(
    const char *address, uint16_t port, uint32_t program, uint32_t version, uint32_t timeout_ms)
{
    const uint32_t words[CALL_WORDS + 1] = {
        0x80000000 | CALL_WORDS * 4, XID, 0, 2, program, version, 0, 0, 0, 0, 0};
    uint8_t call[(CALL_WORDS + 1) * 4], reply[REPLY_BYTES];
    uint64_t end_ms = agent_clock_ms() + timeout_ms;
    size_t got = 0;
    struct agent_ip ip;

    if (!agent_ip_parse(address, &ip))
        return HV_EINVAL;
    int fd = socket(ip.v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return HV_EIO;
    for (size_t i = 0; i <= CALL_WORDS; i++)
        hv_store_be32(call + 4 * i, words[i]);
    int rc = connect_to(fd, &ip, port, end_ms);
    if (!rc && send(fd, call, sizeof call, MSG_NOSIGNAL) != (ssize_t)sizeof call)
        rc = HV_EIO;
    while (!rc && got < sizeof reply) {
        rc = wait_for(fd, POLLIN, end_ms);
        if (rc)
            break;
        ssize_t n = recv(fd, reply + got, sizeof reply - got, 0);
        if (n <= 0)
            rc = HV_EIO;
        else
            got += (size_t)n;
    }
    /* accepted, and carried out: record mark, xid, REPLY, MSG_ACCEPTED, verifier, SUCCESS */
    if (!rc && (hv_load_be32(reply + 4) != XID || hv_load_be32(reply + 8) != 1 ||
                   hv_load_be32(reply + 12) || hv_load_be32(reply + 24)))
        rc = HV_EIO;
    close(fd);
    return rc;
}

int agent_rpcbind_ensure(const struct agent_nfs_config *c, struct hv_diag *diag)
{
    enum { RPCBIND_PROGRAM = 100000, RPCBIND_VERSION = 2, WAIT_MS = 5000 };
    uint64_t end_ms = agent_clock_ms() + WAIT_MS;
    char *argv[] = {(char *)"rpcbind", (char *)"-w", (char *)"-f", NULL};
    char pid_file[AGENT_PATH_BYTES], text[32];

    if (!agent_rpc_null("127.0.0.1", RPCBIND_PORT, RPCBIND_PROGRAM, RPCBIND_VERSION, 1000))
        return HV_OK;
    (void)agent_make_directory("/run/rpcbind");
    pid_t pid = agent_spawn_daemon(argv);
    if (pid < 0) {
        hv_diag_set(diag, "rpcbind cannot be started: %s", strerror(-pid));
        return HV_ENOENT;
    }
    snprintf(pid_file, sizeof pid_file, "%.4000s/run/haven/nfs/rpcbind.pid", c->root);
    snprintf(text, sizeof text, "%d\n", (int)pid);
    (void)agent_write_file(pid_file, text);
    while (agent_rpc_null("127.0.0.1", RPCBIND_PORT, RPCBIND_PROGRAM, RPCBIND_VERSION, 500)) {
        if (agent_clock_ms() >= end_ms) {
            hv_diag_set(diag, "rpcbind was started and does not answer (is the interface lo up?)");
            return HV_ETIMEDOUT;
        }
        agent_sleep_ms(3);
    }
    return HV_OK;
}
