/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FRONT_FUSE_H
#define FRONT_FUSE_H
/* The front that works on every kernel: a FUSE file of the volume's size, a loop device with direct I/O on
 * it while the volume is Primary, and <dev_dir>/drbdN as a link to that device.  While Secondary the link
 * points to the FUSE file, whose open() fails as DRBD's does: EROFS for writing, EMEDIUMTYPE for reading. */
#include "front.h"

struct front_fuse_config {
    struct loop *loop;
    struct hv_buf_pool *bufs; /* its 1 MiB buffers have a spare page before and after */
    const char *dev_dir;      /* "<root>/dev" */
    const char *run_dir;      /* "<root>/run/haven/volumes": mount point and state */
    const char *resource;
    unsigned vnr, minor;
    const char *device;    /* below root: "<root>/dev/drbd0", the link to make */
    uint32_t requests_max; /* in flight at most; at least 8 */
    const struct front_calls *calls;
    void *arg;
};

/* Mounts, after removing what a former instance that died has left. */
int front_fuse_new(
    const struct front_fuse_config *config, struct front **out, struct hv_diag *diag) HV_MUST_CHECK;

#endif
