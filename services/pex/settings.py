"""Settings of a PEX process; `app.py` is their only reader."""

from pydantic_settings import BaseSettings, SettingsConfigDict


class PexSettings(BaseSettings):
    """Read from the environment: `PEX_DATABASE_URL`, and the URLs of the neighbours."""

    model_config = SettingsConfigDict(env_prefix="PEX_", frozen=True)

    database_url: str
    plms_url: str = "http://127.0.0.1:6100"
    pas_url: str = "http://127.0.0.1:6200"
    vector_ops_url: str = "http://127.0.0.1:7500"
