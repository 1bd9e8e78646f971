/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROC_DRBD_H
#define PROC_DRBD_H
/* The text of /proc/drbd (admin §3). */
#include "hv_text.h"
#include "repl.h"

void proc_drbd_header(struct hv_text *to);
/* The two to four lines of one volume. */
void proc_drbd_volume(
    struct hv_text *to, const struct repl_status *status, const struct repl_volume_status *volume);

#endif
