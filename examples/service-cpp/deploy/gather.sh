#!/bin/sh
# Gather what the service is at work: itself, the libraries that it loads, and what the models tell of themselves: gather.sh FOLDER
set -eu
mkdir -p "$1/models"
strip -o "$1/service" build/service
ldd build/service | grep -o '/[^ ]*' | while read -r library; do
    mkdir -p "$1$(dirname "$library")"
    cp -L "$library" "$1$library"
done
for manifest in models/*/manifest.json; do
    mkdir -p "$1/$(dirname "$manifest")"
    cp "$manifest" "$1/$manifest"
done
