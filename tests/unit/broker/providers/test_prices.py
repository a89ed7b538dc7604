"""List prices: what a usage costs is what genai-prices says, to the micro-USD; None for what is not known."""

import math
from datetime import UTC, datetime, time
from decimal import Decimal
from functools import cache

import genai_prices
import pytest
from genai_prices import calc_price
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import (
    ClauseEquals,
    ConditionalPrice,
    ModelInfo,
    ModelPrice,
    StartDateConstraint,
    Tier,
    TieredPrices,
    TimeOfDateConstraint,
)
from hypothesis import given
from hypothesis import strategies as st

from services.broker.core.pricing import price_most, price_usage
from services.broker.models import Price, PriceTier, Provider, Usage
from services.broker.providers.prices import GenaiPrices
from tests.fakes.time import START, HandClock

PRICED = [Provider.OPENAI, Provider.ANTHROPIC, Provider.GOOGLE]


def add_model(monkeypatch, *prices):
    """Put a model of these prices, and no other, into the snapshot's OpenAI."""
    conditions = prices[0] if len(prices) == 1 and isinstance(prices[0], ModelPrice) else list(prices)
    model = ModelInfo(id="m", match=ClauseEquals(equals="m"), prices=conditions, context_window=1000)
    provider = next(each for each in get_snapshot().providers if each.id == "openai")
    monkeypatch.setattr(provider, "models", [model])


@pytest.fixture
def prices():
    return GenaiPrices(HandClock())


def test_version_names_the_pinned_snapshot(prices):
    assert prices.version == "genai-prices 0.2.3"


def test_known_model_has_a_price_and_a_context(prices):
    price = prices.find_price(Provider.OPENAI, "gpt-4o")
    assert (price.input_microusd, price.output_microusd, price.cache_read_microusd) == (
        2_500_000,
        10_000_000,
        1_250_000,
    )
    assert price.source == prices.version
    assert prices.find_context_tokens(Provider.OPENAI, "gpt-4o") == 128_000


def test_anthropic_cache_writes_have_their_own_rate(prices):
    price = prices.find_price(Provider.ANTHROPIC, "claude-3-haiku")
    assert price.cache_write_microusd == 300_000


@pytest.mark.parametrize("provider", list(Provider))
def test_unknown_model_has_no_price(prices, provider):
    assert prices.find_price(provider, "no-such-model-anywhere") is None
    assert prices.find_context_tokens(provider, "no-such-model-anywhere") is None


def test_local_model_has_no_public_price_whatever_its_name(prices):
    assert prices.find_price(Provider.LOCAL_LLAMA, "gpt-4o") is None
    assert prices.find_context_tokens(Provider.LOCAL_LLAMA, "gpt-4o") is None


def test_rates_of_most_calls_come_first_and_those_of_long_inputs_as_tiers(prices, monkeypatch):
    tiers = TieredPrices(base=Decimal(3), tiers=[Tier(start=200_000, price=Decimal(6))])
    falling = TieredPrices(base=Decimal(15), tiers=[Tier(start=500_000, price=Decimal(10))])
    add_model(monkeypatch, ModelPrice(input_mtok=tiers, output_mtok=falling, cache_read_mtok=tiers))
    price = prices.find_price(Provider.OPENAI, "m")
    assert price == Price(
        input_microusd=3_000_000,
        output_microusd=15_000_000,
        cache_read_microusd=3_000_000,
        tiers=(make_tier(200_000, 6, 15), make_tier(500_000, 6, 10)),
        source=prices.version,
    )


def make_tier(above, input_usd, output_usd):
    usd = 1_000_000
    return PriceTier(
        above_tokens_in=above,
        input_microusd=input_usd * usd,
        output_microusd=output_usd * usd,
        cache_read_microusd=input_usd * usd,
    )


def test_sonnet_costs_its_base_price_until_its_input_is_long(prices):
    price = prices.find_price(Provider.ANTHROPIC, "claude-sonnet-4-5")
    assert (price.input_microusd, price.output_microusd) == (3_000_000, 15_000_000)
    [tier] = price.tiers
    assert (tier.above_tokens_in, tier.input_microusd, tier.output_microusd) == (200_000, 6_000_000, 22_500_000)


def test_fraction_of_a_micro_usd_is_rounded_up(prices, monkeypatch):
    add_model(monkeypatch, ModelPrice(input_mtok=Decimal("0.0000001"), output_mtok=Decimal("0.1234561")))
    price = prices.find_price(Provider.OPENAI, "m")
    assert (price.input_microusd, price.output_microusd) == (1, 123_457)


def test_newest_price_that_has_begun_is_in_force(monkeypatch):
    add_model(
        monkeypatch,
        ConditionalPrice(prices=ModelPrice(input_mtok=Decimal(9), output_mtok=Decimal(9))),
        ConditionalPrice(
            StartDateConstraint(datetime(2026, 3, 1, tzinfo=UTC).date()),
            prices=ModelPrice(input_mtok=Decimal(5), output_mtok=Decimal(5)),
        ),
        ConditionalPrice(
            StartDateConstraint(datetime(2030, 1, 1, tzinfo=UTC).date()),
            prices=ModelPrice(input_mtok=Decimal(1), output_mtok=Decimal(1)),
        ),
    )
    rates = []
    for year in (2025, 2027, 2031):
        clock = HandClock(datetime(year, 6, 1, tzinfo=UTC))
        rates.append(GenaiPrices(clock).find_price(Provider.OPENAI, "m").input_microusd)
    assert rates == [9_000_000, 5_000_000, 1_000_000]


def test_dearest_hour_of_the_day_counts(prices, monkeypatch):
    night = TimeOfDateConstraint(time(0, tzinfo=UTC), time(8, tzinfo=UTC))
    add_model(
        monkeypatch,
        ConditionalPrice(prices=ModelPrice(input_mtok=Decimal(4), output_mtok=Decimal(4))),
        ConditionalPrice(night, prices=ModelPrice(input_mtok=Decimal(1), output_mtok=Decimal(1))),
    )
    assert prices.find_price(Provider.OPENAI, "m").input_microusd == 4_000_000


@pytest.mark.parametrize(
    "price",
    [
        ModelPrice(input_mtok=Decimal(1)),
        ModelPrice(output_mtok=Decimal(1)),
        ModelPrice(),
        ModelPrice(input_mtok=Decimal(1), output_mtok=Decimal(1), requests_kcount=Decimal(5)),
    ],
    ids=["no output", "no input", "nothing", "by request"],
)
def test_price_that_tokens_cannot_tell_is_unknown(prices, monkeypatch, price):
    add_model(monkeypatch, price)
    assert prices.find_price(Provider.OPENAI, "m") is None


USAGES = [
    Usage(tokens_in=1, tokens_out=0),
    Usage(tokens_in=0, tokens_out=1),
    Usage(tokens_in=1_234, tokens_out=567),
    Usage(tokens_in=12_345, tokens_cache_read=11_111, tokens_cache_write=1_001, tokens_out=678, tokens_think=123),
    Usage(tokens_in=199_999, tokens_cache_write=150_000, tokens_out=1),
    Usage(tokens_in=200_000, tokens_cache_read=200_000, tokens_out=7),
    Usage(tokens_in=200_001, tokens_cache_read=7, tokens_out=4_096),
    Usage(tokens_in=1_000_003, tokens_cache_read=999_000, tokens_cache_write=1_000, tokens_out=64_001),
]
"""Around the tiers that models have (100,000 to 272,000 tokens), with and without a cache."""


def calculate_usd(provider, model, usage):
    """Return what the package itself calculates from the same counts."""
    told = {"input_tokens": usage.tokens_in, "output_tokens": usage.tokens_out}
    told["cache_read_tokens"], told["cache_write_tokens"] = usage.tokens_cache_read, usage.tokens_cache_write
    calculation = calc_price(
        genai_prices.Usage(**told), model, provider_id=provider.value, genai_request_timestamp=START
    )
    return calculation.total_price


@pytest.mark.parametrize("usage", USAGES, ids=lambda usage: f"{usage.tokens_in} in, {usage.tokens_out} out")
@pytest.mark.parametrize("provider", PRICED)
def test_every_model_settles_at_the_price_that_the_package_calculates(prices, provider, usage):
    known = next(each for each in get_snapshot().providers if each.id == provider.value)
    settled = 0
    for model in known.models:
        price = prices.find_price(provider, model.id)
        if price is None:
            continue
        settled += 1
        exact = calculate_usd(provider, model.id, usage) * 1_000_000
        assert price_usage(price, usage) == math.ceil(exact), model.id
    assert settled > 20


@given(st.data())
def test_no_usage_within_the_bounds_settles_above_its_reservation(data):
    price = data.draw(st.sampled_from(list_known_prices()))
    most_in, most_out = data.draw(st.integers(0, 2_000_000)), data.draw(st.integers(0, 200_000))
    tokens_in = data.draw(st.integers(0, most_in))
    usage = Usage(
        tokens_in=tokens_in,
        tokens_cache_read=data.draw(st.integers(0, tokens_in)),
        tokens_cache_write=data.draw(st.integers(0, tokens_in)),
        tokens_out=data.draw(st.integers(0, most_out)),
    )
    assert price_usage(price, usage) <= price_most(price, most_in, most_out)


@cache
def list_known_prices():
    table = GenaiPrices(HandClock())
    models = [(each.id, model.id) for each in get_snapshot().providers for model in each.models]
    priced = {provider.value for provider in PRICED}
    found = [table.find_price(Provider(provider), model) for provider, model in models if provider in priced]
    return [price for price in found if price is not None]
