"""Vocabulary of the model broker: messages, completions, routing receipts, models, prices, budgets.

Money is integer micro-USD, a price micro-USD per million tokens. Cached tokens are part of `tokens_in`, thinking tokens
part of `tokens_out` (as in genai-prices), so they are never added twice.
"""

import math
from collections.abc import Mapping
from enum import StrEnum
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from services.kernel.vocabulary import Lane

MAX_MESSAGE_CHARS = 4_000_000
BYTES_PER_TOKEN = 3
"""A cautious guess for packing a context; a reservation counts every byte as a token."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Provider(StrEnum):
    """Whose wire a model speaks; `local_llama` is any OpenAI-compatible URL that the operator configured."""

    ANTHROPIC = "anthropic"
    OPENAI = "openai"
    GOOGLE = "google"
    LOCAL_LLAMA = "local_llama"


class ToolStyle(StrEnum):
    """How a model calls tools: by its provider's own calls, or by fenced blocks in its text."""

    NATIVE = "native"
    TEXT = "text"


class Role(StrEnum):
    """Who speaks."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


class ToolCall(_Frozen):
    """A tool that the model wants called; `arguments` is the JSON text exactly as the model wrote it."""

    call_id: str = Field(min_length=1, max_length=200)
    name: str = Field(min_length=1, max_length=200)
    arguments: str = Field(max_length=MAX_MESSAGE_CHARS)


class Message(_Frozen):
    """One message. `tool_call_id` names the call that a `tool` message answers.

    `opaque` is an assistant turn in its provider's own form (signed thinking, for example); it is handed back unchanged
    when the same model goes on, and ignored by any other.
    """

    role: Role
    content: str = Field(default="", max_length=MAX_MESSAGE_CHARS)
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""
    opaque: str = ""


class ToolSpec(_Frozen):
    """A tool on offer; `parameters` is the JSON Schema of its arguments. Names as in `fs_read` (letters, digits, _)."""

    name: str = Field(pattern=r"^[a-zA-Z][a-zA-Z0-9_]{0,63}$")
    description: str
    parameters: Mapping[str, JsonValue]


class BudgetKind(StrEnum):
    """What a cap can be set on. `month` is the whole platform in one calendar month (UTC), from the policy."""

    MONTH = "month"
    SESSION = "session"
    PROJECT = "project"
    RUN = "run"
    CARD = "card"


class BudgetScope(_Frozen):
    """One budget: `run:run-123`, `card:run-123/fix`."""

    kind: BudgetKind
    id: str = Field(min_length=1, max_length=300)

    @property
    def key(self) -> str:
        """Return the one-string form."""
        return f"{self.kind.value}:{self.id}"


class Purpose(StrEnum):
    """What a call is for."""

    AGENT = "agent"
    PLAN = "plan"
    ANSWER = "answer"
    SUMMARY = "summary"
    PROBE = "probe"
    CHAT = "chat"


class CompletionRequest(_Frozen):
    """One call. `call_id` is its idempotency key: a settled call's stored answer is returned, nothing is paid again.

    `scopes` are all budgets that must hold it, outermost first (a child's call names its parents' too). `alias` None
    means the lane's model by the policy. `max_tokens` None means the policy's.
    """

    call_id: str = Field(min_length=8, max_length=300)
    scopes: tuple[BudgetScope, ...] = Field(min_length=1, max_length=8)
    lane: Lane
    purpose: Purpose
    alias: str | None = None
    messages: tuple[Message, ...] = Field(min_length=1, max_length=2000)
    tools: tuple[ToolSpec, ...] = Field(default=(), max_length=64)
    tool_choice: Literal["auto", "required", "none"] = "auto"
    max_tokens: int | None = Field(default=None, ge=1)
    temperature: float | None = Field(default=None, ge=0, le=2)


class Usage(_Frozen):
    """Tokens of one attempt or call."""

    tokens_in: int = 0
    tokens_cache_read: int = 0
    tokens_cache_write: int = 0
    tokens_out: int = 0
    tokens_think: int = 0


class AttemptState(StrEnum):
    """Where an attempt stands. `lost`: the server died while it was under way, so its whole reservation counts."""

    RESERVED = "reserved"
    SETTLED = "settled"
    FAILED = "failed"
    LOST = "lost"


class AttemptOutcome(StrEnum):
    """How an attempt ended."""

    OPEN = "open"
    OK = "ok"
    RATE_LIMITED = "rate_limited"
    SERVER_ERROR = "server_error"
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    REDIRECTED = "redirected"
    CUT = "cut"
    MALFORMED = "malformed"
    KEY_REFUSED = "key_refused"
    KEY_MISSING = "key_missing"
    REJECTED = "rejected"
    CONTEXT_OVERFLOW = "context_overflow"
    MODEL_UNKNOWN = "model_unknown"
    BREAKER_OPEN = "breaker_open"
    LOST = "lost"


class RoutingReceipt(_Frozen):
    """One attempt: which model was asked, why this one, how it ended and what it cost.

    `is_estimated` says that the provider told no usage (a timeout, a cut stream): the reservation counts then.
    `fallback_from` is the alias tried before, when this attempt is a fallback. `detail` is one line without secrets.
    """

    attempt_id: str
    call_id: str
    position: int
    alias: str
    provider: Provider
    model: str
    fallback_from: str | None = None
    state: AttemptState
    outcome: AttemptOutcome
    status: int | None = None
    usage: Usage = Usage()
    reserved_microusd: int
    cost_microusd: int
    is_estimated: bool = False
    price_table_version: str
    time_ms: int = 0
    started_at: str
    detail: str = ""


class Completion(_Frozen):
    """The answer to a call. `cost_microusd` and `usage` are of all its attempts; `is_replayed`: from the ledger."""

    call_id: str
    text: str
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: Literal["stop", "length", "tool_calls", "content_filter"]
    usage: Usage
    cost_microusd: int
    alias: str
    provider: Provider
    model: str
    receipts: tuple[RoutingReceipt, ...]
    is_replayed: bool = False
    opaque: str = ""


class Delta(_Frozen):
    """A piece of a streamed answer.

    `is_restart`: the stream broke, another attempt begins, forget the text so far. The last one carries `completion`.
    """

    text: str = ""
    is_restart: bool = False
    completion: Completion | None = None


class Rates(_Frozen):
    """Micro-USD per million tokens; a cache rate of None is the input's."""

    input_microusd: int = Field(ge=0)
    output_microusd: int = Field(ge=0)
    cache_read_microusd: int | None = Field(default=None, ge=0)
    cache_write_microusd: int | None = Field(default=None, ge=0)

    @property
    def is_free(self) -> bool:
        """Return whether a call costs nothing."""
        return self.input_microusd == 0 and self.output_microusd == 0 and not self.cache_write_microusd


class PriceTier(Rates):
    """Rates for every token of a call whose whole input, cached tokens included, is above `above_tokens_in` tokens."""

    above_tokens_in: int = Field(ge=0)


class Price(Rates):
    """What most calls cost, and `tiers` for long inputs; `source` is `operator` or `genai-prices <version>`."""

    tiers: tuple[PriceTier, ...] = Field(default=(), max_length=16)
    source: str

    @property
    def is_free(self) -> bool:
        """Return whether a call costs nothing, however long it is."""
        return super().is_free and all(tier.is_free for tier in self.tiers)


class NewModel(_Frozen):
    """A model as the operator configures it.

    `base_url` only from here, never from a request. `key_ref` names where the key is (`env:NAME`, `vault:NAME`), never
    the key itself. `price` None means the public price table's.
    """

    alias: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")
    provider: Provider
    model: str = Field(min_length=1, max_length=200)
    base_url: str | None = Field(default=None, max_length=2000)
    key_ref: str | None = Field(default=None, pattern=r"^(env|vault):[A-Za-z_][A-Za-z0-9_.-]{0,127}$")
    price: Price | None = None
    context_tokens: int | None = Field(default=None, ge=1024)
    tool_style: ToolStyle = ToolStyle.NATIVE


class ModelView(_Frozen):
    """A configured model as it stands. `price` None: unknown, so calls are refused. `problem` is one line or empty."""

    alias: str
    provider: Provider
    model: str
    base_url: str | None
    key_ref: str | None
    price: Price | None
    context_tokens: int
    tool_style: ToolStyle
    is_default: bool
    is_breaker_open: bool = False
    problem: str = ""


class ModelProbe(_Frozen):
    """What `direng model test` saw: one real call. `detail` is one line; `cure` what to do when it is not good."""

    alias: str
    is_good: bool
    detail: str
    cure: str = ""
    time_ms: int = 0
    cost_microusd: int = 0
    tool_style: ToolStyle | None = None


class Route(_Frozen):
    """The models that a lane's calls try, in order, as views; `problem` says why there is none."""

    lane: Lane
    models: tuple[ModelView, ...]
    max_tokens: int
    timeout_s: float
    max_cost_per_task_microusd: int | None = None
    problem: str = ""


class Budget(_Frozen):
    """A budget as it stands: `spent` is settled, `reserved` of attempts under way; no cap is None.

    `chain_offset` counts downshifts: so many models of the chain are passed over.
    """

    scope: BudgetScope
    cap_microusd: int | None
    cap_tokens: int | None = None
    spent_microusd: int
    reserved_microusd: int
    tokens: int = 0
    chain_offset: int = 0
    attempts: int = 0


class SetBudget(_Frozen):
    """Set a cap, or change it; what is None stays as it is. A new money cap opens a closed budget again."""

    scope: BudgetScope
    cap_microusd: int | None = Field(default=None, ge=0)
    cap_tokens: int | None = Field(default=None, ge=0)
    chain_offset: int | None = Field(default=None, ge=0, le=8)
    rationale: str = Field(min_length=1, max_length=2000, pattern=r"\S")


class BrokerFacts(_Frozen):
    """What a run's passport says of the broker: digest of the policy, version of the prices, models by lane."""

    policy_sha256: str
    price_table_version: str
    provider_matrix: Mapping[str, str]


class Health(_Frozen):
    """The service is up; `models` counts those configured, `schema` is the Alembic revision of its database."""

    status: Literal["ok"] = "ok"
    service: Literal["broker"] = "broker"
    version: str
    models: int
    schema_revision: str = Field(serialization_alias="schema", validation_alias="schema")


class ContextBudget(_Frozen):
    """How a model's context is shared out (SPEC.md section 2), in tokens."""

    limit: int
    output: int
    overhead: int

    @property
    def input(self) -> int:
        """Return what is left for the prompt."""
        return self.limit - self.output - self.overhead

    @classmethod
    def of(cls, limit: int) -> Self:
        """Return output min(2048, 20%), overhead max(1024, 5%) of `limit`; the input is the rest."""
        return cls(limit=limit, output=min(2048, limit // 5), overhead=max(1024, limit // 20))


def estimate_tokens(text: str) -> int:
    """Return a cautious count of the tokens of `text`, for packing; not for money."""
    return math.ceil(len(text.encode("utf-8", "surrogatepass")) / BYTES_PER_TOKEN)
