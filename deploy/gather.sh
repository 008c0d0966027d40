#!/bin/sh
# Gather a virtual environment, its Python and the libraries of both, without pip: gather.sh ENVIRONMENT FOLDER
set -eu
python=$(readlink -f "$1/bin/python3")
standard=$("$python" -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')
mkdir -p "$2$(dirname "$python")" "$2$(dirname "$standard")" "$2$(dirname "$1")" "$2/mnt/models"
mkdir -m 1777 "$2/tmp"
cp "$python" "$2$python"
cp -r "$standard" "$2$standard"
cp -a "$1" "$2$1"
rm -rf "$2$standard/ensurepip" "$2$1"/lib/python3*/site-packages/pip "$2$1"/lib/python3*/site-packages/pip-* "$2$1"/bin/pip*
ln -s "$python" "$2/usr/bin/python3"
find "$2" -type f \( -name '*.so' -o -name '*.so.*' -o -path "$2$python" \) -exec ldd {} + 2> /dev/null |
    sed -n 's/.*=> \(\/[^ ]*\) (.*/\1/p; s/^[[:space:]]*\(\/lib[^ ]*\) (.*/\1/p' | grep -v "^$2" | sort -u |
    while read -r library; do
        mkdir -p "$2$(dirname "$library")"
        cp -L "$library" "$2$library"
    done
