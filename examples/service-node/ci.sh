#!/usr/bin/env bash
# Install, check the types, run the tests, let check.py drive the service, and write some text: ci.sh [MODELS]
set -euo pipefail
models=$(realpath "${1:-$(dirname "$0")/models}")
cd "$(dirname "$0")"
PYTHON=${PYTHON:-python3}
if ! "$PYTHON" -c 'import ensurepip, venv' 2> /dev/null; then
    echo "not checked: needs Python 3 with venv; get it with: apt-get install python3-venv" >&2
    exit 77
fi
./build.sh > /dev/null
npm ci --loglevel=error --dry-run --engine-strict > /dev/null # all packages are made for this Node
mkdir -p build
if [ ! build/venv/installed -nt requirements.txt ]; then
    "$PYTHON" -m venv build/venv
    build/venv/bin/pip install -qq --disable-pip-version-check -r requirements.txt
    touch build/venv/installed
fi
export NODE_OPTIONS=--preserve-symlinks # recurrent.js may be a link to another folder
npm run --silent types
npm run --silent test > build/tests.txt || { cat build/tests.txt >&2; exit 1; }
echo "built with: $(node -p '["fastify", "onnxruntime-node"].reduce((all, name) =>
    `${all}, ${name} ${require(`${name}/package.json`).version}`, `node ${process.versions.node}`)')"
build/venv/bin/python check.py --models "$models" -- node main.js
coproc SERVICE { exec node main.js --port 0 --models "$models" 2> build/service.txt; }
pid=$SERVICE_PID
trap 'kill "$pid"' EXIT
read -r _ _ url <&"${SERVICE[0]}" || { cat build/service.txt >&2; exit 1; }
for manifest in "$models"/*/manifest.json; do
    if grep -q '"vocabulary": "' "$manifest"; then
        name=$(basename "$(dirname "$manifest")")
        echo "text: $(build/venv/bin/python generate.py "$url" "$name" "The " 100 1 "$models")"
    fi
done
