"""Rules of Rust's names and types, each shown by the calls of a small repository."""

import pytest

from services.vector_ops.languages.catalogue import suffix_of
from services.vector_ops.languages.facts import FILE
from services.vector_ops.languages.memory import make_world
from services.vector_ops.languages.rust.language import LANGUAGE
from services.vector_ops.languages.world import EdgeKind, SourceFile

CARGO = '[package]\nname = "my-crate"\n'


def extract(path, text):
    return LANGUAGE.extract(suffix_of(path), text.encode())


def resolve(files, path):
    """Return (line, kind, target path, target's qualified name, tier) of every edge of a file."""
    facts = {name: extract(name, text) for name, text in files.items()}
    world = make_world(facts, LANGUAGE)
    found = []
    for edge in LANGUAGE.resolve(SourceFile(path, path, facts[path]), world):
        target = "" if edge.target_at == FILE else facts[edge.target_path].symbols[edge.target_at].qualname
        found.append((edge.line, edge.kind.name, edge.target_path, target, edge.tier.name))
    return found


def calls(files, path="src/lib.rs"):
    """Return `target tier` of the calls of a file; the path is named when it is another file's."""
    if isinstance(files, str):
        files = {path: files}
    found = [one for one in resolve(files, path) if one[1] == "CALL"]
    return [f"{'' if to == path else to + ':'}{name} {tier.lower()}" for _line, _kind, to, name, tier in found]


def test_plain_function_of_the_same_file_is_exact():
    assert calls("fn a() {}\nfn b() { a() }") == ["a exact"]


def test_module_without_body_is_the_file_beside_the_root():
    files = {"src/lib.rs": "mod deep;\nfn f() { deep::g() }", "src/deep.rs": "pub fn g() {}"}
    assert calls(files) == ["src/deep.rs:g exact"]


def test_module_may_be_a_folder_with_mod_rs():
    files = {"src/lib.rs": "mod deep;\nfn f() { deep::g() }", "src/deep/mod.rs": "pub fn g() {}"}
    assert calls(files) == ["src/deep/mod.rs:g exact"]


def test_path_attribute_says_where_a_module_lies():
    files = {"src/lib.rs": '#[path = "odd/x.rs"]\nmod deep;\nfn f() { deep::g() }', "src/odd/x.rs": "pub fn g() {}"}
    assert calls(files) == ["src/odd/x.rs:g exact"]


def test_super_and_crate_lead_up_the_module_tree():
    files = {
        "src/lib.rs": "mod a;\npub fn top() {}",
        "src/a/mod.rs": "mod b;\npub fn mid() {}",
        "src/a/b.rs": "fn f() { super::mid(); crate::top(); super::super::top() }",
    }
    assert calls(files, "src/a/b.rs") == ["src/a/mod.rs:mid exact", "src/lib.rs:top exact", "src/lib.rs:top exact"]


def test_use_with_alias_binds_the_new_name():
    files = {"src/lib.rs": "mod a;\nuse a::{g as h};\nfn f() { h() }", "src/a.rs": "pub fn g() {}"}
    assert calls(files) == ["src/a.rs:g exact"]


def test_re_exports_and_globs_are_followed():
    files = {
        "src/lib.rs": "mod a;\nuse a::*;\nfn f() { g() }",
        "src/a/mod.rs": "mod b;\npub use self::b::g;",
        "src/a/b.rs": "pub fn g() {}",
    }
    assert calls(files) == ["src/a/b.rs:g exact"]


def test_other_crate_of_the_workspace_is_found_by_its_manifest():
    files = {
        "Cargo.toml": CARGO,
        "src/lib.rs": "pub fn api() {}",
        "tests/it.rs": "use my_crate::api;\n#[test]\nfn t() { api(); my_crate::api() }",
    }
    assert calls(files, "tests/it.rs") == ["src/lib.rs:api exact", "src/lib.rs:api exact"]


def test_test_folder_root_declares_its_own_modules():
    files = {"tests/it.rs": "mod env;\nfn t() { env::go() }", "tests/env/mod.rs": "pub fn go() { super::t() }"}
    assert calls(files, "tests/it.rs") == ["tests/env/mod.rs:go exact"]
    assert calls({**files}, "tests/env/mod.rs") == ["tests/it.rs:t exact"]


def test_inline_module_sees_the_items_it_imports_from_above():
    assert calls("fn g() {}\nmod tests { use super::*; fn t() { g() } }") == ["g exact"]


def test_name_of_a_foreign_crate_is_answered_by_nothing():
    assert (
        calls("use std::fs::read;\nfn f() { read(); std::mem::swap(); Vec::new() }\nstruct Q;\nimpl Q { fn new() {} }")
        == []
    )


def test_associated_function_and_method_on_what_it_returns():
    source = "struct A;\nimpl A { fn new() -> Self { A } fn go(&self) {} }\nfn f() { let a = A::new(); a.go() }"
    assert calls(source) == ["A.new exact", "A.go typed"]


def test_constructor_in_a_result_is_unwrapped():
    source = (
        "struct A;\n"
        "impl A { fn open() -> Result<A, E> { todo!() } fn go(&self) {} }\n"
        "fn f() { A::open()?.go(); A::open().unwrap().go() }"
    )
    assert calls(source) == ["A.open exact", "A.go typed", "A.open exact", "A.go typed"]


def test_fields_of_self_and_their_smart_pointers_are_typed():
    source = (
        "struct B;\n"
        "impl B { fn go(&self) {} }\n"
        "struct A { b: std::sync::Arc<Box<B>> }\n"
        "impl A { fn f(&self) { self.b.go() } }"
    )
    assert calls(source) == ["B.go typed"]


def test_parameters_and_annotated_locals_are_typed():
    source = "struct B;\nimpl B { fn go(&self) {} }\nfn f(b: &mut B) { b.go(); let c: B = make(); c.go() }"
    assert calls(source) == ["B.go typed", "B.go typed"]


def test_method_of_a_foreign_value_is_answered_by_nothing():
    source = "struct B;\nimpl B { fn strange(&self) {} }\nfn f(s: String) { s.strange(); std::env::args().strange() }"
    assert calls(source) == []


def test_shadowing_binds_after_the_statement():
    source = (
        "struct A;\n"
        "struct B;\n"
        "impl A { fn b(&self) -> B { B } fn x(&self) {} }\n"
        "impl B { fn x(&self) {} }\n"
        "fn f(v: A) { let v = v.b(); v.x() }"
    )
    assert calls(source) == ["A.b typed", "B.x typed"]


def test_closure_called_by_its_local_name_is_no_function():
    assert calls("fn go() {}\nfn f() { let go = || 1; go() }") == []


def test_closure_parameter_holds_what_the_receiver_yields():
    source = (
        "struct A;\nimpl A { fn x(&self) {} }\nfn f(v: Vec<A>) { v.iter().for_each(|a| a.x()); for b in &v { b.x() } }"
    )
    assert calls(source) == ["A.x typed", "A.x typed"]


def test_patterns_take_values_apart():
    source = (
        "struct A;\n"
        "impl A { fn x(&self) {} }\n"
        "enum E { One(A), Two { a: A } }\n"
        "fn f(e: E) { match e { E::One(a) => a.x(), E::Two { a } => a.x() } }\n"
        "fn g(o: Option<A>) { if let Some(b) = o { b.x() } }"
    )
    assert calls(source) == ["A.x typed", "A.x typed", "A.x typed"]


def test_enum_variant_called_is_the_variant():
    assert calls("enum E { One(u8) }\nuse E::One;\nfn f() { E::One(1); One(2) }") == ["E.One exact", "E.One exact"]


def test_trait_bound_leads_to_the_declaration():
    source = "trait T { fn x(&self); }\nfn f<A: T>(a: A, b: &dyn T, c: impl T) { a.x(); b.x(); c.x() }"
    assert calls(source) == ["T.x typed", "T.x typed", "T.x typed"]


def test_own_implementation_wins_over_the_declaration_and_defaults_are_the_traits():
    source = (
        "trait T { fn x(&self); fn y(&self) {} }\n"
        "struct A;\n"
        "impl T for A { fn x(&self) {} }\n"
        "fn f(a: A) { a.x(); a.y() }"
    )
    assert calls(source) == ["A.x typed", "T.y typed"]


def test_method_of_a_supertrait_is_found():
    source = "trait S { fn x(&self); }\ntrait T: S {}\nfn f(a: &dyn T) { a.x() }"
    assert calls(source) == ["S.x typed"]


def test_impl_block_in_another_file_belongs_to_the_type():
    files = {
        "src/lib.rs": "mod a;\nmod b;\nfn f(x: a::A) { x.far() }",
        "src/a.rs": "pub struct A;",
        "src/b.rs": "use crate::a::A;\nimpl A { pub fn far(&self) {} }",
    }
    assert calls(files) == ["src/b.rs:A.far typed"]


def test_two_types_of_one_name_are_kept_apart():
    files = {
        "src/lib.rs": "mod a;\nmod b;\nfn f(x: b::A) { x.go() }",
        "src/a.rs": "pub struct A;\nimpl A { pub fn go(&self) {} }",
        "src/b.rs": "pub struct A;\nimpl A { pub fn go(&self) {} }",
    }
    assert calls(files) == ["src/b.rs:A.go typed"]


def test_type_alias_and_generic_arguments_are_followed():
    source = (
        "struct A;\n"
        "impl A { fn x(&self) {} }\n"
        "struct W<T> { t: T }\n"
        "impl<T> W<T> { fn get(&self) -> &T { &self.t } }\n"
        "type V = W<A>;\n"
        "fn f(v: V) { v.get().x(); v.t.x() }"
    )
    assert calls(source) == ["W.get typed", "A.x typed", "A.x typed"]


def test_deref_leads_to_the_target():
    source = (
        "struct A;\n"
        "impl A { fn x(&self) {} }\n"
        "struct W;\n"
        "impl std::ops::Deref for W { type Target = A; fn deref(&self) -> &Self::Target { todo!() } }\n"
        "fn f(w: W) { w.x() }"
    )
    assert calls(source) == ["A.x typed"]


def test_calls_inside_macros_are_read():
    source = (
        "struct A;\n"
        "impl A { fn x(&self) -> u8 { 1 } }\n"
        "fn g() {}\n"
        'fn f(a: A) { assert_eq!(a.x(), 1); odd!(k => g(), Z => a.x()); println!("{}", g()) }'
    )
    assert calls(source) == ["A.x typed", "g exact", "A.x typed", "g exact"]


def test_macro_call_leads_to_its_rules():
    assert calls("macro_rules! mine { () => {} }\nfn f() { mine!(); println!() }") == ["mine exact"]


def test_twin_that_cfg_leaves_out_is_not_chosen():
    source = "#[cfg(windows)]\nfn g() {}\n#[cfg(not(windows))]\nfn g() {}\nfn f() { g() }"
    edges = [one for one in resolve({"src/lib.rs": source}, "src/lib.rs") if one[1] == "CALL"]
    facts = extract("src/lib.rs", source)
    assert [one[3] for one in edges] == ["g"]
    assert [one.bases for one in facts.symbols if one.name == "g"] == [("#off",), ()]


def test_unknown_receiver_is_guessed_by_a_rare_name_alone():
    source = (
        "struct A;\n"
        "impl A { fn very_own(&self) {} fn push(&self) {} }\n"
        "fn f() { let x = loop {}; x.very_own(); x.push() }"
    )
    assert calls(source) == ["A.very_own unique_name", "A.push ambiguous"]


def test_inheritance_and_imports_are_edges():
    files = {"src/lib.rs": "mod a;\nuse a::T;\nstruct A;\nimpl T for A {}", "src/a.rs": "pub trait T {}"}
    kinds = [(line, kind, to, name) for line, kind, to, name, _tier in resolve(files, "src/lib.rs")]
    assert (1, "IMPORT", "src/a.rs", "") in kinds
    assert (2, "IMPORT", "src/a.rs", "T") in kinds
    assert (4, "INHERIT", "src/a.rs", "T") in kinds


@pytest.mark.parametrize(
    "source",
    [
        "use self::a::x;\nmod a { pub use super::x; }\nfn f() { x() }",
        "trait T: T {}\nfn f(t: &dyn T) { t.missing_one() }",
        "type A = B;\ntype B = A;\nfn f(a: A) { a.missing_one() }",
        (
            "struct W;\n"
            "impl std::ops::Deref for W { type Target = W; fn deref(&self) -> &W { self } }\n"
            "fn f(w: W) { w.missing_one() }"
        ),
        "mod gone;\nfn f() { gone::x() }",
        "use crate::*;\nfn f() { nothing() }",
    ],
)
def test_circles_and_missing_files_end_without_an_answer(source):
    assert calls(source) == []


def test_edges_are_in_order_and_unique():
    files = {"src/lib.rs": "fn a() {}\nfn b() { a(); a(); c(a) }\nfn c(x: fn()) {}"}
    facts = extract("src/lib.rs", files["src/lib.rs"])
    edges = LANGUAGE.resolve(SourceFile("src/lib.rs", "src/lib.rs", facts), make_world({"src/lib.rs": facts}, LANGUAGE))
    assert edges == sorted(set(edges), key=lambda edge: (edge.line, edge.column))
    assert {EdgeKind.CALL, EdgeKind.USE} == {edge.kind for edge in edges}


def test_argument_chooses_among_conversions():
    source = (
        "struct A;\nstruct B;\nstruct E;\n"
        "impl From<A> for E { fn from(a: A) -> E { E } }\n"
        "impl From<B> for E { fn from(b: B) -> E { E } }\n"
        "fn f(b: B) { E::from(b) }"
    )
    edges = [one for one in LANGUAGE.resolve(*alone(source)) if one.kind == EdgeKind.CALL]
    assert [(extract("a.rs", source).symbols[one.target_at].line, one.tier.name) for one in edges] == [(5, "TYPED")]


def test_macro_gives_what_its_first_rule_gives():
    source = (
        "struct A;\nimpl A { fn new() -> A { A } fn go(&self) {} }\n"
        "macro_rules! make { () => {{ let a = $crate::A::new(); (a, 1) }} }\n"
        "fn f() { let (a, _) = make!(); a.go() }"
    )
    assert calls(source) == ["make exact", "A.go typed"]


def alone(source):
    facts = extract("a.rs", source)
    return SourceFile("a.rs", "a.rs", facts), make_world({"a.rs": facts}, LANGUAGE)


def test_bounds_that_are_too_long_to_be_kept_leave_the_type_of_self():
    bound = " + ".join(f"Into<Box<Vec<Option<Long{at}>>>>" for at in range(12))
    source = f"struct A<T>(T);\nimpl<T: {bound}> A<T> {{ fn a(&self) {{}}\n fn b(&self) {{ self.a() }} }}"
    assert calls(source) == ["A.a typed"]


@pytest.mark.parametrize(
    "value",
    [
        "std::mem::take(&mut w.a)",
        "mem::replace(&mut w.a, A)",
        "Arc::clone(&w.a)",
        "NonNull::from(&w.a).as_ref()",
        "w.all.remove(0)",
        "w.at.as_ref()",
    ],
)
def test_standard_functions_that_hand_on_what_they_are_given_keep_its_type(value):
    source = (
        "struct A;\nimpl A { fn only_here(&self) {} }\nstruct B;\nimpl B { fn only_here(&self) {} }\n"
        "struct W { a: A, all: Vec<A>, at: NonNull<A> }\n"
        f"fn f(w: W) {{ let x = {value}; x.only_here() }}"
    )
    assert calls(source) == ["A.only_here typed"]


@pytest.mark.parametrize(("kind", "called"), [("Box", []), ("Arc", []), ("MutexGuard", ["A.clone typed"])])
def test_pointer_has_methods_of_its_own_before_those_of_its_content(kind, called):
    source = f"struct A;\nimpl Clone for A {{ fn clone(&self) -> A {{ A }} }}\nfn f(a: {kind}<A>) {{ a.clone() }}"
    assert calls(source) == called


def test_method_of_a_trait_for_a_foreign_type_does_not_mean_itself():
    source = (
        "trait Stop { fn stop(&self); }\nuse other::Child;\n"
        "impl Stop for Child { fn stop(&self) { self.stop() } }\nfn f(c: Child) { c.stop() }"
    )
    assert calls(source) == ["Child.stop typed"]


def test_two_stars_before_self_follow_what_it_points_to():
    source = (
        "struct A;\nimpl A { fn show(&self) {} }\nstruct P { a: A }\n"
        "impl Deref for P { fn deref(&self) -> &A { &self.a } }\n"
        "impl P { fn show(&self) { (**self).show() } }"
    )
    assert calls(source) == ["A.show typed"]


@pytest.mark.parametrize(
    "code",
    [
        "fn f() -> S { S { a: Default::default() } }",
        "fn f() { let a: A = Default::default(); }",
        "fn f() -> A { A { x: 1, ..Default::default() } }",
        "fn f() -> A { Default::default() }",
        "impl A { fn f() -> Self { Default::default() } }",
    ],
)
def test_default_is_that_of_the_type_that_its_place_asks_for(code):
    source = (
        "struct A { x: u8 }\nimpl Default for A { fn default() -> A { loop {} } }\n"
        f"struct B;\nimpl Default for B {{ fn default() -> B {{ B }} }}\nstruct S {{ a: A }}\n{code}"
    )
    assert [one for one in calls(source) if "default" in one] == ["A.default typed"]
