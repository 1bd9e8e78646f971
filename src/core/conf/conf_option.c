/* SPDX-License-Identifier: Apache-2.0 */
#include "conf_option.h"

#include <string.h>

#include "conf.h"

static const struct conf_word words_protocol[] = {
    {"A", CONF_PROTOCOL_A}, {"B", CONF_PROTOCOL_B}, {"C", CONF_PROTOCOL_C}, {NULL, 0}};
static const struct conf_word words_io_error[] = {{"pass_on", CONF_IO_ERROR_PASS_ON},
    {"call-local-io-error", CONF_IO_ERROR_CALL_LOCAL}, {"detach", CONF_IO_ERROR_DETACH}, {NULL, 0}};
static const struct conf_word words_fencing[] = {{"dont-care", CONF_FENCING_DONT_CARE},
    {"resource-only", CONF_FENCING_RESOURCE}, {"resource-and-stonith", CONF_FENCING_STONITH},
    {NULL, 0}};
static const struct conf_word words_balancing[] = {{"prefer-local", CONF_READ_PREFER_LOCAL},
    {"prefer-remote", CONF_READ_PREFER_REMOTE}, {"round-robin", CONF_READ_ROUND_ROBIN},
    {"least-pending", CONF_READ_LEAST_PENDING},
    {"when-congested-remote", CONF_READ_WHEN_CONGESTED_REMOTE},
    {"32K-striping", CONF_READ_32K_STRIPING}, {"64K-striping", CONF_READ_32K_STRIPING + 1},
    {"128K-striping", CONF_READ_32K_STRIPING + 2}, {"256K-striping", CONF_READ_32K_STRIPING + 3},
    {"512K-striping", CONF_READ_32K_STRIPING + 4}, {"1M-striping", CONF_READ_1M_STRIPING},
    {NULL, 0}};
static const struct conf_word words_asb0[] = {{"disconnect", CONF_ASB_DISCONNECT},
    {"discard-younger-primary", CONF_ASB_DISCARD_YOUNGER_PRIMARY},
    {"discard-older-primary", CONF_ASB_DISCARD_OLDER_PRIMARY},
    {"discard-zero-changes", CONF_ASB_DISCARD_ZERO_CHANGES},
    {"discard-least-changes", CONF_ASB_DISCARD_LEAST_CHANGES},
    {"discard-local", CONF_ASB_DISCARD_LOCAL}, {"discard-remote", CONF_ASB_DISCARD_REMOTE},
    {NULL, 0}};
static const struct conf_word words_asb1[] = {{"disconnect", CONF_ASB_DISCONNECT},
    {"consensus", CONF_ASB_CONSENSUS}, {"violently-as0p", CONF_ASB_VIOLENTLY},
    {"discard-secondary", CONF_ASB_DISCARD_SECONDARY},
    {"call-pri-lost-after-sb", CONF_ASB_CALL_HELPER}, {NULL, 0}};
static const struct conf_word words_asb2[] = {{"disconnect", CONF_ASB_DISCONNECT},
    {"violently-as0p", CONF_ASB_VIOLENTLY}, {"call-pri-lost-after-sb", CONF_ASB_CALL_HELPER},
    {NULL, 0}};
static const struct conf_word words_conflict[] = {{"disconnect", CONF_ASB_DISCONNECT},
    {"violently", CONF_ASB_VIOLENTLY}, {"call-pri-lost", CONF_ASB_CALL_HELPER}, {NULL, 0}};
static const struct conf_word words_congestion[] = {{"block", CONF_CONGESTION_BLOCK},
    {"pull-ahead", CONF_CONGESTION_PULL_AHEAD}, {"disconnect", CONF_CONGESTION_DISCONNECT},
    {NULL, 0}};
static const struct conf_word words_no_data[] = {
    {"io-error", CONF_NO_DATA_IO_ERROR}, {"suspend-io", CONF_NO_DATA_SUSPEND_IO}, {NULL, 0}};

#define FIELD(strct, field) offsetof(struct strct, field), sizeof(((struct strct *)0)->field)
#define DISK(field)         FIELD(conf_disk_options, field)
#define NET(field)          FIELD(conf_net_options, field)
#define STARTUP(field)      FIELD(conf_startup, field)
#define NOWHERE             SIZE_MAX, 0

/* Rows: name, section, type, field, min, max, unit, words, default, also in syncer. */
#define NUM(n, s, at, lo, hi, unit, dflt, sync)                                                    \
    {                                                                                              \
        n, s, CONF_TYPE_NUMBER, at, lo, hi, unit, NULL, dflt, sync                                 \
    }
#define BOOL(n, s, at, dflt, sync)                                                                 \
    {                                                                                              \
        n, s, CONF_TYPE_FLAG, at, 0, 1, 1, NULL, dflt, sync                                        \
    }
#define ENUM(n, s, at, words, dflt, sync)                                                          \
    {                                                                                              \
        n, s, CONF_TYPE_ENUM, at, 0, 0, 1, words, dflt, sync                                       \
    }
#define STR(n, s, at, most, sync)                                                                  \
    {                                                                                              \
        n, s, CONF_TYPE_STRING, at, 0, most, 1, NULL, 0, sync                                      \
    }
#define HANDLER(n) STR(n, CONF_SECTION_HANDLERS, NOWHERE, 255, false)

#define D CONF_SECTION_DISK
#define N CONF_SECTION_NET
#define O CONF_SECTION_OPTIONS
#define S CONF_SECTION_STARTUP
#define P CONF_SECTION_PROXY

const struct conf_option conf_options[] = {
    NUM("size", D, DISK(size_sectors), 0, 1ull << 41, 512, 0, false),
    ENUM("on-io-error", D, DISK(on_io_error), words_io_error, CONF_IO_ERROR_DETACH, false),
    ENUM("fencing", D, DISK(fencing), words_fencing, CONF_FENCING_DONT_CARE, false),
    BOOL("disk-barrier", D, DISK(disk_barrier), 0, false),
    BOOL("disk-flushes", D, DISK(disk_flushes), 1, false),
    BOOL("disk-drain", D, DISK(disk_drain), 1, false),
    BOOL("md-flushes", D, DISK(md_flushes), 1, false),
    NUM("resync-rate", D, DISK(resync_rate_kibs), 1, 4194304, 1024, 250, true),
    {"resync-after", D, CONF_TYPE_RESOURCE, NOWHERE, 0, 0, 1, NULL, 0, true},
    NUM("al-extents", D, DISK(al_extents), 67, 65534, 1, 1237, true),
    BOOL("al-updates", D, DISK(al_updates), 1, false),
    BOOL("discard-zeroes-if-aligned", D, DISK(discard_zeroes_if_aligned), 1, false),
    BOOL("disable-write-same", D, DISK(disable_write_same), 0, false),
    NUM("rs-discard-granularity", D, DISK(rs_discard_granularity_bytes), 0, 1048576, 1, 0, false),
    NUM("disk-timeout", D, DISK(disk_timeout_ds), 0, 6000, 1, 0, false),
    ENUM("read-balancing", D, DISK(read_balancing), words_balancing, CONF_READ_PREFER_LOCAL, false),
    NUM("c-plan-ahead", D, DISK(c_plan_ahead_ds), 0, 300, 1, 20, true),
    NUM("c-delay-target", D, DISK(c_delay_target_ds), 1, 100, 1, 10, true),
    NUM("c-fill-target", D, DISK(c_fill_target_sectors), 0, 1048576, 512, 100, true),
    NUM("c-max-rate", D, DISK(c_max_rate_kibs), 250, 4194304, 1024, 102400, true),
    NUM("c-min-rate", D, DISK(c_min_rate_kibs), 0, 4194304, 1024, 250, true),
    NUM("max-bio-bvecs", D, DISK(max_bio_bvecs), 0, 128, 1, 0, false),
    BOOL("use-bmbv", D, NOWHERE, 0, false),

    ENUM("protocol", N, NET(protocol), words_protocol, CONF_PROTOCOL_C, false),
    NUM("timeout", N, NET(timeout_ds), 1, 600, 1, 60, false),
    NUM("ping-int", N, NET(ping_int_s), 1, 120, 1, 10, false),
    NUM("ping-timeout", N, NET(ping_timeout_ds), 1, 300, 1, 5, false),
    NUM("connect-int", N, NET(connect_int_s), 1, 120, 1, 10, false),
    NUM("ko-count", N, NET(ko_count), 0, 200, 1, 7, false),
    NUM("max-buffers", N, NET(max_buffers), 32, 131072, 1, 2048, false),
    NUM("max-epoch-size", N, NET(max_epoch_size), 1, 20000, 1, 2048, false),
    NUM("unplug-watermark", N, NET(unplug_watermark), 1, 131072, 1, 128, false),
    NUM("sndbuf-size", N, NET(sndbuf_size_bytes), 0, 10 << 20, 1, 0, false),
    NUM("rcvbuf-size", N, NET(rcvbuf_size_bytes), 0, 10 << 20, 1, 0, false),
    BOOL("allow-two-primaries", N, NET(allow_two_primaries), 0, false),
    STR("cram-hmac-alg", N, NET(cram_hmac_alg), 63, false),
    STR("shared-secret", N, NET(shared_secret), 63, false),
    ENUM("after-sb-0pri", N, NET(after_sb_0pri), words_asb0, CONF_ASB_DISCONNECT, false),
    ENUM("after-sb-1pri", N, NET(after_sb_1pri), words_asb1, CONF_ASB_DISCONNECT, false),
    ENUM("after-sb-2pri", N, NET(after_sb_2pri), words_asb2, CONF_ASB_DISCONNECT, false),
    BOOL("always-asbp", N, NET(always_asbp), 0, false),
    ENUM("rr-conflict", N, NET(rr_conflict), words_conflict, CONF_ASB_DISCONNECT, false),
    STR("data-integrity-alg", N, NET(data_integrity_alg), 63, false),
    STR("verify-alg", N, NET(verify_alg), 63, true),
    STR("csums-alg", N, NET(csums_alg), 63, true),
    BOOL("csums-after-crash-only", N, NET(csums_after_crash_only), 0, false),
    BOOL("use-rle", N, NET(use_rle), 1, true),
    BOOL("tcp-cork", N, NET(tcp_cork), 1, false),
    NUM("socket-check-timeout", N, NET(socket_check_timeout_ds), 0, 300, 1, 0, false),
    ENUM("on-congestion", N, NET(on_congestion), words_congestion, CONF_CONGESTION_BLOCK, false),
    NUM("congestion-fill", N, NET(congestion_fill_sectors), 0, 20971520, 512, 0, false),
    NUM("congestion-extents", N, NET(congestion_extents), 67, 65534, 1, 1237, false),

    STR("cpu-mask", O, FIELD(conf_resource_options, cpu_mask), 255, true),
    ENUM("on-no-data-accessible", O, FIELD(conf_resource_options, on_no_data), words_no_data,
        CONF_NO_DATA_IO_ERROR, true),

    NUM("wfc-timeout", S, STARTUP(wfc_timeout_s), 0, 300000, 1, 0, false),
    NUM("degr-wfc-timeout", S, STARTUP(degr_wfc_timeout_s), 0, 300000, 1, 0, false),
    NUM("outdated-wfc-timeout", S, STARTUP(outdated_wfc_timeout_s), 0, 300000, 1, 0, false),
    BOOL("wait-after-sb", S, STARTUP(wait_after_sb), 0, false),

    HANDLER("pri-on-incon-degr"),
    HANDLER("pri-lost-after-sb"),
    HANDLER("pri-lost"),
    HANDLER("initial-split-brain"),
    HANDLER("split-brain"),
    HANDLER("fence-peer"),
    HANDLER("unfence-peer"),
    HANDLER("local-io-error"),
    HANDLER("before-resync-target"),
    HANDLER("after-resync-target"),
    HANDLER("before-resync-source"),
    HANDLER("out-of-sync"),

    NUM("memlimit", P, NOWHERE, 0, UINT64_MAX, 1, 0, false),
    NUM("read-loops", P, NOWHERE, 0, UINT64_MAX, 1, 0, false),
    STR("compression", P, NOWHERE, 255, false),
    NUM("bwlimit", P, NOWHERE, 0, UINT64_MAX, 1, 0, false),
};

const size_t conf_options_n = sizeof conf_options / sizeof conf_options[0];

static const struct {
    enum conf_section section;
    const char *alias, *name;
} aliases[] = {
    {CONF_SECTION_HANDLERS, "outdate-peer", "fence-peer"},
    {CONF_SECTION_DISK, "rate", "resync-rate"},
    {CONF_SECTION_DISK, "after", "resync-after"},
};

static const char *canonical(const char *name)
{
    for (size_t i = 0; i < sizeof aliases / sizeof aliases[0]; i++)
        if (!strcmp(aliases[i].alias, name))
            return aliases[i].name;
    return name;
}

const struct conf_option *conf_option_find(enum conf_section section, const char *name)
{
    for (size_t i = 0; i < conf_options_n; i++)
        if (conf_options[i].section == section && !strcmp(conf_options[i].name, canonical(name)))
            return &conf_options[i];
    return NULL;
}

const struct conf_option *conf_option_find_syncer(const char *name)
{
    for (size_t i = 0; i < conf_options_n; i++)
        if (conf_options[i].syncer && !strcmp(conf_options[i].name, canonical(name)))
            return &conf_options[i];
    return NULL;
}

const char *conf_option_hint(
    struct conf_notes *notes, enum conf_section section, bool syncer, const char *name)
{
    enum { CANDIDATES_MAX = 64 };
    const char *names[CANDIDATES_MAX];
    size_t n = 0;

    for (size_t i = 0; i < conf_options_n; i++) {
        const struct conf_option *o = &conf_options[i];
        if ((syncer ? o->syncer : o->section == section) && n < CANDIDATES_MAX)
            names[n++] = o->name;
    }
    const char *near = hv_nearest(name, names, n);
    if (near)
        return conf_sprintf(notes->arena, "did you mean '%s'?", near);
    for (size_t i = 0; i < conf_options_n; i++)
        if (!strcmp(conf_options[i].name, canonical(name)))
            return conf_sprintf(
                notes->arena, "it belongs into %s { }", conf_section_name(conf_options[i].section));
    return NULL;
}

const char *conf_section_name(enum conf_section section)
{
    static const char *const names[CONF_SECTIONS] = {
        "options", "net", "disk", "startup", "handlers", "proxy"};

    return names[section];
}

bool conf_number_parse(const char *text, uint64_t *value, bool *suffixed)
{
    uint64_t v = 0;
    const char *p = text;
    uint64_t factor = 1;

    for (; *p >= '0' && *p <= '9'; p++) {
        if (v > UINT64_MAX / 10 - 10)
            return false;
        v = v * 10 + (uint64_t)(*p - '0');
    }
    if (p == text)
        return false;
    *suffixed = *p;
    switch (*p) {
    case 's':
        factor = 512;
        break;
    case 'K':
    case 'k':
        factor = 1024;
        break;
    case 'M':
    case 'm':
        factor = 1024 * 1024;
        break;
    case 'G':
    case 'g':
        factor = 1024 * 1024 * 1024;
        break;
    }
    if (*p && (factor == 1 || p[1]))
        return false;
    if (v > UINT64_MAX / factor)
        v = UINT64_MAX / factor;
    *value = v * factor;
    return true;
}

int conf_option_number(const struct conf_option *def, const char *text, uint64_t *value)
{
    uint64_t v;
    bool suffixed;

    if (!conf_number_parse(text, &v, &suffixed))
        return HV_ESYNTAX;
    if (suffixed)
        v = v / def->unit_bytes + (v % def->unit_bytes != 0);
    *value = v;
    return v < def->min || v > def->max ? HV_EINVAL : HV_OK;
}

static const char *unit_name(const struct conf_option *def)
{
    switch (def->unit_bytes) {
    case 512:
        return " sectors";
    case 1024:
        return " KiB";
    }
    return "";
}

static bool check_number(
    struct conf_notes *notes, const struct conf_option *def, struct conf_pos pos, const char *text)
{
    uint64_t v;
    int rc = conf_option_number(def, text, &v);
    const char *range = conf_sprintf(notes->arena, "use %llu to %llu%s",
        (unsigned long long)def->min, (unsigned long long)def->max, unit_name(def));

    if (rc == HV_ESYNTAX)
        conf_error(notes, pos, range, "%s: '%s' is not a number", def->name, text);
    else if (rc)
        conf_error(notes, pos, range, "%s: %s is out of range", def->name, text);
    return rc == HV_OK;
}

static bool check_word(
    struct conf_notes *notes, const struct conf_option *def, struct conf_pos pos, const char *text)
{
    enum { WORDS_MAX = 16 };
    const char *names[WORDS_MAX];
    size_t n = 0;

    for (; def->words[n].word && n < WORDS_MAX; n++) {
        names[n] = def->words[n].word;
        if (!strcmp(names[n], text))
            return true;
    }
    const char *hint = conf_did_you_mean(notes, text, names, n);
    conf_error(notes, pos, hint ? hint : conf_one_of(notes, names, n), "%s cannot be '%s'",
        def->name, text);
    return false;
}

bool conf_option_check(
    struct conf_notes *notes, const struct conf_option *def, struct conf_pos pos, const char *text)
{
    switch (def->type) {
    case CONF_TYPE_NUMBER:
        return check_number(notes, def, pos, text);
    case CONF_TYPE_ENUM:
        return check_word(notes, def, pos, text);
    case CONF_TYPE_STRING:
        if (strlen(text) <= def->max)
            return true;
        conf_error(notes, pos, NULL, "%s has %zu characters, more than %llu", def->name,
            strlen(text), (unsigned long long)def->max);
        return false;
    case CONF_TYPE_FLAG:
    case CONF_TYPE_RESOURCE:
        break;
    }
    return true;
}

static uint64_t value_of(const struct conf_option *def, const char *text)
{
    uint64_t v = def->fallback;

    if (def->type == CONF_TYPE_FLAG)
        return !strcmp(text, "yes");
    if (def->type == CONF_TYPE_NUMBER)
        return conf_option_number(def, text, &v) ? def->fallback : v;
    for (const struct conf_word *w = def->words; w && w->word; w++)
        if (!strcmp(w->word, text))
            return w->value;
    return v;
}

static void store(const struct conf_option *def, uint64_t v, void *base)
{
    char *at = (char *)base + def->offset;
    uint32_t v32 = (uint32_t)v;

    if (def->bytes == 1)
        *(bool *)(void *)at = v != 0;
    else if (def->bytes == 4)
        memcpy(at, &v32, sizeof v32);
    else
        memcpy(at, &v, sizeof v);
}

void conf_option_store(const struct conf_option *def, const char *text, void *base)
{
    if (def->offset == SIZE_MAX)
        return;
    if (def->type == CONF_TYPE_STRING)
        memcpy((char *)base + def->offset, &text, sizeof text);
    else
        store(def, value_of(def, text), base);
}

void conf_options_defaults(enum conf_section section, void *base)
{
    static const char *const empty = "";

    for (size_t i = 0; i < conf_options_n; i++) {
        const struct conf_option *def = &conf_options[i];
        if (def->section != section || def->offset == SIZE_MAX)
            continue;
        if (def->type == CONF_TYPE_STRING)
            memcpy((char *)base + def->offset, &empty, sizeof empty);
        else
            store(def, def->fallback, base);
    }
}
