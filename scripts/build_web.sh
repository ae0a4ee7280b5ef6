#!/usr/bin/env bash
# Builds the dashboard into web/dist, if its sources are newer than what is there.
set -euo pipefail
cd "$(dirname "$0")/../web"
if [ -f dist/index.html ] && [ -z "$(find . -path ./node_modules -prune -o -path ./dist -prune -o -type f -newer dist/index.html -print -quit)" ]; then
  exit 0
fi
if [ ! -d node_modules ] || [ package-lock.json -nt node_modules ]; then
  echo "Installing the dashboard's build tools (npm)..." >&2
  npm ci --no-audit --no-fund --silent
  touch node_modules
fi
npm run --silent build >&2
