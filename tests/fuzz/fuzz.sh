#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs each libFuzzer target for FUZZ_SECONDS (default 60) on a scratch copy of its corpus.
#   fuzz.sh CORPUS TARGET...
# A finding is left in the current directory; put it into the corpus with the fix.
set -eu
corpus=$1
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for target; do
    name=$(basename "$target")
    name=${name#fuzz_}
    mkdir "$work/$name"
    echo "== $name"
    dict=$(dirname "$corpus")/$name.dict
    [ -f "$dict" ] || dict=/dev/null
    "$target" -dict="$dict" -max_total_time="${FUZZ_SECONDS:-60}" -max_len=8192 -timeout=10 -print_final_stats=1 \
        -verbosity=0 "$work/$name" "$corpus/$name"
done
