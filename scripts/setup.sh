#!/usr/bin/env bash
# Create the virtual environment and install exactly what requirements.lock names.
set -euo pipefail
venv=${1:-.venv}
python=${PYTHON:-python3}

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo "error: Python 3.11 or newer is needed; $("$python" --version 2>&1) was found (set PYTHON=/path/to/python3.11)" >&2
  exit 1
}
if [ ! -x "$venv/bin/python" ] || ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
  rm -rf "$venv"
  "$python" -m venv "$venv" 2>/dev/null || {
    rm -rf "$venv"
    echo "error: python3-venv is missing; type: sudo apt-get install python3-venv" >&2
    exit 1
  }
fi
echo "installing the locked packages into $venv (a minute or so)"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
