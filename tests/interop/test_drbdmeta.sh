#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The metadata commands against drbdmeta (drbd-utils), in both directions, on plain files.
#   test_drbdmeta.sh HAVEN DISK_AL_WRITER FIXTURES
# Exit 77: cannot run here.
set -u

haven=$1 writer=$2 fixtures=$3
command -v drbdmeta >/dev/null || { echo "skip: drbdmeta (package drbd-utils) is not installed"; exit 77; }
[ "$(id -u)" = 0 ] || { echo "skip: drbdmeta wants root"; exit 77; }

work=$(mktemp -d "${TMPDIR:-/tmp}/haven-drbdmeta.XXXXXX") || exit 77
# drbdmeta remembers sizes by minor number under /var/lib/drbd; a minor nobody has keeps that apart.
minor=1048571
trap 'rm -rf "$work" "/var/lib/drbd/drbd-minor-$minor.lkbd"' EXIT
failures=0
LC_ALL=C
export LC_ALL

fail() { echo "FAILED: $*"; failures=$((failures + 1)); }
# Of sparse files of many GiB only the last 8 MiB, which hold the metadata, are worth reading.
same() {
    local skip=$(($(stat -c %s "$2") - 8388608))
    [ $skip -gt 0 ] || skip=0
    if [ "$(stat -c %s "$2")" = "$(stat -c %s "$3")" ] && cmp -s -i $skip "$2" "$3"; then
        echo "ok: $1"
    else
        fail "$1: $(cmp -i $skip "$2" "$3" 2>&1)"
    fi
}
same_start() { cmp -s -n 8388608 "$2" "$3" && echo "ok: $1" || fail "$1"; }
same_text() { diff "$2" "$3" >"$work/diff" && echo "ok: $1" || { fail "$1"; head -20 "$work/diff"; }; }
check() { local what=$1; shift; "$@" && echo "ok: $what" || fail "$what"; }

# configure DISK META: what haven is to act on, and how drbdmeta calls the same.
configure() {
    cat >"$work/conf" <<-CONF
	resource r0 {
	    device /dev/drbd0; disk $1; meta-disk $2;
	    on here { address 127.0.0.1:7788; }
	    on there { address 127.0.0.2:7788; }
	}
	CONF
}
ours() { __DRBD_NODE__=here "$haven" -c "$work/conf" "$@" </dev/null; }
# Its complaints about files that are no block devices are not the point.
theirs() {
    drbdmeta --force $minor v08 "$@" </dev/null 2>"$work/stderr"
    local rc=$?
    grep -v -e hard_sect -e BLKZEROOUT -e 'using pwrite' "$work/stderr" >&2
    return $rc
}
# cp without reading the hole: of a large file only its end matters, where the metadata is.
copy() {
    local blocks=$(($(stat -c %s "$1") / 4096))
    if [ $blocks -le 32768 ]; then cp --sparse=always "$1" "$2"; return; fi
    fresh "$2" "$(stat -c %s "$1")"
    dd if="$1" of="$2" bs=4096 skip=$((blocks - 2048)) seek=$((blocks - 2048)) conv=notrunc status=none
}
fresh() { rm -f "$1"; truncate -s "$2" "$1"; }
# The date and the command line differ; drbdmeta prints no flags for v08.
plain_dump() { sed -e '/^# DRBD/d' -e '/^# 20/d' -e '/^# .*> /d' -e 's/flags 0x[0-9A-F]*/flags/' -e 's/device-uuid .*/device-uuid/' -e '/^# al-extents/d'; }

echo "== create-md: the same bytes, but for the random device id"
a=$work/a b=$work/b
for size in 1M 1049088 33591296 1G 1073742336 17G; do
    fresh "$a" $size; fresh "$b" $size
    configure "$a" internal
    ours create-md r0 >"$work/out" 2>&1 || fail "our create-md of $size"
    theirs "$b" internal create-md >/dev/null 2>&1 || fail "their create-md of $size"
    ours get-gi r0 >"$work/gi" || fail "get-gi"
    at=$(($(stat -c %s "$a") / 4096 * 4096 - 4096 + 40)) # the random device id
    printf '\0\0\0\0\0\0\0\0' | dd of="$a" bs=1 seek=$at conv=notrunc status=none
    printf '\0\0\0\0\0\0\0\0' | dd of="$b" bs=1 seek=$at conv=notrunc status=none
    same "create-md internal, $size" "$a" "$b"
done
check "create-md says that it succeeded" grep -q '^New drbd meta data block successfully created.$' "$work/out"
check "and 'success' last, as drbdadm" [ "$(tail -1 "$work/out")" = success ]

fresh "$work/data" 1G; fresh "$a" 200M; fresh "$b" 200M
configure "$work/data" "$a"
ours create-md r0 >/dev/null 2>&1; theirs "$b" flex-external create-md >/dev/null 2>&1
for f in "$a" "$b"; do printf '\0\0\0\0\0\0\0\0' | dd of="$f" bs=1 seek=40 conv=notrunc status=none; done
same_start "create-md flexible external" "$a" "$b"
fresh "$a" 300M; fresh "$b" 300M
configure "$work/data" "$a[1]"
ours create-md r0 >/dev/null 2>&1; theirs "$b" 1 create-md >/dev/null 2>&1
at=$((128 * 1024 * 1024 + 40))
for f in "$a" "$b"; do printf '\0\0\0\0\0\0\0\0' | dd of="$f" bs=1 seek=$at conv=notrunc status=none; done
check "create-md indexed external" cmp -s -i $((128 * 1024 * 1024)) "$a" "$b"

echo "== either reads what the other wrote"
fresh "$a" 1G; configure "$a" internal
ours create-md r0 >/dev/null 2>&1
theirs "$a" internal dump-md >/dev/null || fail "drbdmeta dump-md refuses ours"
theirs "$a" internal show-gi | diff - <(ours show-gi r0) >/dev/null && echo "ok: show-gi of ours" || fail "show-gi of ours"
check "drbdmeta apply-al accepts ours" theirs "$a" internal apply-al
theirs "$a" internal create-md >/dev/null 2>&1
check "apply-al accepts theirs" ours apply-al r0
for gi in 1:2:3:4:0:0:0:0:0:0:0 A:B:C:D:1:1:1:1:1:1:1 5::7::1:0:1:0:1:0:1 :::8 FFFFFFFFFFFFFFFF:1; do
    copy "$a" "$b"
    ours set-gi r0 "$gi" --force >"$work/out" 2>/dev/null
    theirs "$b" internal set-gi "$gi" 2>/dev/null >"$work/want"
    same "set-gi $gi" "$a" "$b"
    same_text "set-gi $gi, printed" "$work/out" "$work/want"
    ours show-gi r0 >"$work/out"; theirs "$a" internal show-gi >"$work/want"
    same_text "show-gi $gi" "$work/out" "$work/want"
    ours get-gi r0 >"$work/out"; theirs "$a" internal get-gi >"$work/want"
    same_text "get-gi $gi" "$work/out" "$work/want"
    for verb in outdate invalidate outdate; do
        ours $verb r0 >/dev/null 2>&1; rc=$?
        theirs "$b" internal $verb >/dev/null 2>&1; want=$?
        check "$verb: exit code $want" [ $rc = $want ]
        same "$verb" "$a" "$b"
        check "md-dstate" [ "$(ours md-dstate r0)" = "$(theirs "$b" internal dstate)" ]
    done
done
theirs "$b" internal wipe-md >/dev/null 2>&1; ours wipe-md r0 --force >/dev/null 2>&1
same "wipe-md" "$a" "$b"
ours get-gi r0 >/dev/null 2>&1; check "nothing left to read: exit code 1" [ $? = 1 ]

echo "== a kernel's crashed Primary"
fresh "$a" 1G
dd if="$fixtures/crashed-primary-tail.bin" of="$a" bs=4096 seek=$((262144 - 17)) conv=notrunc status=none
copy "$a" "$b"
ours show-gi r0 >"$work/out"; theirs "$b" internal show-gi >"$work/want"
same_text "show-gi, unclean" "$work/out" "$work/want"
ours dump-md r0 >/dev/null 2>&1; check "dump-md of unclean metadata is refused" [ $? = 1 ]
ours dump-md r0 --force 2>&1 | plain_dump >"$work/out"
plain_dump <"$fixtures/crashed-primary.dump-md.txt" >"$work/want"
same_text "dump-md --force says what it did when recorded" "$work/out" "$work/want"
ours apply-al r0 2>"$work/out"; theirs "$b" internal apply-al 2>"$work/want"
same_text "apply-al says how much it marked" "$work/out" "$work/want"
same "apply-al" "$a" "$b"
tail -c 69632 "$a" >"$work/tail"
same "apply-al is what drbdmeta once made of it" "$work/tail" "$fixtures/after-apply-al-tail.bin"
ours dump-md r0 2>&1 | plain_dump >"$work/out"
plain_dump <"$fixtures/after-apply-al.dump-md.txt" >"$work/want"
same_text "dump-md" "$work/out" "$work/want"

echo "== dump-md restores"
ours dump-md r0 >"$work/dump"; fresh "$b" 1G
theirs "$b" internal restore-md "$work/dump" >/dev/null 2>&1 || fail "drbdmeta restore-md refuses our dump"
configure "$b" internal
check "identifiers and flags survive" [ "$(theirs "$a" internal get-gi)" = "$(ours get-gi r0)" ]
ours dump-md r0 | plain_dump >"$work/want"; plain_dump <"$work/dump" >"$work/out"
same_text "the bitmap survives" "$work/out" "$work/want"

echo "== random activity logs, replayed by both"
# SEED ACTIVE-SET LA-SECTORS HOW SIZE CREATE-OPTIONS
replay() {
    local seed=$1 set=$2 la=$3 how=$4 size=$5
    shift 5
    fresh "$a" "$size"; configure "$a" internal
    ours create-md r0 "$@" >/dev/null 2>&1 || fail "create-md $*"
    "$writer" "$a" "$seed" "$set" "$la" $how || { fail "disk_al_writer"; return; }
    copy "$a" "$b"
    ours apply-al r0 2>&1 | grep -v '^Activity log of DRBD 8.3' >"$work/out"
    theirs "$b" internal apply-al >"$work/want" 2>&1
    same "seed $seed, set of $set, $how $*" "$a" "$b"
    same_text "and the sentences" "$work/out" "$work/want"
    ours dump-md r0 | plain_dump >"$work/out"; theirs "$b" internal dump-md | plain_dump >"$work/want"
    same_text "and the dump" "$work/out" "$work/want"
}
for seed in 1 2 $RANDOM $RANDOM; do
    replay $seed 67 2088960 "" 1G
    replay $seed 67 2088960 torn 1G
    replay $seed 1237 2090001 torn 1G # the size is no multiple of an extent
    replay $seed 1237 20971520 "" 11G
    replay $seed 300 2088960 secondary 1G
    replay $seed 6433 20971520 torn 11G
    replay $seed 20000 20971520 torn 11G --al-stripes 4 --al-stripe-size-kB 64
    replay $seed 67 2088960 83 1G
    replay $seed 1237 20971520 83 11G
done

echo "== what looks like data"
refused() { # WHAT, EXIT CODE, haven's words, options
    local what=$1 code=$2 words=$3
    shift 3
    copy "$a" "$b"
    ours create-md r0 "$@" >"$work/out" 2>&1; rc=$?
    check "$what: exit code $code" [ $rc = "$code" ]
    check "$what: it says so" grep -q "$words" "$work/out"
    same "$what: nothing was written" "$a" "$b"
}
if command -v mkfs.ext4 >/dev/null; then
    fresh "$a" 64M; configure "$a" internal; mkfs.ext4 -q -F "$a"
    refused "a file system to the end" 40 "shrink that filesystem first"
    refused "forced" 40 "Operation refused" --force
    mkfs.ext4 -q -F "$a" 60000k
    refused "a shorter file system" 1 "Found ext4 filesystem"
    ours create-md r0 --force >/dev/null 2>&1; check "forced, it is kept" [ $? = 0 ]
    check "and intact" e2fsck -fn "$a" >/dev/null 2>&1
    refused "metadata in place" 1 "overwrite the existing meta-data"
fi
fresh "$a" 64M; configure "$a" internal
printf 'x' | dd of="$a" bs=1 seek=69000 conv=notrunc status=none
refused "some bytes" 1 "Found some data"
fresh "$a" 64M; theirs "$a" internal create-md >/dev/null 2>&1
refused "metadata of drbdmeta" 1 "overwrite the existing meta-data"
fresh "$a" 60K; refused "too small" 10 "68 KiB\|too small\|1 MiB"
fresh "$a" 64M
exec 9<>"$a"; flock -n 9
refused "in use" 20 "is in use"
exec 9>&-

[ $failures = 0 ] && echo "all is well" || { echo "$failures failures"; exit 1; }
