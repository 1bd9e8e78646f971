# SPDX-License-Identifier: Apache-2.0
# Nodes: what makes one, starts it, runs in it, and pulls its plug.
# shellcheck shell=bash

node_exists() { [ -d "$LAB_DIR/nodes/$1" ]; }
node_pid() { cat "$LAB_DIR/nodes/$1/pid" 2>/dev/null; }
node_up() { init_alive "$(node_pid "$1")"; }
node_need() {
    [ -n "${NODE_HOST[$1]:-}" ] || die "no node '$1'; there are: ${!NODE_HOST[*]}"
    node_exists "$1" || die "no lab in $LAB_DIR: lab/lab up first"
}
node_has_disk() { [[ " $DISK_NODES " = *" $1 "* ]]; }

# A /dev to copy: making the nodes once is quicker than at each boot.
dev_template() {
    local dev=$LAB_DIR/dev number
    mkdir -p "$dev"
    while read -r name major minor; do
        mknod -m 666 "$dev/$name" c "$major" "$minor"
    done <<'TXT'
null 1 3
zero 1 5
full 1 7
random 1 8
urandom 1 9
tty 5 0
fuse 10 229
loop-control 10 237
TXT
    for ((number = 0; number < 64; number++)); do
        mknod -m 660 "$dev/loop$number" b 7 $number
    done
    ln -s null "$dev/kmsg"
    ln -s pts/ptmx "$dev/ptmx"
    ln -s /proc/self/fd "$dev/fd"
    ln -s fd/0 "$dev/stdin"
    ln -s fd/1 "$dev/stdout"
    ln -s fd/2 "$dev/stderr"
}

node_create() {
    local node=$1 size=$2 root=$LAB_DIR/nodes/$1/root config
    mkdir -p "$root"
    mkfifo "$LAB_DIR/nodes/$node/power"
    [ "$node" != gateway ] || return 0
    cp -a /etc "$root/etc"
    mkdir -p "$root"/{dev,proc,sys,run,tmp,root,nfs,mnt,share,usr,opt} \
        "$root"/var/{tmp,log/{haven,ganesha},cache,spool,lib/{haven,heartbeat,nfs/ganesha}} "$root/.sbin"
    chmod 1777 "$root/tmp" "$root/var/tmp"
    ln -s /run "$root/var/run"
    ln -s /run/lock "$root/var/lock"
    rm -rf "$root"/etc/{ha.d,drbd.d,drbd.conf,haven,exports,resolv.conf}
    echo "$node" >"$root/etc/hostname"
    config=$(cat "$LAB_DIR/config")
    [ ! -d "$config/etc" ] || cp -a "$config/etc/." "$root/etc/"
    [ "$node" != ct75 ] || guide_other_way_round "$root"
    [ ! -d "$config/$node/etc" ] || cp -a "$config/$node/etc/." "$root/etc/"
    chown -R 0:0 "$root"/etc/{ha.d,drbd.d,drbd.conf,haven,exports,hosts} 2>/dev/null
    chmod -f 0600 "$root/etc/ha.d/authkeys"
    grep -qsw localhost "$root/etc/hosts" || echo '127.0.0.1 localhost' >>"$root/etc/hosts"
    sed -i 's/^hosts:.*/hosts: files/' "$root/etc/nsswitch.conf"
    node_commands "$node" "$root"
    node_has_disk "$node" || return 0
    disk_create "$node" "$size"
}

# The guide's two nodes have the same files, but for the address that ha.cf's ucast names.
guide_other_way_round() {
    [ ! -f "$1/etc/ha.d/ha.cf" ] ||
        sed -i "/^[[:space:]]*ucast[[:space:]]/s/$(node_address ct75)/$(node_address ct74)/" "$1/etc/ha.d/ha.cf"
}

# The names a node's shell finds before the machine's own.
node_commands() {
    local node=$1 bin=$2/.sbin name haven
    cp -a "$LAB_SOURCE/node/systemctl" "$bin/systemctl"
    for name in halt poweroff reboot service; do ln -s systemctl "$bin/$name"; done
    for name in haven havend haven-volume haven-witness nfsclient; do
        ! program "$name" >/dev/null || ln -s "$(program "$name")" "$bin/$name"
    done
    haven=$(program haven) || return 0
    for name in drbdadm cl_status hb_standby hb_takeover drbddisk drbd-peer-outdater; do
        ln -s "$haven" "$bin/$name"
    done
}

# A node's mounts must outlive its processes: were haven-volume the last of them, its own exit would
# unmount the file system above the device that it serves, and wait for itself.  A process outside the
# node's PID namespace holds them.
node_mounts_hold() {
    local pid holder
    pid=$(node_pid "$1")
    HAVEN_LAB=$LAB_DIR setsid nsenter -t "$pid" -m sleep infinity </dev/null >/dev/null 2>&1 &
    holder=$!
    echo "$holder" >"$LAB_DIR/nodes/$1/holder"
    wait_for 5 [ "/proc/$holder/ns/mnt" -ef "/proc/$pid/ns/mnt" ]
}

# With the node's processes dead, what is still written to their devices fails at once.
node_mounts_release() {
    local file=$LAB_DIR/nodes/$1/holder
    if [ -e "$file" ]; then process_kill "$(cat "$file")" sleep || return 1; fi
    rm -f "$file"
}

# node_boot NODE [--no-services]
node_boot() {
    local node=$1 services=1 dir=$LAB_DIR/nodes/$1
    [ "${2:-}" != --no-services ] || services=''
    ! node_up "$node" || { say "$node is on already"; return 1; }
    node_mounts_release "$node" || return 1
    if node_has_disk "$node"; then
        # A node that was switched off from inside leaves its devices.
        loops_dead_detach
        disk_detach "$node" && disk_fault_start "$node" && disk_attach "$node" || return 1
    fi
    if [ "$node" = gateway ]; then
        HAVEN_LAB=$LAB_DIR "$(program lab-init)" "$node" "$dir/pid" - </dev/null || return 1
    else
        HAVEN_LAB=$LAB_DIR "$(program lab-init)" "$node" "$dir/pid" "$dir/power" \
            "$LAB_SOURCE/node/setup" "$dir" "$LAB_DIR" "$LAB_TOP" "$LAB_BUILD" </dev/null || return 1
    fi
    node_mounts_hold "$node" && net_plug "$node" "$(node_pid "$node")" || { node_kill "$node"; return 1; }
    [ -z "$services" ] || [ "$node" = gateway ] || node_exec "$node" systemctl boot
}

# Everything of the node goes at once.  The link goes first: a machine without power says nothing.
# A disk that hangs would keep its last requests, and with them the processes that wait for them (and
# later whoever attaches it, with the machine's lock on loop devices): a power cycle cures it.
node_kill() {
    local node=$1 pid mode='' rc=0
    pid=$(node_pid "$node")
    net_unplug "$node"
    if node_up "$node"; then
        if node_has_disk "$node" && disk_faulty; then
            mode=$(disk_mode_now "$node")
            [ "$mode" != hang ] || disk_mode_set "$node" fail
        fi
        init_kill "$pid" || rc=1
    fi
    node_mounts_release "$node" || rc=1
    if node_has_disk "$node"; then
        loops_dead_detach
        disk_detach "$node" || rc=1
    fi
    [ "$mode" != hang ] || disk_mode_set "$node" ok
    rm -f "$LAB_DIR/nodes/$node/pid"
    return $rc
}

# node_exec NODE CMD…
node_exec() {
    local node=$1 pid
    shift
    pid=$(node_pid "$node")
    init_alive "$pid" || { say "$node is off"; return 1; }
    [ $# -gt 0 ] || die "exec $node: which command?"
    nsenter -t "$pid" -m -u -i -n -p -r -w env -i HOME=/root PATH="$NODE_PATH" TERM="${TERM:-dumb}" \
        LANG="${LANG:-C.UTF-8}" PS1="[$node \w]# " HAVEN_LAB="$LAB_DIR" "$@"
}
