"""What declaration files, merged names, mapped types and CommonJS lead to; one test a rule."""

from services.vector_ops.languages.catalogue import load_language, suffix_of
from services.vector_ops.languages.memory import make_world
from services.vector_ops.languages.world import EdgeKind, SourceFile, Tier


def resolve(files, path):
    """Return `name -> {(file:line of the target, tier)}` of the calls of one file."""
    language = load_language("typescript")
    facts = {one: language.extract(suffix_of(one), text.encode()) for one, text in files.items()}
    names = {(one.line, one.column): one.name for one in facts[path].references}
    found = {}
    for edge in language.resolve(SourceFile(path, path, facts[path]), make_world(facts, language)):
        if edge.kind == EdgeKind.CALL:
            line = facts[edge.target_path].symbols[edge.target_at].line
            found.setdefault(names[edge.line, edge.column], set()).add((f"{edge.target_path}:{line}", edge.tier))
    return found


def exact(place):
    return {(place, Tier.EXACT)}


def typed(place):
    return {(place, Tier.TYPED)}


def test_title_of_a_test_hides_no_import():
    files = {
        "m.ts": "export function parse() {}",
        "m.test.ts": "import { parse } from './m'\ntest('parse', () => { parse() })",
    }
    assert resolve(files, "m.test.ts") == {"parse": exact("m.ts:1")}


def test_type_of_the_same_name_is_not_called():
    files = {"m.ts": "export type ok = 1\nexport function ok() {}\nexport namespace ok { export type T = 1 }\nok()"}
    assert resolve(files, "m.ts") == {"ok": exact("m.ts:2")}


def test_exported_name_of_commonjs_is_the_function_itself():
    files = {"m.js": "function f() {}\nexports.f = f", "a.js": "const { f } = require('./m')\nf()"}
    assert resolve(files, "a.js") == {"f": exact("m.js:1")}


def test_declarations_beside_javascript_are_taken_first():
    files = {
        "m.js": "\nexport function f() {}",
        "m.d.ts": "export function f(): void",
        "a.js": "import { f } from './m.js'\nf()",
    }
    assert resolve(files, "a.js") == {"f": exact("m.d.ts:1")}


def test_declared_types_of_a_package_are_taken_before_its_source():
    files = {
        "p/package.json": '{"name": "p", "source": "src/i.js", "types": "src/i.d.ts"}',
        "p/src/i.js": "\nexport function f() {}",
        "p/src/i.d.ts": "export function f(): void",
        "a.js": "import { f } from 'p'\nf()",
    }
    assert resolve(files, "a.js") == {"f": exact("p/src/i.d.ts:1")}


def test_members_of_an_exported_namespace_are_imported_by_name():
    files = {
        "m.d.ts": "declare namespace M {\n function make(): Box\n interface Box { get(): Box }\n}\nexport = M",
        "a.ts": "import { make } from './m'\nimport m = require('./m')\nmake().get().get()\nm.make()",
    }
    assert resolve(files, "a.ts") == {
        "make": {("m.d.ts:2", Tier.EXACT), ("m.d.ts:2", Tier.TYPED)},
        "get": typed("m.d.ts:3"),
    }


def test_value_and_namespace_of_one_name_are_merged():
    files = {
        "m.d.ts": "declare namespace M {\n interface Static { run(): void }\n}\ndeclare const M: M.Static\nexport = M",
        "a.ts": "import m = require('./m')\nm.run()",
    }
    assert resolve(files, "a.ts") == {"run": typed("m.d.ts:2")}


def test_alias_in_a_namespace_only_names_the_other():
    files = {
        "h.ts": "export function use() {}",
        "m.ts": "import * as h from './h'\nexport namespace R { export import use = h.use }",
        "a.ts": "import { R } from './m'\nR.use()",
    }
    assert resolve(files, "a.ts") == {"use": typed("h.ts:1")}


def test_constructed_type_keeps_its_arguments():
    files = {
        "m.ts": "class A { m() {} }\nexport class B<T> {\n with<U>() { return new B<U>() }\n"
        " get(): A { return new A() }\n}",
        "a.ts": "import { B } from './m'\nnew B<string>().with<number>().get().m()",
    }
    assert resolve(files, "a.ts")["m"] == typed("m.ts:1")


def test_declared_type_of_a_variable_comes_before_its_object():
    files = {"m.ts": "interface I {\n go(): void\n}\nconst x: I = {\n go() {}\n}\nx.go()"}
    assert resolve(files, "m.ts") == {"go": typed("m.ts:2")}


def test_members_of_an_annotated_object_are_found_in_the_annotation():
    files = {"m.ts": "function f() {}\nconst x: {\n f: typeof f\n} = { f }\nx.f()"}
    assert resolve(files, "m.ts")["f"] == typed("m.ts:3")


def test_members_of_mapped_and_indexed_types_have_their_value_type():
    files = {
        "m.ts": "interface P { query(): void }\ntype Client<T> = { [K in keyof T]: P }\n"
        "interface Bag { [k: string]: P }\n"
        "function f(c: Client<{ a: 1 }>, b: Bag, r: Record<string, P>) { c.a.query(); b.x.query(); r.y.query() }"
    }
    assert resolve(files, "m.ts") == {"query": typed("m.ts:1")}


def test_mapped_type_over_its_own_members_is_that_type():
    files = {
        "m.ts": "interface P { query(): void }\ntype Flat<T> = { [K in keyof T]: T[K] }\n(null as Flat<P>).query()"
    }
    assert resolve(files, "m.ts") == {"query": typed("m.ts:1")}


def test_choice_is_what_is_known_of_either_side():
    files = {"m.js": "class A {\n static of(x) { return x ? x : new this(x) }\n m() {}\n}\nA.of(1).m()"}
    assert resolve(files, "m.js")["m"] == typed("m.js:3")


def test_method_of_an_interface_and_function_of_its_namespace_are_told_apart():
    files = {
        "m.ts": "export interface S { union(): S }\nexport namespace S {\n export function union(): S\n}",
        "a.ts": "import { S } from './m'\nfunction f(s: S) { s.union() }",
    }
    assert resolve(files, "a.ts") == {"union": typed("m.ts:1")}


def test_call_gives_what_its_first_overload_gives():
    files = {
        "m.ts": "interface A { get(): void }\ninterface B { get(): void }\n"
        "declare function make(x: string): A\ndeclare function make(x: number): B\nmake('').get()"
    }
    assert resolve(files, "m.ts")["get"] == typed("m.ts:1")


def test_members_inside_inner_object_types_are_found():
    files = {
        "m.ts": "interface I {\n on: {\n  close(): void\n }\n}\n"
        "type T<X> = X extends string ? {\n run(): void\n} : never\n"
        "function f(i: I, t: T<string>) { i.on.close(); t.run() }"
    }
    assert resolve(files, "m.ts") == {"close": typed("m.ts:3"), "run": typed("m.ts:7")}


def test_inner_object_types_of_mere_data_make_no_symbols():
    facts = load_language("typescript").extract(".ts", b"interface I { input: { json: { id: string } } }")
    assert [one.qualname for one in facts.symbols] == ["I", "I.input"]


def test_inferred_type_is_unknown_not_foreign():
    files = {
        "m.ts": "class A { rare() {} }\ntype T<X> = X extends (infer R)[] ? R : never\n"
        "function f(t: T<A[]>) { t.rare() }"
    }
    assert resolve(files, "m.ts") == {"rare": {("m.ts:1", Tier.UNIQUE_NAME)}}
