#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Both nodes lose their power while the client writes; they come back in one order, then in the other.
. "$(dirname "$0")/lib.sh"
need_cluster

cluster_up --config "$(config_make)" --disk-size 128M
client_start
for first in ct74 ct75; do
    step "both off; $first comes first"
    goes_on 30
    "$LAB" crash ct74 || fail 'crash'
    "$LAB" crash ct75 || fail 'crash'
    "$LAB" boot "$first" || fail 'boot'
    "$LAB" boot "$(other_of "$first")" || fail 'boot'
    "$LAB" wait 90 nfs || fail 'the service does not answer'
    goes_on 120
    uptodate_wait 90
done
finish
