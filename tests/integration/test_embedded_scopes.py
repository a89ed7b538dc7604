"""Embedded mode is no side door: the object itself refuses a Caller without the scope, before it looks at anything."""

import asyncio
import inspect
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from services.auth.protocol import Auth
from services.broker.protocol import Broker
from services.direng.protocol import DirEng
from services.home import Home
from services.kernel.caller import Caller, ScopeMissingError
from services.kernel.endpoints import ENDPOINT_SCOPES
from services.kernel.http import iterate_routes
from services.kernel.vocabulary import Scope, ServiceName
from services.pas.protocol import Pas
from services.pex.protocol import Pex
from services.plms.protocol import Plms
from services.topology import Wiring, embedded
from services.vector_ops.protocol import WholeVectorOps

pytestmark = pytest.mark.asyncio(loop_scope="module")

PROTOCOLS = {
    ServiceName.AUTH: Auth,
    ServiceName.PLMS: Plms,
    ServiceName.PAS: Pas,
    ServiceName.PEX: Pex,
    ServiceName.DIRENG: DirEng,
    ServiceName.BROKER: Broker,
    ServiceName.VECTOR_OPS: WholeVectorOps,
}


def find_methods(protocol):
    """Return name -> signature of a Protocol's methods, those of its halves included."""
    functions = inspect.getmembers(protocol, inspect.isfunction)
    return {name: inspect.signature(function) for name, function in functions if not name.startswith("_")}


def takes_caller(signature):
    return "caller" in signature.parameters


OTHER_FORMS = {
    (ServiceName.BROKER, "complete_chat"),
    (ServiceName.VECTOR_OPS, "mcp"),
    (ServiceName.VECTOR_OPS, "refuse_mcp_stream"),
}
"""Endpoints that are another form of methods: OpenAI's chat completions, MCP's tools."""

METHODS = [
    pytest.param(service, name, signature, id=f"{service} {name}")
    for service, protocol in PROTOCOLS.items()
    for name, signature in find_methods(protocol).items()
    if takes_caller(signature)
]


class UntouchedError(Exception):
    """Somebody used an argument."""


class Untouchable:
    """An argument that must not be looked at."""

    def __getattr__(self, name):
        raise UntouchedError(name)

    def _refuse(self, *_args):
        raise UntouchedError

    __str__ = __bool__ = __len__ = __iter__ = __hash__ = __eq__ = __fspath__ = __buffer__ = _refuse


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def services(tmp_path_factory):
    home = Home(tmp_path_factory.mktemp("platform") / "home")
    home.create()
    async with embedded(home, Wiring()) as platform:
        opened = platform.opened
        yield (
            {
                ServiceName.AUTH: opened.auth,
                ServiceName.PLMS: opened.plms.service,
                ServiceName.PAS: opened.pas.service,
                ServiceName.PEX: opened.pex.service,
                ServiceName.DIRENG: opened.direng.service,
                ServiceName.BROKER: opened.broker.service,
                ServiceName.VECTOR_OPS: opened.index.service,
            },
            platform.apps,
        )


def make_caller(*scopes):
    """Return a Caller as a validated token would make it; embedded, nobody would notice a made-up one."""
    return Caller("user:mallory", frozenset(scope.value for scope in scopes), token="no token crosses here")


async def call(service, name, signature, caller):
    """Call a method with arguments that must not be looked at; of a stream, take the first event."""
    given = {
        parameter.name: Untouchable()
        for parameter in signature.parameters.values()
        if parameter.name not in {"self", "caller"} and parameter.default is inspect.Parameter.empty
    }
    result = getattr(service, name)(caller, **given)
    if isinstance(result, AsyncIterator):
        return await anext(result, None)
    return await result


def find_scope(apps, service, name):
    """Return the scope that the endpoint of the same name needs."""
    table = ENDPOINT_SCOPES[service]
    (route,) = [route for route in iterate_routes(apps[service]) if route.endpoint.__name__ == name]
    (method,) = route.methods
    return table[f"{method} {route.path}"]


async def test_every_method_but_the_two_open_ones_takes_a_caller():
    without = {
        (service.value, name)
        for service, protocol in PROTOCOLS.items()
        for name, signature in find_methods(protocol).items()
        if not takes_caller(signature)
    }
    assert without == {("auth", "issue_token"), ("auth", "get_jwks")}
    assert len(METHODS) + len(without) == sum(len(find_methods(protocol)) for protocol in PROTOCOLS.values())


async def test_every_guarded_endpoint_is_a_method_that_is_tested_here(services):
    _, apps = services
    tested = {tuple(parameter.values[:2]) for parameter in METHODS}
    served = {
        (service, route.endpoint.__name__)
        for service, app in apps.items()
        for route in iterate_routes(app)
        if find_scope(apps, service, route.endpoint.__name__) is not None
    }
    assert served - OTHER_FORMS == tested


@pytest.mark.parametrize(("service", "name", "signature"), METHODS)
async def test_a_caller_without_scopes_is_refused_before_anything_is_looked_at(services, service, name, signature):
    objects, _ = services
    with pytest.raises(ScopeMissingError, match="user:mallory lacks the scope"):
        await call(objects[service], name, signature, make_caller())


@pytest.mark.parametrize(("service", "name", "signature"), METHODS)
async def test_the_object_needs_the_very_scope_that_its_endpoint_needs(services, service, name, signature):
    objects, apps = services
    needed = find_scope(apps, service, name)
    others = make_caller(*(scope for scope in Scope if scope is not needed))
    with pytest.raises(ScopeMissingError, match=needed.value):
        await call(objects[service], name, signature, others)
    (outcome,) = await asyncio.gather(
        call(objects[service], name, signature, make_caller(needed)), return_exceptions=True
    )
    assert not isinstance(outcome, ScopeMissingError), outcome
