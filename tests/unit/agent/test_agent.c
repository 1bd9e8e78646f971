/* SPDX-License-Identifier: Apache-2.0 */
/* What the agents do that needs no privileges: words, generated files, scripts, and the order in which
 * a volume is asked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent.h"
#include "agent_link.h"
#include "agent_nfs.h"
#include "agent_util.h"

/* ---- words ---------------------------------------------------------------------------------- */

static void a_key_may_occur_several_times(void **state)
{
    const char *words[] = {"arg=1", "argument=x", "arg=2", "n=17"}, *values[4];
    struct agent_request r = {.root = "", .words = words, .n_words = 4};

    (void)state;
    assert_int_equal(agent_all(&r, "arg", values, 4), 2);
    assert_string_equal(values[0], "1");
    assert_string_equal(values[1], "2");
    assert_string_equal(agent_get(&r, "absent"), "");
    assert_int_equal(agent_number(&r, "n", 3), 17);
    assert_int_equal(agent_number(&r, "argument", 3), 3);
}

static void addresses_of_both_families_are_read(void **state)
{
    struct agent_ip a, b;

    (void)state;
    assert_true(agent_ip_parse("192.168.137.82", &a));
    assert_false(a.v6);
    assert_true(agent_ip_parse("fd00::1", &b));
    assert_true(b.v6);
    assert_false(agent_ip_equal(&a, &b));
    assert_false(agent_ip_parse("192.168.137.082x", &a));
}

/* ---- exports -------------------------------------------------------------------------------- */

static void an_export_word_has_the_defaults_of_exports(void **state)
{
    struct agent_export e;

    (void)state;
    assert_true(agent_export_parse("/nfs|*|", &e));
    assert_string_equal(e.directory, "/nfs");
    assert_string_equal(e.host, "*");
    assert_false(e.read_write);
    assert_false(e.insecure);
    assert_int_equal(e.squash, AGENT_SQUASH_ROOT);
    assert_int_equal(e.anon_uid, 65534);
}

static void an_export_word_without_host_is_refused(void **state)
{
    struct agent_export e;

    (void)state;
    assert_false(agent_export_parse("/nfs", &e));
    assert_false(agent_export_parse("/nfs||rw:1", &e));
    assert_false(agent_export_parse("|*|rw:1", &e));
}

static struct agent_nfs_config *config(const char *const *words)
{
    static struct agent_nfs_config c;

    memset(&c, 0, sizeof c);
    c.state = "/nfs/.haven";
    c.scope = "192.168.137.82";
    c.bind = "";
    c.root = "";
    for (; *words; words++)
        assert_true(agent_export_parse(*words, &c.exports[c.n_exports++]));
    return &c;
}

static void the_guides_export_is_translated(void **state)
{
    const char *words[] = {"/nfs|192.168.137.0/24|rw:1,squash:none,sec:sys", NULL};
    struct hv_text t = {0};

    (void)state;
    agent_ganesha_config(config(words), true, &t);
    assert_non_null(strstr(t.s, "Path = \"/nfs\";\n\tPseudo = \"/nfs\";"));
    assert_non_null(strstr(t.s, "\tAccess_Type = None;\n\tCLIENT {\n"
                                "\t\tClients = 192.168.137.0/24;\n"
                                "\t\tAccess_Type = RW;\n"
                                "\t\tSquash = No_Root_Squash;\n"));
    assert_non_null(strstr(t.s, "PrivilegedPort = true;"));
    assert_non_null(strstr(t.s, "Server_Scope = \"192.168.137.82\";"));
    assert_non_null(strstr(t.s, "RecoveryRoot = \"/nfs/.haven/ganesha\";"));
    assert_non_null(strstr(t.s, "Protocols = 3, 4;"));
    hv_text_free(&t);
}

static void clients_of_one_directory_share_one_export(void **state)
{
    const char *words[] = {"/nfs|10.0.0.0/255.255.0.0|rw:1,insecure:1,squash:all,uid:7,gid:8",
        "/nfs|*.example.org|sec:krb5:krb5i", NULL};
    struct hv_text t = {0};

    (void)state;
    agent_ganesha_config(config(words), false, &t);
    char *first = strstr(t.s, "EXPORT {");
    assert_non_null(first);
    assert_null(strstr(first + 1, "EXPORT {"));
    assert_non_null(strstr(t.s, "Clients = 10.0.0.0/16;\n\t\tAccess_Type = RW;\n"
                                "\t\tSquash = All_Squash;\n\t\tAnonymous_Uid = 7;\n"
                                "\t\tAnonymous_Gid = 8;\n\t\tPrivilegedPort = false;\n"));
    assert_non_null(strstr(t.s, "Clients = *.example.org;\n\t\tAccess_Type = RO;\n"
                                "\t\tSquash = Root_Squash;\n"));
    assert_non_null(strstr(t.s, "SecType = krb5, krb5i;"));
    assert_non_null(strstr(t.s, "Protocols = 4;"));
    hv_text_free(&t);
}

static void an_exports_number_does_not_depend_on_its_neighbours(void **state)
{
    const char *alone[] = {"/b|*|", NULL}, *with[] = {"/a|*|", "/b|*|", NULL};
    const char *given[] = {"/b|*|fsid:42", NULL};
    struct hv_text one = {0}, two = {0}, three = {0};
    char line[64];

    (void)state;
    agent_ganesha_config(config(alone), true, &one);
    agent_ganesha_config(config(with), true, &two);
    agent_ganesha_config(config(given), true, &three);
    char *id = strstr(one.s, "Export_Id = ");
    assert_non_null(id);
    snprintf(line, sizeof line, "%.*s", (int)strcspn(id, "\n"), id);
    assert_non_null(strstr(two.s, line));
    assert_non_null(strstr(three.s, "Export_Id = 42;"));
    hv_text_free(&one);
    hv_text_free(&two);
    hv_text_free(&three);
}

/* ---- a volume ------------------------------------------------------------------------------- */

static struct {
    struct agent_volume v;
    int refuse;     /* so many times */
    int connecting; /* so many looks until it is connected */
    char trace[256];
} fake;

static void fake_status(const struct agent_request *r, const char *name, struct agent_volume *out)
{
    (void)r;
    assert_string_equal(name, "r0");
    if (fake.connecting && !--fake.connecting)
        strcpy(fake.v.connection, "Connected");
    *out = fake.v;
}

static int fake_up(const struct agent_request *r, const char *name, struct hv_diag *diag)
{
    (void)r;
    (void)name;
    (void)diag;
    strcat(fake.trace, "up ");
    fake.v.reachable = true;
    return HV_OK;
}

static int fake_call(
    const struct agent_request *r, const char *name, const char *verb, struct hv_diag *diag)
{
    (void)r;
    (void)name;
    strcat(fake.trace, verb);
    strcat(fake.trace, " ");
    if (!strcmp(verb, "ping-peer"))
        return HV_OK;
    if (fake.refuse-- > 0) {
        hv_diag_set(diag, "not now");
        return HV_ESTATE;
    }
    strcpy(fake.v.role, !strcmp(verb, "primary") ? "Primary" : "Secondary");
    return HV_OK;
}

static const struct agent_volume_ops fake_ops = {fake_status, fake_up, fake_call};

static int drbd(enum agent_action action, struct hv_diag *diag)
{
    const char *words[] = {"resource=r0"};
    struct agent_request r = {.root = "", .words = words, .n_words = 1};

    diag->text[0] = 0;
    return agent_drbd(&r, action, &fake_ops, diag);
}

static void fake_reset(const char *role, bool reachable)
{
    memset(&fake, 0, sizeof fake);
    strcpy(fake.v.role, role);
    strcpy(fake.v.disk, "UpToDate");
    strcpy(fake.v.connection, "WFConnection");
    fake.v.reachable = reachable;
}

static void a_volume_is_brought_up_and_promoted(void **state)
{
    struct hv_diag diag;

    (void)state;
    fake_reset("Secondary", false);
    assert_int_equal(drbd(AGENT_START, &diag), AGENT_OK);
    assert_string_equal(fake.trace, "up ping-peer primary ");
    assert_int_equal(drbd(AGENT_MONITOR, &diag), AGENT_OK);
}

static void promotion_is_asked_for_until_it_is_granted(void **state)
{
    struct hv_diag diag;

    (void)state;
    fake_reset("Secondary", true);
    fake.refuse = 2;
    assert_int_equal(drbd(AGENT_START, &diag), AGENT_OK);
    assert_string_equal(fake.trace, "ping-peer primary primary primary ");
}

static int drbd_with_peer(const char *peer, const char *wait)
{
    const char *words[] = {"resource=r0", peer, wait};
    struct agent_request r = {.root = "", .words = words, .n_words = 3};
    struct hv_diag diag = {""};

    return agent_drbd(&r, AGENT_START, &fake_ops, &diag);
}

static void promotion_waits_for_the_handshake_with_a_living_peer(void **state)
{
    (void)state;
    fake_reset("Secondary", true);
    fake.connecting = 4;
    assert_int_equal(drbd_with_peer("peer=alive", "peer_wait_ms=60000"), AGENT_OK);
    assert_int_equal(fake.connecting, 0);
    assert_string_equal(fake.trace, "ping-peer primary ");
}

static void a_living_peer_is_not_waited_for_without_end(void **state)
{
    (void)state;
    fake_reset("Secondary", true);
    assert_int_equal(drbd_with_peer("peer=alive", "peer_wait_ms=1"), AGENT_OK);
    assert_string_equal(fake.v.connection, "WFConnection");
}

static void a_dead_peer_is_not_waited_for(void **state)
{
    (void)state;
    fake_reset("Secondary", true);
    fake.connecting = 4;
    assert_int_equal(drbd_with_peer("peer=dead", "peer_wait_ms=60000"), AGENT_OK);
    assert_int_equal(fake.connecting, 3);
}

static void a_primary_is_not_promoted_again(void **state)
{
    struct hv_diag diag;

    (void)state;
    fake_reset("Primary", true);
    assert_int_equal(drbd(AGENT_START, &diag), AGENT_OK);
    assert_string_equal(fake.trace, "");
}

static void demotion_waits_until_the_device_is_closed(void **state)
{
    struct hv_diag diag;

    (void)state;
    fake_reset("Primary", true);
    fake.refuse = 1;
    assert_int_equal(drbd(AGENT_STOP, &diag), AGENT_OK);
    assert_string_equal(fake.trace, "secondary secondary ");
    assert_string_equal(diag.text, "");
}

static void a_volume_that_is_not_there_is_stopped(void **state)
{
    struct hv_diag diag;

    (void)state;
    fake_reset("", false);
    assert_int_equal(drbd(AGENT_STOP, &diag), AGENT_OK);
    assert_int_equal(drbd(AGENT_MONITOR, &diag), AGENT_NOT_RUNNING);
}

static void a_primary_without_data_is_dead(void **state)
{
    struct hv_diag diag;

    (void)state;
    fake_reset("Primary", true);
    strcpy(fake.v.disk, "Diskless");
    assert_int_equal(drbd(AGENT_MONITOR, &diag), AGENT_ERROR);
    assert_string_equal(
        diag.text, "r0 has no usable data: its disk is Diskless and its peer is not connected");
    strcpy(fake.v.connection, "Connected");
    assert_int_equal(drbd(AGENT_MONITOR, &diag), AGENT_OK);
}

/* ---- scripts -------------------------------------------------------------------------------- */

static char root[] = "/tmp/haven-test-agent-XXXXXX";

static void script_write(const char *directory, const char *name, const char *text)
{
    char path[256];

    snprintf(path, sizeof path, "%s%s", root, directory);
    assert_int_equal(agent_make_directory(path), 0);
    snprintf(path, sizeof path, "%s%s/%s", root, directory, name);
    assert_int_equal(agent_write_file(path, text), 0);
    assert_int_equal(chmod(path, 0755), 0);
}

static int script(const char *name, enum agent_action action, struct hv_diag *diag)
{
    char word[64];
    const char *words[] = {word, "arg=one", "arg=two"};
    struct agent_request r = {.root = root, .words = words, .n_words = 3};

    snprintf(word, sizeof word, "script=%s", name);
    diag->text[0] = 0;
    return agent_script(&r, action, diag);
}

static void arguments_come_before_the_action(void **state)
{
    struct hv_diag diag;

    (void)state;
    script_write("/etc/ha.d/resource.d", "says", "#!/bin/sh\necho \"$@\"\n");
    assert_int_equal(script("says", AGENT_START, &diag), AGENT_OK);
    assert_string_equal(diag.text, "one two start");
    assert_int_equal(script("says", AGENT_STOP, &diag), AGENT_OK);
    assert_string_equal(diag.text, "one two stop");
}

/* The guide's own script begins with its first command. */
static void a_script_without_interpreter_line_is_run_by_the_shell(void **state)
{
    struct hv_diag diag;

    (void)state;
    script_write("/etc/ha.d/resource.d", "plain", "echo by hand; exit 0\n");
    assert_int_equal(script("plain", AGENT_START, &diag), AGENT_OK);
    assert_string_equal(diag.text, "by hand");
}

static void status_is_read_from_what_is_said_not_from_the_exit_code(void **state)
{
    static const struct {
        const char *says;
        int result;
    } cases[] = {{"echo running; exit 3", AGENT_OK}, {"echo it is OK; exit 1", AGENT_OK},
        {"echo Not Running; exit 0", AGENT_NOT_RUNNING}, {"echo stopped", AGENT_NOT_RUNNING},
        {"echo foo is running >&2", AGENT_OK}, {":", AGENT_NOT_RUNNING}};
    struct hv_diag diag;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[256];
        snprintf(text, sizeof text, "#!/bin/sh\ncase $3 in status) %s;; esac\n", cases[i].says);
        script_write("/etc/init.d", "lsb", text);
        assert_int_equal(script("lsb", AGENT_MONITOR, &diag), cases[i].result);
    }
}

static void a_script_that_does_not_know_status_is_not_asked(void **state)
{
    struct hv_diag diag;
    char path[256];

    (void)state;
    snprintf(path, sizeof path, "#!/bin/sh\ntouch %s/asked\nexit 0\n", root);
    script_write("/etc/ha.d/resource.d", "mute", path);
    snprintf(path, sizeof path, "%s/asked", root);
    assert_int_equal(script("mute", AGENT_MONITOR, &diag), AGENT_CANNOT_TELL);
    assert_int_not_equal(access(path, F_OK), 0);
    assert_int_equal(script("mute", AGENT_START, &diag), AGENT_OK);
    assert_int_equal(access(path, F_OK), 0);
}

static void what_is_held_already_is_not_started(void **state)
{
    struct hv_diag diag;

    (void)state;
    script_write("/etc/ha.d/resource.d", "held",
        "#!/bin/sh\ncase $3 in status) echo running;; start) exit 9;; esac\n");
    assert_int_equal(script("held", AGENT_START, &diag), AGENT_OK);
}

static void a_script_that_fails_says_with_what(void **state)
{
    struct hv_diag diag;

    (void)state;
    script_write("/etc/ha.d/resource.d", "fails", "#!/bin/sh\necho no disk\necho here\nexit 5\n");
    assert_int_equal(script("fails", AGENT_START, &diag), AGENT_ERROR);
    assert_non_null(strstr(diag.text, "Return code 5 from "));
    assert_non_null(strstr(diag.text, ": no disk here"));
}

static void a_missing_script_cannot_be_started(void **state)
{
    struct hv_diag diag;

    (void)state;
    assert_int_equal(script("absent", AGENT_START, &diag), AGENT_ERROR);
    assert_non_null(strstr(diag.text, "Cannot locate resource script absent"));
    assert_int_equal(script("../../etc/passwd", AGENT_START, &diag), AGENT_ERROR);
}

static void a_daemon_that_a_script_leaves_behind_is_not_waited_for(void **state)
{
    struct hv_diag diag;
    uint64_t start_ms = agent_clock_ms();

    (void)state;
    script_write("/etc/ha.d/resource.d", "daemon", "#!/bin/sh\nsleep 3 &\necho up\n");
    assert_int_equal(script("daemon", AGENT_START, &diag), AGENT_OK);
    assert_true(agent_clock_ms() - start_ms < 2500);
}

static int make_root(void **state)
{
    (void)state;
    return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state)
{
    char output[256];

    (void)state;
    return agent_run_program(
        "/bin/rm", (char *[]){(char *)"rm", (char *)"-r", root, NULL}, output, sizeof output);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_may_occur_several_times),
        cmocka_unit_test(addresses_of_both_families_are_read),
        cmocka_unit_test(an_export_word_has_the_defaults_of_exports),
        cmocka_unit_test(an_export_word_without_host_is_refused),
        cmocka_unit_test(the_guides_export_is_translated),
        cmocka_unit_test(clients_of_one_directory_share_one_export),
        cmocka_unit_test(an_exports_number_does_not_depend_on_its_neighbours),
        cmocka_unit_test(a_volume_is_brought_up_and_promoted),
        cmocka_unit_test(promotion_is_asked_for_until_it_is_granted),
        cmocka_unit_test(promotion_waits_for_the_handshake_with_a_living_peer),
        cmocka_unit_test(a_living_peer_is_not_waited_for_without_end),
        cmocka_unit_test(a_dead_peer_is_not_waited_for),
        cmocka_unit_test(a_primary_is_not_promoted_again),
        cmocka_unit_test(demotion_waits_until_the_device_is_closed),
        cmocka_unit_test(a_volume_that_is_not_there_is_stopped),
        cmocka_unit_test(a_primary_without_data_is_dead),
        cmocka_unit_test(arguments_come_before_the_action),
        cmocka_unit_test(a_script_without_interpreter_line_is_run_by_the_shell),
        cmocka_unit_test(status_is_read_from_what_is_said_not_from_the_exit_code),
        cmocka_unit_test(a_script_that_does_not_know_status_is_not_asked),
        cmocka_unit_test(what_is_held_already_is_not_started),
        cmocka_unit_test(a_script_that_fails_says_with_what),
        cmocka_unit_test(a_missing_script_cannot_be_started),
        cmocka_unit_test(a_daemon_that_a_script_leaves_behind_is_not_waited_for),
    };
    return cmocka_run_group_tests(tests, make_root, remove_root);
}
