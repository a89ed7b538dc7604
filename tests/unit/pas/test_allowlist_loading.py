"""An allowlist that is not exactly what it should be does not load."""

from importlib import resources
from pathlib import Path

import pytest

from services.kernel.vocabulary import Lane
from services.pas.core.allowlist import FILES, AllowlistError, load_allowlist, load_lane_allowlists

TEXT = resources.files("services.pas.executors.allowlists").joinpath("code_impl.yaml").read_text(encoding="utf-8")


def refusal_of(text):
    with pytest.raises(AllowlistError) as caught:
        load_allowlist(text, "lane.yaml")
    assert "\n" not in caught.value.detail
    assert caught.value.detail.startswith("lane.yaml")
    return caught.value.detail


def test_the_unchanged_text_loads():
    assert load_allowlist(TEXT, "lane.yaml").lane is Lane.CODE_IMPL


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("lane: Code-Impl", "lane: Code-Impl\nlane: Narrative", "duplicate key 'lane'"),
        ("limits:\n", "limits:\n  max_mem_mb: 1\n", "duplicate key 'max_mem_mb'"),
        ("lane: Code-Impl", "lane: &a Code-Impl", "anchors"),
        ("description: ", "description: *a #", "alias"),
        ("lane: Code-Impl", "lane: !!str Code-Impl", "tags"),
        ("lane: Code-Impl", "lane: !!python/object/apply:os.system [id]", "tags"),
        ("lane: Code-Impl", "lane: Code-Impl\n<<: {description: x}", "merge"),
        ("lane: Code-Impl", "lane: Code-Impl\nextra: 1", "extra"),
        ("lane: Code-Impl", "Lane: Code-Impl", "lane"),
        ("lane: Code-Impl", "lane: code-impl", "lane"),
        ("lane: Code-Impl", "lane: 2026-11-21", "timestamp"),
        ("lane: Code-Impl", "lane: Code-Impl\n1: x", "not a string"),
        ("max_mem_mb: 2048", "max_mem_mb: '2048'", "limits.max_mem_mb"),
        ("max_mem_mb: 2048", "max_mem_mb: 2048.5", "limits.max_mem_mb"),
        ("max_mem_mb: 2048", "max_mem_mb: -1", "limits.max_mem_mb"),
        ("max_mem_mb: 2048", "max_mem_mb: true", "limits.max_mem_mb"),
        ("max_mem_mb: 2048", "max_memory_mb: 2048", "limits.max_mem_mb"),
        ("outbound: false", "outbound: true", "network.outbound"),
        ("patch_only: true", "patch_only: 1", "fs_ops.patch_only"),
        ("    - [bash]\n", "", "[bash]"),
        ('    - "*.pem"\n', "", "*.pem"),
        ("    - [grep]\n", "    - [/usr/bin/grep]\n", "not a path"),
        ("    - [grep]\n", "", "argument_rules"),
        ("    - [grep]\n", "    - [grep]\n    - [grep]\n", "twice"),
        ("    - [grep]\n", "    - []\n", "program's name"),
        ("    - [grep]\n", "    - [grep, no]\n", "commands.allow"),
        ("--select: name", "--select: anything", "argument_rules"),
        ("--select: name", "select: name", "argument_rules"),
        ("min_tier: rlimits", "min_tier: none", "min_tier"),
        ('workspace_roots: ["."]', 'workspace_roots: ["../x"]', ".."),
        ('workspace_roots: ["."]', "workspace_roots: []", "workspace_roots"),
        ("lane: Code-Impl", "lane: [Code-Impl", "not YAML"),
    ],
)
def test_changed_text_is_refused_with_the_key_named(old, new, named):
    assert old in TEXT
    assert named in refusal_of(TEXT.replace(old, new, 1))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "lane",
        "\0",
        f"{TEXT}\n---\n{TEXT}",
        "a: " + "[" * 5000,
        "#" * 70_000,
        "{? {a: b} : c}",
        "\ufeff\u202e: 1",
        "lane: \x07",
    ],
    ids=range(10),
)
def test_text_that_is_no_allowlist_is_refused(text):
    refusal_of(text)


def test_message_names_the_line():
    assert "line 3: duplicate key 'lane'" in refusal_of(TEXT.replace("lane: Code-Impl", "lane: Code-Impl\nlane: x"))


def test_hash_ignores_comments_and_layout_and_sees_every_rule():
    original = load_allowlist(TEXT, "a").sha256
    assert load_allowlist("# note\n" + TEXT.replace("-n, -i", "-i,   -n"), "b").sha256 == original
    assert load_allowlist(TEXT.replace("-n, -i", "-i"), "b").sha256 != original
    assert load_allowlist(TEXT.replace("max_parallel: 2", "max_parallel: 3"), "b").sha256 != original


def test_directory_with_a_missing_file_is_refused(tmp_path):
    with pytest.raises(AllowlistError, match=r"code_impl\.yaml: cannot be read"):
        load_lane_allowlists(tmp_path)


def test_file_written_for_another_lane_is_refused(tmp_path):
    for name in FILES.values():
        Path(tmp_path, name).write_text(TEXT, encoding="utf-8")
    with pytest.raises(AllowlistError, match=r"code_api_design\.yaml: lane: is Code-Impl"):
        load_lane_allowlists(tmp_path)


def test_loaded_rules_cannot_be_changed():
    lanes = load_lane_allowlists()
    with pytest.raises(TypeError):
        lanes[Lane.NARRATIVE] = lanes[Lane.CODE_IMPL]
    with pytest.raises(ValueError, match="frozen"):
        lanes[Lane.NARRATIVE].description = "x"
