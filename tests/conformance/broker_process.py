"""The app of a broker that runs in a process of its own (`tests.fakes.sockets.serve_in_process` calls `build`)."""

import asyncio
from dataclasses import replace
from pathlib import Path

from fastapi import FastAPI

from services.broker.app import create_app
from services.broker.core.ports import WireReply, WireRequest
from services.broker.models import AttemptOutcome, ToolCall
from services.kernel.vocabulary import Scope
from tests.fakes.broker import ListKeys, Pauses, ScriptedWire, fault, open_scripted, reply
from tests.fakes.identity import ENGINEER, NOBODY, READER, KnownCallers, make_caller

IN_RUN = replace(make_caller("service:run-1", Scope.MODEL_CALL, Scope.PAS_SUBMIT), run_id="run-1", project_id="prj-1")
CALLERS = KnownCallers((ENGINEER, READER, NOBODY, IN_RUN))
PROBED = ToolCall(call_id="t-1", name="report_ready", arguments='{"word": "ready"}')


async def answer_slowly(_request: WireRequest) -> WireReply:
    """Answer after a while."""
    await asyncio.sleep(0.2)
    return reply("slow")


def make_wire() -> ScriptedWire:
    """Return models whose names say what they do."""
    return ScriptedWire(
        script={
            "main": [reply("one two three")],
            "slow": [answer_slowly],
            "tools": [replace(reply("", tool_calls=(PROBED,)), finish_reason="tool_calls")],
            "rejecting": [fault(AttemptOutcome.REJECTED, detail="bad parameter")],
            "overflowing": [fault(AttemptOutcome.CONTEXT_OVERFLOW)],
            "refusing": [fault(AttemptOutcome.KEY_REFUSED, status=401)],
            "gone": [fault(AttemptOutcome.MODEL_UNKNOWN)],
            "cutting": [fault(AttemptOutcome.CUT), reply("other words")],
            "breaking": [fault(AttemptOutcome.CUT)],
            "mending": [fault(AttemptOutcome.CUT), reply("half of it is enough")],
        },
        checks={"gone": fault(AttemptOutcome.UNREACHABLE, detail="nothing listens there")},
    )


def open_conforming(home: Path):
    """Return an open broker over these models."""
    keys = ListKeys({"env:KEY": "sk-secret"})
    return open_scripted(home, make_wire(), keys=keys, sleep=Pauses().sleep)


def build(home: str) -> FastAPI:
    """Return the app over a database in `home`."""
    return create_app(open_conforming(Path(home)), CALLERS)
