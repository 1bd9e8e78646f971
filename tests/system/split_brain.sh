#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The guide's own files without a witness: the nodes lose each other, and both still reach the gateway.
# Each goes on alone.  When they meet again the split is seen and said on both, the handler is called,
# and not a byte of either replica changes until an administrator decides.
. "$(dirname "$0")/lib.sh"
need_cluster

standing_alone() { volume_says "$1" cstate StandAlone || volume_says "$1" cstate WFConnection; }
both_alone() { volume_says ct74 cstate StandAlone || volume_says ct75 cstate StandAlone; }
primary() { [[ $(on "$1" haven role r0 2>/dev/null) = Primary/* ]]; }
said() { on "$1" sh -c 'grep -rqi split-brain /var/log' || on "$1" haven status 2>/dev/null | grep -qi split; }
sum() { on "$1" sh -c 'head -c 33554432 /dev/sdb1 | sha256sum'; }

config=$(config_make)
sed -i 's,split-brain ".*",split-brain "echo $DRBD_RESOURCE >>/var/log/handler-called",' "$config/etc/drbd.d/drbd_basic.cfg"
cluster_up --config "$config" --disk-size 64M
other=$(other_of "$OWNER")
"$LAB" cut ct74 ct75 || fail 'cut'
until_true 60 primary "$other" || fail 'the other does not go on (no witness, no fence: it should)'
for node in ct74 ct75; do on $node sh -c 'hostname >/nfs/written-alone && sync' || fail "$node cannot write"; done
for node in ct74 ct75; do on $node systemctl stop heartbeat; done
before74=$(sum ct74) before75=$(sum ct75)
[ "$before74" != "$before75" ] || fail 'the replicas do not differ: no split'
"$LAB" heal || fail 'heal'
until_true 60 both_alone || fail 'the split is not detected'
for node in ct74 ct75; do
    until_true 20 standing_alone $node || fail "$node is $(on $node haven cstate r0)"
    until_true 20 said $node || fail "$node does not say so"
    on $node test -s /var/log/handler-called || fail "no handler on $node"
done
[ "$before74" = "$(sum ct74)" ] || fail 'the data of ct74 changed'
[ "$before75" = "$(sum ct75)" ] || fail 'the data of ct75 changed'

step 'an administrator decides: ct75 gives its changes up'
on ct75 drbdadm secondary r0
on ct75 drbdadm disconnect r0
on ct75 drbdadm connect --discard-my-data r0 || fail 'connect --discard-my-data'
on ct74 drbdadm connect r0
uptodate_wait 60
[ "$(sum ct74)" = "$(sum ct75)" ] || fail 'the replicas differ'
step 'done'
