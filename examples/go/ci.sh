#!/usr/bin/env bash
# Build, run every golden vector of every bundle, and write some text: ci.sh [MODELS]
set -euo pipefail
models=$(realpath "${1:-$(dirname "$0")/models}")
. "$(dirname "$0")/build.sh" # in this shell, for what it exports
go vet ./...
echo "built with: $(go version | cut -d " " -f 3 | sed 's/^go/go /'), $(basename "${CC##* }") $($CC -dumpfullversion -dumpversion)"
go test ./... > build/log 2>&1 || { cat build/log >&2; exit 1; }
build/golden "$models"/*/
for manifest in "$models"/*/manifest.json; do
    if grep -q '"vocabulary": "' "$manifest"; then
        echo "text: $(build/generate "$(basename "$(dirname "$manifest")")" "The " 100 1)"
    fi
done
