/* SPDX-License-Identifier: Apache-2.0 */
#include "front_loop.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "hv_text.h"

enum {
    LOOP_MAJOR_NUMBER = 7,
    LOOP_CONTROL_MINOR = 237,
    MISC_MAJOR = 10,
    ATTACH_TRIES = 64,
    /* udev opens a device for a moment after each change: not worth a refusal. */
    DETACH_TRIES = 20,
    DETACH_PAUSE_US = 25000
};

/* Opens a node of dev_dir and makes it when it is not there, as in a container's own /dev. */
static int node_open(const char *path, int flags, mode_t type, dev_t dev)
{
    int fd = open(path, flags | O_CLOEXEC);

    if (fd < 0 && errno == ENOENT && !mknod(path, type | 0600, dev))
        fd = open(path, flags | O_CLOEXEC);
    return fd;
}

static int control_open(const struct front_loop *fl)
{
    char path[FRONT_PATH_MAX + 32];

    snprintf(path, sizeof path, "%s/loop-control", fl->dev_dir);
    return node_open(path, O_RDWR, S_IFCHR, makedev(MISC_MAJOR, LOOP_CONTROL_MINOR));
}

static void state_write(const struct front_loop *fl)
{
    FILE *f = fopen(fl->state, "we");

    if (!f)
        return;
    fprintf(f, "%s\n", fl->device);
    fclose(f);
}

/* Takes a free device; 0, or -errno.  EBUSY: somebody was faster. */
static int try_attach(struct front_loop *fl, int control, int backing)
{
    int n = ioctl(control, LOOP_CTL_GET_FREE), rv = 0;

    if (n < 0)
        return -errno;
    snprintf(fl->device, sizeof fl->device, "%.4000s/loop%d", fl->dev_dir, n);
    int fd = node_open(fl->device, O_RDWR, S_IFBLK, makedev(LOOP_MAJOR_NUMBER, (unsigned)n));
    if (fd < 0)
        return -errno;
    struct loop_config config = {
        .fd = (unsigned)backing, .block_size = 512, .info.lo_flags = LO_FLAGS_DIRECT_IO};
    hv_strcopy((char *)config.info.lo_file_name, sizeof config.info.lo_file_name, fl->name);
    if (ioctl(fd, LOOP_CONFIGURE, &config))
        rv = -errno;
    close(fd);
    return rv;
}

int front_loop_attach(struct front_loop *fl, struct hv_diag *diag)
{
    int rv = -EBUSY, backing = open(fl->backing, O_RDWR | O_CLOEXEC), control = control_open(fl);

    if (backing < 0 || control < 0) {
        hv_diag_set(diag, "%s: %s", backing < 0 ? fl->backing : "loop-control", strerror(errno));
        rv = -errno;
    } else {
        for (int i = 0; i < ATTACH_TRIES && rv == -EBUSY; i++)
            rv = try_attach(fl, control, backing);
        if (rv)
            hv_diag_set(diag, "cannot attach a loop device (%s): %s", fl->device, strerror(-rv));
    }
    if (backing >= 0)
        close(backing);
    if (control >= 0)
        close(control);
    if (rv) {
        fl->device[0] = 0;
        return HV_EIO;
    }
    state_write(fl);
    return HV_OK;
}

static bool is_ours(const struct front_loop *fl, int fd, struct loop_info64 *info)
{
    return !ioctl(fd, LOOP_GET_STATUS64, info) &&
           !strncmp((const char *)info->lo_file_name, fl->name, sizeof info->lo_file_name);
}

/* LOOP_CLR_FD never refuses: with other openers it marks the device to go with the last of them.
 * 0: gone, or going as soon as fd is closed.  -EBUSY: it was marked, and is not any more. */
static int try_detach(const struct front_loop *fl, int fd)
{
    struct loop_info64 info;

    if (!is_ours(fl, fd, &info))
        return 0;
    if (ioctl(fd, LOOP_CLR_FD))
        return errno == ENXIO ? 0 : -errno;
    if (ioctl(fd, LOOP_GET_STATUS64, &info))
        return 0;
    info.lo_flags &= ~(uint32_t)LO_FLAGS_AUTOCLEAR;
    if (ioctl(fd, LOOP_SET_STATUS64, &info))
        return errno == ENXIO ? 0 : -errno;
    return -EBUSY;
}

int front_loop_detach(struct front_loop *fl, struct hv_diag *diag)
{
    int rv = -EBUSY;

    if (!fl->device[0])
        return HV_OK;
    for (int i = 0; i < DETACH_TRIES && rv == -EBUSY; i++) {
        /* O_EXCL finds mounts and other holders without touching anything. */
        int fd = open(fl->device, O_RDWR | O_EXCL | O_CLOEXEC);
        if (fd < 0) {
            rv = errno == ENXIO || errno == ENOENT ? 0 : -errno;
            break;
        }
        rv = try_detach(fl, fd);
        close(fd);
        if (rv == -EBUSY)
            usleep(DETACH_PAUSE_US);
    }
    if (rv) {
        hv_diag_set(
            diag, "%s: %s", fl->device, rv == -EBUSY ? "held open by someone" : strerror(-rv));
        return rv == -EBUSY ? HV_EBUSY : HV_EIO;
    }
    unlink(fl->state);
    fl->device[0] = 0;
    return HV_OK;
}

int front_loop_resize(struct front_loop *fl, struct hv_diag *diag)
{
    struct stat st;
    int rv = HV_OK, fd = open(fl->device, O_RDWR | O_CLOEXEC);

    /* The kernel asks our file for its size only when somebody looks. */
    if (fd < 0 || stat(fl->backing, &st) || ioctl(fd, LOOP_SET_CAPACITY, 0)) {
        hv_diag_set(diag, "%s: cannot change its size: %s", fl->device, strerror(errno));
        rv = HV_EIO;
    }
    if (fd >= 0)
        close(fd);
    return rv;
}

void front_loop_remove_stale(struct front_loop *fl)
{
    char device[FRONT_PATH_MAX] = "";
    struct loop_info64 info;
    FILE *f = fopen(fl->state, "re");

    if (!f)
        return;
    if (fgets(device, sizeof device, f))
        device[strcspn(device, "\n")] = 0;
    fclose(f);
    int fd = open(device, O_RDWR | O_CLOEXEC);
    if (fd >= 0) {
        /* The kernel asks the dead file for its attributes before it tells the name: that failing is as
         * good a proof that nobody needs the device. */
        errno = 0;
        if (is_ours(fl, fd, &info) || errno == ENOTCONN || errno == ECONNABORTED)
            ioctl(fd, LOOP_CLR_FD);
        close(fd);
    }
    unlink(fl->state);
}

int front_link(const char *link, const char *target, struct hv_diag *diag)
{
    char path[FRONT_PATH_MAX];

    if (!hv_strcopy(path, sizeof path - 8, link))
        return HV_EINVAL;
    for (char *p = path + 1; (p = strchr(p, '/')); p++) {
        *p = 0;
        mkdir(path, 0755);
        *p = '/';
    }
    strcat(path, ".new");
    unlink(path);
    if (symlink(target, path) || rename(path, link)) {
        hv_diag_set(diag, "%s: cannot make the link: %s", link, strerror(errno));
        unlink(path);
        return HV_EIO;
    }
    return HV_OK;
}
