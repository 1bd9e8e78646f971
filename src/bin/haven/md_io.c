/* SPDX-License-Identifier: Apache-2.0 */
#include "md_io.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "md_replay.h"

static int fail(struct hv_diag *diag, int error, const char *path, const char *what)
{
    hv_diag_set(diag, "%s: %s: %s", path, what, strerror(errno));
    return error;
}

static int measure(struct md_io *io, const struct stat *st, struct hv_diag *diag)
{
    uint64_t bytes = (uint64_t)st->st_size;

    if (S_ISBLK(st->st_mode) && ioctl(io->fd, BLKGETSIZE64, &bytes))
        return fail(diag, HV_EIO, io->path, "cannot ask for its size");
    io->sectors = bytes / MD_SECTOR_BYTES;
    return 0;
}

int md_io_open(struct md_io *io, const char *path, unsigned flags, struct hv_diag *diag)
{
    struct stat st;
    int mode = (flags & MD_IO_WRITE ? O_RDWR : O_RDONLY) | O_CLOEXEC;

    *io = (struct md_io){.fd = -1, .path = path};
    if (stat(path, &st))
        return fail(diag, HV_ENOENT, path, "cannot be opened");
    if (!S_ISBLK(st.st_mode) && !S_ISREG(st.st_mode)) {
        hv_diag_set(diag, "%s: neither a block device nor a regular file", path);
        return HV_EINVAL;
    }
    if (S_ISBLK(st.st_mode) && (flags & MD_IO_EXCLUSIVE))
        mode |= O_EXCL; /* without O_CREAT: not mounted, and held by nobody else this way */
    io->fd = open(path, mode);
    if (io->fd < 0 && errno != EBUSY)
        return fail(diag, errno == EACCES ? HV_EPERM : HV_EIO, path, "cannot be opened");
    if (io->fd < 0 ||
        (S_ISREG(st.st_mode) && (flags & MD_IO_EXCLUSIVE) && flock(io->fd, LOCK_EX | LOCK_NB))) {
        md_io_close(io);
        hv_diag_set(
            diag, "%s is in use: it is mounted, or its volume is up (take it down first)", path);
        return HV_EBUSY;
    }
    int rc = measure(io, &st, diag);
    if (rc)
        md_io_close(io);
    return rc;
}

void md_io_close(struct md_io *io)
{
    if (io->fd >= 0)
        close(io->fd);
    io->fd = -1;
}

int md_io_read(const struct md_io *io, uint64_t sector, void *bytes, uint64_t length_bytes,
    struct hv_diag *diag)
{
    uint8_t *to = bytes;
    uint64_t at = sector * MD_SECTOR_BYTES;

    while (length_bytes) {
        ssize_t n = pread(io->fd, to, length_bytes, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail(diag, HV_EIO, io->path, "cannot be read");
        if (n == 0) {
            hv_diag_set(diag, "%s: ends at byte %llu, where meta data should be", io->path,
                (unsigned long long)at);
            return HV_EIO;
        }
        to += n;
        at += (uint64_t)n;
        length_bytes -= (uint64_t)n;
    }
    return 0;
}

int md_io_write(const struct md_io *io, uint64_t sector, const void *bytes, uint64_t length_bytes,
    struct hv_diag *diag)
{
    const uint8_t *from = bytes;
    uint64_t at = sector * MD_SECTOR_BYTES;

    while (length_bytes) {
        ssize_t n = pwrite(io->fd, from, length_bytes, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return fail(diag, HV_EIO, io->path, "cannot be written");
        from += n;
        at += (uint64_t)n;
        length_bytes -= (uint64_t)n;
    }
    return 0;
}

int md_io_sync(const struct md_io *io, struct hv_diag *diag)
{
    return fsync(io->fd) ? fail(diag, HV_EIO, io->path, "cannot be written") : 0;
}

/* ---- metadata -------------------------------------------------------------------------------- */

int md_disk_open(
    struct md_disk *disk, const struct md_where *where, unsigned flags, struct hv_diag *diag)
{
    memset(disk, 0, sizeof *disk);
    disk->data.fd = disk->meta.fd = -1;
    disk->place.index = where->index;
    unsigned meta_flags = where->index >= 0 ? flags & ~(unsigned)MD_IO_EXCLUSIVE : flags;
    int rc = md_io_open(&disk->meta, where->meta_disk, meta_flags, diag);
    if (!rc && !md_is_internal(where->index)) {
        rc = md_io_open(&disk->data, where->disk, flags & ~(unsigned)MD_IO_WRITE, diag);
        disk->place.backing_sectors = disk->data.sectors;
    } else {
        disk->place.backing_sectors = disk->meta.sectors;
    }
    disk->place.md_sectors = disk->meta.sectors;
    if (rc)
        md_disk_close(disk);
    return rc;
}

void md_disk_close(struct md_disk *disk)
{
    md_io_close(&disk->meta);
    md_io_close(&disk->data);
}

int md_disk_load(struct md_disk *disk, struct hv_diag *diag)
{
    uint8_t bytes[MD_BLOCK_BYTES];
    struct hv_diag why;
    uint64_t sector;
    int rc = md_superblock_sector(&disk->place, &sector, &why);

    if (!rc)
        rc = md_io_read(&disk->meta, sector, bytes, sizeof bytes, &why);
    if (!rc)
        rc = md_decode(bytes, &disk->sb, &why);
    if (!rc)
        rc = md_validate(&disk->sb, &disk->place, &why);
    if (rc) {
        hv_diag_set(diag, "%s: %s", disk->meta.path, why.text);
        return rc;
    }
    md_layout_stored(&disk->sb, &disk->place, &disk->layout);
    return 0;
}

int md_disk_store(struct md_disk *disk, struct hv_diag *diag)
{
    uint8_t bytes[MD_BLOCK_BYTES];

    md_encode(&disk->sb, bytes);
    int rc = md_io_write(&disk->meta, disk->layout.sb_sector, bytes, sizeof bytes, diag);
    return rc ? rc : md_io_sync(&disk->meta, diag);
}

/* ---- the activity log ------------------------------------------------------------------------ */

static uint64_t page_sector(const struct md_disk *disk, uint32_t page)
{
    return disk->layout.bm_sector + (uint64_t)page * MD_BLOCK_SECTORS;
}

/* Only the pages that the extents lie on are read and, if changed, written: the rest of the bitmap, and
 * what lies beyond its end, stays as it is. */
static int apply_extents(struct md_disk *disk, const struct md_replay *replay, struct bitmap *bm,
    struct md_applied *applied, struct hv_diag *diag)
{
    uint8_t bytes[BITMAP_PAGE_BYTES];
    uint32_t last = UINT32_MAX;

    for (uint32_t i = 0; i < replay->count; i++) {
        uint32_t page = bitmap_page_of_al_extent(bm, replay->extents[i]);
        if (page == UINT32_MAX || page == last)
            continue;
        last = page;
        int rc = md_io_read(&disk->meta, page_sector(disk, page), bytes, sizeof bytes, diag);
        if (rc)
            return rc;
        bitmap_page_read(bm, page, bytes);
    }
    applied->marked_kib = md_replay_apply(replay, bm, &applied->beyond) * 4;
    for (uint32_t p = bitmap_next_dirty(bm, 0); p != UINT32_MAX; p = bitmap_next_dirty(bm, p + 1)) {
        bitmap_page_write(bm, p, bytes);
        int rc = md_io_write(&disk->meta, page_sector(disk, p), bytes, sizeof bytes, diag);
        if (rc)
            return rc;
    }
    return md_io_sync(&disk->meta, diag);
}

/* Bitmap first, then the empty log, then "clean": a crash between any two of them leaves a log that can
 * be applied again, or metadata that says it is unclean and has nothing to apply. */
static int apply_ring(struct md_disk *disk, uint8_t *ring, uint64_t ring_bytes,
    struct md_replay *replay, struct md_applied *applied, struct hv_diag *diag)
{
    bool primary = disk->sb.flags & MDF_PRIMARY_IND;
    int rc = md_replay(
        ring, ring_bytes, disk->sb.al_stripes, disk->sb.al_stripe_blocks, primary, replay, diag);

    if (rc)
        return rc;
    applied->corrupt = replay->corrupt;
    applied->format_83 = replay->format_83;
    if (primary && replay->count) {
        struct bitmap bm;
        uint64_t whole = (disk->sb.la_size_sectors + MD_AL_EXTENT_SECTORS - 1) /
                         MD_AL_EXTENT_SECTORS * MD_AL_EXTENT_SECTORS;
        if (bitmap_init(&bm, whole)) {
            hv_diag_set(diag, "out of memory");
            return HV_ENOMEM;
        }
        rc = apply_extents(disk, replay, &bm, applied, diag);
        bitmap_free(&bm);
        if (rc)
            return rc;
    }
    md_replay_ring_init(ring, ring_bytes);
    rc = md_io_write(&disk->meta, disk->layout.al_sector, ring, ring_bytes, diag);
    return rc ? rc : md_io_sync(&disk->meta, diag);
}

int md_disk_apply_al(struct md_disk *disk, struct md_applied *applied, struct hv_diag *diag)
{
    uint64_t ring_bytes = disk->layout.al_sectors * MD_SECTOR_BYTES;
    uint8_t *ring = malloc(ring_bytes);
    struct md_replay *replay = malloc(sizeof *replay);
    int rc = HV_ENOMEM;

    *applied = (struct md_applied){0};
    if (ring && replay)
        rc = md_io_read(&disk->meta, disk->layout.al_sector, ring, ring_bytes, diag);
    else
        hv_diag_set(diag, "out of memory");
    if (!rc)
        rc = apply_ring(disk, ring, ring_bytes, replay, applied, diag);
    if (!rc) {
        disk->sb.magic = MD_MAGIC_CLEAN;
        disk->sb.flags |= MDF_AL_CLEAN;
        rc = md_disk_store(disk, diag);
    }
    free(replay);
    free(ring);
    return rc;
}
