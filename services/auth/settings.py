"""What the operator may set."""

from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict

DEFAULT_ISSUER = "direng-auth"


class AuthSettings(BaseSettings):
    """Read from `AUTH_*`."""

    model_config = SettingsConfigDict(env_prefix="AUTH_", extra="ignore", frozen=True)

    keys_dir: Path
    """Where the keys lie; created (0700) when missing. Embedded: `auth` in the home."""

    issuer: str = DEFAULT_ISSUER
    """The `iss` of every token; verifiers must be told the same."""
