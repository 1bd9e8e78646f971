#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A real Heartbeat 3 (alpha) with our engine (beta, hb_node) as its peer.
#
#   [ns hvhb-a: heartbeat, 10.77.9.1] --veth-- [ns hvhb-b: hb_node, 10.77.9.2]
#
# usage: hb_live.sh HB_NODE NOSYNC; exit 77 when it cannot run here
set -u
node=$1
nosync=$2
skip() { echo "skipped: $1"; exit 77; }
[ "$(id -u)" = 0 ] || skip "needs root"
[ -x /usr/libexec/heartbeat/heartbeat ] || skip "needs the package heartbeat"
ip netns add hvhb-a 2>/dev/null || skip "cannot make network namespaces (or hvhb-a exists)"

dir=$(mktemp -d)
init= beta= fd=
cleanup() {
    [ -n "$fd" ] && exec 7>&-
    [ -n "$beta" ] && kill -9 "$beta" 2>/dev/null
    [ -n "$init" ] && kill -9 "$init" 2>/dev/null # PID 1 of its namespace: everything in it goes
    sleep 0.5
    ip netns del hvhb-a 2>/dev/null
    ip netns del hvhb-b 2>/dev/null
    rm -rf "$dir"
}
trap cleanup EXIT
fail() {
    echo "FAILED: $1"
    tail -n 60 "$dir/beta.log"
    tail -n 40 "$dir/log/ha-log" 2>/dev/null
    exit 1
}

ip netns add hvhb-b
ip link add hvhb0 netns hvhb-a type veth peer name hvhb1 netns hvhb-b
ip -n hvhb-a link set hvhb0 name eth0; ip -n hvhb-b link set hvhb1 name eth0
ip -n hvhb-a addr add 10.77.9.1/24 dev eth0; ip -n hvhb-b addr add 10.77.9.2/24 dev eth0
for n in a b; do ip -n hvhb-$n link set lo up; ip -n hvhb-$n link set eth0 up; done

# --- alpha: Heartbeat with its own /etc/ha.d, /var/lib/heartbeat and /run
mkdir -p "$dir"/{etc,lib,log}
cp -a /etc/ha.d/. "$dir/etc/"
cp -a /var/lib/heartbeat/. "$dir/lib/"
printf 'auth 1\n1 sha1 sekret\n' > "$dir/etc/authkeys"
chmod 600 "$dir/etc/authkeys"
printf 'alpha dumA::1\nbeta dumB\n' > "$dir/etc/haresources"
cat > "$dir/etc/ha.cf" <<CF
logfile $dir/log/ha-log
logfacility none
use_logd off
udpport 16940
keepalive 500ms
warntime 2
deadtime 4
initdead 10
auto_failback off
realtime off
ucast eth0 10.77.9.2
node alpha beta
CF
for r in dumA dumB; do
    cat > "$dir/etc/resource.d/$r" <<'R'
#!/bin/sh
for a; do act=$a; done
f=/var/lib/heartbeat/$(basename $0).up
case $act in start) touch $f ;; stop) rm -f $f ;; status) [ -f $f ] && echo running || echo stopped ;; esac
exit 0
R
    chmod 755 "$dir/etc/resource.d/$r"
done
cat > "$dir/init.sh" <<I
hostname alpha
mount --make-rprivate /
mount --bind $dir/etc /etc/ha.d
mount --bind $dir/lib /var/lib/heartbeat
mount -t tmpfs tmpfs /run
mkdir -p /run/lock /run/heartbeat/{ccm,crm,dopd,rsctmp}
chown -R hacluster:haclient /run/heartbeat
chmod 750 /run/heartbeat /run/heartbeat/*
touch $dir/ready
exec python3 -c 'import os, time
while True:
    try: os.waitpid(-1, 0)
    except ChildProcessError: time.sleep(0.2)'
I
ip netns exec hvhb-a unshare -m -u -i -p -f --mount-proc bash "$dir/init.sh" &
unshare_pid=$!
for _ in $(seq 50); do [ -f "$dir/ready" ] && break; sleep 0.1; done
init=$(pgrep -P "$unshare_pid" | head -1)
[ -n "$init" ] || fail "no namespace"
alpha() { nsenter -t "$init" -n -m -u -i -p -- "$@"; }

# --- beta: our engine
mkfifo "$dir/in"
generation=1700000000
beta_start() {
    generation=$((generation + 1))
    ip netns exec hvhb-b "$node" beta alpha 10.77.9.1 16940 sekret "$generation" off \
        dumA::1@alpha dumB@beta < "$dir/in" >> "$dir/beta.log" 2>&1 7>&- &
    beta=$!
    exec 7> "$dir/in"
    fd=7
}
beta_state() { tail -n 200 "$dir/beta.log" | sed -n 's/^[0-9]* held \([a-z]*\) peer .*/\1/p' | tail -1; }
alpha_state() { alpha cl_status rscstatus 2>/dev/null; }

# until ALPHA BETA SECONDS WHAT
until_state() {
    for _ in $(seq $(($3 * 5))); do
        a=$(alpha_state); b=$(beta_state)
        [ "$a" = "$1" ] && [ "$b" = "$2" ] && { echo "ok: $4 (alpha $a, beta $b)"; return; }
        sleep 0.2
    done
    fail "$4: alpha '$a' beta '$b', expected '$1' '$2'"
}

alpha env LD_PRELOAD="$nosync" /usr/libexec/heartbeat/heartbeat < /dev/null > /dev/null 2>&1 || fail "heartbeat does not start"
beta_start
until_state local local 40 "both start"
alpha /usr/share/heartbeat/hb_standby all > /dev/null 2>&1
until_state none all 20 "Heartbeat goes standby"
echo "standby all" >&7
until_state all none 20 "haven goes standby"
echo "takeover local" >&7
until_state local local 20 "haven takes its own back"
alpha /usr/share/heartbeat/hb_takeover foreign > /dev/null 2>&1
until_state all none 20 "Heartbeat takes over ours"
alpha /usr/share/heartbeat/hb_standby foreign > /dev/null 2>&1
until_state local local 20 "and gives it back"

kill -9 "$beta"; wait "$beta" 2>/dev/null
for _ in $(seq 100); do [ "$(alpha_state)" = all ] && break; sleep 0.2; done
[ "$(alpha_state)" = all ] || fail "Heartbeat does not take over from a dead haven"
echo "ok: haven dies, Heartbeat takes over"
exec 7>&-; : > "$dir/beta.log"
beta_start
until_state all none 30 "haven comes back, nothing fails back"
sleep 2 # Heartbeat ignores requests while it thinks us in flux
alpha /usr/share/heartbeat/hb_standby foreign > /dev/null 2>&1
until_state local local 20 "Heartbeat gives ours back"

echo "shutdown" >&7
for _ in $(seq 100); do grep -q ^stopped "$dir/beta.log" && break; sleep 0.2; done
grep -q ^stopped "$dir/beta.log" || fail "haven does not leave"
wait "$beta" 2>/dev/null; exec 7>&-
for _ in $(seq 100); do [ "$(alpha_state)" = all ] && break; sleep 0.2; done
[ "$(alpha_state)" = all ] || fail "Heartbeat does not take over from a haven that leaves"
echo "ok: haven leaves, Heartbeat takes over"
: > "$dir/beta.log"
beta_start
until_state all none 30 "haven joins again"

ip -n hvhb-b link set eth0 down
for _ in $(seq 100); do [ "$(beta_state)" = all ] && break; sleep 0.2; done
[ "$(beta_state)" = all ] || fail "haven does not take over when cut off"
ip -n hvhb-b link set eth0 up
# Heartbeat restarts itself after a partition; haven keeps what it took.
for _ in $(seq 300); do
    a=$(alpha_state); b=$(beta_state)
    [ "$a" = none ] && [ "$b" = all ] && break
    sleep 0.2
done
[ "$a" = none ] && [ "$b" = all ] || fail "after a healed partition: alpha '$a' beta '$b'"
grep -q "stop dum" "$dir/beta.log" && fail "haven stopped something after the partition"
echo "ok: partition heals, haven goes on serving"

alpha /usr/libexec/heartbeat/heartbeat -k > /dev/null 2>&1
for _ in $(seq 100); do tail -n 5 "$dir/beta.log" | grep -q "peer dead" && break; sleep 0.2; done
[ "$(beta_state)" = all ] || fail "haven after Heartbeat left: $(beta_state)"
echo "ok: Heartbeat leaves, haven holds all"
