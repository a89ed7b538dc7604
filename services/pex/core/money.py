"""Money for people: integer micro-USD inside, dollars outside."""

from decimal import ROUND_CEILING, Decimal

MICRO = 1_000_000
_CENTS_FROM = 100_000
"""From ten cents on, two decimals are enough."""


def parse_usd(text: str) -> int:
    """Return micro-USD of a decimal number of dollars such as `0.50`."""
    return int((Decimal(text) * MICRO).to_integral_value(ROUND_CEILING))


def format_usd(microusd: float) -> str:
    """Return dollars: `$0.41`, and `$0.0123` below ten cents."""
    decimals = 2 if microusd >= _CENTS_FROM or microusd == 0 else 4
    return f"${microusd / MICRO:.{decimals}f}"
