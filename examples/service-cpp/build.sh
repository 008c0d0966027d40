#!/usr/bin/env bash
# Build the service, or what changed since the last time: build.sh [TARGET]
set -euo pipefail
cd "$(dirname "$0")"
CXX=${CXX:-c++}
missing() {
    echo "not built: needs $1; get it with: apt-get install $2" >&2
    exit 77
}
for tool in cmake pkg-config "${CXX%% *}"; do
    command -v "$tool" > /dev/null || missing "$tool" "g++ cmake pkg-config"
done
for header in httplib.h nlohmann/json.hpp prometheus/registry.h CLI/CLI.hpp; do
    echo "#include <$header>" | $CXX -std=c++20 -x c++ -E - > /dev/null 2>&1 ||
        missing "$header" "libcpp-httplib-dev nlohmann-json3-dev prometheus-cpp-dev libcli11-dev"
done
mkdir -p build
# Run a command; show what it compiles, and all that it says if it fails.
shown() {
    "$@" 2>&1 | tee build/log.txt | while IFS= read -r line; do
        case $line in
        *"] Building "*) line=${line/ Building * object */ ${line##*.dir/}} && echo "${line%.o}" >&2 ;;
        *"] Linking "*) echo "${line%% Linking *} ${line##* }" >&2 ;;
        esac
    done || { cat build/log.txt >&2; exit 1; }
}
shown cmake -S . -B build
shown cmake --build build --parallel 2 --target "${1:-service}"
