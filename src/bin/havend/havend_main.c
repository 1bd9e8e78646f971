/* SPDX-License-Identifier: Apache-2.0 */
/* havend [--root DIR] [-c FILE] [--foreground] */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "conf_load.h"
#include "havend.h"

enum { RING_ENTRIES = 256, EXIT_CONFIG = 6 /* as heartbeat's */ };

struct options {
    struct cmd_context ctx;
    bool foreground;
    int agent_at; /* index of what follows --agent; 0: none */
};

static const char *node_name(void)
{
    static char name[256];
    const char *pretended = getenv("__DRBD_NODE__");

    if (pretended && *pretended)
        return pretended;
    if (gethostname(name, sizeof name - 1))
        return "localhost";
    for (char *p = name; *p; p++)
        if (*p >= 'A' && *p <= 'Z')
            *p = (char)(*p - 'A' + 'a');
    return name;
}

static bool parse_options(int argc, char **argv, struct options *o)
{
    const char *root = getenv("HAVEN_ROOT");

    *o = (struct options){
        .ctx = {.root = root ? root : "", .program = "havend", .node = node_name()}};
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--agent")) {
            o->agent_at = i + 1;
            return true;
        }
        if (!strcmp(argv[i], "--root") && i + 1 < argc)
            o->ctx.root = argv[++i];
        else if ((!strcmp(argv[i], "-c") || !strcmp(argv[i], "--config-file")) && i + 1 < argc)
            o->ctx.config_file = argv[++i];
        else if (!strcmp(argv[i], "--foreground") || !strcmp(argv[i], "-f"))
            o->foreground = true;
        else if (!strcmp(argv[i], "--version")) {
            printf("havend %s\n", HAVEN_VERSION);
            exit(0);
        } else {
            fprintf(stderr, "usage: havend [--root DIR] [-c FILE] [--foreground]\n");
            return false;
        }
    }
    return true;
}

/* The parent stays until the child runs or has said why not, so that `havend && …` means something. */
static int become_daemon(void)
{
    int report[2];
    char byte;

    if (pipe2(report, O_CLOEXEC))
        return -1;
    pid_t pid = fork();
    if (pid < 0)
        return -1;
    if (pid) {
        close(report[1]);
        _exit(read(report[0], &byte, 1) == 1 ? 0 : EXIT_CONFIG);
    }
    close(report[0]);
    setsid();
    return report[1];
}

static void detach(int report)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    (void)!write(report, "x", 1);
    close(report);
    if (null < 0)
        return;
    for (int fd = 0; fd < 3; fd++)
        dup2(null, fd);
    close(null);
}

/* The heartbeat must go out also when the machine is short of memory or time; where we are not allowed
 * to ask for that, it goes out when it can. */
static void claim_resources(struct havend *h)
{
    const struct conf_cluster *c = h->conf->cluster;
    struct sched_param param = {.sched_priority = c->rtprio > 0 ? c->rtprio : 1};
    struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};

    (void)setrlimit(RLIMIT_MEMLOCK, &unlimited);
    if (mlockall(MCL_CURRENT | MCL_FUTURE))
        hv_log(&h->log, HV_LOG_WARN, "cannot lock the memory: %s", strerror(errno));
    if (c->realtime && sched_setscheduler(0, SCHED_RR | SCHED_RESET_ON_FORK, &param))
        hv_log(&h->log, HV_LOG_INFO, "no realtime priority: %s", strerror(errno));
    FILE *f = fopen("/proc/self/oom_score_adj", "we");
    if (f) {
        fputs("-1000", f);
        (void)fclose(f);
    }
}

struct havend_process {
    struct havend h;
    struct loop_signals signals;
};

static void asked_to_end(struct loop_signals *s, int signal)
{
    struct havend_process *p = hv_container_of(s, struct havend_process, signals);

    hv_log(&p->h.log, HV_LOG_INFO, "Heartbeat shutdown in progress. (%d) signal %d", (int)getpid(),
        signal);
    havend_shutdown(&p->h);
}

static int open_all(struct havend *h, bool foreground, struct hv_diag *diag)
{
    int rc = loop_new(RING_ENTRIES, &h->loop, diag);

    if (!rc)
        rc = havend_log_open(h, foreground, diag);
    if (!rc)
        rc = havend_media_open(h, diag);
    if (!rc)
        rc = havend_pings_open(h, diag);
    if (!rc)
        rc = havend_service_open(h, diag);
    if (!rc)
        rc = havend_ctl_open(h, diag);
    if (!rc)
        rc = havend_cluster_open(h, diag);
    if (!rc)
        rc = havend_volumes_open(h, diag);
    if (!rc)
        rc = havend_tcp_open(h, diag);
    return rc;
}

static void close_all(struct havend *h)
{
    if (!h->loop)
        return;
    havend_tcp_close(h);
    havend_service_close(h);
    havend_volumes_close(h);
    havend_media_close(h);
    havend_pings_close(h);
    havend_ctl_close(h);
    havend_cluster_close(h);
    havend_log_close(h);
    loop_free(h->loop);
}

static int run(struct options *o, struct conf *conf)
{
    static const int signals[] = {SIGTERM, SIGINT, 0};
    struct havend_process *p = calloc(1, sizeof *p);
    struct hv_diag diag = {"out of memory"};
    int report = -1, code = EXIT_CONFIG;

    if (!p || (!o->foreground && (report = become_daemon()) < 0)) {
        perror("havend");
        return 1;
    }
    struct havend *h = &p->h;
    h->root = o->ctx.root;
    h->node = o->ctx.node;
    h->config_file = o->ctx.config_file;
    h->conf = conf;
    (void)signal(SIGPIPE, SIG_IGN);
    int rc = havend_pid_file_take(h, &diag);
    if (rc) {
        fprintf(stderr, "havend: %s\n", diag.text);
        code = rc == HV_EBUSY ? 0 : 1;
        if (!code && report >= 0)
            (void)!write(report, "x", 1);
        goto out;
    }
    p->signals.arrived = asked_to_end;
    rc = open_all(h, o->foreground, &diag);
    if (!rc)
        rc = loop_signals_start(h->loop, &p->signals, signals);
    if (rc) {
        fprintf(stderr, "havend: %s\n", diag.text);
        hv_log(&h->log, HV_LOG_ERROR, "%s", diag.text);
    } else {
        claim_resources(h);
        if (report >= 0)
            detach(report);
        havend_service_tell(h, (struct service_event){.kind = SERVICE_EV_BEGIN});
        code = loop_run(h->loop);
        loop_signals_stop(&p->signals);
        hv_log(&h->log, HV_LOG_INFO, "%s Heartbeat shutdown complete.", h->node);
    }
    close_all(h);
    havend_pid_file_drop(h);
out:
    free(p);
    return code;
}

int main(int argc, char **argv)
{
    struct options o;
    struct conf *conf;

    if (!parse_options(argc, argv, &o))
        return 1;
    if (o.agent_at)
        return havend_agent_main(
            o.ctx.root, o.ctx.config_file, argc - o.agent_at, argv + o.agent_at);
    if (conf_load_or_complain(&o.ctx, true, &conf)) {
        fprintf(stderr, "Configuration error, heartbeat not started.\n");
        return EXIT_CONFIG;
    }
    if (!conf->cluster) {
        fprintf(stderr, "havend: no cluster is configured: write cluster { } in haven.conf, or "
                        "/etc/ha.d/ha.cf\n");
        conf_free(conf);
        return EXIT_CONFIG;
    }
    int code = run(&o, conf);
    conf_free(conf);
    return code;
}
