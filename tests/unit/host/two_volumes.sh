#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Two haven-volumes on loopback addresses of this machine, with files as disks:
#
#     haven --root $dir/a             haven --root $dir/b
#     haven-volume (127.0.0.1) ------ haven-volume (127.0.0.2)
#     $dir/a/disk, $dir/a/dev/drbd7   $dir/b/disk, $dir/b/dev/drbd7
#
# usage: two_volumes.sh HAVEN HAVEN-VOLUME
set -u
haven=$1 volume=$2
for need in /dev/fuse /dev/loop-control; do
    [ -w $need ] && [ "$(id -u)" = 0 ] || { echo "skipped: needs root and $need"; exit 77; }
done
dir=$(mktemp -d /var/tmp/haven-two-XXXXXX)
port=$((20000 + $$ % 20000))
failures=0

cleanup() {
    umount "$dir/mnt" 2>/dev/null
    for node in a b; do
        on $node down r0 2>/dev/null
        pid=$(cat "$dir/$node/run/haven/volume-r0.pid" 2>/dev/null) || continue
        kill -9 "$pid" 2>/dev/null
        sleep 0.2
        loop=$(cat "$dir/$node/run/haven/volumes/r0-7.loop" 2>/dev/null) && losetup -d "$loop"
        umount -l "$dir/$node/run/haven/volumes/r0-7" 2>/dev/null
    done
    rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

on() {
    local node=$1
    shift
    PATH=$(dirname "$volume"):$PATH __DRBD_NODE__=$node "$haven" --root "$dir/$node" "$@"
}

check() { # check WHAT EXPECTED GOT
    if [ "$2" = "$3" ]; then
        echo "ok    $1"
    else
        echo "FAIL  $1: expected '$2', got '$3'"
        failures=$((failures + 1))
    fi
}

synced() {
    on a wait-connect r0 -t 30 && on a wait-sync r0 -t 60 && on b wait-sync r0 -t 60
    check "$1: in sync" "UpToDate/UpToDate" "$(on a dstate r0)"
}

same_disks() {
    cmp -s -n $((bytes)) "$dir/a/disk" "$dir/b/disk"
    check "$1: both disks hold the same bytes" 0 $?
}

write_random() { # write_random NODE OFFSET_MIB MIB
    head -c $(($3 * 1048576)) /dev/urandom >"$dir/data"
    dd if="$dir/data" of="$dir/$1/dev/drbd7" bs=64k seek=$(($2 * 16)) oflag=direct \
        conv=notrunc,fsync,nocreat status=none
}

read_back() { # read_back NODE OFFSET_MIB MIB
    dd if="$dir/$1/dev/drbd7" bs=64k skip=$(($2 * 16)) count=$(($3 * 16)) iflag=direct \
        status=none | cmp -s - "$dir/data"
}

for node in a b; do
    mkdir -p "$dir/$node/etc" "$dir/$node/dev" "$dir/mnt"
    truncate -s 32M "$dir/$node/disk"
    cat >"$dir/$node/etc/drbd.conf" <<CONF
global { usage-count no; disable-ip-verification; }
resource r0 {
    net {
        cram-hmac-alg sha1; shared-secret "two volumes"; verify-alg crc32c;
        ping-int 1; timeout 10; connect-int 2; ping-timeout 5;
    }
    handlers { split-brain "echo \$DRBD_RESOURCE \$DRBD_PEER \$DRBD_MINOR >> $dir/$node/split"; }
    on a { volume 7 { device /dev/drbd7; disk $dir/a/disk; meta-disk internal; }
           address 127.0.0.1:$port; }
    on b { volume 7 { device /dev/drbd7; disk $dir/b/disk; meta-disk internal; }
           address 127.0.0.2:$port; }
}
CONF
    on $node create-md r0 >/dev/null 2>&1 || check "create-md on $node" 0 1
done
bytes=$(((32 - 1) * 1048576))

check "not running" Unconfigured "$(on a role r0)"
on a up r0 && on b up r0
check "up on both" 0 $?
on a wait-connect r0 -t 30
check "connected" Connected "$(on a cstate r0)"
check "fresh" Inconsistent/Inconsistent "$(on a dstate r0)"
on a primary r0 2>/dev/null
check "promotion without data" 17 $?
on a primary --force r0
check "forced promotion" 0 $?
synced "first sync"
write_random a 2 4
check "write through the device" 0 $?
on b primary r0 2>/dev/null
check "two primaries are refused" 11 $?
mkfs.ext4 -q "$dir/a/dev/drbd7" && mount "$dir/a/dev/drbd7" "$dir/mnt"
on a secondary r0 2>/dev/null
check "a mounted device is not given up" 11 $?
cp -r /etc/default "$dir/mnt/" && umount "$dir/mnt"
on a secondary r0 && on b primary r0
check "the other node takes over" 0 $?
mount -o ro "$dir/b/dev/drbd7" "$dir/mnt" && diff -r /etc/default "$dir/mnt/default"
check "and finds the files" 0 $?
umount "$dir/mnt"
same_disks "after the move"

# The Primary dies in the middle of writing, the other goes on.
(while write_random b 4 2 2>/dev/null; do :; done) &
writer=$!
sleep 0.5
kill -9 "$(cat "$dir/b/run/haven/volume-r0.pid")"
wait $writer
sleep 0.3
on a primary r0
check "promotion after the peer's death" 0 $?
write_random a 10 4 && read_back a 10 4
check "the survivor writes and reads" 0 $?
on b up r0
synced "after the death"
read_back a 10 4
check "nothing of the survivor's was lost" 0 $?
same_disks "after the death"

# A frozen peer is given up within timeout and ping-timeout; it gets what it missed.
kill -STOP "$(cat "$dir/b/run/haven/volume-r0.pid")"
write_random a 12 1
check "a write goes on without the frozen peer" 0 $?
kill -CONT "$(cat "$dir/b/run/haven/volume-r0.pid")"
synced "after the freeze"
same_disks "after the freeze"

# Both sides written alone: seen, said, untouched; then resolved by hand.
on b disconnect r0 && on a disconnect r0 && on b primary r0
write_random a 14 1 && write_random b 15 1
on b secondary r0 && on a connect r0 && on b connect r0
for i in $(seq 100); do
    [ "$(on a cstate r0)$(on b cstate r0)" = StandAloneStandAlone ] && [ -s "$dir/a/split" ] && break
    sleep 0.1
done
check "split brain: dropped on both" StandAloneStandAlone "$(on a cstate r0)$(on b cstate r0)"
check "split brain: the handler ran" "r0 b 7" "$(cat "$dir/a/split")"
on b connect --discard-my-data r0 && on a connect r0
synced "split brain resolved"
same_disks "split brain resolved"

on b verify r0 && on b wait-sync r0 -t 60
check "online verify finds nothing" 0 "$(on b proc r0 | sed -n 's/.* oos:\([0-9]*\).*/\1/p')"
on a secondary r0 && on a down r0 && on b down r0
check "down on both" 0 $?
check "no process is left" "" "$(cat "$dir"/?/run/haven/*.pid 2>/dev/null)"
[ $failures = 0 ] || { tail -n 60 "$dir"/?/var/log/haven/*.log; exit 1; }
