"""List prices and context sizes from the pinned genai-prices snapshot: offline, never updated while running.

A price here bounds what a call can cost: of several tiers or times of day the dearest counts, and every rate is rounded
up to a whole micro-USD per million tokens. The package is loaded at the first look-up.
"""

from collections.abc import Iterator
from decimal import ROUND_CEILING, Decimal
from functools import cached_property
from importlib import metadata
from typing import TYPE_CHECKING

from services.broker.models import Price, Provider
from services.kernel.clock import Clock, SystemClock

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice

MICROUSD = 1_000_000
PER_REQUEST = "requests_kcount"
"""A price per request cannot be told in tokens, so such a model counts as unknown."""


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
        dearest = {name: _find_dearest(prices, units) for name, units in _UNITS.items()}
        if dearest["input"] is None or dearest["output"] is None:
            return None
        return Price(
            input_microusd=dearest["input"],
            output_microusd=dearest["output"],
            cache_read_microusd=dearest["cache_read"],
            cache_write_microusd=dearest["cache_write"],
            source=self.version,
        )

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
    "input": ("input_mtok",),
    "output": ("output_mtok", "output_reasoning_mtok"),
    "cache_read": ("cache_read_mtok",),
    "cache_write": ("cache_write_mtok",),
}


def _find_model(provider: Provider, model: str) -> "ModelInfo | None":
    if provider is Provider.LOCAL_LLAMA:
        # Whatever runs behind the operator's own URL has no public price, whatever its name.
        return None
    from genai_prices.data_snapshot import get_snapshot  # noqa: PLC0415 - loaded when first needed

    snapshot = get_snapshot()
    known = next((each for each in snapshot.providers if each.id == provider.value), None)
    return None if known is None else known.find_model(model)


def _find_dearest(prices: list["ModelPrice"], units: tuple[str, ...]) -> int | None:
    rates = [rate for price in prices for unit in units for rate in _list_rates(getattr(price, unit, None))]
    return int((max(rates) * MICROUSD).to_integral_value(ROUND_CEILING)) if rates else None


def _list_rates(rate: object) -> Iterator[Decimal]:
    if isinstance(rate, Decimal):
        yield rate
    elif rate is not None:
        yield rate.base  # type: ignore[attr-defined]  # TieredPrices, whose module is not loaded here
        yield from (tier.price for tier in rate.tiers)  # type: ignore[attr-defined]
