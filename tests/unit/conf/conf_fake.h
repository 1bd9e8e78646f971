/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CONF_FAKE_H
#define CONF_FAKE_H
/* A file system in memory for the parsers. */
#include "conf.h"

struct fake_file {
    const char *path, *text;
    uint32_t mode; /* 0: 0600 */
    uint32_t uid;
};

enum { FAKE_FILES_MAX = 16 };

struct fake {
    struct fake_file files[FAKE_FILES_MAX];
    size_t n;
};

/* The guide's files, on both nodes but for ucast. */
void fake_guide(struct fake *fake);
/* Replaces the file, or adds it; text NULL takes it away. */
void fake_set(struct fake *fake, const char *path, const char *text);
void fake_mode(struct fake *fake, const char *path, uint32_t mode, uint32_t uid);
/* conf_read() of it, for `node`; *out is for the caller to free. */
int fake_read(const struct fake *fake, const char *node, bool want_cluster, struct conf **out);
/* The same with only /etc/drbd.conf, which holds `text`. */
int fake_read_drbd(const char *text, const char *node, struct conf **out);
/* All reports, one a line.  For the caller to free. */
char *fake_reports(const struct conf *conf);

#endif
