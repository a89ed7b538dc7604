"""Agent cards with the platform's own tools, real bubblewrap, real git and a scripted model."""

from datetime import UTC, datetime

import pytest

from services.edits.errors import MergeConflictError, WorktreeChangedError
from services.edits.journal import AcceptJournal
from services.edits.models import Snapshot
from services.edits.repository import open_repository
from services.kernel.vocabulary import RunState, TaskState, Verdict
from services.pas.models import Badge, EventKind
from tests.fakes import pas as fake
from tests.fakes.agent_repository import FINISH, PATCH, READ, SCRIPT, make_shop, mend_shop
from tests.fakes.agent_server import open_server, write_script
from tests.fakes.identity import ENGINEER

pytestmark = pytest.mark.sandbox


async def _run(tmp_path, script, **options):
    repository, home = make_shop(tmp_path / "repo"), tmp_path / "home"
    write_script(home, script)
    async with open_server(home) as parts:
        await parts.service.start_run(ENGINEER, mend_shop(repository, **options))
        view = await fake.finish(parts, "run-shop")
        events = [event async for event in parts.service.watch_run(ENGINEER, "run-shop")]
        receipts = await parts.service.list_receipts(ENGINEER, "run-shop")
    return repository, view, events, receipts


async def test_bug_over_two_files_goes_from_failing_to_green_and_becomes_a_branch(tmp_path):
    repository, view, events, receipts = await _run(tmp_path, SCRIPT)
    assert (view.state, view.reason, view.badge) == (RunState.COMPLETED, "", Badge.VERIFIED)
    assert [card.state for card in view.cards] == [TaskState.SUCCEEDED] * 3
    rate = next(finding for finding in view.findings if finding.name == "test_pass_rate")
    assert (rate.verdict, rate.value) == (Verdict.PASS, 1.0)
    agent = view.cards[1]
    assert agent.outcome.files_changed == 2
    assert agent.outcome.tests.passed == 3
    lines = [event.text for event in events if event.kind is EventKind.AGENT]
    assert lines[0] == "tests before: 1 passed, 2 failed"
    assert not any("run_test" in line for line in lines[:1])
    assert any("shop/price.py" in line for line in lines)
    assert lines[-1] == "tests after 1: 3 passed, 0 failed"
    assert fake.git(repository, "show", "--stat", "--format=%s", view.branch).splitlines()[0] == "Mend the receipt"
    assert "for price in prices:" in fake.git(repository, "show", f"{view.branch}:shop/price.py")
    assert "EUR')" in fake.git(repository, "show", f"{view.branch}:shop/receipt.py")
    assert fake.git(repository, "status", "--porcelain") == ""
    assert [receipt.step for receipt in receipts if receipt.task_id == "fix"] == [1, 2, 3, 4, 0]
    assert view.cost_microusd == 4000


async def test_card_alone_takes_its_own_look_at_the_untouched_tree(tmp_path):
    _, view, events, _ = await _run(tmp_path, SCRIPT, has_test_cards=False)
    assert (view.state, view.badge) == (RunState.COMPLETED, Badge.UNVERIFIED)
    lines = [event.text for event in events if event.kind is EventKind.AGENT]
    assert lines[0] == "tests before: 1 passed, 2 failed"


async def test_denied_file_is_neither_read_nor_written_and_leaves_events(tmp_path):
    peek = [("fs_read", {"path": ".env"})]
    write = [("fs_patch", {"edits": [{"path": ".env", "search": "", "replace": "KEY=1\n"}]})]
    outside = [("fs_read", {"path": "../../etc/passwd"})]
    _, view, events, _ = await _run(tmp_path, [peek, write, outside, [READ], [PATCH], [FINISH]])
    assert view.state is RunState.COMPLETED
    denied = [event.text for event in events if event.kind is EventKind.DENIED]
    assert len(denied) == 3
    assert all(".env" in line for line in denied[:2])


async def test_change_that_breaks_a_test_is_sent_back_with_the_failure(tmp_path):
    breaking = {"path": "shop/receipt.py", "search": "    return lines\n", "replace": "    return lines[1:]\n"}
    mending = {"path": "shop/receipt.py", "search": "    return lines[1:]\n", "replace": "    return lines\n"}
    script = [[PATCH, ("fs_patch", {"edits": [breaking]})], [FINISH], [("fs_patch", {"edits": [mending]})], [FINISH]]
    _, view, events, _ = await _run(tmp_path, script)
    assert (view.state, view.badge) == (RunState.COMPLETED, Badge.VERIFIED)
    lines = [event.text for event in events if event.kind is EventKind.AGENT]
    assert sum(line.startswith("tests after") for line in lines) == 2


async def test_user_s_edit_of_the_same_lines_meanwhile_makes_accept_refuse_with_nothing_changed(tmp_path):
    repository, view, _, _ = await _run(tmp_path, SCRIPT)
    mine = (repository / "shop/price.py").read_text().replace("prices[1:]", "prices[2:]")
    (repository / "shop/price.py").write_text(mine)
    head, other = fake.git(repository, "rev-parse", "HEAD"), (repository / "shop/receipt.py").read_text()
    user = open_repository(repository, tmp_path / "home" / "trees")
    snapshot = Snapshot(
        repo_root=str(repository),
        branch=view.base_branch,
        head_commit=view.base_commit,
        base_tree=view.snapshot_tree,
        snapshot_tree=view.snapshot_tree,
        dirty_paths=(),
        untracked_paths=(),
    )
    journal = AcceptJournal(tmp_path / "journal")
    with pytest.raises((MergeConflictError, WorktreeChangedError), match=r"shop/price\.py"):
        user.accept("run-shop", snapshot, view.result_tree, "Accept", journal, moment=datetime.now(UTC))
    assert (repository / "shop/price.py").read_text() == mine
    assert (repository / "shop/receipt.py").read_text() == other
    assert fake.git(repository, "rev-parse", "HEAD") == head
