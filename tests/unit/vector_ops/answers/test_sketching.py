"""The first map of a large repository, drawn before there is an index."""

import pytest

from services.kernel.clock import SystemClock
from services.vector_ops.answers.sketching import SharedNames, list_sketchable, sketch_map
from services.vector_ops.shelf import open_vector_ops
from tests.fakes.sources import SourceTree
from tests.unit.vector_ops.answers.conftest import REPOSITORY, Asker

FILLER = {f"docs/{number // 100}/{number}.md": "" for number in range(500)}


@pytest.fixture
def large(tmp_path):
    tree = SourceTree(tmp_path / "repo")
    tree.commit({**REPOSITORY, **FILLER})
    parts = open_vector_ops(tmp_path / "index", SystemClock())
    asker = Asker(parts.service, tree.root)
    asker.tree = tree
    yield asker
    parts.close()


def test_the_first_map_says_how_it_was_drawn_and_the_next_comes_from_the_index(large):
    first = large.ask("repo_map")
    assert first.stamp.warnings == (
        "drawn by names alone, for there is no index yet; ask again for a map by what uses what",
    )
    assert "  7: class Cart(Holder):" in first.text.splitlines()
    assert large.service.tend_now(large.repo) == {}
    second = large.ask("repo_map")
    assert second.stamp.warnings == ()
    assert second.stamp.indexed_commit == first.stamp.indexed_commit
    assert "  7: class Cart(Holder):" in second.text.splitlines()


def test_it_shows_uncommitted_files_as_they_are_and_names_them(large):
    large.tree.write({"depot.go": "package depot\n\ntype Warehouse struct {\n\tname string\n}\n"})
    large.tree.write({"shop/empty.py": ""})
    large.tree.remove("shop/pricing.py")
    answer = large.ask("repo_map")
    assert "type Warehouse struct" in answer.text
    assert "Depot" not in answer.text
    assert "shop/pricing.py" not in answer.text
    assert answer.stamp.dirty_paths == ("depot.go", "shop/empty.py", "shop/pricing.py")


def test_it_leaves_tests_out_and_keeps_budget_and_limit(large):
    answer = large.ask("repo_map", budget_tokens=100, limit=2)
    assert len(answer.text) <= 400
    assert (len(answer.hits), answer.is_truncated) == (2, True)
    assert "test" not in large.ask("repo_map", budget_tokens=50_000).text


def test_a_file_whose_content_the_repository_lacks_is_left_out(large):
    sha = str(large.tree.git.revparse_single("HEAD:shop/cart.py").id)
    (large.tree.root / ".git" / "objects" / sha[:2] / sha[2:]).unlink()
    answer = large.ask("repo_map", budget_tokens=50_000)
    assert "shop/pricing.py:" in answer.text
    assert "shop/cart.py" not in answer.text


def test_every_other_question_builds_the_index_first(large):
    assert large.places("where_defined", "Cart") == ["shop/cart.py:7"]
    assert large.ask("repo_map").stamp.warnings == ()


def test_a_map_for_a_task_is_drawn_from_the_index(large):
    assert large.ask("repo_map", "discount for loyal customers").stamp.warnings == ()


def draw(files):
    text, _hits, _is_cut = sketch_map(sorted(files), files.__getitem__, 5_000)
    return [line.removesuffix(":") for line in text.splitlines() if not line.startswith(" ")]


def test_the_file_whose_names_others_say_comes_first_and_words_of_prose_say_nothing():
    users = {
        f"u{number}.py": b"from hub import make_widget\n\n\n# the total of it all\ndef use_it():\n    make_widget()\n"
        for number in range(9)
    }
    drawn = draw(
        {
            "a.py": b"class Sum:\n    def total(self):\n        return 1\n",
            "hub.py": b"def make_widget():\n    x = 1\n    y = 2\n    return x + y\n",
            **users,
        }
    )
    assert drawn[0] == "hub.py"


def test_ranks_sum_to_one_and_follow_the_links():
    ranks = SharedNames(("a.py", "b.py", "c.py", "d.py"), {(0, 1): 3, (2, 1): 1, (1, 3): 1}).rank({})
    assert sum(ranks.values()) == pytest.approx(1)
    assert sorted(ranks, key=lambda path: -ranks[path])[:2] == ["d.py", "b.py"]
    assert ranks["a.py"] == ranks["c.py"]
    assert SharedNames((), {}).rank({}) == {}


def test_a_name_of_another_language_is_not_meant():
    script = {"web.js": b"export function makeWidget() {\n  return 1\n}\n"}
    users = {f"u{number}.py": b"def use_it():\n    return makeWidget()\n" for number in range(5)}
    called = {"hub.py": b"def makeWidget():\n    x = 1\n    y = 2\n    return x\n"}
    assert draw({**script, **called, **users})[0] == "hub.py"


def test_only_code_is_sketched_and_a_binary_or_huge_file_shows_nothing():
    paths = ["a.py", "tests/test_a.py", "README.md", "docs/x.py", "pkg/b.go", "c.go"]
    assert list_sketchable(paths) == ["a.py", "c.go", "pkg/b.go"]
    assert draw({"a.py": b"def bin():\0", "b.py": b"def big(): ...\n" + b"#" * 1_000_001}) == []


@pytest.mark.parametrize(
    ("seconds", "shown", "is_cut"),
    [(12, ["a.py", "b.py", "deep/c.py"], False), (6, ["a.py"], True), (0, [], True)],
)
def test_when_time_runs_out_the_files_near_the_root_are_what_is_drawn(seconds, shown, is_cut):
    """To read a file takes a second here, and each is read three times."""
    content = b"def make_it():\n    x = 1\n    y = 2\n    return x\n"
    spent = []

    def read_file(path):
        spent.append(path)
        return content

    paths = list_sketchable(["deep/c.py", "b.py", "a.py"])
    text, hits, was_cut = sketch_map(paths, read_file, 5_000, lambda: seconds - len(spent))
    assert [line.removesuffix(":") for line in text.splitlines() if not line.startswith(" ")] == shown
    assert (len(hits), was_cut) == (len(shown), is_cut)
    assert len(spent) <= seconds
