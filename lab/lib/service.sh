# SPDX-License-Identifier: Apache-2.0
# The volume and the service on it: the steps of the guide, and looking at what came of them.
# shellcheck shell=bash

service_owner() {
    local node rc=1
    for node in $DISK_NODES; do
        if node_up "$node" && node_exec "$node" ip -o -4 addr show | grep -qF " $SERVICE_ADDRESS/"; then
            echo "$node"
            rc=0
        fi
    done
    return $rc
}
owner_is() { [ "$(service_owner)" = "$1" ]; }

service_answers() {
    node_exec client nfsclient probe --server "$SERVICE_ADDRESS" --wait "$1"
}

volume_says() { [ "$(node_exec "$1" haven "$2" r0 2>/dev/null)" = "$3" ]; }
volumes_all_say() {
    local node
    for node in $DISK_NODES; do volume_says "$node" "$1" "$2" || return 1; done
}
volumes_connected() { volumes_all_say cstate Connected; }
volumes_uptodate() { volumes_all_say dstate UpToDate/UpToDate && volumes_connected; }

node_status() {
    local node=$1
    node_has_disk "$node" || return 0
    program haven >/dev/null || return 0
    printf ', %s %s' "$(node_exec "$node" haven role r0 2>/dev/null || echo -)" \
        "$(node_exec "$node" haven dstate r0 2>/dev/null || echo -)"
    ! owner_has "$node" || printf ', has %s' "$SERVICE_ADDRESS"
    ! disk_faulty || printf ', disk %s' "$(disk_mode_now "$node")"
}
owner_has() { service_owner | grep -qxF "$1"; }

# Meta data on both, the first synchronisation from ct74, and a file system.
volume_first_sync() {
    local node
    for node in $DISK_NODES; do
        node_exec "$node" sh -c 'drbdadm create-md r0 && systemctl enable drbd && systemctl start drbd' >&2 || return 1
    done
    wait_for 30 volumes_connected || { say 'the volumes do not connect'; return 1; }
    node_exec ct74 drbdadm primary --force r0 || return 1
    wait_for 300 volumes_uptodate || { say 'the first synchronisation does not end'; return 1; }
    node_exec ct74 mkfs.ext4 -q -F /dev/drbd0 || return 1
    node_exec ct74 drbdadm secondary r0
}

cluster_first_start() {
    local node
    for node in $DISK_NODES; do
        node_exec "$node" sh -c 'systemctl enable heartbeat && systemctl start heartbeat' || return 1
    done
    service_answers 60
}
