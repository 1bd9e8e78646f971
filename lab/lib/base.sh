# SPDX-License-Identifier: Apache-2.0
# What the other parts of the lab use: names, numbers, waiting, and looking for what was left behind.
# shellcheck shell=bash

DISK_NODES='ct74 ct75'
declare -A NODE_HOST=([gateway]=1 [client]=61 [ct74]=74 [ct75]=75 [witness]=90)
SERVICE_ADDRESS=192.168.137.82
NODE_PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

say() { echo "lab: $*" >&2; }
die() { say "$*"; exit 1; }

# wait_for SECONDS CMD…: until CMD succeeds; 1 when it has not by then.
wait_for() {
    local deadline=$((${EPOCHREALTIME/[.,]/} + $1 * 1000000))
    shift
    until "$@"; do
        [ "${EPOCHREALTIME/[.,]/}" -lt $deadline ] || return 1
        read -rt 0.02 <> <(:) # a short sleep without a process
    done
    return 0
}

# program NAME: where the build has it.
program() {
    local at
    for at in "$LAB_BUILD/$1" "$LAB_BUILD/src/bin/$1/$1" "$LAB_BUILD/lab/$1"; do
        [ -x "$at" ] && [ ! -d "$at" ] && { echo "$at"; return; }
    done
    return 1
}

need_programs() {
    local name missing=''
    for name in lab-init faultdisk; do
        program "$name" >/dev/null || die "$name is not built in $LAB_BUILD: make build (or set HAVEN_BUILD)"
    done
    for name in ip nft nsenter losetup flock pivot_root mkfs.ext4; do
        command -v "$name" >/dev/null || missing="$missing $name"
    done
    [ -z "$missing" ] || die "not installed:$missing (make deps installs what the lab needs)"
}

# process_alive PID NAME: not yet dead, and of that name: numbers are used again.
process_alive() {
    local stat
    [ -n "$1" ] && { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
    case $stat in
    *"($2) Z"* | *"($2) X"*) return 1 ;;
    *"($2) "*) return 0 ;;
    esac
    return 1
}
process_dead() { ! process_alive "$1" "$2"; }
process_kill() {
    process_alive "$1" "$2" || return 0
    kill -9 "$1"
    wait_for 20 process_dead "$1" "$2" || { say "process $1 ($2) does not die"; return 1; }
}

# Process 1 of a node: when it is killed the kernel kills the rest, and it is dead when they are gone.
init_alive() { process_alive "$1" lab-init; }
init_kill() { process_kill "$1" lab-init; }

leftovers() {
    local found=0 line pid name
    while read -r line; do
        echo "mount: $line"; found=1
    done < <(awk -v d="$LAB_DIR/" 'index($5, d) == 1 { print $5 }' /proc/self/mountinfo)
    while read -r line; do
        echo "loop device: $line"; found=1
    done < <(wait_for 10 loops_gone || leftover_loops)
    for pid in /proc/[0-9]*; do
        name=${pid#/proc/}
        [ "$name" = $$ ] && continue
        if { tr '\0' '\n' <"$pid/environ"; } 2>/dev/null | grep -qxF "HAVEN_LAB=$LAB_DIR"; then
            echo "process: $name $(tr '\0' ' ' <"$pid/cmdline" 2>/dev/null)"; found=1
        fi
    done
    return $found
}
