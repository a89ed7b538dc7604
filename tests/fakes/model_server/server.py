"""The scripted model server itself: routes, keys, models, rules, records."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Self

from aiohttp import web

from tests.fakes.model_server.conversation import Answer, BadRequestError, Conversation, read_object
from tests.fakes.model_server.delivery import Delivery, send_json
from tests.fakes.model_server.record import RecordedRequest, Stats, without_secrets
from tests.fakes.model_server.script import REPLY_FAULTS, Fault, Reply, Rule, Script, compose
from tests.fakes.model_server.wires import ANTHROPIC, GOOGLE, OPENAI, ModelProtocol

MAX_BODY_BYTES = 64 * 1024 * 1024
DEFAULT_MODEL = "scripted"
UNMATCHED = "no rule of the script fits this request (turn {turn}, model {model}, last message {last!r})"


class ScriptedModelServer:
    """Speaks the protocols of OpenAI, Anthropic and Google over real HTTP on loopback, answering by a script.

    `script` is a Script, the path of a script file, or the decoded JSON of one. `port` 0 takes a free one.
    """

    def __init__(self, script: Script | Path | Sequence[object] | Mapping[str, object], port: int = 0) -> None:
        self._port = port
        self._runner: web.AppRunner | None = None
        self._under_way = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self.script = script
        self.reset()

    @property
    def script(self) -> Script:
        """The script in force; setting another one forgets how often its rules were used."""
        return self._script

    @script.setter
    def script(self, script: Script | Path | Sequence[object] | Mapping[str, object]) -> None:
        if isinstance(script, Path):
            self._script = Script.load(script)
        else:
            self._script = script if isinstance(script, Script) else Script.read(script)
        self._uses: Counter[int] = Counter()
        self._faults: Counter[int] = Counter()

    @property
    def base_url(self) -> str:
        """`http://127.0.0.1:PORT`, without `/v1`: what a client of Anthropic or Google wants."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def anthropic_url(self) -> str:
        """Base URL for an Anthropic client."""
        return self.base_url

    @property
    def openai_url(self) -> str:
        """Base URL for an OpenAI client."""
        return f"{self.base_url}/v1"

    @property
    def requests(self) -> tuple[RecordedRequest, ...]:
        """Every request, oldest first."""
        return tuple(self._records)

    def stats(self) -> Stats:
        """Return the counts of all requests since the start or the last reset."""
        return Stats.of(self._records)

    def reset(self) -> None:
        """Forget the requests, and how often each rule was used."""
        self._records: list[RecordedRequest] = []
        self._uses.clear()
        self._faults.clear()

    async def start(self) -> None:
        """Listen."""
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_post("/v1/chat/completions", self._serve_openai)
        app.router.add_post("/v1/messages", self._serve_anthropic)
        app.router.add_post("/v1beta/models/{name}:{verb:(generateContent|streamGenerateContent)}", self._serve_google)
        app.router.add_get("/v1beta/models", self._list_models)
        app.router.add_get("/v1/models", self._list_models)
        app.router.add_get("/v1/models/{name:.+}", self._show_model)
        app.router.add_get("/__requests", self._tell_requests)
        app.router.add_get("/__stats", self._tell_stats)
        app.router.add_post("/__reset", self._take_reset)
        app.router.add_put("/__script", self._take_script)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        self._port = int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Stop listening and close all connections."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _serve_openai(self, request: web.Request) -> web.StreamResponse:
        return await self._serve(request, OPENAI)

    async def _serve_anthropic(self, request: web.Request) -> web.StreamResponse:
        return await self._serve(request, ANTHROPIC)

    async def _serve_google(self, request: web.Request) -> web.StreamResponse:
        verb = request.match_info["verb"]
        path = {"model": request.match_info["name"], "stream": verb == "streamGenerateContent"}
        return await self._serve(request, GOOGLE, path)

    async def wait_until_idle(self) -> None:
        """Return when no call is being answered; one whose client has gone ends by itself."""
        await self._idle.wait()

    async def _serve(
        self, request: web.Request, wire: ModelProtocol, path: Mapping[str, object] | None = None
    ) -> web.StreamResponse:
        self._under_way += 1
        self._idle.clear()
        try:
            return await self._answer(request, wire, path or {})
        finally:
            self._under_way -= 1
            if self._under_way == 0:
                self._idle.set()

    async def _answer(
        self, request: web.Request, wire: ModelProtocol, path: Mapping[str, object]
    ) -> web.StreamResponse:
        record = self._record(request, wire)
        nobody = Conversation(wire.name, "", ())
        delivery = Delivery(request, wire, nobody, None)
        try:
            self._check_key(request, wire)
            talk = await self._read(request, wire, record, path)
            answer, fault = self._decide(talk, record)
        except BadRequestError as error:
            response = await delivery.refuse(error)
            record.state, record.status = delivery.state, delivery.status
            return response
        delivery = Delivery(request, wire, talk, fault)
        try:
            return await delivery.send(answer)
        finally:
            record.state, record.status, record.ended_s = delivery.state, delivery.status, time.time()

    def _record(self, request: web.Request, wire: ModelProtocol) -> RecordedRequest:
        record = RecordedRequest(
            number=len(self._records) + 1,
            at_s=time.time(),
            method=request.method,
            path=request.path,
            headers=without_secrets(request.headers),
            provider=wire.name,
            idempotency_key=request.headers.get("Idempotency-Key", ""),
        )
        self._records.append(record)
        return record

    def _check_key(self, request: web.Request, wire: ModelProtocol) -> None:
        if not self._script.keys:
            return
        bearer = request.headers.get("Authorization", "").removeprefix("Bearer ").strip()
        key = request.headers.get("x-api-key") or request.headers.get("x-goog-api-key") or bearer
        if not key:
            raise BadRequestError("You did not provide an API key", wire.key_status, "key")
        if key not in self._script.keys:
            raise BadRequestError("Incorrect API key provided", wire.key_status, "key")

    async def _read(
        self, request: web.Request, wire: ModelProtocol, record: RecordedRequest, path: Mapping[str, object]
    ) -> Conversation:
        raw = await request.read()
        try:
            body = read_object(json.loads(raw), "the body")
        except ValueError:
            raise BadRequestError("the body is no JSON") from None
        record.keep_body(body, raw)
        talk = wire.parse({**body, **path}, request.headers, len(raw))
        record.model, record.turn, record.stream = talk.model, talk.turn, talk.stream
        if self._script.models and talk.model not in self._script.models:
            detail = f"The model `{talk.model}` does not exist or you do not have access to it."
            raise BadRequestError(detail if wire is OPENAI else f"model: {talk.model}", 404, "model_not_found")
        if self._script.traits(talk.model).refuses_tools and talk.tools:
            raise BadRequestError(f"{talk.model} does not support tools")
        return self._script.narrow(talk)

    def _decide(self, talk: Conversation, record: RecordedRequest) -> tuple[Answer | None, Fault | None]:
        """Return the answer and the fault of the first rule that fits; no answer: the fault replaces it."""
        limit = self._script.traits(talk.model).context_tokens
        if limit is not None and talk.input_tokens > limit:
            record.fault = "context_overflow"
            return None, Fault("context_overflow")
        for index, rule in enumerate(self._script.rules):
            if rule.times is not None and self._uses[index] >= rule.times:
                continue
            fault = self._fault_now(index, rule)
            if fault is None and rule.reply is None:
                continue  # a fault without a reply that has healed
            values = rule.match(talk)
            if values is None:
                continue
            self._uses[index] += 1
            record.rule = index + 1
            if fault is not None:
                self._faults[index] += 1
                record.fault = fault.kind
            if fault is not None and fault.kind not in REPLY_FAULTS:
                return None, fault
            answer = compose(rule.reply or Reply(), talk, values, fault)
            record.keep_usage(answer)
            return answer, fault
        record.fault = "unmatched"
        detail = UNMATCHED.format(turn=talk.turn, model=talk.model, last=talk.last_text[-200:])
        raise BadRequestError(detail, 400, "unmatched")

    def _fault_now(self, index: int, rule: Rule) -> Fault | None:
        fault = rule.fault
        if fault is not None and fault.times is not None and self._faults[index] >= fault.times:
            return None
        return fault

    async def _list_models(self, request: web.Request) -> web.StreamResponse:
        wire = _wire_of(request)
        return await self._tell(request, wire, wire.models(sorted(self._script.models) or [DEFAULT_MODEL]))

    async def _show_model(self, request: web.Request) -> web.StreamResponse:
        wire, name = _wire_of(request), request.match_info["name"]
        known = not self._script.models or name in self._script.models
        return await self._tell(request, wire, wire.model(name) if known else None)

    async def _tell(
        self, request: web.Request, wire: ModelProtocol, body: dict[str, object] | None
    ) -> web.StreamResponse:
        record = self._record(request, wire)
        unknown = None if body else BadRequestError("The model does not exist", 404, "model_not_found")
        try:
            self._check_key(request, wire)
        except BadRequestError as error:
            unknown = error
        if unknown is not None:
            record.state, record.status = "refused", unknown.status
            return await send_json(request, unknown.status, wire.error(unknown.status, unknown.detail, unknown.code))
        record.state, record.status = "answered", 200
        return await send_json(request, 200, body or {})

    async def _tell_requests(self, _request: web.Request) -> web.Response:
        return web.json_response([asdict(record) for record in self._records])

    async def _tell_stats(self, _request: web.Request) -> web.Response:
        return web.json_response(self.stats().as_json())

    async def _take_reset(self, _request: web.Request) -> web.Response:
        self.reset()
        return web.json_response({})

    async def _take_script(self, request: web.Request) -> web.Response:
        self.script = Script.read(await request.json())
        return web.json_response({"rules": len(self._script.rules)})


def _wire_of(request: web.Request) -> ModelProtocol:
    if request.path.startswith("/v1beta/"):
        return GOOGLE
    return ANTHROPIC if "anthropic-version" in request.headers else OPENAI
