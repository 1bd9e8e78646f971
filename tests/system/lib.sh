# SPDX-License-Identifier: Apache-2.0
# What the system tests share: a lab of their own, a client that writes, and what must hold at the end.
# shellcheck shell=bash
#
#          gateway .1    witness .90
#               |            |
#   ct74 .74 ---+--- hub ----+--- ct75 .75        service address 192.168.137.82
#                     |
#                 client .61
#
# A test sources this file, calls lab_up, acts, and ends with `finish`.  However it ends, the lab is
# taken down; what the lab leaves behind fails the test.
set -u
TESTS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
LAB=$TESTS/../../lab/lab
GUIDE=$TESTS/../../lab/guide
export HAVEN_LAB_DIR
HAVEN_LAB_DIR=$(mktemp -d /var/tmp/haven-test-XXXXXX)
SHARE=$HAVEN_LAB_DIR/share # /share in each node
FAILED=''
STARTED_US=${EPOCHREALTIME/[.,]/}

skip() { echo "skipped: $*"; trap - EXIT; rm -rf "$HAVEN_LAB_DIR"; exit 77; }
step() { printf '%7.2f s  %s\n' "$((${EPOCHREALTIME/[.,]/} - STARTED_US))e-6" "$*"; }

# fail WHY: says why, shows what the nodes logged, and ends the test.
fail() {
    step "FAILED: $*"
    FAILED=1
    "$LAB" status 2>&1 | sed 's/^/    /'
    for log in "$HAVEN_LAB_DIR"/nodes/ct7?/root/var/log/{*.log,haven/*.log,ha-log} "$SHARE"/*.log; do
        [ -s "$log" ] || continue
        echo "--- ${log#"$HAVEN_LAB_DIR"/}"
        tail -n 40 "$log"
    done
    exit 1
}

at_exit() {
    local rc=$?
    "$LAB" down || rc=1
    "$LAB" leftovers || { echo 'FAILED: the lab left something behind'; rc=1; }
    rm -rf "$HAVEN_LAB_DIR" "$HAVEN_LAB_DIR.lock"
    [ -z "$FAILED" ] || rc=1
    exit $rc
}
trap at_exit EXIT

need() {
    local name
    [ "$(id -u)" = 0 ] || skip 'needs root'
    [ -c /dev/fuse ] || skip 'needs /dev/fuse'
    [ -e /dev/loop-control ] || skip 'needs loop devices'
    for name; do command -v "$name" >/dev/null || skip "needs $name"; done
    unshare -n true 2>/dev/null || skip 'needs namespaces'
}

# until SECONDS CMD…: 1 when CMD has not succeeded by then.
until_true() {
    local deadline=$((${EPOCHREALTIME/[.,]/} + $1 * 1000000))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "${EPOCHREALTIME/[.,]/}" -lt $deadline ] || return 1
        read -rt 0.05 <> <(:)
    done
    return 0
}

on() { "$LAB" exec "$@"; }
