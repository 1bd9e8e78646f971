/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "net.h"

static struct loop *l;
static struct net *net;

struct end {
    struct net_sock *sock;
    int connects, connect_error, closes, close_error, accepts, fd;
    bool stopped;
    uint8_t *in;
    uint32_t got, direct_got, sent;
    uint32_t want_from, want_to; /* these bytes of the stream are wanted directly */
};

enum { IN_BYTES = 8 << 20 };

static void on_connected(void *arg, int error)
{
    struct end *e = arg;

    e->connects++;
    e->connect_error = error;
}

static void on_received(void *arg, const uint8_t *bytes, uint32_t length)
{
    struct end *e = arg;

    assert_true(e->got + length <= IN_BYTES);
    memcpy(e->in + e->got, bytes, length);
    e->got += length;
}

static void on_direct(void *arg, uint32_t length)
{
    struct end *e = arg;

    e->got += length;
    e->direct_got += length;
}

static uint32_t on_want(void *arg, uint8_t **to)
{
    struct end *e = arg;

    *to = e->in + e->got;
    return e->got >= e->want_from && e->got < e->want_to ? e->want_to - e->got : 0;
}

static bool on_ready(void *arg)
{
    return !((struct end *)arg)->stopped;
}

static void on_sent(void *arg, uint32_t length)
{
    ((struct end *)arg)->sent += length;
}

static void on_closed(void *arg, int error)
{
    struct end *e = arg;

    e->closes++;
    e->close_error = error;
}

static const struct net_sock_ops ops = {.connected = on_connected,
    .received = on_received,
    .received_direct = on_direct,
    .want = on_want,
    .ready = on_ready,
    .sent = on_sent,
    .closed = on_closed};

static void on_accepted(void *arg, int fd)
{
    struct end *e = arg;

    e->accepts++;
    e->fd = fd;
}

static const struct net_listener_ops listener_ops = {.accepted = on_accepted};

static void turn_until(const int *count)
{
    for (int i = 0; i < 1000 && !*count; i++)
        loop_turn(l, 10);
    assert_true(*count);
}

static void turn_until_bytes(const uint32_t *bytes, uint32_t n)
{
    for (int i = 0; i < 5000 && *bytes < n; i++)
        loop_turn(l, 10);
    assert_int_equal(*bytes, n);
}

static struct end a, b;
static struct net_listener *listener;
static struct net_addr here;

static int setup(void **state)
{
    const struct net_config config = {0};
    struct hv_diag diag;

    (void)state;
    memset(&a, 0, sizeof a);
    memset(&b, 0, sizeof b);
    a.in = malloc(IN_BYTES);
    b.in = malloc(IN_BYTES);
    if (loop_new(64, &l, &diag) || net_new(l, &config, &net))
        return -1;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    if (a.sock)
        net_sock_close(a.sock);
    if (b.sock)
        net_sock_close(b.sock);
    if (listener)
        net_listener_close(listener);
    listener = NULL;
    for (int i = 0; i < 1000 && !net_idle(net); i++)
        loop_turn(l, 10);
    net_free(net);
    loop_free(l);
    free(a.in);
    free(b.in);
    return 0;
}

/* Listens on a port that the kernel picks. */
static bool listen_on(const char *host)
{
    struct hv_diag diag;
    uint16_t port = (uint16_t)(20000 + getpid() % 20000);

    for (int tries = 0; tries < 50; tries++, port++) {
        assert_int_equal(net_addr_parse(host, port, &here, &diag), HV_OK);
        if (!net_listen(net, &here, &listener_ops, &b, &listener, &diag))
            return true;
    }
    print_message("%s\n", diag.text);
    return false;
}

static void connect_both(const char *host)
{
    struct hv_diag diag;

    assert_true(listen_on(host));
    assert_int_equal(net_connect(net, &here, &here, 5000, &ops, &a, &a.sock, &diag), HV_OK);
    turn_until(&a.connects);
    assert_int_equal(a.connect_error, 0);
    turn_until(&b.accepts);
    assert_int_equal(net_accept(net, b.fd, &ops, &b, &b.sock), HV_OK);
}

static uint8_t payload_memory[1 << 20];
static int payload_freed;

static void payload_free(struct hv_buf_pool *pool, struct hv_buf *buf)
{
    (void)pool;
    (void)buf;
    payload_freed++;
}

static struct hv_buf_pool payload_pool = {.free = payload_free};

static void heads_and_payloads_arrive_in_order(void **state)
{
    struct hv_buf buf = {
        .data = payload_memory, .capacity_bytes = 1 << 20, .refs = 1, .pool = &payload_pool};

    (void)state;
    connect_both("127.0.0.1");
    for (int i = 0; i < 1 << 20; i++)
        payload_memory[i] = (uint8_t)(i * 7 + i / 256);
    payload_freed = 0;
    net_send(a.sock, "one ", 4, NULL, 0, 0);
    net_send(a.sock, "two ", 4, &buf, 100, 500000);
    net_send(a.sock, "three", 5, NULL, 0, 0);
    turn_until_bytes(&b.got, 500013);
    assert_memory_equal(b.in, "one two ", 8);
    assert_memory_equal(b.in + 8, payload_memory + 100, 500000);
    assert_memory_equal(b.in + 500008, "three", 5);
    assert_int_equal(payload_freed, 1);
    assert_int_equal(a.sent, 500013);
    assert_int_equal(net_sock_queued_bytes(a.sock), 0);
}

static void many_small_sends_survive_short_writes(void **state)
{
    enum { N = 60000 };

    (void)state;
    connect_both("127.0.0.1");
    b.stopped = true;
    for (uint32_t i = 0; i < N; i++) {
        uint8_t head[100];
        memset(head, 0, sizeof head);
        memcpy(head, &i, sizeof i);
        net_send(a.sock, head, sizeof head, NULL, 0, 0);
        if (i % 1000 == 0)
            loop_turn(l, 0);
    }
    for (int i = 0; i < 20; i++)
        loop_turn(l, 5);
    assert_true(b.got <= 256 * 1024); /* at most the receive that was already waiting */
    b.stopped = false;
    net_sock_resume(b.sock);
    turn_until_bytes(&b.got, N * 100);
    for (uint32_t i = 0; i < N; i++)
        assert_memory_equal(b.in + i * 100, &i, sizeof i);
}

static void a_wanted_payload_is_received_in_place(void **state)
{
    struct hv_buf buf = {
        .data = payload_memory, .capacity_bytes = 1 << 20, .refs = 1, .pool = &payload_pool};

    (void)state;
    connect_both("127.0.0.1");
    b.want_from = 4;
    b.want_to = 4 + (1 << 20);
    net_send(a.sock, "head", 4, NULL, 0, 0);
    turn_until_bytes(&b.got, 4);
    net_send(a.sock, "", 0, &buf, 0, 1 << 20);
    net_send(a.sock, "tail", 4, NULL, 0, 0);
    turn_until_bytes(&b.got, 8 + (1 << 20));
    assert_true(b.direct_got > 0 && b.direct_got <= 1 << 20);
    assert_memory_equal(b.in + 4, payload_memory, 1 << 20);
    assert_memory_equal(b.in + 4 + (1 << 20), "tail", 4);
}

static void a_direct_receive_leaves_its_place_alone_once_closed(void **state)
{
    (void)state;
    connect_both("127.0.0.1");
    b.want_to = 4096;
    loop_turn(l, 0);
    net_sock_resume(b.sock);
    net_sock_close(b.sock);
    b.sock = NULL;
    memset(b.in, 'q', 4096);
    net_send(a.sock, "late", 4, NULL, 0, 0);
    for (int i = 0; i < 20; i++)
        loop_turn(l, 5);
    for (int i = 0; i < 4096; i++)
        assert_int_equal(b.in[i], 'q');
}

static void what_was_sent_before_close_arrives(void **state)
{
    struct hv_buf buf = {
        .data = payload_memory, .capacity_bytes = 1 << 20, .refs = 1, .pool = &payload_pool};

    (void)state;
    connect_both("127.0.0.1");
    net_send(a.sock, "bye ", 4, &buf, 0, 1 << 20);
    net_sock_close(a.sock);
    a.sock = NULL;
    turn_until_bytes(&b.got, 4 + (1 << 20));
    turn_until(&b.closes);
    assert_int_equal(b.close_error, 0);
    assert_int_equal(b.closes, 1);
}

static void a_refused_connection_is_told(void **state)
{
    struct hv_diag diag;

    (void)state;
    assert_true(listen_on("127.0.0.1"));
    net_listener_close(listener);
    listener = NULL;
    while (!net_idle(net))
        loop_turn(l, 10);
    assert_int_equal(net_connect(net, &here, &here, 5000, &ops, &a, &a.sock, &diag), HV_OK);
    turn_until(&a.connects);
    assert_int_equal(a.connect_error, -ECONNREFUSED);
}

static void an_address_that_is_not_ours_is_refused_at_once(void **state)
{
    struct net_addr elsewhere;
    struct hv_diag diag;

    (void)state;
    assert_int_equal(net_addr_parse("192.0.2.1", 7788, &elsewhere, &diag), HV_OK);
    assert_int_equal(
        net_connect(net, &elsewhere, &elsewhere, 1000, &ops, &a, &a.sock, &diag), HV_EINVAL);
    assert_non_null(strstr(diag.text, "192.0.2.1"));
}

static void ipv6_works(void **state)
{
    char text[100];

    (void)state;
    if (!listen_on("[::1]")) {
        print_message("no IPv6 here\n");
        skip();
    }
    net_listener_close(listener);
    listener = NULL;
    loop_turn(l, 0);
    connect_both("::1");
    net_send(a.sock, "hello", 5, NULL, 0, 0);
    turn_until_bytes(&b.got, 5);
    net_addr_format(&here, text, sizeof text);
    assert_memory_equal(text, "[::1]:", 6);
}

static void names_are_no_addresses(void **state)
{
    static const char *const bad[] = {"localhost", "1.2.3", "1.2.3.4.5", "", "[::1", "::g"};
    struct net_addr addr;
    struct hv_diag diag;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        int rv = net_addr_parse(bad[i], 1, &addr, &diag);
        if (strcmp(bad[i], "1.2.3")) /* the old short form of inet_aton */
            assert_int_equal(rv, HV_EINVAL);
    }
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(heads_and_payloads_arrive_in_order),
        T(many_small_sends_survive_short_writes),
        T(a_wanted_payload_is_received_in_place),
        T(a_direct_receive_leaves_its_place_alone_once_closed),
        T(what_was_sent_before_close_arrives),
        T(a_refused_connection_is_told),
        T(an_address_that_is_not_ours_is_refused_at_once),
        T(ipv6_works),
        T(names_are_no_addresses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
