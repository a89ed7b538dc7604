#!/usr/bin/env bash
# Create the virtual environment and install exactly what requirements.lock names.
set -euo pipefail
venv=${1:-.venv}
python=${PYTHON:-python3}

command -v "$python" >/dev/null || { echo "error: python3 is missing; type: sudo apt-get install python3 python3-venv" >&2; exit 1; }
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo "error: Python 3.11 or newer is needed; $("$python" --version 2>&1) was found (set PYTHON=/path/to/python3.11)" >&2
  exit 1
}
if [ ! -x "$venv/bin/python" ] || ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
  rm -rf "$venv"
  said=$("$python" -m venv "$venv" 2>&1) || {
    rm -rf "$venv"
    if "$python" -c 'import ensurepip' 2>/dev/null; then
      echo "error: $venv could not be made: ${said##*$'\n'}" >&2
    else
      echo "error: python3-venv is missing; type: sudo apt-get install python3-venv, then the same command again" >&2
    fi
    exit 1
  }
fi
echo "installing the locked packages into $venv (a minute or so)"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
