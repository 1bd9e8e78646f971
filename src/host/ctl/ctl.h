/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CTL_H
#define CTL_H
/* How haven, havend and haven-volume talk: a Unix SOCK_SEQPACKET socket, mode 0600, one JSON object a
 * message, at most CTL_MESSAGE_MAX bytes (doc/control.md).
 *
 *   request   {"verb": "primary", "id": 7, …}      id: any number, chosen by the client
 *   reply     {"id": 7, "ok": true, …}             or {"id": 7, "ok": false, "error": "…", "exit": 11}
 *   event     {"event": "state", …}                only after a request that subscribed
 *
 * Replies may come in another order than their requests.  Both sides drop a connection that sends
 * something else.  Peers must be root or the server's own user. */
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "hv_error.h"
#include "hv_list.h"
#include "loop.h"

enum { CTL_MESSAGE_MAX = 64 * 1024, CTL_PATH_MAX = 4096 };

/* ---------------------------------------------------------------------------------------- server side */

struct ctl_server;

struct ctl_request {
    const char *verb; /* borrowed from body */
    json_t *body;     /* the whole request; valid until the reply */
    void *user;       /* the handler's */

    /* The room's */
    struct ctl_conn *conn; /* NULL once the client has gone */
    json_t *id;
    struct hv_list link;
};

/* Each request must be answered by exactly one ctl_reply*(), now or later. */
typedef void (*ctl_handler)(void *arg, struct ctl_request *request);

/* Makes the directory, removes a dead socket; HV_EBUSY when a living process serves the path. */
int ctl_server_new(struct loop *loop, const char *path, ctl_handler handler, void *arg,
    struct ctl_server **out, struct hv_diag *diag) HV_MUST_CHECK;
/* Unlinks the path.  Requests not answered yet must still be answered (nobody hears it).  Replies and
 * events in the queues are sent as far as the sockets take them at once. */
void ctl_server_free(struct ctl_server *server);

/* Takes `reply` (an object; NULL: {}); adds "id" and "ok": true unless it has an "ok".  Frees the
 * request. */
void ctl_reply(struct ctl_request *request, json_t *reply);
/* {"ok": false, "error": text, "exit": exit_code} */
void ctl_reply_error(struct ctl_request *request, int exit_code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* From now on this client gets what is published. */
void ctl_subscribe(struct ctl_request *request);
/* Takes `event` (an object).  A subscriber that does not read is dropped. */
void ctl_publish(struct ctl_server *server, json_t *event);
bool ctl_has_subscribers(const struct ctl_server *server);

/* ------------------------------------------------------------- client side, waiting (the command line) */

struct ctl_link;

/* HV_ENOENT: nobody serves the path. */
int ctl_link_open(const char *path, struct ctl_link **out, struct hv_diag *diag) HV_MUST_CHECK;
void ctl_link_close(struct ctl_link *link);
/* `request` is taken.  *reply is the caller's (json_decref), whatever its "ok".  Events that arrive
 * meanwhile are dropped.  HV_ETIMEDOUT, HV_EIO when the server has gone. */
int ctl_link_call(struct ctl_link *link, json_t *request, uint32_t timeout_ms, json_t **reply,
    struct hv_diag *diag) HV_MUST_CHECK;
/* The next event; HV_ETIMEDOUT (timeout_ms, UINT32_MAX: none). */
int ctl_link_event(
    struct ctl_link *link, uint32_t timeout_ms, json_t **event, struct hv_diag *diag) HV_MUST_CHECK;
/* Open, call, close. */
int ctl_call(const char *path, json_t *request, uint32_t timeout_ms, json_t **reply,
    struct hv_diag *diag) HV_MUST_CHECK;

/* ------------------------------------------------------------------------- client side, on the loop */

struct ctl_client;

struct ctl_client_ops {
    void (*event)(void *arg, json_t *event); /* borrowed; may be NULL */
    /* The server has gone; all calls in flight were finished with HV_EIO before.  The client must
     * be freed (here or later) and may be opened anew. */
    void (*closed)(void *arg);
};

/* One request in flight; the caller's memory until done is entered. */
struct ctl_call {
    /* error: 0 and the reply (borrowed), else HV_ETIMEDOUT or HV_EIO and NULL. */
    void (*done)(struct ctl_call *call, int error, json_t *reply);
    struct ctl_client *client; /* the room's, NULL: not in flight */
    uint64_t id;
    struct loop_timer timer;
    struct hv_list link;
};

/* HV_ENOENT: nobody serves the path (yet). */
int ctl_client_open(struct loop *loop, const char *path, const struct ctl_client_ops *ops,
    void *arg, struct ctl_client **out, struct hv_diag *diag) HV_MUST_CHECK;
/* Calls in flight are finished with HV_EIO.  `closed` is not entered. */
void ctl_client_free(struct ctl_client *client);
/* Takes `request` (an object with "verb").  done always comes, never from inside this call. */
void ctl_client_call(
    struct ctl_client *client, struct ctl_call *call, json_t *request, uint32_t timeout_ms);
void ctl_call_cancel(struct ctl_call *call); /* done does not come */

/* --------------------------------------------------------------------------------------------- helpers */

/* <root>/run/haven/NAME.sock; false when too long or the name has a slash. */
bool ctl_path(char *to, size_t capacity, const char *root, const char *name);
/* "" when the object has no such string. */
const char *ctl_string(const json_t *object, const char *key);
int64_t ctl_integer(const json_t *object, const char *key, int64_t otherwise);
bool ctl_flag(const json_t *object, const char *key);
/* mkdir -p of the directory part of `path`. */
int ctl_make_parents(const char *path);

#endif
