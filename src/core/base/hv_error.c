/* SPDX-License-Identifier: Apache-2.0 */
#include "hv_error.h"

#include <stdio.h>

const char *hv_strerror(int error)
{
    switch ((enum hv_error)error) {
    case HV_OK:
        return "success";
    case HV_ENOMEM:
        return "out of memory";
    case HV_EINVAL:
        return "invalid value";
    case HV_ESYNTAX:
        return "syntax error";
    case HV_ENOENT:
        return "does not exist";
    case HV_EEXIST:
        return "exists already";
    case HV_EIO:
        return "input/output error";
    case HV_EPROTO:
        return "malformed data";
    case HV_EAUTH:
        return "authentication failed";
    case HV_EBUSY:
        return "in use";
    case HV_EAGAIN:
        return "not yet";
    case HV_ENOSPC:
        return "does not fit";
    case HV_EPERM:
        return "not permitted";
    case HV_ESTATE:
        return "not possible in this state";
    case HV_ETIMEDOUT:
        return "timed out";
    case HV_EUNSUPPORTED:
        return "not supported";
    }
    return "unknown error";
}

void hv_diag_set(struct hv_diag *diag, const char *fmt, ...)
{
    va_list ap;

    if (!diag)
        return;
    va_start(ap, fmt);
    vsnprintf(diag->text, sizeof diag->text, fmt, ap);
    va_end(ap);
}
