#!/usr/bin/env bash
# Install, check the types, run the tests and check.py on every bundle, and write some text: ci.sh [MODELS]
set -euo pipefail
models=$(realpath "${1:-$(dirname "$0")/models}")
cd "$(dirname "$0")"
missing() {
    echo "not checked: needs $1; get it with: $2" >&2
    exit 77
}
node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' 2> /dev/null && command -v npm > /dev/null ||
    missing "Node 20 or newer with npm" "nodejs.org, or your system's packages"
