"""One table maps every endpoint of every service to the scope it needs; None means open to anybody.

`kernel.http.make_app` refuses to build an app that has a route outside this table.
"""

from collections.abc import Mapping

from services.kernel.vocabulary import Scope, ServiceName

_S = Scope


def _need(scope: Scope, *endpoints: str) -> Mapping[str, Scope]:
    return dict.fromkeys(endpoints, scope)


ENDPOINT_SCOPES: Mapping[ServiceName, Mapping[str, Scope | None]] = {
    ServiceName.AUTH: {
        "GET /health": None,
        "GET /.well-known/jwks.json": None,
        "POST /token": None,  # authenticated by a signed client assertion in the body, not by a bearer token
        "POST /token/introspect": _S.AUTH_ADMIN,
        "POST /revoke": _S.AUTH_ADMIN,
        "POST /keys/rotate": _S.AUTH_ADMIN,
    },
    ServiceName.PLMS: {
        "GET /health": None,
        "POST /api/projects": _S.PROJECT_WRITE,
        "GET /api/projects": _S.PLMS_READ_METRICS,
        "GET /api/projects/{project_id}": _S.PLMS_READ_METRICS,
        "DELETE /api/projects/{project_id}": _S.PROJECT_WRITE,
        "POST /api/projects/{project_id}/state": _S.PROJECT_WRITE,
        "POST /api/projects/{project_id}/estimate": _S.PROJECT_WRITE,
        "GET /api/projects/{project_id}/estimates": _S.PLMS_READ_METRICS,
        "POST /api/projects/{project_id}/approve": _S.PLMS_APPROVE,
        "POST /api/runs/{run_id}/actuals": _S.PAS_SUBMIT,
        "POST /api/runs/{run_id}/kpis": _S.PAS_SUBMIT,
        "GET /api/projects/{project_id}/metrics": _S.PLMS_READ_METRICS,
        "GET /api/projects/{project_id}/kpis": _S.PLMS_READ_METRICS,
    },
    ServiceName.PAS: {
        "GET /health": None,
        "POST /pas/v1/jobcards": _S.PAS_SUBMIT,
        "POST /pas/v1/runs/start": _S.PAS_SUBMIT,
        "POST /pas/v1/runs/pause": _S.PAS_PAUSE,
        "POST /pas/v1/runs/resume": _S.PAS_PAUSE,
        "POST /pas/v1/runs/terminate": _S.PAS_PAUSE,
        "POST /pas/v1/jobcards/cancel": _S.PAS_PAUSE,
        "GET /pas/v1/runs": _S.PAS_READ_STATUS,
        "GET /pas/v1/runs/status": _S.PAS_READ_STATUS,
        "GET /pas/v1/runs/{run_id}/events": _S.PAS_READ_STATUS,
        "GET /pas/v1/runs/{run_id}/receipts": _S.PAS_READ_STATUS,
        "GET /pas/v1/runs/{run_id}/passport": _S.PAS_READ_STATUS,
        "GET /pas/v1/portfolio/status": _S.PAS_READ_STATUS,
        "GET /pas/v1/models": _S.PAS_READ_STATUS,
        "POST /pas/v1/artifacts": _S.ARTIFACT_WRITE,
        "GET /pas/v1/artifacts/{sha256}": _S.ARTIFACT_READ,
    },
    ServiceName.PEX: {
        "GET /health": None,
        "POST /plans": _S.PEX_START,
        "POST /delegations": _S.PEX_START,
        "GET /delegations": _S.PAS_READ_STATUS,
        "GET /delegations/{delegation_id}": _S.PAS_READ_STATUS,
        "POST /delegations/{delegation_id}/approve": _S.PLMS_APPROVE,
        "POST /delegations/{delegation_id}/reject": _S.PLMS_APPROVE,
        "GET /delegations/{delegation_id}/events": _S.PAS_READ_STATUS,
        "POST /api/projects/{project_id}/estimate": _S.PEX_START,
        "POST /api/projects/{project_id}/start": _S.PEX_START,
        "POST /api/projects/{project_id}/simulate": _S.PEX_START,
        "POST /api/projects/{project_id}/pause": _S.PAS_PAUSE,
        "POST /api/projects/{project_id}/resume": _S.PAS_PAUSE,
        "POST /api/projects/{project_id}/terminate": _S.PAS_PAUSE,
        "GET /api/projects/{project_id}/status": _S.PAS_READ_STATUS,
        "GET /api/projects/{project_id}/receipts": _S.PAS_READ_STATUS,
        "GET /api/projects/{project_id}/artifacts": _S.ARTIFACT_READ,
    },
    ServiceName.DIRENG: {
        "GET /health": None,
        "POST /sessions": _S.SESSION_USE,
        "GET /sessions": _S.SESSION_USE,
        "GET /sessions/{session_id}": _S.SESSION_USE,
        "POST /sessions/{session_id}/budget": _S.SESSION_USE,
        "POST /sessions/{session_id}/stop": _S.SESSION_USE,
        "POST /sessions/{session_id}/turns": _S.SESSION_USE,
        "POST /sessions/{session_id}/accept": _S.SESSION_USE,
        "POST /sessions/{session_id}/undo": _S.SESSION_USE,
        "GET /sessions/{session_id}/diff": _S.SESSION_USE,
        "GET /sessions/{session_id}/events": _S.SESSION_USE,
        "GET /grants": _S.SESSION_USE,
        "GET /doctor": _S.SESSION_USE,
    },
    ServiceName.BROKER: {
        "GET /health": None,
        **_need(_S.MODEL_CALL, "POST /v1/complete", "POST /v1/stream", "POST /v1/chat/completions"),
        **_need(_S.MODEL_CALL, "GET /v1/ledger", "GET /v1/budgets", "GET /v1/facts"),
        **_need(_S.MODEL_CALL, "GET /v1/models", "GET /v1/models/check", "GET /v1/route"),
        **_need(_S.PAS_SUBMIT, "PUT /v1/budgets", "POST /v1/budgets/close"),
        **_need(_S.AUTH_ADMIN, "PUT /v1/models/{alias}", "DELETE /v1/models/{alias}"),
        **_need(_S.AUTH_ADMIN, "POST /v1/models/{alias}/default", "POST /v1/models/{alias}/test"),
    },
    ServiceName.VECTOR_OPS: {
        "GET /health": None,
        "POST /refresh": _S.INDEX_REFRESH,
        "GET /query": _S.INDEX_READ,
        "GET /snapshot": _S.INDEX_READ,
    },
}
