#!/usr/bin/env bash
# Build the programs, or what changed since the last time: build.sh
# PYTHON names a Python whose torch is linked; without one, torch is installed into build/venv.
set -euo pipefail
cd "$(dirname "$0")"

missing() {
    echo "not built: needs $1; get it with: $2" >&2
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
