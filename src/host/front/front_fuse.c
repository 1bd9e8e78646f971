/* SPDX-License-Identifier: Apache-2.0 */
#define FUSE_USE_VERSION 314
#include "front_fuse.h"

#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <linux/falloc.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "front_loop.h"
#include "hv_assert.h"
#include "hv_text.h"

enum {
    FILE_INODE = 2,
    PAGE_BYTES = 4096,
    /* fuse_in_header and fuse_write_in: the data of a WRITE comes after so many bytes.  A message
     * received so far before a page boundary has its data on the boundary, ready for O_DIRECT. */
    WRITE_HEAD_BYTES = sizeof(struct fuse_in_header) + sizeof(struct fuse_write_in),
    RECEIVE_PER_TURN = 64
};

struct fuse_request {
    struct front_request r;
    fuse_req_t req;
    uint64_t rest_bytes; /* ZEROES: what follows this piece */
    struct fuse_request *next;
    struct hv_list waiting;
};

enum job { JOB_NONE, JOB_ATTACH, JOB_DETACH, JOB_RESIZE, JOB_LINK };

struct front_fuse {
    struct front front;
    struct loop *loop;
    struct hv_buf_pool *bufs;
    struct fuse_session *session;
    char mount_point[FRONT_PATH_MAX], link[FRONT_PATH_MAX], by_res[FRONT_PATH_MAX];
    struct front_loop device;
    bool mounted;

    struct loop_op poll_op;
    struct hv_buf *receiving; /* the buffer of the message being processed */
    bool receiving_taken;
    struct fuse_request *requests, *free_requests;
    uint32_t requests_max;
    uint32_t in_flight;
    /* What came while the owner was not ready.  Receiving goes on, or nobody who merely asks for the
     * file's size (losetup, df, sync) would get an answer while I/O is frozen. */
    struct hv_list waiting;

    /* Wanted and present, and the worker between them. */
    bool want_usable, is_usable, unsettled, stopping;
    uint64_t want_sectors, is_sectors;
    enum job job;
    pthread_t worker;
    _Atomic pid_t worker_tid; /* FUSE names the thread that opens, not the process */
    int job_error;
    struct hv_diag job_diag;
    int wake_fd;
    uint64_t wake_count;
    struct loop_op wake_op;
    struct loop_task settle_task;
};

static struct front_fuse *fuse_of(fuse_req_t req)
{
    return fuse_req_userdata(req);
}

/* -------------------------------------------------------------------------------------------- requests */

static struct fuse_request *request_take(struct front_fuse *f, fuse_req_t req, enum front_op op,
    uint64_t offset_bytes, uint32_t length_bytes)
{
    struct fuse_request *q = f->free_requests;

    hv_assert(q);
    f->free_requests = q->next;
    f->in_flight++;
    q->req = req;
    q->rest_bytes = 0;
    q->r = (struct front_request){
        .front = &f->front, .op = op, .sector = offset_bytes / 512, .length_bytes = length_bytes};
    return q;
}

static void request_submit(struct front_fuse *f, struct fuse_request *q)
{
    if (hv_list_empty(&f->waiting) && f->front.calls->ready(f->front.arg))
        f->front.calls->request(f->front.arg, &q->r);
    else
        hv_list_push_back(&f->waiting, &q->waiting);
}

static void waiting_submit(struct front_fuse *f)
{
    while (!hv_list_empty(&f->waiting) && f->front.calls->ready(f->front.arg)) {
        struct fuse_request *q = hv_list_first(&f->waiting, struct fuse_request, waiting);
        hv_list_remove(&q->waiting);
        f->front.calls->request(f->front.arg, &q->r);
    }
}

static void request_give(struct front_fuse *f, struct fuse_request *q)
{
    q->next = f->free_requests;
    f->free_requests = q;
    f->in_flight--;
}

static void fuse_front_complete(struct front_request *r, int error, struct hv_buf *buf)
{
    struct front_fuse *f = hv_container_of(r->front, struct front_fuse, front);
    struct fuse_request *q = hv_container_of(r, struct fuse_request, r);

    if (!error && q->rest_bytes) {
        r->sector += r->length_bytes / 512;
        r->length_bytes = q->rest_bytes < FRONT_ZEROES_BYTES_MAX ? (uint32_t)q->rest_bytes
                                                                 : FRONT_ZEROES_BYTES_MAX;
        q->rest_bytes -= r->length_bytes;
        f->front.calls->request(f->front.arg, r);
        return;
    }
    if (error)
        fuse_reply_err(q->req, error == HV_ENOSPC ? ENOSPC : EIO);
    else if (r->op == FRONT_READ)
        fuse_reply_buf(q->req, (const char *)buf->data, r->length_bytes);
    else if (r->op == FRONT_WRITE)
        fuse_reply_write(q->req, r->length_bytes);
    else
        fuse_reply_err(q->req, 0);
    hv_buf_put(buf);
    request_give(f, q);
}

/* Whether the range lies in the file; answers the request when not. */
static bool range_fits(struct front_fuse *f, fuse_req_t req, uint64_t offset, uint64_t length)
{
    uint64_t bytes = f->is_sectors * 512;

    if (offset % 512 == 0 && length % 512 == 0 && offset <= bytes && length <= bytes - offset)
        return true;
    fuse_reply_err(req, offset % 512 || length % 512 ? EINVAL : ENOSPC);
    return false;
}

static void on_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t offset,
    struct fuse_file_info *fi)
{
    struct front_fuse *f = fuse_of(req);

    (void)ino;
    (void)fi;
    if (!range_fits(f, req, (uint64_t)offset, size))
        return;
    if (!size || (const uint8_t *)data != f->receiving->data) {
        fuse_reply_err(req, size ? EINVAL : 0);
        return;
    }
    struct fuse_request *q = request_take(f, req, FRONT_WRITE, (uint64_t)offset, (uint32_t)size);
    f->receiving->length_bytes = (uint32_t)size;
    f->receiving_taken = true;
    q->r.buf = f->receiving;
    request_submit(f, q);
}

static void on_read(
    fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
    struct front_fuse *f = fuse_of(req);
    uint64_t bytes = f->is_sectors * 512;

    (void)ino;
    (void)fi;
    if ((uint64_t)offset >= bytes || !size) {
        fuse_reply_buf(req, NULL, 0);
        return;
    }
    if (size > bytes - (uint64_t)offset)
        size = bytes - (uint64_t)offset;
    if (size > FRONT_IO_BYTES_MAX)
        size = FRONT_IO_BYTES_MAX;
    if (!range_fits(f, req, (uint64_t)offset, size))
        return;
    struct fuse_request *q = request_take(f, req, FRONT_READ, (uint64_t)offset, (uint32_t)size);
    struct hv_buf *small = size <= 65536 ? hv_buf_alloc(f->bufs, (uint32_t)size) : NULL;
    if (!small) {
        /* The message is read; the buffer it came in does as well. */
        small = f->receiving;
        f->receiving_taken = true;
    }
    small->length_bytes = (uint32_t)size;
    q->r.buf = small;
    request_submit(f, q);
}

static void on_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
    struct front_fuse *f = fuse_of(req);

    (void)ino;
    (void)datasync;
    (void)fi;
    struct fuse_request *q = request_take(f, req, FRONT_FLUSH, 0, 0);
    request_submit(f, q);
}

static void on_fallocate(
    fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length, struct fuse_file_info *fi)
{
    struct front_fuse *f = fuse_of(req);
    bool punch = mode == (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);

    (void)ino;
    (void)fi;
    if (!punch && mode != (FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE)) {
        fuse_reply_err(req, EOPNOTSUPP);
        return;
    }
    if (!range_fits(f, req, (uint64_t)offset, (uint64_t)length))
        return;
    /* The loop driver sends a hole for DISCARD and also for WRITE_ZEROES that may unmap: whoever asked for
     * zeros must find zeros, so both become zeroes that may unmap. */
    uint64_t all = (uint64_t)length;
    uint32_t first = all < FRONT_ZEROES_BYTES_MAX ? (uint32_t)all : FRONT_ZEROES_BYTES_MAX;
    struct fuse_request *q = request_take(f, req, FRONT_ZEROES, (uint64_t)offset, first);
    q->rest_bytes = all - first;
    q->r.may_unmap = punch;
    request_submit(f, q);
}

/* ------------------------------------------------------------------------------------------- the file */

static void attributes(const struct front_fuse *f, fuse_ino_t ino, struct stat *st)
{
    memset(st, 0, sizeof *st);
    st->st_ino = ino;
    st->st_nlink = 1;
    st->st_mode = ino == FUSE_ROOT_ID ? S_IFDIR | 0700 : S_IFREG | 0600;
    if (ino != FUSE_ROOT_ID) {
        st->st_size = (off_t)(f->is_sectors * 512);
        st->st_blocks = (blkcnt_t)f->is_sectors;
        st->st_blksize = PAGE_BYTES;
    }
}

static void on_init(void *user, struct fuse_conn_info *conn)
{
    const struct front_fuse *f = user;

    conn->max_write = FRONT_IO_BYTES_MAX;
    /* Some requests are kept free for those that are not counted as background. */
    conn->max_background = f->requests_max - f->requests_max / 8;
    conn->congestion_threshold = conn->max_background;
    conn->want &= ~(unsigned)(FUSE_CAP_WRITEBACK_CACHE | FUSE_CAP_SPLICE_READ);
    conn->want |= conn->capable & FUSE_CAP_ASYNC_DIO;
}

static void on_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct fuse_entry_param e = {.ino = FILE_INODE, .entry_timeout = 3600};

    if (parent != FUSE_ROOT_ID || strcmp(name, "data")) {
        fuse_reply_err(req, ENOENT);
        return;
    }
    attributes(fuse_of(req), FILE_INODE, &e.attr);
    fuse_reply_entry(req, &e);
}

static void on_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct stat st;

    (void)fi;
    attributes(fuse_of(req), ino, &st);
    fuse_reply_attr(req, &st, 0);
}

static void on_readdir(
    fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
    char entry[256];
    struct stat st;

    (void)ino;
    (void)fi;
    attributes(fuse_of(req), FILE_INODE, &st);
    size_t n = offset ? 0 : fuse_add_direntry(req, entry, sizeof entry, "data", &st, 1);
    fuse_reply_buf(req, entry, n < size ? n : 0);
}

static void on_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct front_fuse *f = fuse_of(req);
    bool ours = fuse_req_ctx(req)->pid == f->worker_tid;
    struct fuse_open_out out = {
        .open_flags = FOPEN_DIRECT_IO | FOPEN_PARALLEL_DIRECT_WRITES | FOPEN_NOFLUSH};

    if (ino != FILE_INODE) {
        fuse_reply_err(req, EISDIR);
        return;
    }
    /* Only the loop device that we attach may use the file itself. */
    if (!ours || f->job != JOB_ATTACH) {
        fuse_reply_err(req, f->want_usable                        ? EBUSY
                            : (fi->flags & O_ACCMODE) != O_RDONLY ? EROFS
                                                                  : EMEDIUMTYPE);
        return;
    }
    /* Not fuse_reply_open(): this libfuse does not know parallel direct writes yet. */
    fuse_reply_buf(req, (const char *)&out, sizeof out);
}

static void on_statfs(fuse_req_t req, fuse_ino_t ino)
{
    struct statvfs st = {.f_bsize = PAGE_BYTES, .f_frsize = PAGE_BYTES, .f_namemax = 255};

    (void)ino;
    st.f_blocks = fuse_of(req)->is_sectors / 8;
    fuse_reply_statfs(req, &st);
}

static const struct fuse_lowlevel_ops fuse_ops = {.init = on_init,
    .lookup = on_lookup,
    .getattr = on_getattr,
    .readdir = on_readdir,
    .open = on_open,
    .read = on_read,
    .write = on_write,
    .fsync = on_fsync,
    .fallocate = on_fallocate,
    .statfs = on_statfs};

/* ------------------------------------------------------------------------------------------- receiving */

static bool receive_one(struct front_fuse *f)
{
    struct fuse_buf in = {0};

    if (!f->free_requests)
        return false;
    f->receiving = hv_buf_alloc(f->bufs, FRONT_IO_BYTES_MAX);
    if (!f->receiving)
        return false;
    f->receiving_taken = false;
    in.mem = f->receiving->data - WRITE_HEAD_BYTES;
    int n = fuse_session_receive_buf(f->session, &in);
    if (n > 0)
        fuse_session_process_buf(f->session, &in);
    if (!f->receiving_taken)
        hv_buf_put(f->receiving);
    f->receiving = NULL;
    return n > 0;
}

static void front_poll(struct front_fuse *f)
{
    if (!f->poll_op.pending && !f->stopping && f->free_requests)
        loop_poll(f->loop, &f->poll_op, fuse_session_fd(f->session), POLLIN);
}

static void front_readable(struct loop_op *op, int result)
{
    struct front_fuse *f = hv_container_of(op, struct front_fuse, poll_op);

    if (f->stopping || result < 0 || (result & (POLLERR | POLLNVAL)))
        return; /* unmounted by somebody */
    for (int i = 0; i < RECEIVE_PER_TURN && receive_one(f); i++)
        continue;
    front_poll(f);
}

static void fuse_front_resume(struct front *front)
{
    struct front_fuse *f = hv_container_of(front, struct front_fuse, front);

    waiting_submit(f);
    front_poll(f);
}

/* ----------------------------------------------------------------------------------- wanted and present */

static void *worker_main(void *arg)
{
    struct front_fuse *f = arg;
    uint64_t one = 1;
    const char *target = f->device.backing;

    f->worker_tid = gettid();
    f->job_diag.text[0] = 0;
    f->job_error = 0;
    if (f->job == JOB_ATTACH)
        f->job_error = front_loop_attach(&f->device, &f->job_diag);
    else if (f->job == JOB_DETACH)
        f->job_error = front_loop_detach(&f->device, &f->job_diag);
    else if (f->job == JOB_RESIZE)
        f->job_error = front_loop_resize(&f->device, &f->job_diag);
    if (f->device.device[0])
        target = f->device.device;
    if (!f->job_error)
        f->job_error = front_link(f->link, target, &f->job_diag);
    if (!f->job_error)
        f->job_error = front_link(f->by_res, f->link, &f->job_diag);
    if (write(f->wake_fd, &one, sizeof one) != sizeof one)
        abort();
    return NULL;
}

static void job_start(struct front_fuse *f, enum job job)
{
    f->job = job;
    if (pthread_create(&f->worker, NULL, worker_main, f)) {
        f->job = JOB_NONE;
        f->unsettled = false;
        hv_diag_set(&f->job_diag, "cannot start a thread");
        f->front.calls->settled(f->front.arg, HV_ENOMEM, &f->job_diag);
    }
}

/* Starts the next step from what is to what is wanted, or tells that they agree. */
static void front_settle(struct front_fuse *f)
{
    if (f->job != JOB_NONE || f->stopping || !f->unsettled)
        return;
    bool resize = f->is_sectors != f->want_sectors;
    f->is_sectors = f->want_sectors;
    if (f->want_usable && !f->is_usable) {
        job_start(f, JOB_ATTACH);
    } else if (!f->want_usable && f->is_usable) {
        job_start(f, JOB_DETACH);
    } else if (resize && f->is_usable) {
        job_start(f, JOB_RESIZE);
    } else {
        f->unsettled = false;
        f->front.calls->settled(f->front.arg, 0, &f->job_diag);
    }
}

static void settle_run(struct loop_task *task)
{
    front_settle(hv_container_of(task, struct front_fuse, settle_task));
}

static void job_ended(struct loop_op *op, int result)
{
    struct front_fuse *f = hv_container_of(op, struct front_fuse, wake_op);
    enum job job = f->job;

    if (result < 0)
        return; /* cancelled: stopping */
    pthread_join(f->worker, NULL);
    f->job = JOB_NONE;
    loop_read(f->loop, op, f->wake_fd, &f->wake_count, sizeof f->wake_count, 0);
    if (job == JOB_ATTACH || job == JOB_DETACH)
        f->is_usable = f->device.device[0] != 0;
    if (f->job_error) {
        /* What is, is wanted from now on; the owner decides what next. */
        f->want_usable = f->is_usable;
        f->unsettled = false;
        f->front.calls->settled(f->front.arg, f->job_error, &f->job_diag);
        return;
    }
    front_settle(f);
}

static void fuse_front_set(struct front *front, bool usable, uint64_t sectors)
{
    struct front_fuse *f = hv_container_of(front, struct front_fuse, front);

    f->want_usable = usable;
    f->want_sectors = sectors;
    f->unsettled = true;
    if (f->job == JOB_NONE)
        loop_defer(f->loop, &f->settle_task);
}

static const char *fuse_front_device(const struct front *front)
{
    return hv_container_of(front, const struct front_fuse, front)->device.device;
}

/* ----------------------------------------------------------------------------------- beginning and end */

/* A process that died leaves a mount that answers "not connected"; more than one on top of each other if
 * it died often. */
static void unmount_stale(const char *mount_point)
{
    for (int i = 0; i < 16 && !umount2(mount_point, MNT_DETACH); i++)
        continue;
}

static int fuse_start(struct front_fuse *f, struct hv_diag *diag)
{
    char program[] = "haven-volume", option[] = "-o", options[] = "fsname=haven,subtype=haven";
    char *argv[] = {program, option, options, NULL};
    struct fuse_args args = FUSE_ARGS_INIT(3, argv);

    f->session = fuse_session_new(&args, &fuse_ops, sizeof fuse_ops, f);
    fuse_opt_free_args(&args);
    if (!f->session || fuse_session_mount(f->session, f->mount_point)) {
        hv_diag_set(diag, "%s: cannot mount (is /dev/fuse there?)", f->mount_point);
        return HV_EIO;
    }
    f->mounted = true;
    int fd = fuse_session_fd(f->session);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    return HV_OK;
}

static void front_free(struct front_fuse *f)
{
    if (f->session) {
        if (f->mounted)
            fuse_session_unmount(f->session);
        fuse_session_destroy(f->session);
    }
    rmdir(f->mount_point);
    if (f->wake_fd >= 0)
        close(f->wake_fd);
    free(f->requests);
    free(f);
}

static void fuse_front_stop(struct front *front)
{
    struct front_fuse *f = hv_container_of(front, struct front_fuse, front);

    /* The worker needs us to answer while it runs. */
    while (f->job != JOB_NONE || f->in_flight)
        loop_turn(f->loop, 100);
    f->stopping = true;
    loop_defer_cancel(f->loop, &f->settle_task);
    loop_cancel(f->loop, &f->poll_op);
    loop_cancel(f->loop, &f->wake_op);
    while (f->poll_op.pending || f->wake_op.pending)
        loop_turn(f->loop, 100);
    unlink(f->by_res);
    unlink(f->link);
    front_free(f);
}

static const struct front_ops front_fuse_ops = {.set = fuse_front_set,
    .complete = fuse_front_complete,
    .resume = fuse_front_resume,
    .device = fuse_front_device,
    .stop = fuse_front_stop};

static int paths_init(struct front_fuse *f, const struct front_fuse_config *c)
{
    int cap = FRONT_PATH_MAX - 300;
    bool fits = snprintf(f->mount_point, sizeof f->mount_point, "%s/%s-%u", c->run_dir, c->resource,
                    c->vnr) < cap;

    fits = fits && snprintf(f->device.backing, sizeof f->device.backing, "%.3900s/data",
                       f->mount_point) < FRONT_PATH_MAX;
    fits = fits && snprintf(f->device.state, sizeof f->device.state, "%.3900s.loop",
                       f->mount_point) < FRONT_PATH_MAX;
    fits = fits && snprintf(f->by_res, sizeof f->by_res, "%s/drbd/by-res/%s/%u", c->dev_dir,
                       c->resource, c->vnr) < cap;
    fits = fits && hv_strcopy(f->link, sizeof f->link, c->device) &&
           hv_strcopy(f->device.dev_dir, sizeof f->device.dev_dir, c->dev_dir);
    snprintf(f->device.name, sizeof f->device.name, "haven:%u:%.40s", c->minor, c->resource);
    return fits ? HV_OK : HV_EINVAL;
}

int front_fuse_new(const struct front_fuse_config *config, struct front **out, struct hv_diag *diag)
{
    struct front_fuse *f = calloc(1, sizeof *f);
    char parent[FRONT_PATH_MAX];
    int rv = HV_ENOMEM;

    if (!f)
        return rv;
    f->loop = config->loop;
    f->bufs = config->bufs;
    f->front = (struct front){.ops = &front_fuse_ops, .calls = config->calls, .arg = config->arg};
    f->requests_max = config->requests_max;
    hv_list_init(&f->waiting);
    f->poll_op.done = front_readable;
    f->wake_op.done = job_ended;
    f->settle_task.run = settle_run;
    f->wake_fd = eventfd(0, EFD_CLOEXEC);
    f->requests = calloc(config->requests_max, sizeof *f->requests);
    if (!f->requests || f->wake_fd < 0)
        goto fail;
    for (uint32_t i = 0; i < config->requests_max; i++) {
        f->requests[i].next = f->free_requests;
        f->free_requests = &f->requests[i];
    }
    rv = paths_init(f, config);
    if (rv) {
        hv_diag_set(diag, "%s: path too long", config->run_dir);
        goto fail;
    }
    unmount_stale(f->mount_point);
    front_loop_remove_stale(&f->device);
    snprintf(parent, sizeof parent, "%.3900s/data", f->mount_point);
    for (char *p = parent + 1; (p = strchr(p, '/')); *p++ = '/') {
        *p = 0;
        mkdir(parent, 0755);
    }
    rv = fuse_start(f, diag);
    if (!rv)
        rv = front_link(f->link, f->device.backing, diag);
    if (!rv)
        rv = front_link(f->by_res, f->link, diag);
    if (rv)
        goto fail;
    loop_read(f->loop, &f->wake_op, f->wake_fd, &f->wake_count, sizeof f->wake_count, 0);
    front_poll(f);
    *out = &f->front;
    return HV_OK;
fail:
    front_free(f);
    return rv;
}
