#!/usr/bin/env bash
# Build the programs, or what changed since the last time: build.sh
# ORT_LIBRARY names another libonnxruntime.so.1.* than that of python3's onnxruntime package.
set -euo pipefail
library=${ORT_LIBRARY:+$(realpath "$ORT_LIBRARY")}
cd "$(dirname "$0")"

missing() {
    echo "not built: needs $1; get it with: $2" >&2
    exit 77
}

packages="apt-get install g++ cmake make nlohmann-json3-dev python3-venv"
for tool in "${CXX:-c++}" cmake make python3; do
    command -v "$tool" > /dev/null || missing "$tool" "$packages"
done
echo '#include <nlohmann/json.hpp>' | "${CXX:-c++}" -E -x c++ - > /dev/null 2>&1 ||
    missing "nlohmann/json.hpp" "$packages"

# The library that a Python finds in its onnxruntime package (1.19 or newer: older ones have none).
library_of() {
    "$1" - << 'END'
import glob, importlib.util
package = importlib.util.find_spec("onnxruntime")
for folder in package.submodule_search_locations if package else []:
    print(*glob.glob(f"{folder}/capi/libonnxruntime.so.1*")[:1], sep="\n", end="")
END
}

mkdir -p build
python=build/venv/bin/python
[ -n "$library" ] || library=$(library_of python3)
if [ -z "$library" ]; then
    [ -x $python ] || python3 -m venv build/venv > build/log 2>&1 || missing "Python's venv" "$packages"
    [ -n "$(library_of $python)" ] ||
        { echo "installing onnxruntime into build/venv" >&2 &&
            $python -m pip install -qq --no-deps 'onnxruntime>=1.19'; } ||
        missing "ONNX Runtime" "pip install onnxruntime, or name its library in ORT_LIBRARY"
    library=$(library_of $python)
fi
ln -sfn "$(realpath "$library")" build/libonnxruntime.so.1

# Run a command; show what it compiles, and all that it says if it fails.
shown() {
    "$@" 2>&1 | tee build/log | while IFS= read -r line; do
        case $line in
        *"] Building "*) line=${line/ Building * object */ ${line##*.dir/}} && echo "${line%.o}" >&2 ;;
        *"] Linking "*) echo "${line%% Linking *} ${line##* }" >&2 ;;
        esac
    done || { cat build/log >&2; exit 1; }
}
shown cmake -S . -B build
shown cmake --build build
