"""A real PostgreSQL server for tests: initialised in a temporary folder, reached over a Unix socket, then deleted.

`DIRENG_TEST_POSTGRES_URL` names a running server instead. Without either the tests fail, unless
`DIRENG_SKIP_POSTGRES=1` says that skipping them is meant.
"""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from services.kernel.ids import new_id

START_TIMEOUT_S = 60
_UNPRIVILEGED_ACCOUNTS = ("postgres", "nobody")


def find_server_programs() -> Path | None:
    """Return the folder of `initdb` and `pg_ctl` (the newest version), or None."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).parent
    folders = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    return max(folders, key=lambda folder: float(folder.parent.name), default=None)


def _server_account() -> str | None:
    """Return the account to run the server as: PostgreSQL refuses root; None means the present account."""
    if os.geteuid() != 0:
        return None
    accounts = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in _UNPRIVILEGED_ACCOUNTS if name in accounts)


def _run(account: str | None, *command: str) -> None:
    # pg_ctl's server inherits the output: a file, for a pipe would never end.
    with tempfile.TemporaryFile() as output:
        done = subprocess.run(
            command,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            timeout=START_TIMEOUT_S,
            user=account,
            cwd="/",
        )
        if done.returncode != 0:
            output.seek(0)
            raise RuntimeError(f"{command[0]} failed: {output.read().decode(errors='replace')}")


@contextmanager
def serve_postgres() -> Iterator[str]:
    """Run a server while the block runs; yield the SQLAlchemy URL of its first database."""
    given = os.environ.get("DIRENG_TEST_POSTGRES_URL")
    if given:
        yield given
        return
    programs = find_server_programs()
    if programs is None:
        missing = "no PostgreSQL server programs; install postgresql, or set DIRENG_SKIP_POSTGRES=1 to skip these tests"
        (pytest.skip if os.environ.get("DIRENG_SKIP_POSTGRES") == "1" else pytest.fail)(missing)
    account = _server_account()
    folder = Path(tempfile.mkdtemp(prefix="direng-pg-"))
    try:
        if account is not None:
            shutil.chown(folder, account)
        data = str(folder / "data")
        _run(account, str(programs / "initdb"), "-D", data, "-U", "tester", "-A", "trust", "-E", "UTF8", "--no-sync")
        options = f"-c listen_addresses='' -k {folder} -c fsync=off -c max_connections=50"
        _run(account, str(programs / "pg_ctl"), "-D", data, "-w", "-l", str(folder / "log"), "-o", options, "start")
        try:
            yield f"postgresql+psycopg://tester@/postgres?host={folder}"
        finally:
            _run(account, str(programs / "pg_ctl"), "-D", data, "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder)


@contextmanager
def new_database(server_url: str) -> Iterator[str]:
    """Create an empty database, yield its URL, drop it."""
    name = new_id("test").replace("-", "_")
    admin = sa.create_engine(server_url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with admin.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    try:
        yield sa.make_url(server_url).set(database=name).render_as_string(hide_password=False)
    finally:
        with admin.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
