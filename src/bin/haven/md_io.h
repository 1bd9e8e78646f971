/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MD_IO_H
#define MD_IO_H
/* The disk under the offline commands: plain synchronous access to a block device or a file, and the
 * metadata on it.  Nothing here is used while a volume runs: that one holds the disk. */
#include <stdbool.h>
#include <stdint.h>

#include "bitmap.h"
#include "hv_error.h"
#include "md.h"

enum md_io_flags {
    MD_IO_WRITE = 1,
    MD_IO_EXCLUSIVE = 2, /* O_EXCL on a block device, a lock on a file */
};

struct md_io {
    int fd; /* -1: not open */
    const char *path;
    uint64_t sectors;
};

/* HV_EBUSY: mounted, or held by a running volume.  path is borrowed until md_io_close(). */
HV_MUST_CHECK int md_io_open(
    struct md_io *io, const char *path, unsigned flags, struct hv_diag *diag);
void md_io_close(struct md_io *io);
/* HV_EIO, also at the end of the device. */
HV_MUST_CHECK int md_io_read(const struct md_io *io, uint64_t sector, void *bytes,
    uint64_t length_bytes, struct hv_diag *diag);
HV_MUST_CHECK int md_io_write(const struct md_io *io, uint64_t sector, const void *bytes,
    uint64_t length_bytes, struct hv_diag *diag);
HV_MUST_CHECK int md_io_sync(const struct md_io *io, struct hv_diag *diag);

/* Where a volume's metadata is, as configured.  Paths are borrowed. */
struct md_where {
    const char *disk;
    const char *meta_disk; /* the disk itself when internal */
    int index;             /* enum md_index or a slot */
};

struct md_disk {
    struct md_io data, meta; /* data is closed when internal */
    struct md_place place;
    struct md_superblock sb; /* after md_disk_load() */
    struct md_layout layout; /* likewise */
};

/* Opens, and measures; the metadata device is shared, not exclusive, when it is indexed: other volumes
 * have their slots on it. */
HV_MUST_CHECK int md_disk_open(
    struct md_disk *disk, const struct md_where *where, unsigned flags, struct hv_diag *diag);
void md_disk_close(struct md_disk *disk);
/* Reads the superblock and judges it (md_validate(), clean or not). */
HV_MUST_CHECK int md_disk_load(struct md_disk *disk, struct hv_diag *diag);
/* Writes the superblock; it is on the disk when this returns 0. */
HV_MUST_CHECK int md_disk_store(struct md_disk *disk, struct hv_diag *diag);

/* Applies the activity log (disk §3.5) and marks the metadata clean.  *marked_kib is how much became out of
 * sync, *corrupt how many blocks of the log were damaged, *beyond how many extents lie past the end. */
struct md_applied {
    uint64_t marked_kib;
    uint32_t corrupt, beyond;
    bool format_83;
};
HV_MUST_CHECK int md_disk_apply_al(
    struct md_disk *disk, struct md_applied *applied, struct hv_diag *diag);

#endif
