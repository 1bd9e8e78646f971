#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# `haven check` on the guide's own files: silent on both nodes, and each of some mistakes is named with
# its line.
#   check.sh HAVEN FIXTURES
set -u
haven=$1 fixtures=$2
failed=0

if [ "$(id -u)" != 0 ]; then
    echo "skipped: authkeys must belong to root, and this is another user"
    exit 77
fi
root=$(mktemp -d) || exit 1
trap 'rm -rf "$root"' EXIT

fresh() {
    rm -rf "$root/etc"
    cp -R "$fixtures/etc" "$root/etc"
    # What git does not keep.
    chown -R 0:0 "$root/etc"
    chmod 600 "$root/etc/ha.d/authkeys"
}

# check NODE EXIT TEXT
check() {
    said=$(__DRBD_NODE__=$1 "$haven" --root "$root" check 2>&1 | sed "s|$root||g")
    __DRBD_NODE__=$1 "$haven" --root "$root" check >/dev/null 2>&1
    code=$?
    if [ "$code" != "$2" ] || [ "$said" != "$3" ]; then
        failed=1
        printf 'on %s: exit %s, said\n%s\nnot exit %s and\n%s\n' "$1" "$code" "$said" "$2" "$3"
    fi
}

fresh
check ct74 0 ''
sed -i 's/137.75$/137.74/' "$root/etc/ha.d/ha.cf" # the one line that differs on the other node
check ct75 0 ''
chmod 644 "$root/etc/ha.d/authkeys"
check ct74 10 "/etc/ha.d/authkeys: holds the cluster's key, and its mode 644 lets others at it; chmod 600 /etc/ha.d/authkeys"
fresh
sed -i 's/drbddisk::r0/drbddisk::r1/' "$root/etc/ha.d/haresources"
check ct74 10 "/etc/ha.d/haresources:1: /dev/drbd0 is mounted, but the group does not make resource r0 Primary; put drbddisk::r0 in front of it
/etc/ha.d/haresources:1: resource 'r1' is not defined; use r0"
fresh
sed -i 's/^deadtime 5/deadtime 2/; s/^udpport/udport/' "$root/etc/ha.d/ha.cf"
sed -i 's/on-io-error detach/on-io-error detatch/' "$root/etc/drbd.d/drbd_basic.cfg"
sed -i 's/no_root_squash/no_root_sqash/' "$root/etc/exports"
check ct75 10 "/etc/drbd.d/drbd_basic.cfg:28: on-io-error cannot be 'detatch'; did you mean 'detach'?
/etc/exports:1: 'no_root_sqash' is not an option of an export; did you mean 'no_root_squash'?
/etc/ha.d/ha.cf:9: deadtime 2000 ms is too small compared to keepalive 1000 ms; make deadtime more than twice keepalive
/etc/ha.d/ha.cf:11: warning: warntime 2000 ms warns of nothing before deadtime 2000 ms; make warntime less than deadtime
/etc/ha.d/ha.cf:15: 'udport' is not a directive of ha.cf; did you mean 'udpport'?"

# -c names one file, which is checked alone.
cat >"$root/haven.conf" <<EOF
cluster {
    node ct74 { address 10.0.0.74; }
    node ct75 { address 10.0.0.75; }
    auth sha256 "k";
}
resource r0 {
    device /dev/drbd0; disk /dev/sdb1; meta-disk internal;
    on ct74 { address 10.0.0.74:7788; }
    on ct75 { address 10.0.0.75:7788; }
}
service nfs { on r0; mount /nfs type ext4; prefer ct47; }
EOF
chmod 600 "$root/haven.conf"
said=$(__DRBD_NODE__=ct74 "$haven" -c "$root/haven.conf" check | sed "s|$root||g")
if [ "$said" != "/haven.conf:11: service nfs prefers 'ct47', which is not a node of the cluster; did you mean 'ct74'?" ]; then
    failed=1
    echo "of a file alone it said: $said"
fi
exit $failed
