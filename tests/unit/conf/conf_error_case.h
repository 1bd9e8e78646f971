/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CONF_ERROR_CASE_H
#define CONF_ERROR_CASE_H
/* A broken file, and every word that is said about it. */
#include <stddef.h>

#define FILE_DRBD        "/etc/drbd.conf"
#define FILE_HAVEN       "/etc/haven/haven.conf"
#define FILE_HA_CF       "/etc/ha.d/ha.cf"
#define FILE_HARESOURCES "/etc/ha.d/haresources"
#define FILE_AUTHKEYS    "/etc/ha.d/authkeys"
#define FILE_EXPORTS     "/etc/exports"

struct error_case {
    const char *path;
    const char *text;    /* NULL: the file is missing */
    const char *reports; /* one a line */
};

/* DRBD and HAVEN files stand alone; the others replace one of the guide's.  Read on ct74.  Fails the
 * test that calls it. */
void error_cases_run(const struct error_case *cases, size_t n);

#endif
