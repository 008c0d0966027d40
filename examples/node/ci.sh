#!/usr/bin/env bash
# Install, check the types, run the tests and every golden vector of every bundle, and write some text: ci.sh [MODELS]
set -euo pipefail
models=$(realpath "${1:-$(dirname "$0")/models}")
cd "$(dirname "$0")"
./build.sh
npm run --silent types
mkdir -p build
node --test > build/tests.txt || { cat build/tests.txt >&2; exit 1; }
version=$(node -p 'require("onnxruntime-node/package.json").version')
echo "built with: node $(node -p process.versions.node), onnxruntime-node $version"
node golden.js "$models"/*/
for manifest in "$models"/*/manifest.json; do
    if grep -q '"vocabulary": "' "$manifest"; then
        echo "text: $(node generate.js "$(basename "$(dirname "$manifest")")" "The " 100 1)"
    fi
done
