"""Signatures, digests and the canonical form of passports; the replay's checks."""

import json

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from services.kernel.ids import GitOid, ProjectId, RunId
from services.kernel.vocabulary import Lane, RunKind, RunState
from services.pas.core.passports import PassportFacts, PassportOffice, canonical_json, digest_journal, digest_of
from services.pas.core.records import Journal, RunRecord, RunResult, Snapshot
from services.pas.models import (
    CONTRACT_VERSION,
    ArtifactRef,
    EventKind,
    JobCard,
    PassportBasis,
    RecipePayload,
    RunEvent,
    StartRun,
)
from services.pas.passport import replay
from services.pas.passport.signature import ARCHIVE, PassportInvalidError, RingSigner, verify_passport

CARD = JobCard(
    task_id="code",
    lane=Lane.CODE_IMPL,
    title="Rename",
    configuration="recipe/rename-symbol",
    payload=RecipePayload(recipe="rename-symbol", params={"old": "a", "new": "ü"}),
)


@pytest.fixture(scope="module")
def keys():
    return {kid: rsa.generate_private_key(65537, 2048) for kid in ("first", "second")}


def _event(seq, text="run started"):
    return RunEvent(run_id="run-1", seq=seq, at="t", trace_id="x", kind=EventKind.NOTE, text=text)


def _run():
    basis = PassportBasis(repo="/repo", prd_sha256="0" * 64, contract_version=CONTRACT_VERSION)
    return RunRecord(
        run_id=RunId("run-1"),
        start=StartRun(project_id=ProjectId("p-1"), run_kind=RunKind.HOTFIX, passport_basis=basis),
        repo="/repo",
        snapshot=Snapshot(base_commit=GitOid("c"), base_branch="main", base_tree=GitOid("b"), tree=GitOid("t")),
        state=RunState.COMPLETED,
        reason="",
        trace_id="x",
        result=RunResult(tree=GitOid("r"), branch="direng/run-1", commit=GitOid("d")),
        created_at="t0",
        started_at="t1",
        finished_at="t2",
        last_seq=2,
        body_sha256="1" * 64,
    )


def _seal(home, key, artifacts=()):
    facts = PassportFacts({"Code-Impl": "2" * 64}, {"python": "3"}, {"LANG": "C.UTF-8"}, "0")
    office = PassportOffice(RingSigner(lambda: key, home / ARCHIVE), facts)
    return office.seal(_run(), Journal((), (_event(1), _event(2)), artifacts), (CARD,))


def test_passport_says_what_the_run_was_and_verifies(tmp_path, keys):
    signed = _seal(tmp_path, ("first", keys["first"]))
    passport = verify_passport(signed, tmp_path)
    assert (passport.run_id, passport.run_kind, passport.result_commit) == ("run-1", RunKind.HOTFIX, "d")
    assert passport.cards == (CARD,)
    assert passport.contract_versions == {"pex": CONTRACT_VERSION, "pas": CONTRACT_VERSION}
    assert signed.document == canonical_json(json.loads(signed.document))
    assert signed.sha256 == digest_of(signed.document)


def test_same_run_gives_the_same_document_and_signature(tmp_path, keys):
    assert _seal(tmp_path, ("first", keys["first"])) == _seal(tmp_path, ("first", keys["first"]))


def test_passport_outlives_the_rotation_of_its_key(tmp_path, keys):
    old = _seal(tmp_path, ("first", keys["first"]))
    new = _seal(tmp_path, ("second", keys["second"]))
    assert verify_passport(old, tmp_path) == verify_passport(new, tmp_path)


def test_key_that_auth_still_publishes_verifies_too(tmp_path, keys):
    signed = _seal(tmp_path / "elsewhere", ("first", keys["first"]))
    jwk = json.loads(RSAAlgorithm.to_jwk(keys["first"].public_key())) | {"kid": "first"}
    (tmp_path / "auth").mkdir()
    (tmp_path / "auth" / "jwks.json").write_text(json.dumps({"keys": [jwk]}))
    assert verify_passport(signed, tmp_path).run_id == "run-1"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"document": "{}"}, "changed after signing"),
        ({"signature": "AAAA"}, "changed after signing"),
        ({"signature": "ü"}, "changed after signing"),
        ({"sha256": "3" * 64}, "digest does not fit"),
        ({"kid": "unknown"}, "does not know"),
        ({"kid": "../auth/first"}, "no usable key"),
    ],
)
def test_changed_passport_is_refused_in_one_line(tmp_path, keys, change, words):
    signed = _seal(tmp_path, ("first", keys["first"])).model_copy(update=change)
    with pytest.raises(PassportInvalidError, match=words) as caught:
        verify_passport(signed, tmp_path)
    assert "\n" not in caught.value.detail


def test_passport_signed_by_another_home_is_refused(tmp_path, keys):
    signed = _seal(tmp_path / "theirs", ("first", keys["first"]))
    _seal(tmp_path / "mine", ("first", keys["second"]))
    with pytest.raises(PassportInvalidError, match="changed after signing"):
        verify_passport(signed, tmp_path / "mine")


def test_journal_digest_changes_with_every_entry_and_their_order():
    journals = [
        Journal((), (_event(1),), ()),
        Journal((), (_event(1), _event(2)), ()),
        Journal((), (_event(2), _event(1)), ()),
        Journal((), (_event(1, "other"),), ()),
    ]
    assert len({digest_journal(journal) for journal in journals}) == len(journals)


def test_canonical_json_is_sorted_tight_and_keeps_letters():
    assert canonical_json({"b": [1, True, None], "a": "ü\n"}) == '{"a":"ü\\n","b":[1,true,null]}'
    with pytest.raises(ValueError, match="JSON"):
        canonical_json({"x": float("nan")})


def _lay_down(home, keys, content=b"diff"):
    ref = ArtifactRef(path="artifacts/diff.patch", sha256=digest_of("diff"), size_bytes=4)
    jacket = home / "runs" / "run-1"
    for section in ("state", "artifacts"):
        (jacket / section).mkdir(parents=True)
    (jacket / "artifacts" / "diff.patch").write_bytes(content)
    signed = _seal(home, ("first", keys["first"]), (ref,))
    (jacket / "state" / "passport.json").write_text(signed.model_dump_json())


def test_dry_run_prints_the_plan_and_starts_nothing(tmp_path, keys, capsys):
    _lay_down(tmp_path, keys)
    assert replay.main(["run-1", "--home", str(tmp_path), "--dry-run", "--skip-git", "--skip-env"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "passport of run-1: signature right, run was completed"
    assert "artifacts: 1 present, digests right" in printed
    assert "  code [Code-Impl] Rename" in printed
    assert printed[-1] == "dry run: nothing was started"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run-1", "--skip-git", "--skip-env"], "was changed"),
        (["run-1", "--skip-git", "--skip-artifacts"], "this is"),
        (["run-1", "--skip-env", "--skip-artifacts"], "no git repository"),
        (["run-2"], "no passport of run-2"),
        (["run-1", "--skip-git", "--skip-env", "--skip-artifacts"], "no server is running"),
    ],
)
def test_replay_that_cannot_be_right_is_refused_in_one_line(tmp_path, keys, capsys, arguments, words):
    _lay_down(tmp_path, keys, content=b"forged")
    is_dry = words != "no server is running"
    assert replay.main([*arguments, "--home", str(tmp_path), *(["--dry-run"] if is_dry else [])]) == 1
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
