"""What the broker promises its neighbours.

PlatformError
├── InvalidRequestError
│   ├── ModelMissingError          broker.model_missing       no model for the lane: says what to configure
│   ├── PriceUnknownError          broker.price_unknown       no public price and none set by the operator
│   ├── ContextOverflowError       broker.context_overflow    the prompt is larger than the model's context
│   ├── ModelRejectedError         broker.model_rejected      the provider refused the request itself (400)
│   ├── UrlRefusedError            broker.url_refused         a URL that may not be called
│   └── PolicyBrokenError          broker.policy_broken       the policy file is invalid: every reason
├── NotFoundError
│   └── ModelNotFoundError         broker.model_not_found     no model has that alias
├── ConflictError
│   └── CallConflictError          broker.call_conflict       the call id was used with another body, or is under way
├── LimitExceededError
│   └── BudgetExceededError        broker.budget_exceeded     the next call could pass a cap; nothing was called
├── ForbiddenError
│   └── KeyRefusedError            broker.key_refused         the key is missing, wrong or revoked: says which reference
└── UnavailableError
    └── ModelsUnavailableError     broker.models_unavailable  every model of the chain failed; carries the last reason
"""

from collections.abc import AsyncIterator
from typing import Protocol

from services.broker.models import (
    BrokerFacts,
    Budget,
    BudgetScope,
    Completion,
    CompletionRequest,
    Delta,
    ModelProbe,
    ModelView,
    NewModel,
    Route,
    RoutingReceipt,
    SetBudget,
)
from services.kernel.caller import Caller
from services.kernel.errors import (
    ConflictError,
    ForbiddenError,
    InvalidRequestError,
    LimitExceededError,
    NotFoundError,
    UnavailableError,
)
from services.kernel.vocabulary import Lane


class ModelMissingError(InvalidRequestError):
    """No model is configured for what was asked."""

    code = "broker.model_missing"


class PriceUnknownError(InvalidRequestError):
    """The price of the model is not known, so nothing may be reserved."""

    code = "broker.price_unknown"


class ContextOverflowError(InvalidRequestError):
    """The prompt does not fit into the model's context."""

    code = "broker.context_overflow"


class ModelRejectedError(InvalidRequestError):
    """The provider refused the request as such; asking again would not help."""

    code = "broker.model_rejected"


class UrlRefusedError(InvalidRequestError):
    """The URL may not be called."""

    code = "broker.url_refused"


class PolicyBrokenError(InvalidRequestError):
    """The policy file is not valid; no model is called until it is mended."""

    code = "broker.policy_broken"


class ModelNotFoundError(NotFoundError):
    """No model has that alias."""

    code = "broker.model_not_found"


class CallConflictError(ConflictError):
    """The call id belongs to another body, or to a call that is still under way."""

    code = "broker.call_conflict"


class BudgetExceededError(LimitExceededError):
    """A reservation would pass a cap; no call was made."""

    code = "broker.budget_exceeded"


class KeyRefusedError(ForbiddenError):
    """The provider's key is missing, wrong or revoked."""

    code = "broker.key_refused"


class ModelsUnavailableError(UnavailableError):
    """Every model of the chain failed."""

    code = "broker.models_unavailable"


class Completions(Protocol):
    """Calls; both need scope model.call."""

    async def complete(self, caller: Caller, request: CompletionRequest) -> Completion:
        """Return the answer; each attempt is one ledger row, reserved before it is made and settled after it.

        A settled call id returns its stored answer (`is_replayed`), paying nothing. Raises any error of the tree above.
        """
        ...

    def stream(self, caller: Caller, request: CompletionRequest) -> AsyncIterator[Delta]:
        """Yield the answer as it comes; the last delta carries the completion. Same rules as `complete`."""
        ...


class Ledger(Protocol):
    """Spend and caps."""

    async def list_attempts(
        self, caller: Caller, scope: BudgetScope | None = None, limit: int = 100
    ) -> tuple[RoutingReceipt, ...]:
        """Return attempts, newest first, of one budget or of all; needs model.call."""
        ...

    async def get_budget(self, caller: Caller, scope: BudgetScope) -> Budget:
        """Return a budget; one never used or set is empty and without a cap. Needs model.call."""
        ...

    async def set_budget(self, caller: Caller, change: SetBudget) -> Budget:
        """Set a cap or a downshift; repeating it changes nothing. Needs pas.submit."""
        ...

    async def close_budget(self, caller: Caller, scope: BudgetScope, rationale: str) -> Budget:
        """Set the cap to what is spent and reserved: nothing more can be reserved. Needs pas.submit."""
        ...


class Registry(Protocol):
    """The configured models. Reading needs model.call, changing auth.admin."""

    async def list_models(self, caller: Caller) -> tuple[ModelView, ...]:
        """Return the models, by alias."""
        ...

    async def add_model(self, caller: Caller, new: NewModel) -> ModelView:
        """Keep a model, replacing the one of that alias; the first becomes the default."""
        ...

    async def remove_model(self, caller: Caller, alias: str) -> None:
        """Forget a model; raises ModelNotFoundError."""
        ...

    async def set_default(self, caller: Caller, alias: str) -> ModelView:
        """Make a model the default of the policy."""
        ...

    async def test_model(self, caller: Caller, alias: str) -> ModelProbe:
        """Make one small real call with a tool on offer; what it found is remembered (native or text tools)."""
        ...

    async def check_models(self, caller: Caller) -> tuple[ModelProbe, ...]:
        """Ask every endpoint whether it is there and takes its key, without a paid call; needs model.call."""
        ...

    async def get_route(self, caller: Caller, lane: Lane, scope: BudgetScope | None = None) -> Route:
        """Return the models that a lane's calls try now, downshifts of `scope` included; never raises for none."""
        ...

    async def get_facts(self, caller: Caller) -> BrokerFacts:
        """Return what a passport says of the broker; needs model.call."""
        ...


class Broker(Completions, Ledger, Registry, Protocol):
    """All three; one object serves them."""
