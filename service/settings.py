"""The settings of the service: for each its default, its bounds and what it is for.

The options of `separatrix serve` and the table in docs/settings.md are made from the fields below.
"""

import ipaddress
import re
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from models.limits import MAX_POINTS


class Settings(BaseSettings):
    """Read once at start: each from its flag, else from its variable `SEPARATRIX_<NAME>`, else its default.

    Raises:
        pydantic.ValidationError: a value is out of its bounds, or `host` needs `insecure`.
    """

    model_config = SettingsConfigDict(env_prefix="SEPARATRIX_", frozen=True, extra="forbid")

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65_535, description="Port to listen on; 0 picks a free one.")
    insecure: bool = Field(
        False,
        description="Allow an address that other machines can reach, although anybody there may then train and "
        "predict: there is no access control yet.",
    )
    data_dir: Path = Field(
        Path("separatrix-data"),
        description="Folder of the database, the checkpoints and the uploaded points; created if missing.",
    )
    database_url: SecretStr | None = Field(
        None,
        description="PostgreSQL database to use instead of a SQLite file in the data folder, such as "
        "postgresql+psycopg://user:password@host/name. Services that share it must share the data folder too. Set it "
        "by its variable: the list of processes shows flags.",
    )
    workers: int = Field(1, ge=1, le=64, description="Number of processes that answer requests.")
    training_processes: int = Field(
        1,
        ge=0,
        le=64,
        description="Number of training processes for each process that answers requests. Each runs one job at a "
        "time. 0 leaves training to other services on the same database. More than the number of cores minus one "
        "slows predictions down.",
    )
    training_niceness: int = Field(
        19,
        ge=0,
        le=19,
        description="Niceness of the training processes (see nice(1)). By default they give way to everything else, so "
        "that predictions stay fast on a busy machine.",
    )
    max_training_s: float = Field(
        24 * 3600.0,
        ge=1,
        le=30 * 24 * 3600.0,
        description="Longest duration of a training, in seconds, over all its attempts.",
    )
    max_training_memory_bytes: int = Field(
        6 * 2**30,
        ge=2**26,
        le=2**40,
        description="Most memory that a training may use (on Linux). The largest training that is accepted uses a "
        "few GB.",
    )
    lease_s: float = Field(
        15.0,
        ge=1,
        le=3600,
        description="How long a training process may be silent, in seconds, before its job goes to another.",
    )
    seed_models: bool = Field(
        True, description="Train the four networks of the tutorial when the data folder is empty."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe messages to log; debug logs every request."
    )
    max_body_bytes: int = Field(
        16 * 2**20,
        ge=1_024,
        le=2**30,
        description="Largest request body. 100,000 points of two coordinates are 2 to 4 MB of JSON.",
    )
    max_dataset_bytes: int = Field(
        4 * 2**30,
        ge=1_024,
        le=2**40,
        description="Largest body of a request that stores a data set. It is received into a temporary file; only JSON "
        "is held in memory and limited to `max_body_bytes`.",
    )
    max_datasets_bytes: int = Field(
        32 * 2**30,
        ge=0,
        le=2**50,
        description="Most bytes of the files of all stored data sets together; beyond it no more are stored.",
    )
    body_timeout_s: float = Field(
        30.0, ge=0.1, le=3600, description="Longest pause within a request body, in seconds; then it is refused."
    )
    max_points_per_request: int = Field(
        MAX_POINTS,
        ge=1,
        le=MAX_POINTS,
        description="Most points of one prediction; the whole answer is held in memory.",
    )
    response_cache_bytes: int = Field(
        32 * 2**20,
        ge=0,
        le=2**34,
        description="Memory for boundary grids that are kept to be sent again; 0 keeps none.",
    )
    max_queued_jobs: int = Field(
        1_000,
        ge=1,
        le=100_000,
        description="Most jobs that wait for a training process; beyond it /train answers 429.",
    )
    max_streams: int = Field(
        500,
        ge=1,
        le=100_000,
        description="Most event streams that are open at a time, for each process that answers requests; beyond it "
        "they answer 503.",
    )
    shutdown_timeout_s: int = Field(
        5, ge=1, le=600, description="Longest time that requests in progress delay a shutdown, in seconds."
    )

    @field_validator("database_url")
    @classmethod
    def _require_postgresql(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not re.match(r"postgresql(\+psycopg)?://[^/]", url.get_secret_value()):
            raise ValueError("must look like postgresql+psycopg://user:password@host/name")
        return url

    @model_validator(mode="after")
    def _require_loopback_unless_insecure(self) -> Self:
        if not self.insecure and not _is_loopback(self.host):
            raise ValueError(
                f"other machines can reach host {self.host}, and there is no access control yet; "
                "add --insecure (SEPARATRIX_INSECURE=true) if you trust that network"
            )
        return self


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False  # a name can resolve to any address
