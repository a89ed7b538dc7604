#!/usr/bin/env bash
# No isolation, no run: say what is missing, and install bubblewrap where we may.
set -euo pipefail
command -v git >/dev/null || { echo "error: git is missing; type: sudo apt-get install git" >&2; exit 1; }
if ! command -v bwrap >/dev/null; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing bubblewrap (the sandbox of every run)"
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq bubblewrap >/dev/null
  else
    echo "error: bubblewrap is missing; type: sudo apt-get install bubblewrap" >&2
    exit 1
  fi
fi
