#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The client, without haven: an NFS server on a plain disk.  What the client says must be so: it finds
# the record that was damaged and the records that were lost, and measures a pause.
. "$(dirname "$0")/lib.sh"
need ip nft nsenter losetup mkfs.ext4 rpcbind ganesha.nfsd
[ -x "$HAVEN_BUILD/lab/nfsclient" ] || skip 'nfsclient is not built (libnfs)'

server_start() {
    on ct74 sh -c 'setsid ganesha.nfsd -F -f /share/ganesha.conf -L /var/log/ganesha.log -p /run/ganesha.pid \
        </dev/null >/dev/null 2>&1 & echo $! >/run/server'
}
# verdict WORD: the number after WORD in the last verification.
verdict() { sed -n "s/.* $1 \([0-9]*\).*/\1/p" "$SHARE/verdict"; }
verify() { "$LAB" client nfsclient verify --ledger /share/ledger >"$SHARE/verdict"; }

step 'a server on a plain disk'
"$LAB" up --bare --disk-size 128M || fail 'up'
cat >"$SHARE/ganesha.conf" <<'TXT'
NFS_CORE_PARAM { Protocols = 3, 4; mount_path_pseudo = true; Enable_NLM = false; Enable_RQUOTA = false; }
NFSv4 { Grace_Period = 5; Lease_Lifetime = 5; RecoveryBackend = fs; RecoveryRoot = "/nfs/.ganesha"; Only_Numeric_Owners = true; }
EXPORT { Export_Id = 1; Path = /nfs; Pseudo = /nfs; Access_Type = RW; Squash = No_Root_Squash; SecType = sys; Filesystem_Id = 1.1; Transports = TCP; FSAL { Name = VFS; } }
TXT
on ct74 sh -c 'mkfs.ext4 -qF /dev/sdb1 && mount /dev/sdb1 /nfs && ip addr add 192.168.137.82/24 dev eth0' || fail 'file system'
server_start
"$LAB" wait 20 nfs || fail 'no server'

step 'all that was acknowledged is found'
"$LAB" client nfsclient write --ledger /share/ledger --records 600 --slots 500 --quiet || fail 'write'
verify || fail "verify: $(cat "$SHARE/verdict")"
[ "$(verdict acknowledged) $(verdict checked) $(verdict lost)" = '600 500 0' ] || fail 'numbers'

step 'damage and loss are found'
on ct74 sh -c 'printf x | dd of=/nfs/records bs=1 seek=$((4096 * 321 + 100)) conv=notrunc 2>/dev/null; truncate -s $((4096 * 490)) /nfs/records'
! verify || fail 'damage was not found'
[ "$(verdict differing) $(verdict lost)" = '1 10' ] || fail "differing and lost: $(cat "$SHARE/verdict")"

step 'a record from before is a lost one'
"$LAB" client nfsclient write --ledger /share/ledger --records 20 --slots 10 --quiet || fail 'write'
sed -i '$d' "$SHARE/ledger"
for n in 20 21; do echo "A $n 1" >>"$SHARE/ledger"; done
! verify || fail 'the loss was not found'
[ "$(verdict lost)" -ge 1 ] || fail "lost: $(cat "$SHARE/verdict")"

step 'the server dies, is away for a second, and comes back'
"$LAB" client sh -c 'nfsclient write --ledger /share/ledger >/share/client.log 2>&1 &'
LEDGER=/share/ledger
until_true 20 acknowledged_more 100 || fail 'no records'
mark before
on ct74 sh -c 'kill -9 $(cat /run/server)'
sleep 1 # the length of the outage: what is measured below
server_start
"$LAB" wait 20 nfs || fail 'no server'
goes_on 20
mark after
"$LAB" client pkill -TERM -x nfsclient
until_true 10 client_gone || fail 'the client does not stop'
ms=$(pause_ms before after)
step "pause: $ms ms"
[ "$ms" -ge 900 ] && [ "$ms" -lt 10000 ] || fail 'the pause was measured wrongly'
verify || fail "verify: $(cat "$SHARE/verdict")"
[ "$(verdict errors)" = 0 ] || fail 'errors'

step 'NFSv4'
"$LAB" client nfsclient write --version 4 --file /records4 --ledger /share/ledger --records 200 --quiet || fail 'write'
verify || fail "verify: $(cat "$SHARE/verdict")"
step 'done'
