#!/usr/bin/env bash
# Build, run every golden vector of every bundle on each board, and write some text: ci.sh [MODELS]
set -euo pipefail
models=$(realpath "${1:-$(dirname "$0")/models}")
cd "$(dirname "$0")"
PYTHON=${PYTHON:-python3}
read -ra boards <<< "${BOARDS:-$(cd boards && echo *.mk | sed 's/\.mk//g')}"

missing() {
    packages="gcc-arm-none-eabi gcc-riscv64-unknown-elf qemu-system-arm qemu-system-misc make python3"
    echo "not checked: needs $1; get it with: apt-get install --no-install-recommends $packages" >&2
    exit 77
}

for board in "${boards[@]}"; do
    for tool in $(sed -nE 's/^CROSS := (.*)/\1gcc/p; s/^QEMU := ([^ ]*).*/\1/p' "boards/$board.mk") make "$PYTHON"; do
        command -v "$tool" > /dev/null || missing "$tool"
    done
done
for board in "${boards[@]}"; do
    cross=$(sed -n 's/^CROSS := //p' "boards/$board.mk")
    compilers+=" ${cross}gcc $("${cross}gcc" -dumpfullversion)"
done
echo "built with: $(printf '%s\n' "${compilers# }" | sed 's/\([0-9]\) /\1\n/g' | uniq | paste -sd, | sed 's/,/, /g')"
for board in "${boards[@]}"; do
    make --silent BOARD="$board"
    "$PYTHON" golden.py "$board" "$models"/*/
    for manifest in "$models"/*/manifest.json; do
        if grep -q '"vocabulary": "' "$manifest"; then
            name=$(basename "$(dirname "$manifest")")
            echo "text: $(make --silent BOARD="$board" run PROGRAM=generate ARGS="$name 100 1 The " 2>&1)"
        fi
    done
done
