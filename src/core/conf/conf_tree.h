/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CONF_TREE_H
#define CONF_TREE_H
/* Within this room: drbd.conf as it was written, before anything is inherited.  `haven dump` prints
 * this; conf_resolve.c makes struct conf_resource of it. */
#include <stdbool.h>
#include <stdint.h>

#include "conf.h"
#include "conf_note.h"
#include "conf_option.h"

struct conf_opt {
    const struct conf_option *def;
    const char *value; /* "yes" for a flag that stands alone */
    struct conf_pos pos;
};

/* A section may be written once; its options repeat, and the last one counts. */
struct conf_opts {
    struct conf_opt *items;
    size_t n;
    struct conf_pos seen; /* seen.line == 0: not written */
};

struct conf_tree_volume {
    int64_t vnr;
    bool implied; /* no `volume` around it */
    const char *device;
    bool has_minor;
    uint32_t minor;
    const char *disk;
    const char *meta_disk;
    enum conf_meta_kind meta_kind;
    uint32_t meta_index;
    struct conf_opts disk_options;
    const struct conf_opts *resource_options; /* of the resource's volume of this number, or NULL */
    struct conf_pos pos, device_pos, disk_pos, meta_pos;
};

struct conf_tree_volumes {
    struct conf_tree_volume **items;
    size_t n;
};

struct conf_tree_address {
    enum conf_family family;
    const char *ip;
    uint16_t port;
    struct conf_pos pos; /* line == 0: not written */
};

struct conf_tree_proxy {
    const char **names;
    size_t n_names;
    struct conf_tree_address inside, outside;
    struct conf_opts options;
    struct conf_pos pos;
};

enum conf_tree_host_kind { CONF_HOST_ON, CONF_HOST_FLOATING, CONF_HOST_STACKED };

struct conf_tree_host {
    enum conf_tree_host_kind kind;
    const char **names; /* ON */
    size_t n_names;
    const char *lower; /* STACKED */
    struct conf_tree_resource *lower_resource;
    struct conf_tree_address address;
    struct conf_tree_volumes volumes;
    struct conf_opts options;
    struct conf_tree_proxy *proxy;
    struct conf_pos pos;
};

struct conf_tree_resource {
    const char *name;
    struct conf_pos pos;
    struct conf_opts sections[CONF_SECTIONS];
    struct conf_pos syncer_seen;
    const char **become_primary_on;
    size_t n_become_primary_on;
    struct conf_pos become_primary_pos;
    bool stacked_timeouts;
    const char **plugins; /* proxy { plugin { each; } } */
    size_t n_plugins;
    struct conf_tree_volumes volumes;
    struct conf_tree_host **hosts;
    size_t n_hosts;
    const char **ignore_on;
    size_t n_ignore_on;
    struct conf_tree_host *me;
    bool stacked;
};

struct conf_tree_global {
    struct conf_pos seen;
    bool disable_ip_verification, udev_always_use_vnr;
    int64_t minor_count, dialog_refresh, cmd_timeout_short, cmd_timeout_medium,
        cmd_timeout_long; /* -1: not written */
    int usage_count;      /* -1: not written */
};

struct conf_tree {
    struct conf_tree_global global;
    struct conf_tree_resource *common; /* NULL: not written */
    struct conf_tree_resource **resources;
    size_t n_resources;
};

struct conf_tree_resource *conf_tree_find(const struct conf_tree *tree, const char *name);
bool conf_tree_host_named(const struct conf_tree_host *host, const char *name);

#endif
