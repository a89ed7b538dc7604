"""Which paths are left out, and under which rule."""

import pytest

from services.vector_ops.source.choices import Choices, is_choice
from services.vector_ops.source.rules import find_path_rule, find_size_rule, is_secret
from services.vector_ops.source.watching import is_local


@pytest.mark.parametrize(
    ("path", "rule"),
    [
        ("src/app.py", ""),
        ("docs/index.md", ""),
        ("Makefile", ""),
        ("package.json", ""),
        ("src/cmd/dist/build.go", ""),
        ("lib/dist.py", ""),
        ("vendor/own.go", ""),
        ("data/rows.csv", ""),
        ("types/index.d.ts", ""),
        ("web/node_modules/x/index.js", "vendored"),
        ("third_party/zlib/inflate.c", "vendored"),
        ("venv/lib/python3.11/site-packages/a.py", "vendored"),
        ("js/jquery.min.js", "generated"),
        ("js/app.js.map", "generated"),
        ("api/user_pb2.py", "generated"),
        ("api/user.pb.go", "generated"),
        ("dist/index.js", "build output"),
        ("pkg/dist/index.d.ts", "build output"),
        ("Cargo.lock", "lock file"),
        ("web/package-lock.json", "lock file"),
        ("go.sum", "lock file"),
        ("locale/de/LC_MESSAGES/django.po", "translation"),
        ("tests/__snapshots__/a.ts", "snapshot"),
        ("tests/a.snap", "snapshot"),
        ("logo.PNG", "data"),
        ("a/b.tar.gz", "data"),
        ("a/__pycache__/b.py", "cache"),
        (".env", "secret"),
        ("deploy/.env.production", "secret"),
        ("deploy/secrets/a.py", "secret"),
        ("tls/server.key", "secret"),
        ("tls/server.PEM", "secret"),
        (".ssh/id_ed25519", "secret"),
    ],
)
def test_a_path_has_the_rule_that_its_name_gives_it(path, rule):
    assert find_path_rule(path) == rule


def test_every_secret_is_one_wherever_else_it_lies():
    assert is_secret("node_modules/x/.env")
    assert is_secret("secrets/deep/er.txt")
    assert not is_secret("src/keyring.py")


def test_tables_and_notebooks_count_as_data_from_a_size_on():
    assert find_size_rule("a/rows.csv", 64_000) == ""
    assert find_size_rule("a/rows.csv", 64_001) == "data"
    assert find_size_rule("a/big.py", 900_000) == ""


def test_patterns_hold_below_their_own_folder_and_the_nearest_file_has_the_last_word():
    choices = Choices(
        {".direngignore": b"*.gen.py\n/build/\ndocs/*\n!docs/api.md\n", "pkg/.direngignore": b"!x.gen.py\n"}, ()
    )
    ignored = {"a.gen.py", "deep/a.gen.py", "build/a.py", "docs/guide.md", "pkg/y.gen.py"}
    kept = {"pkg/x.gen.py", "deep/build/a.py", "docs/api.md", "a.py", "pkg/.direngignore"}
    assert {path for path in ignored | kept if choices.find_rule(path)} == ignored


def test_below_an_ignored_folder_nothing_is_taken_back():
    choices = Choices({".direngignore": b"lib/\n!lib/a.py\n", "lib/.direngignore": b"!*\n"}, ())
    assert choices.find_rule("lib/a.py") == "ignored"


def test_a_line_that_is_no_pattern_is_left_out_and_the_others_hold():
    assert Choices({".direngignore": b"!\n\\\n\xff\xfe\n# note\n\n*.ts\n"}, ()).find_rule("a.ts") == "ignored"


def test_a_pattern_that_could_take_forever_is_left_out():
    choices = Choices({".direngignore": b"a*a*a*a*a*a*a*a*b\n**/x/**/*_gen_*.py\n"}, ())
    assert choices.find_rule("a" * 250) == ""
    assert choices.find_rule("d/x/e/f/my_gen_1.py") == "ignored"


def test_a_manifest_marks_its_folder_as_vendored():
    choices = Choices({}, ["vendor/modules.txt", "crates/x/.cargo-checksum.json", "env/pyvenv.cfg"])
    for path in ("vendor/golang.org/x/net/a.go", "crates/x/src/lib.rs", "env/lib/a.py", "vendor/modules.txt"):
        assert choices.find_rule(path) == "vendored"
    assert choices.find_rule("crates/y/src/lib.rs") == ""
    assert not is_choice("docs/modules.txt")


def test_folders_nest_deeper_than_calls_may():
    deep = "/".join(["d"] * 2_000)
    assert Choices({".direngignore": b"x/\n"}, ()).find_rule(f"{deep}/a.py") == ""


def test_choices_are_told_apart_by_what_they_say():
    one, same = Choices({".direngignore": b"a\n"}, ()), Choices({".direngignore": b"a\n"}, ())
    assert one.digest == same.digest != Choices({".direngignore": b"b\n"}, ()).digest
    assert Choices({}, ()).digest == ""


MOUNTS = """\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
40 22 0:40 / /home rw,relatime shared:2 - nfs4 server:/home rw
41 40 0:41 / /home/me/disk rw,relatime - btrfs /dev/sdb rw
42 22 0:42 / /mnt/my\\040box rw,relatime - fuse.sshfs box:/ rw
"""


@pytest.mark.parametrize(
    ("root", "expected"),
    [("/srv/x", True), ("/home/me/x", False), ("/home/me/disk/x", True), ("/homes/x", True), ("/mnt/my box/x", False)],
)
def test_only_a_file_system_of_this_machine_is_watched(root, expected):
    assert is_local(root, MOUNTS) is expected
