"""Models behind a forward proxy and a private certificate: only what the operator set decides how calls leave."""

import asyncio
from urllib.parse import urlsplit

import pytest

from services.broker.app import open_configured, read_settings
from services.broker.core.ports import Target, WireError, WireRequest
from services.broker.models import AttemptOutcome, Message, NewModel, Price, Provider, Role, ToolStyle
from services.broker.providers.keys import ReferencedKeys
from services.broker.providers.wire import PydanticWire, Route
from services.kernel.clock import SystemClock
from services.kernel.db import sqlite_url
from services.kernel.errors import InvalidRequestError
from services.security.vault import Vault
from tests.fakes.broker import ask
from tests.fakes.forward_proxy import ConnectProxy, TlsDoor, write_certificate
from tests.fakes.identity import ENGINEER
from tests.fakes.model_server import ScriptedModelServer

KEY = "sk-test-0123456789abcdef"
HOST = "models.example.com"
PUBLIC_URLS = {Provider.OPENAI: f"https://{HOST}/v1", Provider.ANTHROPIC: f"https://{HOST}"}
SCRIPT = {"keys": [KEY], "rules": [{"reply": {"text": "through the tunnel"}}]}


@pytest.fixture
async def server():
    async with ScriptedModelServer(SCRIPT) as server:
        yield server


@pytest.fixture
def certificate(tmp_path):
    return write_certificate(tmp_path / "ca.pem", HOST)


@pytest.fixture
async def proxy(server, certificate):
    """A proxy that leads the public name to the scripted server, behind TLS."""
    parts = urlsplit(server.base_url)
    async with (
        TlsDoor(certificate, (parts.hostname, parts.port)) as door,
        ConnectProxy({f"{HOST}:443": door.address}) as proxy,
    ):
        yield proxy


@pytest.fixture
async def open_wire(tmp_path):
    wires = []

    def open_one(route):
        wires.append(PydanticWire(ReferencedKeys({"GOOD": KEY}, Vault.open(tmp_path / "vault")), route=route))
        return wires[-1]

    yield open_one
    for wire in wires:
        await wire.close()


def call(provider, base_url):
    target = Target("a", provider, "m1", base_url, "env:GOOD", ToolStyle.NATIVE)
    messages = (Message(role=Role.USER, content="hello"),)
    return WireRequest(target, messages, (), "auto", 100, 0.2, 20.0, "call-1:1")


@pytest.mark.parametrize("provider", list(PUBLIC_URLS))
async def test_public_host_is_reached_through_the_proxy_and_the_proxy_sees_no_key(
    server, proxy, certificate, open_wire, provider
):
    wire = open_wire(Route(proxy.url, str(certificate)))
    reply = await wire.call(call(provider, PUBLIC_URLS[provider]))
    assert reply.text == "through the tunnel"
    assert server.stats().requests == 1
    [head] = proxy.heads
    assert head.startswith(f"CONNECT {HOST}:443 ")
    assert KEY not in head


async def test_certificate_that_nobody_trusts_is_refused_before_the_key_is_sent(server, proxy, open_wire):
    with pytest.raises(WireError, match="certificate") as refused:
        await open_wire(Route(proxy.url)).call(call(Provider.OPENAI, PUBLIC_URLS[Provider.OPENAI]))
    assert (refused.value.outcome, refused.value.is_billable) == (AttemptOutcome.UNREACHABLE, False)
    assert server.stats().requests == 0


async def test_proxy_of_the_shell_is_not_used(server, proxy, open_wire, monkeypatch):
    for variable in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(variable, proxy.url)
    wire = open_wire(Route())
    assert (await wire.call(call(Provider.OPENAI, server.openai_url))).text == "through the tunnel"
    assert proxy.heads == []


async def test_loopback_is_called_directly_whatever_the_proxy(server, proxy, open_wire):
    for url in (server.openai_url, server.openai_url.replace("127.0.0.1", "localhost")):
        assert (await open_wire(Route(proxy.url)).call(call(Provider.OPENAI, url))).text == "through the tunnel"
    assert proxy.heads == []
    assert server.stats().requests == 2


async def test_proxy_that_refuses_the_host_is_told_in_one_line(proxy, certificate, open_wire):
    wire = open_wire(Route(proxy.url, str(certificate)))
    with pytest.raises(WireError, match="502") as refused:
        await wire.call(call(Provider.OPENAI, "https://elsewhere.example.com/v1"))
    assert (refused.value.outcome, "\n" in refused.value.detail) == (AttemptOutcome.UNREACHABLE, False)
    assert [head.split(" ")[1] for head in proxy.heads] == ["elsewhere.example.com:443"]


async def test_settings_in_the_environment_lead_a_broker_through_the_proxy(
    tmp_path, proxy, certificate, server, monkeypatch
):
    monkeypatch.setenv("BROKER_PROXY_URL", proxy.url)
    monkeypatch.setenv("BROKER_CA_FILE", str(certificate))
    monkeypatch.setenv("GOOD", KEY)
    settings = read_settings(home=tmp_path, database_url=sqlite_url(tmp_path / "broker.db"))
    parts = await asyncio.to_thread(open_configured, SystemClock(), settings)
    price = Price(input_microusd=1_000_000, output_microusd=1_000_000, source="operator")
    url, ref = PUBLIC_URLS[Provider.OPENAI], "env:GOOD"
    model = NewModel(alias="m", provider=Provider.OPENAI, model="m1", base_url=url, key_ref=ref, price=price)
    try:
        await parts.service.add_model(ENGINEER, model)
        assert (await parts.service.complete(ENGINEER, ask(alias="m"))).text == "through the tunnel"
    finally:
        await parts.close()
    assert len(proxy.heads) == 1
    assert server.stats().requests == 1


@pytest.mark.parametrize("value", ["much", "-1"])
def test_setting_that_is_wrong_is_named_in_one_line(tmp_path, monkeypatch, value):
    monkeypatch.setenv("BROKER_SESSION_CAP_MICROUSD", value)
    with pytest.raises(InvalidRequestError, match=r"^BROKER_SESSION_CAP_MICROUSD: .*; correct it, or unset it$"):
        read_settings(home=tmp_path, database_url="sqlite://")
