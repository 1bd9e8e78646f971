#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# havend and the real Heartbeat 3.0.6 as two nodes of one cluster, each in namespaces of its own:
#
#     alpha 10.77.0.1 ---- hub (a bridge) ---- beta 10.77.0.2
#     heartbeat                                havend
#
# Both run the same dummy resource scripts, which write down every call.  What must hold: who has which
# group at the end of each step, no script is ever started on both nodes, neither daemon has complained.
#   test_heartbeat.sh HAVEND HAVEN LAB_INIT NOSYNC CASE
# Exit 77: cannot run here.  With KEEP set in the environment the directory with the logs stays.
set -u

case=${5:?which case}
# In a node there is another working directory.
havend=$(readlink -f "$1") haven=$(readlink -f "$2") lab_init=$(readlink -f "$3") nosync=$(readlink -f "$4")
here=$(dirname "$(readlink -f "$0")")
libexec=/usr/libexec/heartbeat/heartbeat
tools=/usr/share/heartbeat
LC_ALL=C
export LC_ALL

skip() { echo "skipped: $*"; exit 77; }
[ "$(id -u)" = 0 ] || skip "namespaces need root"
[ -x $libexec ] && [ -x $tools/hb_standby ] || skip "package heartbeat is not installed"
for need in ip nft nsenter; do
    command -v $need >/dev/null || skip "$need is not installed"
done
unshare -n -m -u -i -p -f true 2>/dev/null || skip "no namespaces can be made here"

# ---- the two nodes -------------------------------------------------------------------------------

# In memory: Heartbeat waits for its state to be on disk, and on a busy one it would be silent meanwhile.
dir=$(mktemp -d /dev/shm/hbi-XXXXXX 2>/dev/null) || dir=$(mktemp -d /var/tmp/hbi-XXXXXX) || exit 1
chmod 755 "$dir"
calls=$dir/calls failures=0
keepalive=500ms warntime=2 deadtime=4 initdead=6
failback=on auth='1 sha1 sekret' msgfmt=classic
groups='alpha dumA::1::x dumB
beta dumC'

cleanup() {
    local name
    for name in alpha beta hub; do
        [ -s "$dir/$name.pid" ] && kill -9 "$(cat "$dir/$name.pid")" 2>/dev/null
    done
    if [ $failures -gt 0 ] && [ -z "${KEEP:-}" ]; then
        echo "---- calls"; tail -n 60 "$calls"
        for name in alpha beta; do
            echo "---- $name's log"; tail -n 120 "$dir/$name/log"
        done
    fi 2>/dev/null
    # Its process 1 is gone, but the kernel may be taking its mounts apart still.
    [ -n "${KEEP:-}" ] && echo "kept: $dir" || rm -rf --one-file-system "$dir"
}
trap cleanup EXIT
trap 'exit 1' INT TERM HUP

ok() { echo "ok    $(since)  $*"; }
fail() { echo "FAIL  $(since)  $*"; failures=$((failures + 1)); }
since() { printf '%3ds' $SECONDS; }
note() { echo "$(date +%s.%N) $*" >>"$calls"; }
now_ms() { date +%s%3N; }
alive() { [ -s "$dir/$1.pid" ] && kill -0 "$(cat "$dir/$1.pid")" 2>/dev/null; }

in_node() { # in_node NAME COMMAND…
    local pid
    pid=$(cat "$dir/$1.pid") || return 1
    shift
    nsenter -t "$pid" -n -m -u -i -p -- "$@"
}

in_hub() { nsenter -t "$(cat "$dir/hub.pid")" -n -- "$@"; }

configure() {
    local name peer root
    for name in alpha beta; do
        [ $name = alpha ] && peer=10.77.0.2 || peer=10.77.0.1
        # havend is given a root, which its log is below; Heartbeat is not.
        [ $name = alpha ] && root=$dir/$name || root=
        mkdir -p "$dir/$name"/{etc/ha.d,var/lib/heartbeat,up}
        cp -a /etc/ha.d/. "$dir/$name/etc/ha.d/"
        cp -a /var/lib/heartbeat/. "$dir/$name/var/lib/heartbeat/"
        rm -f "$dir/$name"/var/lib/heartbeat/{hb_*,fifo}
        (umask 077; printf 'auth %s\n%s\n' "${auth%% *}" "$auth" >"$dir/$name/etc/ha.d/authkeys")
        echo "$groups" >"$dir/$name/etc/ha.d/haresources"
        cat >"$dir/$name/etc/ha.d/ha.cf" <<-CF
	logfile $root/log
	logfacility none
	use_logd off
	udpport 16940
	keepalive $keepalive
	warntime $warntime
	deadtime $deadtime
	initdead $initdead
	auto_failback $failback
	msgfmt $msgfmt
	realtime off
	ucast eth0 $peer
	node alpha beta
	CF
        for script in dumA dumB dumC; do
            cat >"$dir/$name/etc/ha.d/resource.d/$script" <<-SCRIPT
	#!/bin/sh
	# A resource that takes a moment to start and to stop, and says what was asked of it.
	me=\`basename \$0\` up=$dir/$name/up/\`basename \$0\`
	for action; do :; done
	say() { echo "\`date +%s.%N\` $name \$me \$1" >>$calls; }
	case \$action in
	start) say start; sleep 0.2; touch \$up; say started;;
	stop) say stop; sleep 0.2; rm -f \$up; say stopped;;
	status) if [ -f \$up ]; then echo running; else echo stopped; fi;;
	esac
	exit 0
	SCRIPT
            chmod 755 "$dir/$name/etc/ha.d/resource.d/$script"
        done
    done
    mkdir "$dir/tools"
    for name in hb_standby hb_takeover cl_status; do
        ln -s "$haven" "$dir/tools/$name"
    done
    : >"$calls"
}

power_on() { # power_on NAME: the machine, without a daemon
    local address=10.77.0.1
    [ "$1" = alpha ] || address=10.77.0.2
    "$lab_init" "$1" "$dir/$1.pid" - "$here/heartbeat_node.sh" "$dir" "$1" || return 1
    in_hub ip link add "to-$1" type veth peer name eth0 netns "$(cat "$dir/$1.pid")"
    in_hub ip link set "to-$1" master bridge up
    in_node "$1" ip addr add $address/24 brd 10.77.0.255 dev eth0
    in_node "$1" ip link set eth0 up
}

power_off() { # power_off NAME: kill -9 of everything on it
    local pid
    pid=$(cat "$dir/$1.pid")
    in_hub ip link del "to-$1"
    kill -9 "$pid"
    rm -f "$dir/$1/up"/*
    note "$1 - died"
    until_true 5 "$1 is off" "! kill -0 $pid 2>/dev/null" && rm -f "$dir/$1.pid"
}

start() { # start NAME: its daemon
    if [ "$1" = alpha ]; then
        in_node alpha env LD_PRELOAD="$nosync" $libexec >>"$dir/alpha.out" 2>&1 ||
            { fail "heartbeat does not start: $(cat "$dir/alpha.out")"; exit 1; }
    else
        in_node beta "$havend" --root "$dir/beta" >>"$dir/beta.out" 2>&1 ||
            { fail "havend does not start: $(cat "$dir/beta.out")"; exit 1; }
    fi
}

stop() { # stop NAME: gracefully; does not wait
    if [ "$1" = alpha ]; then
        in_node alpha $libexec -k >/dev/null 2>&1 &
    else
        in_node beta kill -TERM "$(cat "$dir/beta/run/haven/havend.pid")"
    fi
}

# Both programs have the same tools.
tool() { # tool NAME hb_standby|hb_takeover|cl_status ARGUMENT…
    local name=$1 program=$2
    shift 2
    if [ $name = beta ]; then
        in_node beta env HAVEN_ROOT="$dir/beta" "$dir/tools/$program" "$@"
    elif [ "$program" = cl_status ]; then
        in_node alpha cl_status "$@"
    else
        in_node alpha $tools/"$program" "$@"
    fi
}

lose() { # lose input|output [MATCH]: heartbeats that come to beta, that leave it
    in_node beta nft "add table inet lose; add chain inet lose $1 { type filter hook $1 priority 0; }
        add rule inet lose $1 udp dport 16940 ${2:-} drop"
}
lose_nothing() { in_node beta nft delete table inet lose; }

# ---- conditions ----------------------------------------------------------------------------------

until_true() { # until_true SECONDS WHAT CONDITION
    local end=$(($(now_ms) + $1 * 1000))
    until eval "$3"; do
        [ "$(now_ms)" -lt $end ] || { fail "not within $1 s: $2"; return 1; }
        sleep 0.1
    done
}

where() { # "A@alpha B@alpha C@beta": what runs where
    local script name text=
    for script in A B C; do
        for name in alpha beta; do
            [ -e "$dir/$name/up/dum$script" ] && text="$text$script@$name "
        done
    done
    echo "${text% }"
}

held() { # held NAME: none, local, foreign, all, transition; - when it does not run or is not active yet
    local status
    alive "$1" && status=$(tool "$1" cl_status nodestatus "$1" 2>/dev/null) && [ "$status" = active ] &&
        tool "$1" cl_status rscstatus 2>/dev/null || echo -
}

# settles SECONDS WHERE ALPHA BETA WHAT: who runs what, and what each daemon says that it holds.
settles() {
    local end=$(($(now_ms) + $1 * 1000)) a b w
    while :; do
        w=$(where)
        if [ "$w" = "$2" ]; then
            a=$(held alpha) b=$(held beta)
            [[ $a == $3 && $b == $4 && $(where) == "$2" ]] && { ok "$5: $w"; return; }
        fi
        [ "$(now_ms)" -lt $end ] || break
        sleep 0.2
    done
    fail "$5: after $1 s '$w' (heartbeat ${a:-?}, havend ${b:-?}), expected '$2' ($3, $4)"
    return 1
}

# How long after the first of node A's events (stopped, died) since MARK did B start something of A's?
mark() { wc -l <"$calls"; }
pause_ms() { # pause_ms MARK A EVENT B
    awk -v from="$1" -v a="$2" -v event="$3" -v b="$4" 'NR <= from { next }
        $2 == a && $4 == event { left = $1 }
        $2 == b && $4 == "start" && left && !done { printf "%d", ($1 - left) * 1000; done = 1 }' "$calls"
}
check_pause() { # check_pause WHAT MS LOW HIGH
    if [ -n "$2" ] && [ "$2" -ge "$3" ] && [ "$2" -le "$4" ]; then
        ok "$1 after $2 ms"
    else
        fail "$1 after '$2' ms, expected $3 to $4"
    fi
}

# ---- what the logs say -----------------------------------------------------------------------------

logged() { grep -c -- "$2" "$dir/$1/log"; } # logged NAME TEXT
never() { # never NAME PATTERN
    local found
    found=$(grep -E -- "$2" "$dir/$1/log" | head -3)
    [ -z "$found" ] || fail "$1 says: $found"
}

# A hole in the sequence must have been filled, unless its sender has gone meanwhile.
holes() {
    awk '/lost packet\(s\)/ { open = $0 } /No pkts missing|is dead|Heartbeat restart on node|returning after/ { open = "" }
        END { if (open) print open }' "$dir/$1/log"
}

check_logs() {
    local name found
    found=$(awk -f "$here/heartbeat_calls.awk" "$calls")
    [ -z "$found" ] || fail "$found"
    never alpha 'bad packet|authtoken|uthenticat|replay attack|bad node|Irretrievably|filling up|Ignored standby|ttempting replay|MSG: Dumping|string2msg|is paused|are now paused'
    never beta 'packet refused|Irretrievably|Ignored standby|cannot sign|too many|lost a lot'
    # Only a cut lets it happen.
    grep -q ' cut$' "$calls" || { never alpha 'Both machines own' && never beta 'Both nodes hold'; }
    for name in alpha beta; do
        found=$(holes $name)
        [ -z "$found" ] || fail "$name: never filled: $found"
    done
    [ "$(ls "$dir/beta/core"* 2>/dev/null)" = "" ] || fail "havend left a core"
}

lab_up() {
    configure
    "$lab_init" hub "$dir/hub.pid" - || { fail "no hub"; exit 1; }
    in_hub ip link add bridge type bridge
    in_hub ip link set bridge up
    power_on alpha && power_on beta || { fail "the nodes cannot be made"; exit 1; }
}

both='A@alpha B@alpha C@beta' on_alpha='A@alpha B@alpha C@alpha' on_beta='A@beta B@beta C@beta'

start_together() {
    lab_up
    start alpha
    start beta
    settles 40 "$both" local local "started together"
}

# ---- the cases -------------------------------------------------------------------------------------

# Both start at once; groups go to and fro by the tools of either.
case_standby() {
    start_together
    tool alpha hb_standby all
    settles 15 "$on_beta" none all "hb_standby all on heartbeat"
    tool alpha hb_takeover local
    settles 15 "$both" local local "hb_takeover local on heartbeat"
    tool beta hb_standby all
    settles 15 "$on_alpha" all none "hb_standby all on havend"
    tool beta hb_takeover local
    settles 15 "$both" local local "hb_takeover local on havend"
    tool beta hb_takeover all
    settles 15 "$on_beta" none all "hb_takeover all on havend"
    tool beta hb_standby foreign
    settles 15 "$both" local local "hb_standby foreign on havend"
    tool alpha hb_takeover all
    settles 15 "$on_alpha" all none "hb_takeover all on heartbeat"
    tool alpha hb_standby foreign
    settles 15 "$both" local local "hb_standby foreign on heartbeat"
    tool alpha hb_standby local
    settles 15 "$on_beta" none all "hb_standby local on heartbeat"
}

# havend comes to a Heartbeat that holds everything, leaves, dies, and comes back.
case_haven_comes() {
    local from back='C@beta' at_home=$both hold_a=local hold_b=local
    [ $failback = on ] || at_home=$on_alpha hold_a=all hold_b=none
    lab_up
    start alpha
    settles 40 "$on_alpha" all - "heartbeat alone"
    start beta
    settles 40 "$at_home" $hold_a $hold_b "havend came (auto_failback $failback)"
    [ $failback = on ] || { tool beta hb_takeover local; settles 15 "$both" local local "its group fetched"; }
    from=$(mark)
    stop beta
    settles 15 "$on_alpha" all - "havend stopped"
    check_pause "heartbeat took over" "$(pause_ms "$from" beta stopped alpha)" 0 3000
    start beta
    settles 40 "$at_home" $hold_a $hold_b "havend came again"
    [ $failback = on ] || { tool beta hb_takeover local; settles 15 "$both" local local "its group fetched"; }
    from=$(mark)
    power_off beta
    settles 20 "$on_alpha" all - "havend killed"
    check_pause "heartbeat took over" "$(pause_ms "$from" beta died alpha)" 3000 8000
    power_on beta && start beta
    settles 40 "$at_home" $hold_a $hold_b "havend came back"
}

# The same the other way round.
case_heartbeat_comes() {
    local from at_home=$both hold_a=local hold_b=local
    [ $failback = on ] || at_home=$on_beta hold_a=none hold_b=all
    lab_up
    start beta
    settles 40 "$on_beta" - all "havend alone"
    start alpha
    settles 40 "$at_home" $hold_a $hold_b "heartbeat came (auto_failback $failback)"
    [ $failback = on ] || { tool alpha hb_takeover local; settles 15 "$both" local local "its group fetched"; }
    from=$(mark)
    stop alpha
    settles 20 "$on_beta" - all "heartbeat stopped"
    check_pause "havend took over" "$(pause_ms "$from" alpha stopped beta)" 0 3000
    until_true 30 "heartbeat ends" "! in_node alpha pgrep -x heartbeat >/dev/null"
    start alpha
    settles 40 "$at_home" $hold_a $hold_b "heartbeat came again"
    [ $failback = on ] || { tool alpha hb_takeover local; settles 15 "$both" local local "its group fetched"; }
    from=$(mark)
    power_off alpha
    settles 20 "$on_beta" - all "heartbeat killed"
    check_pause "havend took over" "$(pause_ms "$from" alpha died beta)" 3000 8000
    power_on alpha && start alpha
    settles 40 "$at_home" $hold_a $hold_b "heartbeat came back"
}

case_haven_comes_off() { failback=off; case_haven_comes; }
case_heartbeat_comes_off() { failback=off; case_heartbeat_comes; }

# Heartbeat restarts itself when it hears a node again that it took for dead (heartbeat §8); havend does not.
partition() { # partition WHERE-WHILE-CUT ALPHA BETA AT-THE-END ALPHA BETA DIRECTION…
    local generation during=("$1" $2 $3) end=("$4" $5 $6) direction
    shift 6
    start_together
    generation=$(cat "$dir/beta/var/lib/heartbeat/hb_generation")
    note "- - cut"
    for direction; do lose "$direction"; done
    settles 20 "${during[@]}" "cut ($*)"
    lose_nothing
    if [ "$*" != input ]; then # it did not hear havend
        until_true 30 "heartbeat restarts" "[ \$(logged alpha 'Configuration validated') -ge 2 ]"
    fi
    settles 40 "${end[@]}" "healed"
    note "- - healed"
    [ "$generation" = "$(cat "$dir/beta/var/lib/heartbeat/hb_generation")" ] && ok "havend did not restart" ||
        fail "havend restarted"
    tool alpha hb_standby all
    settles 15 "$on_beta" none all "hb_standby all on heartbeat"
    tool beta hb_standby all
    settles 15 "$on_alpha" all none "hb_standby all on havend"
}

on_each='A@alpha A@beta B@alpha B@beta C@alpha C@beta'
case_partition() { partition "$on_each" all all "$both" local local input output; }
case_partition_off() { failback=off; partition "$on_each" all all "$on_beta" none all input output; }
# One way only: the node that hears nothing takes everything.  The other one hears that it does: havend gives
# way; Heartbeat does not, nor has it a reason to restart, so that havend must give way when it hears again.
case_mute() { partition "$on_alpha" all none "$both" local local output; }
case_deaf() { partition 'A@alpha A@beta B@alpha B@beta C@beta' local all "$both" local local input; }
case_deaf_off() { failback=off; case_deaf; }

# Either dies in the middle of a hand-over.
until_called() { # until_called MARK NODE EVENT: since MARK, a script there
    until_true 15 "$2 is told to $3" "tail -n +\$(($1 + 1)) '$calls' | grep -q ' $2 dum. $3\$'"
}
case_interrupted() {
    local from
    start_together
    from=$(mark)
    tool alpha hb_standby all
    until_called "$from" beta start
    power_off beta
    settles 20 "$on_alpha" all - "havend died taking"
    power_on beta && start beta
    settles 40 "$both" local local "havend came back"
    from=$(mark)
    tool beta hb_standby all
    until_called "$from" alpha start
    power_off alpha
    settles 20 "$on_beta" - all "heartbeat died taking"
    power_on alpha && start alpha
    settles 40 "$both" local local "heartbeat came back"
    from=$(mark)
    tool alpha hb_standby all
    until_called "$from" alpha stop
    power_off alpha
    settles 20 "$on_beta" - all "heartbeat died giving"
    power_on alpha && start alpha
    settles 40 "$both" local local "heartbeat came back"
    from=$(mark)
    tool beta hb_standby all
    until_called "$from" beta stop
    power_off beta
    settles 20 "$on_alpha" all - "havend died giving"
    power_on beta && start beta
    settles 40 "$both" local local "havend came back"
}

# Dead and back before the other one has noticed.  Heartbeat leaves alone what nobody has; havend takes it.
case_quick() {
    start_together
    tool beta hb_standby all
    settles 15 "$on_alpha" all none "hb_standby all on havend"
    power_off alpha
    power_on alpha && start alpha
    settles 40 "$both" local local "heartbeat restarted quickly"
    tool alpha hb_standby all
    settles 15 "$on_beta" none all "hb_standby all on heartbeat"
    power_off beta
    power_on beta && start beta
    settles 40 "$on_beta" none all "havend restarted quickly"
}

# Many messages, with holes in them.
case_busy() {
    keepalive=50ms
    start_together
    until_true 60 "600 heartbeats" "[ \$(in_node beta cat /proc/net/snmp | awk '/^Udp: [0-9]/ { print \$2 }') -gt 700 ]"
    lose input "numgen random mod 3 == 0"
    lose output "numgen random mod 3 == 0"
    until_true 20 "both miss packets" "grep -q 'lost packet' '$dir/alpha/log' && grep -q 'lost packet' '$dir/beta/log'"
    until_true 5 "more are lost" "[ \$(grep -c 'lost packet' '$dir/alpha/log') -ge 5 ]"
    lose_nothing
    until_true 20 "heartbeat has them all" "grep -q 'No pkts missing' '$dir/alpha/log' && [ -z \"\$(holes alpha)\" ]"
    until_true 20 "havend has them all" "grep -q 'No pkts missing' '$dir/beta/log' && [ -z \"\$(holes beta)\" ]"
    ok "holes are filled on both"
    tool alpha hb_standby all
    settles 15 "$on_beta" none all "hb_standby all on heartbeat"
    tool beta hb_standby all
    settles 15 "$on_alpha" all none "hb_standby all on havend"
    never alpha 'hist queue'
}

# The short tour, for other keys, forms and preferences.
tour() { # tour WHERE ALPHA BETA: when at home
    lab_up
    start alpha
    start beta
    settles 40 "$1" $2 $3 "started together"
    tool alpha hb_standby all
    settles 15 "${1//@alpha/@beta}" none all "hb_standby all on heartbeat"
    tool beta hb_standby all
    settles 15 "${1//@beta/@alpha}" all none "hb_standby all on havend"
    stop alpha
    settles 20 "${1//@alpha/@beta}" - all "heartbeat stopped"
    until_true 30 "heartbeat ends" "! in_node alpha pgrep -x heartbeat >/dev/null"
    start alpha
    settles 40 "$1" $2 $3 "heartbeat came back"
    stop beta
    # Now and then Heartbeat does not hear what its own mach_down reports, and stays in transition.
    settles 20 "${1//@beta/@alpha}" '@(all|transition)' - "havend stopped"
}

case_crc() { auth='3 crc'; tour "$both" local local; }
case_md5() { auth='2 md5 other'; tour "$both" local local; }
case_all_prefer_heartbeat() { groups='alpha dumA::1::x dumB dumC'; tour "$on_alpha" local local; }
case_all_prefer_haven() { groups='beta dumA::1::x dumB dumC'; tour "$on_beta" local local; }

declare -F "case_$case" >/dev/null || { echo "no such case: $case"; exit 2; }
"case_$case"
check_logs
[ $failures = 0 ] && echo "heartbeat $case: ok, $SECONDS s"
exit $((failures > 0))
