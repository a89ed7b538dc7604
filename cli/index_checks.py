"""What the code index needs on this machine, looked at one by one; for `direng index doctor`."""

import importlib.util
import shutil
import sqlite3
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from cli.launch import find_server
from cli.wire import Wire, as_mapping
from services.home import find_home
from services.kernel.errors import PlatformError

Check = dict[str, object]
_INOTIFY = Path("/proc/sys/fs/inotify")
_MIN_WATCHES, _MIN_INSTANCES = 8_192, 64
_MIN_SQLITE = (3, 35, 0)
_NEO4J_TIMEOUT_S = 5.0
_REINSTALL = "reinstall the package: make setup"
_SYSCTL = "sysctl fs.inotify.max_user_watches=524288 fs.inotify.max_user_instances=512 (as root)"


def examine_index(repo: str, environment: Mapping[str, str]) -> list[Check]:
    """Return what was found, each with a cure where something is missing."""
    return [
        *_examine_grammars(),
        _examine_sqlite(),
        _examine_inotify(),
        _examine_git(),
        _examine_package("pygit2", "libgit2"),
        _examine_package("faiss", "FAISS"),
        _examine_neural(),
        *_examine_neo4j(environment),
        _examine_server(repo, environment),
    ]


def _make_check(name: str, detail: str, cure: str = "") -> Check:
    """Return a finding; it is good unless it has a cure."""
    return {"name": name, "is_good": not cure, "detail": detail, "cure": cure}


def _examine_grammars() -> Iterator[Check]:
    from services.vector_ops.languages.catalogue import LANGUAGES, load_language  # noqa: PLC0415 - loads tree-sitter

    loaded = []
    for name in LANGUAGES:
        try:
            load_language(name)
        except (PlatformError, ImportError) as error:
            yield _make_check(f"grammar {name}", " ".join(str(error).split()), _REINSTALL)
        else:
            loaded.append(name)
    yield _make_check("grammars", f"{', '.join(loaded) or 'none'}", "" if loaded else _REINSTALL)


def _examine_sqlite() -> Check:
    is_good = sqlite3.sqlite_version_info >= _MIN_SQLITE
    cure = "" if is_good else f"use a Python with SQLite {'.'.join(map(str, _MIN_SQLITE))} or newer"
    return _make_check("sqlite", sqlite3.sqlite_version, cure)


def _examine_inotify() -> Check:
    if sys.platform != "linux":
        return _make_check("watching", "there is no inotify here: every question scans the working tree")
    try:
        watches, instances = (int((_INOTIFY / name).read_text()) for name in ("max_user_watches", "max_user_instances"))
    except (OSError, ValueError):
        return _make_check("watching", "inotify does not say its limits: large trees may be scanned instead")
    is_good = watches >= _MIN_WATCHES and instances >= _MIN_INSTANCES
    detail = f"inotify: {watches} folders, {instances} watchers (of all programs of a user)"
    return _make_check("watching", detail, "" if is_good else _SYSCTL)


def _examine_git() -> Check:
    git = shutil.which("git")
    return _make_check("git", git or "not on PATH", "" if git else "apt-get install git")


def _examine_package(module: str, name: str) -> Check:
    try:
        loaded = import_module(module)
    except ImportError as error:
        return _make_check(name, f"{module} cannot be loaded: {error}", _REINSTALL)
    return _make_check(name, f"{module} {getattr(loaded, '__version__', '')}".strip())


def _examine_neural() -> Check:
    if importlib.util.find_spec("sentence_transformers") is None:
        return _make_check("neural", "not installed; static vectors are used (optional: pip install 'direng[neural]')")
    try:
        return _make_check("neural", f"sentence-transformers {version('sentence-transformers')}")
    except PackageNotFoundError:
        return _make_check("neural", "sentence-transformers, of an unknown version")


def _examine_neo4j(environment: Mapping[str, str]) -> Iterator[Check]:
    url = environment.get("VECTOR_OPS_NEO4J_URL", "")
    if not url:
        yield _make_check("graph store", "SQLite (Neo4j is not configured; optional: VECTOR_OPS_NEO4J_URL)")
        return
    from neo4j import GraphDatabase  # noqa: PLC0415 - the driver loads when it is configured
    from neo4j.exceptions import AuthError, ConfigurationError, DriverError, Neo4jError  # noqa: PLC0415

    password = environment.get("VECTOR_OPS_NEO4J_PASSWORD", "")
    user = environment.get("VECTOR_OPS_NEO4J_USER", "neo4j")
    try:
        with GraphDatabase.driver(
            url, auth=(user, password) if password else None, connection_timeout=_NEO4J_TIMEOUT_S
        ) as driver:
            agent = driver.get_server_info().agent
    except AuthError:
        cure = "set VECTOR_OPS_NEO4J_USER and VECTOR_OPS_NEO4J_PASSWORD"
        yield _make_check("graph store", "Neo4j refuses the user or the password", cure)
    except (ConfigurationError, ValueError):  # their text may repeat the URL, and a URL may hold a password
        cure = "give one such as bolt://127.0.0.1:7687, or unset it"
        yield _make_check("graph store", "VECTOR_OPS_NEO4J_URL is no address of Neo4j", cure)
    except (DriverError, Neo4jError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        yield _make_check("graph store", f"Neo4j at {url}: {reason}", "start it (docker-compose.yml), or unset the URL")
    else:
        yield _make_check("graph store", f"{agent} at {url}")


def _examine_server(repo: str, environment: Mapping[str, str]) -> Check:
    home = find_home(environment)
    try:
        if find_server(home) is None:
            return _make_check("index", "no server is running; any `direng index` command starts it")
        snapshot = as_mapping(Wire(home).get("vector_ops", "/snapshot", {"repo": repo}))
    except PlatformError as error:
        return _make_check("index", error.detail, "mend what the line says, then `direng index build`")
    stamp = as_mapping(snapshot["stamp"])
    return _make_check(
        "index", f"{snapshot['files']} files, {snapshot['symbols']} symbols at {str(stamp['indexed_commit'])[:12]}"
    )
