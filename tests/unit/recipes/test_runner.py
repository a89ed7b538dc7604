import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from services.pas.recipes import runner
from services.pas.recipes.disk import MAX_FILE_BYTES, DiskTree
from services.pas.recipes.models import LeftAlone, Occurrence, RecipeOutcome

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "tree"
    root.mkdir()
    (root / "m.py").write_bytes(b"def total():\r\n    return 1\r\n")
    (root / "use.py").write_bytes(b"\xef\xbb\xbffrom m import total\nprint(total())")
    return root


@pytest.fixture
def run(tree, tmp_path, capsys):
    def call(recipe="rename-symbol", root=tree, **params):
        file = tmp_path / "params.json"
        file.write_text(json.dumps(params), encoding="utf-8")
        code = runner.main(["--recipe", recipe, "--params", str(file), "--root", str(root)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def test_bytes_outside_the_edits_stay(run, tree):
    (tree / "use.py").chmod(0o755)
    code, out, _ = run(old="total", new="grand")
    assert code == 0
    assert out.count("\n") == 1
    outcome = json.loads(out)
    assert (outcome["status"], outcome["files"], outcome["occurrences_changed"]) == ("applied", ["m.py", "use.py"], 3)
    assert (tree / "m.py").read_bytes() == b"def grand():\r\n    return 1\r\n"
    assert (tree / "use.py").read_bytes() == b"\xef\xbb\xbffrom m import grand\nprint(grand())"
    assert stat.S_IMODE((tree / "use.py").stat().st_mode) == 0o755
    assert sorted(each.name for each in tree.iterdir()) == ["m.py", "use.py"]


def test_the_result_can_be_read_back(run):
    outcome = RecipeOutcome.model_validate_json(run(old="total", new="grand")[1])
    assert outcome.symbols[0].qualified_name == "m.total"


def test_a_refusal_is_a_result_and_changes_nothing(run, tree):
    before = {path: path.read_bytes() for path in tree.iterdir()}
    code, out, _ = run(old="missing", new="grand")
    assert code == 0
    assert json.loads(out)["status"] == "refused"
    assert {path: path.read_bytes() for path in tree.iterdir()} == before


@pytest.mark.parametrize(
    ("params", "words"),
    [({"old": "x"}, "new"), ({"old": "a", "new": "b", "more": 1}, "more"), ({"old": "", "new": "b"}, "old")],
)
def test_wrong_parameters_are_one_line(run, params, words):
    code, out, err = run(**params)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert words in err


def test_an_unknown_recipe_is_one_line(run):
    assert run(recipe="format", old="a", new="b")[0] == 2


def test_a_missing_parameter_file_is_one_line(tree, tmp_path, capsys):
    assert runner.main(["--recipe", "rename-symbol", "--params", str(tmp_path / "no"), "--root", str(tree)]) == 1
    assert "No such file" in capsys.readouterr().err


def test_it_runs_as_a_process_that_sees_no_environment(tree, tmp_path):
    params = tmp_path / "params.json"
    params.write_text('{"old": "total", "new": "grand"}', encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "services.pas.recipes.runner",
        "--recipe",
        "rename-symbol",
        "--params",
        str(params),
    ]
    done = subprocess.run([*command, "--root", str(tree)], cwd=ROOT, env={}, capture_output=True, check=True)
    assert json.loads(done.stdout)["files_changed"] == 2


def test_a_result_stays_below_its_limit():
    long = LeftAlone(
        occurrence=Occurrence(path="p" * 3000, line=1, column=1, kind="name", text="t" * 160), reason="r" * 3000
    )
    outcome = RecipeOutcome(status="nothing_to_do", left_alone=(long,) * 2000, left_alone_total=2000)
    line = runner.encode(outcome)
    assert len(line) < runner.MAX_RESULT_BYTES
    assert RecipeOutcome.model_validate_json(line).left_alone_total == 2000


# -- the tree on disk


def test_links_are_not_followed(run, tree, tmp_path):
    outside = tmp_path / "outside.py"
    outside.write_text("from m import total\n", encoding="utf-8")
    (tree / "link.py").symlink_to(outside)
    (tree / "linked").symlink_to(tmp_path)
    out = json.loads(run(old="total", new="grand")[1])
    assert outside.read_text(encoding="utf-8") == "from m import total\n"
    reasons = {each["occurrence"]["path"]: each["reason"] for each in out["left_alone"]}
    assert reasons == {"link.py": "a symbolic link: not followed", "linked": "a symbolic link: not followed"}


def test_what_is_not_text_is_left_alone_and_listed_when_it_may_matter(run, tree):
    (tree / "data.bin").write_bytes(b"\0total")
    (tree / "other.bin").write_bytes(b"\0nothing")
    (tree / "latin.py").write_bytes("# total größe\n".encode("latin-1"))
    (tree / "huge.py").write_bytes(b"#" * (MAX_FILE_BYTES + 1))
    out = json.loads(run(old="total", new="grand")[1])
    reasons = {each["occurrence"]["path"]: each["reason"] for each in out["left_alone"]}
    assert reasons == {
        "data.bin": "a binary file",
        "latin.py": "not valid UTF-8",
        "huge.py": f"larger than {MAX_FILE_BYTES} bytes",
    }


def test_a_pipe_does_not_block(run, tree):
    os.mkfifo(tree / "pipe.py")
    out = json.loads(run(old="total", new="grand")[1])
    assert [each["reason"] for each in out["left_alone"]] == ["not a regular file"]


@pytest.mark.parametrize("name", [".git", "node_modules", ".venv", "__pycache__", "env"])
def test_environments_and_caches_are_skipped(tree, name):
    folder = tree / name / "lib"
    folder.mkdir(parents=True)
    (folder / "x.py").write_text("from m import total\n", encoding="utf-8")
    if name == "env":
        (tree / name / "pyvenv.cfg").touch()
    assert DiskTree(tree).paths() == ("m.py", "use.py")


def test_a_write_that_fails_leaves_the_file_and_no_rest(tree, monkeypatch):
    disk = DiskTree(tree)
    disk.paths()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fchmod", full)
    with pytest.raises(OSError, match="No space"):
        disk.write({"m.py": "changed"})
    assert (tree / "m.py").read_bytes() == b"def total():\r\n    return 1\r\n"
    assert sorted(each.name for each in tree.iterdir()) == ["m.py", "use.py"]


def test_deep_nesting_is_left_alone_and_no_crash(run, tree):
    (tree / "deep.py").write_text("total = " + "(" * 3000 + "1" + ")" * 3000 + "\n", encoding="utf-8")
    (tree / "sum.py").write_text("import m\nx = m.total()" + " + m.total()" * 600 + "\n", encoding="utf-8")
    code, out, _ = run(old="m.total", new="grand")
    assert code == 0
    assert "sum.py" in json.loads(out)["files"]
    assert "deep.py" in {each["occurrence"]["path"] for each in json.loads(out)["left_alone"]}
