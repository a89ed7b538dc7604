"""Settings of a DirEng process; `app.py` is their only reader."""

from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict


class DirEngSettings(BaseSettings):
    """Read from the environment: `DIRENG_SERVICE_DATABASE_URL`, `DIRENG_SERVICE_HOME`, and the neighbours' URLs."""

    model_config = SettingsConfigDict(env_prefix="DIRENG_SERVICE_", frozen=True)

    database_url: str
    home: Path
    pex_url: str = "http://127.0.0.1:6300"
    pas_url: str = "http://127.0.0.1:6200"
    vector_ops_url: str = "http://127.0.0.1:7500"
