import pytest

from services.vector_ops.retrieval.question import Route
from services.vector_ops.retrieval.search import Searcher
from tests.unit.vector_ops.history.past_of import make_past
from tests.unit.vector_ops.retrieval.library import MemoryView

FILES = {
    "shop/cart.py": '''
class Cart:
    """The items a customer wants to buy."""

    def add_item(self, item):
        self.items.append(item)
        self.total += item.price

    def empty_basket(self):
        """Throw away everything."""
        self.items.clear()
''',
    "shop/mail/receipt.py": '''
def send_receipt(user, order):
    """Mail the customer what was bought."""
    body = render_template("receipt", order)
    connect_server().send(user.email, body)

def connect_server():
    return Smtp("localhost")
''',
    "shop/storage.py": """
def remove_directory(path):
    for entry in scan(path):
        unlink(entry)

def scan(path):
    return listing(path)
""",
    "tests/test_cart.py": """
def test_add_item_raises_total():
    cart = Cart()
    cart.add_item(Item(price=3))
    assert cart.total == 3
""",
    "docs/cart.md": "# Cart\n\nadd_item adds an item to the Cart and raises its total.\n",
}


@pytest.fixture
def view():
    return MemoryView(FILES)


def ask(view, text, **options):
    return Searcher().search(view, text, **options)


def files(ranking):
    return [place.path for place in ranking.files]


def functions(ranking):
    return [place.symbol.qualname for place in ranking.functions]


def test_a_name_leads_to_its_definition(view):
    ranking = ask(view, "add_item")
    assert ranking.route is Route.NAME
    assert functions(ranking)[0] == "Cart.add_item"
    assert files(ranking)[0] == "shop/cart.py"


@pytest.mark.parametrize("text", ["Cart.add_item", "shop.cart.Cart.add_item", "Cart::add_item", "add_item()"])
def test_a_qualified_name_leads_to_the_one_that_fits(view, text):
    assert functions(ask(view, text))[0] == "Cart.add_item"


def test_a_name_in_other_case_still_leads_there(view):
    assert functions(ask(view, "ADD_ITEM"))[0] == "Cart.add_item"


def test_a_phrase_finds_the_function_that_does_it(view):
    ranking = ask(view, "mail the customer what was bought")
    assert ranking.route is Route.PHRASE
    assert functions(ranking)[0] == "send_receipt"


def test_code_comes_before_tests_and_documentation(view):
    found = files(ask(view, "the total of the cart is wrong after add_item was called twice\nsee below"))
    assert found.index("shop/cart.py") < found.index("tests/test_cart.py")
    assert found.index("shop/cart.py") < found.index("docs/cart.md")


def test_a_question_for_tests_gets_tests(view):
    assert files(ask(view, "which tests cover the total of a cart after an item is added"))[0] == "tests/test_cart.py"


def test_a_stack_trace_points_to_its_innermost_frame(view):
    text = """Shop crashes on delete
Traceback (most recent call last):
  File "/srv/app/shop/cart.py", line 6, in add_item
  File "/srv/app/shop/storage.py", line 3, in remove_directory
FileNotFoundError: gone
"""
    ranking = ask(view, text)
    assert ranking.route is Route.ISSUE
    assert files(ranking)[0] == "shop/storage.py"
    assert functions(ranking)[0] == "remove_directory"


def test_a_quoted_path_and_a_dotted_module_count(view):
    assert files(ask(view, "something is off\nin `storage.py` I think"))[0] == "shop/storage.py"
    assert files(ask(view, "something is off\nin shop.mail.receipt I think"))[0] == "shop/mail/receipt.py"


def test_parts_add_up_to_the_score(view):
    for place in (
        *ask(view, "remove a directory from storage").files,
        *ask(view, "remove_directory fails\n!").functions,
    ):
        assert sum(place.parts.values()) == pytest.approx(place.score, abs=1e-3)


ISSUE = "Total of the cart is wrong\nafter add_item was called and the receipt was mailed to the customer"


def test_one_list_keeps_the_order_of_files_and_of_functions(view):
    ranking = ask(view, ISSUE)
    paths = list(dict.fromkeys(place.path for place in ranking.places))
    assert paths == files(ranking)[: len(paths)]
    listed = [place.symbol.qualname for place in ranking.places if place.symbol.kind != "file"]
    assert listed == [name for name in functions(ranking) if name in listed]


def test_a_function_gets_as_much_of_its_files_score_as_its_words_earned(view):
    ranking = ask(view, ISSUE)
    parts = [place.parts for place in ranking.functions if place.path == ranking.files[0].path]
    shares = [one.get("file_share", 0.0) / one["file"] for one in parts]
    words = [one.get("words", 0.0) for one in parts]
    assert len(set(words)) > 1
    assert [share / max(shares) for share in shares] == pytest.approx([word / max(words) for word in words], abs=1e-3)


WRAPPED = '''
def retry(action, delay):
    def attempt(*arguments):
        """Try until the server listens."""
        while True:
            wait(delay)
            action(*arguments)
    def tiny():
        pass
    return attempt
'''


def test_a_nested_function_of_some_lines_answers_after_the_one_around_it():
    ranking = ask(MemoryView({**FILES, "shop/retry.py": WRAPPED}), "Hangs\nwhile it tries until the server listens")
    assert functions(ranking)[:2] == ["retry", "retry.attempt"]
    assert "retry.tiny" not in functions(ranking)
    around, within = ranking.functions[:2]
    assert (within.line, within.end_line) == (3, 7)
    assert 0 < within.score < around.score


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 50])
@pytest.mark.parametrize("text", [ISSUE, "mail the customer what was bought", "add_item"])
def test_one_list_is_as_long_as_wanted(view, text, limit):
    places = ask(view, text, limit=limit).places
    assert 0 < len(places) <= limit
    assert len({(place.path, place.line, place.symbol.id) for place in places}) == len(places)


def test_a_phrase_lists_functions_before_files(view):
    kinds = [place.symbol.kind == "file" for place in ask(view, "the total of the cart in the documentation").places]
    assert kinds == sorted(kinds)


def test_places_carry_lines_of_the_definition(view):
    place = ask(view, "throw away everything").functions[0]
    assert (place.path, place.line, place.end_line) == ("shop/cart.py", 9, 11)


def test_the_limit_caps_both_lists(view):
    ranking = ask(view, "item total cart path customer order", limit=2)
    assert len(ranking.files) == len(ranking.functions) == 2


def test_words_of_past_commits_lead_to_what_they_touched(view):
    words = "flaky gremlin"
    past = make_past((words, ["shop/storage.py"]))
    assert files(ask(view, f"there is a {words} somewhere\nagain", past=past))[0] == "shop/storage.py"


class OneVector:
    """A dense ranking that knows one chunk."""

    def __init__(self, hit):
        self.hit = hit

    def rank_chunks(self, view, text, count):
        return [self.hit]


def test_vectors_decide_where_words_are_silent(view):
    dense = OneVector(("shop/storage.py", 2, 5, 0.9))
    assert functions(ask(view, "get rid of a folder", dense=dense))[0] == "remove_directory"


def test_a_vector_for_lines_that_moved_is_left_out(view):
    dense = OneVector(("shop/storage.py", 77, 99, 0.9))
    assert "dense" not in {name for place in ask(view, "scan a path", dense=dense).files for name in place.parts}


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "\0",
        ".*[",
        "((((",
        "the of and",
        "日本語",
        "a" * 20_000,
        "a/" * 10_000,
        "\ud800",
        "x " * 30_000,
        "```",
        "::",
    ],
)
def test_any_text_is_answered(view, text):
    ranking = ask(view, text)
    assert len(ranking.files) <= 50


def test_an_empty_index_answers_nothing():
    ranking = ask(MemoryView({}), "anything at all")
    assert ranking.files == ()
    assert ranking.functions == ()


def test_the_answer_does_not_depend_on_how_the_arrays_came_to_be(view):
    moved = {
        **FILES,
        "shop/storage.py": FILES["shop/storage.py"].replace("scan", "walk"),
        "new.py": "def scan(): pass\n",
    }
    del moved["docs/cart.md"]
    questions = ["scan a path", "add_item", "The total is wrong\nafter `add_item` in cart.py", "walk"]
    stepwise = Searcher()
    for files_then in (FILES, moved, FILES, moved):
        current = MemoryView(files_then)
        for text in questions:
            assert stepwise.search(current, text) == ask(MemoryView(files_then), text)


class TwoVectors(OneVector):
    """A dense ranking that knows two chunks, one of them hardly alike."""

    def rank_chunks(self, view, text, count):
        return [self.hit, ("shop/mail/receipt.py", 2, 5, self.hit[-1] * 0.5)]


def test_vectors_far_behind_the_nearest_count_nothing(view):
    ranking = ask(view, "get rid of a folder", dense=TwoVectors(("shop/storage.py", 2, 5, 0.9)))
    assert functions(ranking)[0] == "remove_directory"
    assert "send_receipt" not in functions(ranking)
