/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FRONT_H
#define FRONT_H
/* How applications see a volume: a block device that is there while the node is Primary.
 *
 * A front takes requests from the kernel and hands them to its owner; front_set() says whether the
 * device may be used and how large it is.  FUSE + loop is one implementation (front_fuse.h); others
 * fill in the same struct front_ops.  Sectors are 512 bytes. */
#include <stdbool.h>
#include <stdint.h>

#include "hv_buf.h"
#include "hv_error.h"
#include "hv_list.h"
#include "loop.h"

enum { FRONT_PATH_MAX = 4096, FRONT_IO_BYTES_MAX = 1 << 20, FRONT_ZEROES_BYTES_MAX = 128 << 20 };

enum front_op { FRONT_READ, FRONT_WRITE, FRONT_FLUSH, FRONT_ZEROES };

/* One request in flight; the front's memory until front_complete(). */
struct front_request {
    struct front *front;
    enum front_op op;
    bool may_unmap; /* ZEROES: may deallocate, but must read as zeros */
    uint64_t sector;
    uint32_t length_bytes;
    /* WRITE: the data.  READ: where it goes.  One reference, the owner's. */
    struct hv_buf *buf;
    void *user; /* the owner's */
};

struct front_calls {
    /* Answer with front_complete(), now or later. */
    void (*request)(void *arg, struct front_request *r);
    bool (*ready)(void *arg); /* false: requests wait until front_resume() */
    /* What front_set() asked for is so (0), or cannot be: HV_EBUSY when the device should go and
     * somebody holds it open (it stays), HV_EIO with a diag. */
    void (*settled)(void *arg, int error, const struct hv_diag *diag);
};

struct front;

struct front_ops {
    void (*set)(struct front *f, bool usable, uint64_t sectors);
    void (*complete)(struct front_request *r, int error, struct hv_buf *buf);
    void (*resume)(struct front *f);
    const char *(*device)(const struct front *f); /* the block device now, "" when there is none */
    void (*stop)(struct front *f);
};

struct front {
    const struct front_ops *ops;
    const struct front_calls *calls;
    void *arg;
};

/* Wanted from now on.  `settled` follows, never from inside; a newer front_set() replaces one that has
 * not settled, and settles once for both. */
static inline void front_set(struct front *f, bool usable, uint64_t sectors)
{
    f->ops->set(f, usable, sectors);
}

/* error: 0 or an hv_error (EIO to the application; HV_ENOSPC is kept).  buf: for READ the buffer with the
 * data, handed back (its reference is taken); else NULL. */
static inline void front_complete(struct front_request *r, int error, struct hv_buf *buf)
{
    r->front->ops->complete(r, error, buf);
}

/* ready() may have become true, or buffers free.  Cheap. */
static inline void front_resume(struct front *f)
{
    f->ops->resume(f);
}

static inline const char *front_device(const struct front *f)
{
    return f->ops->device(f);
}

/* Removes what is left of the device and frees.  Waits for a change under way; every request must have
 * been completed. */
static inline void front_stop(struct front *f)
{
    f->ops->stop(f);
}

#endif
