/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VOL_H
#define VOL_H
/* haven-volume: one resource's engine, and what carries out its effects.
 *
 *   vol_engine.c   events in, effects out, the timer
 *   vol_disk.c     backing devices and their operations
 *   vol_link.c     listener and sockets
 *   vol_front.c    the block devices
 *   vol_handler.c  handlers as child processes
 *   vol_job.c      administrative verbs, step by step
 *   vol_ctl.c      the control socket
 *   vol_status.c   status as JSON;  proc_drbd.c as /proc/drbd
 *   vol_config.c   struct conf -> struct repl_config
 *   vol_log.c      the log */
#include <stdbool.h>
#include <stdint.h>

#include "cmd.h"
#include "conf.h"
#include "ctl.h"
#include "front.h"
#include "hv_log.h"
#include "loop.h"
#include "net.h"
#include "repl.h"
#include "store.h"

enum {
    VOL_SOCKS_MAX = 16,
    VOL_REQUESTS_MAX = 256, /* application requests in flight, all volumes together */
    VOL_PATH_MAX = 4096
};

struct vol;

struct vol_sock {
    struct vol *vol;
    uint32_t id; /* 0: free.  Odd: chosen by the engine, even: by us */
    struct net_sock *sock;
    bool known; /* the engine has heard of it */
};

struct vol_volume {
    struct vol *vol;
    uint16_t index;
    const struct conf_volume *conf;
    struct store *data, *meta; /* the same when internal */
    uint32_t io_in_flight;
    bool close_wanted;

    struct front *front;
    /* As the engine last said, and whether a job wants the device gone meanwhile. */
    bool writable, released, has_device;
    uint64_t size_sectors;
    bool settling;
    struct loop_timer front_retry;
};

struct vol_job;
struct vol_handler;

struct vol {
    struct cmd_context ctx;
    const char *name;
    char root[VOL_PATH_MAX];
    struct loop *loop;
    struct conf *conf;
    const struct conf_resource *resource;

    struct repl *repl;
    struct repl_effects fx;
    struct hv_entropy entropy;
    bool stepping;
    struct repl_event *queue; /* events that came up while effects were carried out */
    uint32_t queue_head, queue_count, queue_capacity;
    struct loop_timer tick;
    struct loop_hook turn;

    struct store_pool *pool;
    struct net *net;
    struct net_listener *listener;
    struct net_addr local, peer;
    struct vol_sock socks[VOL_SOCKS_MAX];
    uint32_t last_accepted_id;

    uint32_t volumes;
    struct vol_volume volume[REPL_VOLUMES_MAX];
    struct hv_list free_ios;

    struct hv_list handlers; /* running */
    struct hv_list jobs;
    uint64_t last_token;
    struct ctl_server *ctl;
    bool changed, ending, stop_when_idle;
    struct loop_timer progress;
    struct loop_signals signals;
};

/* vol_engine.c */
int vol_engine_start(struct vol *v, struct hv_diag *diag) HV_MUST_CHECK;
void vol_engine_end(struct vol *v);
/* Fills in the time and the entropy, steps, and carries out what is wanted.  Called while effects are
 * being carried out, it queues a copy. */
void vol_event(struct vol *v, const struct repl_event *ev);

/* vol_config.c */
int vol_config_load(struct vol *v, struct conf **conf, const struct conf_resource **resource,
    struct hv_diag *diag) HV_MUST_CHECK;
void vol_config_net(const struct conf_resource *r, struct repl_net_config *to);
void vol_config_disk(const struct conf_volume *volume, struct repl_disk_config *to);
int vol_config_addresses(const struct conf_resource *r, struct net_addr *local,
    struct net_addr *peer, struct hv_diag *diag) HV_MUST_CHECK;
/* An index into v->volume, or -1. */
int vol_find(const struct vol *v, int64_t vnr);

/* vol_disk.c */
int vol_disk_open(
    struct vol_volume *volume, struct repl_attach *attach, struct hv_diag *diag) HV_MUST_CHECK;
void vol_disk_close(struct vol_volume *volume);
void vol_disk_effect(struct vol *v, struct repl_effect *fx);
bool vol_disk_measure(struct vol_volume *volume, struct repl_attach *attach);

/* vol_link.c */
void vol_link_effect(struct vol *v, struct repl_effect *fx);
void vol_link_turn(struct vol *v);
void vol_link_end(struct vol *v);

/* vol_front.c */
int vol_front_start(struct vol *v, struct hv_diag *diag) HV_MUST_CHECK;
void vol_front_end(struct vol *v);
void vol_front_effect(struct vol *v, struct repl_effect *fx);
void vol_front_release(struct vol_volume *volume, bool released);
void vol_front_turn(struct vol *v);

/* vol_handler.c */
void vol_handler_effect(struct vol *v, struct repl_effect *fx);

/* vol_job.c: a verb of doc/control.md.  Takes the request (NULL: from a signal). */
void vol_job_start(struct vol *v, struct ctl_request *request, const char *verb);
void vol_job_admin_done(struct vol *v, const struct repl_effect *fx);
void vol_job_front_settled(struct vol_volume *volume, int error, const struct hv_diag *diag);

/* vol_ctl.c */
int vol_ctl_start(struct vol *v, struct hv_diag *diag) HV_MUST_CHECK;
void vol_ctl_changed(struct vol *v); /* once per turn at most */
void vol_ctl_handler_event(
    struct vol *v, const char *handler, int volume, bool start, int exit_code);

/* vol_status.c */
json_t *vol_status_json(struct vol *v);
void vol_proc_text(struct vol *v, struct hv_text *to);

/* vol_log.c: "drbd r0: …" to syslog or stderr, and to <root>/var/log/haven/volume-NAME.log. */
int vol_log_open(const char *root, const char *name, bool to_stderr);
void vol_log_quiet_stderr(void);
void vol_log(enum hv_log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
struct hv_log vol_log_for_core(void);

#endif
