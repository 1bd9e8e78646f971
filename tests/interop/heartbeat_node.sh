#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# heartbeat_node.sh DIR NAME: makes the fresh namespaces of a node of test_heartbeat.sh its own, so that
# Heartbeat and all that it starts find DIR/NAME where they look, and nothing of the machine's.
set -eu
at=$1/$2

mount -t proc proc /proc
[ ! -e /proc/sysrq-trigger ] || mount --bind /dev/null /proc/sysrq-trigger
mount --bind "$at/etc/ha.d" /etc/ha.d
mount --bind "$at/var/lib/heartbeat" /var/lib/heartbeat
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/lock /run/heartbeat/{ccm,crm,dopd,rsctmp}
chown -R hacluster:haclient /run/heartbeat
chmod 750 /run/heartbeat /run/heartbeat/*
ip link set lo up
