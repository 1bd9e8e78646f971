#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Each node is cut off from everything, and healed: first the one that has the service (the other takes
# it, the isolated one gives it up), then the one that has not (nothing happens to the service).
. "$(dirname "$0")/lib.sh"
need_cluster

# Looked at from inside: the isolated node.
gave_up() { ! on "$1" ip -o -4 addr show | grep -qF ' 192.168.137.82/' && volume_secondary "$1"; }
volume_secondary() { [[ $(on "$1" haven role r0 2>/dev/null) = Secondary/* ]]; }
took() { on "$1" ip -o -4 addr show | grep -qF ' 192.168.137.82/'; }

cluster_up --config "$(config_make)" --disk-size 128M
client_start
other=$(other_of "$OWNER")
step "$OWNER, which has the service"
mark cut
"$LAB" cut "$OWNER" all || fail 'cut'
until_true 30 took "$other" || fail 'the other does not take the service'
goes_on 120
mark over
step "longest pause: $(pause_ms cut over) ms"
until_true 60 gave_up "$OWNER" || fail 'the isolated node does not give the service up'
"$LAB" heal || fail 'heal'
uptodate_wait 90
owner_wait "$other" 1

step "$OWNER, which has it no more"
goes_on 30
"$LAB" cut "$OWNER" all || fail 'cut'
goes_on 60
until_true 30 volume_says "$other" role Primary/Unknown || fail 'the cut is not noticed'
owner_is "$other" || fail "owner: $("$LAB" owner)"
"$LAB" heal || fail 'heal'
uptodate_wait 90
goes_on 30
finish
