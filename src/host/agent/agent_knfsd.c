/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's nfsd, driven by the programs of nfs-utils.  Others on this machine may export other
 * directories through it: only our own exports come and go, and it stays when they still have some. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent_nfs.h"
#include "agent_util.h"

enum { NFS_PROGRAM = 100003, MOUNT_PROGRAM = 100005, OUTPUT_BYTES = 1024 };

static const char control[] = "/proc/fs/nfsd";

bool agent_knfsd_available(void)
{
    char text[8192], out[OUTPUT_BYTES];
    char *modprobe[] = {(char *)"modprobe", (char *)"-q", (char *)"nfsd", NULL};

    for (int tries = 0; tries < 2; tries++) {
        if (agent_read_file("/proc/filesystems", text, sizeof text) > 0 && strstr(text, "\tnfsd\n"))
            return !access("/usr/sbin/rpc.nfsd", X_OK) && !access("/usr/sbin/exportfs", X_OK);
        if (!tries && !access("/sbin/modprobe", X_OK))
            agent_run_program("/sbin/modprobe", modprobe, out, sizeof out);
    }
    return false;
}

static int run(const char *path, char *const argv[], struct hv_diag *diag)
{
    char out[OUTPUT_BYTES];
    int rc = agent_run_program(path, argv, out, sizeof out);

    if (!rc)
        return AGENT_OK;
    out[strcspn(out, "\n")] = 0;
    hv_diag_set(diag, "%s ended with %d: %.300s", path, rc, out);
    return AGENT_ERROR;
}

static void add_options(const struct agent_export *e, size_t number, struct hv_text *o)
{
    static const char *const squash[] = {"root_squash", "no_root_squash", "all_squash"};

    hv_text_addf(o, "%s,%s,%s,%s,%s,%s%s", e->read_write ? "rw" : "ro", e->async ? "async" : "sync",
        e->insecure ? "insecure" : "secure", squash[e->squash],
        e->subtree_check ? "subtree_check" : "no_subtree_check",
        e->no_wdelay ? "no_wdelay" : "wdelay", e->crossmnt ? ",crossmnt" : "");
    hv_text_addf(o, ",anonuid=%u,anongid=%u", e->anon_uid, e->anon_gid);
    if (e->sec[0])
        hv_text_addf(o, ",sec=%s", e->sec);
    /* Without it the handle has the device's number, which differs between the nodes. */
    if (e->fsid[0])
        hv_text_addf(o, ",fsid=%s", e->fsid);
    else
        hv_text_addf(o, ",fsid=%zu", number + 1);
}

static size_t directory_number(const struct agent_nfs_config *c, size_t i)
{
    size_t k = 0;

    while (strcmp(c->exports[k].directory, c->exports[i].directory))
        k++;
    return k;
}

static int export_all(const struct agent_nfs_config *c, bool on, struct hv_diag *diag)
{
    int result = AGENT_OK;

    for (size_t i = 0; i < c->n_exports; i++) {
        const struct agent_export *e = &c->exports[i];
        struct hv_text options = {0};
        char target[sizeof e->host + sizeof e->directory + 2];
        add_options(e, directory_number(c, i), &options);
        snprintf(target, sizeof target, "%s:%s", e->host, e->directory);
        char *on_argv[] = {(char *)"exportfs", (char *)"-i", (char *)"-o", options.s, target, NULL};
        char *off_argv[] = {(char *)"exportfs", (char *)"-u", target, NULL};
        if (run("/usr/sbin/exportfs", on ? on_argv : off_argv, diag) && on)
            result = AGENT_ERROR;
        hv_text_free(&options);
    }
    return result;
}

static void set(const char *file, const char *value)
{
    char path[64];

    snprintf(path, sizeof path, "%s/%s", control, file);
    FILE *f = fopen(path, "we");
    if (!f)
        return;
    fputs(value, f);
    fclose(f);
}

static int threads(void)
{
    char text[32];
    int n = 0;

    if (agent_read_file("/proc/fs/nfsd/threads", text, sizeof text) > 0)
        sscanf(text, "%d", &n);
    return n;
}

int agent_knfsd_start(const struct agent_nfs_config *c, struct hv_diag *diag)
{
    char *nfsd[] = {(char *)"rpc.nfsd", (char *)"8", NULL};
    char *mountd[] = {(char *)"rpc.mountd", NULL};
    char path[AGENT_PATH_BYTES], flush[] = "/usr/sbin/exportfs";
    char *flush_argv[] = {(char *)"exportfs", (char *)"-f", NULL};
    struct stat st;

    (void)agent_rpcbind_ensure(c, diag);
    if (stat("/proc/fs/nfsd/threads", &st) && mount("nfsd", control, "nfsd", 0, NULL)) {
        hv_diag_set(diag, "cannot mount nfsd on %s: %s", control, strerror(errno));
        return AGENT_ERROR;
    }
    if (export_all(c, true, diag))
        return AGENT_ERROR;
    if (!threads()) {
        snprintf(path, sizeof path, "%.4000s/nfsd", c->state);
        (void)agent_make_directory(path);
        set("nfsv4recoverydir", path);
        set("nfsv4gracetime", "10\n"); /* the least it takes */
        set("nfsv4leasetime", "10\n");
        if (run("/usr/sbin/rpc.nfsd", nfsd, diag))
            return AGENT_ERROR;
    }
    if (agent_rpc_null("127.0.0.1", MOUNTD_PORT, MOUNT_PROGRAM, 3, 200) &&
        agent_run_program("/bin/pidof", (char *[]){(char *)"pidof", (char *)"rpc.mountd", NULL},
            path, sizeof path) &&
        run("/usr/sbin/rpc.mountd", mountd, diag))
        return AGENT_ERROR;
    (void)run(flush, flush_argv, diag);
    diag->text[0] = 0;
    return agent_knfsd_monitor(c, diag);
}

int agent_knfsd_stop(const struct agent_nfs_config *c, struct hv_diag *diag)
{
    char *flush[] = {(char *)"exportfs", (char *)"-f", NULL};
    char *nfsd[] = {(char *)"rpc.nfsd", (char *)"0", NULL};
    struct hv_diag ignored;
    char left[512];

    (void)export_all(c, false, &ignored);
    (void)run("/usr/sbin/exportfs", flush, &ignored);
    if (threads() && agent_read_file("/proc/fs/nfsd/exports", left, sizeof left) >= 0 &&
        !strchr(left, '/'))
        return run("/usr/sbin/rpc.nfsd", nfsd, diag);
    return AGENT_OK;
}

int agent_knfsd_monitor(const struct agent_nfs_config *c, struct hv_diag *diag)
{
    char text[8192];

    if (!threads())
        return AGENT_NOT_RUNNING;
    if (c->n_exports && agent_read_file("/var/lib/nfs/etab", text, sizeof text) > 0 &&
        !strstr(text, c->exports[0].directory))
        return AGENT_NOT_RUNNING;
    int rc = agent_rpc_null("127.0.0.1", NFS_PORT, NFS_PROGRAM, 3, INT32_MAX);
    if (!rc)
        return AGENT_OK;
    hv_diag_set(diag, "nfsd runs and does not answer: %s",
        rc == HV_ENOENT ? "connection refused" : hv_strerror(rc));
    return AGENT_ERROR;
}
