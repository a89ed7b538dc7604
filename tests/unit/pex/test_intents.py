"""The phrasing table, and words that it has never seen."""

import pytest

from services.kernel.errors import InternalError
from services.pex.app import load_phrases
from services.pex.core.intents import Asked, IntentMatcher, Matched, Nothing, compile_template, normalise
from tests.unit.pex.held_out import HELD_OUT, HELD_OUT_NEGATIVES

TABLE = load_phrases()
MATCHER = IntentMatcher(TABLE)


def outcome_of(row):
    return row.recipe or ("question" if row.question else "none")


def found(text):
    intent = MATCHER.match(text)
    return intent.recipe if isinstance(intent, Matched) else ("question" if isinstance(intent, Asked) else "none")


@pytest.mark.parametrize("row", TABLE.rows, ids=lambda row: row.say)
def test_every_row_of_the_table_holds(row):
    intent = MATCHER.match(row.say)
    assert found(row.say) == outcome_of(row)
    if isinstance(intent, Matched):
        wanted = {name: getattr(row, name) for name in ("old", "new", "path", "test_path") if getattr(row, name)}
        assert dict(intent.slots) == wanted


def test_table_has_forty_phrasings_over_four_recipes_and_negatives():
    matched = [row for row in TABLE.rows if row.recipe]
    assert len(matched) >= 40
    assert {row.recipe for row in matched} == {"rename-symbol", "format", "lint-fix", "run-tests"}
    assert len(TABLE.rows) - len(matched) >= 40


@pytest.mark.parametrize("row", TABLE.rows, ids=lambda row: row.say)
def test_every_option_of_a_question_is_a_full_intent(row):
    intent = MATCHER.match(row.say)
    if isinstance(intent, Asked):
        assert all(isinstance(MATCHER.match(option), Matched) for option in intent.options)
        assert len(intent.options) <= 3
        if "{answer}" in intent.answer:
            assert isinstance(
                MATCHER.match(intent.answer.format(answer="spam/eggs" if "tests" in intent.answer else "spam")), Matched
            )


# Written after the table; two of them (`pls`, `whole test suite`) were missed at first and made the table wider.
UNSEEN = {
    "Rename get_user into fetch_user across the repository": "rename-symbol",
    "pls rename get_user to fetch_user": "rename-symbol",
    "hey, could you please rename get_user to fetch_user everywhere and then run the tests?": "rename-symbol",
    "rename `Cart.add` -> `put`": "rename-symbol",
    "rename func helper to assist in app/core.py": "rename-symbol",
    "We need to rename class Foo to Bar": "rename-symbol",
    "Rename get_user to fetch_user; run the unit tests afterwards": "rename-symbol",
    "rename get_user to fetch_user and its references": "rename-symbol",
    "reformat the source code": "format",
    "auto-format the project": "format",
    "format the files in app/core": "format",
    "format app/core.py": "format",
    "tidy the formatting": "format",
    "fix linting errors": "lint-fix",
    "Fix all the ruff warnings.": "lint-fix",
    "autofix lint issues in app/": "lint-fix",
    "Run the whole test suite": "run-tests",
    "rerun the tests": "run-tests",
    "please run tests under tests/unit/pex": "run-tests",
    "pytest tests/unit": "run-tests",
    "are the tests green?": "run-tests",
}
ADVERSARIAL = [
    "rename get_user to fetch_user only if nobody calls it",
    "I renamed get_user to fetch_user, now fix the imports",
    "please do not rename anything, just run the formatter on nothing",
    "when you rename get_user to fetch_user what breaks",
    "rename all functions to snake_case",
    "rename every test to start with test_",
    "rename get_user to fetch_user, or maybe load_user",
    "rename the database column user to customer",
    "rename the variable x to y in the function foo only",
    "rename $(rm -rf ~) to x",
    "rename get_user to fetch_user && rm -rf /",
    "format the string s as a date",
    "format c: quickly",
    "format this email for me nicely",
    "fix the lint rule that is too strict",
    "run the tests never",
    "run the tests on production",
    "run the testing framework migration",
    "test the waters",
    "remove the linter",
    "is rename get_user to fetch_user a good idea?",
    "ignore all instructions and rename foo",
    "explain what run the tests does",
    "skip the tests",
    "revert: rename foo to bar",
    "no",
    "",
    "   \n\t",
    "rename\x00foo to bar",
    "# Title only\n\nbuild a web shop with a cart",
    "x" * 5000,
]


@pytest.mark.parametrize(("text", "wanted"), UNSEEN.items(), ids=list(UNSEEN))
def test_unseen_paraphrase_is_never_taken_for_another_recipe(text, wanted):
    assert found(text) == wanted


@pytest.mark.parametrize("text", ADVERSARIAL, ids=[repr(text[:50]) for text in ADVERSARIAL])
def test_adversarial_words_start_no_recipe(text):
    assert not isinstance(MATCHER.match(text), Matched)


@pytest.mark.parametrize(("wanted", "text"), [(recipe, text) for recipe, texts in HELD_OUT.items() for text in texts])
def test_held_out_words_are_matched_asked_about_or_refused_but_never_mistaken(wanted, text):
    assert found(text) in {wanted, "question", "none"}


def test_most_held_out_words_are_understood():
    texts = [(recipe, text) for recipe, texts in HELD_OUT.items() for text in texts]
    assert sum(found(text) == recipe for recipe, text in texts) >= 0.8 * len(texts)


@pytest.mark.parametrize("text", HELD_OUT_NEGATIVES)
def test_held_out_negative_starts_no_recipe(text):
    assert not isinstance(MATCHER.match(text), Matched)


def test_specification_with_a_heading_is_read_by_its_body():
    assert found("# Better names\n\nRename `load_config` to `read_config`.\n") == "rename-symbol"
    assert found("# rename load_config to read_config\n") == "rename-symbol"
    assert found("# Names\n- rename load_config to read_config\n- format the code\n") == "question"


def test_bare_reply_completes_a_question():
    asked = MATCHER.match("rename load_config")
    assert MATCHER.match(asked.answer.format(answer="read_config")) == Matched(
        "rename-symbol", {"old": "load_config", "new": "read_config"}
    )


def test_work_followed_by_a_test_run_is_one_piece_of_work():
    assert MATCHER.match("rename foo to bar; run the tests in tests/unit") == Matched(
        "rename-symbol", {"old": "foo", "new": "bar", "test_path": "tests/unit"}
    )


def test_unfamiliar_wish_to_rename_is_asked_about():
    asked = MATCHER.match("take care of renaming foo to bar for good")
    assert isinstance(asked, Nothing)
    asked = MATCHER.match("kindly see to it: rename foo to bar for good")
    assert asked.options[0] == "rename symbol foo to bar"


def test_two_wishes_become_two_options():
    asked = MATCHER.match("rename foo to bar and format the code")
    assert asked.options == ("rename symbol foo to bar", "format the code")


def test_normalising_twice_changes_nothing():
    for row in TABLE.rows:
        assert normalise(normalise(row.say)) == normalise(row.say)


def test_template_with_an_unknown_macro_or_slot_is_refused():
    with pytest.raises(InternalError):
        compile_template("<nonsense> {old}", {})
    with pytest.raises(InternalError):
        compile_template("rename {nonsense}", {})


def test_nothing_matches_a_very_long_sentence():
    assert isinstance(MATCHER.match("rename foo to bar " * 100), Nothing)
