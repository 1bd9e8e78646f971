#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The NFS server is killed: it is restarted in place.  It is killed again each time it is restarted: the
# service moves to the other node.
. "$(dirname "$0")/lib.sh"
need_cluster

server_kill() { on "$1" pkill -9 ganesha 2>/dev/null; }
killed_until_moved() {
    server_kill "$1"
    owner_is "$(other_of "$1")"
}

cluster_up --config "$(config_make)" --disk-size 128M
client_start
step 'once'
mark once
server_kill "$OWNER"
goes_on 30
mark again
pause_below once again 6500
owner_wait "$OWNER" 1

step 'each time it is restarted'
until_true 60 killed_until_moved "$OWNER" || fail 'the service does not move'
goes_on 60
finish
