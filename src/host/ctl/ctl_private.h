/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CTL_PRIVATE_H
#define CTL_PRIVATE_H
/* Shared inside the room: addresses, and a message queue over one socket. */
#include "ctl.h"

enum { CTL_QUEUE_MESSAGES = 512 };

/* A socket bound or connected to `path`, which may be longer than sun_path. */
int ctl_socket_bind(const char *path, struct hv_diag *diag);
int ctl_socket_connect(const char *path, struct hv_diag *diag);

struct ctl_message {
    struct hv_list link;
    size_t length;
    char bytes[];
};

/* One connected socket: receives objects, sends queued ones in order. */
struct ctl_pipe {
    struct loop *loop;
    int fd;
    /* Takes nothing; object is borrowed. */
    void (*received)(struct ctl_pipe *pipe, json_t *object);
    /* Entered once, when nothing is in flight any more, after ctl_pipe_close() or an error. */
    void (*gone)(struct ctl_pipe *pipe);
    bool closing, dead;
    struct loop_op recv_op, send_op;
    struct loop_task gone_task;
    struct hv_list queue;
    unsigned queued;
    uint8_t *in;
};

int ctl_pipe_start(struct ctl_pipe *pipe) HV_MUST_CHECK;   /* loop, fd and callbacks are set */
void ctl_pipe_send(struct ctl_pipe *pipe, json_t *object); /* taken */
void ctl_pipe_close(struct ctl_pipe *pipe);

#endif
