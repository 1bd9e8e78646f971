/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORE_H
#define STORE_H
/* Backing devices: regular files and block devices, O_DIRECT, through the loop.  And the memory of
 * payloads.  Sectors are 512 bytes. */
#include <stdbool.h>
#include <stdint.h>

#include "hv_buf.h"
#include "hv_error.h"
#include "loop.h"

/* -------------------------------------------------------------------------------------------- devices */

enum { STORE_PATH_MAX = 4096, STORE_IO_BYTES_MAX = 1024 * 1024 };

struct store {
    char path[STORE_PATH_MAX];
    int fd;
    bool is_block, can_discard, rotational;
    uint64_t sectors;
    uint32_t logical_block_bytes, physical_block_bytes, max_io_bytes;
};

enum store_open_flags {
    STORE_EXCLUSIVE = 1, /* nobody else may hold it: O_EXCL, or a lock on a file */
    STORE_READ_ONLY = 2
};

/* HV_EBUSY: mounted, or held by somebody.  HV_EUNSUPPORTED: its blocks are larger than 512 bytes, or
 * its file system has no O_DIRECT. */
int store_open(
    const char *path, unsigned flags, struct store **out, struct hv_diag *diag) HV_MUST_CHECK;
/* No operation may be in flight. */
void store_close(struct store *s);
/* Looks at the size again; true when it has changed. */
bool store_refresh_size(struct store *s);

/* ------------------------------------------------------------------------------------------ operations */

enum store_io_flags {
    STORE_FUA = 1,      /* durable when done */
    STORE_PREFLUSH = 2, /* all that was completed before is durable before this is written */
    STORE_MAY_UNMAP = 4 /* zeroes: may deallocate */
};

struct store_io {
    void (*done)(struct store_io *io, int error); /* set by the caller; 0 or HV_EIO … */

    /* The room's */
    struct loop *loop;
    struct store *store;
    struct loop_op op, flush_op;
    struct iovec iov;
    uint64_t offset_bytes, left_bytes;
    uint32_t flags;
    int error;
    uint8_t kind;
};

/* Memory must be aligned to 512 bytes (better: a page) and stays borrowed until done. */
void store_read(struct loop *l, struct store *s, struct store_io *io, void *to, uint64_t sector,
    uint32_t length_bytes);
void store_write(struct loop *l, struct store *s, struct store_io *io, const void *from,
    uint64_t sector, uint32_t length_bytes, uint32_t flags);
/* Everything completed before is durable. */
void store_flush(struct loop *l, struct store *s, struct store_io *io);
/* The contents become undefined or zero; where the device cannot do that, zeros are written. */
void store_discard(
    struct loop *l, struct store *s, struct store_io *io, uint64_t sector, uint64_t length_bytes);
/* Zeros are written where the device cannot do it by itself. */
void store_zeroes(struct loop *l, struct store *s, struct store_io *io, uint64_t sector,
    uint64_t length_bytes, uint32_t flags);

/* --------------------------------------------------------------------------------------------- buffers */

/* Page-aligned memory in four sizes (4 KiB, 64 KiB, 256 KiB, 1 MiB).  Address space is reserved at
 * once; memory is used when it is first written, and the largest size gives it back.  Before and after
 * the data of each buffer of the largest size there is a page that a front may use
 * (STORE_BUF_SPARE_BYTES). */
enum { STORE_BUF_SIZES = 4, STORE_BUF_SPARE_BYTES = 4096 };

struct store_pool_config {
    uint32_t count[STORE_BUF_SIZES]; /* 4 KiB, 64 KiB, 256 KiB, 1 MiB */
};

struct store_pool;

int store_pool_new(const struct store_pool_config *config, struct store_pool **out) HV_MUST_CHECK;
void store_pool_free(struct store_pool *pool); /* all buffers are back */
struct hv_buf_pool *store_pool_bufs(struct store_pool *pool);
uint32_t store_pool_in_use(const struct store_pool *pool);

#endif
