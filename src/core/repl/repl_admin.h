/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REPL_ADMIN_H
#define REPL_ADMIN_H
/* Administrative actions: one runs, a few wait.  A verb is a function that is called at the end of each step until
 * it says how it ended. */
#include "repl_control.h"

enum { REPL_ADMIN_WAIT = 0 }; /* not over yet; everything else is the retcode of the answer */

/* Numbers of drbdsetup (admin §4). */
enum {
    ERR_NOMEM = 122,
    ERR_DISK_CONFIGURED = 124,
    ERR_NET_CONFIGURED = 125,
    ERR_MINOR_INVALID = 127,
    ERR_RESIZE_RESYNC = 130,
    ERR_NO_PRIMARY = 131,
    ERR_PAUSE_IS_SET = 134,
    ERR_PAUSE_IS_CLEAR = 135,
    ERR_NO_DISK = 138,
    ERR_NOMEM_BITMAP = 140,
    ERR_CONNECTED = 151,
    ERR_INVALID_REQUEST = 162,
};

typedef int (*repl_verb_fn)(struct repl *r, struct repl_admin_action *a);

/* A change that the peer may have to agree to.  Waits out transient states for a while. */
int repl_admin_change(struct repl *r, struct repl_admin_action *a, struct repl_volume *v,
    const struct drbd_state *mask, const struct drbd_state *val);
void repl_admin_text(struct repl *r, const char *text); /* of the answer of the action under way */
/* Comes back after so long at the latest. */
void repl_admin_sleep(struct repl *r, struct repl_admin_action *a, uint64_t ms);
/* Waits until the superblock of every volume (v: of this one) is durable.  WAIT, SS_SUCCESS or an error. */
int repl_admin_durable(struct repl *r, struct repl_admin_action *a, struct repl_volume *v);

/* repl_admin_role.c */
int repl_verb_primary(struct repl *r, struct repl_admin_action *a);
int repl_verb_secondary(struct repl *r, struct repl_admin_action *a);
/* repl_admin_conn.c */
int repl_verb_connect(struct repl *r, struct repl_admin_action *a);
int repl_verb_disconnect(struct repl *r, struct repl_admin_action *a);
int repl_verb_down(struct repl *r, struct repl_admin_action *a);
int repl_verb_net_options(struct repl *r, struct repl_admin_action *a);
int repl_verb_peer_fenced(struct repl *r, struct repl_admin_action *a);
int repl_verb_ping_peer(struct repl *r, struct repl_admin_action *a);
/* repl_admin_disk.c */
int repl_verb_attach(struct repl *r, struct repl_admin_action *a);
int repl_verb_detach(struct repl *r, struct repl_admin_action *a);
int repl_verb_invalidate(struct repl *r, struct repl_admin_action *a);
int repl_verb_outdate(struct repl *r, struct repl_admin_action *a);
int repl_verb_verify(struct repl *r, struct repl_admin_action *a);
int repl_verb_pause(struct repl *r, struct repl_admin_action *a);
int repl_verb_suspend(struct repl *r, struct repl_admin_action *a);
int repl_verb_new_uuid(struct repl *r, struct repl_admin_action *a);
int repl_verb_disk_options(struct repl *r, struct repl_admin_action *a);
/* repl_resize.c */
int repl_verb_resize(struct repl *r, struct repl_admin_action *a);

#endif
