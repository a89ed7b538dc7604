import pytest

from services.vector_ops.retrieval.mentions import Frame, find_mentions
from services.vector_ops.retrieval.path_kinds import PathKind, classify_path
from services.vector_ops.retrieval.question import Route, parse_question
from services.vector_ops.retrieval.weights import load_scoring
from services.vector_ops.retrieval.zones import Zone, read_zones

ZONES = load_scoring().zones


@pytest.mark.parametrize(
    ("text", "frame"),
    [
        (
            '  File "/usr/lib/site-packages/django/db/models/query.py", line 92, in _combine',
            ("query.py", 92, "_combine"),
        ),
        ("    at Router.handle (/srv/node_modules/express/lib/router.js:174:13)", ("router.js", 174, "Router.handle")),
        ("\t/home/x/go/promql/engine.go:438 +0x12", ("engine.go", 438, "")),
        ("   at src/parser/mod.rs:12", ("mod.rs", 12, "")),
        ("https://github.com/psf/requests/blob/main/requests/adapters.py#L412", ("adapters.py", 412, "")),
    ],
)
def test_frames_of_stack_traces_are_read(text, frame):
    found = find_mentions(text).frames
    assert [(one.path.rpartition("/")[2], one.line, one.name) for one in found] == [frame]


def test_frames_keep_their_order():
    text = 'File "a.py", line 1, in outer\nFile "b.py", line 2, in inner'
    assert find_mentions(text).frames == (Frame("a.py", 1, "outer"), Frame("b.py", 2, "inner"))


def test_identifiers_paths_and_modules_are_told_from_prose():
    found = find_mentions("Calling `resolve` of django.db.models.query fails in query_utils.py when HttpRequest comes")
    assert {"resolve", "HttpRequest"} <= set(found.names)
    assert "Calling" not in found.names
    assert ("django", "db", "models", "query") in found.dotted
    assert found.paths == ("query_utils.py",)


@pytest.mark.parametrize(
    ("text", "route"),
    [
        ("HttpRequest", Route.NAME),
        ("a.b.c", Route.NAME),
        ("src/lib.rs", Route.NAME),
        ("how are cookies merged", Route.PHRASE),
        ("where does parse_header split", Route.PHRASE),
        ("Crash on save\n\nIt crashes.", Route.ISSUE),
        ("", Route.PHRASE),
    ],
)
def test_the_route_follows_the_kind_of_question(text, route):
    assert parse_question(text, ZONES).route is route


def test_zones_tell_title_prose_code_traces_and_noise():
    text = """Crash in parser
<!-- please fill in
the template -->
It fails:
```python
parse(1)
```
  File "x.py", line 3, in parse
- [x] I have searched
### Environment
Linux 5.4 numpy 1.2
### Expected
no crash
"""
    zones = {line.text.strip(): line.zone for line in read_zones(text)}
    assert zones["Crash in parser"] is Zone.TITLE
    assert zones["It fails:"] is Zone.PROSE
    assert zones["parse(1)"] is Zone.CODE
    assert zones['File "x.py", line 3, in parse'] is Zone.TRACE
    assert zones["- [x] I have searched"] is Zone.NOISE
    assert zones["Linux 5.4 numpy 1.2"] is Zone.NOISE
    assert zones["no crash"] is Zone.PROSE
    assert not any("template" in line for line in zones)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("django/db/models/query.py", PathKind.CODE),
        ("django/test/client.py", PathKind.CODE),
        ("tests/queries/tests.py", PathKind.TEST),
        ("pkg/engine_test.go", PathKind.TEST),
        ("src/test/java/FooTest.java", PathKind.TEST),
        ("packages/core/__tests__/a.ts", PathKind.TEST),
        ("src/lib.spec.ts", PathKind.TEST),
        ("docs/index.rst", PathKind.DOCS),
        ("README.md", PathKind.DOCS),
        ("examples/demo.py", PathKind.EXAMPLE),
        ("setup.cfg", PathKind.DATA),
    ],
)
def test_paths_say_what_a_file_is(path, kind):
    assert classify_path(path) is kind


@pytest.mark.parametrize(
    "line",
    [
        "numpy: 1.21.0",
        "pytest==7.1.2",
        "| CFPropertyList | 3.0.5 |",
        "- Python 3.9.1",
        "pip (python 3): 20.3",
        "node v16.14.0",
    ],
)
def test_lists_of_versions_are_noise(line):
    assert [one.zone for one in read_zones(f"Title\n{line}")] == [Zone.TITLE, Zone.NOISE]


@pytest.mark.parametrize(
    "line", ["INFO [2022-07-29 00:04:08.05]: Using device frames", "[00:04:07]: started", "12:30:01 boot"]
)
def test_log_lines_are_traces(line):
    assert [one.zone for one in read_zones(f"Title\n{line}")] == [Zone.TITLE, Zone.TRACE]


@pytest.mark.parametrize("line", ["The result is 1.5", "x = 1.5", "it fails since 3.2 came out", "foo(1.5)"])
def test_numbers_in_prose_are_no_version_list(line):
    assert [one.zone for one in read_zones(f"Title\n{line}")] == [Zone.TITLE, Zone.PROSE]
