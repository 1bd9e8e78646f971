#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# keepalive 100ms and deadtime 500ms: the client feels a planned move and the death of the holder for less
# than 1.5 s.
. "$(dirname "$0")/lib.sh"
need_cluster

cluster_up --config "$(config_make 's/^keepalive .*/keepalive 100ms/' 's/^deadtime .*/deadtime 500ms/' \
    's/^warntime .*/warntime 300ms/')" --disk-size 128M
client_start
goes_on 10

step 'planned move'
other=$(other_of "$OWNER")
mark move
on "$OWNER" hb_standby || fail 'hb_standby'
owner_wait "$other" 30
goes_on 30
mark moved
pause_below move moved 1500

step 'the holder dies'
uptodate_wait 30
mark death
"$LAB" crash "$other" || fail 'crash'
owner_wait "$OWNER" 30
goes_on 30
mark dead
pause_below death dead 1500
"$LAB" boot "$other" || fail 'boot'
uptodate_wait 60
owner_wait "$OWNER" 1
finish
