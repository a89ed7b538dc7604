"""Settings of PEX; `app.py` is their only reader."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class PexSettings(BaseSettings):
    """Read from the environment: `PEX_PLANNING_CAP_USD`, the most that one plan made by a model may cost."""

    model_config = SettingsConfigDict(env_prefix="PEX_", frozen=True)

    planning_cap_usd: str = Field(default="0.50", pattern=r"^\d{1,9}(\.\d{1,6})?$")
