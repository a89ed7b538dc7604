"""What only Google's protocol has: waits in the body of an error, a daily quota, usage that counts thinking apart."""

import pytest
from aiohttp import web

from services.broker.core.ports import Target, WireError, WireRequest
from services.broker.models import AttemptOutcome, Message, Provider, Role, ToolStyle
from services.broker.providers.keys import ReferencedKeys
from services.broker.providers.wire import PydanticWire
from services.security.vault import Vault

KEY = "AIza-test-key-0123456789"
RETRY = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "14s"}
DAILY = {
    "@type": "type.googleapis.com/google.rpc.QuotaFailure",
    "violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}],
}


@pytest.fixture
async def wire(tmp_path):
    wire = PydanticWire(ReferencedKeys({"GOOD": KEY}, Vault.open(tmp_path / "vault")))
    yield wire
    await wire.close()


@pytest.fixture
async def refuse(wire):
    """Return a function that makes one call to a server that refuses it so, and returns the error."""
    refusals, seen = [], []

    async def handle(request):
        seen.append(request.path)
        status, details = refusals[-1]
        error = {"code": status, "message": "Quota.", "status": "RESOURCE_EXHAUSTED", "details": details}
        return web.json_response({"error": error}, status=status)

    app = web.Application()
    app.router.add_post("/{path:.*}", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    base_url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    target = Target("g", Provider.GOOGLE, "gemini-test", base_url, "env:GOOD", ToolStyle.NATIVE)
    messages = (Message(role=Role.USER, content="hello"),)

    async def call(status, *details, on_text=None):
        refusals.append((status, details))
        with pytest.raises(WireError) as caught:
            await wire.call(WireRequest(target, messages, (), "auto", 100, 0.2, 10.0, "idem-google-1"), on_text)
        assert len(seen) == 1, "the SDK retried"
        return caught.value

    yield call
    await runner.cleanup()


@pytest.mark.parametrize("on_text", [None, lambda _: None], ids=["whole", "streamed"])
async def test_wait_is_read_from_the_details_of_the_error(refuse, on_text):
    error = await refuse(429, RETRY, on_text=on_text)
    assert (error.outcome, error.retry_after_s, error.is_billable) == (AttemptOutcome.RATE_LIMITED, 14.0, False)


async def test_daily_quota_is_not_waited_for(refuse):
    error = await refuse(429, DAILY)
    assert error.outcome is AttemptOutcome.KEY_REFUSED
    assert "env:GOOD" in error.detail
