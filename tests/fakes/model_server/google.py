"""A small Gemini API over real HTTP: generateContent, streamGenerateContent and the list of models.

It checks what the real one checks of a request's form (key, contents, roles, answers to calls) and says what it was
told: `answers` are candidates' parts, one list per request; `failures` come first, as (status, body, headers).
"""

import json
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from aiohttp import web

USAGE = {
    "promptTokenCount": 100,
    "cachedContentTokenCount": 30,
    "candidatesTokenCount": 15,
    "thoughtsTokenCount": 5,
    "totalTokenCount": 120,
}
KEY = "AIza-test-key-0123456789"
MODEL = "gemini-test"

Parts = Sequence[Mapping[str, object]]


class GeminiServer:
    """Serves on loopback. `bodies` and `headers` keep the requests; `is_cut` leaves a stream's last event out."""

    def __init__(self, answers: Sequence[Parts] = ()) -> None:
        self.answers = list(answers)
        self.failures: list[tuple[int, Mapping[str, object], Mapping[str, str]]] = []
        self.bodies: list[Mapping[str, object]] = []
        self.headers: list[Mapping[str, str]] = []
        self.is_cut = False
        self.base_url = ""
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/v1beta/models/{call}", self._generate)
        app.router.add_get("/v1beta/models", self._list)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.base_url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def _list(self, request: web.Request) -> web.Response:
        refusal = self._refuse_key(request)
        if refusal is not None:
            return refusal
        return web.json_response({"models": [{"name": f"models/{MODEL}"}, {"name": "models/other"}]})

    async def _generate(self, request: web.Request) -> web.StreamResponse:
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        model, _, method = request.match_info["call"].partition(":")
        refusal = self._refuse_key(request) or self._fail() or await self._refuse_form(request, model)
        if refusal is not None:
            return refusal
        parts = self.answers.pop(0)
        if method == "generateContent":
            return web.json_response(_chunk(parts, is_last=True))
        if method == "streamGenerateContent" and request.query.get("alt") == "sse":
            return await self._stream(request, parts)
        return _error(404, "NOT_FOUND", f"no method {method}")

    async def _stream(self, request: web.Request, parts: Parts) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for part in parts:
            await response.write(_event(_chunk([part], is_last=False)))
        if not self.is_cut:
            await response.write(_event(_chunk([{"text": ""}], is_last=True)))
        await response.write_eof()
        return response

    def _fail(self) -> web.Response | None:
        if not self.failures:
            return None
        status, body, headers = self.failures.pop(0)
        return web.json_response(body, status=status, headers=headers)

    async def _refuse_form(self, request: web.Request, model: str) -> web.Response | None:
        body = await request.json()
        self.bodies.append(body)
        if model != MODEL:
            return _error(404, "NOT_FOUND", f"models/{model} is not found for API version v1beta")
        problem = _find_problem(body)
        return _error(400, "INVALID_ARGUMENT", problem) if problem else None

    def _refuse_key(self, request: web.Request) -> web.Response | None:
        if request.headers.get("x-goog-api-key") == KEY:
            return None
        details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}]
        return _error(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", details)


def _error(status: int, name: str, message: str, details: Sequence[object] = ()) -> web.Response:
    error = {"code": status, "message": message, "status": name, "details": list(details)}
    return web.json_response({"error": error}, status=status)


def _find_problem(body: Mapping[str, object]) -> str:
    contents = body.get("contents")
    if not isinstance(contents, list) or not contents:
        return "contents is not specified"
    calls = 0
    for content in contents:
        if content.get("role") not in {"user", "model"} or not content.get("parts"):
            return "Please use a valid role: user, model."
        kinds = [key for part in content["parts"] for key in part]
        results = kinds.count("functionResponse")
        if results != calls:
            return "the number of function response parts must equal that of function call parts"
        calls = kinds.count("functionCall")
    return ""


def _chunk(parts: Parts, *, is_last: bool) -> dict[str, object]:
    candidate: dict[str, object] = {"content": {"role": "model", "parts": list(parts)}, "index": 0}
    if is_last:
        candidate["finishReason"] = "STOP"
    return {"candidates": [candidate], "modelVersion": MODEL, "responseId": "r1", "usageMetadata": USAGE}


def _event(chunk: Mapping[str, object]) -> bytes:
    return f"data: {json.dumps(chunk)}\n\n".encode()
