#!/usr/bin/env bash
# Read the repository as Triton does, run every golden vector with it in ONNX Runtime, and write some text: ci.sh [MODELS]
set -euo pipefail
models=$(realpath "${1:-$(dirname "$0")/models}")
cd "$(dirname "$0")"
./build.sh
python=build/venv/bin/python
echo "built with: $("$python" -c "import platform as p, onnxruntime as o, tritonclient
from importlib.metadata import version
print(f'Python {p.python_version()}, onnxruntime {o.__version__}, tritonclient {version(\"tritonclient\")}')")"
"$python" check.py "$models"/*/
for manifest in "$models"/*/manifest.json; do
    if grep -q '"vocabulary": "' "$manifest"; then
        echo "text: $("$python" write.py "$(basename "$(dirname "$manifest")")" "The " 100 1)"
    fi
done
