/* SPDX-License-Identifier: Apache-2.0 */
/* What needs the configuration only: check, dump, and the sh-* commands of scripts (admin §2.1). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "conf_dump.h"
#include "conf_load.h"

static void print_report(const struct conf_report *report)
{
    struct hv_text text = {0};

    conf_report_format(report, &text);
    printf("%s\n", hv_text_str(&text));
    hv_text_free(&text);
}

/* With -c and without --root it is that file alone which is to be checked. */
static int cmd_check(const struct cmd_context *ctx, int argc, char **argv)
{
    struct conf *conf;
    int rc;

    if (argc > 1) {
        fprintf(stderr, "%s: check takes no '%s'\n", ctx->program, argv[1]);
        return CMD_EXIT_USAGE;
    }
    if (ctx->config_file && !ctx->root[0])
        rc = conf_load_alone(ctx, &conf);
    else
        rc = conf_load(ctx, true, &conf);
    for (size_t i = 0; i < conf->reports.n; i++)
        print_report(&conf->reports.items[i]);
    if (rc == HV_ENOENT && !conf->reports.n)
        printf(
            "neither %s/etc/haven/haven.conf nor %s/etc/drbd.conf exists\n", ctx->root, ctx->root);
    conf_free(conf);
    return rc ? CMD_EXIT_CONFIG : CMD_EXIT_OK;
}

/* RES, RES/VOL or minor-N among what this node has.  NULL after a complaint. */
static const struct conf_resource *find(
    const struct conf *conf, const char *word, const struct conf_volume **volume)
{
    const struct conf_resource *res = NULL;
    const char *slash = strrchr(word, '/');
    char name[CONF_NAME_BYTES_MAX + 1];
    char *end;

    *volume = NULL;
    if (!strncmp(word, "minor-", 6)) {
        unsigned long minor = strtoul(word + 6, &end, 10);
        if (end != word + 6 && !*end && minor <= CONF_MINOR_MAX)
            *volume = conf_minor_find(conf, (uint32_t)minor, &res);
    } else if (slash && (size_t)(slash - word) < sizeof name) {
        memcpy(name, word, (size_t)(slash - word));
        name[slash - word] = '\0';
        unsigned long vnr = strtoul(slash + 1, &end, 10);
        res = conf_resource_find(conf, name);
        if (res && res->me && end != slash + 1 && !*end && vnr <= CONF_VNR_MAX)
            *volume = conf_volume_find(res->me, (uint32_t)vnr);
    } else {
        res = conf_resource_find(conf, word);
        if (res && res->me)
            return res;
    }
    if (res && *volume)
        return res;
    fprintf(stderr, "'%s' not defined in your config (for this host).\n", word);
    return NULL;
}

/* The only volume of a resource may stand for the resource. */
static bool is_whole(
    const char *verb, const struct conf_resource *res, const struct conf_volume *volume)
{
    if (!volume || res->me->implicit_volume)
        return true;
    fprintf(stderr, "%s operates on whole resources, but you specified a specific volume!\n", verb);
    return false;
}

static bool is_unstacked(const struct conf_resource *res, const char *word)
{
    if (res->stacked)
        fprintf(stderr, "'%s' is a stacked resource, and not available in normal mode.\n", word);
    return !res->stacked;
}

static void flush_text(struct hv_text *text)
{
    fputs(hv_text_str(text), stdout);
    hv_text_free(text);
}

static int dump_some(const struct conf *conf, int argc, char **argv,
    void (*dump)(const struct conf *, const struct conf_resource *, struct hv_text *))
{
    int exit_code = CMD_EXIT_OK;

    for (int i = 1; i < argc; i++) {
        const struct conf_volume *volume;
        const struct conf_resource *res = find(conf, argv[i], &volume);
        struct hv_text text = {0};
        if (res && !is_whole(argv[0], res, volume))
            res = NULL;
        if (!res) {
            exit_code = CMD_EXIT_USAGE;
            continue;
        }
        dump(conf, res, &text);
        flush_text(&text);
    }
    return exit_code;
}

static int cmd_dump(const struct cmd_context *ctx, int argc, char **argv)
{
    struct hv_text text = {0};
    struct conf *conf;
    int exit_code = conf_load_or_complain(ctx, false, &conf);
    bool xml = !strcmp(argv[0], "dump-xml");

    if (exit_code)
        return exit_code;
    if (argc > 1 && !(argc == 2 && !strcmp(argv[1], "all"))) {
        exit_code = dump_some(conf, argc, argv, xml ? conf_dump_resource_xml : conf_dump_resource);
    } else if (xml) {
        conf_dump_xml(conf, &text);
    } else {
        conf_dump_global(conf, &text);
        for (size_t i = 0; i < conf->n_resources; i++)
            conf_dump_resource(conf, &conf->resources[i], &text);
    }
    flush_text(&text);
    conf_free(conf);
    return exit_code;
}

/* The commands that need no resource. */
static int cmd_sh_generic(const struct cmd_context *ctx, int argc, char **argv)
{
    struct conf *conf;
    int exit_code = conf_load_or_complain(ctx, false, &conf);
    bool first = true;

    if (exit_code)
        return exit_code;
    if (argc > 1)
        fprintf(stderr, "This command will ignore resource names!\n");
    if (!strcmp(argv[0], "sh-mod-parms"))
        printf("minor_count=%u\n", conf->global.minor_count ? conf->global.minor_count : 32);
    for (size_t i = 0; !strcmp(argv[0], "sh-resources") && i < conf->n_resources; i++) {
        const struct conf_resource *res = &conf->resources[i];
        if (!res->me || res->stacked)
            continue;
        printf("%s%s", first ? "" : " ", res->name);
        first = false;
    }
    if (!first)
        printf("\n");
    conf_free(conf);
    return CMD_EXIT_OK;
}

typedef void volume_print(
    const struct conf *conf, const struct conf_resource *res, const struct conf_volume *v);

static void print_dev(
    const struct conf *conf, const struct conf_resource *res, const struct conf_volume *v)
{
    printf("%s\n", v->device);
}

static void print_minor(
    const struct conf *conf, const struct conf_resource *res, const struct conf_volume *v)
{
    printf("%u\n", v->minor);
}

static void print_disk(
    const struct conf *conf, const struct conf_resource *res, const struct conf_volume *v)
{
    printf("%s\n", v->disk);
}

static void print_md_dev(
    const struct conf *conf, const struct conf_resource *res, const struct conf_volume *v)
{
    printf("%s\n", v->meta_disk);
}

static void print_md_idx(
    const struct conf *conf, const struct conf_resource *res, const struct conf_volume *v)
{
    if (v->meta_kind == CONF_META_INDEXED)
        printf("%u\n", v->meta_index);
    else
        printf("%s\n", v->meta_kind == CONF_META_INTERNAL ? "internal" : "flexible");
}

static void print_ip(
    const struct conf *conf, const struct conf_resource *res, const struct conf_volume *v)
{
    printf("%s\n", res->me->address);
}

static const char *without_dev(const char *path)
{
    return strncmp(path, "/dev/", 5) ? path : path + 5;
}

static void print_udev(
    const struct conf *conf, const struct conf_resource *res, const struct conf_volume *v)
{
    if (res->me->implicit_volume && !conf->global.udev_always_use_vnr)
        printf("RESOURCE=%s\n", res->name);
    else
        printf("RESOURCE=%s/%u\n", res->name, v->vnr);
    printf("DEVICE=%s\nDISK=%s\n", without_dev(v->device), without_dev(v->disk));
}

/* One row a command that prints something of each volume. */
static const struct {
    const char *verb;
    volume_print *print;
} volume_prints[] = {{"sh-dev", print_dev}, {"sh-udev", print_udev}, {"sh-minor", print_minor},
    {"sh-ll-dev", print_disk}, {"sh-md-dev", print_md_dev}, {"sh-md-idx", print_md_idx},
    {"sh-ip", print_ip}};

static int print_one(
    const struct conf *conf, const char *verb, volume_print *print, const char *word)
{
    const struct conf_volume *volume;
    const struct conf_resource *res = find(conf, word, &volume);

    if (!res)
        return CMD_EXIT_USAGE;
    if (!is_unstacked(res, word))
        return CMD_EXIT_USAGE;
    if (!volume && print == print_udev && !res->me->implicit_volume) {
        fprintf(stderr, "%s requires a specific volume id, but none is specified.\n", verb);
        fprintf(stderr, "Try '%s minor-<minor_number>' or '%s %s/<vnr>'\n", verb, verb, word);
        return CMD_EXIT_USAGE;
    }
    if (volume)
        print(conf, res, volume);
    for (size_t i = 0; !volume && i < res->me->n_volumes; i++)
        print(conf, res, &res->me->volumes[i]);
    return CMD_EXIT_OK;
}

/* A normal resource of this node, for `all`. */
static bool is_normal(const struct conf_resource *res)
{
    return res->me && !res->stacked;
}

static int complain_nothing(const struct cmd_context *ctx, const struct conf *conf)
{
    for (size_t i = 0; i < conf->n_resources; i++)
        if (is_normal(&conf->resources[i]))
            return CMD_EXIT_OK;
    if (conf->n_resources)
        fprintf(stderr,
            "WARN: no normal resources defined for this host (%s)!?\n"
            "Misspelled name of the local machine with the 'on' keyword ?\n",
            ctx->node);
    else
        fprintf(stderr, "no resources defined!\n");
    return CMD_EXIT_USAGE;
}

static int cmd_sh_volume(const struct cmd_context *ctx, int argc, char **argv)
{
    volume_print *print = NULL;
    struct conf *conf;
    int exit_code = conf_load_or_complain(ctx, false, &conf);

    if (exit_code)
        return exit_code;
    for (size_t i = 0; i < sizeof volume_prints / sizeof volume_prints[0]; i++)
        if (!strcmp(volume_prints[i].verb, argv[0]))
            print = volume_prints[i].print;
    if (argc == 1) {
        fprintf(stderr, "%s: %s needs the name of a resource, or all\n", ctx->program, argv[0]);
        exit_code = CMD_EXIT_USAGE;
    } else if (argc == 2 && !strcmp(argv[1], "all")) {
        exit_code = complain_nothing(ctx, conf);
        if (!exit_code && print == print_udev) {
            fprintf(stderr, "volume not specified\n");
            exit_code = CMD_EXIT_USAGE;
        }
        for (size_t i = 0; !exit_code && i < conf->n_resources; i++)
            if (is_normal(&conf->resources[i]))
                exit_code = print_one(conf, argv[0], print, conf->resources[i].name);
    } else {
        for (int i = 1; i < argc; i++)
            if (print_one(conf, argv[0], print, argv[i]))
                exit_code = CMD_EXIT_USAGE;
    }
    conf_free(conf);
    return exit_code;
}

/* sh-resource: the name; sh-lr-of: only for stacked ones; sh-b-pri: Primary, if startup {} says so. */
static int resource_command(
    const struct cmd_context *ctx, const struct conf_resource *res, const char *verb)
{
    if (!strcmp(verb, "sh-resource")) {
        printf("%s\n", res->name);
        return CMD_EXIT_OK;
    }
    if (!strcmp(verb, "sh-lr-of")) {
        fprintf(stderr, "sh-lower-resource only available in stacked mode\n");
        return CMD_EXIT_USAGE;
    }
    for (size_t i = 0; i < res->startup.n_become_primary_on; i++) {
        const char *who = res->startup.become_primary_on[i];
        bool me = !strcmp(who, "both");
        for (size_t n = 0; n < res->me->n_names; n++)
            me |= !strcmp(res->me->names[n], who);
        char verb_primary[] = "primary", *argv[] = {verb_primary, (char *)(void *)res->name, NULL};
        for (const struct cmd *c = cmd_volume_table; me && c->verb; c++)
            if (!strcmp(c->verb, "primary"))
                return c->run(ctx, 2, argv);
    }
    return CMD_EXIT_OK;
}

static int cmd_sh_resource(const struct cmd_context *ctx, int argc, char **argv)
{
    struct conf *conf;
    int exit_code = conf_load_or_complain(ctx, false, &conf);

    if (exit_code)
        return exit_code;
    if (argc == 1) {
        fprintf(stderr, "%s: %s needs the name of a resource, or all\n", ctx->program, argv[0]);
        exit_code = CMD_EXIT_USAGE;
    } else if (argc == 2 && !strcmp(argv[1], "all")) {
        exit_code = complain_nothing(ctx, conf);
        for (size_t i = 0; !exit_code && i < conf->n_resources; i++)
            if (is_normal(&conf->resources[i]))
                exit_code = resource_command(ctx, &conf->resources[i], argv[0]);
    }
    for (int i = 1; i < argc && (argc > 2 || strcmp(argv[1], "all")); i++) {
        const struct conf_volume *volume;
        const struct conf_resource *res = find(conf, argv[i], &volume);
        if (!res || !is_whole(argv[0], res, volume) || !is_unstacked(res, argv[i]))
            exit_code = CMD_EXIT_USAGE;
        else if (resource_command(ctx, res, argv[0]))
            exit_code = CMD_EXIT_USAGE;
    }
    conf_free(conf);
    return exit_code;
}

const struct cmd cmd_conf_table[] = {
    {"check", "", "say every mistake in the configuration; silent when there is none", cmd_check},
    {"dump", "[RESOURCE…|all]", "print the configuration as it is understood", cmd_dump},
    {"dump-xml", "[RESOURCE…|all]", "the same as XML", cmd_dump},
    {"sh-nop", "", "", cmd_sh_generic},
    {"sh-resources", "", "", cmd_sh_generic},
    {"sh-mod-parms", "", "", cmd_sh_generic},
    {"sh-resource", "RESOURCE…|all", "", cmd_sh_resource},
    {"sh-lr-of", "RESOURCE…|all", "", cmd_sh_resource},
    {"sh-b-pri", "RESOURCE…|all", "", cmd_sh_resource},
    {"sh-dev", "RESOURCE[/VOL]…|all", "", cmd_sh_volume},
    {"sh-udev", "RESOURCE/VOL", "", cmd_sh_volume},
    {"sh-minor", "RESOURCE[/VOL]…|all", "", cmd_sh_volume},
    {"sh-ll-dev", "RESOURCE[/VOL]…|all", "", cmd_sh_volume},
    {"sh-md-dev", "RESOURCE[/VOL]…|all", "", cmd_sh_volume},
    {"sh-md-idx", "RESOURCE[/VOL]…|all", "", cmd_sh_volume},
    {"sh-ip", "RESOURCE[/VOL]…|all", "", cmd_sh_volume},
    {NULL},
};
