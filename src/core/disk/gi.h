/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GI_H
#define GI_H
/* Generation identifiers and flags as text: exactly what get-gi and show-gi print (admin §2.1) and
 * what set-gi reads. */
#include <stddef.h>
#include <stdint.h>

#include "hv_error.h"
#include "hv_text.h"
#include "md.h"

struct gi {
    uint64_t uuid[MD_UUIDS];
    uint32_t flags; /* MDF_* */
};

/* "C:B:H0:H1:1:1:0:1:0:0:0\n" */
void gi_format_get(struct hv_text *text, const struct gi *gi);
/* The drawing with arrows. */
void gi_format_show(struct hv_text *text, const struct gi *gi);
/* "C:B:H0:H1[:c:u:p:n:f:o:x]", hexadecimal identifiers and 0/1 flags, trailing fields may be missing
 * or empty: those keep what *gi has.  HV_ESYNTAX. */
HV_MUST_CHECK int gi_parse(const char *text, struct gi *gi, struct hv_diag *diag);

#endif
