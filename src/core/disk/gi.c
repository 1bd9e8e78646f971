/* SPDX-License-Identifier: Apache-2.0 */
#include "gi.h"

#include <stdlib.h>
#include <string.h>

/* In the order in which they are printed (admin §2.1). */
static const uint32_t gi_flags[] = {MDF_CONSISTENT, MDF_WAS_UP_TO_DATE, MDF_PRIMARY_IND,
    MDF_CONNECTED_IND, MDF_FULL_SYNC, MDF_PEER_OUT_DATED, MDF_CRASHED_PRIMARY};

enum { GI_FLAGS = sizeof gi_flags / sizeof gi_flags[0] };

void gi_format_get(struct hv_text *text, const struct gi *gi)
{
    for (int i = 0; i < MD_UUIDS; i++)
        hv_text_addf(text, "%016llX:", (unsigned long long)gi->uuid[i]);
    for (int i = 0; i < GI_FLAGS; i++)
        hv_text_addf(text, "%d%c", gi->flags & gi_flags[i] ? 1 : 0, i + 1 < GI_FLAGS ? ':' : '\n');
}

static const char show_above[] =
    "\n"
    "       +--<  Current data generation UUID  >-\n"
    "       |               +--<  Bitmap's base data generation UUID  >-\n"
    "       |               |                 +--<  younger history UUID  >-\n"
    "       |               |                 |         +-<  older history  >-\n"
    "       V               V                 V         V\n";

static const char show_below[] =
    "                                                                    ^ ^ ^ ^ ^ ^ ^\n"
    "                                      -<  Data consistency flag  >--+ | | | | | |\n"
    "                             -<  Data was/is currently up-to-date  >--+ | | | | |\n"
    "                                  -<  Node was/is currently primary  >--+ | | | |\n"
    "                                  -<  Node was/is currently connected  >--+ | | |\n"
    "         -<  Node was in the progress of setting all bits in the bitmap  >--+ | |\n"
    "                        -<  The peer's disk was out-dated or inconsistent  >--+ |\n"
    "      -<  This node was a crashed primary, and has not seen its peer since   >--+\n"
    "\n";

static const char *disk_word(uint32_t flags)
{
    if (!(flags & MDF_CONSISTENT))
        return "Inconsistent";
    return flags & MDF_WAS_UP_TO_DATE ? "UpToDate" : "Outdated";
}

void gi_format_show(struct hv_text *text, const struct gi *gi)
{
    uint32_t f = gi->flags;

    hv_text_add(text, show_above);
    gi_format_get(text, gi);
    hv_text_add(text, show_below);
    hv_text_addf(text, "flags: %s%s, %s, %s%s%s\n", f & MDF_CRASHED_PRIMARY ? "crashed " : "",
        f & MDF_PRIMARY_IND ? "Primary" : "Secondary",
        f & MDF_CONNECTED_IND ? "Connected" : "StandAlone", disk_word(f),
        f & MDF_FULL_SYNC ? ", need full sync" : "",
        f & MDF_PEER_OUT_DATED ? ", peer Outdated" : "");
}

static int parse_field(const char *text, size_t length, int field, struct gi *gi)
{
    char copy[17], *end;

    if (!length)
        return 0; /* keeps what it was */
    if (length >= sizeof copy || strspn(text, "0123456789abcdefABCDEF") < length)
        return HV_ESYNTAX;
    memcpy(copy, text, length);
    copy[length] = '\0';
    uint64_t value = strtoull(copy, &end, 16);
    if (*end)
        return HV_ESYNTAX;
    if (field < MD_UUIDS) {
        gi->uuid[field] = value;
        return 0;
    }
    if (value > 1)
        return HV_ESYNTAX;
    uint32_t flag = gi_flags[field - MD_UUIDS];
    gi->flags = value ? gi->flags | flag : gi->flags & ~flag;
    return 0;
}

int gi_parse(const char *text, struct gi *gi, struct hv_diag *diag)
{
    struct gi parsed = *gi;

    for (int field = 0; *text; field++) {
        size_t length = strcspn(text, ":\n");
        if (field == MD_UUIDS + GI_FLAGS || parse_field(text, length, field, &parsed)) {
            hv_diag_set(diag,
                "field %d of the generation identifiers cannot be read; they are four "
                "hexadecimal numbers and up to seven flags 0 or 1, separated by ':'",
                field + 1);
            return HV_ESYNTAX;
        }
        text += length;
        if (*text == ':')
            text++;
        else if (*text == '\n' && !text[1])
            break;
        else if (*text) {
            hv_diag_set(diag, "there is text after the generation identifiers");
            return HV_ESYNTAX;
        }
    }
    *gi = parsed;
    return 0;
}
