#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# disk_failing.sh primary|secondary: that node's disk fails while the client writes.  It is detached
# (on-io-error detach); reads and writes go on at the other's.  With a good disk it resyncs.
. "$(dirname "$0")/lib.sh"
need_cluster
which=${1:?primary or secondary}

diskless() { [[ $(on "$1" haven dstate r0 2>/dev/null) = Diskless/* ]]; }

cluster_up --config "$(config_make)" --disk-size 128M --fault-disks
client_start
victim=$OWNER
[ "$which" = primary ] || victim=$(other_of "$OWNER")
mark fail
"$LAB" disk "$victim" fail || fail 'disk'
until_true 30 diskless "$victim" || fail 'the disk is not detached'
goes_on 30
mark detached
step "longest pause: $(pause_ms fail detached) ms"
owner_wait "$OWNER" 1
"$LAB" disk "$victim" ok || fail 'disk'
on "$victim" drbdadm attach r0 || fail 'attach'
uptodate_wait 90
goes_on 30
finish
