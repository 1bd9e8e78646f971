/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CONF_H
#define CONF_H
/* What a node was told: the mirrored resources (admin §1), the cluster (heartbeat §9, §10), the service
 * groups (heartbeat §11) and the exports, resolved and checked.
 *
 *   drbd.conf, haven.conf -> conf.global, conf.resources   (+ conf.cluster, conf.services)
 *   ha.cf, authkeys       -> conf.cluster
 *   haresources, exports  -> conf.services, conf.exports
 *
 * Everything below belongs to the struct conf and lives until conf_free(); nothing is changed after
 * conf_read() returns.  Strings are never NULL unless the comment says so.  Numbers keep DRBD's units,
 * named by suffix: _ds is tenths of a second, _kibs KiB/s, _sectors 512 bytes. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf_cluster.h"
#include "conf_files.h"
#include "conf_report.h"
#include "conf_service.h"
#include "hv_error.h"

/* Order and values are DRBD's own; those of conf_asb and conf_protocol go on the wire (wire §6.1). */
enum conf_protocol { CONF_PROTOCOL_A = 1, CONF_PROTOCOL_B = 2, CONF_PROTOCOL_C = 3 };

enum conf_asb { /* after-sb-*, rr-conflict */
    CONF_ASB_DISCONNECT = 0,
    CONF_ASB_DISCARD_YOUNGER_PRIMARY = 1,
    CONF_ASB_DISCARD_OLDER_PRIMARY = 2,
    CONF_ASB_DISCARD_ZERO_CHANGES = 3,
    CONF_ASB_DISCARD_LEAST_CHANGES = 4,
    CONF_ASB_DISCARD_LOCAL = 5,
    CONF_ASB_DISCARD_REMOTE = 6,
    CONF_ASB_CONSENSUS = 7,
    CONF_ASB_DISCARD_SECONDARY = 8,
    CONF_ASB_CALL_HELPER = 9, /* call-pri-lost-after-sb, call-pri-lost */
    CONF_ASB_VIOLENTLY = 10,  /* violently-as0p, violently */
};

enum conf_on_io_error {
    CONF_IO_ERROR_PASS_ON = 0,
    CONF_IO_ERROR_CALL_LOCAL = 1,
    CONF_IO_ERROR_DETACH = 2,
};

enum conf_fencing {
    CONF_FENCING_DONT_CARE = 0,
    CONF_FENCING_RESOURCE = 1,
    CONF_FENCING_STONITH = 2, /* resource-and-stonith */
};

enum conf_on_congestion {
    CONF_CONGESTION_BLOCK = 0,
    CONF_CONGESTION_PULL_AHEAD = 1,
    CONF_CONGESTION_DISCONNECT = 2,
};

enum conf_on_no_data { CONF_NO_DATA_IO_ERROR = 0, CONF_NO_DATA_SUSPEND_IO = 1 };

enum conf_read_balancing {
    CONF_READ_PREFER_LOCAL = 0,
    CONF_READ_PREFER_REMOTE = 1,
    CONF_READ_ROUND_ROBIN = 2,
    CONF_READ_LEAST_PENDING = 3,
    CONF_READ_WHEN_CONGESTED_REMOTE = 4,
    CONF_READ_32K_STRIPING = 5, /* then 64K, 128K, 256K, 512K, 1M */
    CONF_READ_1M_STRIPING = 10,
};

enum conf_family { CONF_FAMILY_IPV4, CONF_FAMILY_IPV6, CONF_FAMILY_SDP, CONF_FAMILY_SSOCKS };

enum conf_meta_kind {
    CONF_META_INTERNAL, /* at the end of the disk itself */
    CONF_META_EXTERNAL, /* flexible: the whole of meta_disk is this volume's */
    CONF_META_INDEXED,  /* the 128 MiB slot meta_index of meta_disk */
};

enum { CONF_VNR_MAX = 65534, CONF_MINOR_MAX = (1 << 20) - 1, CONF_NAME_BYTES_MAX = 128 };

/* global {} (admin §1.3). */
struct conf_global {
    uint32_t minor_count; /* 0: not given */
    uint32_t dialog_refresh_s;
    uint32_t cmd_timeout_short_s, cmd_timeout_medium_s, cmd_timeout_long_s;
    int usage_count; /* 0 no, 1 yes, 2 ask */
    bool disable_ip_verification, udev_always_use_vnr;
};

/* disk {} of one volume, inherited common -> resource -> volume (admin §1.4). */
struct conf_disk_options {
    uint64_t size_sectors; /* 0: as large as the disks allow */
    uint32_t on_io_error;  /* enum conf_on_io_error */
    uint32_t fencing;      /* enum conf_fencing */
    bool disk_barrier, disk_flushes, disk_drain, md_flushes;
    bool al_updates, discard_zeroes_if_aligned, disable_write_same;
    uint32_t resync_rate_kibs;
    int32_t resync_after_minor; /* -1: none */
    uint32_t al_extents;
    uint32_t rs_discard_granularity_bytes;
    uint32_t disk_timeout_ds;
    uint32_t read_balancing; /* enum conf_read_balancing */
    uint32_t c_plan_ahead_ds, c_delay_target_ds;
    uint32_t c_fill_target_sectors;
    uint32_t c_max_rate_kibs, c_min_rate_kibs;
    uint32_t max_bio_bvecs;
};

/* net {}. */
struct conf_net_options {
    uint32_t protocol; /* enum conf_protocol */
    uint32_t timeout_ds, ping_int_s, ping_timeout_ds, connect_int_s;
    uint32_t ko_count;
    uint32_t max_buffers, max_epoch_size, unplug_watermark;
    uint32_t sndbuf_size_bytes, rcvbuf_size_bytes;
    bool allow_two_primaries, always_asbp, use_rle, tcp_cork, csums_after_crash_only;
    const char *cram_hmac_alg, *shared_secret; /* "": none.  Never log shared_secret. */
    uint32_t after_sb_0pri, after_sb_1pri, after_sb_2pri, rr_conflict; /* enum conf_asb */
    const char *data_integrity_alg, *verify_alg, *csums_alg;           /* "": none */
    uint32_t socket_check_timeout_ds;
    uint32_t on_congestion; /* enum conf_on_congestion */
    uint32_t congestion_fill_sectors, congestion_extents;
};

/* options {}. */
struct conf_resource_options {
    const char *cpu_mask; /* hex, "": any */
    uint32_t on_no_data;  /* enum conf_on_no_data */
};

/* startup {}. */
struct conf_startup {
    uint32_t wfc_timeout_s, degr_wfc_timeout_s, outdated_wfc_timeout_s; /* 0: for ever */
    bool wait_after_sb, stacked_timeouts;
    const char *const *become_primary_on; /* host names, or the one word "both" */
    size_t n_become_primary_on;
};

/* handlers {} (admin §5). */
enum conf_handler_id {
    CONF_HANDLER_PRI_ON_INCON_DEGR,
    CONF_HANDLER_PRI_LOST_AFTER_SB,
    CONF_HANDLER_PRI_LOST,
    CONF_HANDLER_INITIAL_SPLIT_BRAIN,
    CONF_HANDLER_SPLIT_BRAIN,
    CONF_HANDLER_FENCE_PEER,
    CONF_HANDLER_UNFENCE_PEER,
    CONF_HANDLER_LOCAL_IO_ERROR,
    CONF_HANDLER_BEFORE_RESYNC_TARGET,
    CONF_HANDLER_AFTER_RESYNC_TARGET,
    CONF_HANDLER_BEFORE_RESYNC_SOURCE,
    CONF_HANDLER_OUT_OF_SYNC,
    CONF_HANDLERS
};

struct conf_handler {
    enum conf_handler_id id;
    const char *command; /* for /bin/sh -c */
    /* The first word's last path component is drbd-peer-outdater: the daemons do it themselves. */
    bool built_in_outdater;
};

struct conf_volume {
    uint32_t vnr;
    const char *device; /* "/dev/drbd0" */
    uint32_t minor;
    const char *disk; /* "/dev/sdb1"; "none" for a diskless host */
    enum conf_meta_kind meta_kind;
    const char *meta_disk; /* path; the disk itself when internal */
    uint32_t meta_index;   /* when indexed */
    struct conf_disk_options disk_options;
};

/* One side of a resource: `on`, `floating` or `stacked-on-top-of`. */
struct conf_host {
    const char *const
        *names; /* as in `on a b {`; for floating the address; for stacked the lower's */
    size_t n_names;
    enum conf_family family;
    const char *address; /* without brackets */
    uint16_t port;
    bool floating;
    bool implicit_volume;              /* its one volume is written without `volume 0 { }` */
    const char *lower;                 /* the resource this one is stacked upon, or NULL */
    const struct conf_volume *volumes; /* ascending vnr */
    size_t n_volumes;
};

struct conf_resource {
    const char *name;
    const char *file; /* where it was defined */
    unsigned line;
    struct conf_net_options net;
    struct conf_resource_options options;
    struct conf_startup startup;
    const struct conf_handler *handlers; /* only those configured */
    size_t n_handlers;
    const struct conf_host *hosts;
    size_t n_hosts;
    const struct conf_host *me; /* NULL: nothing of this resource is on this node (then ignored) */
    const struct conf_host *peer; /* NULL: none, or more than one other host */
    bool stacked;
};

struct conf {
    const char *node; /* whom `me` was resolved for */
    const char *file; /* the haven.conf or drbd.conf that was read, or NULL */
    struct conf_global global;
    const struct conf_resource *resources;
    size_t n_resources;
    const struct conf_cluster *cluster; /* NULL when neither ha.cf nor cluster {} exists */
    const struct conf_service *services;
    size_t n_services;
    const struct conf_exports *exports; /* NULL when /etc/exports was not read */
    struct conf_reports reports;
    struct conf_tree *tree; /* the text as it was written, for conf_dump.h */
    struct conf_arena *arena;
};

/* What to read.  Paths get files.root in front of them where they are absolute. */
struct conf_request {
    struct conf_files files;
    const char *node; /* borrowed for the call */
    /* -c FILE, read as named, or NULL: haven.conf, then the drbd*.conf of admin §1. */
    const char *config_file;
    bool want_cluster; /* also cluster {}, service {}, ha.cf, authkeys, haresources, exports */
    bool alone;        /* config_file and what it includes, and no other file */
    /* Whether this machine has that address: says who `me` is among `floating` hosts.  NULL: only the
     * loopback addresses are ours. */
    bool (*address_is_local)(void *arg, const char *ip);
    void *address_arg;
};

/* Reads and checks everything.  *out is always set, so that its reports can be shown; the caller frees
 * it.
 *   HV_OK      no error in the reports (there may be warnings)
 *   HV_ENOENT  no configuration file at all
 *   HV_ESYNTAX text that does not parse;  HV_EINVAL  parses, but cannot be */
int conf_read(const struct conf_request *request, struct conf **out) HV_MUST_CHECK;
void conf_free(struct conf *conf); /* NULL is fine */

const struct conf_resource *conf_resource_find(const struct conf *conf, const char *name);
const struct conf_volume *conf_volume_find(const struct conf_host *host, uint32_t vnr);
/* The volume of this node with that minor; *resource is set with it. */
const struct conf_volume *conf_minor_find(
    const struct conf *conf, uint32_t minor, const struct conf_resource **resource);
/* NULL when not configured. */
const struct conf_handler *conf_handler_find(
    const struct conf_resource *resource, enum conf_handler_id id);
const char *conf_handler_name(enum conf_handler_id id);
const char *conf_asb_name(
    uint32_t value, unsigned primaries); /* primaries 0, 1, 2; 3 for rr-conflict */
const char *conf_family_name(enum conf_family family);

#endif
