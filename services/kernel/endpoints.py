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
        **_need(_S.AUTH_ADMIN, "POST /token/introspect", "POST /revoke", "POST /keys/rotate"),
    },
    ServiceName.PLMS: {
        "GET /health": None,
        **_need(_S.PROJECT_WRITE, "POST /api/projects", "DELETE /api/projects/{project_id}"),
        **_need(_S.PROJECT_WRITE, "POST /api/projects/{project_id}/state"),
        **_need(_S.PROJECT_WRITE, "POST /api/projects/{project_id}/estimate"),
        **_need(_S.PLMS_READ_METRICS, "GET /api/projects", "GET /api/projects/{project_id}"),
        **_need(_S.PLMS_READ_METRICS, "GET /api/projects/{project_id}/estimates"),
        **_need(_S.PLMS_READ_METRICS, "GET /api/projects/{project_id}/metrics"),
        **_need(_S.PLMS_READ_METRICS, "GET /api/projects/{project_id}/kpis"),
        **_need(_S.PLMS_APPROVE, "POST /api/projects/{project_id}/approve"),
        **_need(_S.PAS_SUBMIT, "POST /api/runs/{run_id}/actuals", "POST /api/runs/{run_id}/kpis"),
    },
    ServiceName.PAS: {
        "GET /health": None,
        **_need(_S.PAS_SUBMIT, "POST /pas/v1/jobcards", "POST /pas/v1/runs/start"),
        **_need(_S.PAS_PAUSE, "POST /pas/v1/runs/pause", "POST /pas/v1/runs/resume", "POST /pas/v1/runs/terminate"),
        **_need(_S.PAS_PAUSE, "POST /pas/v1/jobcards/cancel"),
        **_need(_S.PAS_READ_STATUS, "GET /pas/v1/runs", "GET /pas/v1/runs/status"),
        **_need(_S.PAS_READ_STATUS, "GET /pas/v1/runs/{run_id}/events", "GET /pas/v1/runs/{run_id}/receipts"),
        **_need(_S.PAS_READ_STATUS, "GET /pas/v1/runs/{run_id}/passport", "GET /pas/v1/portfolio/status"),
        **_need(_S.PAS_READ_STATUS, "GET /pas/v1/models"),
        **_need(_S.ARTIFACT_WRITE, "POST /pas/v1/artifacts"),
        **_need(_S.ARTIFACT_READ, "GET /pas/v1/artifacts/{sha256}"),
    },
    ServiceName.PEX: {
        "GET /health": None,
        **_need(_S.PEX_START, "POST /plans", "POST /delegations", "POST /api/projects/{project_id}/estimate"),
        **_need(_S.PEX_START, "POST /api/projects/{project_id}/start", "POST /api/projects/{project_id}/simulate"),
        **_need(_S.PAS_READ_STATUS, "GET /delegations", "GET /delegations/{delegation_id}"),
        **_need(_S.PAS_READ_STATUS, "GET /delegations/{delegation_id}/events"),
        **_need(_S.PAS_READ_STATUS, "GET /api/projects/{project_id}/status"),
        **_need(_S.PAS_READ_STATUS, "GET /api/projects/{project_id}/receipts"),
        **_need(_S.PLMS_APPROVE, "POST /delegations/{delegation_id}/approve"),
        **_need(_S.PLMS_APPROVE, "POST /delegations/{delegation_id}/reject"),
        **_need(_S.PAS_PAUSE, "POST /api/projects/{project_id}/pause", "POST /api/projects/{project_id}/resume"),
        **_need(_S.PAS_PAUSE, "POST /api/projects/{project_id}/terminate"),
        **_need(_S.ARTIFACT_READ, "GET /api/projects/{project_id}/artifacts"),
    },
    ServiceName.DIRENG: {
        "GET /health": None,
        **_need(_S.SESSION_USE, "POST /sessions", "GET /sessions", "GET /sessions/{session_id}"),
        **_need(_S.SESSION_USE, "POST /sessions/{session_id}/budget", "POST /sessions/{session_id}/stop"),
        **_need(_S.SESSION_USE, "POST /sessions/{session_id}/turns", "POST /sessions/{session_id}/accept"),
        **_need(_S.SESSION_USE, "POST /sessions/{session_id}/undo", "GET /sessions/{session_id}/diff"),
        **_need(_S.SESSION_USE, "GET /sessions/{session_id}/events", "GET /grants", "GET /doctor"),
    },
    ServiceName.BROKER: {
        "GET /health": None,
        **_need(_S.MODEL_CALL, "POST /v1/complete", "POST /v1/stream", "POST /v1/chat/completions", "GET /v1/ledger"),
        **_need(_S.MODEL_CALL, "GET /v1/budgets", "GET /v1/facts", "GET /v1/models", "GET /v1/models/check"),
        **_need(_S.MODEL_CALL, "GET /v1/route"),
        **_need(_S.PAS_SUBMIT, "PUT /v1/budgets", "POST /v1/budgets/close"),
        **_need(_S.AUTH_ADMIN, "PUT /v1/models/{alias}", "DELETE /v1/models/{alias}"),
        **_need(_S.AUTH_ADMIN, "POST /v1/models/{alias}/default", "POST /v1/models/{alias}/test"),
    },
    ServiceName.VECTOR_OPS: {
        "GET /health": None,
        **_need(_S.INDEX_REFRESH, "POST /refresh"),
        **_need(_S.INDEX_READ, "GET /query", "GET /snapshot", "GET /freshness", "GET /cypher", "POST /mcp", "GET /mcp"),
    },
}
