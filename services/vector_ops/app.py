"""Vector-Ops as an HTTP app. What needs no HTTP is composed in `shelf.py`: cron must not wait for a web framework."""

from fastapi import FastAPI

from services.kernel.caller import Authenticator
from services.kernel.http import OncePerKey, make_app
from services.kernel.version import VERSION
from services.kernel.vocabulary import ServiceName
from services.vector_ops.api import add_routes
from services.vector_ops.models import Health
from services.vector_ops.shelf import VectorOpsParts, open_vector_ops

__all__ = ["VectorOpsParts", "create_app", "open_vector_ops"]


def create_app(
    parts: VectorOpsParts, authenticator: Authenticator, *, idempotency: OncePerKey | None = None
) -> FastAPI:
    """Return the HTTP app of Vector-Ops."""
    health = Health(version=VERSION)
    return make_app(
        ServiceName.VECTOR_OPS,
        authenticator,
        lambda app: add_routes(app, parts.service, health),
        version=VERSION,
        idempotency=idempotency,
    )
