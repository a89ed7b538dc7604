"""Settings of a PLMS process; `app.py` is their only reader."""

from pydantic_settings import BaseSettings, SettingsConfigDict


class PlmsSettings(BaseSettings):
    """Read from the environment: `PLMS_DATABASE_URL`, a SQLAlchemy URL (SQLite or PostgreSQL)."""

    model_config = SettingsConfigDict(env_prefix="PLMS_", frozen=True)

    database_url: str
