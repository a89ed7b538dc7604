"""Where calls, bases and imports of Java, C, C++, C#, Ruby and PHP lead, and how sure that is."""

from services.vector_ops.languages.catalogue import load_language
from services.vector_ops.languages.memory import make_world
from services.vector_ops.languages.world import SourceFile


def resolve(name: str, path: str, files: dict[str, str]) -> set[str]:
    """Return the edges of one file as `CALL EXACT b.c:f` (target's path and qualified name)."""
    language = load_language(name)
    facts = {one: language.extract("", source.encode()) for one, source in files.items()}
    world = make_world(facts, language)
    found = set()
    for edge in language.resolve(SourceFile(path, path, facts[path]), world):
        target = facts[edge.target_path].symbols[edge.target_at].qualname if edge.target_at >= 0 else ""
        found.add(f"{edge.kind.name} {edge.tier.name} {edge.target_path}:{target}")
    return found


def test_java_import_leads_to_class_and_its_static_method() -> None:
    files = {
        "b/B.java": "package b;\npublic class B { public static void go() {} }",
        "a/A.java": "package a;\nimport b.B;\nclass A { void m() { B.go(); new B(); } }",
    }
    assert resolve("java", "a/A.java", files) >= {
        "IMPORT EXACT b/B.java:B",
        "CALL EXACT b/B.java:B.go",
        "CALL EXACT b/B.java:B",
    }


def test_java_declared_types_lead_to_methods() -> None:
    files = {
        "B.java": "package p; class B { C c() { return null; } }",
        "C.java": "package p; class C { void end() {} }",
        "A.java": "package p; class A { B f; void m(C x) { f.c().end(); var y = new B(); y.c(); x.end(); } }",
    }
    found = resolve("java", "A.java", files)
    assert {"CALL TYPED B.java:B.c", "CALL TYPED C.java:C.end"} <= found


def test_java_inherited_method_is_found_through_the_base() -> None:
    files = {
        "B.java": "package p; class B { void up() {} }",
        "A.java": "package p; class A extends B { void m() { up(); super.up(); } }",
    }
    assert resolve("java", "A.java", files) == {"CALL TYPED B.java:B.up", "INHERIT EXACT B.java:B"}


def test_java_overload_is_chosen_by_the_number_of_arguments() -> None:
    files = {"A.java": "class A { void m() { f(1, 2); }\n void f(int a) {}\n void f(int a, int b) {} }"}
    language = load_language("java")
    facts = language.extract(".java", files["A.java"].encode())
    edges = language.resolve(SourceFile("A.java", "A.java", facts), make_world({"A.java": facts}, language))
    assert [facts.symbols[edge.target_at].line for edge in edges] == [3]


def test_java_type_from_outside_is_never_guessed() -> None:
    files = {
        "B.java": "package p; class B { void search() {} }",
        "A.java": "package p; import q.Index; class A { void m(Index i) { i.search(); } }",
    }
    assert resolve("java", "A.java", files) == set()


def test_c_call_goes_through_the_header_to_the_definition() -> None:
    files = {
        "src/a.c": '#include "b.h"\nint main(void) { return area(2); }\n',
        "src/b.h": "int area(int r);\n",
        "src/b.c": '#include "b.h"\nint area(int r) { return r; }\n',
    }
    assert resolve("c", "src/a.c", files) == {"IMPORT EXACT src/b.h:", "CALL EXACT src/b.c:area"}


def test_c_static_function_of_another_file_is_out_of_reach() -> None:
    files = {"a.c": "int m(void) { return hidden(); }\n", "b.c": "static int hidden(void) { return 1; }\n"}
    assert resolve("c", "a.c", files) == set()


def test_c_function_in_a_table_is_used() -> None:
    files = {"a.c": "static int run(int a) { return a; }\nstruct cmd table[] = {{1, run}};\n"}
    assert resolve("c", "a.c", files) == {"USE EXACT a.c:run"}


def test_c_function_without_include_is_only_unique() -> None:
    files = {"a.c": "int m(void) { return lonely(); }\n", "b.c": "int lonely(void) { return 1; }\n"}
    assert resolve("c", "a.c", files) == {"CALL UNIQUE_NAME b.c:lonely"}


def test_cpp_method_is_called_over_this_locals_and_namespaces() -> None:
    files = {
        "a.h": "namespace ns {\nclass A { public: void go(); int n(); };\nint helper(int x);\n}\n",
        "a.cpp": '#include "a.h"\nnamespace ns {\nvoid A::go() { this->n(); helper(1); }\nint A::n() { return 1; }\n'
        "int helper(int x) { A a; a.go(); return x; }\n}\n",
    }
    found = resolve("cpp", "a.cpp", files)
    assert {"CALL EXACT a.cpp:ns.A.n", "CALL EXACT a.cpp:ns.helper", "CALL TYPED a.cpp:ns.A.go"} <= found


def test_csharp_using_and_partial_classes_lead_to_members() -> None:
    files = {
        "A1.cs": "namespace N { public partial class A { public void One() {} } }",
        "A2.cs": "namespace N { public partial class A { public void Two() { One(); } } }",
        "B.cs": "using N;\nnamespace M { class B { void Go(A a) { a.Two(); } } }",
    }
    assert resolve("csharp", "A2.cs", files) == {"CALL EXACT A1.cs:N.A.One"}
    assert "CALL TYPED A2.cs:N.A.Two" in resolve("csharp", "B.cs", files)


def test_csharp_extension_method_is_found_on_foreign_types() -> None:
    files = {
        "E.cs": "static class E { public static int Twice(this int x) { return x; } }",
        "A.cs": "class A { void M(Foreign f) { f.Twice(); f.Other(); } void Other() {} }",
    }
    assert resolve("csharp", "A.cs", files) == {"CALL UNIQUE_NAME E.cs:E.Twice"}


def test_ruby_self_modules_and_constructed_locals() -> None:
    files = {
        "lib/m.rb": "module M\n  def mixed; end\nend\n",
        "lib/b.rb": "class B\n  def run_it(x); end\nend\n",
        "lib/a.rb": 'require_relative "b"\nclass A\n  include M\n  def go\n    mixed\n    self.stop(1)\n    b = B.new\n'
        "    b.run_it(2)\n  end\n  def stop(n); end\nend\n",
    }
    assert resolve("ruby", "lib/a.rb", files) == {
        "IMPORT EXACT lib/b.rb:",
        "INHERIT EXACT lib/m.rb:M",
        "CALL TYPED lib/m.rb:M.mixed",
        "CALL EXACT lib/a.rb:A.stop",
        "CALL EXACT lib/b.rb:B",
        "CALL TYPED lib/b.rb:B.run_it",
    }


def test_ruby_name_of_a_receiver_hints_at_its_class() -> None:
    files = {
        "site.rb": "class Site\n  def process; end\nend\n",
        "page.rb": "class Page\n  def process; end\nend\n",
        "a.rb": "def go(site, thing)\n  site.process\nend\n",
        "b.rb": "def go(thing)\n  thing.process\nend\n",
    }
    assert resolve("ruby", "a.rb", files) == {"CALL UNIQUE_NAME site.rb:Site.process"}
    assert resolve("ruby", "b.rb", files) == {
        "CALL AMBIGUOUS page.rb:Page.process",
        "CALL AMBIGUOUS site.rb:Site.process",
    }


def test_ruby_private_method_is_no_target_for_strangers() -> None:
    files = {"a.rb": "class A\n  private\n  def hide_it; end\nend\n", "b.rb": "def go(x)\n  x.hide_it\nend\n"}
    assert resolve("ruby", "b.rb", files) == set()


def test_php_uses_traits_parents_and_typed_properties() -> None:
    files = {
        "src/T.php": "<?php namespace A; trait T { function mixed() {} }",
        "src/Base.php": "<?php namespace A; class Base { static function make() {} function up() {} }",
        "src/Log.php": "<?php namespace B; class Log { function line($x) {} }",
        "src/C.php": "<?php namespace A; use B\\Log; class C extends Base { use T; private Log $log;\n"
        " function go() { $this->mixed(); parent::up(); Base::make(); $this->log->line(1); "
        "$l = new Log; $l->line(2); } }",
    }
    assert resolve("php", "src/C.php", files) >= {
        "IMPORT EXACT src/Log.php:B.Log",
        "INHERIT EXACT src/Base.php:A.Base",
        "INHERIT EXACT src/T.php:A.T",
        "CALL TYPED src/T.php:A.T.mixed",
        "CALL TYPED src/Base.php:A.Base.up",
        "CALL EXACT src/Base.php:A.Base.make",
        "CALL TYPED src/Log.php:B.Log.line",
        "CALL EXACT src/Log.php:B.Log",
    }


def test_names_of_the_standard_library_are_never_unique() -> None:
    files = {
        "a.php": "<?php class A { function get($k) {} function getRouteKey() {} }",
        "b.php": "<?php class B { function go($x) { $x->get(1); $x->getRouteKey(); } }",
    }
    assert resolve("php", "b.php", files) == {"CALL AMBIGUOUS a.php:A.get", "CALL UNIQUE_NAME a.php:A.getRouteKey"}


def test_several_candidates_are_ambiguous_and_at_most_five() -> None:
    files = {f"c{n}.php": f"<?php class C{n} {{ function renderAll() {{}} }}" for n in range(9)}
    files["z.php"] = "<?php function go($x) { $x->renderAll(); }"
    found = resolve("php", "z.php", files)
    assert len(found) == 5
    assert all(one.startswith("CALL AMBIGUOUS") for one in found)
