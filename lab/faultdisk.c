/* SPDX-License-Identifier: Apache-2.0 */
/* faultdisk: a disk that fails on command.
 *
 *   faultdisk IMAGE MOUNTPOINT
 *
 * A FUSE file system of two files: `disk`, which is IMAGE, and `mode`, which takes one word:
 *   ok           reads and writes reach the image
 *   fail         each read, write and flush fails with EIO;  fail-reads, fail-writes: only those
 *   full         writes fail with ENOSPC
 *   hang         requests wait for the next mode, and are then treated as that mode says
 * A loop device on `disk` with direct I/O makes a block device that behaves so.  One thread: a
 * request that is not parked is finished before the next is looked at.
 */
#define FUSE_USE_VERSION 34
#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { INO_ROOT = 1, INO_DISK = 2, INO_MODE = 3, BUFFER_BYTES = 1 << 20 };
enum mode { MODE_OK, MODE_FAIL, MODE_FAIL_READS, MODE_FAIL_WRITES, MODE_FULL, MODE_HANG, MODES };
enum op { OP_READ, OP_WRITE, OP_FLUSH, OP_FALLOCATE };

static const char *const mode_names[MODES] = {
    "ok", "fail", "fail-reads", "fail-writes", "full", "hang"};

struct request {
    struct request *next;
    fuse_req_t fuse;
    enum op op;
    int flags; /* of fallocate */
    off_t offset;
    size_t length;
    char data[]; /* of a parked write */
};

static int image_fd;
static off_t image_bytes;
static enum mode mode;
static struct request *parked, **parked_tail = &parked;
static char *buffer;

static int error_of(enum op op)
{
    switch (mode) {
    case MODE_FAIL:
        return EIO;
    case MODE_FAIL_READS:
        return op == OP_READ ? EIO : 0;
    case MODE_FAIL_WRITES:
        return op != OP_READ ? EIO : 0;
    case MODE_FULL:
        return op == OP_WRITE || op == OP_FALLOCATE ? ENOSPC : 0;
    default:
        return 0;
    }
}

static void perform(
    fuse_req_t fuse, enum op op, int flags, off_t offset, size_t length, const char *data)
{
    ssize_t n = 0;
    int error = error_of(op);

    if (!error && op == OP_READ)
        error = (n = pread(image_fd, buffer, length, offset)) < 0 ? errno : 0;
    else if (!error && op == OP_WRITE)
        error = (n = pwrite(image_fd, data, length, offset)) < 0 ? errno : 0;
    else if (!error && op == OP_FLUSH)
        error = fdatasync(image_fd) ? errno : 0;
    else if (!error)
        error = fallocate(image_fd, flags, offset, (off_t)length) ? errno : 0;

    if (error || op == OP_FLUSH || op == OP_FALLOCATE)
        fuse_reply_err(fuse, error);
    else if (op == OP_READ)
        fuse_reply_buf(fuse, buffer, (size_t)n);
    else
        fuse_reply_write(fuse, (size_t)n);
}

static void submit(
    fuse_req_t fuse, enum op op, int flags, off_t offset, size_t length, const char *data)
{
    if (mode != MODE_HANG) {
        perform(fuse, op, flags, offset, length, data);
        return;
    }
    struct request *r = malloc(sizeof *r + (data ? length : 0));
    if (!r) {
        fuse_reply_err(fuse, ENOMEM);
        return;
    }
    *r = (struct request){
        .fuse = fuse, .op = op, .flags = flags, .offset = offset, .length = length};
    if (data)
        memcpy(r->data, data, length);
    *parked_tail = r;
    parked_tail = &r->next;
}

static void parked_release(void)
{
    while (parked) {
        struct request *r = parked;

        parked = r->next;
        perform(r->fuse, r->op, r->flags, r->offset, r->length, r->data);
        free(r);
    }
    parked_tail = &parked;
}

static void attr_fill(fuse_ino_t ino, struct stat *st)
{
    memset(st, 0, sizeof *st);
    st->st_ino = ino;
    st->st_nlink = 1;
    st->st_blksize = 4096;
    if (ino == INO_ROOT) {
        st->st_mode = S_IFDIR | 0700;
    } else if (ino == INO_DISK) {
        st->st_mode = S_IFREG | 0600;
        st->st_size = image_bytes;
        st->st_blocks = image_bytes / 512;
    } else {
        st->st_mode = S_IFREG | 0600;
    }
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct fuse_entry_param entry = {.attr_timeout = 1, .entry_timeout = 1};

    entry.ino = !strcmp(name, "disk") ? INO_DISK : !strcmp(name, "mode") ? INO_MODE : 0;
    if (parent != INO_ROOT || !entry.ino) {
        fuse_reply_err(req, ENOENT);
        return;
    }
    attr_fill(entry.ino, &entry.attr);
    fuse_reply_entry(req, &entry);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct stat st;

    attr_fill(ino, &st);
    fuse_reply_attr(req, &st, 1);
}

/* `echo word > mode` truncates first; the disk keeps its size. */
static void op_setattr(
    fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set, struct fuse_file_info *fi)
{
    op_getattr(req, ino, fi);
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    if (ino == INO_ROOT) {
        fuse_reply_err(req, EISDIR);
        return;
    }
    fi->direct_io = ino == INO_MODE;
    fuse_reply_open(req, fi);
}

static void op_read(
    fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
    char text[32];

    if (ino == INO_DISK) {
        submit(req, OP_READ, 0, offset, size > BUFFER_BYTES ? BUFFER_BYTES : size, NULL);
        return;
    }
    size_t length = (size_t)snprintf(text, sizeof text, "%s\n", mode_names[mode]);
    if (offset >= (off_t)length)
        fuse_reply_buf(req, NULL, 0);
    else
        fuse_reply_buf(req, text + offset, length - (size_t)offset);
}

static void op_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t offset,
    struct fuse_file_info *fi)
{
    size_t word = 0;

    if (ino == INO_DISK) {
        submit(req, OP_WRITE, 0, offset, size, data);
        return;
    }
    while (word < size && data[word] > ' ')
        word++;
    for (int m = 0; m < MODES; m++) {
        if (strlen(mode_names[m]) != word || memcmp(mode_names[m], data, word) != 0)
            continue;
        mode = (enum mode)m;
        if (mode != MODE_HANG)
            parked_release();
        fuse_reply_write(req, size);
        return;
    }
    fuse_reply_err(req, EINVAL);
}

static void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
    submit(req, OP_FLUSH, 0, 0, 0, NULL);
}

static void op_fallocate(fuse_req_t req, fuse_ino_t ino, int flags, off_t offset, off_t length,
    struct fuse_file_info *fi)
{
    submit(req, OP_FALLOCATE, flags, offset, (size_t)length, NULL);
}

static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
    struct statvfs st;

    memset(&st, 0, sizeof st);
    st.f_bsize = st.f_frsize = 4096;
    st.f_blocks = (fsblkcnt_t)(image_bytes / 4096);
    fuse_reply_statfs(req, &st);
}

static const struct fuse_lowlevel_ops ops = {
    .lookup = op_lookup,
    .getattr = op_getattr,
    .setattr = op_setattr,
    .open = op_open,
    .read = op_read,
    .write = op_write,
    .fsync = op_fsync,
    .fallocate = op_fallocate,
    .statfs = op_statfs,
};

static int serve(const char *program, const char *mountpoint)
{
    char *argv[] = {(char *)program, (char *)"-o", (char *)"fsname=faultdisk", NULL};
    struct fuse_args args = FUSE_ARGS_INIT(3, argv);
    struct fuse_session *session = fuse_session_new(&args, &ops, sizeof ops, NULL);
    int rc = 1;

    if (!session)
        return 1;
    if (fuse_set_signal_handlers(session) == 0 && fuse_session_mount(session, mountpoint) == 0) {
        rc = fuse_session_loop(session) < 0;
        fuse_session_unmount(session);
    }
    fuse_session_destroy(session);
    return rc;
}

int main(int argc, char **argv)
{
    struct stat st;

    if (argc != 3) {
        fprintf(stderr, "usage: faultdisk IMAGE MOUNTPOINT\n");
        return 2;
    }
    image_fd = open(argv[1], O_RDWR | O_CLOEXEC);
    if (image_fd < 0 || fstat(image_fd, &st)) {
        perror(argv[1]);
        return 1;
    }
    image_bytes = st.st_size;
    buffer = malloc(BUFFER_BYTES);
    return buffer ? serve(argv[0], argv[2]) : 1;
}
