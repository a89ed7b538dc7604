"""Settings of Vector-Ops (prefix VECTOR_OPS_); `shelf.py` and the daemon are their only readers."""

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class VectorOpsSettings(BaseSettings):
    """Where indexes live, how long a writer waits and a query may take, and which graph store has a copy.

    `neo4j_url` (bolt://host:7687) switches the copy in Neo4j on; without it SQLite answers everything but Cypher.
    `model` names what computes vectors: `static` (shipped), `endpoint`, a model's folder, or `pip:package`.
    """

    model_config = SettingsConfigDict(env_prefix="VECTOR_OPS_", frozen=True)

    index_dir: Path
    lock_wait_s: float = Field(default=10, ge=0, le=300)
    query_budget_s: float = Field(default=10, gt=0, le=600)
    open_indexes: int = Field(default=8, ge=1, le=100)
    neo4j_url: str = ""
    neo4j_user: str = "neo4j"
    neo4j_password: SecretStr = SecretStr("")
    neo4j_timeout_s: float = Field(default=5, gt=0, le=300)
    model: str = "static"
    model_threads: int = Field(default=1, ge=1, le=64)
    endpoint_url: str = ""
    endpoint_key: SecretStr = SecretStr("")
    endpoint_model: str = ""
