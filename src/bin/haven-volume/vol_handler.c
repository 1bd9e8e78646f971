/* SPDX-License-Identifier: Apache-2.0 */
/* Handlers (admin §5): /bin/sh -c COMMAND with DRBD's environment. */
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hv_text.h"
#include "vol.h"

enum { ENV_MAX = 20, WORDS_MAX = 32, OUTPUT_BYTES = 4096, NO_PROGRAM = 127 };

struct vol_handler {
    struct loop_child child;
    struct vol *vol;
    struct hv_list link;
    uint64_t token;
    enum repl_handler which;
    int volume;
    char *env[ENV_MAX + 1];
    unsigned envs;
    char command[1024];
    char *words[WORDS_MAX + 1];
    char output[OUTPUT_BYTES];
};

/* The two lists are in different orders; names say which is which. */
static const struct conf_handler *handler_configured(
    const struct conf_resource *r, enum repl_handler which)
{
    for (int id = 0; id < CONF_HANDLERS; id++)
        if (!strcmp(conf_handler_name((enum conf_handler_id)id), repl_handler_name(which)))
            return conf_handler_find(r, (enum conf_handler_id)id);
    return NULL;
}

static void env_add(struct vol_handler *h, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static void env_add(struct vol_handler *h, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    if (h->envs < ENV_MAX && vasprintf(&h->env[h->envs], fmt, ap) >= 0)
        h->env[++h->envs] = NULL;
    va_end(ap);
}

static void env_fill(struct vol_handler *h)
{
    struct vol *v = h->vol;
    const struct conf_host *peer = v->resource->peer;
    struct hv_text peers = {0}, minors = {0};

    for (size_t i = 0; i < peer->n_names; i++)
        hv_text_addf(&peers, "%s%s", i ? " " : "", peer->names[i]);
    for (uint32_t i = 0; i < v->volumes; i++)
        if (h->volume < 0 || h->volume == (int)i)
            hv_text_addf(&minors, "%s%u", minors.length ? " " : "", v->volume[i].conf->minor);
    env_add(h, "HOME=/");
    env_add(h, "TERM=linux");
    env_add(h, "PATH=/sbin:/usr/sbin:/bin:/usr/bin");
    env_add(h, "HAVEN_ROOT=%s", v->root);
    env_add(h, "__DRBD_NODE__=%s", v->ctx.node);
    env_add(h, "DRBD_RESOURCE=%s", v->name);
    env_add(h, "DRBD_CONF=%s", v->conf->file ? v->conf->file : "");
    env_add(h, "DRBD_PEER_AF=%s", conf_family_name(peer->family));
    env_add(h, "DRBD_PEER_ADDRESS=%s", peer->address);
    env_add(h, "DRBD_PEER=%s", peer->n_names ? peer->names[0] : "");
    env_add(h, "DRBD_PEERS=%s", hv_text_str(&peers));
    env_add(h, "DRBD_MINOR=%s", hv_text_str(&minors));
    if (h->volume >= 0) {
        env_add(h, "DRBD_VOLUME=%u", v->volume[h->volume].conf->vnr);
        env_add(h, "DRBD_LL_DISK=%s", v->volume[h->volume].conf->disk);
    }
    hv_text_free(&peers);
    hv_text_free(&minors);
}

static void handler_free(struct vol_handler *h)
{
    hv_list_remove(&h->link);
    for (unsigned i = 0; i < h->envs; i++)
        free(h->env[i]);
    free(h);
}

static void handler_done(struct loop_child *child)
{
    struct vol_handler *h = hv_container_of(child, struct vol_handler, child);
    struct vol *v = h->vol;
    const struct repl_event ev = {.kind = REPL_EV_HANDLER_DONE,
        .token = h->token,
        .handler = {.exit_code = child->exit_code}};
    const char *name = repl_handler_name(h->which);
    char *rest = h->output, *line;

    while ((line = strsep(&rest, "\n")))
        if (*line)
            vol_log(HV_LOG_INFO, "%s: %s", name, line);
    if (child->timed_out)
        vol_log(HV_LOG_WARN, "handler %s took too long and was killed", name);
    vol_ctl_handler_event(v, name, h->volume, false, child->exit_code);
    handler_free(h);
    vol_event(v, &ev);
}

/* drbd-peer-outdater is ours: the program beside this one, called by that name. */
static void words_for_outdater(struct vol_handler *h, char *path, size_t capacity)
{
    static char name[] = "drbd-peer-outdater";
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    char *rest = h->command, *word;
    int words = 0;

    self[n > 0 ? n : 0] = 0;
    const char *dir = dirname(self);
    snprintf(path, capacity, "%s/haven", dir);
    if (access(path, X_OK)) /* a build tree has a directory for each program */
        snprintf(path, capacity, "%s/../haven/haven", dir);
    while (words < WORDS_MAX && (word = strsep(&rest, " \t")))
        if (*word)
            h->words[words++] = word;
    h->words[words] = NULL;
    h->words[0] = name;
}

static bool handler_start(struct vol_handler *h, const struct conf_handler *c, struct hv_diag *diag)
{
    static char sh[] = "sh", option[] = "-c";
    char path[PATH_MAX + 16] = "/bin/sh";

    if (!hv_strcopy(h->command, sizeof h->command, c->command)) {
        hv_diag_set(diag, "command too long");
        return false;
    }
    if (c->built_in_outdater) {
        words_for_outdater(h, path, sizeof path);
    } else {
        h->words[0] = sh;
        h->words[1] = option;
        h->words[2] = h->command;
    }
    env_fill(h);
    h->child.done = handler_done;
    h->child.output = h->output;
    h->child.output_capacity = sizeof h->output;
    const struct loop_child_spec spec = {.path = path,
        .argv = h->words,
        .envp = h->env,
        .limit_ms = h->vol->conf->global.cmd_timeout_medium_s * 1000,
        .term_ms = 2000};
    return !loop_child_start(h->vol->loop, &h->child, &spec, diag);
}

void vol_handler_effect(struct vol *v, struct repl_effect *fx)
{
    const struct conf_handler *c = handler_configured(v->resource, fx->handler.which);
    const char *name = repl_handler_name(fx->handler.which);
    struct repl_event ev = {.kind = REPL_EV_HANDLER_DONE, .token = fx->token};
    struct hv_diag diag = {"out of memory"};

    if (c) {
        struct vol_handler *h = calloc(1, sizeof *h);
        if (h) {
            h->vol = v;
            h->token = fx->token;
            h->which = fx->handler.which;
            h->volume = fx->handler.volume;
            hv_list_push_back(&v->handlers, &h->link);
            vol_ctl_handler_event(v, name, h->volume, true, 0);
            if (handler_start(h, c, &diag))
                return;
            handler_free(h);
        }
        vol_log(HV_LOG_ERROR, "handler %s: %s", name, diag.text);
        ev.handler.exit_code = NO_PROGRAM;
    }
    vol_event(v, &ev);
}
