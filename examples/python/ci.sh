#!/usr/bin/env bash
# Run every golden vector of every bundle in both runtimes, and write some text: ci.sh [MODELS]
set -euo pipefail
models=$(realpath "${1:-$(dirname "$0")/models}")
cd "$(dirname "$0")"
export CC=${CC:-cc}
./build.sh
python=build/venv/bin/python
! "$python" -c "import torch" 2> /dev/null || { echo "torch is importable here: not what this checks" >&2; exit 1; }
echo "built with: $("$python" -c "import platform as p, onnxruntime as o
print(f'Python {p.python_version()}, onnxruntime {o.__version__}')")"
"$python" errors.py "$models"/*/
"$python" golden.py "$models"/*/
for manifest in "$models"/*/manifest.json; do
    if grep -q '"vocabulary": "' "$manifest"; then
        echo "text: $("$python" generate.py "$(basename "$(dirname "$manifest")")" "The " 100 1)"
    fi
done
