#!/usr/bin/env bash
# Runs a test program, unless this very program has passed already with the same arguments, settings
# and data: then it says so and passes. So a second ./check takes minutes less, and a change anywhere
# below a test brings it back. ./check --fresh forgets what has passed.
#
#   run_once.sh STAMPS PROGRAM [ARGUMENTS...]
#
# What counts as the same: the bytes of the program and of the `weir` that it runs, its arguments, SEED and
# SEEDS, the names, sizes and times of shared data, and the pages and sources that tests read.
set -euo pipefail
stamps=$1
program=$2
shift 2
shared=${WEIR_SHARED:-}
key=$({
  sha256sum <"$program"
  [ -z "${WEIR_PROGRAM:-}" ] || sha256sum <"$WEIR_PROGRAM"
  printf '%s\n' "$*" "${SEED:-}" "${SEEDS:-}"
  [ ! -d "$shared" ] || find "$shared" -type f -printf '%P %s %T@\n' | LC_ALL=C sort
  cd "${WEIR_SOURCE:-.}"
  find docs tests examples web/src -type f -not -path '*/node_modules/*' -not -path '*/out/*' -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
} | sha256sum | cut -c1-32)
stamp=$stamps/$(basename "$program")-$key
if [ -e "$stamp" ]; then
  echo "passed at $(date -r "$stamp" '+%F %T') with this program, these settings and this data (./check --fresh runs it again)"
  exit 0
fi
"$program" "$@"
mkdir -p "$stamps"
touch "$stamp"
