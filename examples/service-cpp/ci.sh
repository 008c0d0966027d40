#!/usr/bin/env bash
# Build, check the sessions, let check.py drive the service, and write some text: ci.sh [MODELS]
set -euo pipefail
models=$(realpath "${1:-$(dirname "$0")/models}")
cd "$(dirname "$0")"
CXX=${CXX:-c++}
PYTHON=${PYTHON:-python3}
libraries="libcpp-httplib-dev nlohmann-json3-dev prometheus-cpp-dev libcli11-dev"
missing() {
    echo "not checked: needs $1; get it with: apt-get install $2" >&2
    exit 77
}
for tool in cmake pkg-config "${CXX%% *}"; do
    command -v "$tool" > /dev/null || missing "$tool" "g++ cmake pkg-config"
done
for header in httplib.h nlohmann/json.hpp prometheus/registry.h CLI/CLI.hpp; do
    echo "#include <$header>" | $CXX -std=c++20 -x c++ -E - > /dev/null 2>&1 || missing "$header" "$libraries"
done
"$PYTHON" -c 'import ensurepip, venv' 2> /dev/null || missing "Python 3 with venv" "python3-venv"
mkdir -p build
quietly() { "$@" > build/log.txt 2>&1 || { cat build/log.txt >&2; exit 1; }; }
quietly cmake -S . -B build
quietly cmake --build build --parallel 2
if [ ! build/venv/installed -nt requirements.txt ]; then
    "$PYTHON" -m venv build/venv
    build/venv/bin/pip install -qq --disable-pip-version-check -r requirements.txt
    touch build/venv/installed
fi
build/sessions_test
echo "built with: $(basename "${CXX%% *}") $($CXX -dumpfullversion -dumpversion), cpp-httplib $(pkg-config --modversion cpp-httplib)"
build/venv/bin/python check.py --models "$models" -- build/service
coproc SERVICE { exec build/service --port 0 --models "$models"; }
pid=$SERVICE_PID
trap 'kill "$pid"' EXIT
read -r _ _ url <&"${SERVICE[0]}"
for manifest in "$models"/*/manifest.json; do
    if grep -q '"vocabulary"' "$manifest"; then
        name=$(basename "$(dirname "$manifest")")
        echo "text: $(build/venv/bin/python generate.py "$url" "$name" "The " 100 1 "$models")"
    fi
done
