/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CMD_H
#define CMD_H
/* The commands of `haven`, and of the names it is also installed under.  Each file cmd_*.c owns one
 * table; main.c finds the verb.  Exit codes are drbdadm's (admin §2.2). */
#include <stdbool.h>
#include <stddef.h>

enum cmd_exit {
    CMD_EXIT_OK = 0,
    CMD_EXIT_USAGE = 1, /* usage, or the action failed */
    CMD_EXIT_SYNTAX = 2,
    CMD_EXIT_CONFIG = 10,
    CMD_EXIT_OTHER = 20,
};

/* Options that come before the verb, and the environment they override. */
struct cmd_context {
    const char *root;        /* --root DIR: prefix of every path; "" when not given */
    const char *config_file; /* -c FILE, or NULL: the search order of admin §1 */
    const char *node;        /* __DRBD_NODE__, or the host name */
    const char *program;     /* the name we were called by: "haven", "drbdadm", … */
    bool dry_run;            /* -d: print what would be done */
    bool verbose;
};

struct cmd {
    const char *verb;
    const char *arguments; /* as shown in the usage: "RESOURCE|all [--force]" */
    const char *summary;
    /* argv[0] is the verb. */
    int (*run)(const struct cmd_context *ctx, int argc, char **argv);
};

/* Each ends with a row whose verb is NULL. */
extern const struct cmd cmd_conf_table[];    /* check, dump, sh-* : need the configuration only */
extern const struct cmd cmd_md_table[];      /* create-md, dump-md, … : need the disk */
extern const struct cmd cmd_volume_table[];  /* up, primary, role, … : talk to haven-volume */
extern const struct cmd cmd_cluster_table[]; /* status, standby, … : talk to havend */

/* The other names: drbddisk, cl_status, hb_standby, hb_takeover, drbd-peer-outdater.  Returns -1 when
 * `program` is none of them. */
int cmd_alias_run(const struct cmd_context *ctx, int argc, char **argv);

#endif
