"""Settings of Vector-Ops (prefix VECTOR_OPS_); `app.py` and the daemon are their only readers."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class VectorOpsSettings(BaseSettings):
    """Where indexes live and how long a writer waits for another."""

    model_config = SettingsConfigDict(env_prefix="VECTOR_OPS_", frozen=True)

    index_dir: Path
    lock_wait_s: float = Field(default=10, ge=0, le=300)
    open_indexes: int = Field(default=8, ge=1, le=100)
