/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FRONT_LOOP_H
#define FRONT_LOOP_H
/* Loop devices and the links to them.  Everything here may block and is called from a worker thread, as
 * attaching and closing a loop device send requests to the very file that the main thread serves. */
#include "front.h"

struct front_loop {
    char dev_dir[FRONT_PATH_MAX];
    char backing[FRONT_PATH_MAX]; /* the FUSE file */
    char state[FRONT_PATH_MAX];   /* holds the device's name while there is one */
    char name[64];                /* written into the loop device, to know it again */
    char device[FRONT_PATH_MAX];  /* "" when not attached */
};

int front_loop_attach(struct front_loop *fl, struct hv_diag *diag) HV_MUST_CHECK;
/* HV_EBUSY: held open or mounted; it is as before then. */
int front_loop_detach(struct front_loop *fl, struct hv_diag *diag) HV_MUST_CHECK;
/* The backing file's size has changed. */
int front_loop_resize(struct front_loop *fl, struct hv_diag *diag) HV_MUST_CHECK;
/* After a crash: gets rid of the device that `state` names.  One that is still mounted goes when it is
 * unmounted. */
void front_loop_remove_stale(struct front_loop *fl);

/* Replaces what is at `link` atomically; makes its directory. */
int front_link(const char *link, const char *target, struct hv_diag *diag) HV_MUST_CHECK;

#endif
