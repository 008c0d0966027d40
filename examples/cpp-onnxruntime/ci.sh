#!/usr/bin/env bash
# Build, run every golden vector of every bundle, and write some text: ci.sh [MODELS]
set -euo pipefail
models=$(realpath "${1:-$(dirname "$0")/models}")
"$(dirname "$0")/build.sh"
cd "$(dirname "$0")"
unset ORT_LIBRARY # the programs find the library beside themselves
compiler=$(sed -n 's/^CMAKE_CXX_COMPILER:[A-Z]*=//p' build/CMakeCache.txt)
echo "built with: $(basename "$compiler") $("$compiler" -dumpfullversion -dumpversion), $(build/stream --version)"
build/errors "$models"/*/
for bundle in "$models"/*/; do build/library "$bundle"; done
build/golden "$models"/*/
for manifest in "$models"/*/manifest.json; do
    if grep -q '"vocabulary": "' "$manifest"; then
        echo "text: $(MODELS=$models build/generate "$(basename "$(dirname "$manifest")")" "The " 100 1)"
    fi
done
