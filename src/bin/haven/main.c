/* SPDX-License-Identifier: Apache-2.0 */
/* haven: the command line.  Options, then a verb, then what the verb acts on. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd.h"
#include "hv_text.h"

static const struct cmd *const tables[] = {
    cmd_conf_table, cmd_md_table, cmd_volume_table, cmd_cluster_table};

enum { TABLES = sizeof tables / sizeof tables[0], VERBS_MAX = 256 };

static const struct cmd *cmd_find(const char *verb)
{
    for (size_t t = 0; t < TABLES; t++)
        for (const struct cmd *c = tables[t]; c->verb; c++)
            if (!strcmp(c->verb, verb))
                return c;
    return NULL;
}

static void usage(FILE *to, const char *program)
{
    fprintf(to,
        "usage: %s [--root DIR] [-c FILE] [-d] [-v] VERB [RESOURCE|all] [options]\n\n"
        "  --root DIR   look for every file below DIR\n"
        "  -c FILE      read this configuration instead of haven.conf or drbd.conf\n"
        "  -d           dry run: say what would be done\n\n",
        program);
    for (size_t t = 0; t < TABLES; t++)
        for (const struct cmd *c = tables[t]; c->verb; c++)
            if (c->summary && c->summary[0])
                fprintf(to, "  %-18s %-34s %s\n", c->verb, c->arguments ? c->arguments : "",
                    c->summary);
}

static int unknown_verb(const char *program, const char *verb)
{
    const char *verbs[VERBS_MAX];
    size_t n = 0;

    for (size_t t = 0; t < TABLES; t++)
        for (const struct cmd *c = tables[t]; c->verb && n < VERBS_MAX; c++)
            verbs[n++] = c->verb;
    const char *near = hv_nearest(verb, verbs, n);
    fprintf(stderr, "%s: unknown command '%s'", program, verb);
    if (near)
        fprintf(stderr, "; did you mean '%s'?", near);
    fprintf(stderr, "\ntry '%s help'\n", program);
    return CMD_EXIT_USAGE;
}

static const char *node_name(void)
{
    static char name[256];
    const char *pretended = getenv("__DRBD_NODE__");

    if (pretended && *pretended)
        return pretended;
    if (gethostname(name, sizeof name - 1))
        return "localhost";
    return name;
}

/* The old form: `drbdadm -- --force create-md r0`.  What stands between "--" and the verb belongs behind
 * the verb's own words. */
static int move_backend_options(int i, int argc, char **argv)
{
    int first = i + 1, verb = first;

    while (verb < argc && argv[verb][0] == '-')
        verb++;
    for (int moved = verb - first; moved > 0; moved--) {
        char *option = argv[first];
        memmove(argv + first, argv + first + 1, sizeof *argv * (size_t)(argc - first - 1));
        argv[argc - 1] = option;
    }
    return first;
}

/* Reads the options before the verb; returns the index of the verb, or -1 after a complaint. */
static int parse_options(struct cmd_context *ctx, int argc, char **argv)
{
    int i = 1;

    for (; i < argc && argv[i][0] == '-'; i++) {
        if (!strcmp(argv[i], "--"))
            return move_backend_options(i, argc, argv);
        if (!strcmp(argv[i], "--root") || !strcmp(argv[i], "-c") ||
            !strcmp(argv[i], "--config-file")) {
            if (i + 1 == argc) {
                fprintf(stderr, "%s: %s needs a value\n", ctx->program, argv[i]);
                return -1;
            }
            const char **to = !strcmp(argv[i], "--root") ? &ctx->root : &ctx->config_file;
            *to = argv[++i];
        } else if (!strcmp(argv[i], "-d") || !strcmp(argv[i], "--dry-run")) {
            ctx->dry_run = true;
        } else if (!strcmp(argv[i], "-v") || !strcmp(argv[i], "--verbose")) {
            ctx->verbose = true;
        } else if (!strcmp(argv[i], "--version") || !strcmp(argv[i], "--help") ||
                   !strcmp(argv[i], "-h")) {
            break;
        } else {
            fprintf(stderr, "%s: unknown option '%s'\ntry '%s help'\n", ctx->program, argv[i],
                ctx->program);
            return -1;
        }
    }
    return i;
}

int main(int argc, char **argv)
{
    const char *slash = strrchr(argv[0], '/'), *root = getenv("HAVEN_ROOT");
    struct cmd_context ctx = {
        .root = root ? root : "", .program = slash ? slash + 1 : argv[0], .node = node_name()};

    int alias = cmd_alias_run(&ctx, argc, argv);
    if (alias >= 0)
        return alias;
    int i = parse_options(&ctx, argc, argv);
    if (i < 0)
        return CMD_EXIT_USAGE;
    if (i < argc && !strcmp(argv[i], "--version")) {
        printf("haven %s\n", HAVEN_VERSION);
        return CMD_EXIT_OK;
    }
    if (i == argc || !strcmp(argv[i], "help") || !strcmp(argv[i], "--help") ||
        !strcmp(argv[i], "-h")) {
        usage(i == argc ? stderr : stdout, ctx.program);
        return i == argc ? CMD_EXIT_USAGE : CMD_EXIT_OK;
    }
    const struct cmd *c = cmd_find(argv[i]);
    return c ? c->run(&ctx, argc - i, argv + i) : unknown_verb(ctx.program, argv[i]);
}
