#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# link_cut.sh replication|heartbeat: one of the two links between the nodes is cut and healed while the
# client writes.  Without replication the service stays, alone, and the other catches up later.
# Without heartbeat both nodes still see the gateway and the mirror still works: nobody may be promoted
# while the other is Primary at the other end of it.
. "$(dirname "$0")/lib.sh"
need_cluster
link=${1:?replication or heartbeat}

disconnected() { ! volume_says "$1" cstate Connected; }
peer_dead() { [ "$(on "$1" cl_status nodestatus "$2" 2>/dev/null)" = dead ]; }

cluster_up --config "$(config_make)" --disk-size 128M
client_start
other=$(other_of "$OWNER")
mark cut
"$LAB" cut ct74 ct75 "--$link" || fail 'cut'
if [ "$link" = replication ]; then
    until_true 30 disconnected "$OWNER" || fail 'the cut is not noticed'
    owner_wait "$OWNER" 1
else
    until_true 30 peer_dead "$other" "$OWNER" || fail 'the cut is not noticed'
    ! volume_says "$other" role Primary/Primary || fail 'two Primaries'
fi
goes_on 60
"$LAB" heal || fail 'heal'
uptodate_wait 60
goes_on 30
mark healed
step "longest pause: $(pause_ms cut healed) ms"
finish
