#!/usr/bin/env bash
# Compile the models, run every golden vector in Node, in Chromium and in an AudioWorklet, and write some text: ci.sh [MODELS]
set -euo pipefail
models=$(realpath "${1:-$(dirname "$0")/models}")
cd "$(dirname "$0")"
CLANG=${CLANG:-$(command -v clang || true)} WASM_LD=${WASM_LD:-$(command -v wasm-ld || true)}
CHROMIUM=${CHROMIUM:-$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)}
need() { [ -n "$1" ] || { echo "not checked: needs $2; get it with: apt-get install $3" >&2; exit 77; }; }
need "$CHROMIUM" Chromium chromium
need "$(command -v npm || true)" npm npm
export CLANG WASM_LD CHROMIUM
./build.sh "$models"
[ node_modules/.package-lock.json -nt package-lock.json ] || npm ci --silent
echo "built with: $("$CLANG" --version | grep -om1 'clang version [0-9.]*'), node $(node -p process.versions.node), $("$CHROMIUM" --version 2> /dev/null | grep -om1 'Chromium [0-9.]*')"
node --test node/recurrent.test.mjs > build/tests.txt || { cat build/tests.txt >&2; exit 1; }
node node/golden.mjs
node check.mjs
for manifest in "$models"/*/manifest.json; do
    name=$(basename "$(dirname "$manifest")")
    if grep -q '"vocabulary": "' "$manifest"; then
        echo "text: $(node node/generate.mjs "build/site/models/$name/model.wasm" "The " 100 1)"
    fi
done
