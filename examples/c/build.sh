#!/usr/bin/env bash
# Build the programs, or what changed since the last time: build.sh
set -euo pipefail
cd "$(dirname "$0")"
CC=${CC:-cc}
for tool in "${CC%% *}" make; do
    command -v "$tool" > /dev/null || { echo "not built: needs $tool; get it with: apt-get install gcc make" >&2; exit 77; }
done
make CC="$CC" >&2
