"""List prices as upper bounds: the dearest tier, rounded up, None for what is not known."""

from datetime import UTC, datetime, time
from decimal import Decimal

import pytest
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

from services.broker.models import Provider
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


def test_dearest_tier_counts_for_every_rate(prices, monkeypatch):
    tiers = TieredPrices(base=Decimal(3), tiers=[Tier(start=200_000, price=Decimal(6))])
    falling = TieredPrices(base=Decimal(15), tiers=[Tier(start=200_000, price=Decimal(10))])
    add_model(monkeypatch, ModelPrice(input_mtok=tiers, output_mtok=falling, cache_read_mtok=tiers))
    price = prices.find_price(Provider.OPENAI, "m")
    assert (price.input_microusd, price.output_microusd, price.cache_read_microusd) == (
        6_000_000,
        15_000_000,
        6_000_000,
    )


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


@pytest.mark.parametrize("provider", PRICED)
def test_no_model_of_the_snapshot_is_priced_under_its_dearest_rate(prices, provider):
    known = next(each for each in get_snapshot().providers if each.id == provider.value)
    for model in known.models:
        price = prices.find_price(provider, model.id)
        if price is None:
            continue
        rate = known.find_model(model.id).get_prices(START).input_mtok
        dearest = max([rate.base, *(tier.price for tier in rate.tiers)]) if isinstance(rate, TieredPrices) else rate
        assert price.input_microusd >= dearest * 1_000_000, model.id
