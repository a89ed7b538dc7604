"""Who could answer: the configured models resolved against policy, prices and keys, and the order in which to ask."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from services.broker.core.ledger import KeptModel
from services.broker.core.policy import Entry, LaneRule, Policy
from services.broker.core.ports import KeySource, PriceTable, Target, WireError
from services.broker.models import NewModel, Price, Provider
from services.broker.protocol import ModelMissingError, ModelNotFoundError
from services.kernel.vocabulary import Lane

DEFAULT_CONTEXT_TOKENS = 32_768
"""Of a model that neither the operator nor the price table knows the context of."""
KEY_REFS: Mapping[Provider, str] = {
    Provider.ANTHROPIC: "env:ANTHROPIC_API_KEY",
    Provider.OPENAI: "env:OPENAI_API_KEY",
    Provider.GOOGLE: "env:GEMINI_API_KEY",
}
"""Where a provider's key is by custom, when the operator names no other place."""
ADD_MODEL = "add one: direng model add NAME --provider PROVIDER --model MODEL"
SET_PRICE = "set one: --price-in USD --price-out USD per million tokens, or --free"


@dataclass(frozen=True)
class Candidate:
    """A model that could be asked. `problem` is one line or empty; `price` None: unknown, so it may not be asked."""

    target: Target
    price: Price | None
    context_tokens: int
    problem: str = ""

    @property
    def alias(self) -> str:
        """Return the name it goes by."""
        return self.target.alias

    @property
    def is_local_or_free(self) -> bool:
        """Return whether `prefer_local` puts it first."""
        return self.target.provider is Provider.LOCAL_LLAMA or (self.price is not None and self.price.is_free)


@dataclass(frozen=True)
class Lineup:
    """Policy and models at one moment. `faults` say by entry why a model of the policy cannot be asked."""

    policy: Policy
    candidates: Mapping[str, Candidate]
    default_alias: str | None
    by_entry: Mapping[Entry, str]
    faults: Mapping[Entry, str]

    @property
    def has_problems(self) -> bool:
        """Return whether some model could not be asked, which may be mended at any time."""
        return bool(self.faults) or any(candidate.problem for candidate in self.candidates.values())

    def find(self, alias: str) -> Candidate:
        """Return the model of that alias; raise ModelNotFoundError."""
        found = self.candidates.get(alias)
        if found is None:
            known = ", ".join(sorted(self.candidates)) or "none"
            raise ModelNotFoundError(
                f"no model is called {alias!r} (configured: {known}); direng model list shows them"
            )
        return found

    def list_chain(self, lane: Lane, alias: str | None = None) -> tuple[Candidate, ...]:
        """Return the models that a lane's calls try, in order, before any downshift; may be empty."""
        first = self._find_default(self.policy.find_rule(lane)) if alias is None else self.find(alias).alias
        chain = [self.by_entry.get(entry) for entry in self.policy.chain]
        found = [self.candidates[name] for name in dict.fromkeys([first, *chain]) if name is not None]
        if self.policy.is_local_preferred:
            explicit = found[:1] if alias is not None else []
            rest = found[len(explicit) :]
            found = [*explicit, *sorted(rest, key=lambda candidate: not candidate.is_local_or_free)]
        return tuple(found)

    def _find_default(self, rule: LaneRule) -> str | None:
        return self.default_alias if rule.entry is None else self.by_entry.get(rule.entry)

    def choose_chain(self, lane: Lane, alias: str | None) -> tuple[Candidate, ...]:
        """Return what `list_chain` does; raise ModelMissingError when that is nothing."""
        chain = self.list_chain(lane, alias)
        if not chain:
            raise ModelMissingError(self.explain_missing(lane))
        return chain

    def explain_missing(self, lane: Lane) -> str:
        """Return one line: that a lane has no model, why, and what to do."""
        rule = self.policy.find_rule(lane)
        entries = ([] if rule.entry is None else [rule.entry]) + list(self.policy.chain)
        faults = [self.faults[entry] for entry in dict.fromkeys(entries) if entry in self.faults]
        reason = f" ({'; '.join(faults)})" if faults else ""
        return f"no model is configured for {lane.value}{reason}; {ADD_MODEL}"

    def find_primary_fault(self, lane: Lane) -> str:
        """Return why the first model that the policy names for a lane cannot be asked, or nothing."""
        entry = self.policy.find_rule(lane).entry
        return "" if entry is None else self.faults.get(entry, "")


def downshift(chain: Sequence[Candidate], offset: int) -> tuple[Candidate, ...]:
    """Return the chain without its first `offset` models; the last one is never passed over."""
    return tuple(chain[min(offset, len(chain) - 1) :])


def find_fallback(chain: Sequence[Candidate], after: int, context_over: int = 0) -> int | None:
    """Return the place of the next model that may be asked and whose context is over `context_over`, or None."""
    for place in range(after + 1, len(chain)):
        if chain[place].price is not None and chain[place].context_tokens > context_over:
            return place
    return None


class LineupBuilder:
    """Resolves models; may block (the price table loads at its first use, a vault is read)."""

    def __init__(self, prices: Callable[[], PriceTable], keys: KeySource) -> None:
        self._prices = prices
        self._keys = keys

    def build(self, policy: Policy, kept: Sequence[KeptModel]) -> Lineup:
        """Return the line-up of a policy over the configured models."""
        found = {model.new.alias: self._resolve(model.new, policy) for model in kept}
        default = next((model.new.alias for model in kept if model.is_default), None)
        by_entry: dict[Entry, str] = {}
        faults: dict[Entry, str] = {}
        for entry in _list_entries(policy):
            alias = _find_alias(entry, kept)
            if alias is None:
                implied = self._imply(entry, policy)
                if isinstance(implied, str):
                    faults[entry] = implied
                    continue
                alias = implied.alias
                found.setdefault(alias, implied)
            by_entry[entry] = alias
        if policy.default.entry is not None:
            default = by_entry.get(policy.default.entry)
        return Lineup(policy, found, default, by_entry, faults)

    def resolve(self, new: NewModel) -> Candidate:
        """Return one model with its price, context and problem."""
        return self._resolve(new, Policy())

    def _resolve(self, new: NewModel, policy: Policy) -> Candidate:
        target = Target(
            alias=new.alias,
            provider=new.provider,
            model=new.model,
            base_url=new.base_url,
            key_ref=new.key_ref,
            tool_style=new.tool_style,
            is_caching=policy.is_caching,
        )
        price, context = new.price, new.context_tokens
        if price is None:
            price = self._prices().find_price(new.provider, new.model)
        if context is None and new.provider is not Provider.LOCAL_LLAMA:
            context = self._prices().find_context_tokens(new.provider, new.model)
        problem = f"its price is unknown; {SET_PRICE}" if price is None else self._find_key_fault(new.key_ref)
        return Candidate(target, price, context or DEFAULT_CONTEXT_TOKENS, problem)

    def _imply(self, entry: Entry, policy: Policy) -> Candidate | str:
        """Return a model that only the policy names, at its provider's own endpoint, or why it cannot be asked."""
        key_ref = KEY_REFS.get(entry.provider)
        if key_ref is None:
            return f"the policy names {entry}, which is not configured"
        new = NewModel(alias=_make_alias(entry), provider=entry.provider, model=entry.model, key_ref=key_ref)
        candidate = self._resolve(new, policy)
        return f"the policy names {entry}: {candidate.problem}" if candidate.problem else candidate

    def _find_key_fault(self, key_ref: str | None) -> str:
        if key_ref is None:
            return ""
        try:
            self._keys.resolve(key_ref)
        except WireError as error:
            return error.detail
        return ""


def _list_entries(policy: Policy) -> tuple[Entry, ...]:
    rules = [policy.default, *policy.lanes.values()]
    return tuple(dict.fromkeys([*(rule.entry for rule in rules if rule.entry is not None), *policy.chain]))


def _find_alias(entry: Entry, kept: Sequence[KeptModel]) -> str | None:
    """Return the configured model that a policy's entry means: the provider's name for it first, then the alias."""
    mates = [model.new for model in kept if model.new.provider is entry.provider]
    names = [new.alias for new in mates if new.model == entry.model]
    return next(iter([*names, *(new.alias for new in mates if new.alias == entry.model)]), None)


def _make_alias(entry: Entry) -> str:
    """Return an alias for a model that only the policy names."""
    name = re.sub(r"[^a-z0-9._-]+", "-", f"{entry.provider.value}-{entry.model}".lower())
    return name[:64]
