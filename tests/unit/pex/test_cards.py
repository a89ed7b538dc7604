"""What the estimator is told of a plan's cards."""

from services.kernel.vocabulary import Lane
from services.pas.models import LaneModel
from services.pex.core.cards import describe_for_estimate, plan_agent
from services.pex.models import Plan
from services.plms.models import ModelPrice

MODEL = LaneModel(
    lane=Lane.CODE_IMPL,
    alias="fast",
    provider="openai",
    model="fast-1",
    input_microusd=2_000_000,
    output_microusd=10_000_000,
    price_table_version="v1",
)


def test_estimate_is_of_the_attempts_the_cap_and_the_price_that_a_card_runs_with():
    baseline, agent, check = plan_agent("cache it", "Cache it", (), MODEL)
    capped = agent.model_copy(update={"max_attempts": 2, "max_cost_microusd": 90_000})
    plan = Plan(summary="s", recipe="agent", cards=(baseline, capped, check), models=(MODEL,))
    told = describe_for_estimate(plan, 1)
    assert [(card.max_attempts, card.max_cost_microusd) for card in told] == [(1, None), (2, 90_000), (1, None)]
    price = ModelPrice(input_microusd=2_000_000, output_microusd=10_000_000, price_table_version="v1")
    assert [card.price for card in told] == [None, price, None]
