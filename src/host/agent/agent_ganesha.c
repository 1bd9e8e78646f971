/* SPDX-License-Identifier: Apache-2.0 */
/* NFS-Ganesha: a generated configuration, a server started without waiting for anything but its first
 * answer, and killed without waiting for anything at all: what clients hold stands on the replicated
 * file system (RecoveryRoot), where the next server, here or on the other node, finds it. */
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent_nfs.h"
#include "agent_util.h"
#include "hv_crc32c.h"

enum { START_MS = 30000, NFS_PROGRAM = 100003 };

/* ---- the configuration ---------------------------------------------------------------------- */

/* Part of every file handle: the same on both nodes, whatever stands before it in the file.  A number
 * given as fsid= is taken as it is. */
static uint32_t export_id(const struct agent_nfs_config *c, size_t i)
{
    const struct agent_export *e = &c->exports[i];
    char *end;
    unsigned long given = strtoul(e->fsid, &end, 10);

    if (e->fsid[0] && !*end && given > 0 && given < 65536)
        return (uint32_t)given;
    uint32_t id =
        hv_crc32c(0, e->directory + strlen(c->root), strlen(e->directory + strlen(c->root)));
    id = id % 65000 + 500;
    for (size_t k = 0; k < i; k++) /* two directories with one number: the later goes up */
        if (strcmp(c->exports[k].directory, e->directory) && export_id(c, k) == id) {
            id++;
            k = (size_t)-1;
        }
    return id;
}

/* exports(5) also takes net/mask. */
static void add_host(struct hv_text *out, const char *host)
{
    const char *slash = strchr(host, '/');
    struct in_addr mask;

    if (slash && strchr(slash, '.') && inet_pton(AF_INET, slash + 1, &mask) == 1)
        hv_text_addf(out, "%.*s/%d", (int)(slash - host), host, __builtin_popcount(mask.s_addr));
    else
        hv_text_add(out, host);
}

static void add_sec(struct hv_text *out, const char *sec)
{
    hv_text_add(out, "\t\tSecType = ");
    if (!*sec)
        sec = "sys";
    for (; *sec; sec++)
        hv_text_addf(out, *sec == ':' ? ", " : "%c", *sec);
    hv_text_add(out, ";\n");
}

static void add_client(struct hv_text *out, const struct agent_export *e)
{
    static const char *const squash[] = {"Root_Squash", "No_Root_Squash", "All_Squash"};

    hv_text_add(out, "\tCLIENT {\n\t\tClients = ");
    add_host(out, e->host);
    hv_text_addf(out, ";\n\t\tAccess_Type = %s;\n\t\tSquash = %s;\n", e->read_write ? "RW" : "RO",
        squash[e->squash]);
    hv_text_addf(
        out, "\t\tAnonymous_Uid = %u;\n\t\tAnonymous_Gid = %u;\n", e->anon_uid, e->anon_gid);
    hv_text_addf(out, "\t\tPrivilegedPort = %s;\n", e->insecure ? "false" : "true");
    add_sec(out, e->sec);
    hv_text_add(out, "\t}\n");
}

static bool first_of_its_directory(const struct agent_nfs_config *c, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (!strcmp(c->exports[k].directory, c->exports[i].directory))
            return false;
    return true;
}

static void add_export(struct hv_text *out, const struct agent_nfs_config *c, size_t first)
{
    const struct agent_export *e = &c->exports[first];
    uint32_t id = export_id(c, first);

    hv_text_addf(out, "EXPORT {\n\tExport_Id = %u;\n\tPath = \"%s\";\n\tPseudo = \"%s\";\n", id,
        e->directory, e->directory + strlen(c->root));
    hv_text_addf(
        out, "\tFilesystem_Id = %u.%u;\n\tTransports = TCP;\n\tAccess_Type = None;\n", id, id);
    for (size_t k = first; k < c->n_exports; k++)
        if (!strcmp(c->exports[k].directory, e->directory))
            add_client(out, &c->exports[k]);
    hv_text_add(out, "\tFSAL { Name = VFS; }\n}\n");
}

void agent_ganesha_config(const struct agent_nfs_config *c, bool v3, struct hv_text *out)
{
    hv_text_add(out, "# Written by haven each time it starts the server.\n");
    hv_text_addf(out,
        "NFS_CORE_PARAM {\n\tProtocols = %s;\n\tNFS_Port = %d;\n\tMNT_Port = %d;\n"
        "\tBind_addr = %s;\n\tmount_path_pseudo = true;\n\tEnable_NLM = false;\n"
        "\tEnable_RQUOTA = false;\n\tEnable_UDP = %s;\n\tNSM_Use_Caller_Name = true;\n}\n",
        v3 ? "3, 4" : "4", NFS_PORT, MOUNTD_PORT, *c->bind ? c->bind : "0.0.0.0",
        v3 ? "Mount" : "false");
    /* Without lock manager clients there is nobody to wait for but those on record: grace ends when
     * they are back, or after these few seconds. */
    hv_text_addf(out,
        "NFSv4 {\n\tGrace_Period = 5;\n\tLease_Lifetime = 5;\n\tMinor_Versions = 0, 1, 2;\n"
        "\tRecoveryBackend = fs;\n\tRecoveryRoot = \"%s/ganesha\";\n"
        "\tOnly_Numeric_Owners = true;\n",
        c->state);
    /* A client of version 4.1 takes a server with another scope or owner for another server, and
     * reclaims nothing from it. */
    if (*c->scope)
        hv_text_addf(
            out, "\tServer_Scope = \"%s\";\n\tServer_Owner = \"%s\";\n", c->scope, c->scope);
    hv_text_add(out, "}\nEXPORT_DEFAULTS { Access_Type = None; }\n");
    for (size_t i = 0; i < c->n_exports; i++)
        if (first_of_its_directory(c, i))
            add_export(out, c, i);
    hv_text_add(out, "LOG { Default_Log_Level = EVENT; }\n");
}

/* ---- the process ---------------------------------------------------------------------------- */

struct files {
    char config[AGENT_PATH_BYTES], pid[AGENT_PATH_BYTES], log[AGENT_PATH_BYTES];
    char command[AGENT_PATH_BYTES], recovery[AGENT_PATH_BYTES];
};

static void name_files(const struct agent_nfs_config *c, struct files *f)
{
    snprintf(f->config, sizeof f->config, "%.4000s/ganesha.conf", c->directory);
    snprintf(f->pid, sizeof f->pid, "%.4000s/ganesha.pid", c->directory);
    snprintf(f->command, sizeof f->command, "%.4000s/command", c->directory);
    snprintf(f->log, sizeof f->log, "%.3000s/var/log/haven/ganesha%.256s.log", c->root,
        strrchr(c->directory, '/'));
    for (char *p = f->log + strlen(c->root) + sizeof "/var/log/haven/" - 1; *p; p++)
        if (*p == '/')
            *p = '-';
    snprintf(f->recovery, sizeof f->recovery, "%.4000s/ganesha", c->state);
}

/* The process of the file, unless its number was given to another program since. */
static pid_t server_pid(const struct files *f)
{
    char path[64], name[64];
    pid_t pid = agent_pid_of_file(f->pid);

    if (!pid)
        return 0;
    snprintf(path, sizeof path, "/proc/%d/comm", (int)pid);
    return agent_read_file(path, name, sizeof name) > 0 && !strncmp(name, "ganesha", 7) ? pid : 0;
}

static bool is_zombie(pid_t pid)
{
    char path[64], text[512];

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    if (agent_read_file(path, text, sizeof text) <= 0)
        return true;
    char *after = strrchr(text, ')');
    return after && (after[2] == 'Z' || after[2] == 'X');
}

static const char *listens_at(const struct agent_nfs_config *c)
{
    return *c->bind ? c->bind : "127.0.0.1";
}

/* The last line of the log that says why. */
static void say_why(const struct files *f, struct hv_diag *diag)
{
    static char text[16384];
    char *at = text;
    ssize_t n = agent_read_file(f->log, text, sizeof text);

    hv_diag_set(diag, "the NFS server ended while it started; see %s", f->log);
    for (char *line = n > 0 ? strtok_r(text, "\n", &at) : NULL; line;
         line = strtok_r(NULL, "\n", &at))
        if (strstr(line, ":CRIT :") || strstr(line, ":FATAL :"))
            hv_diag_set(diag, "the NFS server ended while it started: %.300s (see %.100s)",
                strstr(line, "] ") ? strstr(line, "] ") + 2 : line, f->log);
}

static int write_files(
    const struct agent_nfs_config *c, const struct files *f, bool v3, struct hv_diag *diag)
{
    struct hv_text text = {0};
    char directory[AGENT_PATH_BYTES];
    int rc;

    snprintf(directory, sizeof directory, "%.4000s/var/log/haven", c->root);
    rc = agent_make_directory(directory);
    if (!rc)
        rc = agent_make_directory(f->recovery);
    agent_ganesha_config(c, v3, &text);
    if (!rc && !text.failed)
        rc = agent_write_file(f->config, hv_text_str(&text));
    hv_text_free(&text);
    hv_text_addf(&text, "ganesha.nfsd -F -f '%s' -L '%s' -p '%s'\n", f->config, f->log, f->pid);
    if (!rc)
        rc = agent_write_file(f->command, hv_text_str(&text));
    hv_text_free(&text);
    if (rc)
        hv_diag_set(diag, "cannot write the NFS server's files: %s", strerror(-rc));
    return rc ? AGENT_ERROR : AGENT_OK;
}

static int wait_until_ready(const struct agent_nfs_config *c, const struct files *f, bool v3,
    pid_t pid, struct hv_diag *diag)
{
    uint64_t end_ms = agent_clock_ms() + START_MS;

    while (agent_rpc_null(listens_at(c), NFS_PORT, NFS_PROGRAM, v3 ? 3 : 4, 1000)) {
        if (waitpid(pid, NULL, WNOHANG) == pid || is_zombie(pid)) {
            say_why(f, diag);
            return AGENT_ERROR;
        }
        if (agent_clock_ms() >= end_ms) {
            hv_diag_set(diag, "the NFS server runs and does not answer; see %s", f->log);
            return AGENT_ERROR;
        }
        agent_sleep_ms(2);
    }
    return AGENT_OK;
}

int agent_ganesha_start(const struct agent_nfs_config *c, struct hv_diag *diag)
{
    struct files f;
    char text[32];

    name_files(c, &f);
    if (server_pid(&f) && agent_ganesha_monitor(c, diag) == AGENT_OK)
        return AGENT_OK;
    (void)agent_ganesha_stop(c, diag);
    bool v3 = !agent_rpcbind_ensure(c, diag);
    if (!v3) /* version 4 needs none: better half a service than none, and the log says which half */
        printf("only NFS version 4: %s\n", diag->text);
    diag->text[0] = 0;
    if (write_files(c, &f, v3, diag))
        return AGENT_ERROR;
    (void)unlink(f.log);
    char *argv[] = {(char *)"ganesha.nfsd", (char *)"-F", (char *)"-f", f.config, (char *)"-L",
        f.log, (char *)"-p", f.pid, NULL};
    pid_t pid = agent_spawn_daemon(argv);
    if (pid < 0) {
        hv_diag_set(diag, "ganesha.nfsd cannot be started: %s%s", strerror(-pid),
            pid == -ENOENT ? " (install the packages nfs-ganesha and nfs-ganesha-vfs)" : "");
        return AGENT_ERROR;
    }
    snprintf(text, sizeof text, "%d\n", (int)pid);
    (void)agent_write_file(f.pid, text); /* Ganesha writes the same, a little later */
    int rc = wait_until_ready(c, &f, v3, pid, diag);
    if (rc) {
        kill(pid, SIGKILL);
        (void)unlink(f.pid);
    }
    return rc;
}

int agent_ganesha_stop(const struct agent_nfs_config *c, struct hv_diag *diag)
{
    struct files f;

    (void)diag;
    name_files(c, &f);
    pid_t pid = server_pid(&f);
    if (pid && !is_zombie(pid))
        agent_kill_and_wait(pid);
    (void)unlink(f.pid);
    return AGENT_OK;
}

int agent_ganesha_monitor(const struct agent_nfs_config *c, struct hv_diag *diag)
{
    struct files f;
    bool v3 = true;

    name_files(c, &f);
    pid_t pid = server_pid(&f);
    if (!pid || is_zombie(pid))
        return AGENT_NOT_RUNNING;
    char config[512];
    if (agent_read_file(f.config, config, sizeof config) > 0)
        v3 = strstr(config, "Protocols = 3");
    /* No time limit of its own: that of the action says how long a server may take to answer. */
    int rc = agent_rpc_null(listens_at(c), NFS_PORT, NFS_PROGRAM, v3 ? 3 : 4, INT32_MAX);
    if (!rc)
        return AGENT_OK;
    hv_diag_set(diag, "the NFS server (process %d) runs and does not answer: %s", (int)pid,
        rc == HV_ENOENT ? "connection refused" : hv_strerror(rc));
    return AGENT_ERROR;
}
