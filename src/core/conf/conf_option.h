/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CONF_OPTION_H
#define CONF_OPTION_H
/* Within this room: the table of every option (admin §1.4), one row each. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf_note.h"

/* In the order of drbdadm's dump. */
enum conf_section {
    CONF_SECTION_OPTIONS,
    CONF_SECTION_NET,
    CONF_SECTION_DISK,
    CONF_SECTION_STARTUP,
    CONF_SECTION_HANDLERS,
    CONF_SECTION_PROXY,
    CONF_SECTIONS
};

enum conf_option_type {
    CONF_TYPE_FLAG,   /* yes, no; alone: yes */
    CONF_TYPE_NUMBER, /* with suffix K, M, G or s; stored in units of unit_bytes */
    CONF_TYPE_ENUM,
    CONF_TYPE_STRING,
    CONF_TYPE_RESOURCE, /* NAME or NAME/VNR */
};

struct conf_word {
    const char *word;
    uint32_t value;
};

struct conf_option {
    const char *name;
    enum conf_section section;
    enum conf_option_type type;
    size_t offset; /* into struct conf_…_options, or SIZE_MAX: read and shown, used by nobody */
    size_t bytes;  /* of the field: 1, 4 or 8 */
    uint64_t min, max, unit_bytes;
    const struct conf_word *words; /* ENUM; ends with word NULL */
    uint64_t fallback;             /* default of FLAG, NUMBER and ENUM */
    bool syncer;                   /* also accepted in the legacy `syncer` section */
};

extern const struct conf_option conf_options[];
extern const size_t conf_options_n;

/* Knows the aliases outdate-peer, rate, after.  NULL when there is none. */
const struct conf_option *conf_option_find(enum conf_section section, const char *name);
const struct conf_option *conf_option_find_syncer(const char *name);
/* The nearest name for "did you mean", or NULL. */
const char *conf_option_hint(
    struct conf_notes *notes, enum conf_section section, bool syncer, const char *name);
const char *conf_section_name(enum conf_section section);

/* 0 or an hv_error: HV_ESYNTAX no number, HV_EINVAL out of range (value is set). */
int conf_option_number(const struct conf_option *def, const char *text, uint64_t *value);
/* Checks `text` and says what is wrong with it. */
bool conf_option_check(
    struct conf_notes *notes, const struct conf_option *def, struct conf_pos pos, const char *text);
/* Writes a checked value, or the default, to its field in `base`.  Strings are borrowed. */
void conf_option_store(const struct conf_option *def, const char *text, void *base);
void conf_options_defaults(enum conf_section section, void *base);

/* digits [K|M|G|k|m|g|s]; *value in bytes when there is a suffix. */
bool conf_number_parse(const char *text, uint64_t *value, bool *suffixed);

#endif
