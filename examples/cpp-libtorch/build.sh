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
    prefix_of $python > /dev/null || { echo "installing torch into build/venv, which takes minutes" >&2 &&
        $python -m pip install -qq torch==2.13.0; } || true
    prefix=$(prefix_of $python) ||
        missing "libtorch" "pip install torch, or name a Python that has it in PYTHON"
fi

# Run a command; show what it compiles, and all that it says if it fails.
shown() {
    "$@" 2>&1 | tee build/log | while IFS= read -r line; do
        case $line in
        *"] Building "*) line=${line/ Building * object */ ${line##*.dir/}} && echo "${line%.o}" >&2 ;;
        *"] Linking "*) echo "${line%% Linking *} ${line##* }" >&2 ;;
        esac
    done || { cat build/log >&2; exit 1; }
}
shown cmake -S . -B build -DCMAKE_PREFIX_PATH="$prefix"
shown cmake --build build --parallel 2
