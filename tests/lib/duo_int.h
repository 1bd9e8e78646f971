/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DUO_INT_H
#define DUO_INT_H
/* Inside duo_repl: the world's parts.  duo_repl.c is the world and its clock, duo_net.c the network,
 * duo_api.c what tests call. */
#include "duo_disk.h"
#include "duo_repl.h"
#include "hv_list.h"
#include "hv_prng.h"

enum {
    DUO_LATENCY_MS = 1,
    DUO_CONNS_MAX = 64,
    DUO_STREAM_BYTES_MAX = 4 << 20, /* TCP's send buffer */
    DUO_CHUNK_BYTES = 65536,
    DUO_LOG_LINES_MAX = 20000,
    DUO_ANSWERS_MAX = 64
};

/* Something that will happen; `fn` frees what arg points to. */
struct duo_due {
    struct hv_list node;
    uint64_t at_ms, order;
    unsigned incarnation; /* of the end; stale ones are dropped (via `drop`) */
    enum duo_end end;
    void (*fn)(struct duo *d, enum duo_end end, void *arg);
    void (*drop)(struct duo *d, enum duo_end end, void *arg);
    void *arg;
};

struct duo_stream { /* bytes from side i to the other */
    uint8_t *bytes;
    uint32_t head, tail, capacity;
    bool eof_queued, eof_told;
};

struct duo_conn {
    bool used, established, refused_told;
    enum duo_end connector;
    uint64_t ready_ms;
    uint32_t sock[DUO_ENDS]; /* 0: that end has no (more) socket */
    unsigned incarnation[DUO_ENDS];
    bool closed[DUO_ENDS]; /* by the engine, or its node crashed */
    bool reset[DUO_ENDS];  /* that end was told */
    struct duo_stream to[DUO_ENDS];
    uint64_t next_ms[DUO_ENDS];
};

struct duo_node {
    enum duo_end end;
    struct duo *d;
    struct repl *r;
    struct repl_config config;
    struct repl_effects fx;
    struct hv_entropy entropy;
    struct duo_disk disk[DUO_VOLUMES_MAX];
    unsigned incarnation;
    bool listening, fail_reads, fail_writes, hangs;
    uint32_t faulty_volumes; /* bit n: the faults concern volume n */
    struct hv_list hung;     /* struct duo_disk_op */
    uint32_t next_accept_sock;
    bool writable;
    uint64_t front_sectors;
    int handler_exit[REPL_HANDLERS];
    unsigned handler_calls[REPL_HANDLERS];
    struct hv_buf_pool pool;
    uint64_t bufs_out;
    struct hv_list ios; /* application I/O under way: struct duo_app */
    char **log;
    unsigned log_lines;
};

struct duo_app {
    struct hv_list node;
    uint64_t token;
    struct duo_io *io;
    uint64_t sector;
    uint32_t sectors;
    bool read;
};

struct duo {
    struct duo_options options;
    struct hv_prng prng;
    uint64_t now_ms, order, next_token;
    struct hv_list due; /* sorted by at_ms, order */
    struct duo_node node[DUO_ENDS];
    struct duo_conn conn[DUO_CONNS_MAX];
    bool link_up;
    struct {
        bool used;
        enum duo_end end;
        uint64_t token;
        int *answer;
    } answer[DUO_ANSWERS_MAX];
    char admin_text[160];
};

void duo_schedule(struct duo *d, enum duo_end end, uint64_t delay_ms,
    void (*fn)(struct duo *, enum duo_end, void *),
    void (*drop)(struct duo *, enum duo_end, void *), void *arg);
/* One step of that end's engine, and its effects carried out. */
void duo_step(struct duo *d, enum duo_end end, struct repl_event *ev);
/* Lets everything up to `until_ms` happen; false when nothing is left to happen before. */
bool duo_turn(struct duo *d, uint64_t until_ms);

void duo_net_connect(struct duo *d, enum duo_end end, uint32_t sock);
void duo_net_send(struct duo *d, enum duo_end end, struct repl_effect *fx);
void duo_net_close(struct duo *d, enum duo_end end, uint32_t sock);
void duo_net_crash(struct duo *d, enum duo_end end);
/* Moves what may move; true when something did. */
bool duo_net_turn(struct duo *d);
/* When the network next has something to do; UINT64_MAX: nothing. */
uint64_t duo_net_next(const struct duo *d);
void duo_net_free(struct duo *d);

void duo_disk_effect(struct duo *d, enum duo_end end, struct repl_effect *fx);
void duo_disk_release_hung(struct duo *d, enum duo_end end);
void duo_app_done(struct duo *d, enum duo_end end, struct repl_effect *fx);
void duo_admin_done(struct duo *d, struct repl_effect *fx);

#endif
