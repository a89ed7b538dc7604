"""Vocabulary of DirEng: sessions, turns, and what a turn tells the terminal."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from services.kernel.ids import DelegationId, RunId, SessionId

MAX_TEXT_CHARS = 20_000
USD_PATTERN = r"^\d{1,9}(\.\d{1,6})?$"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class NewSession(_Frozen):
    """Open a session on a repository (any path inside it)."""

    repo: str = Field(min_length=1, max_length=4096)


class TurnState(StrEnum):
    """Where a turn stands. `waiting` means that it needs the user's word in the next turn."""

    RUNNING = "running"
    WAITING = "waiting"
    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"


class Turn(_Frozen):
    """One exchange."""

    turn_index: int
    text: str
    state: TurnState
    started_at: str
    finished_at: str = ""


class Spend(_Frozen):
    """What a session's models may cost, and did; `cap_microusd` None: nothing was ever paid for or capped."""

    cap_microusd: int | None
    spent_microusd: int
    reserved_microusd: int
    tokens: int
    text: str


class SetCap(_Frozen):
    """The most that a session's models may cost from now on."""

    max_cost_usd: str = Field(pattern=USD_PATTERN)


class Session(_Frozen):
    """A conversation about one repository. `run_id` is the newest run; `delegation_id` the newest delegation.

    `spend` is told of a single session, not in lists.
    """

    session_id: SessionId
    repo: str
    created_at: str
    turns: tuple[Turn, ...]
    delegation_id: DelegationId | None = None
    run_id: RunId | None = None
    spend: Spend | None = None


class Handling(StrEnum):
    """Who does the work: `auto` follows the size rule."""

    AUTO = "auto"
    DIRECT = "direct"
    DELEGATE = "delegate"


class TurnInput(_Frozen):
    """What the user said. `is_approved` answers a pending approval; `handling` is `--delegate` and its opposite.

    `purpose` is `auto`, or the one-shot command that was used: `ask`, `implement`, `fix`, `resume`.
    `max_cost_usd` is the most that models may cost: the session's cap from now on, and the bound of a delegation.
    """

    text: str = Field(default="", max_length=MAX_TEXT_CHARS)
    is_approved: bool | None = None
    handling: Handling = Handling.AUTO
    purpose: str = Field(default="auto", pattern=r"^(auto|ask|implement|fix|resume)$")
    max_cost_usd: str | None = Field(default=None, pattern=USD_PATTERN)


class TurnEventKind(StrEnum):
    """What a turn event is for; the terminal chooses its look by it."""

    TRACE = "trace"
    DELTA = "delta"
    ANSWER = "answer"
    DECISION = "decision"
    PLAN = "plan"
    ESTIMATE = "estimate"
    APPROVAL_REQUIRED = "approval_required"
    QUESTION = "question"
    STEP = "step"
    TICK = "tick"
    REPORT = "report"
    OFFER = "offer"
    ERROR = "error"
    END = "end"


class TurnEvent(_Frozen):
    """One line of a turn. `step` is its number among the fourteen of a delegation; `data` repeats `text` for scripts.

    A `delta` is a piece of an answer that still comes: it is not kept, its `seq` is 0, and {is_restart} says that the
    pieces before it are void. The `answer` repeats it whole, beginning with the same words.

    Keys of `data` by kind: answer {hits, stamp}, of a model {body, citations, checked, unknown, stamp, model, provider,
    tokens, cost_usd, spend, context, is_stopped}; estimate {time_p50_s, time_p80_s, time_p95_s, label, cost_usd,
    uses_model, cost_p50_usd, cost_p80_usd, tokens_p95}; approval_required {delegation_id} or {is_payment, model};
    tick {state, done, total, elapsed_s, eta_s, cost_microusd, cap_microusd}; report {run_id, state, badge, branch,
    files, findings, left_alone};
    error {code}; end {state, exit_code}.
    """

    session_id: SessionId
    turn_index: int
    seq: int
    at: str
    trace_id: str
    kind: TurnEventKind
    text: str
    step: int | None = None
    data: Mapping[str, JsonValue] = {}


class Accept(_Frozen):
    """Take a run's hunks into the working tree; None means the session's newest run."""

    run_id: RunId | None = None


class Change(_Frozen):
    """What accept or undo did."""

    run_id: RunId
    commit: str
    paths: tuple[str, ...]
    text: str


class Diff(_Frozen):
    """A run's diff against its snapshot."""

    run_id: RunId
    patch: str


class Grant(_Frozen):
    """What the session may do without asking."""

    action: str
    risk: str
    rule: str


class Check(_Frozen):
    """One line of `direng doctor`: what was looked at, whether it is good, and the cure if not."""

    name: str
    is_good: bool
    detail: str
    cure: str = ""


class Health(_Frozen):
    """The service is up; `schema` is the Alembic revision of its database."""

    status: Literal["ok"] = "ok"
    service: Literal["direng"] = "direng"
    version: str
    schema_revision: str = Field(serialization_alias="schema", validation_alias="schema")
