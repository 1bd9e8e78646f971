/* SPDX-License-Identifier: Apache-2.0 */
/* A mounted file system. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "agent.h"
#include "agent_mounts.h"
#include "agent_util.h"
#include "hv_text.h"

enum { HOLDERS_MAX = 256, POLITE_MS = 1500, DEVICE_WAIT_MS = 5000 };

static const struct {
    const char *name;
    unsigned long set, clear;
} mount_flags[] = {
    {"defaults", 0, 0},
    {"ro", MS_RDONLY, 0},
    {"rw", 0, MS_RDONLY},
    {"nosuid", MS_NOSUID, 0},
    {"suid", 0, MS_NOSUID},
    {"nodev", MS_NODEV, 0},
    {"dev", 0, MS_NODEV},
    {"noexec", MS_NOEXEC, 0},
    {"exec", 0, MS_NOEXEC},
    {"sync", MS_SYNCHRONOUS, 0},
    {"async", 0, MS_SYNCHRONOUS},
    {"dirsync", MS_DIRSYNC, 0},
    {"noatime", MS_NOATIME, 0},
    {"atime", 0, MS_NOATIME},
    {"nodiratime", MS_NODIRATIME, 0},
    {"diratime", 0, MS_NODIRATIME},
    {"relatime", MS_RELATIME, 0},
    {"norelatime", 0, MS_RELATIME},
    {"strictatime", MS_STRICTATIME, 0},
    {"lazytime", MS_LAZYTIME, 0},
    {"silent", MS_SILENT, 0},
    {"_netdev", 0, 0},
    {"auto", 0, 0},
    {"noauto", 0, 0},
    {"nofail", 0, 0},
    {"user", 0, 0},
    {"nouser", 0, 0},
};

/* Splits "-o" into the system call's flags and what is left for the file system. */
static unsigned long parse_options(const char *options, struct hv_text *data)
{
    unsigned long flags = 0;
    char word[256];

    while (*options) {
        size_t n = strcspn(options, ","), i = 0;
        snprintf(word, sizeof word, "%.*s", (int)n, options);
        options += n + (options[n] == ',');
        while (i < sizeof mount_flags / sizeof mount_flags[0] && strcmp(mount_flags[i].name, word))
            i++;
        if (i < sizeof mount_flags / sizeof mount_flags[0])
            flags = (flags | mount_flags[i].set) & ~mount_flags[i].clear;
        else if (word[0])
            hv_text_addf(data, "%s%s", data->length ? "," : "", word);
    }
    return flags;
}

/* What stands on the device, by its superblock; "" when none that we know. */
static const char *guess_type(const char *device)
{
    static const struct {
        const char *type;
        off_t at;
        const char *magic;
        size_t length;
    } known[] = {{"ext4", 0x438, "\x53\xef", 2}, {"xfs", 0, "XFSB", 4},
        {"btrfs", 0x10040, "_BHRfS_M", 8}, {"f2fs", 0x400, "\x10\x20\xf5\xf2", 4}};
    int fd = open(device, O_RDONLY | O_CLOEXEC);
    const char *type = "";
    char got[8];

    if (fd < 0)
        return "";
    for (size_t i = 0; i < sizeof known / sizeof known[0] && !*type; i++)
        if (pread(fd, got, known[i].length, known[i].at) == (ssize_t)known[i].length &&
            !memcmp(got, known[i].magic, known[i].length))
            type = known[i].type;
    close(fd);
    return type;
}

static const char *explain_mount_error(int error)
{
    switch (error) {
    case EBUSY:
        return "the device is mounted elsewhere or held by something";
    case EINVAL:
        return "no such file system is on it, or an option is wrong";
    case EROFS:
    case EMEDIUMTYPE:
        return "the device is read-only: its resource is not Primary here";
    case ENODEV:
        return "this kernel does not know that file system";
    case ENXIO:
    case ENOENT:
        return "there is no such device: is its resource up?";
    default:
        return strerror(error);
    }
}

/* The link /dev/drbd0 follows the role, an instant later. */
static bool wait_for_device(const char *device, struct stat *st)
{
    uint64_t end_ms = agent_clock_ms() + DEVICE_WAIT_MS;

    while (stat(device, st) || !S_ISBLK(st->st_mode)) {
        if (agent_clock_ms() >= end_ms)
            return false;
        agent_sleep_ms(5);
    }
    return true;
}

static int filesystem_start(
    const struct agent_request *r, const char *device, const char *directory, struct hv_diag *diag)
{
    const char *type = agent_get(r, "type");
    struct hv_text data = {0};
    struct agent_mount mounted;
    struct stat dir, dev;

    if (stat(directory, &dir) || !S_ISDIR(dir.st_mode)) {
        hv_diag_set(diag, "%s is no directory: make it on both nodes", directory);
        return AGENT_ERROR;
    }
    if (!wait_for_device(device, &dev)) {
        hv_diag_set(diag, "%s is no block device: is its resource up and Primary?", device);
        return AGENT_ERROR;
    }
    if (agent_mount_at(directory, &mounted)) {
        if (mounted.device == dev.st_rdev)
            return AGENT_OK;
        hv_diag_set(diag, "%s (%u:%u) is mounted on %s already, not %s", mounted.source,
            major(mounted.device), minor(mounted.device), directory, device);
        return AGENT_ERROR;
    }
    if (!*type)
        type = guess_type(device);
    unsigned long flags = parse_options(agent_get(r, "options"), &data);
    int rc = mount(device, directory, *type ? type : "ext4", flags, hv_text_str(&data));
    int error = errno;
    hv_text_free(&data);
    if (!rc)
        return AGENT_OK;
    hv_diag_set(diag, "cannot mount %s on %s as %s: %s", device, directory, *type ? type : "ext4",
        explain_mount_error(error));
    return AGENT_ERROR;
}

static void signal_holders(const char *directory, int signal, struct hv_diag *diag)
{
    pid_t pids[HOLDERS_MAX];
    size_t n = agent_mount_holders(directory, pids, HOLDERS_MAX);

    for (size_t i = 0; i < n; i++) {
        char path[64], name[64];
        snprintf(path, sizeof path, "/proc/%d/comm", (int)pids[i]);
        if (agent_read_file(path, name, sizeof name) < 0)
            continue;
        name[strcspn(name, "\n")] = 0;
        hv_diag_set(diag, "ended %s (process %d), which held %s", name, (int)pids[i], directory);
        kill(pids[i], signal);
    }
}

/* One mount off the directory: what is mounted below goes first. */
static int unmount_once(const struct agent_mount *top)
{
    struct agent_mount leaf;

    while (agent_mount_leaf(top, &leaf))
        if (umount2(leaf.directory, 0))
            return -errno;
    return umount2(top->directory, 0) ? -errno : 0;
}

/* Until it is off, or the time limit of the action ends us: a lazy unmount would call a file system
 * released that still writes. */
static int filesystem_stop(const char *directory, struct hv_diag *diag)
{
    uint64_t start_ms = agent_clock_ms();
    uint32_t pause_ms = 2;
    struct agent_mount mounted;
    bool asked = false;

    while (agent_mount_at(directory, &mounted)) {
        int rc = unmount_once(&mounted);
        if (!rc)
            continue;
        if (rc != -EBUSY) {
            hv_diag_set(diag, "cannot unmount %s: %s", directory, strerror(-rc));
            return AGENT_ERROR;
        }
        bool polite = agent_clock_ms() - start_ms < POLITE_MS;
        if (!asked || !polite)
            signal_holders(directory, polite ? SIGTERM : SIGKILL, diag);
        asked = true;
        agent_sleep_ms(pause_ms);
        pause_ms = pause_ms < 100 ? pause_ms * 2 : 100;
    }
    return AGENT_OK;
}

static int probe_failed(const char *what, const char *path, struct hv_diag *diag)
{
    hv_diag_set(diag, "cannot %s %s: %s", what, path, strerror(errno));
    return AGENT_ERROR;
}

/* Writes a block and reads the device past every cache.  A full file system is not a dead one. */
static int probe(const char *directory, const char *device, struct hv_diag *diag)
{
    char path[AGENT_PATH_BYTES];
    char text[64] = "";
    void *block = NULL;
    int result = AGENT_OK;

    snprintf(path, sizeof path, "%.4000s/.haven", directory);
    if (mkdir(path, 0700) && errno != EEXIST && errno != ENOSPC && errno != EDQUOT)
        return probe_failed("make", path, diag);
    snprintf(path, sizeof path, "%.4000s/.haven/probe", directory);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd >= 0) {
        snprintf(text, sizeof text, "%020llu\n", (unsigned long long)agent_clock_ms());
        if ((pwrite(fd, text, strlen(text), 0) < 0 || fdatasync(fd)) && errno != ENOSPC &&
            errno != EDQUOT)
            result = probe_failed("write to", path, diag);
        close(fd);
    } else if (errno != ENOSPC && errno != EDQUOT && errno != ENOENT) {
        result = probe_failed("write to", path, diag);
    }
    fd = open(device, O_RDONLY | O_DIRECT | O_CLOEXEC);
    if (fd < 0 || posix_memalign(&block, 4096, 4096))
        goto out;
    if (result == AGENT_OK && pread(fd, block, 4096, 0) < 0)
        result = probe_failed("read", device, diag);
out:
    free(block);
    if (fd >= 0)
        close(fd);
    return result;
}

static int filesystem_monitor(
    const struct agent_request *r, const char *device, const char *directory, struct hv_diag *diag)
{
    struct agent_mount mounted;
    struct stat dev;

    if (!agent_mount_at(directory, &mounted))
        return AGENT_NOT_RUNNING;
    if (stat(device, &dev) || !S_ISBLK(dev.st_mode)) {
        hv_diag_set(diag, "%s is mounted, but its device %s has gone", directory, device);
        return AGENT_ERROR;
    }
    if (dev.st_rdev != mounted.device) {
        hv_diag_set(diag, "%s is mounted on %s, and %s is another device", mounted.source,
            directory, device);
        return AGENT_ERROR;
    }
    struct hv_text data = {0};
    bool read_only = parse_options(agent_get(r, "options"), &data) & MS_RDONLY;
    hv_text_free(&data);
    if (!read_only && mounted.read_only) {
        hv_diag_set(diag, "%s has become read-only: the kernel met an error on it", directory);
        return AGENT_ERROR;
    }
    if (read_only || !strcmp(agent_get(r, "probe"), "no"))
        return AGENT_OK;
    return probe(directory, device, diag);
}

int agent_filesystem(const struct agent_request *r, enum agent_action action, struct hv_diag *diag)
{
    char device[AGENT_PATH_BYTES], directory[AGENT_PATH_BYTES];

    if (!*agent_get(r, "device") || !*agent_get(r, "directory") ||
        !agent_path(device, r, agent_get(r, "device")) ||
        !agent_path(directory, r, agent_get(r, "directory"))) {
        hv_diag_set(diag, "a file system needs a device and a directory");
        return AGENT_USAGE;
    }
    switch (action) {
    case AGENT_START:
        return filesystem_start(r, device, directory, diag);
    case AGENT_STOP:
        return filesystem_stop(directory, diag);
    default:
        return filesystem_monitor(r, device, directory, diag);
    }
}
