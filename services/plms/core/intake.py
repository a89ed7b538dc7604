"""What PLMS refuses to write down, the same in every binding."""

import re

from services.kernel.caller import Caller
from services.kernel.errors import ForbiddenError, InvalidRequestError
from services.kernel.ids import ProjectId, RunId
from services.plms.models import MAX_PRD_CHARS, KpiRecord, NewProject, RunActuals, RunKpis

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_BINARY = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f\ud800-\udfff]")


def check_text(name: str, text: str) -> None:
    """Raise InvalidRequestError for text that is blank or binary (control characters, lone surrogates)."""
    if not text.strip():
        raise InvalidRequestError(f"the {name} is blank; say what it is about")
    if found := _BINARY.search(text):
        raise InvalidRequestError(f"the {name} holds {found[0]!a}: it is not plain text; save it as UTF-8 text")


def clean_rationale(text: str) -> str:
    """Return a rationale fit to be kept: a failed tool's words may hold control characters. Blank is refused."""
    if not text.strip():
        raise InvalidRequestError("the rationale is blank; say why")
    return _BINARY.sub(_REPLACEMENT, text)


def clean_finding(kpi: KpiRecord) -> KpiRecord:
    """Return a finding whose detail, a tool's words, is fit to be kept."""
    return kpi.model_copy(update={"detail": _BINARY.sub(_REPLACEMENT, kpi.detail)})


def check_project(new: NewProject) -> None:
    """Raise InvalidRequestError unless the project can be kept and read."""
    if len(new.prd) > MAX_PRD_CHARS:
        raise InvalidRequestError(f"the PRD has {len(new.prd)} characters; at most {MAX_PRD_CHARS} are accepted")
    for name, text in (("title", new.title), ("PRD", new.prd), ("repository path", new.repo)):
        check_text(name, text)
    for tag in new.tags:
        check_text("tag", tag)


def check_attempts(actuals: RunActuals) -> None:
    """Raise InvalidRequestError when one attempt is reported twice, or holds what is not plain text."""
    seen = {(actual.task_id, actual.attempt) for actual in actuals.actuals}
    if len(seen) != len(actuals.actuals):
        raise InvalidRequestError("the same task and attempt occur twice; report each attempt once")
    for actual in actuals.actuals:
        check_text("task id", actual.task_id)
        check_text("configuration", actual.configuration)
        if not actual.configuration.startswith(("recipe/", "agent/", "plan/")):
            raise InvalidRequestError(f"configuration {actual.configuration} is neither recipe/, agent/ nor plan/")


def check_findings(kpis: RunKpis) -> None:
    """Raise InvalidRequestError for a finding that occurs twice or has no proper name."""
    seen = {(kpi.lane, kpi.name) for kpi in kpis.kpis}
    if len(seen) != len(kpis.kpis):
        raise InvalidRequestError("the same lane and KPI occur twice; report each finding once")
    for kpi in kpis.kpis:
        check_text("KPI name", kpi.name)


def check_binding(caller: Caller, project_id: ProjectId, run_id: RunId) -> None:
    """Raise ForbiddenError when a run's token is used for another run or project."""
    if caller.run_id not in {None, run_id} or caller.project_id not in {None, project_id}:
        raise ForbiddenError(f"the token of {caller.subject} belongs to another run or project than {run_id}")
