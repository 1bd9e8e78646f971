/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AGENT_H
#define AGENT_H
/* The resources that haven knows without a script: each is started, stopped and looked at by one
 * function, which may block.  havend runs every action in a child process of its own with a time
 * limit, so that a mount that hangs hangs nothing else; the child's standard output is the sentence
 * for the log, its exit code an enum agent_exit.
 *
 * What a resource is comes as words "key=value"; a key may occur several times.  The keys of each kind
 * stand at its function.  Every path of a configuration is below `root`. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hv_error.h"

enum agent_exit {
    AGENT_OK = 0, /* done; monitor: it runs */
    AGENT_ERROR = 1,
    AGENT_USAGE = 2,       /* the words make no sense */
    AGENT_NOT_RUNNING = 7, /* monitor */
    AGENT_CANNOT_TELL = 8, /* monitor: the resource has no way to answer */
};

enum agent_action { AGENT_START, AGENT_STOP, AGENT_MONITOR };

enum { AGENT_WORDS_MAX = 512, AGENT_PATH_BYTES = 4096 };

struct agent_request {
    const char *root; /* "" or the directory that stands for / */
    const char *const *words;
    size_t n_words;
};

/* What the drbd agent asks of a volume; havend's child carries it out over the volume's control
 * socket. */
struct agent_volume {
    bool reachable;          /* its process answers */
    char role[16], disk[16]; /* of the worst volume; DRBD's names */
    char connection[32];
    char peer_role[16];
    bool suspended;
};

struct agent_volume_ops {
    void (*status)(const struct agent_request *r, const char *resource, struct agent_volume *out);
    /* Starts the volume's process and waits until it answers. */
    int (*up)(const struct agent_request *r, const char *resource, struct hv_diag *diag);
    /* verb: "primary", "secondary", "ping-peer" (doc/control.md) */
    int (*call)(const struct agent_request *r, const char *resource, const char *verb,
        struct hv_diag *diag);
};

/* argv: KIND ACTION [key=value…], KIND one of address, drbd, filesystem, nfs, script, tickle, clients.  Writes
 * its sentence to standard output and returns the exit code. */
int agent_main(const char *root, int argc, char **argv, const struct agent_volume_ops *volume_ops);

/* The first value of a key, or "" . */
const char *agent_get(const struct agent_request *r, const char *key);
uint32_t agent_number(const struct agent_request *r, const char *key, uint32_t otherwise);
/* All values of a key, at most `max`; how many. */
size_t agent_all(const struct agent_request *r, const char *key, const char **values, size_t max);

/* ip, prefix (none: as the interface that has the route), device (none: likewise), label (the part
 * after the colon; "auto": the first free number; none: no label), broadcast, dad_ms (how long to
 * listen for another owner; 0: do not ask).
 * start: refuses an address that somebody else answers for (RFC 5227), adds it, tells the neighbours
 * (gratuitous ARP, unsolicited NA) now and, from a process left behind, for three seconds. */
int agent_address(
    const struct agent_request *r, enum agent_action action, struct hv_diag *diag) HV_MUST_CHECK;

/* resource, peer (alive: the cluster hears the other node), peer_wait_ms.
 * start: brings its process up when there is none, has a dead connection found out (a peer that died
 * is noticed within ping-timeout, not ping-int), waits for the connection to a living peer, then asks for the Primary role until it gets it or
 * the time limit ends it. */
int agent_drbd(const struct agent_request *r, enum agent_action action,
    const struct agent_volume_ops *ops, struct hv_diag *diag) HV_MUST_CHECK;

/* device, directory, type (none: look), options (none: defaults), probe=no (monitor without reading
 * and writing).  A journalled file system replays its journal when mounted and is not checked before.
 * stop: ends the processes that hold it, politely first; never detaches lazily. */
int agent_filesystem(
    const struct agent_request *r, enum agent_action action, struct hv_diag *diag) HV_MUST_CHECK;

/* server (auto, kernel, ganesha), name (of the group), state (a directory on the exported file
 * system), scope (service address: the server's identity), bind (address to listen at; none: all),
 * export=DIRECTORY|HOST|key:value,… once for each client of each directory (agent_nfs.h). */
int agent_nfs(
    const struct agent_request *r, enum agent_action action, struct hv_diag *diag) HV_MUST_CHECK;

/* script (name in resource.d or init.d), arg (each), dir (HA_RESOURCEDIR).  heartbeat §11.2. */
int agent_script(
    const struct agent_request *r, enum agent_action action, struct hv_diag *diag) HV_MUST_CHECK;

/* connection=SERVICE,PORT,CLIENT,PORT each, and those in file (none: no file): sends each client a bare TCP ACK from the service address,
 * three times, a second in all.  A client that waits for a reply that was lost answers it, is told that
 * the connection is gone, and makes a new one at once. */
int agent_tickle(const struct agent_request *r, struct hv_diag *diag) HV_MUST_CHECK;
/* file, connection each: writes them there, for a tickle after both nodes have died. */
int agent_clients_save(const struct agent_request *r, struct hv_diag *diag) HV_MUST_CHECK;

#endif
