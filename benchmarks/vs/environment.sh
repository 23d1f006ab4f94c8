#!/bin/sh
# environment.sh PEER makes build/vs/PEER from its requirements.txt; nothing where that has not changed.
set -eu
vs=$(cd "$(dirname "$0")" && pwd)
wanted=$vs/$1/requirements.txt
venv=$vs/../../build/vs/$1
cmp -s "$wanted" "$venv/.installed" && exit 0
rm -f "$venv/.installed"
test -x "$venv/bin/python" || "${PYTHON:-python3}" -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$wanted"
cp "$wanted" "$venv/.installed"
