/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CONF_SERVICE_H
#define CONF_SERVICE_H
/* Service groups, from haresources (heartbeat §11) or haven.conf's service {} (DESIGN §3), and
 * /etc/exports. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum conf_item_kind {
    CONF_ITEM_ADDRESS,
    CONF_ITEM_DRBD,
    CONF_ITEM_FILESYSTEM,
    CONF_ITEM_NFS_SERVER,
    CONF_ITEM_EXPORT,
    CONF_ITEM_SCRIPT,
};

struct conf_address {
    const char *ip;
    bool ipv6;
    uint8_t
        prefix; /* 0 bits is never meant: when not given, 32 or 128, and prefix_given is false */
    bool prefix_given;     /* not given: take it from the interface that has the route */
    const char *device;    /* "": the interface that has the route */
    const char *label;     /* "eth0:1" gives "eth0" and this "1"; "": none */
    const char *broadcast; /* "": highest address of the net */
};

struct conf_mount {
    const char *device;    /* "/dev/drbd0" */
    const char *directory; /* "/nfs" */
    const char *type;      /* "ext4"; "" : find out */
    const char *options;   /* "": defaults */
    const char *resource;  /* the resource whose volume `device` is, or NULL */
    uint32_t vnr;
};

enum conf_squash { CONF_SQUASH_ROOT, CONF_SQUASH_NONE, CONF_SQUASH_ALL };

/* One client of one export, with exports(5)'s defaults filled in. */
struct conf_export_client {
    const char
        *host; /* name, address, net/bits, net/mask, *.domain, @netgroup; "*" for everybody */
    bool read_write, async, insecure, subtree_check, no_wdelay, crossmnt, hide, secure_locks;
    enum conf_squash squash;
    uint32_t anon_uid, anon_gid;
    const char *fsid;    /* "": none */
    const char *sec;     /* "sys", "krb5:krb5i", … */
    const char *options; /* as written, without the brackets; "" for none */
};

struct conf_export {
    const char *directory;
    const struct conf_export_client *clients;
    size_t n_clients;
    const char *file;
    unsigned line;
};

struct conf_exports {
    const struct conf_export *items;
    size_t n;
};

enum conf_nfs_server { CONF_NFS_AUTO, CONF_NFS_KERNEL, CONF_NFS_GANESHA };

struct conf_item {
    enum conf_item_kind kind;
    const char
        *word;    /* as written in haresources; for service {} what haresources would have said */
    bool implied; /* put in by haven: nobody wrote it */
    const char *script; /* SCRIPT: name in resource.d or init.d.  ADDRESS, DRBD, FILESYSTEM from
                           haresources: the script the word names; "" from service {} */
    const char *const *args; /* of that script */
    size_t n_args;
    struct conf_address address;      /* ADDRESS */
    const char *resource;             /* DRBD: its name */
    struct conf_mount mount;          /* FILESYSTEM */
    enum conf_nfs_server server;      /* NFS_SERVER */
    const struct conf_export *export; /* EXPORT */
    const char *file;
    unsigned line;
};

struct conf_service {
    const char *name;              /* from haresources: its first resource's word */
    const char *node;              /* the preferred one, lower case; "": none */
    const struct conf_item *items; /* start from left to right, stop from right to left */
    size_t n_items;
    uint32_t monitor_ms; /* how often each is probed; 5000 unless said */
    uint32_t restarts;   /* restarts in place before the group moves; 1 unless said */
    const char *file;
    unsigned line;
};

#endif
