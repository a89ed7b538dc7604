"""A model whose long inputs cost more, from reservation to receipt."""

from services.broker.models import Message, PriceTier, Role, Usage
from tests.fakes.broker import PRICE, ask, new_model, reply
from tests.fakes.identity import ENGINEER


async def test_long_input_is_reserved_at_its_tier_and_settled_at_what_it_was(stage, broker):
    """The request's bytes could be tokens enough for the dear tier; the tokens that were used were not."""
    tier = PriceTier(above_tokens_in=400, input_microusd=5_000_000, output_microusd=10_000_000)
    price = PRICE.model_copy(update={"tiers": (tier,)})
    await broker.add_model(ENGINEER, new_model("long", price=price))
    stage.wire.play("long", reply(usage=Usage(tokens_in=400, tokens_out=5)), reply(usage=Usage(tokens_in=401)))
    text = (Message(role=Role.USER, content="a" * 1000),)
    [base] = (await broker.complete(ENGINEER, ask(alias="long", messages=text))).receipts
    assert base.reserved_microusd > 1000 * 5 + 100 * 10
    assert (base.cost_microusd, base.price_table_version) == (400 * 1 + 5 * 2, price.source)
    assert (await broker.complete(ENGINEER, ask("call-0002", alias="long", messages=text))).cost_microusd == 401 * 5
