#!/usr/bin/env bash
# Build the programs for each board of BOARDS, all if that is not set: build.sh
set -euo pipefail
cd "$(dirname "$0")"
read -ra boards <<< "${BOARDS:-$(cd boards && echo *.mk | sed 's/\.mk//g')}"

missing() {
    packages="gcc-arm-none-eabi gcc-riscv64-unknown-elf make"
    echo "not built: needs $1; get it with: apt-get install --no-install-recommends $packages" >&2
    exit 77
}

for board in "${boards[@]}"; do
    for tool in $(sed -nE 's/^CROSS := (.*)/\1gcc/p' "boards/$board.mk") make; do
        command -v "$tool" > /dev/null || missing "$tool"
    done
done
for board in "${boards[@]}"; do make BOARD="$board" >&2; done
