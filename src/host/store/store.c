/* SPDX-License-Identifier: Apache-2.0 */
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "hv_assert.h"
#include "hv_text.h"

enum { SECTOR = 512 };

/* -------------------------------------------------------------------------------------------- devices */

/* A number from the queue directory of a block device, or of the disk it is a partition of. */
static long queue_attribute(dev_t dev, const char *name, long otherwise)
{
    char path[128];

    for (int parent = 0; parent < 2; parent++) {
        long v;
        snprintf(path, sizeof path, "/sys/dev/block/%u:%u/%squeue/%s", major(dev), minor(dev),
            parent ? "../" : "", name);
        FILE *f = fopen(path, "re");
        if (!f)
            continue;
        int n = fscanf(f, "%ld", &v);
        fclose(f);
        if (n == 1)
            return v;
    }
    return otherwise;
}

static int open_block(struct store *s, dev_t dev, struct hv_diag *diag)
{
    unsigned logical = 0, physical = 0;
    uint64_t bytes = 0;

    if (ioctl(s->fd, BLKGETSIZE64, &bytes) || ioctl(s->fd, BLKSSZGET, &logical) ||
        ioctl(s->fd, BLKPBSZGET, &physical)) {
        hv_diag_set(diag, "%s: %s", s->path, strerror(errno));
        return HV_EIO;
    }
    s->is_block = true;
    s->sectors = bytes / SECTOR;
    s->logical_block_bytes = logical;
    s->physical_block_bytes = physical;
    s->can_discard = queue_attribute(dev, "discard_max_bytes", 0) > 0;
    s->rotational = queue_attribute(dev, "rotational", 1) > 0;
    return HV_OK;
}

static int open_file(struct store *s, unsigned flags, const struct stat *st, struct hv_diag *diag)
{
    struct statx sx;

    if ((flags & STORE_EXCLUSIVE) && flock(s->fd, LOCK_EX | LOCK_NB)) {
        hv_diag_set(diag, "%s: another process holds it", s->path);
        return HV_EBUSY;
    }
    s->sectors = (uint64_t)st->st_size / SECTOR;
    s->logical_block_bytes = SECTOR;
    s->physical_block_bytes = 4096;
#ifdef STATX_DIOALIGN
    if (!statx(s->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &sx) && (sx.stx_mask & STATX_DIOALIGN) &&
        sx.stx_dio_offset_align)
        s->logical_block_bytes = sx.stx_dio_offset_align;
#else
    (void)sx;
#endif
    s->can_discard = true;
    s->rotational = queue_attribute(st->st_dev, "rotational", 0) > 0;
    return HV_OK;
}

int store_open(const char *path, unsigned flags, struct store **out, struct hv_diag *diag)
{
    struct store *s = calloc(1, sizeof *s);
    int mode = (flags & STORE_READ_ONLY ? O_RDONLY : O_RDWR) | O_DIRECT | O_CLOEXEC;
    int rv = HV_EINVAL;
    struct stat st;

    if (!s)
        return HV_ENOMEM;
    s->fd = -1;
    if (!hv_strcopy(s->path, sizeof s->path, path) || stat(path, &st)) {
        hv_diag_set(diag, "%s: %s", path, strerror(errno));
        rv = HV_ENOENT;
        goto fail;
    }
    if (!S_ISBLK(st.st_mode) && !S_ISREG(st.st_mode)) {
        hv_diag_set(diag, "%s: neither a block device nor a regular file", path);
        goto fail;
    }
    /* O_EXCL without O_CREAT means "not mounted and not held" for block devices, nothing for files. */
    s->fd = open(path, mode | (S_ISBLK(st.st_mode) && (flags & STORE_EXCLUSIVE) ? O_EXCL : 0));
    if (s->fd < 0) {
        rv = errno == EBUSY ? HV_EBUSY : errno == EINVAL ? HV_EUNSUPPORTED : HV_EIO;
        hv_diag_set(diag, "%s: %s", path,
            errno == EINVAL  ? "its file system does not support O_DIRECT"
            : errno == EBUSY ? "mounted, or held by another program"
                             : strerror(errno));
        goto fail;
    }
    rv = S_ISBLK(st.st_mode) ? open_block(s, st.st_rdev, diag) : open_file(s, flags, &st, diag);
    if (rv)
        goto fail;
    if (s->logical_block_bytes != SECTOR) {
        hv_diag_set(diag, "%s: its blocks of %u bytes are not supported, only 512", path,
            s->logical_block_bytes);
        rv = HV_EUNSUPPORTED;
        goto fail;
    }
    s->max_io_bytes = STORE_IO_BYTES_MAX;
    *out = s;
    return HV_OK;
fail:
    store_close(s);
    return rv;
}

void store_close(struct store *s)
{
    if (!s)
        return;
    if (s->fd >= 0)
        close(s->fd);
    free(s);
}

bool store_refresh_size(struct store *s)
{
    uint64_t before = s->sectors, bytes = 0;
    struct stat st;

    if (s->is_block ? !ioctl(s->fd, BLKGETSIZE64, &bytes) : !fstat(s->fd, &st))
        s->sectors = (s->is_block ? bytes : (uint64_t)st.st_size) / SECTOR;
    return s->sectors != before;
}

/* ------------------------------------------------------------------------------------------ operations */

enum io_kind { IO_READ, IO_WRITE, IO_FLUSH, IO_DISCARD, IO_ZEROES, IO_ZERO_FILL };

/* For devices that cannot make zeros themselves; never written. */
static uint8_t zeros[262144] __attribute__((aligned(4096)));

static void io_start(struct store_io *io);

static int io_error(int result)
{
    return result == -ENOSPC ? HV_ENOSPC : HV_EIO;
}

static void io_finish(struct store_io *io)
{
    if (!io->op.pending && !io->flush_op.pending)
        io->done(io, io->error);
}

static void io_flushed(struct loop_op *op, int result)
{
    struct store_io *io = hv_container_of(op, struct store_io, flush_op);

    if (result < 0 && !io->error)
        io->error = io_error(result);
    if (!io->op.pending)
        io_finish(io);
}

/* Whether the device simply cannot do it (as against failing at it). */
static bool unsupported(int result)
{
    return result == -EOPNOTSUPP || result == -ENOSYS || result == -ENODEV || result == -ENOTTY;
}

static void io_done(struct loop_op *op, int result)
{
    struct store_io *io = hv_container_of(op, struct store_io, op);

    if (result == -EINTR || result == -EAGAIN) {
        io_start(io);
        return;
    }
    /* Zeros instead of a discard, too: both replicas must stay the same. */
    if (unsupported(result) && (io->kind == IO_DISCARD || io->kind == IO_ZEROES)) {
        io->kind = IO_ZERO_FILL;
        io_start(io);
        return;
    }
    if (result < 0) {
        if (!io->error)
            io->error = io_error(result);
    } else if (io->kind == IO_READ || io->kind == IO_WRITE || io->kind == IO_ZERO_FILL) {
        if (result == 0 || (uint64_t)result > io->left_bytes || result % SECTOR) {
            io->error = HV_EIO; /* beyond the end */
        } else {
            io->left_bytes -= (uint64_t)result;
            io->offset_bytes += (uint64_t)result;
            if (io->kind != IO_ZERO_FILL)
                io->iov.iov_base = (char *)io->iov.iov_base + result;
            if (io->left_bytes && !io->error) {
                io_start(io);
                return;
            }
        }
    }
    io_finish(io);
}

static void io_start(struct store_io *io)
{
    int fd = io->store->fd, rw = io->flags & STORE_FUA ? RWF_DSYNC : 0;
    uint64_t n = io->left_bytes;

    switch ((enum io_kind)io->kind) {
    case IO_READ:
    case IO_WRITE:
        io->iov.iov_len = n;
        if (io->kind == IO_READ)
            loop_readv(io->loop, &io->op, fd, &io->iov, 1, io->offset_bytes, 0);
        else
            loop_writev(io->loop, &io->op, fd, &io->iov, 1, io->offset_bytes, rw);
        break;
    case IO_ZERO_FILL:
        io->iov.iov_base = zeros;
        io->iov.iov_len = n < sizeof zeros ? n : sizeof zeros;
        loop_writev(io->loop, &io->op, fd, &io->iov, 1, io->offset_bytes, rw);
        break;
    case IO_FLUSH:
        loop_fdatasync(io->loop, &io->op, fd);
        break;
    case IO_DISCARD:
        loop_fallocate(
            io->loop, &io->op, fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, io->offset_bytes, n);
        break;
    case IO_ZEROES:
        loop_fallocate(io->loop, &io->op, fd,
            FALLOC_FL_KEEP_SIZE |
                (io->flags & STORE_MAY_UNMAP ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE),
            io->offset_bytes, n);
        break;
    }
}

static void io_prepare(struct loop *l, struct store *s, struct store_io *io, enum io_kind kind,
    void *memory, uint64_t sector, uint64_t length_bytes, uint32_t flags)
{
    hv_assert(length_bytes % SECTOR == 0 && (uintptr_t)memory % SECTOR == 0);
    io->loop = l;
    io->store = s;
    io->kind = (uint8_t)kind;
    io->flags = flags;
    io->error = 0;
    io->offset_bytes = sector * SECTOR;
    io->left_bytes = length_bytes;
    io->iov.iov_base = memory;
    io->op.done = io_done;
    io->flush_op.done = io_flushed;
}

void store_read(struct loop *l, struct store *s, struct store_io *io, void *to, uint64_t sector,
    uint32_t length_bytes)
{
    io_prepare(l, s, io, IO_READ, to, sector, length_bytes, 0);
    io_start(io);
}

void store_write(struct loop *l, struct store *s, struct store_io *io, const void *from,
    uint64_t sector, uint32_t length_bytes, uint32_t flags)
{
    io_prepare(l, s, io, IO_WRITE, (void *)(uintptr_t)from, sector, length_bytes, flags);
    if (flags & STORE_PREFLUSH) {
        loop_chain(l, 2);
        loop_fdatasync(l, &io->flush_op, s->fd);
    }
    io_start(io);
}

void store_flush(struct loop *l, struct store *s, struct store_io *io)
{
    io_prepare(l, s, io, IO_FLUSH, NULL, 0, 0, 0);
    io_start(io);
}

void store_discard(
    struct loop *l, struct store *s, struct store_io *io, uint64_t sector, uint64_t length_bytes)
{
    io_prepare(l, s, io, IO_DISCARD, NULL, sector, length_bytes, 0);
    io_start(io);
}

void store_zeroes(struct loop *l, struct store *s, struct store_io *io, uint64_t sector,
    uint64_t length_bytes, uint32_t flags)
{
    io_prepare(l, s, io, IO_ZEROES, NULL, sector, length_bytes, flags);
    io_start(io);
}
