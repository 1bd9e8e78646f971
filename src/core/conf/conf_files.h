/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CONF_FILES_H
#define CONF_FILES_H
/* How the configuration reaches the parsers: the caller reads files, the core only asks for them. */
#include <stdint.h>

#include "hv_text.h"

struct conf_file_meta {
    uint64_t device, inode; /* the same file under two names is read once */
    uint32_t mode;          /* permission bits, 07777 */
    uint32_t uid;
};

struct conf_files {
    /* Appends the whole file.  HV_ENOENT, HV_EPERM, HV_EIO (a directory too); meta is filled on HV_OK. */
    int (*read)(void *arg, const char *path, struct hv_text *out, struct conf_file_meta *meta);
    /* Calls each() for every match of a glob(3) pattern, in order; none is HV_OK too. */
    int (*glob)(void *arg, const char *pattern, void (*each)(void *to, const char *path), void *to);
    void *arg;
    const char *root; /* goes in front of every absolute path; "" for none */
};

#endif
