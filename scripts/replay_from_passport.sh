#!/bin/sh
# Replay a run from its signed passport: RUN_ID [--dry-run --skip-git --skip-env --skip-artifacts]
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
exec "$root/.venv/bin/python" -m services.pas.passport.replay "$@"
