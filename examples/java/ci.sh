#!/usr/bin/env bash
# Build, run every golden vector of every bundle, and write some text: ci.sh [MODELS]
set -euo pipefail
models=$(realpath "${1:-$(dirname "$0")/models}")
"$(dirname "$0")/build.sh"
cd "$(dirname "$0")"
CC=${CC:-cc}
names=()
for bundle in models/*/; do names+=("$(basename "$bundle")"); done
echo "built with: $(javac --version), $(basename "${CC##* }") $($CC -dumpfullversion -dumpversion)"
java -jar build/recurrent.jar errors "${names[@]}"
java -jar build/recurrent.jar golden "$models"/*/
for manifest in "$models"/*/manifest.json; do
    if grep -q '"vocabulary": "' "$manifest"; then
        name=$(basename "$(dirname "$manifest")")
        echo "text: $(java -jar build/recurrent.jar generate "$name" "The " 100 1)"
    fi
done
