"""Who may have which scopes: one table. What is not listed is refused."""

from collections.abc import Iterable, Mapping

from services.auth.protocol import GrantRefusedError
from services.kernel.endpoints import ENDPOINT_SCOPES
from services.kernel.vocabulary import Scope, ServiceName

_S = Scope
_PAS = frozenset({_S.PAS_SUBMIT, _S.PAS_PAUSE, _S.PAS_READ_STATUS})
_PLMS = frozenset({_S.PROJECT_WRITE, _S.PLMS_APPROVE, _S.PLMS_READ_METRICS})
_INDEX = frozenset({_S.INDEX_READ, _S.INDEX_REFRESH})
_ARTIFACT = frozenset({_S.ARTIFACT_READ, _S.ARTIFACT_WRITE})

USER_GRANT: frozenset[Scope] = frozenset(Scope)
"""A user may have everything; what is in ON_REQUEST_ONLY only by asking for it by name."""

ON_REQUEST_ONLY = frozenset({_S.AUTH_ADMIN})
"""Never part of an empty request: administration of keys and tokens is asked for in so many words."""

SERVICE_GRANTS: Mapping[ServiceName, frozenset[Scope]] = {
    ServiceName.PEX: _PLMS | _PAS | _INDEX | _ARTIFACT,
    ServiceName.DIRENG: _PLMS | _PAS | _INDEX | {_S.PEX_START, _S.ARTIFACT_READ, _S.MODEL_CALL},
    ServiceName.PAS: _INDEX | _ARTIFACT | {_S.MODEL_CALL},
    ServiceName.HMI: frozenset({_S.PLMS_READ_METRICS, _S.PAS_READ_STATUS, _S.ARTIFACT_READ, _S.INDEX_READ}),
    ServiceName.VECTOR_OPS: frozenset({_S.MODEL_CALL}),
    ServiceName.PLMS: frozenset(),
    ServiceName.BROKER: frozenset(),
    ServiceName.AUTH: frozenset(),
}

GRANTS_BY_AUDIENCE: Mapping[tuple[ServiceName, ServiceName], frozenset[Scope]] = {
    # PAS sets the caps of the runs it starts; it submits no run, so nowhere else.
    (ServiceName.PAS, ServiceName.BROKER): frozenset({_S.PAS_SUBMIT}),
}
"""What a service may have for one audience alone."""

RUN_GRANT = frozenset({_S.INDEX_READ, _S.MODEL_CALL, _S.ARTIFACT_READ, _S.ARTIFACT_WRITE})
"""The most that a token bound to a run may carry: enough for a card's executor, nothing that steers runs."""

# Scopes that a service's core checks itself, beyond those of its endpoints.
_CHECKED_IN_CORE: Mapping[ServiceName, frozenset[Scope]] = {
    ServiceName.PLMS: frozenset({_S.KPI_OVERRIDE}),
    ServiceName.PAS: frozenset({_S.KPI_OVERRIDE}),
    ServiceName.PEX: frozenset({_S.KPI_OVERRIDE}),
    ServiceName.BROKER: frozenset({_S.MODEL_CALL}),
    ServiceName.HMI: frozenset({_S.PLMS_READ_METRICS, _S.PAS_READ_STATUS}),
}


def scopes_of_audience(audience: ServiceName) -> frozenset[Scope]:
    """Return every scope that `audience` ever asks for."""
    of_endpoints = {scope for scope in ENDPOINT_SCOPES.get(audience, {}).values() if scope is not None}
    return frozenset(of_endpoints) | _CHECKED_IN_CORE.get(audience, frozenset())


def scopes_of_client(subject: str, audience: ServiceName, *, is_run_bound: bool) -> frozenset[Scope]:
    """Return every scope that `subject` may have for `audience`."""
    kind, _, name = subject.partition(":")
    granted: frozenset[Scope] = frozenset()
    if kind == "user":
        granted = USER_GRANT
    elif name in set(ServiceName):
        granted = SERVICE_GRANTS[ServiceName(name)] | GRANTS_BY_AUDIENCE.get((ServiceName(name), audience), frozenset())
    if is_run_bound:
        granted &= RUN_GRANT
    return granted & scopes_of_audience(audience)


def decide_scopes(
    subject: str, audience: ServiceName, requested: Iterable[Scope], *, is_run_bound: bool
) -> frozenset[Scope]:
    """Return the scopes to put into a token; an empty request means all by default.

    Raises GrantRefusedError when one of those requested, or all, must be refused.
    """
    allowed = scopes_of_client(subject, audience, is_run_bound=is_run_bound)
    wanted = frozenset(requested)
    if refused := wanted - allowed:
        names = ", ".join(sorted(refused))
        raise GrantRefusedError(f"{subject} may not have {names} for {audience}; ask for less")
    decided = wanted or allowed - ON_REQUEST_ONLY
    if not decided:
        on_request = ", ".join(sorted(allowed & ON_REQUEST_ONLY))
        hint = f"ask for {on_request} by name" if on_request else "it has no business there"
        raise GrantRefusedError(f"{subject} gets nothing for {audience} by default; {hint}")
    return decided
