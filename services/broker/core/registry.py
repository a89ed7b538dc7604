"""The configured models: kept in the broker's own database, resolved into a line-up that calls read from memory."""

import asyncio
import json
from collections.abc import Callable
from datetime import date
from functools import partial
from hashlib import sha256

from services.broker.core.breaker import Breakers
from services.broker.core.ledger import KeptModel, Ledger, Store
from services.broker.core.lineup import KEY_REFS, SET_PRICE, Candidate, Lineup, LineupBuilder, downshift
from services.broker.core.policy import PolicySource
from services.broker.core.ports import PriceTable
from services.broker.models import BrokerFacts, BudgetScope, ModelView, NewModel, Provider, Route, ToolStyle
from services.broker.protocol import ModelNotFoundError, PolicyBrokenError, PriceUnknownError
from services.kernel.caller import Caller
from services.kernel.clock import Clock, to_iso
from services.kernel.errors import ConflictError, InvalidRequestError
from services.kernel.vocabulary import Lane, Scope

FRESH_S = 5.0
"""How long a line-up is used that may have changed meanwhile: by another broker, or by a key that was put in place."""
NO_MODEL = "none"


class Models:
    """Satisfies the part of `protocol.Registry` that asks no model."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        policy: PolicySource,
        builder: LineupBuilder,
        breakers: Breakers,
        prices: Callable[[], PriceTable],
        check_url: Callable[[str], str],
    ) -> None:
        self._store = store
        self._clock = clock
        self._policy = policy
        self._builder = builder
        self._breakers = breakers
        self._prices = prices
        self._check_url = check_url
        self._lineup: Lineup | None = None
        self._read_at_s = 0.0
        self._read_on: date | None = None

    async def get_lineup(self) -> Lineup:
        """Return the line-up as it stands; raise PolicyBrokenError."""
        policy = self._policy.read()
        lineup = self._lineup
        if lineup is None or lineup.policy is not policy or self._is_old(lineup):
            read_at_s, self._read_on = self._clock.monotonic_s(), self._clock.now().date()
            kept = await self._store.transact(lambda ledger: ledger.list_models())
            lineup = await asyncio.to_thread(self._builder.build, policy, kept)
            self._lineup, self._read_at_s = lineup, read_at_s
        return lineup

    def _is_old(self, lineup: Lineup) -> bool:
        if self._read_on != self._clock.now().date():
            return True  # list prices change with the date
        may_change = self._store.is_shared or lineup.has_problems
        return may_change and self._clock.monotonic_s() - self._read_at_s > FRESH_S

    async def list_models(self, caller: Caller) -> tuple[ModelView, ...]:
        """Return the models, by alias, those that only the policy names included."""
        caller.require(Scope.MODEL_CALL)
        lineup = await self.get_lineup()
        found = sorted(lineup.candidates.values(), key=lambda candidate: candidate.alias)
        return tuple(self.view(lineup, candidate) for candidate in found)

    def view(self, lineup: Lineup, candidate: Candidate) -> ModelView:
        """Return a model as it stands."""
        target = candidate.target
        return ModelView(
            alias=target.alias,
            provider=target.provider,
            model=target.model,
            base_url=target.base_url,
            key_ref=target.key_ref,
            price=candidate.price,
            context_tokens=candidate.context_tokens,
            tool_style=target.tool_style,
            is_default=target.alias == lineup.default_alias,
            is_breaker_open=self._breakers.is_open(target.alias),
            problem=candidate.problem,
        )

    async def add_model(self, caller: Caller, new: NewModel) -> ModelView:
        """Keep a model; refuse an unknown price and a URL that may not be called."""
        caller.require(Scope.AUTH_ADMIN)
        new = self._check(new)
        candidate = await asyncio.to_thread(self._builder.resolve, new)
        if candidate.price is None:
            raise PriceUnknownError(f"no public price of {new.model} is known; {SET_PRICE}")
        await self._change(partial(_put_model, new=new, author=caller.subject, at=to_iso(self._clock.now())))
        self._breakers.close(new.alias)
        lineup = await self.get_lineup()
        return self.view(lineup, lineup.find(new.alias))

    def _check(self, new: NewModel) -> NewModel:
        """Return the model as it is kept: its URL in one form, its provider's customary key reference filled in."""
        if not new.model.isprintable():
            raise InvalidRequestError("the model's name has unprintable characters")
        if new.base_url is None and new.provider is Provider.LOCAL_LLAMA:
            raise InvalidRequestError(
                "a local_llama model needs its server's URL, such as --url http://127.0.0.1:11434/v1"
            )
        base_url = None if new.base_url is None else self._check_url(new.base_url)
        return new.model_copy(update={"base_url": base_url, "key_ref": new.key_ref or KEY_REFS.get(new.provider)})

    async def remove_model(self, caller: Caller, alias: str) -> None:
        """Forget a model; raise ModelNotFoundError."""
        caller.require(Scope.AUTH_ADMIN)
        await self._change(partial(_remove_model, alias=alias))
        self._breakers.close(alias)

    async def set_default(self, caller: Caller, alias: str) -> ModelView:
        """Make a model the default; refused while a policy file names one."""
        caller.require(Scope.AUTH_ADMIN)
        if self._policy.read().default.entry is not None:
            raise ConflictError(
                "the policy file model_broker.json names the default model; change default_provider there"
            )
        await self._change(partial(_set_default, alias=alias))
        lineup = await self.get_lineup()
        return self.view(lineup, lineup.find(alias))

    async def keep_tool_style(self, caller: Caller, alias: str, tool_style: ToolStyle) -> None:
        """Remember how a configured model calls tools; one that only the policy names is not kept."""
        stamp = to_iso(self._clock.now())
        await self._change(partial(_keep_tool_style, alias=alias, style=tool_style, author=caller.subject, at=stamp))

    async def _change(self, use_case: Callable[[Ledger], None]) -> None:
        await self._store.transact(use_case)
        self._lineup = None

    async def get_route(self, caller: Caller, lane: Lane, scope: BudgetScope | None = None) -> Route:
        """Return the models that a lane's calls try now; `problem` says why there is none."""
        caller.require(Scope.MODEL_CALL)
        try:
            lineup = await self.get_lineup()
        except PolicyBrokenError as error:
            return Route(lane=lane, models=(), max_tokens=0, timeout_s=0, problem=error.detail)
        chain = lineup.list_chain(lane)
        if scope is not None and chain:
            found = await self._store.transact(lambda ledger: ledger.read_budgets([scope.key]))
            chain = downshift(chain, found[0].chain_offset if found else 0)
        rule = lineup.policy.find_rule(lane)
        return Route(
            lane=lane,
            models=tuple(self.view(lineup, candidate) for candidate in chain),
            max_tokens=rule.max_tokens,
            timeout_s=rule.timeout_s,
            max_cost_per_task_microusd=rule.max_cost_per_task_microusd,
            problem=lineup.find_primary_fault(lane) if chain else lineup.explain_missing(lane),
        )

    async def get_facts(self, caller: Caller) -> BrokerFacts:
        """Return what a passport says of the broker."""
        caller.require(Scope.MODEL_CALL)
        lineup = await self.get_lineup()
        matrix = {lane.value: _name_first(lineup.list_chain(lane)) for lane in Lane}
        digest = lineup.policy.sha256 or sha256(json.dumps(matrix, sort_keys=True).encode()).hexdigest()
        version = await asyncio.to_thread(lambda: self._prices().version)
        return BrokerFacts(policy_sha256=digest, price_table_version=version, provider_matrix=matrix)


def _name_first(chain: tuple[Candidate, ...]) -> str:
    return f"{chain[0].target.provider.value}/{chain[0].target.model}" if chain else NO_MODEL


def _put_model(ledger: Ledger, new: NewModel, author: str, at: str) -> None:
    others = [kept for kept in ledger.list_models() if kept.new.alias != new.alias]
    ledger.put_model(KeptModel(new, is_default=not any(kept.is_default for kept in others)), author, at)


def _remove_model(ledger: Ledger, alias: str) -> None:
    kept = ledger.list_models()
    if not ledger.delete_model(alias):
        raise ModelNotFoundError(f"no model is called {alias!r}; direng model list shows them")
    rest = [model for model in kept if model.new.alias != alias]
    if rest and not any(model.is_default for model in rest):
        ledger.mark_default(rest[0].new.alias)


def _set_default(ledger: Ledger, alias: str) -> None:
    if alias not in {kept.new.alias for kept in ledger.list_models()}:
        raise ModelNotFoundError(f"no model is called {alias!r}; direng model list shows them")
    ledger.mark_default(alias)


def _keep_tool_style(ledger: Ledger, alias: str, style: ToolStyle, author: str, at: str) -> None:
    for kept in ledger.list_models():
        if kept.new.alias == alias and kept.new.tool_style is not style:
            new = kept.new.model_copy(update={"tool_style": style})
            ledger.put_model(KeptModel(new, kept.is_default), author, at)
