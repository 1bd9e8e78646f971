/* SPDX-License-Identifier: Apache-2.0 */
/* The commands that act on the metadata of a volume that is not up (admin §2).  Each finds its volumes in
 * the configuration, opens their disks exclusively, and does to them what drbdmeta does. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd_md.h"
#include "conf_load.h"
#include "gi.h"

/* ---- shared by the files of the metadata commands -------------------------------------------- */

bool cmd_md_confirm(const char *question, bool force)
{
    char answer[16];

    fprintf(stderr, "\n%s\n", question);
    if (force) {
        fprintf(stderr, "*** confirmation forced via --force option ***\n");
        return true;
    }
    if (!isatty(STDIN_FILENO)) {
        fprintf(stderr, "stdin not a TTY, not waiting for confirmation\n");
        return false;
    }
    fprintf(stderr, "[need to type 'yes' to confirm] ");
    return fgets(answer, sizeof answer, stdin) && !strcmp(answer, "yes\n");
}

int cmd_md_fail(const struct md_call *call, const struct hv_diag *diag, int code)
{
    fflush(stdout);
    fprintf(stderr, "%s: %s: %s\n", call->ctx->program, call->resource, diag->text);
    return code;
}

int cmd_md_open(const struct md_call *call, unsigned flags, struct md_disk *disk)
{
    struct hv_diag diag;
    int rc = md_disk_open(disk, &call->where, flags, &diag);

    return rc ? cmd_md_fail(call, &diag, CMD_MD_BUSY) : 0;
}

int cmd_md_load(const struct md_call *call, unsigned flags, struct md_disk *disk)
{
    struct hv_diag diag;
    int code = cmd_md_open(call, flags, disk);

    if (!code && md_disk_load(disk, &diag)) {
        md_disk_close(disk);
        code = cmd_md_fail(call, &diag, CMD_MD_FAILED);
    }
    return code;
}

/* ---- the verbs ------------------------------------------------------------------------------- */

static int store(const struct md_call *call, struct md_disk *disk)
{
    struct hv_diag diag;

    return md_disk_store(disk, &diag) ? cmd_md_fail(call, &diag, CMD_MD_FAILED) : 0;
}

static struct gi gi_of(const struct md_superblock *sb)
{
    struct gi gi = {.flags = sb->flags};

    memcpy(gi.uuid, sb->uuid, sizeof gi.uuid);
    return gi;
}

/* Looking is allowed while the volume is up: the disk is opened shared then. */
static int load_to_look(const struct md_call *call, struct md_disk *disk)
{
    return cmd_md_load(call, 0, disk);
}

static int do_get_gi(const struct md_call *call)
{
    struct md_disk disk;
    struct hv_text text = {0};
    int code = load_to_look(call, &disk);

    if (code)
        return code;
    struct gi gi = gi_of(&disk.sb);
    gi_format_get(&text, &gi);
    fputs(hv_text_str(&text), stdout);
    hv_text_free(&text);
    md_disk_close(&disk);
    return 0;
}

/* In the unit in which the number has at most four digits: "1024 MB". */
static void format_size(char *to, size_t capacity, uint64_t kib)
{
    static const char units[] = "KMGTP";
    size_t unit = 0;

    for (; kib >= 10000 && units[unit + 1]; unit++)
        kib = (kib + 512) / 1024;
    snprintf(to, capacity, "%" PRIu64 " %cB", kib, units[unit]);
}

static int do_show_gi(const struct md_call *call)
{
    struct md_disk disk;
    struct hv_text text = {0};
    char size[32];
    int code = load_to_look(call, &disk);

    if (code)
        return code;
    struct gi gi = gi_of(&disk.sb);
    gi_format_show(&text, &gi);
    fputs(hv_text_str(&text), stdout);
    hv_text_free(&text);
    format_size(size, sizeof size, disk.sb.la_size_sectors / 2);
    printf("meta-data: %s\n", md_is_clean(&disk.sb) ? "clean" : "need apply-al");
    if (disk.sb.la_size_sectors)
        printf("last agreed size: %s (%" PRIu64 " sectors)\n", size, disk.sb.la_size_sectors);
    else
        printf("zero size device -- never seen peer yet?\n");
    if (disk.sb.la_peer_max_bio_bytes)
        printf("last agreed max bio size: %u Byte\n", disk.sb.la_peer_max_bio_bytes);
    md_disk_close(&disk);
    return 0;
}

static int do_set_gi(const struct md_call *call)
{
    struct md_disk disk;
    struct hv_text text = {0};
    struct hv_diag diag;

    if (!call->gi) {
        hv_diag_set(&diag, "set-gi needs the generation identifiers after the resource");
        return cmd_md_fail(call, &diag, CMD_MD_CONFIG);
    }
    int code = cmd_md_load(call, MD_IO_WRITE | MD_IO_EXCLUSIVE, &disk);
    if (code)
        return code;
    struct gi gi = gi_of(&disk.sb);
    hv_text_add(&text, "previously ");
    gi_format_get(&text, &gi);
    if (gi_parse(call->gi, &gi, &diag)) {
        code = cmd_md_fail(call, &diag, CMD_MD_CONFIG);
    } else {
        hv_text_add(&text, "set GI to  ");
        gi_format_get(&text, &gi);
        fputs(hv_text_str(&text), stdout);
        fflush(stdout);
        if (cmd_md_confirm("Write new GI to disk?", call->force)) {
            memcpy(disk.sb.uuid, gi.uuid, sizeof disk.sb.uuid);
            disk.sb.flags = gi.flags;
            code = store(call, &disk);
        } else {
            printf("Operation cancelled.\n");
            code = CMD_MD_FAILED;
        }
    }
    hv_text_free(&text);
    md_disk_close(&disk);
    return code;
}

static int do_apply_al(const struct md_call *call)
{
    struct md_disk disk;
    struct md_applied applied = {0};
    struct hv_diag diag;
    char size[32];
    int code = cmd_md_load(call, MD_IO_WRITE | MD_IO_EXCLUSIVE, &disk);

    if (code)
        return code;
    if (!md_is_clean(&disk.sb) && md_disk_apply_al(&disk, &applied, &diag))
        code = cmd_md_fail(call, &diag, CMD_MD_FAILED);
    if (applied.format_83)
        fprintf(stderr, "Activity log of DRBD 8.3 found, converted.\n");
    if (applied.corrupt && !applied.format_83)
        fprintf(stderr, "%u corrupt AL transactions found\n", applied.corrupt);
    if (applied.beyond)
        fprintf(stderr, "%u extents of the activity log lie past the end of the device\n",
            applied.beyond);
    if (!code && applied.marked_kib) {
        format_size(size, sizeof size, applied.marked_kib);
        fprintf(stderr, "Marked additional %s as out-of-sync based on AL.\n", size);
    }
    md_disk_close(&disk);
    return code;
}

static int do_wipe_md(const struct md_call *call)
{
    static const uint8_t zeros[MD_BLOCK_BYTES];
    struct md_disk disk;
    struct hv_diag diag;
    int code = cmd_md_open(call, MD_IO_WRITE | MD_IO_EXCLUSIVE, &disk);

    if (code)
        return code;
    if (md_disk_load(&disk, &diag)) {
        fprintf(stderr, "There appears to be no drbd meta data to wipe out?\n");
    } else if (!cmd_md_confirm("Do you really want to wipe out the DRBD meta data?", call->force)) {
        printf("Operation cancelled.\n");
        code = CMD_MD_FAILED;
    } else {
        printf("Wiping meta data...\n");
        if (md_io_write(&disk.meta, disk.layout.sb_sector, zeros, sizeof zeros, &diag) ||
            md_io_sync(&disk.meta, &diag))
            code = cmd_md_fail(call, &diag, CMD_MD_FAILED);
        else
            printf("DRBD meta data block successfully wiped out.\n");
    }
    md_disk_close(&disk);
    return code;
}

static int do_outdate(const struct md_call *call)
{
    struct md_disk disk;
    int code = cmd_md_load(call, MD_IO_WRITE | MD_IO_EXCLUSIVE, &disk);

    if (code)
        return code;
    if (!(disk.sb.flags & MDF_CONSISTENT)) {
        fprintf(stderr, "Device is inconsistent.\n");
        code = CMD_MD_INCONSISTENT;
    } else {
        disk.sb.flags &= ~(uint32_t)MDF_WAS_UP_TO_DATE;
        code = store(call, &disk);
    }
    md_disk_close(&disk);
    return code;
}

static int do_invalidate(const struct md_call *call)
{
    struct md_disk disk;
    int code = cmd_md_load(call, MD_IO_WRITE | MD_IO_EXCLUSIVE, &disk);

    if (code)
        return code;
    disk.sb.flags &= ~(uint32_t)(MDF_CONSISTENT | MDF_WAS_UP_TO_DATE);
    disk.sb.flags |= MDF_FULL_SYNC;
    code = store(call, &disk);
    md_disk_close(&disk);
    return code;
}

static int do_dstate(const struct md_call *call)
{
    struct md_disk disk;
    int code = load_to_look(call, &disk);

    if (code)
        return code;
    uint32_t f = disk.sb.flags;
    puts(!(f & MDF_CONSISTENT)       ? "Inconsistent"
         : !(f & MDF_WAS_UP_TO_DATE) ? "Outdated"
         : f & MDF_PEER_OUT_DATED    ? "UpToDate"
                                     : "Consistent");
    md_disk_close(&disk);
    return 0;
}

/* ---- from the command line to the volumes ---------------------------------------------------- */

struct md_verb {
    const char *verb;
    int (*act)(const struct md_call *call);
    bool online; /* the same verb exists for a volume that is up: it gets what we cannot open */
};

static const struct md_verb verbs[] = {
    {"create-md", cmd_md_create, false},
    {"dump-md", cmd_md_dump, false},
    {"show-gi", do_show_gi, false},
    {"get-gi", do_get_gi, false},
    {"set-gi", do_set_gi, false},
    {"apply-al", do_apply_al, false},
    {"wipe-md", do_wipe_md, false},
    {"md-dstate", do_dstate, false},
    {"outdate", do_outdate, true},
    {"invalidate", do_invalidate, true},
};

enum { VERBS = sizeof verbs / sizeof verbs[0] };

struct target {
    const struct conf_resource *resource;
    const struct conf_volume *volume;
};

/* What the command line says. */
struct request {
    const struct cmd_context *ctx;
    const struct md_verb *verb;
    struct md_call options;
    const char *word; /* RESOURCE, RESOURCE/VOLUME, minor-N or all */
    struct target *targets;
    size_t n_targets;
};

static int usage(const struct request *r, const char *what, const char *which)
{
    fprintf(stderr, "%s: %s: %s%s\n", r->ctx->program, r->verb->verb, what, which);
    return CMD_EXIT_USAGE;
}

/* "--name VALUE" or "--name=VALUE": 1 when it was this option, 0 when not, -1 when its value is no
 * number. */
static int number_option(int argc, char **argv, int *i, const char *name, uint32_t *value)
{
    size_t n = strlen(name);
    char *end;

    if (strncmp(argv[*i], name, n) || (argv[*i][n] && argv[*i][n] != '='))
        return 0;
    const char *text = argv[*i][n] ? argv[*i] + n + 1 : *i + 1 < argc ? argv[++*i] : "";
    unsigned long v = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || v > UINT32_MAX)
        return -1;
    *value = (uint32_t)v;
    return 1;
}

static int parse_arguments(struct request *r, int argc, char **argv)
{
    struct md_call *o = &r->options;
    bool create = r->verb->act == cmd_md_create, set = r->verb->act == do_set_gi;

    for (int i = 1; i < argc; i++) {
        int number = create ? number_option(argc, argv, &i, "--al-stripes", &o->al_stripes) : 0;
        if (!number && create)
            number = number_option(argc, argv, &i, "--al-stripe-size-kB", &o->al_stripe_kib);
        if (!number && create)
            number = number_option(argc, argv, &i, "--peer-max-bio-size", &o->peer_max_bio_bytes);
        if (number < 0)
            return usage(r, "this option needs a number: ", argv[i]);
        if (number)
            continue;
        if (!strcmp(argv[i], "--force") || !strcmp(argv[i], "-f"))
            o->force = true;
        else if (!strcmp(argv[i], "--"))
            continue;
        else if (argv[i][0] == '-')
            return usage(r, "unknown option ", argv[i]);
        else if (!r->word)
            r->word = argv[i];
        else if (set && !o->gi)
            o->gi = argv[i];
        else
            return usage(r, "one resource at a time, or all; not also ", argv[i]);
    }
    return r->word ? 0 : usage(r, "needs the name of a resource, or all", "");
}

static int add_target(
    struct request *r, const struct conf_resource *resource, const struct conf_volume *volume)
{
    if (!strcmp(volume->disk, "none")) {
        fprintf(stderr, "%s: %s/%u has no disk on this node\n", r->ctx->program, resource->name,
            volume->vnr);
        return CMD_EXIT_USAGE;
    }
    struct target *grown = realloc(r->targets, (r->n_targets + 1) * sizeof *grown);
    if (!grown)
        return CMD_EXIT_OTHER;
    r->targets = grown;
    r->targets[r->n_targets++] = (struct target){resource, volume};
    return 0;
}

static int add_resource(struct request *r, const struct conf_resource *resource)
{
    int code = 0;

    for (size_t i = 0; i < resource->me->n_volumes && !code; i++)
        code = add_target(r, resource, &resource->me->volumes[i]);
    return code;
}

static int add_all(struct request *r, const struct conf *conf)
{
    int code = 0;

    for (size_t i = 0; i < conf->n_resources && !code; i++)
        if (conf->resources[i].me && !conf->resources[i].stacked)
            code = add_resource(r, &conf->resources[i]);
    if (!code && !r->n_targets) {
        fprintf(
            stderr, "%s: no resources defined for this host (%s)\n", r->ctx->program, r->ctx->node);
        code = CMD_EXIT_USAGE;
    }
    return code;
}

static bool parse_number(const char *text, uint32_t *value)
{
    char *end;
    unsigned long v = strtoul(text, &end, 10);

    *value = (uint32_t)v;
    return *text >= '0' && *text <= '9' && !*end && v <= UINT32_MAX;
}

static int select_targets(struct request *r, const struct conf *conf)
{
    const struct conf_resource *resource = NULL;
    const struct conf_volume *volume = NULL;
    const char *slash = strrchr(r->word, '/');
    char name[CONF_NAME_BYTES_MAX + 1];
    uint32_t number;

    if (!strcmp(r->word, "all"))
        return add_all(r, conf);
    if (!strncmp(r->word, "minor-", 6) && parse_number(r->word + 6, &number)) {
        volume = conf_minor_find(conf, number, &resource);
    } else if (slash && (size_t)(slash - r->word) < sizeof name &&
               parse_number(slash + 1, &number)) {
        memcpy(name, r->word, (size_t)(slash - r->word));
        name[slash - r->word] = '\0';
        resource = conf_resource_find(conf, name);
        volume = resource && resource->me ? conf_volume_find(resource->me, number) : NULL;
    } else {
        resource = conf_resource_find(conf, r->word);
        if (resource && resource->me)
            return add_resource(r, resource);
    }
    if (volume)
        return add_target(r, resource, volume);
    fprintf(stderr, "'%s' not defined in your config (for this host).\n", r->word);
    return CMD_EXIT_USAGE;
}

/* ---- running --------------------------------------------------------------------------------- */

static struct md_call call_of(const struct request *r, const struct target *t)
{
    const struct conf_volume *v = t->volume;
    struct md_call call = r->options;

    call.ctx = r->ctx;
    call.verb = r->verb->verb;
    call.resource = t->resource->name;
    call.minor = v->minor;
    call.where = (struct md_where){v->disk, v->meta_disk, MD_INDEX_INTERNAL};
    if (v->meta_kind == CONF_META_EXTERNAL)
        call.where.index = MD_INDEX_EXTERNAL;
    else if (v->meta_kind == CONF_META_INDEXED)
        call.where.index = (int)v->meta_index;
    return call;
}

/* As drbdadm shows it: the command of drbdmeta that does the same. */
static void print_dry(const struct md_call *call)
{
    printf("drbdmeta %u v08 %s ", call->minor, call->where.meta_disk);
    if (call->where.index >= 0)
        printf("%d", call->where.index);
    else
        fputs(md_is_internal(call->where.index) ? "internal" : "flex-external", stdout);
    printf(" %s", call->verb);
    if (call->gi)
        printf(" %s", call->gi);
    puts(call->force ? " --force" : "");
}

/* Some volume is up, and there is a command of the same name for that. */
static const struct cmd *online_command(const struct request *r)
{
    if (!r->verb->online)
        return NULL;
    for (size_t i = 0; i < r->n_targets; i++) {
        struct md_call call = call_of(r, &r->targets[i]);
        struct md_disk disk;
        struct hv_diag diag;
        int rc = md_disk_open(&disk, &call.where, MD_IO_WRITE | MD_IO_EXCLUSIVE, &diag);
        if (!rc)
            md_disk_close(&disk);
        for (const struct cmd *c = cmd_volume_table; rc == HV_EBUSY && c->verb; c++)
            if (!strcmp(c->verb, r->verb->verb))
                return c;
    }
    return NULL;
}

static int run_on_targets(const struct request *r)
{
    int code = 0;

    for (size_t i = 0; i < r->n_targets; i++) {
        struct md_call call = call_of(r, &r->targets[i]);
        if (r->ctx->dry_run) {
            print_dry(&call);
            continue;
        }
        int one = r->verb->act(&call);
        fflush(stdout);
        if (one > code)
            code = one;
    }
    return code;
}

static int run(const struct cmd_context *ctx, int argc, char **argv)
{
    struct request r = {
        .ctx = ctx, .options = {.al_stripes = MD_AL_STRIPES_DEFAULT, .al_stripe_kib = 32}};
    struct conf *conf = NULL;
    const struct cmd *online = NULL;

    for (size_t i = 0; i < VERBS; i++)
        if (!strcmp(verbs[i].verb, argv[0]))
            r.verb = &verbs[i];
    int code = parse_arguments(&r, argc, argv);
    if (!code)
        code = conf_load_or_complain(ctx, false, &conf);
    if (code)
        return code;
    code = select_targets(&r, conf);
    if (!code && !ctx->dry_run)
        online = online_command(&r);
    if (!code && !online)
        code = run_on_targets(&r);
    free(r.targets);
    conf_free(conf);
    return online ? online->run(ctx, argc, argv) : code;
}

const struct cmd cmd_md_table[] = {
    {"create-md", "RESOURCE|all [--force]", "write fresh meta data on the disk", run},
    {"apply-al", "RESOURCE|all", "mark what a crash left uncertain as out of sync", run},
    {"dump-md", "RESOURCE [--force]", "print the meta data as text", run},
    {"show-gi", "RESOURCE|all", "the generation identifiers, explained", run},
    {"get-gi", "RESOURCE|all", "the generation identifiers, on one line", run},
    {"set-gi", "RESOURCE C:B:H:H:flags [--force]", "overwrite the generation identifiers", run},
    {"wipe-md", "RESOURCE|all [--force]", "remove the meta data from the disk", run},
    {"md-dstate", "RESOURCE|all", "the disk state that the meta data says", run},
    {"outdate", "RESOURCE|all", "mark the data as outdated", run},
    {"invalidate", "RESOURCE|all", "throw the local data away: full sync from the peer", run},
    {NULL},
};
