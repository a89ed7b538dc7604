"""What files declare for all others, and what names alone say; one test a rule."""

from services.vector_ops.languages.catalogue import load_language
from services.vector_ops.languages.world import Tier
from tests.unit.vector_ops.languages.test_typescript_declarations import exact, resolve, typed

_GLOBALS = """import './other'
class Box<T> { open(): T {} }
declare global {
  interface Shelf<T> extends Box<T> {}
  interface ShelfMaker {
    new <T>(init: (shelf: Shelf<T>) => void): Shelf<T>
    from<T>(value: T): Shelf<T>
  }
  var Shelf: ShelfMaker
  function stock(): Shelf<string>
}
"""


def test_global_function_of_another_file_is_called():
    files = {"g.ts": _GLOBALS, "m.ts": "stock().open()"}
    assert resolve(files, "m.ts") == {"stock": exact("g.ts:10"), "open": typed("g.ts:2")}


def test_global_value_and_type_of_one_name_are_told_apart():
    files = {"g.ts": _GLOBALS, "m.ts": "export {}\nShelf.from(1).open()\nfunction f(s: Shelf<number>) { s.open() }"}
    assert resolve(files, "m.ts") == {"from": typed("g.ts:7"), "open": typed("g.ts:2")}


def test_callback_of_a_global_constructor_takes_what_is_declared():
    files = {"g.ts": _GLOBALS, "m.ts": "new Shelf((shelf) => { shelf.open() })"}
    assert resolve(files, "m.ts")["open"] == typed("g.ts:2")


def test_class_that_extends_a_held_global_inherits_from_it():
    files = {
        "g.ts": _GLOBALS,
        "m.ts": "const Base = Shelf\n"
        "class Mine<T> extends Base<T> { f() { this.open(); new Base<T>(() => {}).open() } }",
    }
    assert resolve(files, "m.ts")["open"] == typed("g.ts:2")


def test_global_name_hides_no_name_of_the_file_that_declares_it():
    files = {"m.ts": "class A { own() {} }\ndeclare global { interface A { shared(): void } }\nnew A().own()"}
    assert resolve(files, "m.ts") == {"A": exact("m.ts:1"), "own": typed("m.ts:1")}


def test_global_interfaces_of_several_files_are_merged():
    files = {
        "a.ts": "declare global { interface Shared { one(): void } }",
        "b.ts": "declare global { interface Shared { two(): void } }",
        "m.ts": "function f(s: Shared) { s.one(); s.two() }",
    }
    assert resolve(files, "m.ts") == {"one": typed("a.ts:1"), "two": typed("b.ts:1")}


def test_declaration_file_without_imports_declares_for_all():
    files = {"env.d.ts": "declare function boot(): void\ninterface Env { start(): void }", "m.ts": "boot()"}
    assert resolve(files, "m.ts") == {"boot": exact("env.d.ts:1")}


def test_declaration_file_that_exports_declares_for_none():
    files = {"env.d.ts": "export declare function boot(): void", "m.ts": "boot()"}
    assert resolve(files, "m.ts") == {}


def test_interface_with_symbols_as_keys_alone_is_no_global():
    language = load_language("typescript")
    facts = language.extract(".ts", b"declare global { interface A { [key]: () => void }\ninterface B { b(): void } }")
    assert language.tails_of("m.ts", facts) == ("global:B",)


def test_awaited_call_with_type_arguments_is_a_call():
    files = {
        "m.ts": "class A { rest() {} }\nasync function make<T>(): Promise<A> {}\n"
        "async function f() { const a = await make<string>(); a.rest() }"
    }
    assert resolve(files, "m.ts") == {"make": exact("m.ts:2"), "rest": typed("m.ts:1")}


def test_using_declares_a_variable():
    files = {
        "m.ts": "class A { rest() {} }\nasync function f() { await using a = new A(); using b = new A(); b.rest() }"
    }
    assert resolve(files, "m.ts")["rest"] == typed("m.ts:1")


def _list_common(count):
    return {f"c{at:02}.ts": f"export class C{at} {{ go() {{}} }}" for at in range(count)}


def test_common_name_is_guessed_among_imported_types_alone():
    files = {**_list_common(30), "m.ts": "import { C3 } from './c03'\nfunction f(x: any) { x.go() }"}
    assert resolve(files, "m.ts") == {"go": {("c03.ts:1", Tier.AMBIGUOUS)}}


def test_name_of_the_receiver_hints_at_its_type():
    files = {**_list_common(30), "m.ts": "function f(x: any) { x.c7.go() }"}
    assert resolve(files, "m.ts") == {"go": {("c07.ts:1", Tier.AMBIGUOUS)}}


def test_member_that_a_known_type_lacks_is_only_guessed():
    files = {"a.ts": "class A { rare() {} }", "m.ts": "class B {}\nfunction f(b: B) { b.rare() }"}
    assert resolve(files, "m.ts") == {"rare": {("a.ts:1", Tier.AMBIGUOUS)}}


def test_member_of_a_foreign_module_is_not_guessed():
    files = {"a.ts": "class A { rare() {} }", "m.ts": "import fs from 'fs'\nfs.rare()\nconsole.rare()"}
    assert resolve(files, "m.ts") == {}


def test_member_under_a_symbol_is_found_across_global_declarations():
    files = {
        "g.ts": _GLOBALS,
        "k.ts": "export const twice = Symbol()\ndeclare global { interface Shelf<T> { [twice](): Shelf<T> } }",
        "m.ts": "import { twice } from './k'\nfunction f(s: Shelf<number>) { s[twice]().open() }",
    }
    assert resolve(files, "m.ts") == {"open": typed("g.ts:2")}


def test_static_member_is_inherited_from_what_a_variable_holds():
    files = {"g.ts": _GLOBALS, "m.ts": "const Base = Shelf\nclass Mine<T> extends Base<T> {}\nMine.from(1).open()"}
    assert resolve(files, "m.ts") == {"from": typed("g.ts:7"), "open": typed("g.ts:2")}
