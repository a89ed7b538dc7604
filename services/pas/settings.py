"""Settings of a PAS process of its own; `app.py` is their only reader."""

from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict


class PasSettings(BaseSettings):
    """Read from the environment: `PAS_DATABASE_URL`, `PAS_WORKFLOW_URL`, `PAS_HOME`, `PAS_EXECUTOR_ID`."""

    model_config = SettingsConfigDict(env_prefix="PAS_", frozen=True)

    database_url: str
    workflow_url: str
    home: Path
    executor_id: str = "pas-1"
