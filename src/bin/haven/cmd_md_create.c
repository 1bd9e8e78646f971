/* SPDX-License-Identifier: Apache-2.0 */
/* haven create-md: writes fresh metadata, after looking at what it would overwrite. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "cmd_md.h"
#include "md_probe.h"
#include "md_replay.h"

enum { ZERO_CHUNK_BYTES = 1024 * 1024 };

/* A valid superblock in place: 0 go on, else the exit code. */
static int ask_about_metadata(
    const struct md_call *call, const struct md_disk *disk, const struct md_layout *fresh)
{
    if (md_is_internal(call->where.index))
        fprintf(stderr,
            "You want me to create a v08 style flexible-size internal meta data block.\n"
            "There appears to be a v08 flexible-size internal meta data block\n"
            "already in place on %s at byte offset %" PRIu64 "\n",
            disk->meta.path, fresh->sb_sector * MD_SECTOR_BYTES);
    else
        fprintf(stderr,
            "\nValid meta data seems to be in place on %s at byte offset %" PRIu64 ".\n",
            disk->meta.path, fresh->sb_sector * MD_SECTOR_BYTES);
    if (cmd_md_confirm("Do you really want to overwrite the existing meta-data?", call->force))
        return 0;
    printf("Operation cancelled.\n");
    return CMD_MD_FAILED;
}

static void print_offsets(const struct md_layout *l)
{
    printf("md_offset %" PRIu64 "\nal_offset %" PRIu64 "\nbm_offset %" PRIu64 "\n\n",
        l->sb_sector * MD_SECTOR_BYTES, l->al_sector * MD_SECTOR_BYTES,
        l->bm_sector * MD_SECTOR_BYTES);
}

/* What it is needs the end of the device, which is where the metadata goes: refused, forced or not. */
static int refuse_to_truncate(const struct md_probe *p)
{
    if (!p->size_known)
        printf("Could not determine the size of the actually used data area.\n");
    printf("\nDevice size would be truncated, which\nwould corrupt data and result in\n"
           "'access beyond end of device' errors.\n");
    if (p->is_file_system)
        printf("You need to either\n   * use external meta data (recommended)\n"
               "   * shrink that filesystem first\n"
               "   * zero out the device (destroy the filesystem)\n");
    else
        printf("If you want me to do this, you need to zero out the first part\n"
               "of the device (destroy the content).\nYou should be very sure that you mean it.\n");
    printf("Operation refused.\n\n");
    return CMD_MD_REFUSED;
}

/* No metadata yet: does the device look used? */
static int ask_about_data(
    const struct md_call *call, const struct md_disk *disk, const struct md_layout *fresh)
{
    static uint8_t start[MD_PROBE_BYTES];
    struct hv_diag diag;
    bool internal = md_is_internal(call->where.index);
    uint64_t from = internal ? 0 : fresh->sb_sector;
    uint64_t left = (disk->meta.sectors - from) * MD_SECTOR_BYTES;
    uint64_t length = left < sizeof start ? left : sizeof start;

    if (md_io_read(&disk->meta, from, start, length, &diag))
        return cmd_md_fail(call, &diag, CMD_MD_BUSY);
    struct md_probe p = md_probe(start, length);
    if (!p.what)
        return 0;
    print_offsets(fresh);
    printf("Found %s\n", p.what);
    if (internal && p.fills_device) {
        uint64_t usable_kib = fresh->usable_sectors / 2;
        if (p.size_known)
            printf("%12" PRIu64 " kB data area apparently used\n", p.size_bytes / 1024);
        printf("%12" PRIu64 " kB left usable by current configuration\n", usable_kib);
        if (!p.size_known || p.size_bytes > fresh->usable_sectors * MD_SECTOR_BYTES)
            return refuse_to_truncate(&p);
        printf("\nEven though it looks like this would place the new meta data into\n"
               "unused space, you still need to confirm, as this is only a guess.\n");
    } else {
        printf("\n ==> This might destroy existing data! <==\n");
    }
    if (cmd_md_confirm("Do you want to proceed?", call->force))
        return 0;
    printf("Operation canceled.\n");
    return CMD_MD_FAILED;
}

/* Metadata of another version than ours has a superblock that md_decode() names; it counts as data. */
static int ask_about_other_metadata(const struct md_call *call, const char *what)
{
    fprintf(stderr, "%s: %s\n", call->where.meta_disk, what);
    if (cmd_md_confirm("Do you really want to overwrite the existing meta-data?", call->force))
        return 0;
    printf("Operation cancelled.\n");
    return CMD_MD_FAILED;
}

static int ask(const struct md_call *call, struct md_disk *disk, const struct md_layout *fresh)
{
    uint8_t bytes[MD_BLOCK_BYTES];
    struct md_superblock old;
    struct hv_diag diag;
    uint32_t magic;

    if (md_io_read(&disk->meta, fresh->sb_sector, bytes, sizeof bytes, &diag))
        return cmd_md_fail(call, &diag, CMD_MD_BUSY);
    magic = (uint32_t)bytes[60] << 24 | (uint32_t)bytes[61] << 16 | (uint32_t)bytes[62] << 8 |
            bytes[63];
    if (!md_decode(bytes, &old, &diag))
        return ask_about_metadata(call, disk, fresh);
    if (magic >> 4 == MD_MAGIC_CLEAN >> 4)
        return ask_about_other_metadata(call, diag.text);
    return ask_about_data(call, disk, fresh);
}

static int zero_bitmap(const struct md_disk *disk, const struct md_layout *l, struct hv_diag *diag)
{
    uint64_t bytes =
        (l->usable_sectors + MD_RS_EXTENT_SECTORS - 1) / MD_RS_EXTENT_SECTORS * MD_SECTOR_BYTES;
    uint8_t *zeros = calloc(1, ZERO_CHUNK_BYTES);
    int rc = 0;

    bytes = (bytes + MD_BLOCK_BYTES - 1) / MD_BLOCK_BYTES * MD_BLOCK_BYTES;
    if (!zeros) {
        hv_diag_set(diag, "out of memory");
        return HV_ENOMEM;
    }
    fprintf(stderr, "initializing bitmap (%" PRIu64 " KB) to all zero\n", bytes / 1024);
    for (uint64_t at = 0; at < bytes && !rc;) {
        uint64_t n = bytes - at < ZERO_CHUNK_BYTES ? bytes - at : ZERO_CHUNK_BYTES;
        rc = md_io_write(&disk->meta, l->bm_sector + at / MD_SECTOR_BYTES, zeros, n, diag);
        at += n;
    }
    free(zeros);
    return rc;
}

static int init_ring(const struct md_disk *disk, const struct md_layout *l, struct hv_diag *diag)
{
    uint8_t block[MD_BLOCK_BYTES];
    int rc = 0;

    md_replay_block_init(block);
    for (uint64_t at = 0; at < l->al_sectors && !rc; at += MD_BLOCK_SECTORS)
        rc = md_io_write(&disk->meta, l->al_sector + at, block, sizeof block, diag);
    return rc;
}

/* The superblock last: until it is there, the device has no metadata, rather than half of it. */
static int write_all(struct md_disk *disk, const struct md_layout *l, struct hv_diag *diag)
{
    printf("initializing activity log\n");
    fflush(stdout);
    int rc = init_ring(disk, l, diag);
    if (!rc)
        rc = zero_bitmap(disk, l, diag);
    if (!rc)
        rc = md_io_sync(&disk->meta, diag);
    if (rc)
        return rc;
    printf("Writing meta data...\n");
    fflush(stdout);
    disk->layout = *l;
    return md_disk_store(disk, diag);
}

int cmd_md_create(const struct md_call *call)
{
    struct md_disk disk;
    struct md_layout fresh;
    struct hv_diag diag;
    uint64_t device_uuid = 0;
    uint32_t blocks = call->al_stripe_kib / 4;
    int code = cmd_md_open(call, MD_IO_WRITE | MD_IO_EXCLUSIVE, &disk);

    if (code)
        return code;
    if (getrandom(&device_uuid, sizeof device_uuid, 0) != sizeof device_uuid)
        device_uuid = 0; /* it only tells devices apart in usage counts */
    if (call->al_stripe_kib % 4 ||
        md_create(&disk.sb, &disk.place, call->al_stripes, blocks, device_uuid, &diag) ||
        md_layout_compute(&disk.place, call->al_stripes, blocks, &fresh, &diag)) {
        if (call->al_stripe_kib % 4)
            hv_diag_set(&diag, "--al-stripe-size-kB must be a multiple of 4");
        code = cmd_md_fail(call, &diag, CMD_MD_CONFIG);
    }
    disk.sb.la_peer_max_bio_bytes = call->peer_max_bio_bytes;
    if (!code)
        code = ask(call, &disk, &fresh);
    if (!code && write_all(&disk, &fresh, &diag))
        code = cmd_md_fail(call, &diag, CMD_MD_FAILED);
    if (!code)
        printf("New drbd meta data block successfully created.\nsuccess\n");
    md_disk_close(&disk);
    return code;
}
