"""The settings of the service: for each its default, its bounds and what it is for.

The options of `separatrix serve` and the table in docs/settings.md are made from the fields below.
"""

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from models.limits import MAX_CHECKPOINT_BYTES, MAX_KEPT_VERSIONS, MAX_POINTS
from service.logs import LogFormat

OWN_PATHS = (
    *("boundary-grid", "comparison", "datasets", "docs", "events", "health", "invocations", "jobs", "metrics"),
    *("models", "openapi.json", "page", "ping", "predict", "train", "v2"),
)
"""The first parts of the service's own paths. A prefix that begins like them would be ambiguous."""

ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[1-9][0-9]{0,4})?")
"""An origin as browsers send it (RFC 6454)."""

MIN_RATE = 0.001
"""Minimum limit of requests per second: one in 17 minutes. A lower one is most likely a mistake."""


def _split(value: Any) -> Any:
    """The parts of a text between commas; any other value as it is."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


CommaList = Annotated[list[str], NoDecode, BeforeValidator(_split)]
"""A list of texts; in a flag or a variable, they are separated by commas."""


class Settings(BaseSettings):
    """Read once at start: each from its flag, else from its variable `SEPARATRIX_<NAME>`, else its default.

    Raises:
        pydantic.ValidationError: a value is out of its bounds.
    """

    model_config = SettingsConfigDict(env_prefix="SEPARATRIX_", frozen=True, extra="forbid")

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65_535, description="Port to listen on; 0 picks a free one.")
    insecure: bool = Field(
        False,
        description="Allow other machines to reach the service without a key. Anybody on the network can then do "
        "everything.",
    )
    keys_file: Path | None = Field(
        None,
        description="File of the API keys. By default `keys.json` in the data folder. If it exists, every request "
        "needs a key. It is read again when it changes.",
    )
    first_key: bool = Field(
        False,
        description="If there is no file of keys at the start, make a key with the role admin and print it once. The "
        "container does.",
    )
    allowed_hosts: CommaList = Field(
        [],
        description="Host names that the service accepts, separated by commas, such as models.example.org. "
        "`localhost`, loopback addresses and `host` are always accepted. If the list is empty, a service on loopback "
        "accepts no other name, and a service on another address accepts every name.",
    )
    data_dir: Path = Field(
        Path("separatrix-data"),
        description="Folder of the database, the checkpoints and the uploaded points. `serve` and whatever adds data "
        "create it if it is missing.",
    )
    database_url: SecretStr | None = Field(
        None,
        description="PostgreSQL database to use instead of a SQLite file in the data folder, such as "
        "postgresql+psycopg://user:password@host/name. Services that share it must share the data folder too. Prefer "
        "the environment variable: flags are visible in the list of processes.",
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
        description="Niceness of the training processes (see nice(1)). By default they give way to everything else, "
        "so that predictions stay fast on a busy machine.",
    )
    max_training_s: float = Field(
        24 * 3600.0,
        ge=1,
        le=30 * 24 * 3600.0,
        description="Maximum duration of a training, in seconds, over all its attempts.",
    )
    max_training_memory_bytes: int = Field(
        6 * 2**30,
        ge=2**26,
        le=2**40,
        description="Maximum memory that a training may use (on Linux). The largest training that is accepted uses a "
        "few GB.",
    )
    training_idle_s: float = Field(
        300.0,
        ge=0.1,
        le=30 * 24 * 3600.0,
        description="How long a training process stays without work, in seconds. Then it ends and frees some 200 MiB. "
        "The next training starts it again in less than a second. With the default, users who pause for a few minutes "
        "do not wait for that.",
    )
    lease_s: float = Field(
        15.0,
        ge=1,
        le=3600,
        description="Time without a heartbeat, in seconds, after which the job of a training process is given to "
        "another process.",
    )
    seed_models: bool = Field(
        True, description="Train the four networks of the tutorial when the data folder is empty."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe messages to log; debug logs every request."
    )
    log_format: LogFormat = Field(
        "text", description="Form of the log: text for people, or json for programs, with one object per line."
    )
    tracing: bool = Field(
        False,
        description="Send spans of requests and trainings to a collector of OpenTelemetry. Needs `pip install "
        "'separatrix[otel]'`. The standard variables, such as OTEL_EXPORTER_OTLP_ENDPOINT, say where the collector is.",
    )
    max_body_bytes: int = Field(
        16 * 2**20,
        ge=1_024,
        le=2**30,
        description="Maximum size of a request body. 100,000 points of two coordinates are 2 to 4 MB of JSON.",
    )
    max_bodies_bytes: int = Field(
        512 * 2**20,
        ge=2**20,
        le=2**40,
        description="Maximum total size of the request bodies in memory, for each process that answers requests; "
        "beyond it large requests are answered with 503. The first 64 KB of each body do not count, so small requests "
        "are always answered. The default has room for 32 of the largest bodies.",
    )
    max_unread_bytes: int = Field(
        512 * 2**20,
        ge=2**20,
        le=2**40,
        description="Maximum total size of the responses that wait for their clients to read them, for each process "
        "that answers requests; beyond it the slowest connections are closed. The largest response, an array of a "
        "grid, has 64 MiB.",
    )
    max_dataset_bytes: int = Field(
        4 * 2**30,
        ge=1_024,
        le=2**40,
        description="Maximum size of the body that stores a dataset. It is received into a temporary file; only JSON "
        "is held in memory and limited to `max_body_bytes`.",
    )
    max_datasets_bytes: int = Field(
        32 * 2**30,
        ge=0,
        le=2**50,
        description="Maximum total size of the files of all stored datasets, in bytes; beyond it no more are stored.",
    )
    max_data_bytes: int = Field(
        64 * 2**30,
        ge=2**20,
        le=2**50,
        description="Maximum size of the data folder on the disk, in bytes; beyond it trainings, imports and uploads "
        "are answered with 507. The size is measured every 15 seconds. The default is twice `max_datasets_bytes`. "
        "Jobs that were accepted before still write their results.",
    )
    min_free_bytes: int = Field(
        256 * 2**20,
        ge=0,
        le=2**50,
        description="If fewer bytes are free on the disk of the data folder, `/health/ready` reports it, early enough "
        "to act before trainings fail. The largest checkpoint has some 50 MB.",
    )
    max_checkpoint_bytes: int = Field(
        256 * 2**20,
        ge=1_024,
        le=MAX_CHECKPOINT_BYTES,
        description="Maximum size of a checkpoint that is imported. It is received into a temporary file. The largest "
        "network has 16 MB of weights; a checkpoint of its training has the state of the optimizer as well.",
    )
    head_timeout_s: float = Field(
        15.0,
        ge=0.1,
        le=3600,
        description="How long a client may take to send the headers of a request, in seconds, including the first "
        "request after it has connected; then the connection is closed.",
    )
    body_timeout_s: float = Field(
        30.0,
        ge=0.1,
        le=3600,
        description="Maximum pause within a request body, in seconds; then it is refused. A whole body may take this "
        "long, and a second more for each 1,000 bytes.",
    )
    write_timeout_s: float = Field(
        30.0,
        ge=0.1,
        le=3600,
        description="How long a client may read nothing of a response that is sent to it, in seconds; then the "
        "connection is closed. An event stream is a response too.",
    )
    max_connections: int = Field(
        2_000,
        ge=1,
        le=100_000,
        description="Maximum number of connections, for each process that answers requests; beyond it they are "
        "answered with 503 and closed.",
    )
    max_requests_per_s: float = Field(
        0.0,
        ge=0,
        le=1e6,
        description="Maximum number of requests per second of each key or, without keys, of each address; beyond it "
        "they are answered with 429. After a pause, the requests of 5 seconds may come at once. 0 sets no limit. It "
        "is the default because a small prediction takes some 50 us, and a private service should be as fast as it "
        "can. A key can have its own limit.",
    )
    max_requests_at_once: int = Field(
        250,
        ge=0,
        le=100_000,
        description="Maximum number of requests in progress of each key or, without keys, of each address, for each "
        "process that answers requests; beyond it they are answered with 429. Event streams count, so that no client "
        "takes them all. Small predictions do not count, because they are answered at once. 0 sets no limit. A key "
        "can have its own limit. Behind a proxy, all clients have one address unless `trusted_proxies` names the "
        "proxy.",
    )
    max_points_per_request: int = Field(
        MAX_POINTS,
        ge=1,
        le=MAX_POINTS,
        description="Maximum number of points of one prediction; the whole answer is held in memory.",
    )
    invocations_model: str | None = Field(
        None,
        min_length=1,
        description="The model that answers /invocations if the request names none.",
    )
    response_cache_bytes: int = Field(
        32 * 2**20,
        ge=0,
        le=2**34,
        description="Memory for boundary grids that are kept to be sent again; 0 keeps none.",
    )
    loaded_versions_bytes: int = Field(
        256 * 2**20,
        ge=0,
        le=2**40,
        description="Memory for versions that are kept loaded, for each process that answers requests. The least "
        "recently used ones are unloaded, and read again on demand.",
    )
    keep_versions: int = Field(
        0,
        ge=0,
        le=MAX_KEPT_VERSIONS,
        description="Number of versions that a model keeps, the newest ones; 0 keeps all. A publication deletes older "
        "ones, except those that an alias names. A model can have its own number.",
    )
    max_queued_jobs: int = Field(
        1_000,
        ge=1,
        le=100_000,
        description="Maximum number of jobs that wait for a training process; beyond it /train answers 429.",
    )
    max_queued_jobs_per_key: int = Field(
        500,
        ge=1,
        le=100_000,
        description="Maximum number of jobs of one key that wait for a training process, so that no key fills the "
        "queue; beyond it /train answers 429. A key can have its own limit.",
    )
    session_ttl_s: float = Field(
        900.0,
        ge=1,
        le=7 * 24 * 3600.0,
        description="How long a training that is not published is kept after it was last read, in seconds.",
    )
    max_sessions: int = Field(
        1_000,
        ge=1,
        le=100_000,
        description="Maximum number of unpublished trainings; beyond it the least recently read ones are removed.",
    )
    max_sessions_bytes: int = Field(
        256 * 2**20,
        ge=2**20,
        le=2**40,
        description="Maximum total size of the files of unpublished trainings, in bytes; beyond it the least recently "
        "read ones are removed.",
    )
    max_streams: int = Field(
        500,
        ge=1,
        le=100_000,
        description="Maximum number of open event streams, for each process that answers requests; beyond it they are "
        "answered with 503.",
    )
    shutdown_timeout_s: int = Field(
        5, ge=1, le=600, description="Maximum time that requests in progress delay a shutdown, in seconds."
    )
    keep_alive_s: int = Field(
        75,
        ge=1,
        le=3_600,
        description="How long a connection may be idle before the service closes it, in seconds. It must be longer "
        "than a load balancer keeps its connections, 60 s with most. Otherwise the balancer sends a request just as "
        "the service closes the connection, and answers 502.",
    )
    cors_origins: CommaList = Field(
        [],
        description="Origins whose pages may use the service from a browser, separated by commas, such as "
        "https://app.example.org; * allows every page. By default no other origin is allowed.",
    )
    root_path: str | None = Field(
        None,
        description="Path under which a proxy shows the service, such as /separatrix. Links in responses begin with "
        "it, whether or not the proxy removes it from the requests.",
    )
    trusted_proxies: CommaList = Field(
        [],
        description="Addresses and networks of proxies, separated by commas, such as 10.0.0.0/8, whose headers "
        "X-Forwarded-For, X-Forwarded-Host, X-Forwarded-Proto and X-Forwarded-Prefix are used. By default none are "
        "trusted.",
    )

    @field_validator("data_dir", "keys_file", mode="before")
    @classmethod
    def _require_name(cls, path: Any) -> Any:
        if path == "":  # such as an unset variable of a shell; pathlib takes it for the current folder
            raise ValueError("is empty; give a path, or leave the setting out")
        return path

    @field_validator("database_url")
    @classmethod
    def _require_postgresql(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not re.match(r"postgresql(\+psycopg)?://[^/]", url.get_secret_value()):
            raise ValueError("must look like postgresql+psycopg://user:password@host/name")
        return url

    @field_validator("cors_origins")
    @classmethod
    def _require_origins(cls, origins: list[str]) -> list[str]:
        if "*" in origins and len(origins) > 1:
            raise ValueError("must be * alone, or a list of origins")
        for origin in origins:
            if origin != "*" and not ORIGIN.fullmatch(origin):
                raise ValueError(
                    f"must be origins such as https://app.example.org, in lower case and without a path, not {origin}"
                )
            if re.fullmatch("http://.*:80|https://.*:443", origin):
                raise ValueError(f"must be {origin.rpartition(':')[0]} without the usual port, as browsers send it")
        return origins

    @field_validator("root_path")
    @classmethod
    def _require_path(cls, path: str | None) -> str | None:
        path = (path or "").rstrip("/")
        if path and not re.fullmatch("(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+", path):
            raise ValueError("must be a path such as /separatrix, of letters, digits, '.', '_', '~' and '-'")
        if path and path.split("/")[1] in OWN_PATHS:
            raise ValueError(f"must not begin with /{path.split('/')[1]}, which is a path of the service itself")
        return path or None

    @field_validator("max_requests_per_s")
    @classmethod
    def _require_rate(cls, rate: float) -> float:
        if 0 < rate < MIN_RATE:
            raise ValueError(f"must be 0, which sets no limit, or at least {MIN_RATE:g}")
        return rate

    @field_validator("trusted_proxies")
    @classmethod
    def _require_networks(cls, proxies: list[str]) -> list[str]:
        for proxy in proxies:
            try:
                ipaddress.ip_network(proxy)
            except ValueError:
                raise ValueError(f"must be addresses or networks such as 10.0.0.0/8, not {proxy}") from None
        return proxies

    @field_validator("allowed_hosts")
    @classmethod
    def _require_hosts(cls, hosts: list[str]) -> list[str]:
        for host in hosts:
            if not re.fullmatch(r"[a-z0-9._-]+|\[[0-9a-f:.]+\]", host):
                raise ValueError(
                    f"must be names such as models.example.org, in lower case and without a port, not {host}"
                )
        return hosts

    @property
    def keys_path(self) -> Path:
        """The file of the API keys."""
        return self.keys_file or self.data_dir / "keys.json"

    @property
    def is_on_loopback(self) -> bool:
        """Whether only this machine can reach the service."""
        return is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """Whether a host is this machine for sure, by its name or its address without brackets."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False  # a name can resolve to any address
