#!/usr/bin/env bash
# The main job, twice, for real: on a sample project, and on a clone of this repository itself.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
PATH="$root/.venv/bin:$PATH"
work=$(mktemp -d)
export DIRENG_HOME="$work/home" NO_COLOR=1
trap 'direng down >/dev/null 2>&1 || true; rm -rf "$work"' EXIT

quote() { case $1 in *[!A-Za-z0-9_./=%-]*) printf '"%s"' "$1" ;; *) printf '%s' "$1" ;; esac; }
show() {
  printf '\n$'
  for word in "$@"; do printf ' %s' "$(quote "$word")"; done
  printf '\n'
  "$@"
}
heading() { printf '\n== %s ==\n' "$*"; }

as_repository() {
  git init -q -b main . && git add -A && git -c user.name=demo -c user.email=demo@localhost commit -qm "$1"
}

heading "1. A sample project: rename a function that many modules use"
cp -r "$root/tests/fixtures/sample_project" "$work/stockbook"
cd "$work/stockbook"
as_repository "A small shop's books"
show direng ask "where is pricing.compute_total"
show direng implement "rename stockbook.pricing.compute_total to price_lines everywhere and run the tests" --delegate --yes
show direng accept
show git log --oneline -2
show git show --stat --format= HEAD
show direng undo
[ -z "$(git status --porcelain)" ] || { echo "error: undo left something behind" >&2; exit 1; }

heading "2. This repository: rename a kernel function, then run its unit tests"
git clone -q "$root" "$work/platform"
cd "$work/platform"
git config user.name demo && git config user.email demo@localhost
show direng implement "rename services.kernel.clock.to_iso to format_iso everywhere and run the unit tests" --delegate --yes
show direng accept
show git show --stat --format= HEAD
test "$(git grep -lw format_iso -- services | wc -l)" -ge 3

heading "done: two real changes, planned, estimated, run in a sandbox, tested, accepted"
