"""Settings of DirEng; `app.py` is their only reader."""

from decimal import Decimal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

MICRO = 1_000_000


class DirEngSettings(BaseSettings):
    """Read from the environment: `DIRENG_SESSION_CAP_USD`, what a session may spend on models unless told otherwise."""

    model_config = SettingsConfigDict(env_prefix="DIRENG_", frozen=True)

    session_cap_usd: Decimal = Field(default=Decimal("5.00"), ge=0, le=1_000_000, max_digits=12, decimal_places=6)

    @property
    def session_cap_microusd(self) -> int:
        """Return the cap in micro-USD."""
        return int(self.session_cap_usd * MICRO)
