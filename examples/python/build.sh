#!/usr/bin/env bash
# Install what the programs need into build/venv; what is there already is kept: build.sh
set -euo pipefail
cd "$(dirname "$0")"
CC=${CC:-cc}
PYTHON=${PYTHON:-python3}
missing() { echo "not built: needs $1; get it with: apt-get install $2" >&2; exit 77; }
command -v "${CC%% *}" > /dev/null || missing "a C compiler" gcc
"$PYTHON" -c "import ensurepip, sys; assert sys.version_info >= (3, 11)" 2> /dev/null ||
    missing "Python 3.11 with venv" python3-venv
if [ ! build/installed -nt requirements.txt ]; then
    echo "installing packages into build/venv" >&2
    "$PYTHON" -m venv --clear build/venv
    build/venv/bin/pip install -qq --disable-pip-version-check -r requirements.txt
    touch build/installed
fi
