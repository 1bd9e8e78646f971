#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The file system is full: the client is told so, nothing breaks, and when there is room again it goes
# on.
. "$(dirname "$0")/lib.sh"
need_cluster

told_full() { grep -q ' 28 ' "$HAVEN_LAB_DIR$LEDGER"; }

cluster_up --config "$(config_make)" --disk-size 64M
on "$OWNER" sh -c 'dd if=/dev/zero of=/nfs/ballast bs=1M count=1000 2>/dev/null; sync; df /nfs | tail -1'
CLIENT=1
LEDGER=/share/ledger.1
"$LAB" client sh -c "nfsclient write --ledger $LEDGER --file /records.1 >/share/client.1.log 2>&1 &"
until_true 60 told_full || fail 'the client is not told'
owner_wait "$OWNER" 1
on "$OWNER" rm /nfs/ballast || fail 'rm'
goes_on 30
step 'and moved, full or not'
on "$OWNER" hb_standby || fail 'hb_standby'
owner_wait "$(other_of "$OWNER")" 30
goes_on 60
finish errors
