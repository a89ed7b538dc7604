"""Runs end to end: real git, real bubblewrap, the durable engine in this process."""

import asyncio
import hashlib
import json

import pytest

from services.artifacts.protocol import ArtifactStoreFullError
from services.artifacts.store import ObstoreArtifactStore
from services.kernel.caller import ScopeMissingError
from services.kernel.errors import ConflictError, NotFoundError, PlatformError
from services.kernel.ids import RunId
from services.kernel.vocabulary import BreachPolicy, RunState, TaskState, Verdict
from services.pas.core.allowlist import load_lane_allowlists
from services.pas.core.isolation import IsolationProblem, IsolationReport, IsolationUnavailableError
from services.pas.models import Badge, EventKind, RunCommand, TreeRef
from services.pas.passport.signature import PassportInvalidError, verify_passport
from services.pas.protocol import PassportBasisMissingError, RunExistsError
from tests.fakes import pas as fake
from tests.fakes.identity import ENGINEER, READER

pytestmark = pytest.mark.sandbox


async def _run(parts, *cards, repository, **options):
    view = await parts.service.start_run(ENGINEER, fake.start(repository, *cards, **options))
    return await fake.finish(parts, view.run_id)


async def _events(parts, run_id):
    return [event async for event in parts.service.watch_run(ENGINEER, run_id)]


def _states(view):
    return {card.task_id: card.state for card in view.cards}


async def test_rename_with_tests_comes_back_verified_as_a_branch_and_a_diff(tmp_path):
    repository = fake.make_repository(tmp_path / "repo")
    async with fake.running_pas(tmp_path / "home") as parts:
        view = await _run(
            parts,
            fake.check_tests("base", tree=TreeRef.BASE),
            fake.rename("code", "area", "surface"),
            fake.rename("text", "area", "surface", "code", part="mentions"),
            fake.check_tests("tests", "code", "text"),
            repository=repository,
        )
        assert (view.state, view.reason, view.badge) == (RunState.COMPLETED, "", Badge.VERIFIED)
        verdicts = {finding.name: finding.verdict for finding in view.findings}
        assert verdicts["test_pass_rate"] is Verdict.PASS
        assert verdicts["linter_pass"] is Verdict.UNKNOWN, "the repository configures no ruff"
        patch = next(item for item in view.artifacts if item.path == "artifacts/diff.patch")
        assert b"+def surface(width, height):" in await parts.service.get_artifact(ENGINEER, patch.sha256)
        receipts = await parts.service.list_receipts(ENGINEER, view.run_id)
        assert sorted(receipt.task_id for receipt in receipts) == ["base", "code", "tests", "text"]
        assert all(receipt.is_success and receipt.time_ms > 0 for receipt in receipts)
    assert view.branch == f"direng/{view.run_id}"
    assert "def surface" in fake.git(repository, "show", f"{view.branch}:shapes.py")
    assert "`surface`" in fake.git(repository, "show", f"{view.branch}:README.md")
    assert "def area" in (repository / "shapes.py").read_text(), "the user's own files stay as they are"
    assert fake.git(repository, "status", "--porcelain") == ""


async def test_passport_verifies_and_its_journal_is_what_was_recorded(tmp_path):
    repository = fake.make_repository(tmp_path / "repo")
    async with fake.running_pas(tmp_path / "home") as parts:
        view = await _run(parts, fake.rename("code", "area", "surface"), repository=repository)
        signed = await parts.service.get_passport(ENGINEER, view.run_id)
        receipts = await parts.service.list_receipts(ENGINEER, view.run_id)
        events = await _events(parts, view.run_id)
    passport = verify_passport(signed, tmp_path / "home")
    journal = {
        "receipts": [receipt.model_dump(mode="json") for receipt in receipts],
        "events": [event.model_dump(mode="json") for event in events],
    }
    text = json.dumps(journal, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert passport.journal_sha256 == hashlib.sha256(text.encode()).hexdigest()
    assert passport.result_tree == view.result_tree
    assert passport.final_state is RunState.COMPLETED
    assert events[-1].state == "completed"
    forged = signed.model_copy(update={"document": signed.document.replace('"p-1"', '"p-2"')})
    with pytest.raises(PassportInvalidError, match="changed after signing"):
        verify_passport(forged, tmp_path / "home")


async def test_jacket_manifest_names_every_file_with_its_digest_and_owner(tmp_path):
    repository = fake.make_repository(tmp_path / "repo")
    async with fake.running_pas(tmp_path / "home") as parts:
        view = await _run(parts, fake.rename("code", "area", "surface"), repository=repository)
    jacket = tmp_path / "home" / "runs" / view.run_id
    manifest = json.loads((jacket / "manifest.json").read_text())
    listed = {entry["path"] for entry in manifest["files"]}
    on_disk = {str(path.relative_to(jacket)) for path in jacket.rglob("*") if path.is_file()}
    assert on_disk == listed | {"manifest.json"}
    assert {"state/passport.json", "artifacts/diff.patch", "inputs/start.json"} <= listed
    for entry in manifest["files"]:
        assert hashlib.sha256((jacket / entry["path"]).read_bytes()).hexdigest() == entry["sha256"]
        assert entry["owner"]
    assert not (tmp_path / "home" / "stage" / view.run_id).exists(), "the working folders are gone"


async def test_refused_recipe_fails_the_run_with_its_line_and_changes_nothing(tmp_path):
    repository = fake.make_repository(tmp_path / "repo")
    async with fake.running_pas(tmp_path / "home") as parts:
        view = await _run(
            parts,
            fake.rename("code", "no_such_name", "other"),
            fake.check_tests("tests", "code"),
            repository=repository,
        )
        assert view.state is RunState.FAILED
        assert "no_such_name" in view.reason
        assert _states(view) == {"code": TaskState.FAILED, "tests": TaskState.SKIPPED}
        assert view.branch == ""
        signed = await parts.service.get_passport(ENGINEER, view.run_id)
    assert verify_passport(signed, tmp_path / "home").final_state is RunState.FAILED
    assert fake.git(repository, "branch", "--list", "direng/*") == ""


async def test_run_that_changes_nothing_completes_without_a_branch(tmp_path):
    repository = fake.make_repository(tmp_path / "repo", {"tidy.py": "x = 1\n"})
    async with fake.running_pas(tmp_path / "home") as parts:
        view = await _run(parts, fake.formatting("format"), repository=repository)
        assert (view.state, view.branch, view.files_changed) == (RunState.COMPLETED, "", 0)
        assert view.badge is Badge.UNVERIFIED
        assert any("nothing changed" in event.text for event in await _events(parts, view.run_id))
    assert fake.git(repository, "branch", "--list", "direng/*") == ""


async def test_newly_failing_test_makes_the_run_need_review(tmp_path):
    pinned = "import shapes\n\n\ndef test_name():\n    assert hasattr(shapes, 'ar' + 'ea')\n"
    repository = fake.make_repository(tmp_path / "repo", {**fake.SAMPLE, "tests/test_name.py": pinned})
    async with fake.running_pas(tmp_path / "home") as parts:
        view = await _run(
            parts,
            fake.check_tests("base", tree=TreeRef.BASE),
            fake.rename("code", "area", "surface"),
            fake.check_tests("tests", "code"),
            repository=repository,
        )
    assert view.state is RunState.NEEDS_REVIEW
    finding = next(finding for finding in view.findings if finding.name == "test_pass_rate")
    assert finding.verdict is Verdict.FAIL
    assert "tests/test_name.py::test_name" in finding.detail
    assert view.branch, "the result is there to be looked at"


async def test_linter_counts_only_new_findings(tmp_path):
    files = {"ruff.toml": "[lint]\nselect = ['F']\n", "old.py": "import os\n", "shapes.py": fake.SAMPLE["shapes.py"]}
    repository = fake.make_repository(tmp_path / "repo", files)
    async with fake.running_pas(tmp_path / "home") as parts:
        view = await _run(parts, fake.rename("code", "area", "surface"), repository=repository)
    finding = next(finding for finding in view.findings if finding.name == "linter_pass")
    assert (finding.verdict, finding.value) == (Verdict.PASS, 1.0)
    assert "1 before" in finding.detail


async def test_repository_without_tests_completes_unverified(tmp_path):
    repository = fake.make_repository(tmp_path / "repo", {"shapes.py": fake.SAMPLE["shapes.py"]})
    async with fake.running_pas(tmp_path / "home") as parts:
        view = await _run(
            parts, fake.rename("code", "area", "surface"), fake.check_tests("tests", "code"), repository=repository
        )
    assert (view.state, view.badge) == (RunState.COMPLETED, Badge.UNVERIFIED)
    finding = next(finding for finding in view.findings if finding.name == "test_pass_rate")
    assert finding.verdict is Verdict.UNKNOWN


async def test_dirty_and_untracked_files_enter_the_run_and_stay_byte_for_byte(tmp_path):
    repository = fake.make_repository(tmp_path / "repo")
    (repository / "report.py").write_bytes(b"from shapes import area\r\nprint(area(1, 2))\r\n")
    (repository / "notes.txt").write_bytes(b"\x00\xffmine")
    before = {path: path.read_bytes() for path in repository.rglob("*") if path.is_file() and ".git" not in path.parts}
    async with fake.running_pas(tmp_path / "home") as parts:
        view = await _run(parts, fake.rename("code", "area", "surface"), repository=repository)
        signed = await parts.service.get_passport(ENGINEER, view.run_id)
    assert view.state is RunState.COMPLETED
    after = {path: path.read_bytes() for path in repository.rglob("*") if path.is_file() and ".git" not in path.parts}
    assert after == before
    passport = verify_passport(signed, tmp_path / "home")
    assert passport.dirty_paths == ("report.py",)
    assert passport.untracked_paths == ("notes.txt",)


async def test_cards_that_change_the_same_lines_fail_the_run_with_one_line(tmp_path):
    repository = fake.make_repository(tmp_path / "repo")
    async with fake.running_pas(tmp_path / "home") as parts:
        view = await _run(
            parts, fake.rename("one", "area", "surface"), fake.rename("two", "area", "extent"), repository=repository
        )
    assert view.state is RunState.FAILED
    assert "two cards changed the same lines of" in view.reason
    assert "shapes.py" in view.reason


async def test_denied_command_leaves_an_event_and_fails_its_card(tmp_path):
    repository = fake.make_repository(tmp_path / "repo")
    async with fake.running_pas(tmp_path / "home") as parts:
        view = await _run(parts, fake.command("shell", "bash", "-c", "id"), repository=repository)
        denied = [event for event in await _events(parts, view.run_id) if event.kind is EventKind.DENIED]
    assert view.state is RunState.FAILED
    assert [event.task_id for event in denied] == ["shell"]
    assert "bash is denied in lane Code-Impl" in denied[0].text


async def test_test_card_fails_when_the_modules_came_from_elsewhere(tmp_path):
    stolen = "import importlib.util, sys\nspec = importlib.util.spec_from_file_location('shapes', '/tmp/shapes.py')\n"
    conftest = (
        "from pathlib import Path\nPath('/tmp/shapes.py').write_text('def area(w, h): return w * h')\n"
        + stolen
        + "module = importlib.util.module_from_spec(spec)\nsys.modules['shapes'] = module\n"
        + "spec.loader.exec_module(module)\n"
    )
    repository = fake.make_repository(tmp_path / "repo", {**fake.SAMPLE, "conftest.py": conftest})
    async with fake.running_pas(tmp_path / "home") as parts:
        view = await _run(parts, fake.check_tests("tests"), repository=repository)
    assert view.state is RunState.FAILED
    assert "not the tree's own copy" in view.reason


async def test_same_start_twice_is_one_run_and_another_body_is_a_conflict(tmp_path):
    repository = fake.make_repository(tmp_path / "repo")
    request = fake.start(repository, fake.formatting("format"), run_id="run-mine")
    async with fake.running_pas(tmp_path / "home") as parts:
        first, second = await asyncio.gather(
            parts.service.start_run(ENGINEER, request), parts.service.start_run(ENGINEER, request)
        )
        assert first.run_id == second.run_id == "run-mine"
        await fake.finish(parts, "run-mine")
        again = await parts.service.start_run(ENGINEER, request)
        assert again.state is RunState.COMPLETED
        assert len(await parts.service.list_receipts(ENGINEER, RunId("run-mine"))) == 1
        other = request.model_copy(update={"title": "Another title"})
        with pytest.raises(RunExistsError, match="another body"):
            await parts.service.start_run(ENGINEER, other)


async def test_start_without_a_basis_or_for_another_contract_is_refused(tmp_path):
    repository = fake.make_repository(tmp_path / "repo")
    request = fake.start(repository, fake.formatting("format"), run_id="run-none")
    async with fake.running_pas(tmp_path / "home") as parts:
        with pytest.raises(PassportBasisMissingError):
            await parts.service.start_run(ENGINEER, request.model_copy(update={"passport_basis": None}))
        old = fake.basis(repository).model_copy(update={"contract_version": "2020-01-01-001"})
        with pytest.raises(PassportBasisMissingError, match="2020-01-01-001"):
            await parts.service.start_run(ENGINEER, request.model_copy(update={"passport_basis": old}))
        with pytest.raises(NotFoundError):
            await parts.service.get_run(ENGINEER, RunId("run-none"))


async def test_unusable_repositories_are_refused_in_one_line(tmp_path):
    (tmp_path / "plain").mkdir()
    empty = tmp_path / "empty"
    empty.mkdir()
    fake.git(empty, "init", "-q")
    detached = fake.make_repository(tmp_path / "detached")
    fake.git(detached, "checkout", "-q", "--detach")
    async with fake.running_pas(tmp_path / "home") as parts:
        for place in (tmp_path / "plain", empty, detached, tmp_path / "nowhere"):
            with pytest.raises(PlatformError) as caught:
                await parts.service.start_run(ENGINEER, fake.start(place, fake.formatting("format")))
            assert "\n" not in str(caught.value)
            assert caught.value.code.startswith("edits.")
        assert await parts.service.list_runs(ENGINEER) == ()


async def test_no_isolation_no_run(tmp_path):
    class Broken:
        def describe(self):
            return IsolationReport("none", (), (IsolationProblem("no bubblewrap", "install bubblewrap"),))

    repository = fake.make_repository(tmp_path / "repo")
    async with fake.running_pas(tmp_path / "home", isolation=Broken()) as parts:
        with pytest.raises(IsolationUnavailableError, match="install bubblewrap"):
            await parts.service.start_run(ENGINEER, fake.start(repository, fake.formatting("format")))
        assert await parts.service.list_runs(ENGINEER) == ()


async def test_reader_may_look_and_not_start(tmp_path):
    repository = fake.make_repository(tmp_path / "repo")
    async with fake.running_pas(tmp_path / "home") as parts:
        with pytest.raises(ScopeMissingError, match=r"pas\.submit"):
            await parts.service.start_run(READER, fake.start(repository, fake.formatting("format")))
        assert await parts.service.list_runs(READER) == ()


async def test_pause_starts_no_further_card_and_resume_goes_on(tmp_path):
    repository = fake.slow_repository(tmp_path / "repo", 1.0)
    async with fake.running_pas(tmp_path / "home") as parts:
        request = fake.start(repository, fake.check_tests("slow"), fake.rename("code", "area", "surface", "slow"))
        run_id = (await parts.service.start_run(ENGINEER, request)).run_id
        await fake.wait_until(parts, run_id, lambda view: _states(view)["slow"] is TaskState.RUNNING)
        why = RunCommand(run_id=run_id, reason="look at it first")
        paused = await parts.service.pause_run(ENGINEER, why)
        assert (paused.state, paused.reason) == (RunState.PAUSED, "look at it first")
        assert (await parts.service.pause_run(ENGINEER, why)).last_seq == paused.last_seq
        await fake.wait_until(parts, run_id, lambda view: _states(view)["slow"] is TaskState.SUCCEEDED)
        await asyncio.sleep(0.3)
        view = await parts.service.get_run(ENGINEER, run_id)
        assert (view.state, _states(view)["code"]) == (RunState.PAUSED, TaskState.QUEUED)
        await parts.service.resume_run(ENGINEER, why)
        assert (await fake.finish(parts, run_id)).state is RunState.COMPLETED


async def test_terminate_kills_running_cards_and_keeps_what_they_had_done(tmp_path):
    writes = "import pathlib, time\n\n\ndef test_writes():\n    time.sleep(60)\n"
    repository = fake.make_repository(tmp_path / "repo", {**fake.SAMPLE, "tests/test_long.py": writes})
    async with fake.running_pas(tmp_path / "home") as parts:
        request = fake.start(repository, fake.check_tests("long"), fake.check_tests("later", "long"))
        run_id = (await parts.service.start_run(ENGINEER, request)).run_id
        await fake.wait_until(parts, run_id, lambda view: _states(view)["long"] is TaskState.RUNNING)
        await asyncio.sleep(0.5)
        await parts.service.terminate_run(ENGINEER, RunCommand(run_id=run_id, reason="wrong repository"))
        view = await fake.finish(parts, run_id)
        assert (view.state, view.reason) == (RunState.TERMINATED, "wrong repository")
        assert _states(view) == {"long": TaskState.CANCELLED, "later": TaskState.CANCELLED}
        assert view.branch == ""
        assert (await parts.service.get_passport(ENGINEER, run_id)).sha256
        with pytest.raises(ConflictError):
            await parts.service.resume_run(ENGINEER, RunCommand(run_id=run_id, reason="changed my mind"))


async def test_cancelled_card_takes_its_dependents_along_and_no_others(tmp_path):
    repository = fake.slow_repository(tmp_path / "repo", 60)
    async with fake.running_pas(tmp_path / "home") as parts:
        request = fake.start(
            repository,
            fake.check_tests("slow", paths=("tests/test_slow.py",)),
            fake.check_tests("after", "slow"),
            fake.rename("code", "area", "surface"),
        )
        run_id = (await parts.service.start_run(ENGINEER, request)).run_id
        await fake.wait_until(parts, run_id, lambda view: _states(view)["slow"] is TaskState.RUNNING)
        why = RunCommand(run_id=run_id, task_id="slow", reason="takes too long")
        await parts.service.cancel_card(ENGINEER, why)
        view = await fake.finish(parts, run_id)
    assert _states(view) == {"slow": TaskState.CANCELLED, "after": TaskState.SKIPPED, "code": TaskState.SUCCEEDED}
    assert view.state is RunState.FAILED


async def test_lane_never_runs_more_cards_than_its_limit(tmp_path):
    limit = load_lane_allowlists()["Code-Impl"].limits.max_parallel
    repository = fake.slow_repository(tmp_path / "repo", 0.2)
    async with fake.running_pas(tmp_path / "home") as parts:
        cards = [fake.check_tests(f"t{number}", paths=("tests/test_slow.py",)) for number in range(limit * 2 + 1)]
        run_id = (await parts.service.start_run(ENGINEER, fake.start(repository, *cards))).run_id
        changes = [event for event in await _events(parts, run_id) if event.kind is EventKind.CARD_STATE]
    running, most = set(), 0
    for event in changes:
        (running.add if event.state == "running" else running.discard)(event.task_id)
        most = max(most, len(running))
    assert most == limit


async def test_second_attempt_runs_after_a_failed_one_and_each_has_its_receipt(tmp_path):
    repository = fake.make_repository(tmp_path / "repo")
    async with fake.running_pas(tmp_path / "home") as parts:
        view = await _run(parts, fake.rename("code", "missing", "other", attempts=2), repository=repository)
        receipts = await parts.service.list_receipts(ENGINEER, view.run_id)
    assert [(receipt.attempt, receipt.is_success) for receipt in receipts] == [(1, False), (2, False)]
    assert view.cards[0].attempt == 2
    assert view.state is RunState.FAILED


async def test_watching_from_a_number_gives_only_what_came_after(tmp_path):
    repository = fake.make_repository(tmp_path / "repo")
    async with fake.running_pas(tmp_path / "home") as parts:
        view = await _run(parts, fake.formatting("format"), repository=repository)
        all_events = await _events(parts, view.run_id)
        rest = [event async for event in parts.service.watch_run(ENGINEER, view.run_id, 3)]
    assert [event.seq for event in all_events] == list(range(1, view.last_seq + 1))
    assert rest == all_events[3:]


class _FullAfter:
    """An artifact store on a disk that has room for `count` artifacts."""

    def __init__(self, store, count):
        self._store = store
        self._left = count

    async def put(self, content):
        if self._left == 0:
            raise ArtifactStoreFullError("the artifact store is full, nothing was stored; free some space")
        self._left -= 1
        return await self._store.put(content)

    async def get(self, sha256):
        return await self._store.get(sha256)


@pytest.mark.parametrize("room", [0, 1], ids=["in a card", "at the diff"])
async def test_full_disk_fails_the_run_with_one_line_and_leaves_nothing_half_written(tmp_path, room):
    repository, home = fake.make_repository(tmp_path / "repo"), tmp_path / "home"
    artifacts = _FullAfter(await ObstoreArtifactStore.open_folder(tmp_path / "artifacts"), room)
    async with fake.running_pas(home, artifacts=artifacts) as parts:
        view = await _run(parts, fake.rename("code", "area", "surface"), repository=repository)
        signed = await parts.service.get_passport(ENGINEER, view.run_id)
    assert view.state is RunState.FAILED
    assert view.reason.endswith("the artifact store is full, nothing was stored; free some space")
    assert len(view.artifacts) == room
    assert verify_passport(signed, home).artifact_manifest == view.artifacts
    assert fake.git(repository, "branch", "--list", "direng/*") == ""
    assert not list((home / "runs").rglob(".*.tmp"))


async def test_file_that_a_lane_may_not_change_fails_the_card_and_leaves_an_event(tmp_path):
    files = {"tool.py": "x  =  1\n", "secrets/token.py": "y  =  2\n"}
    repository = fake.make_repository(tmp_path / "repo", files)
    async with fake.running_pas(tmp_path / "home") as parts:
        view = await _run(parts, fake.formatting("format"), repository=repository)
        denied = [event.text for event in await _events(parts, view.run_id) if event.kind is EventKind.DENIED]
    assert view.state is RunState.FAILED
    assert len(denied) == 1
    assert "secrets/token.py" in denied[0]
    assert "secrets/token.py" in view.reason


@pytest.mark.parametrize("policy", list(BreachPolicy))
async def test_run_over_its_time_limit_starts_no_further_card(tmp_path, policy):
    repository = fake.make_repository(tmp_path / "repo")
    cards = (fake.rename("code", "area", "surface"), fake.rename("text", "area", "surface", "code", part="mentions"))
    request = fake.start(repository, *cards).model_copy(update={"max_time_s": 0.001, "breach_policy": policy})
    async with fake.running_pas(tmp_path / "home") as parts:
        run_id = (await parts.service.start_run(ENGINEER, request)).run_id
        if policy is BreachPolicy.KILL:
            view = await fake.finish(parts, run_id)
            assert view.state is RunState.TERMINATED
        else:
            view = await fake.wait_until(parts, run_id, lambda seen: seen.state is RunState.PAUSED)
        assert _states(view)["code"] is TaskState.SUCCEEDED
        assert "the limit was" in view.reason
        if policy is not BreachPolicy.KILL:
            await parts.service.resume_run(ENGINEER, fake.reason(run_id))
            assert (await fake.finish(parts, run_id)).state is RunState.COMPLETED


async def test_tests_may_import_libraries_that_load_certificates(tmp_path):
    text = "import pygit2\nimport shapes\n\n\ndef test_versions():\n    assert pygit2.LIBGIT2_VERSION and shapes\n"
    repository = fake.make_repository(tmp_path / "repo", {**fake.SAMPLE, "tests/test_git.py": text})
    async with fake.running_pas(tmp_path / "home") as parts:
        view = await _run(parts, fake.check_tests("tests", paths=("tests/test_git.py",)), repository=repository)
    assert view.cards[0].outcome.summary.startswith("1 passed, 0 failed")
