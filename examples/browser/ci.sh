#!/usr/bin/env bash
# Build the site, run every golden vector of every bundle in Chromium, and let the page write some text: ci.sh [MODELS]
set -euo pipefail
models=$(realpath "${1:-$(dirname "$0")/models}")
cd "$(dirname "$0")"
CHROMIUM=${CHROMIUM:-$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)}
[ -n "$CHROMIUM" ] || { echo "not checked: needs Chromium; get it with: apt-get install chromium" >&2; exit 77; }
export CHROMIUM
./build.sh "$models"
node check.mjs
