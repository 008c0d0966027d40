#!/usr/bin/env bash
# Build the programs, or what changed since the last time: build.sh
set -euo pipefail
cd "$(dirname "$0")"
CC=${CC:-cc}
for tool in cargo "${CC%% *}" "${AR:-ar}"; do
    command -v "$tool" > /dev/null || { echo "not built: needs $tool; get it with: apt-get install cargo gcc" >&2; exit 77; }
done
export CC
cargo build --release --target-dir build
