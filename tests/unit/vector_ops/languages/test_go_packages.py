"""Where imports lead, which build a call is of, and the edges besides calls."""

import textwrap

import pytest

from services.vector_ops.languages.facts import FILE
from services.vector_ops.languages.go.language import LANGUAGE
from services.vector_ops.languages.memory import make_world
from services.vector_ops.languages.world import EdgeKind, SourceFile, Tier

MODULE = {"go.mod": "module example.org/shop\n\ngo 1.22\n"}


def resolve(files, path, kind=EdgeKind.CALL):
    """Return `source -> target` with its tier for each edge of `path` of one kind."""
    facts = {
        name: LANGUAGE.extract(".mod" if name.endswith(".mod") else ".go", textwrap.dedent(text).encode())
        for name, text in (MODULE | files).items()
    }
    world = make_world(facts, LANGUAGE)
    edges = LANGUAGE.resolve(SourceFile(path, world.unit(path), facts[path]), world)

    def name(where, at):
        return where if at == FILE else facts[where].symbols[at].qualname

    return {
        (f"{name(path, one.source)} -> {name(one.target_path, one.target_at)}", one.tier)
        for one in edges
        if one.kind == kind
    }


LIBRARY = {
    "lib/lib.go": "package lib\ntype Client struct{}\nfunc New() *Client { return nil }\nfunc (c *Client) Do() {}\n",
    "lib/lib_test.go": "package lib_test\nfunc New() {}\n",
}


@pytest.mark.parametrize(
    ("spec", "qualifier"),
    [('"example.org/shop/lib"', "lib."), ('other "example.org/shop/lib"', "other."), ('. "example.org/shop/lib"', "")],
)
def test_imported_functions_and_their_results_are_found(spec, qualifier):
    main = f"package main\nimport {spec}\nfunc main() {{ c := {qualifier}New(); c.Do() }}"
    found = resolve({"main.go": main, **LIBRARY}, "main.go")
    assert found == {("main -> New", Tier.EXACT), ("main -> Client.Do", Tier.TYPED)}


def test_a_package_may_have_another_name_than_its_folder():
    files = {"go-odd/odd.go": "package strange\nfunc Run() {}"}
    main = 'package main\nimport "example.org/shop/go-odd"\nfunc main() { strange.Run() }'
    assert resolve({"main.go": main, **files}, "main.go") == {("main -> Run", Tier.EXACT)}


def test_an_external_test_package_imports_the_package_it_tests():
    source = 'package lib_test\nimport "example.org/shop/lib"\nfunc TestDo(t *testing.T) { lib.New().Do(); New() }'
    files = {**LIBRARY, "lib/do_test.go": source}
    found = resolve(files, "lib/do_test.go")
    assert found == {("TestDo -> New", Tier.EXACT), ("TestDo -> Client.Do", Tier.TYPED)}
    assert LANGUAGE.is_test("lib/do_test.go")


def test_each_module_of_a_repository_is_found_by_its_own_path():
    files = {
        "tools/go.mod": "module example.org/tools\n",
        "tools/gen/gen.go": "package gen\nfunc Run() {}",
        "main.go": 'package main\nimport "example.org/tools/gen"\nfunc main() { gen.Run() }',
    }
    assert resolve(files, "main.go") == {("main -> Run", Tier.EXACT)}


def test_a_repository_from_before_modules_is_matched_by_folders():
    facts = {
        name: LANGUAGE.extract(".go", text.encode())
        for name, text in {
            "pkg/lib/lib.go": "package lib\nfunc Run() {}",
            "main.go": 'package main\nimport "example.org/who/shop/pkg/lib"\nfunc main() { lib.Run() }',
        }.items()
    }
    world = make_world(facts, LANGUAGE)
    edges = LANGUAGE.resolve(SourceFile("main.go", "#main", facts["main.go"]), world)
    assert ("pkg/lib/lib.go", 0, EdgeKind.CALL) in {(one.target_path, one.target_at, one.kind) for one in edges}


PLATFORMS = {
    "open_linux.go": "package shop\nfunc open() {}",
    "open_windows.go": "package shop\nfunc open() {}",
    "fast.go": "//go:build fast && !slow\n\npackage shop\nfunc speed() {}",
    "slow.go": "//go:build !fast\n\npackage shop\nfunc speed() {}",
    "run.go": "package shop\nfunc run() { open(); speed() }",
    "run_windows.go": "package shop\nfunc runThere() { open() }",
    "quick.go": "// +build fast\n\npackage shop\nfunc runFast() { speed() }",
}


def targets(path, kind):
    facts = {name: LANGUAGE.extract(".go", text.encode()) for name, text in PLATFORMS.items()}
    world = make_world(facts, LANGUAGE)
    edges = LANGUAGE.resolve(SourceFile(path, "#shop", facts[path]), world)
    return {one.target_path for one in edges if one.kind == kind}


def test_a_call_leads_to_the_definition_of_the_plain_build_and_others_count_as_uses():
    assert targets("run.go", EdgeKind.CALL) == {"open_linux.go", "slow.go"}
    assert targets("run.go", EdgeKind.USE) == {"open_windows.go", "fast.go"}


def test_a_file_of_another_build_calls_what_that_build_takes():
    assert targets("run_windows.go", EdgeKind.CALL) == {"open_windows.go"}
    assert targets("quick.go", EdgeKind.CALL) == {"fast.go"}


def test_embedding_and_asserted_interfaces_are_inheritance():
    source = """
        package shop
        import "example.org/shop/lib"
        type A struct { B; *lib.Client }
        type B struct{}
        type R interface { Read() }
        type W interface { R; Write() }
        var _ W = (*B)(nil)
    """
    found = resolve({"run.go": source, **LIBRARY}, "run.go", EdgeKind.INHERIT)
    assert {edge for edge, _tier in found} == {"A -> B", "A -> Client", "W -> R", "B -> W"}


def test_types_functions_and_methods_that_are_handed_on_are_uses():
    source = """
        package shop
        import "example.org/shop/lib"
        type A struct { b B }
        type B struct{}
        func (B) Do() {}
        func help() {}
        func run(b B, c *lib.Client) { take(help, b.Do, lib.New) }
        func take(all ...any) {}
    """
    found = resolve({"run.go": source, **LIBRARY}, "run.go", EdgeKind.USE)
    assert {edge for edge, _tier in found} == {
        "A -> B",
        "B.Do -> B",
        "run -> B",
        "run -> Client",
        "run -> help",
        "run -> B.Do",
        "run -> New",
    }


def test_imports_lead_to_the_files_of_the_package_that_are_used():
    files = {**LIBRARY, "lib/rest.go": "package lib\nfunc Rest() {}", "blank/b.go": "package blank"}
    main = (
        'package main\nimport ("example.org/shop/lib"; _ "example.org/shop/blank"; "fmt")\nfunc main() { lib.Rest() }'
    )
    found = resolve({"main.go": main, **files}, "main.go", EdgeKind.IMPORT)
    assert found == {("main.go -> lib/rest.go", Tier.EXACT), ("main.go -> blank/b.go", Tier.EXACT)}
