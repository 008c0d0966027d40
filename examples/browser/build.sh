#!/usr/bin/env bash
# Put the site into build/site: build.sh [MODELS]
set -euo pipefail
models=$(realpath "${1:-$(dirname "$0")/models}")
cd "$(dirname "$0")"
for tool in node npm; do
    command -v $tool > /dev/null || { echo "not built: needs $tool; get it with: apt-get install nodejs npm" >&2; exit 77; }
done
node -e 'process.exit(parseInt(process.versions.node) >= 20 ? 0 : 1)' ||
    { echo "not built: needs Node 20, has $(node --version); get it with: apt-get install nodejs, of Debian 13" >&2; exit 77; }
[ node_modules/.package-lock.json -nt package-lock.json ] ||
    { echo "installing packages into node_modules" >&2 && npm ci --silent; }
node build.mjs "$models"
