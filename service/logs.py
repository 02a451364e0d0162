"""The log: one line for each message, as text or as JSON, from all processes and from uvicorn in the same form.

Messages contain no points, no bodies and no keys. Context variables hold the ids of the request and of the job, so that
every message about them has these ids, also a message from a thread.
"""

import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

import orjson

LogFormat = Literal["text", "json"]
"""`text` is for people. `json` is for programs: one object per line."""

AUDIT = logging.getLogger("separatrix.audit")
"""Has a line for each request that changes something, or that was refused to. No log level hides these lines."""

request_id: ContextVar[bytes | None] = ContextVar("request_id", default=None)
"""The id of the request that this task or thread works for."""

traceparent: ContextVar[str | None] = ContextVar("traceparent", default=None)
"""The trace that this request or this job is part of; see `service.tracing`."""

job_id: ContextVar[str | None] = ContextVar("job_id", default=None)
"""The job that this process trains."""


def set_up(process: str, level: str, form: LogFormat) -> None:
    """Sends the log of this process to its standard error. May be called again.

    Args:
        process: what the process does: `serving`, `training` or `task`.
        level: the least severe messages that are logged, such as `info`.
        form: see `LogFormat`.
    """
    handler = _StandardError()
    prefix = "" if process == "serving" else f"[{process}] "
    handler.setFormatter(
        JsonFormatter(process) if form == "json" else logging.Formatter(f"%(levelname)s:     {prefix}%(message)s")
    )
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    AUDIT.setLevel(logging.INFO)
    uvicorn_log = logging.getLogger("uvicorn.error")
    if not uvicorn_log.filters:
        uvicorn_log.addFilter(lambda record: "uvicorn[standard]" not in record.getMessage())


class _StandardError(logging.StreamHandler[TextIO]):
    """Writes to the current `sys.stderr`, which a program that runs a command may replace and close."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)  # StreamHandler would set the stream

    @property
    def stream(self) -> TextIO:  # type: ignore[override]  # an attribute in the base class
        return sys.stderr


class JsonFormatter(logging.Formatter):
    """Writes a message as a JSON object.

    It has `time` (RFC 3339, UTC), `level`, `logger`, `process`, `pid` and `message`; where they apply `request_id`,
    `job_id`, `trace_id`, and `error`, a traceback; and the fields that the message was logged with, as
    `extra={"fields": {...}}`.
    """

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        """The line, without a line break."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "process": self._process,
            "pid": record.process,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if (request := request_id.get()) is not None:
            line["request_id"] = request.decode()
        if (job := job_id.get()) is not None:
            line["job_id"] = job
        if (trace := traceparent.get()) is not None:
            line["trace_id"] = trace.split("-")[1]
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()
