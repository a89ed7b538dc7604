import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from services.pas.recipes import commands, lint
from services.pas.recipes.commands import Finding
from services.pas.recipes.models import PathsParams

RUFF = str(Path(sys.executable).with_name("ruff"))
EVERYTHING = PathsParams()


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "messy.py").write_text("import os\nx=1\n", encoding="utf-8")
    (tmp_path / "tidy.py").write_text("y = 1\n", encoding="utf-8")
    (tmp_path / "ruff.toml").write_text("unsafe-fixes = true\n", encoding="utf-8")
    return tmp_path


def _run(argv, tree):
    program = shutil.which(RUFF) or RUFF
    done = subprocess.run([program, *argv[1:]], cwd=tree, capture_output=True, text=True, env={}, check=False)
    return done.stdout


def test_what_formatting_would_change_is_listed_and_nothing_changes(tree):
    output = _run(commands.format_check_argv(EVERYTHING), tree)
    assert commands.unformatted_files(commands.parse_findings(output, str(tree))) == ("messy.py",)
    assert (tree / "messy.py").read_text(encoding="utf-8") == "import os\nx=1\n"


def test_formatting_changes_the_named_files_only(tree):
    (tree / "other.py").write_text("z=1\n", encoding="utf-8")
    _run(commands.format_argv(PathsParams(paths=("messy.py",))), tree)
    assert (tree / "messy.py").read_text(encoding="utf-8") == "import os\n\nx = 1\n"
    assert (tree / "other.py").read_text(encoding="utf-8") == "z=1\n"
    assert not (tree / ".ruff_cache").exists()


def test_safe_fixes_are_applied_and_the_rest_is_reported(tree):
    (tree / "messy.py").write_text("import os\nx = 1\nif x == None: pass\n", encoding="utf-8")
    (tree / "ruff.toml").write_text("unsafe-fixes = true\nlint.select = ['E', 'F']\n", encoding="utf-8")
    before = commands.parse_findings(_run(commands.check_argv(EVERYTHING), tree), str(tree))
    assert {each.path for each in before if each.is_safely_fixable} == {"messy.py"}
    after = commands.parse_findings(_run(commands.fix_argv(EVERYTHING), tree), str(tree))
    assert "== None" in (tree / "messy.py").read_text(encoding="utf-8")
    assert "import os" not in (tree / "messy.py").read_text(encoding="utf-8")
    assert {each.code for each in after} == {"E711", "E701"}
    assert not (tree / ".ruff_cache").exists()


def test_what_a_rename_made_untidy_is_fixed_and_nothing_else(tree):
    (tree / "ruff.toml").write_text("lint.select = ['I', 'F']\n", encoding="utf-8")
    (tree / "a.py").write_text("import json\nfrom m import zz, b\n", encoding="utf-8")
    findings = commands.parse_findings(_run(commands.check_argv(EVERYTHING), tree), str(tree))
    new = tuple(each for each in findings if each.code == "I001" and each.path == "a.py")
    argv = commands.tidy_argv(new)
    assert argv is not None
    _run(argv, tree)
    assert (tree / "a.py").read_text(encoding="utf-8") == "import json\n\nfrom m import b, zz\n"
    assert (tree / "messy.py").read_text(encoding="utf-8") == "import os\nx=1\n"
    assert commands.tidy_argv(()) is None


def test_paths_cannot_be_taken_for_options():
    for build in (commands.format_argv, commands.format_check_argv, commands.fix_argv, commands.check_argv):
        argv = build(PathsParams(paths=("--config=x",)))
        assert argv[0] == "ruff"
        assert argv[-2:] == ["--", "--config=x"]


def test_a_syntax_error_is_a_finding(tree):
    (tree / "broken.py").write_text("def (:\n", encoding="utf-8")
    findings = commands.parse_findings(_run(commands.check_argv(EVERYTHING), tree), str(tree))
    assert ("broken.py", "invalid-syntax") in {(each.path, each.code) for each in findings}


def test_output_that_is_no_report_is_an_error():
    with pytest.raises(ValueError, match="not a report of ruff"):
        commands.parse_findings("error: bad config", "/x")
    assert commands.parse_findings("", "/x") == ()


def test_a_damaged_test_report_is_no_pass():
    assert commands.parse_test_output(f"{commands.RESULT_MARKER}{{").status == "failed"
    assert commands.parse_test_output(f"{commands.RESULT_MARKER}" + json.dumps({"status": "great"})).status == "failed"
    assert commands.parse_test_output("nothing").status == "failed"


# -- what is new


def _finding(line, code="F401", path="a.py"):
    return Finding(path=path, line=line, code=code, message="m")


def test_a_line_that_moved_is_not_new():
    base, result = ["import os", "x = 1"], ["# added", "", "import  os", "x = 1"]
    assert lint.new_findings([_finding(1)], [_finding(3)], {"a.py": base}, {"a.py": result}) == ()


def test_a_second_one_of_the_same_kind_is_new():
    base, result = ["import os"], ["import os", "import os"]
    found = lint.new_findings([_finding(1)], [_finding(1), _finding(2)], {"a.py": base}, {"a.py": result})
    assert found == (_finding(2),)


@pytest.mark.parametrize("changed", [{"code": "E501"}, {"path": "b.py"}])
def test_another_code_or_file_is_new(changed):
    lines = {"a.py": ["import os"], "b.py": ["import os"]}
    assert len(lint.new_findings([_finding(1)], [_finding(1, **changed)], lines, lines)) == 1


def test_a_line_changed_by_a_rename_keeps_its_findings():
    base, result = {"a.py": ["x = total(1)"]}, {"a.py": ["x = grand(1)"]}
    assert lint.new_findings([_finding(1)], [_finding(1)], base, result, {"total": "grand"}) == ()
    assert len(lint.new_findings([_finding(1)], [_finding(1)], base, result)) == 1


def test_a_finding_beyond_the_file_is_compared_by_place_alone():
    assert lint.new_findings([_finding(9)], [_finding(7)], {}, {}) == ()
