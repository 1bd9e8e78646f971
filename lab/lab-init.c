/* SPDX-License-Identifier: Apache-2.0 */
/* lab-init: process 1 of a node of the lab.
 *
 *   lab-init NAME PIDFILE POWER [SETUP [ARG…]]
 *
 * Makes network, mount, UTS, IPC and PID namespaces, runs SETUP in them (it builds the node's root
 * and pivots into it), writes the process id of the node's process 1, as the caller sees it, to
 * PIDFILE and returns.  What remains reaps orphans and watches POWER, a FIFO that the node finds
 * bound over /proc/sysrq-trigger: 'o' or 'b' written there (what DRBD's sample handlers do, and the
 * lab's `halt`) takes the network link down and ends the node, as a power switch does.  Killing
 * process 1 from outside has the kernel kill everything else in the node.  "-" for POWER: no switch.
 */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static int fail(const char *what)
{
    fprintf(stderr, "lab-init: %s: %s\n", what, strerror(errno));
    return 1;
}

static int setup_run(char **argv)
{
    int status = 0;
    pid_t pid = fork();

    if (pid < 0)
        return fail("fork");
    if (pid == 0) {
        execvp(argv[0], argv);
        fail(argv[0]);
        _exit(127);
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    fprintf(stderr, "lab-init: %s failed\n", argv[0]);
    return 1;
}

/* A machine without power sends no FIN: the link goes before the processes do. */
static void link_down(void)
{
    struct ifreq request;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return;
    memset(&request, 0, sizeof request);
    snprintf(request.ifr_name, sizeof request.ifr_name, "eth0");
    ioctl(fd, SIOCSIFFLAGS, &request); /* ignored: the node may have no link */
    close(fd);
}

static int reap_until_power_off(int power_fd)
{
    sigset_t set;
    struct signalfd_siginfo info;
    char byte;

    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    int signal_fd = signalfd(-1, &set, SFD_CLOEXEC);
    if (signal_fd < 0)
        return fail("signalfd");
    struct pollfd polls[] = {
        {.fd = signal_fd, .events = POLLIN}, {.fd = power_fd, .events = POLLIN}};

    for (;;) {
        while (waitpid(-1, NULL, WNOHANG) > 0)
            ;
        if (poll(polls, 2, -1) < 0 && errno != EINTR)
            return fail("poll");
        if ((polls[0].revents & POLLIN) && read(signal_fd, &info, sizeof info) == sizeof info &&
            info.ssi_signo == SIGTERM)
            break;
        if ((polls[1].revents & POLLIN) && read(power_fd, &byte, 1) == 1 &&
            (byte == 'o' || byte == 'b'))
            break;
    }
    link_down();
    return 0;
}

static int node_main(const char *name, const char *power, char **setup, int ready_fd)
{
    int power_fd = -1;

    setsid();
    if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL))
        return fail("private mounts");
    if (sethostname(name, strlen(name)))
        return fail("host name");
    if (strcmp(power, "-") != 0) {
        power_fd = open(power, O_RDWR | O_CLOEXEC);
        if (power_fd < 0)
            return fail(power);
    }
    if (setup[0] && setup_run(setup))
        return 1;
    if (chdir("/"))
        return fail("/");
    if (write(ready_fd, "", 1) != 1)
        return fail("ready");
    close(ready_fd);
    int null_fd = open("/dev/null", O_RDWR);
    if (null_fd < 0)
        return fail("/dev/null");
    for (int fd = 0; fd < 3; fd++)
        dup2(null_fd, fd);
    if (null_fd > 2)
        close(null_fd);
    return reap_until_power_off(power_fd);
}

int main(int argc, char **argv)
{
    int ready[2];
    char byte;

    if (argc < 4) {
        fprintf(stderr, "usage: lab-init NAME PIDFILE POWER [SETUP [ARG...]]\n");
        return 2;
    }
    /* Opened before the namespaces exist: SETUP takes the old root away from this process as well. */
    FILE *pid_file = fopen(argv[2], "we");
    if (!pid_file)
        return fail(argv[2]);
    if (pipe2(ready, O_CLOEXEC))
        return fail("pipe");
    if (unshare(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWPID))
        return fail("unshare");
    pid_t pid = fork();
    if (pid < 0)
        return fail("fork");
    if (pid == 0) {
        close(ready[0]);
        _exit(node_main(argv[1], argv[3], argv + 4, ready[1]));
    }
    close(ready[1]);
    if (read(ready[0], &byte, 1) != 1) {
        waitpid(pid, NULL, 0);
        return 1;
    }
    fprintf(pid_file, "%d\n", (int)pid);
    return fclose(pid_file) ? fail(argv[2]) : 0;
}
