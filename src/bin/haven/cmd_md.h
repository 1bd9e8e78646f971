/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CMD_MD_H
#define CMD_MD_H
/* What the files of the metadata commands share.  They act on the disk of one volume that is not up;
 * wording and exit codes are drbdmeta's (admin §2.2). */
#include <stdbool.h>
#include <stdint.h>

#include "cmd.h"
#include "md_io.h"

enum cmd_md_exit {
    CMD_MD_FAILED = 1,
    CMD_MD_INCONSISTENT = 5, /* an inconsistent disk cannot be outdated */
    CMD_MD_CONFIG = 10,      /* does not fit, or an argument is missing */
    CMD_MD_BUSY = 20,        /* the disk cannot be opened */
    CMD_MD_REFUSED = 40,     /* would destroy data, forced or not */
};

/* One volume to act upon, and the options of the command line. */
struct md_call {
    const struct cmd_context *ctx;
    const char *verb;
    const char *resource;
    uint32_t minor;
    struct md_where where;
    bool force;
    uint32_t al_stripes, al_stripe_kib, peer_max_bio_bytes;
    const char *gi; /* what set-gi is to write, or NULL */
};

int cmd_md_create(const struct md_call *call);
int cmd_md_dump(const struct md_call *call);

/* Asks on the terminal; with --force the answer is yes, without a terminal it is no. */
bool cmd_md_confirm(const char *question, bool force);
/* Prints the sentence to stderr and returns `code`. */
int cmd_md_fail(const struct md_call *call, const struct hv_diag *diag, int code);
/* Opens the disks of the volume; 0, or the exit code after a complaint. */
int cmd_md_open(const struct md_call *call, unsigned flags, struct md_disk *disk);
/* The same, and loads the metadata. */
int cmd_md_load(const struct md_call *call, unsigned flags, struct md_disk *disk);

#endif
