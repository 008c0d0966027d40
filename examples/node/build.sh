#!/usr/bin/env bash
# Install what the programs need; what is there already is kept: build.sh
set -euo pipefail
cd "$(dirname "$0")"
if ! node -e 'process.exit(parseInt(process.versions.node) < 18 ? 1 : 0)' 2> /dev/null || ! command -v npm > /dev/null; then
    echo "not built: needs Node 18 or newer with npm; get it with: apt-get install nodejs npm" >&2
    exit 77
fi
[ node_modules/.package-lock.json -nt package-lock.json ] ||
    { echo "installing packages into node_modules" >&2 && npm ci --silent; }
