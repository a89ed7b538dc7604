"""A broker in a process of its own, for tests of one ledger with several: `python -m tests.fakes.broker_child`.

`spend URL HOME PREFIX COUNT SCOPE...` opens it, says `ready`, waits for a line, makes COUNT calls at once and prints
how many were answered and how many refused. `hang URL HOME CALL SCOPE...` says `calling` in the middle of a call.
"""

import asyncio
import sys
from pathlib import Path

from services.broker.app import open_broker
from services.broker.core.ports import WireReply, WireRequest
from services.broker.core.service import BrokerService
from services.broker.protocol import BudgetExceededError
from tests.fakes.broker import ScriptedWire, ask, make_ports, reply
from tests.fakes.identity import ENGINEER


def say(word: str) -> None:
    """Print one line at once."""
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


async def spend(service: BrokerService, wire: ScriptedWire, prefix: str, count: str, *scopes: str) -> None:
    """Make calls that tell no usage, so that each costs its whole reservation."""
    wire.play("main", reply(usage=None))
    await service.list_models(ENGINEER)
    say("ready")
    await asyncio.to_thread(sys.stdin.readline)
    answers = await asyncio.gather(
        *(service.complete(ENGINEER, ask(f"call-{prefix}-{number:03}", scopes)) for number in range(int(count))),
        return_exceptions=True,
    )
    refused = sum(isinstance(answer, BudgetExceededError) for answer in answers)
    for answer in answers:
        if isinstance(answer, BaseException) and not isinstance(answer, BudgetExceededError):
            raise answer
    say(f"{len(wire.requests)} {refused}")


async def hang(service: BrokerService, wire: ScriptedWire, call_id: str, *scopes: str) -> None:
    """Stay in the middle of a call until killed."""

    async def wait(_request: WireRequest) -> WireReply:
        say("calling")
        await asyncio.Event().wait()
        return reply()

    wire.play("main", wait)
    await service.complete(ENGINEER, ask(call_id, scopes))


async def main() -> None:
    """Do what the command line says."""
    work, url, home, *rest = sys.argv[1:]
    wire = ScriptedWire()
    parts = open_broker(make_ports(Path(home), wire, database_url=url))
    await {"spend": spend, "hang": hang}[work](parts.service, wire, *rest)
    await parts.close()


if __name__ == "__main__":
    asyncio.run(main())
