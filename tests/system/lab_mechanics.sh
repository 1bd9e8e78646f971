#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The lab itself, without haven: nodes are apart from each other and from the machine, a crash takes
# everything of a node but its disk, cuts cut and heals heal, disks fail on command, nothing stays.
. "$(dirname "$0")/lib.sh"
need ip nft nsenter losetup mkfs.ext4 ping

pings() { on "$1" ping -c 1 -W 1 "$2" >/dev/null; }
expect() { "$@" || fail "expected: $*"; }
refuse() { ! "$@" || fail "not expected: $*"; }
read_disk() { on ct74 dd if=/dev/sdb1 of=/dev/null bs=4k count=1 iflag=direct 2>/dev/null; }
write_disk() { on ct74 dd if=/dev/zero of=/dev/sdb1 bs=4k count=1 oflag=direct 2>/dev/null; }

step 'up'
expect "$LAB" up --bare --fault-disks --disk-size 16M
refuse "$LAB" up --bare
[ "$(on ct74 hostname)" = ct74 ] || fail 'host name'
[ "$(on ct75 grep ucast /etc/ha.d/ha.cf)" = 'ucast eth0 192.168.137.74' ] || fail 'ucast of ct75'
[ "$(on ct74 stat -c %a /etc/ha.d/authkeys)" = 600 ] || fail 'authkeys of ct74'
for file in drbd.conf drbd.d/drbd_basic.cfg ha.d/ha.cf ha.d/haresources exports; do
    expect cmp "$GUIDE/etc/$file" "$HAVEN_LAB_DIR/nodes/ct74/root/etc/$file"
done

step 'the network'
for to in 1 61 75 90; do expect pings ct74 192.168.137.$to; done
expect "$LAB" cut ct74 gateway
refuse pings ct74 192.168.137.1
expect pings ct75 192.168.137.1
expect "$LAB" heal gateway ct74
expect pings ct74 192.168.137.1
expect "$LAB" cut ct74 all
refuse pings ct74 192.168.137.75
refuse pings client 192.168.137.74
expect pings client 192.168.137.75
expect "$LAB" heal
expect "$LAB" cut ct74 ct75 --replication
expect pings ct74 192.168.137.75
refuse on ct75 timeout 1 bash -c 'exec 3<>/dev/tcp/192.168.137.74/111'
expect "$LAB" heal
expect on ct75 timeout 5 bash -c 'exec 3<>/dev/tcp/192.168.137.74/111'

step 'a crash takes processes, mounts and devices, and leaves the disk'
expect on ct74 mkfs.ext4 -qF /dev/sdb1
expect on ct74 sh -c 'mount /dev/sdb1 /nfs && echo kept >/nfs/file && sync'
on ct74 sh -c 'echo $$ >/share/pid; exec setsid sleep 1000 >/dev/null 2>&1 &'
expect "$LAB" crash ct74
refuse on ct74 true
grep -qs "$HAVEN_LAB_DIR" /proc/mounts && fail 'a mount is left'
[ "$(losetup -a | grep -c "$HAVEN_LAB_DIR")" = 1 ] || fail 'a loop device is left'
refuse pings client 192.168.137.74
expect "$LAB" boot ct74
[ "$(on ct74 sh -c 'mount /dev/sdb1 /nfs && cat /nfs/file && umount /nfs')" = kept ] || fail 'the disk is not kept'
[ "$(on ct74 sh -c 'ps ax | grep -c "[s]leep 1000"')" = 0 ] || fail 'a process is left'

step 'a node switches itself off'
on ct75 halt -f 2>/dev/null
refuse on ct75 true
expect "$LAB" boot ct75

step 'disks fail on command'
expect read_disk
expect write_disk
expect "$LAB" disk ct74 fail-reads
refuse read_disk
expect write_disk
expect "$LAB" disk ct74 fail-writes
expect read_disk
refuse write_disk
expect "$LAB" disk ct74 full
refuse write_disk
expect "$LAB" disk ct74 hang
on ct74 sh -c 'dd if=/dev/sdb1 of=/dev/null bs=4k count=1 iflag=direct 2>/dev/null; echo done >/share/read' &
refuse until_true 1 test -e "$SHARE/read"
expect "$LAB" disk ct74 ok
expect until_true 10 test -e "$SHARE/read"
wait
expect "$LAB" disk ct74 hang
expect "$LAB" crash ct74
expect "$LAB" boot ct74
expect read_disk

step 'down'
expect "$LAB" down
expect "$LAB" leftovers
step 'done'
