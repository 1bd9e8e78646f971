/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AGENT_NFS_H
#define AGENT_NFS_H
/* The NFS server, in two forms: the kernel's nfsd where the kernel has it, NFS-Ganesha otherwise. */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent.h"
#include "hv_text.h"

enum { AGENT_EXPORTS_MAX = 256, NFS_PORT = 2049, MOUNTD_PORT = 20048, RPCBIND_PORT = 111 };

/* One client of one directory: the words
 *   DIRECTORY|HOST|rw:1,sync:1,insecure:0,squash:none,uid:65534,gid:65534,fsid:0,sec:sys,hide:1,…
 * squash is root, none or all.  What is absent has exports(5)'s default. */
struct agent_export {
    char directory[1024], host[256];
    bool read_write, async, insecure, subtree_check, no_wdelay, crossmnt;
    enum { AGENT_SQUASH_ROOT, AGENT_SQUASH_NONE, AGENT_SQUASH_ALL } squash;
    uint32_t anon_uid, anon_gid;
    char fsid[64], sec[64];
};

struct agent_nfs_config {
    const char *name;  /* of the group */
    const char *state; /* directory on the exported file system, below root already */
    const char *scope; /* the service address, or "" */
    const char *bind;  /* address to listen at, or "": every one */
    char directory[AGENT_PATH_BYTES]; /* <root>/run/haven/nfs/<name> */
    const char *root;
    size_t n_exports;
    struct agent_export exports[AGENT_EXPORTS_MAX];
};

bool agent_export_parse(const char *word, struct agent_export *out);

/* A NULL call over TCP.  HV_OK; HV_ENOENT: refused, nobody listens; HV_ETIMEDOUT; HV_EIO. */
int agent_rpc_null(
    const char *address, uint16_t port, uint32_t program, uint32_t version, uint32_t timeout_ms);

/* Starts rpcbind unless one answers.  HV_ENOENT: no such program. */
int agent_rpcbind_ensure(const struct agent_nfs_config *c, struct hv_diag *diag);

/* ganesha.conf as text: the same for the same words on both nodes, so that file handles stay valid. */
void agent_ganesha_config(const struct agent_nfs_config *c, bool v3, struct hv_text *out);
int agent_ganesha_start(const struct agent_nfs_config *c, struct hv_diag *diag);
int agent_ganesha_stop(const struct agent_nfs_config *c, struct hv_diag *diag);
int agent_ganesha_monitor(const struct agent_nfs_config *c, struct hv_diag *diag);

bool agent_knfsd_available(void);
int agent_knfsd_start(const struct agent_nfs_config *c, struct hv_diag *diag);
int agent_knfsd_stop(const struct agent_nfs_config *c, struct hv_diag *diag);
int agent_knfsd_monitor(const struct agent_nfs_config *c, struct hv_diag *diag);

#endif
