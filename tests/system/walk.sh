#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The guide's walk, row by row, with its own files: what its author types, and what must come out.
. "$(dirname "$0")/lib.sh"
need_cluster

# says NODE EXPECTED CMD…: what the command prints on the node.
says() {
    local node=$1 expected=$2 out
    shift 2
    out=$(on "$node" "$@" 2>&1)
    [ "$out" = "$expected" ] || fail "$node: $*: '$expected' wanted, got '$out'"
}
# shows NODE PATTERN CMD…: a line that matches.
shows() {
    local node=$1 pattern=$2 out
    shift 2
    out=$(on "$node" "$@" 2>&1)
    grep -qE -- "$pattern" <<<"$out" || fail "$node: $*: /$pattern/ wanted, got '$out'"
}
does() { on "$@" || fail "$*"; }
refuses() { ! on "$@" >/dev/null 2>&1 || fail "not refused: $*"; }

"$LAB" up --bare --disk-size 128M || fail 'up'

step 'check the files'
for node in ct74 ct75; do says $node '' haven check; done
does ct74 cp /etc/drbd.d/drbd_basic.cfg /root/kept
does ct74 sed -i 's/on-io-error/on-oi-error/' /etc/drbd.d/drbd_basic.cfg
shows ct74 'drbd_basic.cfg:[0-9]+: ' haven check
refuses ct74 haven check
does ct74 cp /root/kept /etc/drbd.d/drbd_basic.cfg
does ct74 chmod 644 /etc/ha.d/authkeys
refuses ct74 haven check
does ct74 chmod 600 /etc/ha.d/authkeys

step 'meta data'
for node in ct74 ct75; do
    shows $node 'New drbd meta data block successfully created' drbdadm create-md r0
done

step 'start'
for node in ct74 ct75; do does $node drbdadm up all; done
"$LAB" wait 30 connected || fail 'the volumes do not connect'
for node in ct74 ct75; do
    says $node Secondary/Secondary drbdadm role r0
    says $node Inconsistent/Inconsistent drbdadm dstate r0
    refuses $node dd if=/dev/drbd0 of=/dev/null count=1
done

step 'first sync'
does ct74 drbdadm primary --force r0
says ct74 Primary/Secondary drbdadm role r0
says ct75 Secondary/Primary drbdadm role r0
uptodate_wait 60
shows ct74 'ro:Primary/Secondary ds:UpToDate/UpToDate C' haven proc

step 'file system'
does ct74 mkfs.ext4 -q /dev/drbd0
does ct74 mkdir -p /nfs
does ct74 mount /dev/drbd0 /nfs
shows ct74 '^/dev/.* ext4 .* /nfs$' df -T /nfs
does ct74 sh -c 'echo written on ct74 >/nfs/file'

step 'try the other side'
refuses ct74 drbdadm secondary r0
refuses ct75 drbdadm primary r0
does ct74 umount /nfs
does ct74 drbdadm secondary all
does ct75 drbdadm primary r0
does ct75 mkdir -p /nfs
does ct75 mount /dev/drbd0 /nfs
says ct75 'written on ct74' cat /nfs/file
does ct75 umount /nfs
does ct75 drbdadm secondary all

step 'cluster and service'
for node in ct74 ct75; do does $node systemctl enable drbd heartbeat; done
for node in ct74 ct75; do does $node systemctl start heartbeat; done
owner_wait ct74 40
"$LAB" wait 30 nfs || fail 'the service does not answer'
shows ct74 'inet 192\.168\.137\.82/24 .*eth0' ip addr show
shows ct74 '^/dev/drbd0 /nfs ext4' cat /proc/mounts
# The guide's killnfsd restarts the server as the last step of each start.
until_true 10 on client showmount -e 192.168.137.82
shows client '^/nfs +192\.168\.137\.0/24' showmount -e 192.168.137.82
shows ct74 'active' cl_status nodestatus ct75
says ct74 Primary/Secondary drbdadm role r0

step 'client'
client_start
goes_on 10

step 'NFS dies'
mark nfs-stop
does ct74 systemctl stop nfs
goes_on 30
mark nfs-back
pause_below nfs-stop nfs-back 12000
owner_wait ct74 1
does ct74 systemctl status nfs

step 'the node leaves'
mark leave
does ct74 systemctl stop heartbeat
owner_wait ct75 30
goes_on 30
mark left
pause_below leave left 2000
does ct74 systemctl start heartbeat
uptodate_wait 30
until_true 15 on ct75 hb_standby || fail 'ct75 does not give the service back'
owner_wait ct74 40
goes_on 30

step 'the node dies'
mark death
"$LAB" crash ct74 || fail 'crash'
owner_wait ct75 30
goes_on 30
mark dead
pause_below death dead 6500
says ct75 Primary/Unknown drbdadm role r0

step 'it comes back'
"$LAB" boot ct74 || fail 'boot'
# The guide does not set c-min-rate: a client that never stops writing goes first, as with DRBD.
uptodate_wait 200
step 'up to date'
owner_wait ct75 1
goes_on 10
finish
