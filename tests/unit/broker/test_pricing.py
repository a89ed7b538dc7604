"""Integer money: a reservation is never under what a usage within it costs."""

from hypothesis import given
from hypothesis import strategies as st

from services.broker.core.pricing import format_usd, price_most, price_usage
from services.broker.models import Price, Usage

RATES = st.integers(0, 10**9)
COUNTS = st.integers(0, 10**7)
MAYBE = st.none() | RATES


@given(
    st.builds(
        Price,
        input_microusd=RATES,
        output_microusd=RATES,
        cache_read_microusd=MAYBE,
        cache_write_microusd=MAYBE,
        source=st.just("operator"),
    ),
    st.builds(Usage, tokens_in=COUNTS, tokens_cache_read=COUNTS, tokens_cache_write=COUNTS, tokens_out=COUNTS),
)
def test_usage_within_its_bounds_never_costs_more_than_was_reserved(price, usage):
    cost = price_usage(price, usage)
    assert isinstance(cost, int)
    assert 0 <= cost <= price_most(price, usage.tokens_in, usage.tokens_out)


def test_cached_tokens_are_a_part_of_the_input_at_their_own_rate():
    price = Price(
        input_microusd=1_000_000,
        output_microusd=5_000_000,
        cache_read_microusd=100_000,
        cache_write_microusd=1_250_000,
        source="operator",
    )
    usage = Usage(tokens_in=1000, tokens_cache_read=600, tokens_cache_write=200, tokens_out=10, tokens_think=9)
    assert price_usage(price, usage) == 200 + 60 + 250 + 50
    assert price_most(price, 1000, 10) == 1250 + 50


def test_cache_rates_that_are_not_told_are_the_inputs():
    price = Price(input_microusd=1_000_000, output_microusd=0, source="operator")
    assert price_usage(price, Usage(tokens_in=100, tokens_cache_read=60, tokens_cache_write=40)) == 100


def test_the_smallest_call_costs_at_least_one_micro_usd():
    assert price_usage(Price(input_microusd=1, output_microusd=0, source="operator"), Usage(tokens_in=1)) == 1


def test_amounts_are_told_as_people_read_them():
    assert [format_usd(amount) for amount in (0, 1, 250_000, 1_500_000, 12_345_678)] == [
        "$0.00",
        "$0.000001",
        "$0.25",
        "$1.50",
        "$12.345678",
    ]
