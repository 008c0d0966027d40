#!/usr/bin/env bash
# Install what the programs need into build/venv; what is there already is kept: build.sh
set -euo pipefail
cd "$(dirname "$0")"
PYTHON=${PYTHON:-python3}
if ! "$PYTHON" -c "import ensurepip, sys; assert sys.version_info >= (3, 11)" 2> /dev/null; then
    echo "not built: needs Python 3.11 with venv; get it with: apt-get install python3-venv" >&2
    exit 77
fi
if [ ! build/installed -nt requirements.txt ]; then
    echo "installing packages into build/venv" >&2
    "$PYTHON" -m venv --clear build/venv
    build/venv/bin/pip install -qq --disable-pip-version-check -r requirements.txt
    touch build/installed
fi
