"""What a process loads for the part of the index that it uses; each asks an interpreter of its own."""

import subprocess
import sys

from tests.fakes.sockets import REPOSITORY

WEB = {"fastapi", "starlette", "uvicorn", "aiohttp", "sqlalchemy"}
RANKING = {"faiss", "scipy", "mcp", "neo4j"}


def list_loaded(program):
    """Return the names of the top-level modules that a program has loaded at its end."""
    tell = "import sys; print(*{name.partition('.')[0] for name in sys.modules})"
    command = [sys.executable, "-W", "ignore", "-c", f"{program}\n{tell}"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=True)
    return set(done.stdout.split())


def test_a_refresh_from_cron_loads_no_web_framework_and_nothing_that_ranks(tree, tmp_path):
    tree.commit({"a.py": "def first(): ...\n"})
    arguments = ["--once", "--repo", str(tree.root), "--index-dir", str(tmp_path / "index")]
    loaded = list_loaded(f"from services.vector_ops.refresh_daemon import main\nassert main({arguments!r}) == 0")
    assert not loaded & (WEB | RANKING)
    assert {"pygit2", "numpy", "tree_sitter"} <= loaded


def test_the_service_loads_nothing_that_reads_code_before_it_is_asked(tmp_path):
    program = (
        "from pathlib import Path\n"
        "from services.kernel.clock import SystemClock\n"
        "from services.vector_ops.shelf import open_vector_ops\n"
        f"open_vector_ops(Path({str(tmp_path)!r}), SystemClock())"
    )
    assert not list_loaded(program) & {*WEB, *RANKING, "numpy", "pygit2", "tree_sitter", "pathspec"}


def test_a_first_map_is_drawn_without_numpy(tree, tmp_path):
    tree.commit({f"pkg/m{number}.py": f"def work_{number}():\n    return {number}\n" for number in range(200)})
    program = (
        "from pathlib import Path\n"
        "from services.kernel.clock import SystemClock\n"
        "from services.vector_ops.models import IndexQuery, QueryKind\n"
        "from services.vector_ops.shelf import open_vector_ops\n"
        f"parts = open_vector_ops(Path({str(tmp_path / 'index')!r}), SystemClock())\n"
        f"query = IndexQuery(repo={str(tree.root)!r}, kind=QueryKind.REPO_MAP)\n"
        "assert 'def work_0():' in parts.service.query_now(query).text"
    )
    loaded = list_loaded(program)
    assert "tree_sitter" in loaded
    assert not loaded & {*WEB, *RANKING, "numpy"}


def test_the_server_loads_nothing_heavy_before_it_is_asked():
    heavy = {*RANKING, "numpy", "tree_sitter", "aiohttp", "alembic"}
    assert not list_loaded("import services.host") & heavy
