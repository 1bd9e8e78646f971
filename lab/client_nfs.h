/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLIENT_NFS_H
#define CLIENT_NFS_H
/* libnfs, one operation at a time, with a clock: what it waits for can be given up. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct nfs_context;
struct nfsfh;

struct client_nfs {
    const char *server, *path; /* borrowed for the client's life */
    int version;               /* 3 or 4 */
    /* Called at least every 50 ms while an operation waits; true gives the operation up. */
    bool (*tick)(void *context);
    void *tick_context;

    struct nfs_context *nfs; /* NULL: not mounted */
    struct nfsfh *file;
};

/* Each returns what libnfs does, 0 or more or a negative errno; -ETIMEDOUT when the tick or the
 * deadline gave it up, after which only client_nfs_close() may follow.  deadline_us: on
 * ledger_now_us()'s clock, 0 for none. */
int client_nfs_mount(struct client_nfs *c, uint64_t deadline_us);
int client_nfs_open(struct client_nfs *c, const char *name, int flags);
int client_nfs_write(struct client_nfs *c, uint64_t offset, const void *bytes, size_t length);
int client_nfs_sync(struct client_nfs *c);
int client_nfs_read(struct client_nfs *c, uint64_t offset, void *bytes, size_t length);
const char *client_nfs_error(struct client_nfs *c);
void client_nfs_close(struct client_nfs *c);

/* True when the last operation failed because the server waits for its NFSv4 clients to reclaim what
 * they held: to be tried again. */
bool client_nfs_is_grace(struct client_nfs *c);

/* True for a failure of the connection, not an answer of the server's. */
bool client_nfs_is_transport(int rc);

#endif
