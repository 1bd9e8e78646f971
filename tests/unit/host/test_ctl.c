/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "ctl.h"
#include "hv_text.h"

static struct loop *l;
static struct ctl_server *server;
static char dir[64], path[300];
static struct ctl_request *held;

static void handle(void *arg, struct ctl_request *r)
{
    (void)arg;
    if (!strcmp(r->verb, "echo"))
        ctl_reply(r, json_pack("{s:O}", "said", json_object_get(r->body, "say")));
    else if (!strcmp(r->verb, "hold"))
        held = r;
    else if (!strcmp(r->verb, "subscribe")) {
        ctl_subscribe(r);
        ctl_reply(r, NULL);
        ctl_publish(server, json_pack("{s:s}", "event", "hello"));
    } else
        ctl_reply_error(r, 11, "no verb '%s'", r->verb);
}

static int setup(void **state)
{
    struct hv_diag diag;

    (void)state;
    strcpy(dir, "/tmp/haven-ctl-XXXXXX");
    if (!mkdtemp(dir) || loop_new(64, &l, &diag))
        return -1;
    snprintf(path, sizeof path, "%s/run/x.sock", dir);
    held = NULL;
    return ctl_server_new(l, path, handle, NULL, &server, &diag);
}

static void drain(void)
{
    for (int i = 0; i < 20; i++)
        loop_turn(l, 1);
}

static int teardown(void **state)
{
    char command[128];

    (void)state;
    ctl_server_free(server);
    while (loop_pending(l))
        loop_turn(l, 100);
    loop_turn(l, 0);
    loop_free(l);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command);
}

struct answer {
    struct ctl_call call;
    int error, count;
    json_t *reply;
};

static void answered(struct ctl_call *call, int error, json_t *reply)
{
    struct answer *a = hv_container_of(call, struct answer, call);

    a->error = error;
    a->count++;
    a->reply = json_incref(reply);
}

static int closed_count, event_count;

static void client_closed(void *arg)
{
    (void)arg;
    closed_count++;
}

static void client_event(void *arg, json_t *event)
{
    (void)arg;
    (void)event;
    event_count++;
}

static const struct ctl_client_ops client_ops = {.event = client_event, .closed = client_closed};

static struct ctl_client *client_open(void)
{
    struct ctl_client *c;
    struct hv_diag diag;

    closed_count = event_count = 0;
    assert_int_equal(ctl_client_open(l, path, &client_ops, NULL, &c, &diag), HV_OK);
    return c;
}

static void wait_for(const int *count)
{
    for (int i = 0; i < 500 && !*count; i++)
        loop_turn(l, 20);
    assert_true(*count);
}

static void a_request_gets_its_reply(void **state)
{
    struct ctl_client *c = client_open();
    struct answer a = {.call.done = answered}, b = {.call.done = answered};

    (void)state;
    ctl_client_call(c, &a.call, json_pack("{s:s,s:s}", "verb", "echo", "say", "one"), 5000);
    ctl_client_call(c, &b.call, json_pack("{s:s}", "verb", "nonsense"), 5000);
    wait_for(&a.count);
    wait_for(&b.count);
    assert_int_equal(a.error, 0);
    assert_true(ctl_flag(a.reply, "ok"));
    assert_string_equal(ctl_string(a.reply, "said"), "one");
    assert_false(ctl_flag(b.reply, "ok"));
    assert_int_equal(ctl_integer(b.reply, "exit", 0), 11);
    assert_string_equal(ctl_string(b.reply, "error"), "no verb 'nonsense'");
    json_decref(a.reply);
    json_decref(b.reply);
    ctl_client_free(c);
    drain();
}

static void a_call_times_out_and_a_late_reply_is_ignored(void **state)
{
    struct ctl_client *c = client_open();
    struct answer a = {.call.done = answered}, b = {.call.done = answered};

    (void)state;
    ctl_client_call(c, &a.call, json_pack("{s:s}", "verb", "hold"), 20);
    wait_for(&a.count);
    assert_int_equal(a.error, HV_ETIMEDOUT);
    assert_non_null(held);
    ctl_reply(held, NULL);
    ctl_client_call(c, &b.call, json_pack("{s:s,s:i}", "verb", "echo", "say", 3), 5000);
    wait_for(&b.count);
    assert_int_equal(b.error, 0);
    assert_int_equal(a.count, 1);
    json_decref(b.reply);
    ctl_client_free(c);
    drain();
}

static void a_reply_to_a_client_that_has_gone_is_dropped(void **state)
{
    struct ctl_client *c = client_open();
    struct answer a = {.call.done = answered};

    (void)state;
    ctl_client_call(c, &a.call, json_pack("{s:s}", "verb", "hold"), 5000);
    while (!held)
        loop_turn(l, 100);
    ctl_client_free(c);
    assert_int_equal(a.error, HV_EIO);
    drain();
    assert_null(held->conn);
    ctl_reply(held, NULL);
}

static void the_end_of_the_server_fails_the_calls(void **state)
{
    struct ctl_client *c = client_open();
    struct answer a = {.call.done = answered};
    struct hv_diag diag;

    (void)state;
    ctl_client_call(c, &a.call, json_pack("{s:s}", "verb", "hold"), 5000);
    while (!held)
        loop_turn(l, 100);
    ctl_server_free(server);
    server = NULL;
    ctl_reply(held, NULL);
    wait_for(&closed_count);
    assert_int_equal(a.error, HV_EIO);
    assert_int_equal(a.count, 1);
    ctl_client_free(c);
    struct ctl_client *again;
    assert_int_equal(ctl_client_open(l, path, &client_ops, NULL, &again, &diag), HV_ENOENT);
}

static void only_subscribers_get_events(void **state)
{
    struct ctl_client *c = client_open(), *other;
    struct answer a = {.call.done = answered};
    struct hv_diag diag;

    (void)state;
    assert_int_equal(ctl_client_open(l, path, &client_ops, NULL, &other, &diag), HV_OK);
    ctl_client_call(c, &a.call, json_pack("{s:s}", "verb", "subscribe"), 5000);
    wait_for(&a.count);
    drain();
    assert_int_equal(event_count, 1);
    json_decref(a.reply);
    ctl_client_free(c);
    ctl_client_free(other);
    drain();
}

static void garbage_closes_the_connection(void **state)
{
    static const char *const bad[] = {"no json", "[1]", "{\"verb\":3}", "{}"};

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
        struct sockaddr_un addr = {.sun_family = AF_UNIX};
        assert_true(hv_strcopy(addr.sun_path, sizeof addr.sun_path, path));
        assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof addr), 0);
        assert_true(send(fd, bad[i], strlen(bad[i]), 0) > 0);
        drain();
        char byte;
        assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), 0);
        close(fd);
    }
}

static void a_subscriber_that_does_not_read_is_dropped(void **state)
{
    struct ctl_client *c = client_open();
    struct answer a = {.call.done = answered};
    char *long_text = malloc(30001);

    (void)state;
    memset(long_text, 'x', 30000);
    long_text[30000] = 0;
    ctl_client_call(c, &a.call, json_pack("{s:s}", "verb", "subscribe"), 5000);
    wait_for(&a.count);
    assert_true(ctl_has_subscribers(server));
    for (int i = 0; i < 2000; i++)
        ctl_publish(server, json_pack("{s:s,s:s}", "event", "big", "text", long_text));
    wait_for(&closed_count);
    assert_false(ctl_has_subscribers(server));
    json_decref(a.reply);
    ctl_client_free(c);
    free(long_text);
}

static void the_socket_is_private_and_exclusive(void **state)
{
    struct stat st;
    struct ctl_server *second;
    struct hv_diag diag;

    (void)state;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(ctl_server_new(l, path, handle, NULL, &second, &diag), HV_EBUSY);
    drain();
}

static void a_dead_socket_is_replaced(void **state)
{
    char other[320];
    struct ctl_server *second;
    struct hv_diag diag;
    pid_t pid;

    (void)state;
    snprintf(other, sizeof other, "%s/run/other.sock", dir);
    pid = fork();
    if (!pid) {
        struct loop *mine;
        if (loop_new(8, &mine, &diag) || ctl_server_new(mine, other, handle, NULL, &second, &diag))
            _exit(1);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(access(other, F_OK), 0);
    assert_int_equal(ctl_server_new(l, other, handle, NULL, &second, &diag), HV_OK);
    ctl_server_free(second);
}

static void a_long_path_works(void **state)
{
    char long_path[512];
    struct ctl_server *s;
    struct ctl_client *c;
    struct hv_diag diag;

    (void)state;
    snprintf(long_path, sizeof long_path, "%s/%0100d/%0100d/y.sock", dir, 1, 2);
    assert_int_equal(ctl_server_new(l, long_path, handle, NULL, &s, &diag), HV_OK);
    assert_int_equal(ctl_client_open(l, long_path, &client_ops, NULL, &c, &diag), HV_OK);
    ctl_client_free(c);
    ctl_server_free(s);
    drain();
}

static void the_waiting_client_calls_and_times_out(void **state)
{
    struct hv_diag diag;
    pid_t pid = fork();

    (void)state;
    if (!pid) {
        json_t *reply;
        struct ctl_link *link;
        int bad = ctl_call(
            path, json_pack("{s:s,s:s}", "verb", "echo", "say", "hi"), 5000, &reply, &diag);
        bad = bad || strcmp(ctl_string(reply, "said"), "hi");
        bad = bad || ctl_link_open(path, &link, &diag);
        bad = bad ||
              ctl_link_call(link, json_pack("{s:s}", "verb", "subscribe"), 5000, &reply, &diag);
        bad = bad || ctl_link_event(link, 5000, &reply, &diag);
        bad = bad || strcmp(ctl_string(reply, "event"), "hello");
        bad = bad || ctl_link_call(link, json_pack("{s:s}", "verb", "hold"), 20, &reply, &diag) !=
                         HV_ETIMEDOUT;
        _exit(bad);
    }
    int status = 1;
    for (int i = 0; i < 500 && waitpid(pid, &status, WNOHANG) == 0; i++)
        loop_turn(l, 20);
    assert_int_equal(status, 0);
    assert_non_null(held);
    ctl_reply(held, NULL);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_request_gets_its_reply),
        T(a_call_times_out_and_a_late_reply_is_ignored),
        T(a_reply_to_a_client_that_has_gone_is_dropped),
        T(the_end_of_the_server_fails_the_calls),
        T(only_subscribers_get_events),
        T(garbage_closes_the_connection),
        T(a_subscriber_that_does_not_read_is_dropped),
        T(the_socket_is_private_and_exclusive),
        T(a_dead_socket_is_replaced),
        T(a_long_path_works),
        T(the_waiting_client_calls_and_times_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
