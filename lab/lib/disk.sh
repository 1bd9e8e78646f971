# SPDX-License-Identifier: Apache-2.0
# Disks: an image file a node, a loop device on it while the node is on, and a layer that can fail.
# Loop devices belong to the whole machine, so what was attached is written down and exactly that
# is detached; attaching is serialised between labs by a lock on /dev/loop-control.
# shellcheck shell=bash

disk_image() { echo "$LAB_DIR/nodes/$1/disk.img"; }
disk_faulty() { [ -n "$(cat "$LAB_DIR/fault-disks" 2>/dev/null)" ]; }

disk_create() {
    truncate -s "$2" "$(disk_image "$1")" || die "cannot make a disk of $2"
}

disk_fault_start() {
    local node=$1 at=$LAB_DIR/nodes/$1/fault
    disk_faulty || return 0
    hub_mount mountpoint -q "$at" && return 0
    mkdir -p "$at"
    HAVEN_LAB=$LAB_DIR setsid nsenter -t "$(hub_pid)" -m "$(program faultdisk)" \
        "$(disk_image "$node")" "$at" </dev/null >"$at.log" 2>&1 &
    wait_for 5 hub_mount mountpoint -q "$at" || { say "faultdisk of $node: $(cat "$at.log")"; return 1; }
}

# Attaches the node's disk; prints the number of the loop device.
disk_attach() {
    local node=$1 file device
    file=$(disk_image "$node")
    disk_faulty && file=$LAB_DIR/nodes/$node/fault/disk
    device=$(flock /dev/loop-control nsenter -t "$(hub_pid)" -m losetup -f --show --direct-io=on "$file") ||
        return 1
    echo "${device#/dev/loop}" >"$LAB_DIR/nodes/$node/loop"
}

loop_attached() { [ -e "/sys/block/loop$1/loop/backing_file" ]; }
loop_free() { ! loop_attached "$1"; }

loop_detach() {
    loop_attached "$1" || return 0
    losetup -d "/dev/loop$1" 2>/dev/null
    wait_for 10 loop_free "$1" || { say "/dev/loop$1 is still in use"; return 1; }
}

disk_detach() {
    local number
    number=$(cat "$LAB_DIR/nodes/$1/loop" 2>/dev/null) || return 0
    loop_detach "$number" && rm -f "$LAB_DIR/nodes/$1/loop"
}

disk_remove() {
    local at=$LAB_DIR/nodes/$1/fault
    disk_detach "$1" || return 1
    disk_faulty || return 0
    if hub_mount mountpoint -q "$at"; then hub_mount umount "$at"; fi
}

disk_mode_now() { hub_mount cat "$LAB_DIR/nodes/$1/fault/mode" 2>/dev/null; }
disk_mode_set() { hub_mount sh -c "echo $2 >'$LAB_DIR/nodes/$1/fault/mode'"; }

disk_mode() {
    node_need "$1"
    disk_faulty || die "this lab's disks cannot fail: lab/lab up --fault-disks"
    case $2 in
    ok | fail | fail-reads | fail-writes | full | hang) disk_mode_set "$1" "$2" ;;
    *) die "disk: '$2' is not one of ok, fail, fail-reads, fail-writes, full, hang" ;;
    esac
}

# Loop devices whose FUSE server is gone: the kernel cannot say any more where the file lies.  That is
# what a crashed node leaves.  Nobody can use such a device again, whosever it was.
loops_dead() {
    losetup --list --noheadings --raw -O NAME,BACK-MAJ:MIN | sed -n 's,^/dev/loop\([0-9]*\) *$,\1,p'
}

# One that is still held (by another lab's file system, being unmounted) goes by itself at its last close.
loops_dead_detach() {
    local number
    for number in $(loops_dead); do
        losetup -d "/dev/loop$number" 2>/dev/null
    done
    return 0
}

# Loop devices on the lab's images, and those without a server.
leftover_loops() {
    local file number
    for file in /sys/block/loop*/loop/backing_file; do
        number=${file#/sys/block/loop} number=${number%%/*}
        [ ! -e "$file" ] || [[ $(cat "$file" 2>/dev/null) != "$LAB_DIR"/* ]] || echo "/dev/loop$number"
    done
    loops_dead | sed 's,^,/dev/loop,;s,$, (its server is gone),'
}

# Compares the data of the two replicas: as many sectors as the smaller superblock says (disk §2:
# internal meta data stands at the end; la_size_sect in it is the size of the data).
disk_compare() {
    local a b sectors node
    a=$(disk_image ct74) b=$(disk_image ct75)
    [ -f "$a" ] && [ -f "$b" ] || die "no disks in $LAB_DIR"
    for node in $DISK_NODES; do
        ! node_up "$node" || die "compare: $node is on; crash both, or down --keep"
    done
    sectors=$(disk_data_sectors "$a") || die "$a: no meta data"
    [ "$(disk_data_sectors "$b")" = "$sectors" ] || die "the replicas have different sizes"
    if cmp -n $((sectors * 512)) "$a" "$b"; then
        echo "replicas: $sectors sectors, identical"
    else
        echo "replicas: they differ"
        return 1
    fi
}

# la_size_sect: the first be64 of the superblock, which is the last whole 4 KiB of the disk.
disk_data_sectors() {
    local at
    at=$(($(stat -c %s "$1") / 4096 * 4096 - 4096))
    case $(disk_hex "$1" $((at + 60)) 4) in
    8374026b | 8374026c) echo $((16#$(disk_hex "$1" $at 8))) ;;
    *) return 1 ;;
    esac
}

disk_hex() { od -An -tx1 -j "$2" -N "$3" "$1" | tr -d ' \n'; }

# What was detached while still held is gone an instant later.
loops_gone() { [ -z "$(leftover_loops)" ]; }
