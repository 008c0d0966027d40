#!/usr/bin/env bash
# Build, check the sessions, let check.py drive the service, and write some text: ci.sh [MODELS]
set -euo pipefail
models=$(realpath "${1:-$(dirname "$0")/models}")
cd "$(dirname "$0")"
CXX=${CXX:-c++}
PYTHON=${PYTHON:-python3}
if ! "$PYTHON" -c 'import ensurepip, venv' 2> /dev/null; then
    echo "not checked: needs Python 3 with venv; get it with: apt-get install python3-venv" >&2
    exit 77
fi
./build.sh all
if [ ! build/venv/installed -nt requirements.txt ]; then
    "$PYTHON" -m venv build/venv
    build/venv/bin/pip install -qq --disable-pip-version-check -r requirements.txt
    touch build/venv/installed
fi
build/sessions_test
echo "built with: $(basename "${CXX%% *}") $($CXX -dumpfullversion -dumpversion), cpp-httplib $(pkg-config --modversion cpp-httplib)"
build/venv/bin/python check.py --models "$models" -- build/service
coproc SERVICE { exec build/service --port 0 --models "$models" 2> build/service.txt; }
pid=$SERVICE_PID
trap 'kill "$pid"' EXIT
read -r _ _ url <&"${SERVICE[0]}" || { cat build/service.txt >&2; exit 1; }
for manifest in "$models"/*/manifest.json; do
    if grep -q '"vocabulary": "' "$manifest"; then
        name=$(basename "$(dirname "$manifest")")
        echo "text: $(build/venv/bin/python generate.py "$url" "$name" "The " 100 1 "$models")"
    fi
done
