/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VOLUME_CLIENT_H
#define VOLUME_CLIENT_H
/* How the commands reach haven-volume: finding, starting and calling it; and its status as text. */
#include <jansson.h>
#include <stdint.h>

#include "cmd.h"
#include "conf.h"
#include "hv_error.h"
#include "hv_text.h"

enum {
    VOLUME_CALL_MS = 180000, /* a role change may wait for a handler */
    VOLUME_LOOK_MS = 5000,
};

/* One thing that the command line named. */
struct volume_target {
    const struct conf_resource *resource;
    const struct conf_volume *volume; /* NULL: the whole resource */
};

/* RES, RES/VOL, minor-N, or all.  The array is the caller's to free(); 0, or an exit code after a
 * complaint. */
int volume_select(const struct cmd_context *ctx, const struct conf *conf, const char *word,
    struct volume_target **targets, size_t *n) HV_MUST_CHECK;

/* The request is taken; *reply is the caller's (NULL on error).  HV_ENOENT: it does not run. */
int volume_call(const struct cmd_context *ctx, const char *resource, json_t *request,
    uint32_t timeout_ms, json_t **reply, struct hv_diag *diag) HV_MUST_CHECK;
/* The object "status" of doc/control.md, the caller's; NULL when the volume does not run. */
json_t *volume_status(const struct cmd_context *ctx, const char *resource);
/* Starts haven-volume, unless it runs already, and waits until it answers. */
int volume_spawn(
    const struct cmd_context *ctx, const char *resource, struct hv_diag *diag) HV_MUST_CHECK;
/* What `haven VERB RESOURCE` does, for other commands: 0, or the exit code after a complaint. */
int volume_verb(const struct cmd_context *ctx, const char *verb, const char *word) HV_MUST_CHECK;

/* As drbdadm status of the 9.x tools shows an 8.4 resource (admin §2.1); ends with an empty line. */
void volume_status_text(struct hv_text *to, const json_t *status);
/* drbdadm sh-status of one volume: shell assignments. */
void volume_sh_status(struct hv_text *to, const struct volume_target *target, const json_t *status);
/* The element of "volumes" with that number, or NULL. */
const json_t *volume_status_find(const json_t *status, uint32_t vnr);

/* `haven events`, until interrupted. */
int volume_events(const struct cmd_context *ctx, const char *const *resources, size_t n, bool json);

/* heartbeat's resource script: drbddisk [RESOURCE] start|stop|status */
int alias_drbddisk(const struct cmd_context *ctx, int argc, char **argv);

#endif
