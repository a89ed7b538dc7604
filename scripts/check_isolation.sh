#!/usr/bin/env bash
# No isolation, no run: say what is missing, and install it where we may (as root, with apt-get).
set -euo pipefail
command -v git >/dev/null || { echo "error: git is missing; type: sudo apt-get install git" >&2; exit 1; }
missing=() names=()
command -v bwrap >/dev/null || { missing+=(bubblewrap) names+=("bubblewrap (the sandbox of every run)"); }
# libgit2 does not start on a machine without certificates, though nothing here connects anywhere.
[ -d /etc/ssl/certs ] || [ -d /etc/pki/tls/certs ] || { missing+=(ca-certificates) names+=("ca-certificates (read by libgit2)"); }
[ ${#missing[@]} -gt 0 ] || exit 0
for name in "${names[@]}"; do
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing $name"
  else
    echo "error: ${name%% *} is missing; type: sudo apt-get install ${missing[*]}" >&2
    exit 1
  fi
done
said=$({ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}"; } 2>&1) || {
  echo "error: apt-get could not install ${missing[*]}: ${said##*$'\n'}" >&2
  exit 1
}
