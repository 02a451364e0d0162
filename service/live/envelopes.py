"""The JSON of an event, the same on a page of events and in a stream."""

import time
from datetime import UTC, datetime
from typing import Any

import orjson

from service.records import Event
from service.render import sse


def stored(event: Event) -> dict[str, Any]:
    """An event of the store as a JSON object."""
    return _envelope(event.kind, event.data, job_id=event.job_id, number=event.number, created_at=event.created_at)


def streamed(kind: str, data: object, *, job_id: str | None) -> bytes:
    """An event that only a stream sends, encoded. It has no number, because a client cannot resume after it."""
    envelope = _envelope(kind, data, job_id=job_id, number=None, created_at=time.time())
    return sse.event(kind, encode(envelope))


def encode(value: object) -> bytes:
    """A JSON value that contains envelopes, encoded."""
    return orjson.dumps(value, option=orjson.OPT_UTC_Z)


def _envelope(kind: str, data: object, *, job_id: str | None, number: int | None, created_at: float) -> dict[str, Any]:
    return {
        "object": "training.job.event",
        "id": number,
        "type": kind,
        "created_at": datetime.fromtimestamp(created_at, UTC),
        "job_id": job_id,
        "data": data,
    }
