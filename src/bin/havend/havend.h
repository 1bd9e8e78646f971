/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HAVEND_H
#define HAVEND_H
/* havend: the daemon of a node.  Two engines decide (cluster: who may hold which group; service: how a
 * group is started, stopped and kept up); the files here do what they want and tell them what happened.
 *
 *   havend_cluster.c   cluster engine <-> media, ping nodes, service engine, volumes
 *   havend_service.c   service engine <-> agents, each action a child process
 *   havend_media.c     heartbeats over UDP        havend_ping.c    ICMP to the ping nodes
 *   havend_volume.c    the volumes' processes     havend_tcp.c     the clients' connections
 *   havend_ctl.c       the control socket         havend_status.c  what it shows
 *   havend_log.c       Heartbeat's log format     havend_state.c   generation, uuid, pid file
 *
 * One thread, one loop; nothing here waits for a disk or another process. */
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "cluster.h"
#include "conf.h"
#include "ctl.h"
#include "hv_text.h"
#include "loop.h"
#include "service.h"

enum { HAVEND_EVENTS_MAX = 256, HAVEND_PATH_BYTES = 4096 };

struct havend_media;
struct havend_pings;
struct havend_actions;
struct havend_volumes;
struct havend_tcp;
struct havend_ctl;
struct havend_logs;

struct havend {
    const char *root, *node;
    const char *config_file; /* -c, or NULL */
    struct loop *loop;
    struct conf *conf;
    struct hv_log log;
    struct havend_logs *logs;

    struct hb_keys keys;
    struct cluster *cluster;
    struct cluster_effects *cluster_fx;
    struct cluster_event *cluster_queue; /* what happened while effects are being carried out */
    size_t cluster_queued;
    bool cluster_busy;
    struct loop_timer cluster_timer;

    struct service *service;
    struct service_effects *service_fx;
    struct loop_timer service_timer;
    struct service_event service_queue[HAVEND_EVENTS_MAX];
    size_t service_queued;
    bool service_busy;

    struct havend_media *media;
    struct havend_pings *pings;
    struct havend_actions *actions;
    struct havend_volumes *volumes;
    struct havend_tcp *tcp;
    struct havend_ctl *ctl;

    bool shutting_down;
    struct loop_timer shutdown_timer;
};

/* ---- log ---- */
/* foreground: to standard error too. */
int havend_log_open(struct havend *h, bool foreground, struct hv_diag *diag) HV_MUST_CHECK;
void havend_log_close(struct havend *h); /* writes what is left */

/* ---- state on disk, below <root>/var/lib/heartbeat (heartbeat §2) ---- */
int havend_state_generation(struct havend *h, uint64_t *generation, struct hv_diag *diag);
int havend_state_uuid(struct havend *h, uint8_t uuid[HB_UUID_BYTES], struct hv_diag *diag);
/* HV_EBUSY: another havend runs with this root.  Held until the process ends. */
int havend_pid_file_take(struct havend *h, struct hv_diag *diag);
void havend_pid_file_drop(struct havend *h);

/* ---- cluster ---- */
int havend_cluster_open(struct havend *h, struct hv_diag *diag) HV_MUST_CHECK;
void havend_cluster_close(struct havend *h);
/* Tells the engine, and carries out what it wants.  From within that, the event waits its turn and the
 * result is 0.  Borrowed pointers in the event must then live on: none of those who call it so have any. */
int havend_cluster_tell(struct havend *h, struct cluster_event ev);
void havend_shutdown(struct havend *h);
/* The other node's heartbeats arrive. */
bool havend_peer_alive(const struct havend *h);

/* ---- service ---- */
int havend_service_open(struct havend *h, struct hv_diag *diag) HV_MUST_CHECK;
void havend_service_close(struct havend *h);
void havend_service_tell(struct havend *h, struct service_event ev);
void havend_service_release(struct havend *h, size_t group);
/* The service engine's groups and the configuration's are the same, in the same order; items are not:
 * the exports of a group belong to its NFS server. */
const struct conf_item *havend_item(const struct havend *h, size_t group, size_t item);
/* Remembers them on the group's file system, while it is started here. */
void havend_clients_save(
    struct havend *h, size_t group, const struct cluster_tcp *list, unsigned count);
void havend_tickle(
    struct havend *h, unsigned group, const struct cluster_tcp *list, unsigned count);

/* The words of agent.h for an item: appends "key=value" strings.  kind: which agent. */
struct havend_words {
    const char *kind;
    size_t n;
    char *word[512];
};
void havend_words_make(
    const struct havend *h, size_t group, const struct conf_item *item, struct havend_words *out);
void havend_words_free(struct havend_words *w);

/* ---- media and ping nodes ---- */
int havend_media_open(struct havend *h, struct hv_diag *diag) HV_MUST_CHECK;
void havend_media_close(struct havend *h);
void havend_media_send(struct havend *h, uint32_t medium, const uint8_t *bytes, size_t length);
int havend_pings_open(struct havend *h, struct hv_diag *diag) HV_MUST_CHECK;
void havend_pings_close(struct havend *h);
void havend_pings_send(struct havend *h, unsigned ping, const uint8_t *bytes, size_t length);

/* ---- volumes ---- */
int havend_volumes_open(struct havend *h, struct hv_diag *diag) HV_MUST_CHECK;
void havend_volumes_close(struct havend *h);
void havend_volumes_freeze(struct havend *h, bool freeze);
/* Has each Secondary volume find out whether its peer is there: before a takeover depends on it. */
void havend_volumes_ping_peer(struct havend *h);
/* Before a group is released: a volume whose I/O is suspended would hold its unmount up for ever, so its
 * process is ended, and what was not written stays unwritten.  It is brought up again afterwards. */
bool havend_volumes_suspended(const struct havend *h, unsigned group);
void havend_volumes_abandon_suspended(struct havend *h, unsigned group);
void havend_volumes_group_stopped(struct havend *h, unsigned group);
void havend_volumes_outdate(struct havend *h, const char *resource);
/* The last status (doc/control.md), or NULL when its process does not run.  Borrowed. */
json_t *havend_volume_status(const struct havend *h, size_t resource);

/* ---- clients' connections ---- */
int havend_tcp_open(struct havend *h, struct hv_diag *diag) HV_MUST_CHECK;
void havend_tcp_close(struct havend *h);

/* ---- control socket ---- */
int havend_ctl_open(struct havend *h, struct hv_diag *diag) HV_MUST_CHECK;
void havend_ctl_close(struct havend *h);
void havend_ctl_notify(struct havend *h, const char *what, const char *text);
void havend_ctl_outdate_answer(struct havend *h, const char *resource, int code);
json_t *havend_status(struct havend *h);

/* Where a program of ours is: beside this one, or on the usual path. */
bool havend_program(char to[HAVEND_PATH_BYTES], const char *name);
/* `havend --agent`: runs one action of an agent in this process. */
int havend_agent_main(const char *root, const char *config_file, int argc, char **argv);
/* The words of `haven [-c FILE] --root ROOT up RESOURCE`; argv has room for HAVEND_UP_ARGS. */
enum { HAVEND_UP_ARGS = 8 };
void havend_up_args(char **argv, const char *root, const char *config_file, const char *resource);

#endif
