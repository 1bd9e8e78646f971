#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Two havends with an address and a script to look after, and no volume:
#
#   a (ct74) 10.78.0.74 ---+--- hub 10.78.0.1 (ping node) ---+--- b (ct75) 10.78.0.75
#
# service address 10.78.0.82.  Everything lives in namespaces of this script and ends with it.
# usage: havend_pair.sh HAVEND HAVEN
set -u
if [ "${1:-}" != --inside ]; then
    [ "$(id -u)" = 0 ] || { echo 'skipped: needs root'; exit 77; }
    unshare -nmp true 2>/dev/null || { echo 'skipped: needs namespaces'; exit 77; }
    exec unshare -n -m -p -f --mount-proc --kill-child "$0" --inside "$@"
fi
HAVEND=$(readlink -f "$2") HAVEN=$(readlink -f "$3") # from here on in another directory
mount -t tmpfs tmpfs /run && mkdir -p /run/netns /run/pair && cd /run/pair || exit 1
NODES='a b'
declare -A NAME=([a]=ct74 [b]=ct75) HOST=([a]=74 [b]=75) OTHER=([a]=b [b]=a)

fail() {
    echo "FAILED: $*"
    for n in $NODES; do echo "--- ${NAME[$n]}"; tail -n 40 "$n/var/log/ha-log"; done
    exit 1
}
step() { printf '%s  %s\n' "$(date +%T.%3N)" "$*"; }

# within TENTHS CMD…: CMD succeeds before so many tenths of a second have passed.
within() {
    local left=$1
    shift
    until "$@"; do
        [ $((left--)) -gt 0 ] || return 1
        sleep 0.1
    done
}
has() { ip -n "$1" -4 -br a show eth0 | grep -q '10\.78\.0\.82/'; }
flagged() { [ -e "$1/flag" ]; }
owns() { has "$1" && flagged "$1"; }
only() { owns "$1" && ! has "${OTHER[$1]}" && ! flagged "${OTHER[$1]}"; }
pid() { cat "$1/run/haven/havend.pid" 2>/dev/null; }
start() { HAVEN_ROOT=$PWD/$1 __DRBD_NODE__=${NAME[$1]} ip netns exec "$1" "$HAVEND" --root "$PWD/$1"; }
haven() {
    local n=$1
    shift
    HAVEN_ROOT=$PWD/$n __DRBD_NODE__=${NAME[$n]} "$HAVEN" "$@"
}
calm() {
    haven a status --json | grep -q '"held": "\(all\|none\|local\|foreign\)"' &&
        haven b status --json | grep -q '"held": "\(all\|none\|local\|foreign\)"'
}
gone() { ! kill -0 "$1" 2>/dev/null; }

ip netns add hub
ip -n hub link add br0 type bridge stp_state 0 forward_delay 0
ip -n hub addr add 10.78.0.1/24 dev br0
ip -n hub link set br0 up
for n in $NODES; do
    ip netns add "$n"
    ip -n "$n" link set lo up
    ip link add eth0 netns "$n" type veth peer name "v$n" netns hub
    ip -n hub link set "v$n" master br0 up
    ip -n "$n" addr add "10.78.0.${HOST[$n]}/24" brd + dev eth0
    ip -n "$n" link set eth0 up
    mkdir -p "$n/etc/ha.d/resource.d"
    cat >"$n/etc/ha.d/ha.cf" <<TXT
logfile /var/log/ha-log
keepalive 100ms
deadtime 1
warntime 500ms
initdead 3
ucast eth0 10.78.0.${HOST[${OTHER[$n]}]}
auto_failback off
node ct74
node ct75
ping 10.78.0.1
respawn root /usr/lib/heartbeat/ipfail
TXT
    printf 'auth 1\n1 sha1 not-a-secret\n' >"$n/etc/ha.d/authkeys"
    chmod 0600 "$n/etc/ha.d/authkeys"
    echo 'ct74 IPaddr::10.78.0.82/24/eth0 flag::one' >"$n/etc/ha.d/haresources"
    cat >"$n/etc/ha.d/resource.d/flag" <<TXT
case \$2 in
start) touch $PWD/$n/flag ;;
stop) rm -f $PWD/$n/flag ;;
status) [ -e $PWD/$n/flag ] && echo running || echo stopped ;;
esac
TXT
    chmod +x "$n/etc/ha.d/resource.d/flag"
    echo 'global { usage-count no; }' >"$n/etc/drbd.conf"
done

step 'both start: the preferred node has the group'
start a || fail 'havend does not start'
start b || fail 'havend does not start'
within 100 only a || fail 'ct74 does not take the group'
within 50 calm || fail 'no end of the transition'
[ "$(haven b status --json | grep -c '"name": "ct74"')" -ge 1 ] || fail 'ct75 does not show ct74'
start a 2>&1 | grep -q 'already running' || fail 'a second havend starts'

step 'standby: the other node has it'
haven a standby || fail 'standby is refused'
within 50 only b || fail 'ct75 does not take over'
within 50 calm || fail 'no end of the transition'

step 'havend killed and started again at once: what runs is adopted'
old=$(pid b)
kill -9 "$old"
within 20 gone "$old"
touch -d '1 hour ago' b/flag
start b
within 50 calm || fail 'no end of the transition'
only b || fail 'the group did not stay'
[ -z "$(find b/flag -mmin -30)" ] || fail 'it was started again instead of adopted'

step 'the resource dies: restarted in place; dies again: moved'
rm b/flag
within 40 only b || fail 'not restarted'
rm b/flag
within 60 only a || fail 'not moved when it recurred'
within 50 calm || fail 'no end of the transition'

step 'the holder loses its link: the other takes over, it gives up'
ip -n a link set eth0 down
within 30 owns b || fail 'no takeover'
within 30 only b || fail 'the isolated node keeps the group'
ip -n a link set eth0 up
within 100 calm || fail 'no end of the transition after the heal'
only b || fail 'the healed partition moved the group'

step 'orderly end: the other takes over at once'
old=$(pid b)
kill "$old"
within 30 only a || fail 'ct74 does not take over from a node that leaves'
within 50 gone "$old" || fail 'havend does not end'
grep -q 'Heartbeat shutdown complete' b/var/log/ha-log || fail 'no word of the end'

step 'the node comes back, and does not take the group'
start b
within 100 calm || fail 'no end of the transition'
only a || fail 'the group moved with auto_failback off'
step 'all is well'
