#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# deps.sh [--list]: installs the Debian packages that are missing; does nothing when none is.
# Elsewhere than on Debian and its kin it says what is needed, and leaves the rest to the build.
set -eu

BUILD='gcc meson ninja-build pkg-config liburing-dev libfuse3-dev libssl-dev libnl-3-dev
libnl-route-3-dev libjansson-dev libsystemd-dev libcmocka-dev libnfs-dev'
LAB='e2fsprogs fuse3 iproute2 iputils-arping iputils-ping kmod libnfs-utils netbase nfs-common nfs-ganesha
nfs-ganesha-vfs nftables procps rpcbind util-linux'
TESTS='drbd-utils heartbeat'

packages="$BUILD $LAB $TESTS"
if [ "${1:-}" = --list ]; then
    # shellcheck disable=SC2086
    printf '%s\n' $packages
    exit 0
fi
if ! command -v dpkg-query >/dev/null; then
    command -v meson >/dev/null && command -v ninja >/dev/null && exit 0
    # shellcheck disable=SC2086
    echo "deps.sh: not a Debian system; what is needed here, by Debian's names:" $packages >&2
    exit 1
fi

missing=''
for package in $packages; do
    dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed ||
        missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ]; then
    echo "deps.sh: these packages are missing; as root: apt-get install$missing" >&2
    exit 1
fi

# The servers among them are run by the lab and the tests, in namespaces: none is to start here.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod 755 $policy
    trap 'rm -f $policy' EXIT
fi
export DEBIAN_FRONTEND=noninteractive
echo "deps.sh: installing$missing"
apt-get update -q
# shellcheck disable=SC2086
apt-get install -q -y --no-install-recommends $missing
