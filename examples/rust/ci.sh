#!/usr/bin/env bash
# Build, run every golden vector of every bundle, and write some text: ci.sh [MODELS]
set -euo pipefail
models=$(realpath "${1:-$(dirname "$0")/models}")
cd "$(dirname "$0")"
CC=${CC:-cc}
export CC
./build.sh
tests=$(cargo test --quiet --release --target-dir build 2>&1) || { echo "$tests" >&2; exit 1; }
rust=$(rustc --version)
echo "built with: ${rust% (*}, $(basename "${CC##* }") $($CC -dumpfullversion -dumpversion)"
build/release/golden "$models"/*/
for manifest in "$models"/*/manifest.json; do
    if grep -q '"vocabulary": "' "$manifest"; then
        echo "text: $(build/release/generate "$(basename "$(dirname "$manifest")")" "The " 100 1)"
    fi
done
