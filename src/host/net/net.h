/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NET_H
#define NET_H
/* TCP for the replication link (wire §1.1): one listener, and sockets with a gathered send queue.
 *
 * All that is queued on a socket during a turn of the loop goes out in one sendmsg at its end, so that
 * small packets share a segment; TCP_NODELAY is on and corking is not needed.  Bytes arrive in a
 * buffer of the socket's, or, while the owner wants a large payload, directly where it belongs. */
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "hv_buf.h"
#include "hv_error.h"
#include "loop.h"

/* ------------------------------------------------------------------------------------------ addresses */

struct net_addr {
    struct sockaddr_storage sa;
    socklen_t length;
};

/* "10.0.0.1" or "fe80::1%eth0" (brackets allowed), numeric only. */
int net_addr_parse(
    const char *host, uint16_t port, struct net_addr *out, struct hv_diag *diag) HV_MUST_CHECK;
/* "10.0.0.1:7788", "[fe80::1]:7788" */
void net_addr_format(const struct net_addr *addr, char *to, size_t capacity);

/* ------------------------------------------------------------------------------------------- the room */

/* Sockets of one loop: flushes their queues at the end of each turn. */
struct net;

struct net_config {
    uint32_t sndbuf_bytes, rcvbuf_bytes; /* 0: the kernel's choice */
    uint32_t recv_bytes;                 /* receive buffer per socket; 0: 256 KiB */
};

int net_new(struct loop *loop, const struct net_config *config, struct net **out) HV_MUST_CHECK;
/* All sockets and listeners must have been closed, and the loop turned until they were gone
 * (net_idle()). */
void net_free(struct net *net);
bool net_idle(const struct net *net);

/* ------------------------------------------------------------------------------------------- sockets */

struct net_sock;

struct net_sock_ops {
    /* Outgoing only: 0, or -errno; after an error the socket must still be closed. */
    void (*connected)(void *arg, int error);
    void (*received)(void *arg, const uint8_t *bytes, uint32_t length_bytes);
    /* So many bytes were put where want() said. */
    void (*received_direct)(void *arg, uint32_t length_bytes);
    /* Where the next bytes of a large payload go: their number, 0 for none. */
    uint32_t (*want)(void *arg, uint8_t **to);
    /* False: begin no further receive (one that waits already may still bring something);
     * net_sock_resume() when that changes. */
    bool (*ready)(void *arg);
    void (*sent)(void *arg, uint32_t length_bytes); /* taken by TCP */
    /* Nothing more comes: 0 end of file, or -errno.  Once; the socket must still be closed. */
    void (*closed)(void *arg, int error);
};

/* local: the source address; its port is not used.  Fails at once only for want of resources or
 * when the local address is not ours. */
int net_connect(struct net *net, const struct net_addr *local, const struct net_addr *peer,
    uint32_t timeout_ms, const struct net_sock_ops *ops, void *arg, struct net_sock **out,
    struct hv_diag *diag) HV_MUST_CHECK;

/* Queues.  The head is copied; buf (may be NULL) is taken: one reference, dropped when sent. */
void net_send(struct net_sock *s, const void *head, uint32_t head_bytes, struct hv_buf *buf,
    uint32_t offset_bytes, uint32_t length_bytes);
uint32_t net_sock_queued_bytes(const struct net_sock *s);
void net_sock_resume(struct net_sock *s);
/* No callback comes after this.  What is queued is still sent (for at most two seconds), then the
 * socket is closed and frees itself. */
void net_sock_close(struct net_sock *s);
void net_sock_local(const struct net_sock *s, struct net_addr *out);
void net_sock_peer(const struct net_sock *s, struct net_addr *out);

/* ------------------------------------------------------------------------------------------ listeners */

struct net_listener;

struct net_listener_ops {
    /* The owner calls net_accept() or closes the descriptor. */
    void (*accepted)(void *arg, int fd);
};

int net_listen(struct net *net, const struct net_addr *local, const struct net_listener_ops *ops,
    void *arg, struct net_listener **out, struct hv_diag *diag) HV_MUST_CHECK;
void net_listener_close(struct net_listener *l);
/* Takes fd on success. */
int net_accept(struct net *net, int fd, const struct net_sock_ops *ops, void *arg,
    struct net_sock **out) HV_MUST_CHECK;

#endif
