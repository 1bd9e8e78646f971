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
    for log in "$HAVEN_LAB_DIR"/nodes/ct7?/root/var/log/{ha-log,haven/*.log} "$SHARE"/*.log; do
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
    rm -rf "$HAVEN_LAB_DIR" "$HAVEN_LAB_DIR.lock" "$HAVEN_LAB_DIR.config"
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

# ---- a cluster in the lab ---------------------------------------------------------------------

# config_make [SED-EXPRESSION…]: the guide's files with quicker timers, then the expressions, applied to
# ha.cf; prints the directory.  A resync does not wait for a client that never stops writing.
config_make() {
    local at=$HAVEN_LAB_DIR.config expression
    rm -rf "$at"
    cp -a "$GUIDE" "$at"
    for expression in 's/^keepalive .*/keepalive 200ms/' 's/^deadtime .*/deadtime 2/' \
        's/^warntime .*/warntime 1/' 's/^initdead .*/initdead 5/' "$@"; do
        sed -i "$expression" "$at/etc/ha.d/ha.cf"
    done
    sed -i 's/^\( *\)on-io-error detach;/&\n\1c-min-rate 40M;/' "$at/etc/drbd.d/drbd_basic.cfg"
    echo "$at"
}

need_cluster() {
    local name
    need ip nft nsenter losetup mkfs.ext4 ping rpcbind showmount ganesha.nfsd
    for name in haven havend haven-volume; do
        [ -x "${HAVEN_BUILD:?}/src/bin/$name/$name" ] || skip "$name is not built"
    done
    [ -x "$HAVEN_BUILD/lab/nfsclient" ] || skip 'nfsclient is not built (libnfs)'
}

# cluster_up [options of lab up]: a lab whose service answers.
cluster_up() {
    step "up $*"
    "$LAB" up "$@" || fail 'the lab does not come up'
    OWNER=$("$LAB" owner) || fail 'nobody has the service'
}

other_of() { [ "$1" = ct74 ] && echo ct75 || echo ct74; }
owner_is() { [ "$("$LAB" owner)" = "$1" ]; }
owner_wait() { until_true "$2" owner_is "$1" || fail "$1 does not have the service within $2 s"; }
volume_says() { [ "$(on "$1" haven "$2" r0 2>/dev/null)" = "$3" ]; }
uptodate_wait() { "$LAB" wait "$1" uptodate || fail "the replicas are not up to date within $1 s"; }

# The client writes until client_stop; CLIENT counts its ledgers.
CLIENT=0
client_start() {
    CLIENT=$((CLIENT + 1))
    LEDGER=/share/ledger.$CLIENT
    "$LAB" client sh -c "nfsclient write --ledger $LEDGER --file /records.$CLIENT $* >/share/client.$CLIENT.log 2>&1 &" ||
        fail 'no client'
    until_true 30 acknowledged_more 0 || fail 'the client gets no acknowledgement'
}
acknowledged() { grep -c '^A' "$HAVEN_LAB_DIR$LEDGER" 2>/dev/null; }
acknowledged_more() { [ "$(acknowledged)" -gt "$1" ]; }
# goes_on SECONDS [RECORDS]: the client gets so many more acknowledgements (100: what the nodes tell each
# other about a new connection has been told by then).
goes_on() {
    until_true "$1" acknowledged_more $(($(acknowledged) + ${2:-100})) || fail "the client does not go on within $1 s"
}
mark() { "$LAB" client nfsclient mark --ledger "$LEDGER" "$1" || fail "mark $1"; }
pause_ms() { "$LAB" client nfsclient pause --ledger "$LEDGER" --from "$1" --to "$2"; }
# pause_below FROM TO LIMIT_MS
pause_below() {
    local ms
    ms=$(pause_ms "$1" "$2") || fail "no pause between $1 and $2"
    step "pause $1..$2: $ms ms (less than $3 wanted)"
    [ "$ms" -lt "$3" ] || fail "the client waited $ms ms"
}

client_gone() { ! "$LAB" client pgrep -x nfsclient >/dev/null; }
client_stop() {
    "$LAB" client pkill -TERM -x nfsclient
    until_true 10 client_gone || fail 'the client does not stop'
    tail -n 1 "$SHARE/client.$CLIENT.log"
}

# Nothing acknowledged is lost, for each of the test's clients; no error either, unless "errors" is said.
records_verify() {
    local ledger out
    for ledger in "$SHARE"/ledger.*; do
        [ -e "$ledger" ] || continue
        out=$("$LAB" client nfsclient verify --file "/records.${ledger##*.}" --ledger "/share/${ledger##*/}" --wait 30) ||
            fail "records are lost: $out"
        step "$out"
        [ "${1:-}" = errors ] || [[ $out = *' errors 0 '* ]] || fail 'the client saw errors'
    done
}

# finish [errors]: one owner, all records there, replicas up to date and, switched off, the same.
finish() {
    local node
    client_gone || client_stop
    step 'what is left of it'
    "$LAB" wait 30 nfs || fail 'the service does not answer'
    [ "$("$LAB" owner | wc -l)" = 1 ] || fail "owners: $("$LAB" owner | tr '\n' ' ')"
    uptodate_wait 60
    step 'reading back'
    records_verify "$@"
    step 'orderly stop, and comparison of the replicas'
    for node in $(other_of "$("$LAB" owner)") $("$LAB" owner); do
        on "$node" systemctl stop heartbeat || fail "heartbeat does not stop on $node"
    done
    for node in ct74 ct75; do
        on "$node" systemctl stop drbd || fail "the volume does not stop on $node"
    done
    "$LAB" down --keep || fail 'the lab does not go down'
    "$LAB" compare || fail 'the replicas differ'
    step 'done'
}
