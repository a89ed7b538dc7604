"""Builds the passport of a run that has ended, from its record and its journal."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel, JsonValue

from services.kernel.ids import Sha256
from services.pas.core.ports import Signer
from services.pas.core.records import Journal, RunRecord
from services.pas.models import CONTRACT_VERSION, JobCard, Passport, SignedPassport


@dataclass(frozen=True)
class PassportFacts:
    """What is the same for every run of this server."""

    allowlist_sha256: Mapping[str, str]
    tool_versions: Mapping[str, str]
    env_snapshot: Mapping[str, str]
    platform_version: str


def canonical_json(value: JsonValue) -> str:
    """Return JSON with sorted keys, no spaces and no escapes beyond the needed: a subset of RFC 8785.

    The documents hold strings, integers, booleans and null; the few floats are decimals with few digits, which Python
    prints as RFC 8785 does.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest_of(text: str) -> Sha256:
    """Return the SHA-256 of a text in UTF-8, as hex."""
    return Sha256(hashlib.sha256(text.encode()).hexdigest())


def _dump(model: BaseModel) -> JsonValue:
    dumped: JsonValue = model.model_dump(mode="json")
    return dumped


def digest_journal(journal: Journal) -> Sha256:
    """Return one digest over all receipts, events and steps, in order (a run without steps has no such part)."""
    parts: dict[str, JsonValue] = {
        "receipts": [_dump(receipt) for receipt in journal.receipts],
        "events": [_dump(event) for event in journal.events],
    }
    if journal.steps:
        parts["steps"] = [_dump(step) for step in journal.steps]
    return digest_of(canonical_json(parts))


class PassportOffice:
    """Seals runs with the platform's key."""

    def __init__(self, signer: Signer, facts: PassportFacts) -> None:
        self._signer = signer
        self._facts = facts

    def seal(self, run: RunRecord, journal: Journal, cards: tuple[JobCard, ...]) -> SignedPassport:
        """Return the signed passport; the same run and journal give the same document."""
        document = canonical_json(_dump(self._build(run, journal, cards)))
        return SignedPassport(
            document=document,
            sha256=digest_of(document),
            kid=self._signer.kid,
            signature=self._signer.sign(document.encode()),
        )

    def _build(self, run: RunRecord, journal: Journal, cards: tuple[JobCard, ...]) -> Passport:
        start, basis, result, models = run.start, run.start.passport_basis, run.result, run.models
        if basis is None:
            raise ValueError(f"the run {run.run_id} was started without a passport basis")
        return Passport(
            run_id=run.run_id,
            project_id=start.project_id,
            run_kind=start.run_kind,
            prd_sha256=basis.prd_sha256,
            repo=run.repo,
            base_commit=run.snapshot.base_commit,
            base_branch=run.snapshot.base_branch,
            snapshot_tree=run.snapshot.tree,
            result_tree=result.tree if result else None,
            result_commit=result.commit if result else None,
            dirty_paths=run.snapshot.dirty_paths,
            untracked_paths=run.snapshot.untracked_paths,
            provider_matrix=models.provider_matrix if models else basis.provider_matrix,
            broker_policy_sha256=models.policy_sha256 if models else None,
            allowlist_sha256=self._facts.allowlist_sha256,
            contract_versions={"pex": basis.contract_version, "pas": CONTRACT_VERSION},
            env_snapshot=self._facts.env_snapshot,
            tool_versions=self._facts.tool_versions,
            price_table_version=models.price_table_version if models else basis.price_table_version,
            estimate_id=basis.estimate_id,
            cards=cards,
            artifact_manifest=journal.artifacts,
            journal_sha256=digest_journal(journal),
            final_state=run.state,
            started_at=run.started_at,
            platform_version=self._facts.platform_version,
        )
