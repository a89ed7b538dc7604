"""Composition of auth."""

from fastapi import FastAPI

from services.auth.api import add_routes
from services.auth.core.issuer import AuthService
from services.auth.core.limits import FailureLimiter
from services.auth.keys import open_keys
from services.auth.revocation import RevocationFile
from services.auth.settings import AuthSettings
from services.auth.validator import TokenAuthenticator
from services.kernel.clock import Clock
from services.kernel.http import OncePerKey, make_app
from services.kernel.version import VERSION
from services.kernel.vocabulary import ServiceName

REVOCATIONS_FILE = "revocations.jsonl"


def create_service(settings: AuthSettings, clock: Clock) -> AuthService:
    """Return auth over the keys of `settings.keys_dir`, creating them at the first start.

    Raises KeysUnreadableError in one line. Costs about 0.2 s the first time (one RSA key), 10 ms after that.
    """
    keys = open_keys(settings.keys_dir, clock)
    return AuthService(keys, RevocationFile(settings.keys_dir / REVOCATIONS_FILE), clock, settings.issuer)


def create_authenticator(service: AuthService, audience: ServiceName, clock: Clock) -> TokenAuthenticator:
    """Return the validator of `audience` for the process that holds the keys."""
    return TokenAuthenticator(service.keys, audience, service.issuer, service.revocations, clock)


def create_app(service: AuthService, clock: Clock, *, idempotency: OncePerKey | None = None) -> FastAPI:
    """Return the HTTP app of auth."""
    return make_app(
        ServiceName.AUTH,
        create_authenticator(service, ServiceName.AUTH, clock),
        lambda app: add_routes(app, service, FailureLimiter(clock)),
        version=VERSION,
        idempotency=idempotency,
    )
