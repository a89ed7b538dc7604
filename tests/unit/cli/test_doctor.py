import sys

from cli.commands import examine_interpreter


def test_a_repository_without_a_virtual_environment_uses_the_platforms_interpreter(tmp_path):
    check = examine_interpreter(str(tmp_path))
    assert check["is_good"]
    assert sys.executable in check["detail"]
    assert "platform" in check["detail"]


def test_a_repository_with_pytest_in_its_virtual_environment_uses_that(tmp_path):
    package = tmp_path / ".venv/lib/python3.12/site-packages/pytest"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    check = examine_interpreter(str(tmp_path))
    assert check["is_good"]
    assert str(tmp_path / ".venv/bin/python") in check["detail"]


def test_a_missing_pytest_is_named_with_the_cure(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "nowhere"))
    check = examine_interpreter(str(tmp_path))
    assert not check["is_good"]
    assert "no pytest" in check["detail"]
    assert check["cure"]
