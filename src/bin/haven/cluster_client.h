/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLUSTER_CLIENT_H
#define CLUSTER_CLIENT_H
/* How the commands reach havend, and what they show. */
#include <jansson.h>

#include "cmd.h"
#include "ctl.h"
#include "hv_text.h"

enum { CLUSTER_CALL_MS = 10000 };

int cluster_open(const struct cmd_context *ctx, struct ctl_link **link, struct hv_diag *diag);
/* Takes the request; *reply is the caller's.  HV_ENOENT: havend does not run, and *diag says so. */
int cluster_call(const struct cmd_context *ctx, json_t *request, uint32_t timeout_ms,
    json_t **reply, struct hv_diag *diag) HV_MUST_CHECK;
/* havend's status (doc/control.md), the caller's; NULL, with *diag (may be NULL) saying why. */
json_t *cluster_status(const struct cmd_context *ctx, struct hv_diag *diag);

/* {"cluster": status or null, "why": "…", "resources": [{"resource": "r0", "status": … or null}]}:
 * whatever runs of it; the caller's. */
json_t *cluster_picture(const struct cmd_context *ctx);
/* The same, as lines of at most 80 columns. */
void cluster_picture_text(struct hv_text *to, const json_t *picture);

/* argv[0] is the name; exit codes of heartbeat §13 and §12.4. */
int alias_cl_status(const struct cmd_context *ctx, int argc, char **argv);
int alias_hb_scope(const struct cmd_context *ctx, int argc, char **argv);
int alias_outdater(const struct cmd_context *ctx, int argc, char **argv);

#endif
