#!/usr/bin/env bash
# Build the site, run every golden vector of every bundle in Chromium, and let the page write some text: ci.sh [MODELS]
set -euo pipefail
models=$(realpath "${1:-$(dirname "$0")/models}")
cd "$(dirname "$0")"
for tool in node npm; do
    command -v $tool > /dev/null || { echo "not checked: needs $tool; get it with: apt-get install nodejs npm" >&2; exit 77; }
done
node -e 'process.exit(parseInt(process.versions.node) >= 20 ? 0 : 1)' ||
    { echo "not checked: needs Node 20, has $(node --version); get it with: apt-get install nodejs, of Debian 13" >&2; exit 77; }
CHROMIUM=${CHROMIUM:-$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)}
[ -n "$CHROMIUM" ] || { echo "not checked: needs Chromium; get it with: apt-get install chromium" >&2; exit 77; }
export CHROMIUM
[ node_modules/.package-lock.json -nt package-lock.json ] || npm ci --silent
node build.mjs "$models"
node check.mjs
