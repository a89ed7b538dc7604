"""The unpaid question: which models an endpoint has, and whether it takes the key."""

import asyncio
import json
from collections.abc import Iterator

import httpx2

from services.broker.core.ports import WireError
from services.broker.models import AttemptOutcome, Provider
from services.broker.providers.exchange import CURRENT, Exchange
from services.broker.providers.sdk.failures import Site, explain, explain_malformed, explain_timeout
from services.broker.providers.sdk.lines import Line

TIMEOUT_S = 15.0
PATHS = {
    Provider.OPENAI: "/models",
    Provider.LOCAL_LLAMA: "/models",
    Provider.ANTHROPIC: "/v1/models?limit=1000",
    Provider.GOOGLE: "/v1beta/models?pageSize=1000",
}
ANTHROPIC_VERSION = {"anthropic-version": "2023-06-01"}


async def list_models(line: Line, site: Site) -> str:
    """Return one line: how many models there are, and whether the configured one is among them; raise WireError."""
    exchange = Exchange()
    token = CURRENT.set(exchange)
    line.calls += 1
    try:
        async with asyncio.timeout(TIMEOUT_S):
            answer = await line.client.get(
                site.base_url.rstrip("/") + PATHS[site.target.provider], headers=ANTHROPIC_VERSION
            )
            if answer.status_code == httpx2.codes.NOT_FOUND:
                raise _describe_missing(site)
            answer.raise_for_status()
        names = frozenset(_list_names(json.loads(answer.content)))
    except TimeoutError:
        raise explain_timeout(TIMEOUT_S, exchange, site) from None
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise explain(error, exchange, site) from None
    except (ValueError, TypeError, RecursionError):
        raise explain_malformed("its list of models is none", exchange, site) from None
    finally:
        line.calls -= 1
        CURRENT.reset(token)
    return _describe(names, site)


def _list_names(body: object) -> Iterator[str]:
    if not isinstance(body, dict):
        raise TypeError
    items = body.get("data", body.get("models"))
    if not isinstance(items, list):
        raise TypeError
    for item in items:
        name = item.get("id", item.get("name")) if isinstance(item, dict) else None
        if isinstance(name, str):
            yield name.removeprefix("models/")


def _describe_missing(site: Site) -> WireError:
    is_anthropic = site.target.provider is Provider.ANTHROPIC
    hint = "has no /v1 at its end" if is_anthropic else "usually ends in /v1"
    detail = f"{site.host} has no list of models at {site.base_url} (404); check the base URL (it {hint})"
    return site.fail(AttemptOutcome.MODEL_UNKNOWN, detail, status=httpx2.codes.NOT_FOUND)


def _describe(names: frozenset[str], site: Site) -> str:
    count = "1 model" if len(names) == 1 else f"{len(names)} models"
    model = site.target.model
    found = f"{model} among them" if model in names else f"{model} is not among them, though it may answer to that name"
    return f"{site.host} answers and lists {count}; {found}"
