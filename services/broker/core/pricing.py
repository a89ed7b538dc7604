"""Money, in integers: what an attempt could cost at most, and what it did cost."""

from services.broker.models import CompletionRequest, Price, Usage

TOKENS_PER_PRICE = 1_000_000
HIDDEN_TOKENS = 64
"""What a provider wraps around a prompt (roles, turn marks) that no request shows."""
HIDDEN_TOOL_TOKENS = 1024
"""What a provider, or the text protocol, adds when tools are on offer (Anthropic documents up to 530)."""


def count_most_tokens_in(request: CompletionRequest, size_bytes: int) -> int:
    """Return the upper bound of prompt tokens of a request whose JSON has `size_bytes`: no token is under one byte."""
    return size_bytes + (HIDDEN_TOOL_TOKENS if request.tools else HIDDEN_TOKENS)


def price_most(price: Price, tokens_in: int, max_tokens: int) -> int:
    """Return the most that an attempt can cost, in micro-USD, rounded up; input at its dearest rate."""
    dearest = max(price.input_microusd, price.cache_write_microusd or 0, price.cache_read_microusd or 0)
    return _divide_up(tokens_in * dearest + max_tokens * price.output_microusd)


def price_usage(price: Price, usage: Usage) -> int:
    """Return what a usage costs, in micro-USD, rounded up; cached tokens are a part of the input, at their own rate."""
    read = min(usage.tokens_cache_read, usage.tokens_in)
    written = min(usage.tokens_cache_write, usage.tokens_in - read)
    fresh = usage.tokens_in - read - written
    total = (
        fresh * price.input_microusd
        + read * _or_input(price.cache_read_microusd, price)
        + written * _or_input(price.cache_write_microusd, price)
        + usage.tokens_out * price.output_microusd
    )
    return _divide_up(total)


def _or_input(rate: int | None, price: Price) -> int:
    return price.input_microusd if rate is None else rate


def _divide_up(total: int) -> int:
    return -(-total // TOKENS_PER_PRICE)


def format_usd(microusd: int) -> str:
    """Return an amount as people read it: $0.25, $0.000123."""
    text = f"{microusd / TOKENS_PER_PRICE:.6f}".rstrip("0")
    whole, _, cents = text.partition(".")
    return f"${whole}.{cents.ljust(2, '0')}"
