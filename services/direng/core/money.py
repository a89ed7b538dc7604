"""Money for people and from people; integer micro-USD inside."""

MICRO = 1_000_000
_CENTS_FROM = 100_000
"""From ten cents on, two decimals say enough."""


def read_usd(text: str) -> int:
    """Return an amount like `2.50` in micro-USD; `models.USD_PATTERN` has checked it."""
    whole, _, part = text.partition(".")
    return int(whole) * MICRO + int((part + "000000")[:6])


def format_usd(microusd: float) -> str:
    """Return `$2.50`; below ten cents more digits, as cents would say nothing."""
    decimals = 2 if microusd == 0 or abs(microusd) >= _CENTS_FROM else 4
    return f"${microusd / MICRO:.{decimals}f}"
