/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CONF_LOAD_H
#define CONF_LOAD_H
/* The configuration from the file system below ctx->root: the files behind conf_read().  Compiled into
 * every program that reads it. */
#include "cmd.h"
#include "conf.h"

/* As conf_read(), whose result it returns: *out is always set, and for the caller to free.  Uses root,
 * config_file and node of ctx. */
int conf_load(const struct cmd_context *ctx, bool want_cluster, struct conf **out) HV_MUST_CHECK;

/* -c FILE and what it includes alone, its cluster {} and service {} too. */
int conf_load_alone(const struct cmd_context *ctx, struct conf **out) HV_MUST_CHECK;

/* As conf_load(); errors go to stderr, one line each.  CMD_EXIT_OK, or the exit code to leave with, *out
 * being NULL then.  Warnings are not shown. */
int conf_load_or_complain(
    const struct cmd_context *ctx, bool want_cluster, struct conf **out) HV_MUST_CHECK;

#endif
