#!/usr/bin/env bash
# Every C++ file is as clang-format would write it. `scripts/check_format.sh --fix` makes it so.
set -euo pipefail
cd "$(dirname "$0")/.."
mapfile -t files < <(git ls-files '*.h' '*.cc' 2>/dev/null || find src bench tests -name '*.h' -o -name '*.cc')
if [ "${1:-}" = --fix ]; then
  clang-format -i "${files[@]}"
else
  clang-format --dry-run --Werror "${files[@]}" 2>&1 | head -40
  [ "${PIPESTATUS[0]}" -eq 0 ] || { echo "Run scripts/check_format.sh --fix"; exit 1; }
fi
