"""Settings of a broker; `app.py` is their only reader."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class BrokerSettings(BaseSettings):
    """Read from the environment: `BROKER_HOME` holds model_broker.json, `BROKER_DATABASE_URL` is a SQLAlchemy URL.

    `BROKER_SESSION_CAP_MICROUSD` is the cap of a session that was never given one. `BROKER_PROXY_URL` is the proxy to
    public hosts; loopback and private ones are called directly. `BROKER_CA_FILE` (PEM) holds the certificates that are
    trusted instead of the machine's. No other variable decides who sees the prompts, `HTTPS_PROXY` neither.
    """

    model_config = SettingsConfigDict(env_prefix="BROKER_", env_ignore_empty=True, frozen=True)

    home: Path
    database_url: str
    session_cap_microusd: int = Field(default=5_000_000, ge=0)
    proxy_url: str | None = None
    ca_file: str | None = None
