"""Money, in integers: what an attempt could cost at most, and what it did cost."""

from services.broker.models import CompletionRequest, Price, Rates, Usage

TOKENS_PER_PRICE = 1_000_000
HIDDEN_TOKENS = 64
"""What a provider wraps around a prompt (roles, turn marks) that no request shows."""
HIDDEN_TOOL_TOKENS = 1024
"""What a provider, or the text protocol, adds when tools are on offer (Anthropic documents up to 530)."""


def count_most_tokens_in(request: CompletionRequest, size_bytes: int) -> int:
    """Return the upper bound of prompt tokens of a request whose JSON has `size_bytes`: no token is under one byte."""
    return size_bytes + (HIDDEN_TOOL_TOKENS if request.tools else HIDDEN_TOKENS)


def find_rates(price: Price, tokens_in: int) -> Rates:
    """Return the rates of a call with that much input, cached tokens included: a tier holds for all of its tokens."""
    reached = [tier for tier in price.tiers if tokens_in > tier.above_tokens_in]
    return max(reached, key=lambda tier: tier.above_tokens_in, default=price)


def price_most(price: Price, tokens_in: int, max_tokens: int) -> int:
    """Return the most that an attempt of at most so many tokens can cost, in micro-USD, rounded up.

    The dearest of the tiers that such an input can reach counts, and in it the dearest rate of input. A usage within
    the bounds lies in one of these tiers, with no more tokens at no higher rates, so it never costs more.
    """
    reachable = [price, *(tier for tier in price.tiers if tokens_in > tier.above_tokens_in)]
    return _divide_up(max(tokens_in * _find_dearest(rates) + max_tokens * rates.output_microusd for rates in reachable))


def price_usage(price: Price, usage: Usage) -> int:
    """Return what a usage costs, in micro-USD, rounded up; cached tokens are a part of the input, at their own rate."""
    rates = find_rates(price, usage.tokens_in)
    read = min(usage.tokens_cache_read, usage.tokens_in)
    written = min(usage.tokens_cache_write, usage.tokens_in - read)
    fresh = usage.tokens_in - read - written
    total = (
        fresh * rates.input_microusd
        + read * _or_input(rates.cache_read_microusd, rates)
        + written * _or_input(rates.cache_write_microusd, rates)
        + usage.tokens_out * rates.output_microusd
    )
    return _divide_up(total)


def _find_dearest(rates: Rates) -> int:
    return max(rates.input_microusd, rates.cache_write_microusd or 0, rates.cache_read_microusd or 0)


def _or_input(rate: int | None, rates: Rates) -> int:
    return rates.input_microusd if rate is None else rate


def _divide_up(total: int) -> int:
    return -(-total // TOKENS_PER_PRICE)


def format_usd(microusd: int) -> str:
    """Return an amount as people read it: $0.25, $0.000123."""
    text = f"{microusd / TOKENS_PER_PRICE:.6f}".rstrip("0")
    whole, _, cents = text.partition(".")
    return f"${whole}.{cents.ljust(2, '0')}"
