#!/usr/bin/env bash
# Build, run every golden vector of every bundle, and write some text: ci.sh [MODELS]
# PYTHON names a Python whose torch is linked; without one, torch is installed into build/venv.
set -euo pipefail
models=$(realpath "${1:-$(dirname "$0")/models}")
cd "$(dirname "$0")"

missing() {
    echo "not checked: needs $1; get it with: $2" >&2
    exit 77
}

PYTHON=${PYTHON:-python3}
packages="apt-get install g++ cmake make nlohmann-json3-dev python3-venv"
for tool in "${CXX:-c++}" cmake make "$PYTHON"; do
    command -v "$tool" > /dev/null || missing "$tool" "$packages"
done
echo '#include <nlohmann/json.hpp>' | "${CXX:-c++}" -E -x c++ - > /dev/null 2>&1 ||
    missing "nlohmann/json.hpp" "$packages"

mkdir -p build
prefix_of() { "$1" -c "import torch; print(torch.utils.cmake_prefix_path)" 2> /dev/null; }
if ! prefix=$(prefix_of "$PYTHON"); then
    python=build/venv/bin/python
    [ -x $python ] || "$PYTHON" -m venv build/venv > build/log 2>&1 || missing "Python's venv" "$packages"
    prefix=$(prefix_of $python) || { $python -m pip install -qq torch==2.13.0 && prefix=$(prefix_of $python); } ||
        missing "libtorch" "pip install torch, or name a Python that has it in PYTHON"
fi

{ cmake -S . -B build -DCMAKE_PREFIX_PATH="$prefix" && cmake --build build --parallel 2; } > build/log 2>&1 ||
    { cat build/log >&2; exit 1; }

compiler=$(sed -n 's/^CMAKE_CXX_COMPILER:[A-Z]*=//p' build/CMakeCache.txt)
echo "built with: $(basename "$compiler") $("$compiler" -dumpfullversion -dumpversion), $(build/stream --version)"
build/errors "$models"/*/
build/golden "$models"/*/
for manifest in "$models"/*/manifest.json; do
    if grep -q '"vocabulary"' "$manifest"; then
        echo "text: $(MODELS=$models build/generate "$(basename "$(dirname "$manifest")")" "The " 100 1)"
    fi
done
