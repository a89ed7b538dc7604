"""What Go's rules say about where a name leads; sources are small, and edges read `from -> to`."""

import textwrap

import pytest

from services.vector_ops.languages.facts import FILE
from services.vector_ops.languages.go.language import LANGUAGE
from services.vector_ops.languages.memory import make_world
from services.vector_ops.languages.world import EdgeKind, SourceFile, Tier

MODULE = {"go.mod": "module example.org/shop\n\ngo 1.22\n"}


def resolve(files, path, kind=EdgeKind.CALL, *, is_constructing=True):
    """Return `source -> target` with its tier for each edge of `path` of one kind; calls may leave out `T{}`."""
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
        and (is_constructing or facts[one.target_path].symbols[one.target_at].kind in {"function", "method"})
    }


def calls(body, declarations="", *, is_constructing=False):
    """Return the calls of a function `run` with this body, in a package with these declarations."""
    source = f"package shop\n{declarations}\nfunc run(input Order) {{\n{textwrap.dedent(body)}\n}}\n"
    types = """
        package shop
        type Order struct { Line *Line; Lines []Line; ByName map[string]*Line; Pay Payer; Find func() (*Line, error) }
        type Line struct { Order *Order }
        type Payer interface { Pay() error }
        func (l *Line) Price() int { return 0 }
        func (o Order) First() *Line { return nil }
        func (o *Order) Both() (*Line, Payer) { return nil, nil }
        func NewOrder() *Order { return nil }
    """
    found = resolve({"run.go": source, "types.go": types}, "run.go", is_constructing=is_constructing)
    return {edge.removeprefix("run -> ") for edge, tier in found if edge.startswith("run -> ") and tier <= Tier.TYPED}


@pytest.mark.parametrize(
    "body",
    [
        "input.Line.Price()",
        "input.Lines[0].Price()",
        "input.Lines[1:][0].Price()",
        'input.ByName["a"].Price()',
        "for _, one := range input.Lines { one.Price() }",
        "for _, one := range input.ByName { one.Price() }",
        'one, ok := input.ByName["a"]; _ = ok; one.Price()',
        "(&Line{}).Price()",
        "one := Line{}; one.Price()",
        "one := &Line{}; one.Price()",
        "one := new(Line); one.Price()",
        "all := make([]*Line, 3); all[0].Price()",
        "all := append([]Line{}, Line{}); all[0].Price()",
        "all := [...]Line{{}}; all[0].Price()",
        "var one Line; one.Price()",
        "var one, two = 1, Line{}; _ = one; two.Price()",
        "(*Line)(nil).Price()",
        "one := input; one.Line.Price()",
        "func(one *Line) { one.Price() }(nil)",
        "make := func() *Line { return nil }; make().Price()",
        "queue := make(chan *Line); one := <-queue; one.Price()",
        "queue := make(chan *Line); for one := range queue { one.Price() }",
        "queue := make(chan *Line); select { case one := <-queue: one.Price() }",
        "var any interface{}; any.(*Line).Price()",
        "var any interface{}; if one, ok := any.(*Line); ok { one.Price() }",
        "var any interface{}; switch one := any.(type) { case *Line: one.Price() }",
        "var any interface{}; switch any := any.(type) { case nil: default: _ = any; case *Line: any.Price() }",
        "rows := []struct{ one *Line }{}; for _, row := range rows { row.one.Price() }",
        "type pair struct { *Line }; one := pair{}; one.Price()",
        "one, err := input.Find(); _ = err; one.Price()",
        "Line.Price(Line{})",
        "(*Line).Price(nil)",
        "if one := input.Line; one != nil { one.Price() }",
        "defer input.Line.Price()",
        "go input.Line.Order.Line.Order.Line.Price()",
        "go func() { input.Line.Price() }()",
    ],
)
def test_a_method_is_found_by_the_type_of_its_receiver(body):
    assert "Line.Price" in calls(body)


def test_results_of_calls_carry_their_types():
    assert calls("a, b := NewOrder().Both(); a.Price(); b.Pay()") == {
        "NewOrder",
        "Order.Both",
        "Line.Price",
        "Payer.Pay",
    }


def test_a_call_on_an_interface_leads_to_its_declaration():
    assert calls("input.Pay.Pay()") == {"Payer.Pay"}


def test_an_inner_variable_hides_an_outer_one_until_its_block_ends():
    body = "one := Other{}; { one := Line{}; one.Price() }; one.Price()"
    assert calls(body, "type Other struct{}\nfunc (Other) Price() {}") == {"Line.Price", "Other.Price"}
    body = "one := Other{}; if one := (Line{}); true { one.Price() }"
    assert calls(body, "type Other struct{}\nfunc (Other) Price() {}") == {"Line.Price"}


def test_a_variable_is_bound_only_after_its_own_right_side():
    declarations = "type Other struct{}\nfunc (Other) Next() Line { return Line{} }"
    assert calls("one := Other{}; { one := one.Next(); one.Price() }", declarations) == {"Other.Next", "Line.Price"}


def test_a_local_variable_hides_a_function_of_the_package():
    assert calls("NewOrder := 3; NewOrder()") == set()


def test_a_call_through_a_variable_or_field_is_no_call_of_a_symbol():
    assert calls("input.Find()") == set()
    assert calls("hook()", "var hook = func() {}") == set()


def test_a_conversion_is_no_call():
    assert calls("_ = Kind(3)", "type Kind int") == set()


def test_methods_are_promoted_through_embedded_types():
    declarations = """
        type Base struct { Payer }
        func (b *Base) Start() {}
        type Middle struct { *Base }
        type Top struct { Middle; name string }
    """
    assert calls("t := Top{}; t.Start(); t.Pay()", textwrap.dedent(declarations)) == {"Base.Start", "Payer.Pay"}


def test_the_shallowest_promoted_method_wins():
    declarations = """
        type Deep struct{}
        func (Deep) Go() {}
        type Mid struct{ Deep }
        type Near struct{}
        func (Near) Go() {}
        type Top struct { Mid; Near }
    """
    assert calls("Top{}.Go()", textwrap.dedent(declarations)) == {"Near.Go"}


def test_methods_of_embedded_interfaces_are_found():
    declarations = "type Closer interface { Close() }\ntype File interface { Closer; Read() }"
    assert calls("var f File; f.Close(); f.Read()", declarations) == {"Closer.Close", "File.Read"}


def test_defined_types_and_aliases_lead_to_what_they_stand_for():
    declarations = """
        type Same = Line
        type Lines []*Line
        func (l Lines) Sum() {}
        type Maker func() *Line
    """
    body = "var a Same; a.Price(); var b Lines; b.Sum(); b[0].Price(); var c Maker; c().Order.First()"
    assert calls(body, textwrap.dedent(declarations)) == {"Line.Price", "Lines.Sum", "Order.First"}


def test_type_arguments_are_followed_through_fields_methods_and_functions():
    declarations = """
        type Box[T any] struct { inner T; rest []T }
        func (b *Box[T]) Get() T { return b.inner }
        func (b *Box[E]) All() []E { return b.rest }
        func Wrap[T any](value T) *Box[T] { return nil }
        type Pair[K comparable, V any] struct { Key K; Value V }
    """
    body = """
        b := Box[*Line]{}
        b.Get().Price()
        b.All()[0].Order.First()
        Wrap[Payer](nil).Get().Pay()
        p := Pair[string, Order]{}
        p.Value.Both()
        p.Key.Price()
    """
    assert calls(body, textwrap.dedent(declarations)) == {
        "Box.Get",
        "Box.All",
        "Wrap",
        "Line.Price",
        "Order.First",
        "Order.Both",
        "Payer.Pay",
    }


def test_a_type_parameter_has_the_methods_of_its_constraint():
    tail = "func pay[P Payer](one P) { one.Pay() }"
    found = resolve({"run.go": f"package shop\ntype Payer interface {{ Pay() }}\n{tail}"}, "run.go")
    assert found == {("pay -> Payer.Pay", Tier.TYPED)}


def test_the_constraint_of_a_type_holds_in_its_methods():
    source = """
        package shop
        type Keyed interface { Key() string }
        type Set[K Keyed] map[string]K
        func (s Set[E]) Has(one E) { one.Key() }
        func run(s Set[Mine]) { for _, one := range s { one.Key() } }
        type Mine struct{}
        func (Mine) Key() string { return "" }
    """
    found = resolve({"run.go": source}, "run.go")
    assert found == {("Set.Has -> Keyed.Key", Tier.TYPED), ("run -> Mine.Key", Tier.TYPED)}


def test_methods_on_an_alias_belong_to_its_type():
    declarations = "type Row = Line\nfunc (r Row) Cost() {}\ntype Wide struct { Row }"
    body = "input.Line.Cost(); var r Row; r.Price(); Wide{}.Cost()"
    assert calls(body, declarations) == {"Line.Cost", "Line.Price"}


def test_standard_generics_hand_on_the_types_they_are_given():
    imports = 'import ("iter"; "slices"; "sync"; "sync/atomic")\n'
    body = """
        slices.Clone(input.Lines)[0].Price()
        sync.OnceValue(func() *Order { return nil })().First()
        var seq iter.Seq[*Order]
        for one := range seq { one.Both() }
        var at atomic.Pointer[Order]
        at.Load().Pay.Pay()
    """
    assert calls(body, imports) == {"Line.Price", "Order.First", "Order.Both", "Payer.Pay"}


def test_a_range_over_a_function_yields_what_the_function_hands_to_its_loop():
    declarations = (
        "func (o Order) All() func(func(*Line) bool) { return nil }\ntype Each func(yield func(int, *Line) bool)"
    )
    assert "Line.Price" in calls("var each Each; for _, one := range each { one.Price() }", declarations)
    assert "Line.Price" in calls("for one := range input.All() { one.Price() }", declarations)


def test_variables_and_constants_of_the_package_have_types():
    declarations = """
        var whole = NewOrder()
        var first, second = whole.Both()
        var table = []struct{ line *Line; more struct{ order Order } }{}
        type Kind int
        const ( KindA Kind = iota; KindB )
        func (k Kind) Name() {}
    """
    body = (
        "whole.First(); first.Price(); second.Pay(); table[0].line.Price(); table[0].more.order.First(); KindB.Name()"
    )
    assert calls(body, textwrap.dedent(declarations)) == {"Order.First", "Line.Price", "Payer.Pay", "Kind.Name"}


def test_fields_of_anonymous_structs_inside_a_type_are_known():
    declarations = "type Cases map[string]struct{ line Line }"
    assert calls("all := Cases{}; for _, one := range all { one.line.Price() }", declarations) == {"Line.Price"}


def test_calls_in_the_value_of_a_variable_belong_to_the_variable():
    found = resolve({"run.go": "package shop\nvar all = collect()\nfunc collect() int { return 1 }"}, "run.go")
    assert found == {("all -> collect", Tier.EXACT)}


@pytest.mark.parametrize(
    "body",
    [
        'http.Get("a").Price()',
        "var request *http.Request; request.URL.Price()",
        "other.New().Price()",
        "var client other.Client; client.Price()",
        "type mine struct { *http.Server }; mine{}.Price()",
        "var err error; err.Price()",
        "missing.Thing().Price()",
        "undefined().Price()",
        "all := []int{}; all[0].Price()",
        "strings.NewReader(string(input.Line)).Price()",
    ],
)
def test_what_lies_outside_gets_no_answer_by_name_alone(body):
    imports = 'import ("net/http"; "strings"; "github.com/else/other")\n'
    source = f"package shop\n{imports}\nfunc run(input Order) {{ {body} }}"
    types = "package shop\ntype Order struct { Line *Line }\ntype Line struct{}\nfunc (l *Line) Price() {}"
    assert resolve({"run.go": source, "types.go": types}, "run.go") == set()


def test_an_unknown_receiver_is_guessed_by_the_only_method_of_that_name():
    source = "package shop\nfunc run[T any](one T) { pick(one).Odd() }\nfunc pick[T any](one T) T { return one }\n"
    method = "type A struct{}\nfunc (A) Odd() {}"
    assert ("run -> A.Odd", Tier.UNIQUE_NAME) in resolve({"run.go": source + method}, "run.go")


@pytest.mark.parametrize(
    "code",
    [
        "func run(one any) { one.(interface{ Odd() }).Odd() }",
        "func run(one interface{ Odd() }) { one.Odd() }",
        "func run(one any) { if two, ok := one.(interface{ Odd() }); ok { two.Odd() } }",
        "func run(one any) { switch two := one.(type) { case interface{ Odd() }: two.Odd() } }",
        "func run[T interface{ Odd() }](one T) { one.Odd() }",
        "type S struct { one interface{ Odd() } }\nfunc run(s S) { s.one.Odd() }",
    ],
)
def test_a_call_on_an_anonymous_interface_leads_to_its_declaration(code):
    found = resolve({"run.go": f"package shop\ntype A struct{{}}\nfunc (A) Odd() {{}}\n{code}"}, "run.go")
    (edge,) = {(target, tier) for target, tier in found if target.endswith(".Odd")}
    assert "interface" in edge[0]
    assert edge[1] == Tier.TYPED


def test_what_an_anonymous_interface_declares_goes_on():
    code = "func run(one interface{ Get() A }) { one.Get().Odd() }\ntype A struct{}\nfunc (A) Odd() {}"
    assert ("run -> A.Odd", Tier.TYPED) in resolve({"run.go": f"package shop\n{code}"}, "run.go")


def test_of_several_methods_the_nearest_few_are_ambiguous():
    many = {f"p{at}/p.go": f"package p{at}\ntype A struct{{}}\nfunc (A) Odd() {{}}" for at in range(8)}
    source = "package shop\nfunc run[T any](one T) { pick(one).Odd() }\nfunc pick[T any](one T) T { return one }\n"
    source += "type B struct{}\nfunc (B) Odd() {}"
    facts = {name: LANGUAGE.extract(".go", text.encode()) for name, text in (many | {"run.go": source}).items()}
    world = make_world(facts, LANGUAGE)
    found = LANGUAGE.resolve(SourceFile("run.go", "#shop", facts["run.go"]), world)
    edges = [one for one in found if one.kind == EdgeKind.CALL and one.tier == Tier.AMBIGUOUS]
    assert len(edges) == 5
    assert "run.go" in {one.target_path for one in edges}


def test_a_composite_literal_constructs_its_type():
    assert calls("_ = []any{&Line{}, Order{}}", is_constructing=True) == {"Line", "Order"}


@pytest.mark.parametrize(
    "source",
    [
        "package shop\ntype A struct { A }\nfunc run(a A) { a.Miss(); a.A.A.Miss() }",
        "package shop\ntype A B\ntype B A\nfunc run(a A) { a.Miss() }",
        "package shop\ntype A = A\nfunc run(a A) { a.Miss() }",
        "package shop\nvar a = b\nvar b = a\nfunc run() { a.Miss() }",
        "package shop\ntype I interface { J }\ntype J interface { I }\nfunc run(i I) { i.Miss() }",
        "package shop\nfunc a() T { return a() }\nfunc run() { a().b().c().Miss() }",
        "package shop\ntype G[T any] struct { G[G[T]] }\nfunc run(g G[int]) { g.Miss() }",
    ],
)
def test_circular_declarations_end(source):
    found = resolve({"run.go": source}, "run.go")
    assert all("Miss" not in edge for edge, _tier in found)


def test_a_long_chain_of_variables_ends():
    chain = "\n".join(f"var v{at} = v{at + 1}" for at in range(3000))
    source = (
        f"package shop\n{chain}\nvar v3000 = T{{}}\ntype T struct{{}}\nfunc (T) Do() {{}}\nfunc run() {{ v0.Do() }}"
    )
    assert all(tier >= Tier.UNIQUE_NAME for edge, tier in resolve({"run.go": source}, "run.go") if "Do" in edge)


def test_a_syntax_error_does_not_hide_the_rest():
    source = "package shop\nfunc bad() { x := [ }\nfunc help() {}\nfunc run() { help() }\n"
    assert ("run -> help", Tier.EXACT) in resolve({"run.go": source}, "run.go")


def test_edges_come_in_order_and_once():
    source = "package shop\nfunc a() {}\nfunc run() { a(); a()\n a() }"
    facts = LANGUAGE.extract(".go", source.encode())
    world = make_world({"run.go": facts}, LANGUAGE)
    edges = LANGUAGE.resolve(SourceFile("run.go", "#shop", facts), world)
    places = [(one.line, one.column) for one in edges]
    assert places == [(3, 14), (3, 19), (4, 2)]
