#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What `haven dump` prints of every configuration in FIXTURES, against what drbdadm of 8.4 printed
# (NAME.dump beside NAME.conf; @ stands for the directory; the last line is the exit code).
#   dump.sh HAVEN FIXTURES            compare with the stored output
#   dump.sh HAVEN FIXTURES DRBDADM    compare with that program, for more nodes and commands
#   dump.sh --store DRBDADM FIXTURES  write the stored output anew
set -u
LC_ALL=C
export LC_ALL

# run PROGRAM NODE ARGUMENTS...: its stdout and exit code
run() {
    program=$1 __DRBD_NODE__=$2
    shift 2
    export __DRBD_NODE__
    "$program" "$@" 2>/dev/null | sed "s|$fixtures|@|g"
    # The pipe hides the exit code; these commands are cheap, so ask again.
    "$program" "$@" >/dev/null 2>&1
    echo "exit $?"
}

if [ "$1" = --store ]; then
    fixtures=$(cd "$3" && pwd)
    for conf in "$fixtures"/*.conf; do
        run "$2" ct74 -c "$conf" dump >"${conf%.conf}.dump"
    done
    exit 0
fi

haven=$1
fixtures=$(cd "$2" && pwd)
oracle=${3-}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
failed=0 compared=0

# compare TITLE: $work/expected with $work/got
compare() {
    compared=$((compared + 1))
    diff -u "$work/expected" "$work/got" >"$work/diff" && return
    failed=$((failed + 1))
    echo "not the same: $1"
    cat "$work/diff"
}

# both NODE ARGUMENTS...
both() {
    run "$oracle" "$@" >"$work/expected"
    run "$haven" "$@" >"$work/got"
    compare "$*"
}

if [ -n "$oracle" ] && [ ! -x "$oracle" ]; then
    echo "skipped: $oracle (Debian: drbd-utils) is not installed"
    exit 77
fi
for conf in "$fixtures"/*.conf; do
    if [ -z "$oracle" ]; then
        cp "${conf%.conf}.dump" "$work/expected"
        run "$haven" ct74 -c "$conf" dump >"$work/got"
        compare "$conf"
        continue
    fi
    for node in ct74 ct75 elsewhere; do
        both $node -c "$conf" dump
        both $node -c "$conf" dump-xml
    done
    for verb in sh-resource sh-dev sh-udev sh-minor sh-ll-dev sh-md-dev sh-md-idx sh-ip; do
        both ct74 -c "$conf" $verb all
        both ct74 -c "$conf" $verb r0
    done
    both ct74 -c "$conf" dump r0
    both ct75 -c "$conf" sh-udev r0/0
    both ct75 -c "$conf" sh-dev minor-1
    both elsewhere -c "$conf" sh-dev all
    case $conf in
    # drbdadm does not look at the resources for these, and haven does
    */54-*) ;;
    *)
        both ct74 -c "$conf" sh-resources
        both ct74 -c "$conf" sh-mod-parms
        both ct74 -c "$conf" sh-nop
        ;;
    esac
done
echo "$compared compared, $failed differ"
[ "$compared" -ge 30 ] && [ "$failed" -eq 0 ]
