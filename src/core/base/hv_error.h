/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HV_ERROR_H
#define HV_ERROR_H
/* What went wrong in the environment or in what an operator gave us.  Functions return one of these
 * (negative) or 0; the sentence a human reads goes into the caller's struct hv_diag.
 * A peer that lies is not an error of this kind: its decoder says so and the connection is dropped.
 * A mistake of our own is hv_assert(). */
#include <stdarg.h>
#include <stddef.h>

enum hv_error {
    HV_OK = 0,
    HV_ENOMEM = -1,
    HV_EINVAL = -2,  /* argument or configuration out of range */
    HV_ESYNTAX = -3, /* text that cannot be parsed */
    HV_ENOENT = -4,  /* named thing does not exist */
    HV_EEXIST = -5,  /* would overwrite */
    HV_EIO = -6,     /* disk or socket failed */
    HV_EPROTO = -7,  /* bytes from a peer or a disk that cannot be so */
    HV_EAUTH = -8,   /* signature or digest does not match */
    HV_EBUSY = -9,   /* held by somebody */
    HV_EAGAIN = -10, /* nothing wrong; ask again later */
    HV_ENOSPC = -11, /* does not fit */
    HV_EPERM = -12,  /* not allowed, or file permissions too open */
    HV_ESTATE = -13, /* not in the present state */
    HV_ETIMEDOUT = -14,
    HV_EUNSUPPORTED = -15,
};

const char *hv_strerror(int error);

/* A sentence for a human: "r0.res:12: …".  Always NUL-terminated; longer text is cut. */
struct hv_diag {
    char text[512];
};

void hv_diag_set(struct hv_diag *diag, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define HV_MUST_CHECK __attribute__((warn_unused_result))

#endif
