/* SPDX-License-Identifier: Apache-2.0 */
/* A mirrored resource in the Primary role. */
#include <stdio.h>
#include <string.h>

#include "agent.h"
#include "agent_util.h"

enum { RETRY_MS = 50, PING_EVERY = 20, PEER_WAIT_MS = 20000 };

/* On its way to a connection: neither there nor given up. */
static bool is_connecting(const struct agent_volume *v)
{
    static const char *const states[] = {"Unconnected", "Timeout", "BrokenPipe", "NetworkFailure",
        "ProtocolError", "TearDown", "WFConnection", "WFReportParams"};

    for (size_t i = 0; i < sizeof states / sizeof states[0]; i++)
        if (!strcmp(states[i], v->connection))
            return true;
    return false;
}

/* After both machines were down, only the handshake tells whose data is the newer.  Where the cluster
 * hears the other node, the volumes will find each other too: promoting before would make the older
 * data a generation of its own.  (drbd.conf's wfc-timeout is the same thought.) */
static void wait_for_living_peer(const struct agent_request *r, const struct agent_volume_ops *ops,
    const char *resource, struct agent_volume *v)
{
    uint64_t end_ms = agent_clock_ms() + agent_number(r, "peer_wait_ms", PEER_WAIT_MS);
    bool said = false;

    while (
        !strcmp(agent_get(r, "peer"), "alive") && is_connecting(v) && agent_clock_ms() < end_ms) {
        if (!said)
            printf("%s waits for its peer, whose node is alive\n", resource);
        fflush(stdout);
        said = true;
        agent_sleep_ms(RETRY_MS);
        ops->status(r, resource, v);
    }
}

static int drbd_start(const struct agent_request *r, const struct agent_volume_ops *ops,
    const char *resource, struct hv_diag *diag)
{
    struct agent_volume v;
    struct hv_diag why;

    ops->status(r, resource, &v);
    if (v.reachable && !strcmp(v.role, "Primary"))
        return AGENT_OK;
    if (!v.reachable) {
        if (ops->up(r, resource, diag))
            return AGENT_ERROR;
        ops->status(r, resource, &v);
    }
    wait_for_living_peer(r, ops, resource, &v);
    /* For as long as the time limit allows: the peer may be about to give the role up, or its death
     * about to be noticed.  What the volume says last stands in the log when the limit ends us. */
    for (unsigned tries = 0;; tries++) {
        if (tries % PING_EVERY == 0)
            (void)!ops->call(r, resource, "ping-peer", &why);
        if (!ops->call(r, resource, "primary", &why))
            return AGENT_OK;
        if (tries == 0 || tries % PING_EVERY == 0) {
            printf("%s cannot become Primary yet: %s\n", resource, why.text);
            fflush(stdout);
        }
        agent_sleep_ms(RETRY_MS);
    }
}

/* The device may still be closing behind an unmount. */
static int drbd_stop(const struct agent_request *r, const struct agent_volume_ops *ops,
    const char *resource, struct hv_diag *diag)
{
    struct agent_volume v;

    for (unsigned tries = 0;; tries++) {
        ops->status(r, resource, &v);
        if (!v.reachable || !strcmp(v.role, "Secondary"))
            return AGENT_OK;
        if (!ops->call(r, resource, "secondary", diag)) {
            diag->text[0] = 0;
            return AGENT_OK;
        }
        if (tries == 0) {
            printf("%s cannot become Secondary yet: %s\n", resource, diag->text);
            fflush(stdout);
        }
        agent_sleep_ms(RETRY_MS);
    }
}

static int drbd_monitor(const struct agent_request *r, const struct agent_volume_ops *ops,
    const char *resource, struct hv_diag *diag)
{
    struct agent_volume v;

    ops->status(r, resource, &v);
    if (!v.reachable || strcmp(v.role, "Primary"))
        return AGENT_NOT_RUNNING;
    bool here = !strcmp(v.disk, "UpToDate");
    bool there = !strcmp(v.connection, "Connected") || !strncmp(v.connection, "Sync", 4) ||
                 !strncmp(v.connection, "Paused", 6) || !strncmp(v.connection, "Verify", 6);
    if (!here && !there) {
        hv_diag_set(diag, "%s has no usable data: its disk is %s and its peer is not connected",
            resource, v.disk);
        return AGENT_ERROR;
    }
    return AGENT_OK;
}

int agent_drbd(const struct agent_request *r, enum agent_action action,
    const struct agent_volume_ops *ops, struct hv_diag *diag)
{
    const char *resource = agent_get(r, "resource");

    if (!*resource) {
        hv_diag_set(diag, "which resource?");
        return AGENT_USAGE;
    }
    switch (action) {
    case AGENT_START:
        return drbd_start(r, ops, resource, diag);
    case AGENT_STOP:
        return drbd_stop(r, ops, resource, diag);
    default:
        return drbd_monitor(r, ops, resource, diag);
    }
}
