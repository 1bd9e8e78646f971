/* SPDX-License-Identifier: Apache-2.0 */
/* What survives a restart (heartbeat §2), in Heartbeat's own files and forms. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "havend.h"

static int pid_fd = -1; /* keeps the lock for as long as the process lives */

static void state_path(const struct havend *h, char *to, const char *name)
{
    snprintf(to, HAVEND_PATH_BYTES, "%.3000s/var/lib/heartbeat/%s", h->root, name);
}

static int write_durably(const char *path, const void *bytes, size_t length, struct hv_diag *diag)
{
    char tmp[HAVEND_PATH_BYTES + 8], directory[HAVEND_PATH_BYTES];

    (void)ctl_make_parents(path);
    snprintf(tmp, sizeof tmp, "%s.new", path);
    int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        goto failed;
    if (write(fd, bytes, length) != (ssize_t)length || fsync(fd)) {
        close(fd);
        goto failed;
    }
    close(fd);
    if (rename(tmp, path))
        goto failed;
    hv_strcopy(directory, sizeof directory, path);
    *strrchr(directory, '/') = 0;
    fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        (void)fsync(fd);
        close(fd);
    }
    return HV_OK;
failed:
    hv_diag_set(diag, "cannot write %s: %s", path, strerror(errno));
    return HV_EIO;
}

/* It must never go backwards: the peer would take our packets for old ones played again. */
int havend_state_generation(struct havend *h, uint64_t *generation, struct hv_diag *diag)
{
    char path[HAVEND_PATH_BYTES], text[32] = "";

    state_path(h, path, "hb_generation");
    *generation = (uint64_t)time(NULL);
    FILE *f = fopen(path, "re");
    if (f) {
        if (fgets(text, sizeof text, f) && !h->conf->cluster->generation_by_time)
            *generation = strtoull(text, NULL, 10);
        fclose(f);
    }
    ++*generation;
    snprintf(text, sizeof text, "%15llu\n", (unsigned long long)*generation);
    return write_durably(path, text, strlen(text), diag);
}

int havend_state_uuid(struct havend *h, uint8_t uuid[HB_UUID_BYTES], struct hv_diag *diag)
{
    char path[HAVEND_PATH_BYTES];
    ssize_t n = -1;

    state_path(h, path, "hb_uuid");
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        n = read(fd, uuid, HB_UUID_BYTES);
        close(fd);
    }
    if (n == HB_UUID_BYTES)
        return HV_OK;
    if (getrandom(uuid, HB_UUID_BYTES, 0) != HB_UUID_BYTES) {
        hv_diag_set(diag, "no random bytes: %s", strerror(errno));
        return HV_EIO;
    }
    return write_durably(path, uuid, HB_UUID_BYTES, diag);
}

int havend_pid_file_take(struct havend *h, struct hv_diag *diag)
{
    char path[HAVEND_PATH_BYTES], text[32] = "";

    snprintf(path, sizeof path, "%.3000s/run/haven/havend.pid", h->root);
    (void)ctl_make_parents(path);
    pid_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (pid_fd < 0) {
        hv_diag_set(diag, "cannot open %s: %s", path, strerror(errno));
        return HV_EIO;
    }
    if (flock(pid_fd, LOCK_EX | LOCK_NB)) {
        (void)!read(pid_fd, text, sizeof text - 1);
        hv_diag_set(diag, "already running [pid %ld]", strtol(text, NULL, 10));
        return HV_EBUSY;
    }
    int n = snprintf(text, sizeof text, "%d\n", (int)getpid());
    if (ftruncate(pid_fd, 0) || pwrite(pid_fd, text, (size_t)n, 0) != n) {
        hv_diag_set(diag, "cannot write %s: %s", path, strerror(errno));
        return HV_EIO;
    }
    return HV_OK;
}

void havend_pid_file_drop(struct havend *h)
{
    char path[HAVEND_PATH_BYTES];

    snprintf(path, sizeof path, "%.3000s/run/haven/havend.pid", h->root);
    if (pid_fd >= 0) {
        (void)unlink(path);
        close(pid_fd);
        pid_fd = -1;
    }
}
