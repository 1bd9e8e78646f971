/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AGENT_MOUNTS_H
#define AGENT_MOUNTS_H
/* /proc/self/mountinfo, and who keeps a mount busy. */
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "agent.h"

struct agent_mount {
    char directory[AGENT_PATH_BYTES];
    char source[256];
    int id, parent; /* in the tree of mounts: what is mounted over hides what has the same path */
    dev_t device;
    bool read_only; /* the mount, or the file system under it */
};

/* The topmost mount on exactly that directory (symbolic links in it are followed). */
bool agent_mount_at(const char *directory, struct agent_mount *out);
/* A mount that stands on that one and has none on itself. */
bool agent_mount_leaf(const struct agent_mount *top, struct agent_mount *out);
/* Processes of our mount namespace, but not ourselves nor our ancestors, that have something below the
 * directory open, mapped, as root or as working directory.  How many, at most max. */
size_t agent_mount_holders(const char *directory, pid_t *pids, size_t max);

#endif
