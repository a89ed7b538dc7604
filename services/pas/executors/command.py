"""Command cards: one allowlisted argv."""

from services.kernel.errors import InvalidRequestError
from services.pas.core.ports import ArtifactBox, CardResult, CardWork
from services.pas.executors.recipe import fail, first_line, keep
from services.pas.executors.workbench import Order, Workbench, explain_stop
from services.pas.models import CardOutcome, CommandPayload


class CommandExecutor:
    """Runs `command` payloads; the output is kept as an artifact."""

    def __init__(self, bench: Workbench, artifacts: ArtifactBox) -> None:
        self._bench = bench
        self._artifacts = artifacts

    async def execute(self, work: CardWork) -> CardResult:
        payload = work.card.payload
        if not isinstance(payload, CommandPayload):
            raise InvalidRequestError(f"the card {work.card.task_id} is no command card")
        result = await self._bench.run(Order(work.card.lane, payload.argv, work.folder), work.cancel)
        log = await keep(
            self._artifacts, work.card.task_id, work.attempt, "output.log", result.stdout + b"\n" + result.stderr
        )
        stopped = explain_stop(result)
        if stopped is not None or result.exit_code != 0:
            line = first_line(result.stderr) or first_line(result.stdout)
            ended = stopped or f"{payload.argv[0]} ended with code {result.exit_code}"
            failure = fail(result, f"{ended}: {line}" if line and stopped is None else ended)
            return CardResult(
                is_success=False,
                outcome=failure.outcome,
                tier=failure.tier,
                reason=failure.reason,
                exit_code=failure.exit_code,
                is_cancelled=failure.is_cancelled,
                artifacts=(log,),
            )
        return CardResult(
            is_success=True,
            outcome=CardOutcome(summary=f"{' '.join(payload.argv[:3])} ran", detail=log),
            tier=result.tier,
            exit_code=result.exit_code,
            artifacts=(log,),
        )
