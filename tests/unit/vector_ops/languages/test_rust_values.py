"""What Rust's patterns and closures bind, each shown by a call that two types could answer."""

import pytest

from services.vector_ops.languages.memory import make_world
from services.vector_ops.languages.rust.handing import read_handed
from services.vector_ops.languages.rust.language import LANGUAGE
from services.vector_ops.languages.world import EdgeKind, SourceFile

TYPES = "struct Ant;\nimpl Ant { fn go(&self) {} }\nstruct Bee;\nimpl Bee { fn go(&self) {} }\n"


def list_goers(code):
    """Return `TYPE tier` of each call of `go` in code that stands below two types with such a method."""
    facts = LANGUAGE.extract(".rs", (TYPES + code).encode())
    edges = LANGUAGE.resolve(SourceFile("a.rs", "a.rs", facts), make_world({"a.rs": facts}, LANGUAGE))
    calls = [(facts.symbols[one.target_at], one.tier) for one in edges if one.kind == EdgeKind.CALL]
    return [f"{one.qualname.removesuffix('.go')} {tier.name.lower()}" for one, tier in calls if one.name == "go"]


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("fn f(p: (Ant, Bee)) { let (_, x) = p; x.go() }", ["Bee typed"]),
        ("fn f(p: Vec<(Ant, Bee)>) { for (_, x) in p { x.go() } }", ["Bee typed"]),
        ("fn f(p: (Ant, Bee)) { let (x, ..) = p; x.go() }", ["Ant typed"]),
        ("struct P(Ant, Bee);\nfn f(p: P) { let P(_, x) = p; x.go() }", ["Bee typed"]),
        ("enum E { V(Ant, Bee) }\nfn f(e: E) { match e { E::V(_, x) => x.go() } }", ["Bee typed"]),
        ("fn f(p: Option<(Ant, Bee)>) { p.map(|(_, x)| x.go()); }", ["Bee typed"]),
    ],
)
def test_blank_in_a_pattern_takes_a_place(code, found):
    assert list_goers(code) == found


def test_condition_binds_nothing_in_the_else():
    code = "fn f(x: Ant, y: Option<Bee>) { if let Some(x) = y { x.go() } else if true { x.go() } else { x.go() } }"
    assert list_goers(code) == ["Bee typed", "Ant typed", "Ant typed"]


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("fn with(f: impl FnOnce(&Bee)) {}\nfn f() { with(|x| x.go()) }", ["Bee typed"]),
        ("fn with<R, F>(f: F) -> R where F: FnOnce(&mut Bee) -> R {}\nfn f() { with(|x| x.go()) }", ["Bee typed"]),
        (
            "struct S;\nimpl S { fn each(&self, f: &dyn Fn(u8, &Bee)) {} }\nfn f(s: S) { s.each(|n, x| x.go()) }",
            ["Bee typed"],
        ),
        (
            "struct S<T>(T);\nimpl<T> S<T> { fn on(&self, f: impl Fn(&T)) {} }\nfn f(s: S<Bee>) { s.on(|x| x.go()) }",
            ["Bee typed"],
        ),
    ],
)
def test_closure_holds_what_the_signature_hands_to_it(code, found):
    assert list_goers(code) == found


@pytest.mark.parametrize(
    ("signature", "at", "text"),
    [
        ("fn a(f: impl Fn(&mut Ant, Vec<(Bee, C)>) -> D)", 0, "Ant"),
        ("fn a(f: impl Fn(&mut Ant, Vec<(Bee, C)>) -> D)", 1, "Vec<(Bee,C)>"),
        ("fn a(f: impl Fn(Ant))", 1, "_"),
        ("fn a(f: impl Fn(Ant), g: impl Fn(Bee))", 0, "_"),
        ("fn a<F>(f: F) where F: Fn(Ant", 0, "_"),
        ("fn a<T>(f: impl Fn(T))", 0, "_"),
        ("fn a(f: impl Fn(&Self))", 0, "_"),
        ("fn a(f: fn(Ant))", 0, "_"),
    ],
)
def test_signature_with_one_closure_says_what_is_handed_to_it(signature, at, text):
    assert read_handed(signature, "struct S<K, V>", at) == text


HOLDER = (
    "struct S { cell: RefCell<Ant>, lock: Mutex<Ant>, both: Arc<RwLock<Ant>>, plain: Cell<Ant>,"
    " all: Rc<RefCell<Vec<Ant>>>, map: Arc<Mutex<HashMap<Bee, Ant>>>, list: Vec<Ant>, option: Option<Ant> }\n"
)


@pytest.mark.parametrize(
    "code",
    [
        "s.cell.borrow().go()",
        "s.cell.borrow_mut().go()",
        "s.all.borrow()[0].go()",
        "s.all.borrow().iter().for_each(|x| x.go())",
        "s.plain.get().go()",
        "s.plain.take().go()",
        "s.lock.lock().go()",
        "s.lock.lock().unwrap().go()",
        "s.lock.lock().await.go()",
        "s.both.read().go()",
        "s.both.write().unwrap().go()",
        "s.map.lock().get(key).unwrap().go()",
        "s.map.lock().unwrap().get(key).unwrap().go()",
        "s.map.lock().unwrap().retain(|_, x| x.go())",
        "s.list.chunks(2).for_each(|x| x[0].go())",
        "Box::new(Ant).go()",
    ],
)
def test_what_cells_and_locks_hold_is_known_behind_their_guards(code):
    assert list_goers(f"{HOLDER}fn f(s: S) {{ {code} }}") == ["Ant typed"]


@pytest.mark.parametrize(
    "code",
    [
        "[Ant, Ant].iter().for_each(|x| x.go())",
        "vec![Ant][0].go()",
        "vec![Ant; 3].iter().for_each(|x| x.go())",
        "let mut v = Vec::new(); v.push(Ant); v[0].go()",
        "let mut v = VecDeque::with_capacity(1); v.push_back(Ant); for x in v { x.go() }",
    ],
)
def test_list_holds_what_is_written_or_put_into_it(code):
    assert list_goers(f"fn f() {{ {code} }}") == ["Ant typed"]


def test_condition_that_binds_gives_the_value_of_its_first_branch():
    code = "fn f(o: Option<Ant>) { let x = if let Some(y) = o { y } else { return }; x.go() }"
    assert list_goers(code) == ["Ant typed"]


def test_closure_that_takes_a_pair_apart_gives_back_its_part():
    code = "fn f(m: HashMap<Bee, Ant>) { m.iter().map(|(_, x)| x).next().unwrap().go() }"
    assert list_goers(code) == ["Ant typed"]


def test_impl_block_is_for_the_type_that_its_path_means():
    code = (
        "mod deep { pub struct Cat; }\nmod other { pub struct Cat; }\nuse deep::Cat;\n"
        "trait Go { fn go(&self); }\n"
        "impl Go for other::Cat { fn go(&self) {} }\nimpl Go for deep::Cat { fn go(&self) {} }\n"
        "fn f(c: Cat) { c.go() }"
    )
    facts = LANGUAGE.extract(".rs", code.encode())
    edges = LANGUAGE.resolve(SourceFile("src/lib.rs", "src/lib.rs", facts), make_world({"src/lib.rs": facts}, LANGUAGE))
    calls = [(facts.symbols[one.target_at].line, one.tier.name) for one in edges if one.kind == EdgeKind.CALL]
    assert calls == [(6, "TYPED")]


def test_method_of_a_trait_object_is_the_declared_one_behind_any_pointer():
    code = (
        "trait Run { fn run(&self); }\nimpl Run for Ant { fn run(&self) {} }\nimpl Run for u8 { fn run(&self) {} }\n"
        "fn f(r: Arc<dyn Run>) { r.run() }"
    )
    facts = LANGUAGE.extract(".rs", (TYPES + code).encode())
    edges = LANGUAGE.resolve(SourceFile("a.rs", "a.rs", facts), make_world({"a.rs": facts}, LANGUAGE))
    calls = [(facts.symbols[one.target_at].qualname, one.tier.name) for one in edges if one.kind == EdgeKind.CALL]
    assert calls == [("Run.run", "TYPED")]


def test_method_of_a_trait_that_is_given_self_is_that_of_its_type():
    code = (
        "impl fmt::Display for Ant { fn fmt(&self) {} }\n"
        "impl fmt::Debug for Ant { fn fmt(&self) { fmt::Display::fmt(self) } }\n"
        "struct P { a: Ant }\nimpl fmt::Debug for P { fn fmt(&self) { fmt::Debug::fmt(&self.a) } }\n"
        "trait Go { fn on(&self); }\nimpl Go for Ant { fn on(&self) {} }\nimpl Ant { fn f(&self) { Go::on(self) } }"
    )
    facts = LANGUAGE.extract(".rs", (TYPES + code).encode())
    edges = LANGUAGE.resolve(SourceFile("a.rs", "a.rs", facts), make_world({"a.rs": facts}, LANGUAGE))
    calls = [(facts.symbols[one.target_at].line, one.tier.name) for one in edges if one.kind == EdgeKind.CALL]
    assert calls == [(5, "TYPED"), (6, "TYPED"), (10, "TYPED")]
