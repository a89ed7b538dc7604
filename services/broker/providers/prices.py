"""List prices and context sizes from the pinned genai-prices snapshot: offline, never updated while running.

A price here is what the package's own calculation comes to: the rates that most calls have, and those of long inputs as
tiers. Only where it could not be told in integers it is an upper bound: a fraction of a micro-USD per million tokens is
rounded up, and of several times of day the dearest counts (no model of the three providers has either; a test watches).
The package is loaded at the first look-up.
"""

from collections.abc import Iterator, Sequence
from decimal import ROUND_CEILING, Decimal
from functools import cached_property
from importlib import metadata
from typing import TYPE_CHECKING

from services.broker.models import Price, PriceTier, Provider, Rates
from services.kernel.clock import Clock, SystemClock

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice

MICROUSD = 1_000_000
PER_REQUEST = "requests_kcount"
"""A price per request cannot be told in tokens, so such a model counts as unknown."""
BASE = -1
"""An input below every tier, which begins above some number of tokens."""


class GenaiPrices:
    """Satisfies core.ports.PriceTable. `clock` decides which of several dated prices is in force."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()

    @cached_property
    def version(self) -> str:
        return f"genai-prices {metadata.version('genai-prices')}"

    def find_price(self, provider: Provider, model: str) -> Price | None:
        found = _find_model(provider, model)
        prices = [] if found is None else list(self._list_prices(found))
        if any(getattr(price, PER_REQUEST, None) is not None for price in prices):
            return None
        base = _find_rates(prices, BASE)
        if base is None:
            return None
        return Price(**dict(base), tiers=_list_tiers(prices, base), source=self.version)

    def find_context_tokens(self, provider: Provider, model: str) -> int | None:
        found = _find_model(provider, model)
        return None if found is None else found.context_window

    def _list_prices(self, model: "ModelInfo") -> Iterator["ModelPrice"]:
        """Yield every price that may hold today: the newest begun one, and those that depend on the hour."""
        from genai_prices.types import ModelPrice, StartDateConstraint  # noqa: PLC0415 - loaded when first needed

        if isinstance(model.prices, ModelPrice):
            yield model.prices
            return
        now = self._clock.now()
        for conditional in reversed(model.prices):
            constraint = conditional.constraint
            if isinstance(constraint, StartDateConstraint) and not constraint.active(now):
                continue
            yield conditional.prices
            if constraint is None or isinstance(constraint, StartDateConstraint):
                return


_UNITS = {
    "input_microusd": ("input_mtok",),
    "output_microusd": ("output_mtok", "output_reasoning_mtok"),
    "cache_read_microusd": ("cache_read_mtok",),
    "cache_write_microusd": ("cache_write_mtok",),
}


def _find_model(provider: Provider, model: str) -> "ModelInfo | None":
    if provider is Provider.LOCAL_LLAMA:
        # Whatever runs behind the operator's own URL has no public price, whatever its name.
        return None
    from genai_prices.data_snapshot import get_snapshot  # noqa: PLC0415 - loaded when first needed

    snapshot = get_snapshot()
    known = next((each for each in snapshot.providers if each.id == provider.value), None)
    return None if known is None else known.find_model(model)


def _list_tiers(prices: Sequence["ModelPrice"], base: Rates) -> tuple[PriceTier, ...]:
    """Return the rates above each number of input tokens at which any of them changes."""
    starts = {tier.start for price in prices for rate in _list_rates(price) for tier in getattr(rate, "tiers", ())}
    tiers, rates = [], base
    for start in sorted(starts):
        above = _find_rates(prices, start)
        if above is not None and above != rates:
            tiers.append(PriceTier(**dict(above), above_tokens_in=start))
            rates = above
    return tuple(tiers)


def _list_rates(price: "ModelPrice") -> Iterator[object]:
    return (getattr(price, unit, None) for units in _UNITS.values() for unit in units)


def _find_rates(prices: Sequence["ModelPrice"], start: int) -> Rates | None:
    """Return the rates of an input in the tier above `start` tokens; None when input or output has no price."""
    found = {name: _find_dearest(prices, units, start) for name, units in _UNITS.items()}
    if found["input_microusd"] is None or found["output_microusd"] is None:
        return None
    return Rates.model_validate(found)


def _find_dearest(prices: Sequence["ModelPrice"], units: tuple[str, ...], start: int) -> int | None:
    rates = [_find_rate(getattr(price, unit, None), start) for price in prices for unit in units]
    told = [rate for rate in rates if rate is not None]
    return int((max(told) * MICROUSD).to_integral_value(ROUND_CEILING)) if told else None


def _find_rate(rate: object, start: int) -> Decimal | None:
    if rate is None or isinstance(rate, Decimal):
        return rate
    # TieredPrices, whose module is not loaded here; the package keeps tiers in the order of their starts.
    reached = [tier.price for tier in rate.tiers if tier.start <= start]  # type: ignore[attr-defined]
    return Decimal(reached[-1] if reached else rate.base)  # type: ignore[attr-defined]
