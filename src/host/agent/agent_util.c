/* SPDX-License-Identifier: Apache-2.0 */
#include "agent_util.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "hv_text.h"

uint64_t agent_clock_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_BOOTTIME, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void agent_sleep_ms(uint32_t ms)
{
    struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000};

    while (nanosleep(&t, &t) && errno == EINTR)
        ;
}

bool agent_path(char to[AGENT_PATH_BYTES], const struct agent_request *r, const char *path)
{
    int n = snprintf(to, AGENT_PATH_BYTES, "%s%s", r->root, path);
    return n > 0 && n < AGENT_PATH_BYTES;
}

int agent_make_directory(const char *path)
{
    char part[AGENT_PATH_BYTES];

    if (!hv_strcopy(part, sizeof part, path))
        return -ENAMETOOLONG;
    for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        if (mkdir(part, 0755) && errno != EEXIST)
            return -errno;
        *slash = '/';
    }
    return mkdir(part, 0755) && errno != EEXIST ? -errno : 0;
}

int agent_write_file(const char *path, const char *text)
{
    char tmp[AGENT_PATH_BYTES + 8];
    size_t length = strlen(text);

    snprintf(tmp, sizeof tmp, "%s.new", path);
    int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return -errno;
    ssize_t written = write(fd, text, length);
    int rc = written == (ssize_t)length ? 0 : written < 0 ? -errno : -ENOSPC;
    close(fd);
    if (!rc && rename(tmp, path))
        rc = -errno;
    return rc;
}

ssize_t agent_read_file(const char *path, char *to, size_t capacity)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t n = 0;

    to[0] = 0;
    if (fd < 0)
        return -errno;
    while (n + 1 < capacity) {
        ssize_t got = read(fd, to + n, capacity - 1 - n);
        if (got <= 0)
            break;
        n += (size_t)got;
    }
    to[n] = 0;
    close(fd);
    return (ssize_t)n;
}

static void forget_standard_files(void)
{
    int null = open("/dev/null", O_RDWR);

    if (null < 0)
        return;
    dup2(null, 0);
    dup2(null, 1);
    dup2(null, 2);
    if (null > 2)
        close(null);
}

bool agent_leave_behind(void)
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid)
        return false;
    setsid();
    forget_standard_files();
    return true;
}

pid_t agent_spawn_daemon(char *const argv[])
{
    int report[2], error = 0;

    if (pipe2(report, O_CLOEXEC))
        return -errno;
    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0) {
        error = errno;
    } else if (!pid) {
        setsid();
        forget_standard_files();
        if (chdir("/"))
            _exit(1);
        execvp(argv[0], argv);
        error = errno;
        if (write(report[1], &error, sizeof error) < 0)
            _exit(126);
        _exit(127);
    }
    close(report[1]);
    if (pid > 0 && read(report[0], &error, sizeof error) == (ssize_t)sizeof error)
        waitpid(pid, NULL, 0);
    close(report[0]);
    return error ? -error : pid;
}

int agent_run_program(const char *path, char *const argv[], char *out, size_t capacity)
{
    int status = 0;
    /* A file, not a pipe: a daemon that the program leaves behind may keep it open and write to it. */
    int fd = memfd_create("output", MFD_CLOEXEC);

    out[0] = 0;
    if (fd < 0)
        return -errno;
    fflush(NULL);
    pid_t pid = fork();
    if (!pid) {
        dup2(fd, 1);
        dup2(fd, 2);
        execvp(path, argv); /* has /bin/sh run what does not say who should */
        _exit(errno == ENOENT ? 127 : 126);
    }
    if (pid < 0) {
        int error = errno;
        close(fd);
        return -error;
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    ssize_t n = pread(fd, out, capacity - 1, 0);
    out[n > 0 ? n : 0] = 0;
    close(fd);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

pid_t agent_pid_of_file(const char *pid_file)
{
    char text[32];

    if (agent_read_file(pid_file, text, sizeof text) <= 0)
        return 0;
    long pid = strtol(text, NULL, 10);
    return pid > 1 && !kill((pid_t)pid, 0) ? (pid_t)pid : 0;
}

void agent_kill_and_wait(pid_t pid)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);

    kill(pid, SIGKILL);
    if (fd < 0) {
        while (!kill(pid, 0))
            agent_sleep_ms(2);
        return;
    }
    struct pollfd p = {.fd = fd, .events = POLLIN};
    while (poll(&p, 1, -1) < 0 && errno == EINTR)
        ;
    close(fd);
}
