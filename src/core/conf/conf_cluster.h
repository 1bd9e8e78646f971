/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CONF_CLUSTER_H
#define CONF_CLUSTER_H
/* The cluster: ha.cf and authkeys (heartbeat §9, §10), or haven.conf's cluster {} (DESIGN §3). */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct conf_node {
    const char *name;    /* lower case */
    const char *address; /* cluster {} only; "" from ha.cf */
    bool me;
};

enum conf_medium_kind {
    CONF_MEDIUM_UCAST,
    CONF_MEDIUM_UCAST6,
    CONF_MEDIUM_BCAST,
    CONF_MEDIUM_MCAST,
    CONF_MEDIUM_MCAST6,
    CONF_MEDIUM_SERIAL,
};

/* A line `bcast eth0 eth1` makes two of these.  From cluster {} each other node's address makes a
 * UCAST or UCAST6 with device "". */
struct conf_medium {
    enum conf_medium_kind kind;
    const char *device;  /* interface, or tty; "": whichever the route says */
    const char *address; /* peer (ucast) or group (mcast), else "" */
    uint16_t port;       /* 0 for serial */
    uint8_t ttl;         /* mcast: ttl or hops */
    bool loop;           /* mcast */
    uint32_t baud;       /* serial */
};

/* `ping host` is a group of one named as its host. */
struct conf_ping {
    const char *name;
    const char *const *hosts;
    size_t n_hosts;
    bool group;
};

enum conf_auto_failback { CONF_FAILBACK_ON, CONF_FAILBACK_OFF, CONF_FAILBACK_LEGACY };

enum conf_auth_method { CONF_AUTH_CRC, CONF_AUTH_MD5, CONF_AUTH_SHA1, CONF_AUTH_SHA256 };

enum { CONF_AUTH_KEYS_MAX = 16 };

struct conf_auth_key {
    bool present;
    enum conf_auth_method method;
    const char *key; /* "" for crc.  Never log it. */
};

struct conf_respawn {
    const char *user;
    const char *command;
    bool failfast;        /* reboot when it dies abnormally */
    bool built_in_ipfail; /* the program's last path component is ipfail */
    bool built_in_dopd;   /* … dopd */
};

struct conf_stonith {
    const char *host; /* `stonith_host`: name or "*"; "" for a `stonith` line */
    const char *type;
    const char *parameters; /* rest of the line; for `stonith` its configuration file */
};

struct conf_apiauth {
    const char *client;
    const char *const *uids;
    const char *const *gids;
    size_t n_uids, n_gids;
};

struct conf_env {
    const char *name, *value; /* handed to scripts as HA_name */
};

struct conf_cluster {
    const char *file;
    const char *name; /* directive `cluster`, "linux-ha" */
    const struct conf_node *nodes;
    size_t n_nodes;
    const struct conf_medium *media;
    size_t n_media;
    const struct conf_ping *pings;
    size_t n_pings;
    uint32_t keepalive_ms, warntime_ms, deadtime_ms, initdead_ms, deadping_ms;
    uint16_t udpport;
    uint32_t baud;
    uint8_t hopfudge;
    enum conf_auto_failback auto_failback;
    struct conf_auth_key keys[CONF_AUTH_KEYS_MAX]; /* by number */
    int active_key;                                /* -1: none */
    const char *witness_address;                   /* "": none */
    uint16_t witness_port;
    const struct conf_respawn *respawns;
    size_t n_respawns;
    const struct conf_stonith *stoniths;
    size_t n_stoniths;
    const struct conf_apiauth *apiauths;
    size_t n_apiauths;
    const struct conf_env *envs;
    size_t n_envs;
    bool use_ipfail, use_dopd; /* some respawn line asks for it; cluster {} has both on */
    const char *logfile, *debugfile, *logfacility; /* "": none */
    bool use_logd, syslogmsgfmt, log_badpack, coredumps, realtime, traditional_compression;
    bool netstring; /* msgfmt netstring */
    uint32_t conn_logd_time_ms, max_rexmit_delay_ms;
    uint32_t debug_level;
    int32_t rtprio; /* -1: not given */
    uint32_t memreserve_kib;
    const char *watchdog;    /* "": none */
    const char *coreroot;    /* "": none */
    const char *compression; /* "", "zlib", "bz2" */
    uint32_t compression_threshold_kib;
    bool generation_by_time; /* hbgenmethod time */
    bool uuid_from_nodename;
};

#endif
