#!/usr/bin/env bash
# No isolation, no run: say what is missing, and install it where we may.
set -euo pipefail
. "$(dirname "$0")/packages.sh"
have_certificates() { [ -d /etc/ssl/certs ] || [ -d /etc/pki/tls/certs ]; }
need git "the changes it makes are commits" command -v git
need bubblewrap "the sandbox of every run" command -v bwrap
need ca-certificates "libgit2 does not start without" have_certificates
install_needed
