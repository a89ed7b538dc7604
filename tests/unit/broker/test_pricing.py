"""Integer money: a reservation is never under what a usage within it costs."""

from hypothesis import given
from hypothesis import strategies as st

from services.broker.core.pricing import format_usd, price_most, price_usage
from services.broker.models import Price, PriceTier, Usage

RATES = st.integers(0, 10**9)
COUNTS = st.integers(0, 10**7)
MAYBE = st.none() | RATES
CACHE = {"cache_read_microusd": MAYBE, "cache_write_microusd": MAYBE}
TIER = st.builds(PriceTier, above_tokens_in=COUNTS, input_microusd=RATES, output_microusd=RATES, **CACHE)
LONG = Price(
    input_microusd=3_000_000,
    output_microusd=15_000_000,
    tiers=(
        PriceTier(above_tokens_in=500, input_microusd=4_000_000, output_microusd=10_000_000),
        PriceTier(above_tokens_in=200, input_microusd=6_000_000, output_microusd=20_000_000),
    ),
    source="operator",
)


@given(
    st.builds(
        Price,
        input_microusd=RATES,
        output_microusd=RATES,
        tiers=st.lists(TIER, max_size=4).map(tuple),
        source=st.just("operator"),
        **CACHE,
    ),
    st.builds(Usage, tokens_in=COUNTS, tokens_cache_read=COUNTS, tokens_cache_write=COUNTS, tokens_out=COUNTS),
    COUNTS,
    COUNTS,
)
def test_usage_within_its_bounds_never_costs_more_than_was_reserved(price, usage, more_in, more_out):
    cost = price_usage(price, usage)
    assert isinstance(cost, int)
    assert 0 <= cost <= price_most(price, usage.tokens_in + more_in, usage.tokens_out + more_out)


def test_tier_holds_for_every_token_of_an_input_above_it():
    assert price_usage(LONG, Usage(tokens_in=200, tokens_out=10)) == 200 * 3 + 10 * 15
    assert price_usage(LONG, Usage(tokens_in=201, tokens_out=10)) == 201 * 6 + 10 * 20
    assert price_usage(LONG, Usage(tokens_in=501, tokens_cache_read=400, tokens_out=10)) == 501 * 4 + 10 * 10


def test_reservation_takes_the_dearest_of_the_tiers_that_the_input_can_reach():
    assert price_most(LONG, 200, 10) == 200 * 3 + 10 * 15
    assert price_most(LONG, 201, 10) == 201 * 6 + 10 * 20
    assert price_most(LONG, 501, 10) == 501 * 6 + 10 * 20


def test_price_is_free_only_when_every_tier_is():
    free = Price(input_microusd=0, output_microusd=0, source="operator")
    assert free.is_free
    assert not free.model_copy(update={"tiers": LONG.tiers}).is_free


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
