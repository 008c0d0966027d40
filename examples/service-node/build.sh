#!/usr/bin/env bash
# Install what the service needs; what is there already is kept: build.sh
set -euo pipefail
cd "$(dirname "$0")"
if ! node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' 2> /dev/null || ! command -v npm > /dev/null; then
    echo "not built: needs Node 20 or newer with npm; get it with: apt-get install nodejs npm, or from nodejs.org" >&2
    exit 77
fi
[ node_modules/.package-lock.json -nt package-lock.json ] ||
    { echo "installing packages into node_modules" >&2 && npm ci --loglevel=warn; }
