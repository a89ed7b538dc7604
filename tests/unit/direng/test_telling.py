"""The words of a report."""

import pytest

from services.direng.core.telling import (
    CardDetail,
    format_duration,
    list_files,
    list_left_alone,
    tell_offer,
    tell_report,
)
from services.kernel.ids import GitOid, ProjectId, ReceiptId, RunId, TaskId
from services.kernel.vocabulary import Lane, RunKind, RunState, TaskState, Verdict
from services.pas.models import Badge, CardView, Finding, Receipt, RunView

TREE = GitOid("a" * 40)


def make_finding(name, verdict):
    return Finding(
        name=name,
        lane=Lane.CODE_IMPL,
        verdict=verdict,
        value=None,
        threshold=1,
        is_critical=True,
        detail=f"{name} said",
    )


def make_run(**fields):
    run = RunView(
        run_id=RunId("run-1"),
        project_id=ProjectId("prj-1"),
        run_kind=RunKind.BASELINE,
        title="",
        repo="/repo",
        state=RunState.COMPLETED,
        reason="",
        trace_id="0" * 32,
        cards=(),
        badge=Badge.VERIFIED,
        base_commit=TREE,
        base_branch="main",
        snapshot_tree=TREE,
        files_changed=2,
        branch="direng/run-1",
        created_at="2026-11-21T00:00:00.000+00:00",
    )
    return run.model_copy(update=fields)


def detail(*places):
    return CardDetail.model_validate(
        {"left_alone": [{"occurrence": {"path": path, "line": 1}, "reason": reason} for path, reason in places]}
    )


def test_check_that_is_not_used_is_not_told():
    run = make_run(findings=(make_finding("test_pass_rate", Verdict.PASS), make_finding("type_check", Verdict.UNKNOWN)))
    text = tell_report(run, (), (), 13).text
    assert "test_pass_rate: pass" in text
    assert "type_check" not in text


def test_unverified_run_says_why():
    run = make_run(badge=Badge.UNVERIFIED, findings=(make_finding("test_pass_rate", Verdict.UNKNOWN),))
    assert "test_pass_rate: unknown: test_pass_rate said" in tell_report(run, (), (), 13).text


def test_first_ten_occurrences_are_shown_and_the_rest_counted():
    left = tuple(f"a.py:{number}: why" for number in range(25))
    event = tell_report(make_run(), left, ("a.py",), 13)
    assert "left alone, 25 occurrences" in event.text
    assert "a.py:9: why" in event.text
    assert "a.py:10: why" not in event.text
    assert "and 15 more occurrences" in event.text
    assert len(event.data["left_alone"]) == 25


def test_prose_that_the_code_part_leaves_is_told_by_the_mentions_part():
    code = detail(("README.md", "prose is left to the mentions part"), ("b.py", "another symbol"))
    mentions = detail(("README.md", "a word in prose"))
    assert list_left_alone([code, mentions]) == ("README.md:1: a word in prose", "b.py:1: another symbol")
    assert list_left_alone([code])[0] == "README.md:1: prose is left to the mentions part"


def test_only_a_run_with_changes_is_offered():
    assert tell_offer(make_run(), 14).text.startswith("/diff shows the change, /accept merges it")
    assert tell_offer(make_run(files_changed=0), 14) is None
    assert tell_offer(make_run(state=RunState.FAILED), 14) is None
    assert "findings first" in tell_offer(make_run(state=RunState.NEEDS_REVIEW), 14).text


@pytest.mark.parametrize(("count", "words"), [(1, "  1 file changed, "), (2, "  2 files changed, ")])
def test_files_are_counted_in_words(count, words):
    assert words in tell_report(make_run(files_changed=count), (), (), None).text


def test_files_of_a_diff_come_in_order():
    assert list_files(b"diff --git a/x y.py b/x y.py\n--- a\n+++ b\ndiff --git a/b.py b/b.py\n") == ("x y.py", "b.py")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.44, "0.4 s"), (89, "89 s"), (185, "3 min 05 s"), (3599, "59 min 59 s"), (6304, "1 h 45 min")],
)
def test_duration_is_told_in_the_unit_that_people_use(seconds, words):
    assert format_duration(seconds) == words


def make_receipt(step, model, *, is_success=True):
    return Receipt(
        receipt_id=ReceiptId(f"rcpt-{step}"),
        run_id=RunId("run-1"),
        task_id=TaskId("agent"),
        attempt=1,
        step=step,
        lane=Lane.CODE_IMPL,
        configuration="agent/big",
        model=model,
        time_ms=1,
        sandbox_tier="fake",
        contract_version="1",
        exit_code=0,
        is_success=is_success,
        tree_in=TREE,
        tree_out=TREE,
        recorded_at="",
    )


def test_report_names_the_models_that_answered_and_not_those_that_failed():
    card = CardView(
        task_id=TaskId("agent"),
        lane=Lane.CODE_IMPL,
        title="",
        configuration="agent/big",
        deps=(),
        state=TaskState.SUCCEEDED,
        attempt=1,
    )
    receipts = (make_receipt(1, "big-1", is_success=False), make_receipt(2, "small-1"), make_receipt(0, "none"))
    text = tell_report(make_run(cards=(card,)), (), (), 13, receipts).text
    assert "tokens, model big, answered by small-1" in text
    assert "answered by" not in tell_report(make_run(cards=(card,)), (), (), 13).text
