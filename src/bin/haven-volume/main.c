/* SPDX-License-Identifier: Apache-2.0 */
/* haven-volume: the process behind one resource. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "hv_assert.h"
#include "hv_text.h"
#include "vol.h"

enum { LOOP_ENTRIES = 1024, END_TURNS = 300, PID_TRIES = 40, PID_PAUSE_MS = 50 };

struct options {
    bool foreground;
    const char *resource;
};

static int usage(FILE *to)
{
    fprintf(to, "usage: haven-volume [--root DIR] [-c FILE] [--foreground] RESOURCE\n\n"
                "Serves one mirrored resource; 'haven up RESOURCE' starts it.\n");
    return to == stdout ? CMD_EXIT_OK : CMD_EXIT_USAGE;
}

static bool options_read(struct vol *v, struct options *o, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        bool more = i + 1 < argc;
        if (!strcmp(argv[i], "--root") && more)
            v->ctx.root = argv[++i];
        else if (!strcmp(argv[i], "-c") && more)
            v->ctx.config_file = argv[++i];
        else if (!strcmp(argv[i], "--foreground"))
            o->foreground = true;
        else if (argv[i][0] == '-' || o->resource)
            return false;
        else
            o->resource = argv[i];
    }
    return o->resource != NULL;
}

static void assertion_failed(const char *expr, const char *file, int line)
{
    vol_log(HV_LOG_CRIT, "ASSERTION %s failed at %s:%d", expr, file, line);
}

/* ---------------------------------------------------------------------------------------- the process */

/* The kernel may write to us to free memory: we must not need any for that, nor be the one that is
 * killed for it. */
static void process_harden(void)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

    if (mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT))
        vol_log(HV_LOG_WARN, "mlockall: %s", strerror(errno));
    if (prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0))
        vol_log(HV_LOG_WARN, "PR_SET_IO_FLUSHER: %s", strerror(errno));
    if (fd < 0 || write(fd, "-1000", 5) != 5)
        vol_log(HV_LOG_WARN, "oom_score_adj: %s", strerror(errno));
    if (fd >= 0)
        close(fd);
}

/* The lock on the pid file says that we run; the descriptor is kept for life.  One who is just ending
 * is waited for; his file may be gone from the directory by the time its lock is ours. */
static int pid_file_lock(const struct vol *v, struct hv_diag *diag)
{
    const struct timespec pause = {.tv_nsec = PID_PAUSE_MS * 1000000L};
    char path[VOL_PATH_MAX + 128];
    struct stat ours, theirs;

    snprintf(path, sizeof path, "%s/run/haven/volume-%s.pid", v->root, v->name);
    ctl_make_parents(path);
    hv_diag_set(diag, "%s: haven-volume already runs for this resource", path);
    for (int i = 0; i < PID_TRIES; i++) {
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
        if (fd < 0) {
            hv_diag_set(diag, "%s: %s", path, strerror(errno));
            return HV_EIO;
        }
        if (!flock(fd, LOCK_EX | LOCK_NB) && !fstat(fd, &ours) && !stat(path, &theirs) &&
            ours.st_ino == theirs.st_ino)
            return fd;
        close(fd);
        nanosleep(&pause, NULL);
    }
    return HV_EBUSY;
}

static void pid_file_write(int fd)
{
    if (ftruncate(fd, 0) || dprintf(fd, "%d\n", (int)getpid()) < 0)
        vol_log(HV_LOG_WARN, "pid file: %s", strerror(errno));
}

/* Returns in the child, with the descriptor to write one byte to when ready; the parent waits for it
 * and leaves. */
static int daemonise(void)
{
    int fds[2];
    char byte;

    if (pipe2(fds, O_CLOEXEC))
        return -1;
    pid_t pid = fork();
    if (pid < 0)
        return -1;
    if (pid) {
        close(fds[1]);
        _exit(read(fds[0], &byte, 1) == 1 ? CMD_EXIT_OK : CMD_EXIT_OTHER);
    }
    close(fds[0]);
    setsid();
    /* Not to keep a file system from being unmounted; haven gives absolute paths. */
    if (chdir("/"))
        return -1;
    return fds[1];
}

static void tell_ready(int ready_fd)
{
    const char *path = getenv("NOTIFY_SOCKET");
    int null_fd;

    if (ready_fd >= 0) {
        null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
        for (int fd = 0; null_fd >= 0 && fd < 3; fd++)
            dup2(null_fd, fd);
        vol_log_quiet_stderr();
        if (write(ready_fd, "", 1) != 1)
            vol_log(HV_LOG_WARN, "whoever started us has gone");
        close(ready_fd);
    }
    if (path && *path) {
        struct sockaddr_un addr = {.sun_family = AF_UNIX};
        int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
        if (hv_strcopy(addr.sun_path, sizeof addr.sun_path, path)) {
            if (addr.sun_path[0] == '@')
                addr.sun_path[0] = 0;
            sendto(fd, "READY=1", 7, MSG_NOSIGNAL, (struct sockaddr *)&addr, length);
        }
        close(fd);
    }
}

/* -------------------------------------------------------------------------------- beginning and end */

static void signal_arrived(struct loop_signals *s, int signal)
{
    struct vol *v = hv_container_of(s, struct vol, signals);

    vol_log(HV_LOG_NOTICE, "%s: going down", strsignal(signal));
    /* Refused while somebody holds the device: an I/O path does not vanish under its user. */
    vol_job_start(v, NULL, "down");
}

static int vol_start(struct vol *v, struct hv_diag *diag)
{
    static const int signals[] = {SIGTERM, SIGINT, 0};
    int rv = loop_new(LOOP_ENTRIES, &v->loop, diag);

    if (rv)
        return rv;
    for (uint32_t i = 0; i < v->volumes; i++)
        v->volume[i] = (struct vol_volume){
            .vol = v, .index = (uint16_t)i, .conf = &v->resource->me->volumes[i]};
    const struct net_config net = {.sndbuf_bytes = v->resource->net.sndbuf_size_bytes,
        .rcvbuf_bytes = v->resource->net.rcvbuf_size_bytes};
    rv = net_new(v->loop, &net, &v->net);
    if (!rv)
        rv = vol_engine_start(v, diag);
    if (!rv)
        rv = vol_front_start(v, diag);
    if (!rv)
        rv = vol_ctl_start(v, diag);
    if (rv)
        return rv;
    v->signals.arrived = signal_arrived;
    return loop_signals_start(v->loop, &v->signals, signals);
}

static void vol_end(struct vol *v)
{
    char path[VOL_PATH_MAX + 128];

    if (v->loop) {
        vol_front_end(v);
        vol_link_end(v);
        for (int i = 0; i < END_TURNS && v->net && !net_idle(v->net); i++)
            loop_turn(v->loop, 10);
    }
    for (uint32_t i = 0; i < v->volumes; i++)
        vol_disk_close(&v->volume[i]);
    vol_engine_end(v);
    snprintf(path, sizeof path, "%s/run/haven/volume-%s.pid", v->root, v->name);
    unlink(path);
    /* Last: whoever asked us to end waits for this connection to close. */
    if (v->ctl) {
        ctl_server_free(v->ctl);
        loop_turn(v->loop, 0);
        loop_turn(v->loop, 0);
    }
}

int main(int argc, char **argv)
{
    static struct vol vol;
    static char node[256];
    struct vol *v = &vol;
    struct options o = {0};
    struct hv_diag diag = {""};
    const char *root = getenv("HAVEN_ROOT"), *pretended = getenv("__DRBD_NODE__");
    int ready_fd = -1;

    gethostname(node, sizeof node - 1);
    v->ctx = (struct cmd_context){.root = root ? root : "",
        .program = "haven-volume",
        .node = pretended && *pretended ? pretended : node};
    if (argc == 2 && !strcmp(argv[1], "--help"))
        return usage(stdout);
    if (!options_read(v, &o, argc, argv))
        return usage(stderr);
    v->name = o.resource;
    if (!hv_strcopy(v->root, sizeof v->root, v->ctx.root) || strlen(v->name) >= REPL_NAME_MAX) {
        fprintf(stderr, "haven-volume: name too long\n");
        return CMD_EXIT_USAGE;
    }
    hv_list_init(&v->free_ios);
    hv_list_init(&v->handlers);
    hv_list_init(&v->jobs);
    if (vol_config_load(v, &v->conf, &v->resource, &diag) ||
        vol_config_addresses(v->resource, &v->local, &v->peer, &diag)) {
        fprintf(stderr, "haven-volume: %s\n", diag.text);
        return CMD_EXIT_CONFIG;
    }
    v->volumes = (uint32_t)v->resource->me->n_volumes;
    if (!o.foreground && (ready_fd = daemonise()) < 0) {
        fprintf(stderr, "haven-volume: cannot fork: %s\n", strerror(errno));
        return CMD_EXIT_OTHER;
    }
    int pid_fd = pid_file_lock(v, &diag);
    if (pid_fd < 0) {
        fprintf(stderr, "haven-volume: %s\n", diag.text);
        return CMD_EXIT_OTHER;
    }
    pid_file_write(pid_fd);
    if (vol_log_open(v->root, v->name, o.foreground))
        fprintf(stderr, "haven-volume: cannot write the log file\n");
    hv_assert_set_hook(assertion_failed);
    process_harden();
    if (vol_start(v, &diag)) {
        fprintf(stderr, "haven-volume: %s: %s\n", v->name, diag.text);
        vol_log(HV_LOG_ERROR, "%s", diag.text);
        vol_end(v);
        return CMD_EXIT_OTHER;
    }
    vol_log(HV_LOG_INFO, "haven-volume %s serves %s, process %d", HAVEN_VERSION, v->name,
        (int)getpid());
    tell_ready(ready_fd);
    int code = loop_run(v->loop);
    vol_end(v);
    vol_log(HV_LOG_INFO, "ended");
    return code;
}
