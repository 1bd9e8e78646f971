/* SPDX-License-Identifier: Apache-2.0 */
/* The commands that talk to haven-volume.  Output and exit codes are drbdadm's (admin §2). */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "conf_load.h"
#include "ctl.h"
#include "drbd_state.h"
#include "proc_drbd.h"
#include "volume_client.h"

enum { ERR_NO_ERROR = 101, ERR_RES_NOT_KNOWN = 158, EXIT_CONFIG = 10, EXIT_WAIT_TIMED_OUT = 5 };

/* ---------------------------------------------------------------------------------------- the request */

struct arguments {
    const char *word;
    json_t *options; /* members of the request */
    bool json, has_timeout;
    uint32_t timeout_s;
};

static const struct {
    const char *option, *member;
    bool number;
} known_options[] = {
    {"--force", "force", false},
    {"--overwrite-data-of-peer", "force", false},
    {"-o", "force", false},
    {"--discard-my-data", "discard_my_data", false},
    {"--clear-bitmap", "clear_bitmap", false},
    {"--assume-clean", "clear_bitmap", false},
    {"--assume-peer-has-space", "force", false},
    {"--start", "start_sector", true},
    {"--stop", "stop_sector", true},
};

/* "--name", "--name=VALUE" or "--name VALUE"; 1: taken, 0: not known, -1: its value is wrong. */
static int option_take(struct arguments *a, int argc, char **argv, int *i)
{
    for (size_t k = 0; k < sizeof known_options / sizeof known_options[0]; k++) {
        size_t n = strlen(known_options[k].option);
        const char *value = argv[*i] + n;
        char *end;
        if (strncmp(argv[*i], known_options[k].option, n) || (*value && *value != '='))
            continue;
        if (!known_options[k].number) {
            if (*value)
                return -1;
            json_object_set_new(a->options, known_options[k].member, json_true());
            return 1;
        }
        value = *value ? value + 1 : *i + 1 < argc ? argv[++*i] : "";
        unsigned long long v = strtoull(value, &end, 10);
        if (*value < '0' || *value > '9' || (*end && strcmp(end, "s")))
            return -1;
        json_object_set_new(a->options, known_options[k].member, json_integer((json_int_t)v));
        return 1;
    }
    return 0;
}

static int timeout_take(struct arguments *a, int argc, char **argv, int *i)
{
    static const char *const names[] = {"-t", "--wfc-timeout"};

    for (size_t k = 0; k < 2; k++) {
        size_t n = strlen(names[k]);
        const char *value = argv[*i] + n;
        char *end;
        if (strncmp(argv[*i], names[k], n) || (*value && *value != '='))
            continue;
        value = *value ? value + 1 : *i + 1 < argc ? argv[++*i] : "";
        a->timeout_s = (uint32_t)strtoul(value, &end, 10);
        a->has_timeout = true;
        return *value && !*end ? 1 : -1;
    }
    return 0;
}

static int arguments_read(const struct cmd_context *ctx, int argc, char **argv, struct arguments *a)
{
    *a = (struct arguments){.options = json_object()};
    for (int i = 1; i < argc; i++) {
        int taken = option_take(a, argc, argv, &i);
        if (!taken)
            taken = timeout_take(a, argc, argv, &i);
        if (taken < 0) {
            fprintf(stderr, "%s: %s: bad value for option '%s'\n", ctx->program, argv[0], argv[i]);
            return CMD_EXIT_USAGE;
        }
        if (taken || !strcmp(argv[i], "--"))
            continue;
        if (!strcmp(argv[i], "--json")) {
            a->json = true;
        } else if (argv[i][0] == '-') {
            fprintf(stderr, "%s: %s: unknown option '%s'\n", ctx->program, argv[0], argv[i]);
            return CMD_EXIT_USAGE;
        } else if (a->word) {
            fprintf(stderr, "%s: %s: one resource at a time, or all\n", ctx->program, argv[0]);
            return CMD_EXIT_USAGE;
        } else {
            a->word = argv[i];
        }
    }
    return 0;
}

/* Arguments, configuration and targets of one command. */
struct call {
    const struct cmd_context *ctx;
    const char *verb;
    struct arguments args;
    struct conf *conf;
    struct volume_target *targets;
    size_t n;
};

static void call_end(struct call *c)
{
    free(c->targets);
    conf_free(c->conf);
    json_decref(c->args.options);
}

/* word_optional: none means all. */
static int call_begin(
    struct call *c, const struct cmd_context *ctx, int argc, char **argv, bool word_optional)
{
    *c = (struct call){.ctx = ctx, .verb = argv[0]};
    int code = arguments_read(ctx, argc, argv, &c->args);
    if (!code && !c->args.word && !word_optional) {
        fprintf(stderr, "%s: %s: needs the name of a resource, or all\n", ctx->program, argv[0]);
        code = CMD_EXIT_USAGE;
    }
    if (!code)
        code = conf_load_or_complain(ctx, false, &c->conf);
    if (!code)
        code = volume_select(ctx, c->conf, c->args.word ? c->args.word : "all", &c->targets, &c->n);
    if (code)
        call_end(c);
    return code;
}

/* --------------------------------------------------------------------------------------- changing verbs */

static int complain(const struct volume_target *t, const json_t *reply)
{
    int retcode = (int)ctl_integer(reply, "retcode", 0);
    int exit_code = (int)ctl_integer(reply, "exit", CMD_EXIT_OTHER);
    char who[CONF_NAME_BYTES_MAX + 1];
    const char *text = ctl_string(reply, "text");

    if (t->volume)
        snprintf(who, sizeof who, "%u", t->volume->minor);
    else
        hv_strcopy(who, sizeof who, t->resource->name);
    if (!*text)
        text = ctl_string(reply, "error");
    if (retcode < 0)
        fprintf(stderr, "%s: State change failed: (%d) %s\n", who, retcode, text);
    else if (retcode > ERR_NO_ERROR)
        fprintf(stderr, "%s: Failure: (%d) %s\n", who, retcode, text);
    else
        fprintf(stderr, "%s: %s\n", who, text);
    return exit_code ? exit_code : CMD_EXIT_OTHER;
}

static int not_running(const struct volume_target *t, const char *verb)
{
    if (!strcmp(verb, "down"))
        return 0;
    fprintf(stderr, "%s: Failure: (%d) Unknown resource\n", t->resource->name, ERR_RES_NOT_KNOWN);
    return EXIT_CONFIG;
}

static json_t *request_of(const char *verb, const struct volume_target *t, json_t *options)
{
    json_t *request = options ? json_copy(options) : json_object();

    json_object_set_new(request, "verb", json_string(verb));
    if (t->volume)
        json_object_set_new(request, "volume", json_integer(t->volume->vnr));
    return request;
}

static bool verb_starts(const char *verb)
{
    return !strcmp(verb, "up") || !strcmp(verb, "adjust") || !strcmp(verb, "attach") ||
           !strcmp(verb, "connect");
}

static int act(
    const struct cmd_context *ctx, const char *verb, const struct volume_target *t, json_t *options)
{
    struct hv_diag diag = {""};
    json_t *reply;
    int rv = HV_OK, code = 0;

    if (ctx->dry_run) {
        printf("haven-volume %s: %s\n", t->resource->name, verb);
        return 0;
    }
    if (verb_starts(verb))
        rv = volume_spawn(ctx, t->resource->name, &diag);
    if (!rv)
        rv = volume_call(
            ctx, t->resource->name, request_of(verb, t, options), VOLUME_CALL_MS, &reply, &diag);
    if (rv == HV_ENOENT)
        return not_running(t, verb);
    if (rv) {
        fprintf(stderr, "%s: %s: %s\n", ctx->program, t->resource->name, diag.text);
        return CMD_EXIT_OTHER;
    }
    if (!ctl_flag(reply, "ok"))
        code = complain(t, reply);
    else if (*ctl_string(reply, "text"))
        fprintf(stderr, "%s: %s\n", t->resource->name, ctl_string(reply, "text"));
    json_decref(reply);
    return code;
}

static int run_act(const struct cmd_context *ctx, int argc, char **argv)
{
    struct call c;
    int code = call_begin(&c, ctx, argc, argv, false);

    if (code)
        return code;
    for (size_t i = 0; i < c.n; i++) {
        int one = act(ctx, c.verb, &c.targets[i], c.args.options);
        code = one > code ? one : code;
    }
    call_end(&c);
    return code;
}

int volume_verb(const struct cmd_context *ctx, const char *verb, const char *word)
{
    char verb_copy[32], word_copy[CONF_NAME_BYTES_MAX + 16];
    char *argv[] = {verb_copy, word_copy, NULL};

    if (!hv_strcopy(verb_copy, sizeof verb_copy, verb) ||
        !hv_strcopy(word_copy, sizeof word_copy, word))
        return CMD_EXIT_USAGE;
    return run_act(ctx, 2, argv);
}

/* ---------------------------------------------------------------------------------------- looking verbs */

static bool unconfigured(const json_t *volume)
{
    return !volume || (!strcmp(ctl_string(volume, "connection"), "StandAlone") &&
                          !strcmp(ctl_string(volume, "disk"), "Diskless"));
}

static void print_volume(const char *verb, const json_t *status, const struct conf_volume *volume)
{
    const json_t *v = status ? volume_status_find(status, volume->vnr) : NULL;

    if (unconfigured(v))
        puts("Unconfigured");
    else if (!strcmp(verb, "role"))
        printf("%s/%s\n", ctl_string(status, "role"), ctl_string(status, "peer_role"));
    else if (!strcmp(verb, "cstate"))
        puts(ctl_string(v, "connection"));
    else
        printf("%s/%s\n", ctl_string(v, "disk"), ctl_string(v, "peer_disk"));
}

static void print_sh_status(
    const struct volume_target *t, const struct conf_volume *volume, const json_t *status)
{
    struct hv_text text = {0};

    volume_sh_status(&text, &(struct volume_target){t->resource, volume}, status);
    fputs(hv_text_str(&text), stdout);
    hv_text_free(&text);
}

static int run_look(const struct cmd_context *ctx, int argc, char **argv)
{
    struct call c;
    int code = call_begin(&c, ctx, argc, argv, !strcmp(argv[0], "sh-status"));

    if (code)
        return code;
    for (size_t i = 0; i < c.n; i++) {
        const struct volume_target *t = &c.targets[i];
        json_t *status = volume_status(ctx, t->resource->name);
        for (size_t k = 0; k < t->resource->me->n_volumes; k++) {
            const struct conf_volume *volume = &t->resource->me->volumes[k];
            if (t->volume && t->volume != volume)
                continue;
            if (!strcmp(c.verb, "sh-status"))
                print_sh_status(t, volume, status);
            else
                print_volume(c.verb, status, volume);
        }
        json_decref(status);
    }
    call_end(&c);
    return 0;
}

/* The replication part of `haven status`; the picture of both nodes is made elsewhere. */
static int run_volume_status(const struct cmd_context *ctx, int argc, char **argv)
{
    struct call c;
    int code = call_begin(&c, ctx, argc, argv, true);

    if (code)
        return code;
    for (size_t i = 0; i < c.n; i++) {
        const char *name = c.targets[i].resource->name;
        json_t *status = volume_status(ctx, name);
        struct hv_text text = {0};
        if (!status) {
            fprintf(stderr, "# resource %s is not up\n", name);
            code = c.args.word ? EXIT_CONFIG : code;
        } else if (c.args.json) {
            json_dumpf(status, stdout, JSON_INDENT(2));
            putchar('\n');
        } else {
            volume_status_text(&text, status);
            fputs(hv_text_str(&text), stdout);
        }
        hv_text_free(&text);
        json_decref(status);
    }
    call_end(&c);
    return code;
}

static void proc_of(
    const struct cmd_context *ctx, const struct conf_resource *resource, struct hv_text *to)
{
    struct hv_diag diag;
    json_t *reply;

    if (!volume_call(ctx, resource->name, json_pack("{s:s}", "verb", "proc"), VOLUME_LOOK_MS,
            &reply, &diag)) {
        hv_text_add(to, ctl_string(reply, "text"));
        json_decref(reply);
        return;
    }
    for (size_t i = 0; i < resource->me->n_volumes; i++)
        hv_text_addf(to, "%2u: cs:Unconfigured\n", resource->me->volumes[i].minor);
}

static int run_proc(const struct cmd_context *ctx, int argc, char **argv)
{
    struct hv_text text = {0};
    struct call c;
    int code = call_begin(&c, ctx, argc, argv, true);

    if (code)
        return code;
    proc_drbd_header(&text);
    hv_text_add(&text, "\n");
    for (size_t i = 0; i < c.n; i++)
        proc_of(ctx, c.targets[i].resource, &text);
    fputs(hv_text_str(&text), stdout);
    hv_text_free(&text);
    call_end(&c);
    return 0;
}

static int run_events(const struct cmd_context *ctx, int argc, char **argv)
{
    const char **names;
    struct call c;
    int code = call_begin(&c, ctx, argc, argv, true);

    if (code)
        return code;
    names = calloc(c.n, sizeof *names);
    for (size_t i = 0; names && i < c.n; i++)
        names[i] = c.targets[i].resource->name;
    code = names ? volume_events(ctx, names, c.n, c.args.json) : CMD_EXIT_OTHER;
    free(names);
    call_end(&c);
    return code;
}

/* --------------------------------------------------------------------------------------------- waiting */

static bool wait_over(const char *verb, const json_t *status)
{
    const json_t *v;
    size_t i;

    if (!strcmp(ctl_string(status, "connection"), "StandAlone"))
        return true;
    if (drbd_conn_from_name(ctl_string(status, "connection")) < C_CONNECTED)
        return false;
    if (strcmp(verb, "wait-sync"))
        return true;
    json_array_foreach(json_object_get(status, "volumes"), i, v)
    {
        if (strcmp(ctl_string(v, "connection"), "Connected"))
            return false;
    }
    return true;
}

static int wait_for(
    const struct cmd_context *ctx, const char *verb, const char *resource, uint64_t until_ms)
{
    char path[CTL_PATH_MAX];
    struct ctl_link *link = NULL;
    struct hv_diag diag;
    json_t *message = NULL;
    bool over = false;
    int rv = HV_EINVAL;

    if (ctl_path(path, sizeof path, ctx->root, resource))
        rv = ctl_link_open(path, &link, &diag);
    if (!rv)
        rv = ctl_link_call(
            link, json_pack("{s:s}", "verb", "subscribe"), VOLUME_LOOK_MS, &message, &diag);
    while (!rv) {
        const json_t *status = json_object_get(message, "status");
        over = status && wait_over(verb, status);
        json_decref(message);
        uint64_t now = loop_clock_ms();
        if (over || now >= until_ms)
            break;
        uint64_t left = until_ms - now;
        rv = ctl_link_event(link, left < 3600000 ? (uint32_t)left : 3600000, &message, &diag);
        rv = rv == HV_ETIMEDOUT ? HV_OK : rv;
    }
    ctl_link_close(link);
    if (rv)
        fprintf(stderr, "%s: %s: %s\n", ctx->program, resource, diag.text);
    return rv ? CMD_EXIT_OTHER : over ? 0 : EXIT_WAIT_TIMED_OUT;
}

static int run_wait(const struct cmd_context *ctx, int argc, char **argv)
{
    struct call c;
    int code = call_begin(&c, ctx, argc, argv, false);

    if (code)
        return code;
    for (size_t i = 0; i < c.n; i++) {
        const struct conf_resource *r = c.targets[i].resource;
        uint32_t s = c.args.has_timeout ? c.args.timeout_s : r->startup.wfc_timeout_s;
        int one =
            wait_for(ctx, c.verb, r->name, s ? loop_clock_ms() + (uint64_t)s * 1000 : UINT64_MAX);
        code = one > code ? one : code;
    }
    call_end(&c);
    return code;
}

const struct cmd cmd_volume_table[] = {
    {"up", "RESOURCE|all", "start, attach and connect", run_act},
    {"down", "RESOURCE|all", "disconnect, detach and end", run_act},
    {"attach", "RESOURCE[/VOLUME]|all", "attach the disk", run_act},
    {"detach", "RESOURCE[/VOLUME]|all [--force]", "let the disk go", run_act},
    {"connect", "RESOURCE|all [--discard-my-data]", "connect to the peer", run_act},
    {"disconnect", "RESOURCE|all [--force]", "end the connection", run_act},
    {"primary", "RESOURCE|all [--force]", "make the device usable here", run_act},
    {"secondary", "RESOURCE|all", "make the device usable elsewhere", run_act},
    {"invalidate", "", "", run_act},
    {"outdate", "", "", run_act},
    {"invalidate-remote", "RESOURCE|all", "full sync to the peer", run_act},
    {"verify", "RESOURCE|all [--start S] [--stop S]", "compare with the peer", run_act},
    {"pause-sync", "RESOURCE|all", "hold a resync", run_act},
    {"resume-sync", "RESOURCE|all", "let a held resync go on", run_act},
    {"suspend-io", "RESOURCE|all", "hold the applications' I/O", run_act},
    {"resume-io", "RESOURCE|all", "let held I/O go on", run_act},
    {"resize", "RESOURCE|all [--assume-clean]", "take a larger disk into use", run_act},
    {"adjust", "RESOURCE|all", "take the changed configuration over", run_act},
    {"disk-options", "RESOURCE|all", "the disk section of the configuration only", run_act},
    {"net-options", "RESOURCE|all", "the net section of the configuration only", run_act},
    {"new-current-uuid", "RESOURCE|all [--clear-bitmap]", "declare the disks to be equal", run_act},
    {"wait-connect", "RESOURCE|all [-t SECONDS]", "wait for the peer", run_wait},
    {"wait-con-int", "", "", run_wait},
    {"wait-sync", "RESOURCE|all [-t SECONDS]", "wait until a resync is over", run_wait},
    {"role", "RESOURCE|all", "role here/there", run_look},
    {"cstate", "RESOURCE|all", "connection state", run_look},
    {"dstate", "RESOURCE|all", "disk state here/there", run_look},
    {"sh-status", "[RESOURCE]", "the state as shell assignments", run_look},
    {"volume-status", "[RESOURCE|all] [--json]", "the state as drbdadm status shows it",
        run_volume_status},
    {"proc", "[RESOURCE]", "what /proc/drbd showed", run_proc},
    {"events", "[RESOURCE|all] [--json]", "a line for each change", run_events},
    {NULL},
};
