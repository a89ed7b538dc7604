"""Settings of a broker process; `app.py` is their only reader."""

from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict


class BrokerSettings(BaseSettings):
    """Read from the environment: `BROKER_HOME` holds model_broker.json, `BROKER_DATABASE_URL` is a SQLAlchemy URL.

    `BROKER_SESSION_CAP_MICROUSD` is the cap of a session that was never given one.
    """

    model_config = SettingsConfigDict(env_prefix="BROKER_", frozen=True)

    home: Path
    database_url: str
    session_cap_microusd: int = 5_000_000
