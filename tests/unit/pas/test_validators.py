"""KPI verdicts and the badge."""

from services.kernel.vocabulary import Verdict
from services.pas.core.runs import find_badge
from services.pas.core.validators import GATES, judge_tests, judge_unknown, make_finding, note_missing, sum_reports
from services.pas.models import Badge
from services.pas.recipes.commands import TestReport


def _report(passed=0, failed=0, errors=0, skipped=0, failing=()):
    outcomes = dict.fromkeys(failing, "failed")
    return TestReport(
        status="failed" if failing else "passed",
        collected=passed + failed + errors + skipped,
        passed=passed,
        failed=failed,
        errors=errors,
        skipped=skipped,
        outcomes=outcomes,
    )


def _judge(base, result):
    return judge_tests(None if base is None else sum_reports([base]), sum_reports([result]))


def test_all_passing_is_a_pass():
    finding = _judge(_report(passed=10), _report(passed=10, skipped=3))
    assert (finding.verdict, finding.value, finding.threshold) == (Verdict.PASS, 1.0, 0.90)


def test_rate_just_at_the_threshold_passes_when_the_failure_is_old():
    old = ("t::old",)
    assert _judge(_report(9, 1, failing=old), _report(9, 1, failing=old)).verdict is Verdict.PASS


def test_failures_that_were_there_before_are_set_aside_and_told():
    old = ("t::a", "t::b")
    finding = _judge(_report(8, 2, failing=old), _report(8, 2, failing=old))
    assert (finding.verdict, finding.value) == (Verdict.PASS, 1.0)
    assert finding.detail == "8 of 10 tests passed, 0 newly failing, 2 failed before too"


def test_rate_below_the_threshold_fails_without_a_base():
    assert _judge(None, _report(8, 2, failing=("t::a", "t::b"))).verdict is Verdict.FAIL


def test_nothing_is_known_when_all_that_ran_failed_before_too():
    old = ("t::a", "t::b")
    assert _judge(_report(0, 2, failing=old), _report(0, 2, failing=old)).verdict is Verdict.UNKNOWN


def test_one_newly_failing_test_among_many_fails_and_is_named():
    finding = _judge(_report(100), _report(99, 1, failing=("t::new",)))
    assert finding.verdict is Verdict.FAIL
    assert finding.detail.endswith("1 newly failing: t::new")


def test_one_failure_mended_and_another_new_still_fails():
    finding = _judge(_report(99, 1, failing=("t::old",)), _report(99, 1, failing=("t::new",)))
    assert finding.verdict is Verdict.FAIL


def test_without_a_base_every_failure_is_new_and_that_is_said():
    finding = _judge(None, _report(99, 1, failing=("t::x",)))
    assert finding.verdict is Verdict.FAIL
    assert "no run on the base" in finding.detail


def test_several_test_cards_count_together():
    record = sum_reports([_report(3), _report(1, 1, failing=("t::x",))])
    assert (record.passed, record.ran, record.failing) == (4, 5, frozenset({"t::x"}))


def test_nothing_run_is_no_pass():
    assert _judge(None, _report(skipped=4)).verdict is Verdict.UNKNOWN


def _finding(name, verdict):
    return make_finding(name, verdict, None, "")


def test_badge_is_verified_only_when_tests_passed_and_nothing_critical_failed():
    passed, lint = _finding("test_pass_rate", Verdict.PASS), "linter_pass"
    assert find_badge((passed,)) is Badge.VERIFIED
    assert find_badge((passed, _finding(lint, Verdict.UNKNOWN))) is Badge.VERIFIED
    assert find_badge((passed, _finding(lint, Verdict.FAIL))) is Badge.UNVERIFIED
    assert find_badge((_finding("test_pass_rate", Verdict.UNKNOWN), _finding(lint, Verdict.PASS))) is Badge.UNVERIFIED
    assert find_badge(()) is Badge.UNVERIFIED


def test_findings_take_lane_and_threshold_from_the_one_table():
    for name, gate in GATES.items():
        finding = make_finding(name, Verdict.PASS, 1.0, "detail")
        assert (finding.lane, finding.threshold, finding.is_critical) == (gate.lane, gate.threshold, gate.is_critical)


def test_tests_that_ran_before_and_not_after_are_a_failure_and_never_ran_is_unknown():
    assert judge_unknown("pytest found no tests", ran_on_base=True).verdict is Verdict.FAIL
    assert judge_unknown("pytest found no tests", ran_on_base=False).verdict is Verdict.UNKNOWN


def test_a_pass_with_test_files_left_out_is_unknown_and_a_failure_stays_one():
    partial = _report(passed=10).model_copy(update={"files_not_imported": 2, "missing_modules": ("freezegun",)})
    noted = note_missing(_judge(_report(10), partial), [partial])
    assert noted.verdict is Verdict.UNKNOWN
    assert "2 test files not run: freezegun not installed" in noted.detail
    broken = _report(9, 1, failing=("t::new",)).model_copy(update={"missing_modules": ("freezegun",)})
    assert note_missing(_judge(_report(10), broken), [broken]).verdict is Verdict.FAIL
