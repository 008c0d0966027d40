#!/usr/bin/env bash
# Build, run every golden vector of every bundle, and write some text: ci.sh [MODELS]
set -euo pipefail
models=$(realpath "${1:-$(dirname "$0")/models}")
cd "$(dirname "$0")"
CC=${CC:-cc}
./build.sh
echo "built with: $(basename "${CC##* }") $($CC -dumpfullversion -dumpversion)"
build/errors
build/golden "$models"/*/
for manifest in "$models"/*/manifest.json; do
    if grep -q '"vocabulary": "' "$manifest"; then
        echo "text: $(build/generate "$(basename "$(dirname "$manifest")")" "The " 100 1)"
    fi
done
