"""Work that changes something: plan it, decide who does it, run it directly or hand it to PEX."""

import hashlib
from dataclasses import dataclass
from datetime import datetime

from services.direng.calls.pas import PasEdge
from services.direng.calls.pex import PexEdge
from services.direng.core.following import Follower
from services.direng.core.notebook import Notebook
from services.direng.core.pausing import DIRECT_PROJECT, Steering, is_direct
from services.direng.core.ports import EventDraft, Following, OpenTurn, Pending, Worktree
from services.direng.core.sizing import Route, Size, decide_route, split_estimate_request
from services.direng.core.spending import Purse, left_of, tariffs_of_lanes
from services.direng.core.telling import tell_plan, tell_question
from services.direng.models import Handling, TurnEventKind, TurnInput, TurnState
from services.direng.protocol import NothingLeftError
from services.kernel.errors import NotFoundError
from services.kernel.ids import DelegationId, RunId, Sha256
from services.kernel.vocabulary import DelegationState, RunState
from services.pas.models import CONTRACT_VERSION, PassportBasis, RunView, StartRun
from services.pex.models import ApprovalReply, Constraints, Delegation, DelegationContext, DelegationRequest, Plan

DIRECT_LIMIT_S = 3600.0
MAX_RUNS_COMPARED = 5
AGENT_RECIPE = "agent"
"""What PEX calls a plan whose work a model does."""
HANDLING_OPTIONS = ("handle it yourself", "delegate to PEX")
_PLANNING = frozenset({DelegationState.RECEIVED, DelegationState.PLANNING, DelegationState.ESTIMATING})
_K = TurnEventKind


@dataclass(frozen=True)
class WorkParts:
    """What work needs."""

    notebook: Notebook
    follower: Follower
    pex: PexEdge
    pas: PasEdge
    worktree: Worktree
    purse: Purse


@dataclass(frozen=True)
class Order:
    """What is to be done, and on which terms. `is_told`: the user has seen the plan already."""

    text: str
    handling: Handling
    max_cost_usd: str | None = None
    is_told: bool = False

    @classmethod
    def of(cls, said: TurnInput, text: str, handling: Handling) -> "Order":
        """Return the order that words make, with the bound that came with them."""
        return cls(text, handling, said.max_cost_usd)

    @property
    def intent(self) -> str:
        """Return the words without a request for an estimate."""
        return split_estimate_request(self.text)[0]


class Worker:
    """Takes one order to its end, or to the next question for the user."""

    def __init__(self, parts: WorkParts) -> None:
        self._parts = parts
        self._notebook = parts.notebook

    async def work(self, turn: OpenTurn, order: Order) -> None:
        """Plan, decide by size, and do it."""
        asks_for_estimate = split_estimate_request(order.text)[1]
        await self._notebook.tell(turn, EventDraft(_K.TRACE, f"you: {order.text[:400]}", step=1))
        planning = await self._parts.pex.plan(order.intent, turn.repo)
        if planning.question is not None:
            event, pending = tell_question(planning.question, turn.trace_id, order.handling)
            await self._notebook.close(turn, TurnState.WAITING, event, exit_code=1, pending=pending)
            return
        plan = planning.plan
        if plan is None:
            await self._notebook.refuse(turn, planning.refusal, "pex.no_plan")
            return
        size = await self._measure(turn, plan, asks_for_estimate=asks_for_estimate)
        await self._route(turn, order, plan, size)

    async def _route(self, turn: OpenTurn, order: Order, plan: Plan, size: Size) -> None:
        """Say who does it, and have it done; what costs money asks first."""
        decision = decide_route(size, order.handling)
        # A model of PEX's will make a plan of its own: the one-card plan is what a direct run would do.
        is_shown = not order.is_told and not (decision.route is Route.DELEGATE and plan.recipe == AGENT_RECIPE)
        if is_shown:
            await self._notebook.tell(turn, tell_plan(plan))
        if decision.route is Route.ASK:
            await self._ask_who(turn, decision.reason, order)
        elif not await self._ask_to_pay(turn, order, plan):
            if decision.route is Route.DIRECT:
                await self._notebook.tell(turn, EventDraft(_K.DECISION, f"doing it directly ({decision.reason})"))
                await self._run_directly(turn, order.intent, plan)
            else:
                said = f"handing it to PEX, the orchestrator ({decision.reason})"
                await self._notebook.tell(turn, EventDraft(_K.DECISION, said, step=2))
                await self._delegate(turn, decision.reason, order)

    async def _ask_to_pay(self, turn: OpenTurn, order: Order, plan: Plan) -> bool:
        """Ask for the session's first paid use; return whether the turn waits for the word now."""
        asked = await self._parts.purse.ask(turn.session_id, tariffs_of_lanes(plan.models)) if plan.models else None
        if asked is None:
            return False
        pending = Pending(
            kind="paid",
            trace_id=turn.trace_id,
            intent=order.text,
            handling=order.handling,
            purpose="implement",
            max_cost_usd=order.max_cost_usd,
        )
        await self._notebook.close(turn, TurnState.WAITING, asked, pending=pending)
        return True

    async def _ask_who(self, turn: OpenTurn, reason: str, order: Order) -> None:
        text = (
            f"{reason}. Who should do it?\n  A) I handle it myself, now\n  B) delegate to PEX, with an estimate first"
        )
        event = EventDraft(_K.QUESTION, text, data={"options": list(HANDLING_OPTIONS)})
        pending = Pending(
            kind="handling",
            trace_id=turn.trace_id,
            intent=order.intent,
            options=HANDLING_OPTIONS,
            max_cost_usd=order.max_cost_usd,
        )
        await self._notebook.close(turn, TurnState.WAITING, event, exit_code=1, pending=pending)

    async def _measure(self, turn: OpenTurn, plan: Plan, *, asks_for_estimate: bool) -> Size:
        """Return what is known beforehand: the files from the index, the time from earlier runs of the same kind."""
        configurations = {card.configuration for card in plan.cards if card.configuration != "recipe/run-tests"}
        configurations = configurations or {"recipe/run-tests"}
        times = [
            (datetime.fromisoformat(run.finished_at) - datetime.fromisoformat(run.started_at)).total_seconds() / 60
            for run in await self._parts.pas.list_runs(turn.repo)
            if run.started_at and run.finished_at and _is_alike(run, configurations)
        ][:MAX_RUNS_COMPARED]
        files: int | None = len(plan.files_expected)
        if not files and plan.recipe != "run-tests":
            files = None
        return Size(files, max(times) if times else None, asks_for_estimate)

    async def _run_directly(self, turn: OpenTurn, intent: str, plan: Plan) -> None:
        run_id = RunId(f"run-{turn.session_id.partition('-')[2]}-{turn.turn_index}")
        start = StartRun(
            project_id=DIRECT_PROJECT,
            run_id=run_id,
            title=plan.title,
            passport_basis=_make_basis(turn.repo, intent, plan),
            cards=plan.cards,
            max_time_s=DIRECT_LIMIT_S,
            max_cost_microusd=await self._find_cap(turn, plan),
            session_id=turn.session_id if plan.models else None,
        )
        following = Following(kind="run", id=run_id)
        await self._parts.pas.start_run(start)
        await self._notebook.store.point_to(turn, run_id=run_id)
        await self._notebook.tell(turn, EventDraft(_K.TRACE, f"run {run_id} started"), following=following)
        await self._parts.follower.follow(turn, following)

    async def _find_cap(self, turn: OpenTurn, plan: Plan) -> int:
        """Return what the run's models may cost: what is left of the session's cap. 0 where no model is used."""
        if not plan.models:
            return 0
        budget = await self._parts.purse.open(turn.session_id)
        is_free = all(model.input_microusd == 0 and model.output_microusd == 0 for model in plan.models)
        if left_of(budget) == 0 and not is_free:
            raise NothingLeftError("nothing is left of this session's cap; raise it with /budget USD or --max-cost")
        return left_of(budget)

    async def _delegate(self, turn: OpenTurn, reason: str, order: Order) -> None:
        place = await self._parts.worktree.describe(turn.repo)
        request = DelegationRequest(
            intent=order.intent,
            context=DelegationContext(
                repo=turn.repo,
                current_branch=place.branch,
                modified_files=place.modified_files[:1000],
                session_id=turn.session_id,
            ),
            constraints=Constraints(max_cost_usd=order.max_cost_usd),
            rationale=f"asked in session {turn.session_id}, turn {turn.turn_index}: {reason}",
        )
        delegation = await self._parts.pex.delegate(request)
        await self._notebook.store.point_to(turn, delegation_id=delegation.delegation_id)
        if delegation.state in _PLANNING:  # a model plans; it may take a while
            following = Following(
                kind="delegation", id=delegation.delegation_id, is_planning=True, max_cost_usd=order.max_cost_usd
            )
            await self._notebook.tell(turn, following=following)
            await self._parts.follower.follow(turn, following)
            return
        relayed = await self._relay_until_approval(delegation)
        await self._parts.follower.offer(turn, delegation, relayed, order.max_cost_usd)

    async def _relay_until_approval(self, delegation: Delegation) -> tuple[EventDraft, ...]:
        return tuple(
            [
                EventDraft(_K.TRACE, event.text, step=event.step)
                async for event in self._parts.pex.watch(delegation.delegation_id, 0)
                if event.step in {3, 4}
            ]
        )

    async def decide(self, turn: OpenTurn, pending: Pending, *, is_approved: bool) -> None:
        """Take the user's word to PEX: steps 6 and 7."""
        delegation_id = await self._newest_delegation(turn)
        word = "yes" if is_approved else "no"
        await self._notebook.tell(turn, EventDraft(_K.TRACE, f"you said {word}", step=6))
        reply = ApprovalReply(
            approved=is_approved,
            idempotency_key=f"{turn.session_id}.{turn.turn_index}",
            rationale=f"the user said {word} in session {turn.session_id}, turn {turn.turn_index}",
        )
        sent = EventDraft(_K.TRACE, f"told PEX: {word}", step=7)
        if not is_approved:
            await self._parts.pex.reject(delegation_id, reply)
            declined = EventDraft(_K.DECISION, "declined; nothing was run and nothing was changed")
            await self._notebook.close(turn, TurnState.REFUSED, sent, declined, exit_code=1)
            return
        # The cursor is kept before the word is given: a restart after it goes on from there.
        waiting = await self._parts.pex.get_delegation(delegation_id)
        following = Following(kind="delegation", id=delegation_id, cursor=waiting.last_seq)
        await self._notebook.tell(turn, following=following)
        await self._make_room(turn, waiting, pending.max_cost_usd)
        await self._parts.pex.approve(delegation_id, reply)
        await self._notebook.tell(turn, sent)
        await self._parts.follower.follow(turn, following)

    async def _make_room(self, turn: OpenTurn, delegation: Delegation, max_cost_usd: str | None) -> None:
        """Let the session hold what the user has just approved, and say so when its cap was lower.

        A bound that the user set is the session's cap already, and holds for planning and work together.
        """
        estimate = delegation.estimate
        if estimate is None or not estimate.uses_model or max_cost_usd is not None:
            return
        raised = await self._parts.purse.make_room(turn.session_id, estimate.cost_microusd_p95)
        if raised:
            await self._notebook.tell(turn, EventDraft(_K.DECISION, raised))

    async def steer(self, turn: OpenTurn, steering: Steering, pending: Pending | None) -> None:
        """Go on with the session's paused run, or end it; then tell it to its end.

        Its new cap needs room in the session's: the user's word raises both.
        """
        run, following = await self._find_paused(turn, pending)
        reason = f"the user said {steering.word} in session {turn.session_id}"
        if steering.word == "terminate":
            await self._parts.pas.terminate_run(run.run_id, reason)
        else:
            cap = steering.find_cap(run, pending.raise_microusd if pending else 0)
            if cap is not None:
                await self._parts.purse.make_room(turn.session_id, max(0, cap - run.cost_microusd))
            await self._parts.pas.resume_run(run.run_id, reason, cap, is_downshift=steering.word == "downshift")
        told = EventDraft(_K.TRACE, f"told the run to {steering.word}")
        await self._notebook.tell(turn, told, following=following)
        await self._parts.follower.follow(turn, following)

    async def _find_paused(self, turn: OpenTurn, pending: Pending | None) -> tuple[RunView, Following]:
        """Return the session's paused run and where telling it goes on: at the stored cursor, else from now."""
        session = await self._notebook.store.read_session(turn.session_id)
        if session is None or session.run_id is None:
            raise NotFoundError("the session has no paused run")
        run = await self._parts.pas.get_run(session.run_id)
        if run.state is not RunState.PAUSED:
            raise NotFoundError(f"run {run.run_id} is {run.state.value}, not paused")
        if pending is not None and pending.following is not None:
            return run, pending.following
        if is_direct(run) or session.delegation_id is None:
            return run, Following(kind="run", id=run.run_id, cursor=run.last_seq)
        delegation = await self._parts.pex.get_delegation(session.delegation_id)
        return run, Following(kind="delegation", id=delegation.delegation_id, cursor=delegation.last_seq)

    async def _newest_delegation(self, turn: OpenTurn) -> DelegationId:
        session = await self._notebook.store.read_session(turn.session_id)
        if session is None or session.delegation_id is None:
            raise NotFoundError("the session has no delegation")
        return session.delegation_id


def _is_alike(run: RunView, configurations: set[str]) -> bool:
    ended_well = run.state in {RunState.COMPLETED, RunState.NEEDS_REVIEW}
    return ended_well and any(card.configuration in configurations for card in run.cards)


def _make_basis(repo: str, intent: str, plan: Plan) -> PassportBasis:
    basis = PassportBasis(
        repo=repo,
        prd_sha256=Sha256(hashlib.sha256(intent.encode()).hexdigest()),
        contract_version=CONTRACT_VERSION,
    )
    if not plan.models:
        return basis
    matrix = {model.lane.value: f"{model.provider}/{model.model}" for model in plan.models}
    version = plan.models[0].price_table_version or "unknown"
    return basis.model_copy(update={"provider_matrix": matrix, "price_table_version": version})
