"""Every setting of the service, each with its default, its bounds and its reason."""

import ipaddress
import re
from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from models.limits import MAX_POINTS


class Settings(BaseSettings):
    """Read once at start: each from its flag, else from its variable `SEPARATRIX_<NAME>`, else its default."""

    model_config = SettingsConfigDict(env_prefix="SEPARATRIX_", frozen=True, extra="forbid")

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65_535, description="Port to listen on; 0 takes any free one.")
    insecure: bool = Field(
        False,
        description="Listen on an address that other machines can reach, where anybody may then train and predict.",
    )
    data_dir: Path = Field(
        Path("separatrix-data"),
        description="Folder of the database, the checkpoints and the data sets; made if missing.",
    )
    database_url: SecretStr | None = Field(
        None,
        description="PostgreSQL in the place of a file in the data folder, such as "
        "postgresql+psycopg://user:password@host/name; services that share it must share the data folder too.",
    )
    workers: int = Field(1, ge=1, le=64, description="Processes that answer requests.")
    training_processes: int = Field(
        1,
        ge=0,
        le=64,
        description="Processes that train, each one job at a time, for each process that answers requests; with 0 it "
        "leaves all training to others. More than the cores less one slow predictions down.",
    )
    training_niceness: int = Field(
        19,
        ge=0,
        le=19,
        description="Niceness of the training processes (see nice(1)). By default they give way to everything else, so "
        "that predictions stay fast on a busy machine.",
    )
    max_training_s: float = Field(
        24 * 3600.0, ge=1, le=30 * 24 * 3600.0, description="Longest that a training may take, in seconds."
    )
    max_training_memory_bytes: int = Field(
        6 * 2**30,
        ge=2**26,
        le=2**40,
        description="Memory that a training may take. The largest that is accepted takes a few GB.",
    )
    lease_s: float = Field(
        15.0,
        ge=1,
        le=3600,
        description="How long a training process may be silent before its job goes to another, in seconds.",
    )
    seed_models: bool = Field(
        True, description="Train the tutorial's four networks on the flower data when the data folder is empty."
    )
    log_level: str = Field(
        "info", pattern="^(debug|info|warning|error)$", description="One of debug, info, warning, error."
    )
    max_body_bytes: int = Field(
        16 * 2**20,
        ge=1_024,
        le=2**30,
        description="Largest request body. 100,000 points of two coordinates are 2 to 4 MB of JSON.",
    )
    body_timeout_s: float = Field(
        30.0, ge=0.1, le=3600, description="Longest pause within a request body, in seconds; then it is refused."
    )
    max_points_per_request: int = Field(
        MAX_POINTS, ge=1, le=MAX_POINTS, description="Most points of one prediction; the answer holds all in memory."
    )
    response_cache_bytes: int = Field(
        32 * 2**20,
        ge=0,
        le=2**34,
        description="Memory for boundary grids that were asked for, to be given out again; 0 keeps none.",
    )
    max_queued_jobs: int = Field(
        1_000, ge=1, le=100_000, description="Most trainings that wait for a process; beyond it /train answers 429."
    )
    max_streams: int = Field(
        500,
        ge=1,
        le=100_000,
        description="Most streams of events that are open at a time, for each process that answers requests.",
    )
    shutdown_timeout_s: int = Field(
        5, ge=1, le=600, description="Longest that requests in flight hold up a shutdown, in seconds."
    )

    @field_validator("database_url")
    @classmethod
    def _require_postgresql(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not re.match(r"postgresql(\+psycopg)?://[^/]", url.get_secret_value()):
            raise ValueError("must be such as postgresql+psycopg://user:password@host/name")
        return url

    @model_validator(mode="after")
    def _refuse_strangers(self) -> Self:
        if not self.insecure and not _is_loopback(self.host):
            raise ValueError(
                f"host {self.host} can be reached from other machines, and there is no access control yet; "
                "add --insecure (SEPARATRIX_INSECURE=true) if the network around it is yours"
            )
        return self


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False  # some name: who knows where it leads
