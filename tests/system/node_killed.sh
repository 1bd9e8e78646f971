#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# node_killed.sh idle|writing|resyncing|taking-over: each of the two nodes loses its power at that
# moment, and comes back.
. "$(dirname "$0")/lib.sh"
need_cluster
when=${1:?idle, writing, resyncing or taking-over}

resyncing() { [[ $(on "$1" haven cstate r0 2>/dev/null) = Sync* ]]; }

# comes_back NODE: on, up to date, and the service stays where it is.
comes_back() {
    local owner
    owner=$("$LAB" owner)
    "$LAB" boot "$1" || fail "$1 does not boot"
    uptodate_wait 90
    owner_wait "$owner" 1
}

killed_idle() {
    local victim=$1 other
    other=$(other_of "$victim")
    client_start
    goes_on 10
    client_stop
    "$LAB" crash "$victim" || fail 'crash'
    owner_wait "$other" 30
    "$LAB" wait 30 nfs || fail 'the service does not answer'
    comes_back "$victim"
}

killed_writing() {
    local victim=$1
    client_start
    goes_on 10
    "$LAB" crash "$victim" || fail 'crash'
    owner_wait "$(other_of "$victim")" 30
    goes_on 60
    comes_back "$victim"
    goes_on 10
    client_stop
}

# The target of a resync dies, then its source: with the source dead nobody has good data, and the
# service waits until it is back.
killed_resyncing() {
    local victim=$1 owner other
    owner=$("$LAB" owner) other=$(other_of "$owner")
    client_start
    "$LAB" crash "$other" || fail 'crash'
    goes_on 60
    on "$owner" sh -c 'dd if=/dev/urandom of=/nfs/ballast bs=1M count=40 conv=fsync 2>/dev/null'
    "$LAB" boot "$other" || fail 'boot'
    until_true 30 resyncing "$owner" || step 'the resync was over before it was seen'
    "$LAB" crash "$victim" || fail 'crash'
    if [ "$victim" = "$owner" ]; then
        "$LAB" boot "$victim" || fail 'boot'
        "$LAB" wait 60 nfs || fail 'the service does not answer'
        uptodate_wait 90
    else
        goes_on 60
        comes_back "$victim"
    fi
    goes_on 90
    client_stop
}

# The holder dies; while the other takes over, the other dies as well, and is the first to come back.
killed_taking_over() {
    local holder=$1 other
    other=$(other_of "$holder")
    client_start
    "$LAB" crash "$holder" || fail 'crash'
    until_true 20 volume_says "$other" role Primary/Unknown || fail 'no takeover'
    "$LAB" crash "$other" || fail 'crash'
    "$LAB" boot "$other" || fail 'boot'
    "$LAB" boot "$holder" || fail 'boot'
    "$LAB" wait 60 nfs || fail 'the service does not answer'
    uptodate_wait 90
    goes_on 90
    client_stop
}

cluster_up --config "$(config_make)" --disk-size 128M
for victim in ct74 ct75; do
    step "$when: $victim"
    if [ "$when" != resyncing ] && ! owner_is "$victim"; then
        on "$(other_of "$victim")" hb_standby || fail 'hb_standby'
        owner_wait "$victim" 30
        "$LAB" wait 30 nfs || fail 'the service does not answer'
    fi
    "killed_${when//-/_}" "$victim"
done
finish
