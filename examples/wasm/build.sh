#!/usr/bin/env bash
# Compile the models, and put the page into build/site: build.sh [MODELS]
set -euo pipefail
models=$(realpath "${1:-$(dirname "$0")/models}")
cd "$(dirname "$0")"
CLANG=${CLANG:-$(command -v clang || true)} WASM_LD=${WASM_LD:-$(command -v wasm-ld || true)}
need() { [ -n "$1" ] || { echo "not built: needs $2; get it with: apt-get install $3" >&2; exit 77; }; }
need "$CLANG" clang clang
need "$WASM_LD" wasm-ld lld
need "$(command -v node || true)" "Node 18" nodejs
export CLANG WASM_LD
node build.mjs "$models"
