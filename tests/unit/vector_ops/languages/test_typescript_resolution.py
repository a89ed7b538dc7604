"""What calls, imports and bases of TypeScript and JavaScript lead to; one test a rule."""

from services.vector_ops.languages.catalogue import load_language, suffix_of
from services.vector_ops.languages.facts import FILE
from services.vector_ops.languages.memory import make_world
from services.vector_ops.languages.world import EdgeKind, SourceFile, Tier


def resolve(files, path, kind=EdgeKind.CALL):
    """Return `name -> {(target, tier)}` of the edges of one file, by the text at the edge's place."""
    language = load_language("typescript")
    facts = {one: language.extract(suffix_of(one), text.encode()) for one, text in files.items()}
    world = make_world(facts, language)
    lines = files[path].split("\n")
    found = {}
    for edge in language.resolve(SourceFile(path, path, facts[path]), world):
        if edge.kind == kind:
            name = lines[edge.line - 1][edge.column - 1 :]
            size = next((at for at, one in enumerate(name) if not (one.isalnum() or one in "_$#@/.-")), len(name))
            text = name[:size].split(".")[0] if kind != EdgeKind.IMPORT else name[:size]
            target = edge.target_path
            if edge.target_at != FILE:
                target += ":" + facts[edge.target_path].symbols[edge.target_at].qualname
            found.setdefault(text, set()).add((target, edge.tier))
    return found


def exact(target):
    return {(target, Tier.EXACT)}


def typed(target):
    return {(target, Tier.TYPED)}


def test_named_import_leads_to_the_function():
    files = {"m.ts": "export function f() {}", "a.ts": 'import { f as g } from "./m"\ng()'}
    assert resolve(files, "a.ts") == {"g": exact("m.ts:f")}


def test_default_import_leads_to_what_the_module_exports():
    files = {"m.ts": "export default class A {}", "a.ts": 'import B from "./m"\nnew B()'}
    assert resolve(files, "a.ts") == {"B": exact("m.ts:A")}


def test_anonymous_default_export_is_found():
    files = {"m.ts": "export default function () {}", "a.ts": 'import run from "./m"\nrun()'}
    assert resolve(files, "a.ts") == {"run": exact("m.ts:default")}


def test_namespace_import_leads_to_the_member():
    files = {"m.ts": "export const f = () => 1", "a.ts": 'import * as m from "./m"\nm.f()'}
    assert resolve(files, "a.ts")["f"] == typed("m.ts:f")


def test_reexports_are_followed_through_stars_and_renames():
    files = {
        "deep.ts": "export function f() {}\nexport function g() {}",
        "mid.ts": "export * from './deep'\nexport { g as h } from './deep'",
        "index.ts": "export * from './mid'",
        "a.ts": 'import { f, h } from "."\nf(); h()',
    }
    assert resolve(files, "a.ts") == {"f": exact("deep.ts:f"), "h": exact("deep.ts:g")}


def test_export_list_renames_a_local():
    files = {"m.ts": "function inner() {}\nexport { inner as outer }", "a.ts": 'import { outer } from "./m"\nouter()'}
    assert resolve(files, "a.ts") == {"outer": exact("m.ts:inner")}


def test_circular_star_exports_end():
    files = {"b.ts": "export * from './c'", "c.ts": "export * from './b'", "a.ts": "import { x } from './b'\nx()"}
    assert resolve(files, "a.ts") == {}


def test_import_of_js_finds_the_ts_source():
    files = {"m.ts": "export function f() {}", "a.ts": 'import { f } from "./m.js"\nf()'}
    assert resolve(files, "a.ts") == {"f": exact("m.ts:f")}


def test_required_function_is_called():
    files = {
        "m.js": "function f() {}\nfunction g() {}\nmodule.exports = { f, h: g }",
        "a.js": "const { f, h } = require('./m')\nconst m = require('./m')\nf()\nm.f()",
    }
    found = resolve(files, "a.js")
    assert ("m.js:f", Tier.EXACT) in found["f"]


def test_module_exports_function_is_called():
    files = {"m.js": "module.exports = function run() {}", "a.js": "const run = require('./m')\nrun()"}
    assert resolve(files, "a.js") == {"run": exact("m.js:export=")}


def test_exports_member_is_called():
    files = {"m.js": "exports.go = function () {}", "a.js": "const m = require('./m')\nm.go()"}
    assert resolve(files, "a.js") == {"go": typed("m.js:go")}


def test_paths_of_tsconfig_are_followed():
    files = {
        "tsconfig.json": '{ // aliases\n "compilerOptions": {"baseUrl": ".", "paths": {"@app/*": ["src/app/*"],},},}',
        "src/app/m.ts": "export function f() {}",
        "src/x/a.ts": 'import { f } from "@app/m"\nf()',
    }
    assert resolve(files, "src/x/a.ts") == {"f": exact("src/app/m.ts:f")}


def test_paths_come_from_the_extended_configuration():
    files = {
        "tsconfig.json": '{"compilerOptions": {"paths": {"~/*": ["./lib/*"]}}}',
        "pkg/tsconfig.json": '{"extends": "../tsconfig.json"}',
        "lib/m.ts": "export function f() {}",
        "pkg/a.ts": 'import { f } from "~/m"\nf()',
    }
    assert resolve(files, "pkg/a.ts") == {"f": exact("lib/m.ts:f")}


def test_package_of_the_workspace_is_found_by_its_name():
    files = {
        "packages/core/package.json": '{"name": "@org/core", "main": "dist/index.js"}',
        "packages/core/src/index.ts": "export function f() {}",
        "packages/app/a.ts": 'import { f } from "@org/core"\nf()',
    }
    assert resolve(files, "packages/app/a.ts") == {"f": exact("packages/core/src/index.ts:f")}


def test_exports_of_a_package_name_its_parts():
    files = {
        "core/package.json": '{"name": "core", "exports": {"./sub": {"import": "./dist/sub.js"}, '
        '"./u/*": "./src/u/*.ts"}}',
        "core/src/sub.ts": "export function f() {}",
        "core/src/u/g.ts": "export function g() {}",
        "app/a.ts": 'import { f } from "core/sub"\nimport { g } from "core/u/g"\nf(); g()',
    }
    assert resolve(files, "app/a.ts") == {"f": exact("core/src/sub.ts:f"), "g": exact("core/src/u/g.ts:g")}


def test_foreign_packages_give_nothing():
    files = {"m.ts": "export class Thing { unusual() {} }", "a.ts": 'import { x } from "left-pad"\nx.unusual(); x()'}
    assert resolve(files, "a.ts") == {}


def test_method_of_a_constructed_object():
    files = {"a.ts": "class A { m() {} }\nconst a = new A()\na.m()"}
    assert resolve(files, "a.ts")["m"] == typed("a.ts:A.m")


def test_inherited_method_over_files():
    files = {
        "base.ts": "export class Base { m() {} }",
        "mid.ts": "import { Base } from './base'\nexport class Mid extends Base {}",
        "a.ts": "import { Mid } from './mid'\nfunction f(x: Mid) { x.m() }",
    }
    assert resolve(files, "a.ts") == {"m": typed("base.ts:Base.m")}


def test_super_and_this_lead_through_the_class():
    files = {
        "a.ts": "class A { m() {} }\nclass B extends A { constructor() { super() }\n"
        " n() { super.m(); this.k() }\n k() {} }"
    }
    found = resolve(files, "a.ts")
    assert found["m"] == typed("a.ts:A.m")
    assert found["k"] == typed("a.ts:B.k")
    assert found["super"] == typed("a.ts:A")


def test_member_of_an_outside_base_gives_nothing():
    files = {
        "m.ts": "export class X { unusual() {} }",
        "a.ts": "class A extends HTMLElement { f() { this.unusual() } }",
    }
    assert resolve(files, "a.ts") == {}


def test_class_that_extends_itself_ends():
    files = {
        "a.ts": "class A extends A { f() { this.g() } }\nclass B extends C {}\nclass C extends B { x() { this.y() } }"
    }
    assert resolve(files, "a.ts") == {}


def test_static_and_own_method_of_one_name_are_told_apart():
    files = {
        "a.ts": "class A {\n static get(): A { return new A() }\n get() { this.own() }\n own() {} }\nA.get().get()"
    }
    language = load_language("typescript")
    facts = {"a.ts": language.extract(".ts", files["a.ts"].encode())}
    edges = language.resolve(SourceFile("a.ts", "a.ts", facts["a.ts"]), make_world(facts, language))
    symbols = facts["a.ts"].symbols
    assert [symbols[one.target_at].line for one in edges if one.line == 5] == [2, 3]


def test_chain_of_methods_that_return_this():
    files = {
        "a.ts": "class B { one(): this { return this }\n two() { return this }\n end() {} }\nnew B().one().two().end()"
    }
    found = resolve(files, "a.ts")
    assert found["one"] == typed("a.ts:B.one")
    assert found["end"] == typed("a.ts:B.end")


def test_result_of_an_untyped_function_is_what_it_returns():
    files = {
        "m.ts": "class A { m() {} }\nexport const make = () => new A()",
        "a.ts": "import { make } from './m'\nmake().m()",
    }
    assert resolve(files, "a.ts")["m"] == typed("m.ts:A.m")


def test_awaited_result_is_the_promised_type():
    files = {"a.ts": "class A { m() {} }\nasync function get() { return new A() }\nasync () => { (await get()).m() }"}
    assert resolve(files, "a.ts")["m"] == typed("a.ts:A.m")


def test_generic_argument_is_the_type_of_a_member():
    files = {"a.ts": "class A { m() {} }\nclass Box<T> { value!: T }\nfunction f(b: Box<A>) { b.value.m() }"}
    assert resolve(files, "a.ts")["m"] == typed("a.ts:A.m")


def test_callback_parameter_has_the_type_that_the_callee_wants():
    files = {
        "t.ts": "export class Ctx { text() {} }\nexport type Handler = (c: Ctx) => void\n"
        "export class App { get(path: string, ...handlers: Handler[]) { return this } }",
        "a.ts": "import { App } from './t'\nnew App().get('/', (c) => c.text())",
    }
    assert resolve(files, "a.ts")["text"] == typed("t.ts:Ctx.text")


def test_returned_function_has_the_declared_type():
    files = {
        "t.ts": "export interface Ctx { next(): void }\nexport type Handler = (c: Ctx) => void",
        "a.ts": "import type { Handler } from './t'\nexport const make = (): Handler => {\n"
        " return (c) => { c.next() }\n}",
    }
    assert resolve(files, "a.ts")["next"] == typed("t.ts:Ctx.next")


def test_elements_of_collections_are_typed():
    files = {
        "a.ts": "class A { m() {} }\nfunction f(x: A[], y: Map<string, A>) { x.forEach((a) => a.m())\n"
        "for (const b of x) b.m()\ny.get('k')!.m() }"
    }
    assert resolve(files, "a.ts") == {"m": typed("a.ts:A.m")}


def test_destructured_parameter_is_typed():
    files = {"a.ts": "interface Props { run(): void }\nfunction f({ run: go }: Props, { run }: Props) { run() }"}
    assert resolve(files, "a.ts") == {"run": typed("a.ts:Props.run")}


def test_call_signatures_that_begin_with_a_type_parameter():
    files = {
        "t.ts": "export class Ctx { text() {} }\nexport interface On {\n  // one\n"
        "  <P extends string>(path: P): void\n\n"
        "  // two\n  <P extends string>(\n    path: P, handler: (c: Ctx) => void\n  ): void\n}",
        "a.ts": "import type { On } from './t'\nfunction f(on: On) { on('/', (c) => c.text()) }",
    }
    assert resolve(files, "a.ts")["text"] == typed("t.ts:Ctx.text")


def test_methods_of_an_object_literal():
    files = {
        "m.ts": "export const api = { users: { list() {} }, get: () => 1 }",
        "a.ts": "import { api } from './m'\napi.users.list(); api.get()",
    }
    assert resolve(files, "a.ts") == {"list": typed("m.ts:api.users.list"), "get": typed("m.ts:api.get")}


def test_methods_of_what_a_factory_returns():
    files = {"a.js": "function make() { return { go() {} } }\nmake().go()"}
    assert resolve(files, "a.js")["go"] == typed("a.js:make.go")


def test_prototype_and_assigned_members():
    files = {
        "a.js": "function A() { this.b = new B() }\nA.prototype.m = function () { this.n() }\n"
        "A.prototype.n = function () {}\nclass B { k() {} }\nnew A().m()"
    }
    found = resolve(files, "a.js")
    assert found["n"] == typed("a.js:A.n")
    assert found["m"] == typed("a.js:A.m")


def test_namespace_and_enumeration():
    files = {"a.ts": "namespace N { export function f() {} }\nenum E { A }\nN.f(); E.A.toFixed()"}
    assert resolve(files, "a.ts") == {"f": typed("a.ts:N.f")}


def test_overloads_are_one_symbol_at_the_implementation():
    language = load_language("typescript")
    facts = language.extract(
        ".ts", b"function f(a: string): void\nfunction f(a: number): void\nfunction f(a: any) {}\nf(1)"
    )
    assert [(one.name, one.line) for one in facts.symbols] == [("f", 3)]


def test_interface_gets_its_members_from_all_its_bases():
    files = {
        "a.ts": "interface A { m(): void }\ninterface B { n(): void }\ninterface C extends A, B {}\n"
        "function f(c: C) { c.m(); c?.n() }"
    }
    assert resolve(files, "a.ts") == {"m": typed("a.ts:A.m"), "n": typed("a.ts:B.n")}


def test_local_shadows_an_import():
    files = {"m.ts": "export function f() {}", "a.ts": "import { f } from './m'\nfunction g(f: () => void) { f() }"}
    assert resolve(files, "a.ts") == {}


def test_component_is_used():
    files = {
        "m.tsx": "export function Comp() { return <div/> }",
        "a.tsx": "import { Comp } from './m'\nconst x = <Comp a={1}/>",
    }
    assert resolve(files, "a.tsx", EdgeKind.USE)["Comp"] == exact("m.tsx:Comp")


def test_function_passed_on_is_used():
    files = {"a.ts": "function f() {}\nsetTimeout(f, 1)"}
    assert resolve(files, "a.ts", EdgeKind.USE) == {"f": exact("a.ts:f")}


def test_decorator_and_annotation_are_uses():
    files = {"a.ts": "function dec(x: any) {}\ninterface T {}\n@dec\nclass A { f(x: T) {} }"}
    assert resolve(files, "a.ts", EdgeKind.USE) == {"dec": exact("a.ts:dec"), "T": exact("a.ts:T")}


def test_bases_are_inherited():
    files = {
        "m.ts": "export class A {}\nexport interface I {}",
        "a.ts": "import { A, I } from './m'\nclass B extends A implements I {}",
    }
    assert resolve(files, "a.ts", EdgeKind.INHERIT) == {"A": exact("m.ts:A"), "I": exact("m.ts:I")}


def test_imports_lead_to_symbols_and_files():
    files = {
        "m.ts": "export class A {}",
        "n.ts": "",
        "a.ts": "import { A } from './m'\nimport './n'\nimport * as m from './m'",
    }
    language = load_language("typescript")
    facts = {one: language.extract(suffix_of(one), text.encode()) for one, text in files.items()}
    edges = language.resolve(SourceFile("a.ts", "a.ts", facts["a.ts"]), make_world(facts, language))
    assert [(one.line, one.target_path, one.target_at) for one in edges] == [
        (1, "m.ts", 0),
        (2, "n.ts", FILE),
        (3, "m.ts", FILE),
    ]


def test_only_method_of_its_name_is_found_by_name():
    files = {"m.ts": "class A { veryRare() {} }", "a.ts": "function f(x) { x.veryRare() }"}
    assert resolve(files, "a.ts") == {"veryRare": {("m.ts:A.veryRare", Tier.UNIQUE_NAME)}}


def test_several_methods_of_one_name_are_ambiguous():
    files = {"m.ts": "class A { run2() {} }\nclass B { run2() {} }", "a.ts": "function f(x) { x.run2() }"}
    assert {tier for _target, tier in resolve(files, "a.ts")["run2"]} == {Tier.AMBIGUOUS}


def test_common_methods_of_unknown_receivers_are_never_unique():
    files = {"m.ts": "class A { push() {} }", "a.ts": "function f(x) { x.push(1) }"}
    assert resolve(files, "a.ts") == {"push": {("m.ts:A.push", Tier.AMBIGUOUS)}}


def test_methods_of_literals_and_globals_give_nothing():
    files = {
        "m.ts": "class A { unusual() {} }",
        "a.ts": "'x'.unusual(); console.unusual(); Math.unusual(1); (1 + 2).unusual()",
    }
    assert resolve(files, "a.ts") == {}


def test_recursive_types_end():
    files = {
        "a.ts": "type T<A> = A extends string ? T<T<A>> | T<A[]> : { x: T<T<A>> } | T<A>\n"
        "function f(t: T<T<string>>) { t.x.y.z() }"
    }
    assert resolve(files, "a.ts") == {}
