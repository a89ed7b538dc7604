#!/usr/bin/env bash
# What the tests use and the platform does not.
set -euo pipefail
. "$(dirname "$0")/packages.sh"
have_postgresql() {
  [ "${DIRENG_SKIP_POSTGRES:-}" = 1 ] || [ -n "${DIRENG_TEST_POSTGRES_URL:-}" ] || command -v initdb ||
    ls /usr/lib/postgresql/*/bin/initdb
}
need curl "the acceptance tests' own commands" command -v curl
need postgresql "one suite runs on SQLite and PostgreSQL; without: DIRENG_SKIP_POSTGRES=1" have_postgresql
install_needed
