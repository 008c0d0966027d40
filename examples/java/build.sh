#!/usr/bin/env bash
# Build the program and a library for each model, or what changed since the last time: build.sh
# JARS names the folder with jna.jar and gson.jar, if it is not Debian's.
set -euo pipefail
jars=$(realpath -m "${JARS:-/usr/share/java}")
cd "$(dirname "$0")"
CC=${CC:-cc}

missing() {
    packages="apt-get install default-jdk-headless gcc libjna-java libgoogle-gson-java"
    echo "not built: needs $1; get it with: $packages" >&2
    exit 77
}

for tool in java javac jar "${CC%% *}"; do command -v "$tool" > /dev/null || missing "$tool"; done
for jar in jna gson; do [ -e "$jars/$jar.jar" ] || missing "$jar.jar"; done

library() { echo "compiling $1" >&2; $CC -O2 -shared -fPIC "$1" -o "$2.new" && mv "$2.new" "$2"; }

mkdir -p build
[ build/librecurrent-call.so -nt src/call.c ] || library src/call.c build/librecurrent-call.so
for bundle in models/*/; do
    name=$(basename "$bundle")
    # The manifest, which holds the hash of model.c, is copied last: it says what the library was made from.
    cmp -s "$bundle/manifest.json" "build/$name.json" && [ -e "build/lib$name.so" ] && [ -e "build/$name.h" ] && continue
    library "$bundle/model.c" "build/lib$name.so"
    cp "$bundle/model.h" "build/$name.h"
    cp "$bundle/manifest.json" "build/$name.json"
done

# By its manifest the program finds the two jars, and JNA may call C, of which Java 24 would warn.
if ! [ build/recurrent.jar -nt build.sh ] || [ -n "$(find src/recurrent -newer build/recurrent.jar)" ]; then
    rm -rf build/classes
    echo "compiling src/recurrent" >&2
    javac -Xlint:all -Werror --release 11 -cp "$jars/jna.jar:$jars/gson.jar" -d build/classes src/recurrent/*.java
    paths="file:${jars// /%20}/jna.jar file:${jars// /%20}/gson.jar"
    printf '%s\n' "Main-Class: recurrent.Main" "Class-Path: $paths" "Enable-Native-Access: ALL-UNNAMED" \
        > build/manifest.txt
    jar --create --file build/recurrent.jar --manifest build/manifest.txt -C build/classes .
fi
