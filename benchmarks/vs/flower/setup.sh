#!/bin/sh
# Makes build/vs/flower from requirements.txt. Nothing is done when that file has not changed.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
venv=$here/../../../build/vs/flower
cmp -s "$here/requirements.txt" "$venv/.installed" && exit 0
rm -f "$venv/.installed"
test -x "$venv/bin/python" || "${PYTHON:-python3}" -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    --requirement "$here/requirements.txt"
cp "$here/requirements.txt" "$venv/.installed"
