"""Reads Server-Sent Events in tests, with a parser of its own (HTML standard, 9.2)."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple, Self

import httpx

from service.api.jobs import event_schemas


class StreamEvent(NamedTuple):
    """One event of a stream.

    Attributes:
        kind: the field `event`.
        data: the `data` of the object in the field `data`.
        id: the field `id`, from which a client continues; None if there is none.
        job_id: the `job_id` of the object.
        number: the `id` of the object.
    """

    kind: str
    data: dict[str, Any]
    id: str | None
    job_id: str | None
    number: int | None

    @classmethod
    def of(cls, fields: Mapping[str, str]) -> Self:
        """The event of some fields, whose object must have the form that the OpenAPI document describes."""
        sent = json.loads(fields["data"])
        event_schemas.StreamEvent.model_validate_json(fields["data"])
        assert sent["type"] == fields["event"]
        return cls(fields["event"], sent["data"], fields.get("id"), sent["job_id"], sent["id"])


def events_of(lines: Iterable[str]) -> Iterator[StreamEvent]:
    """The events of a stream's lines, as they arrive. Skips comments, and an event that is not complete."""
    fields: dict[str, str] = {}
    for line in lines:
        if not line:
            if "data" in fields:
                yield StreamEvent.of(fields)
            fields = {}
            continue
        name, _, value = line.partition(":")
        fields[name] = value.removeprefix(" ")


@contextmanager
def stream(
    client: httpx.Client, path: str, *, last_id: str | None = None, **query: Any
) -> Iterator[Iterator[StreamEvent]]:
    """The events of an open stream, which starts after the event with the id `last_id`."""
    headers = {"Accept": "text/event-stream"} | ({} if last_id is None else {"Last-Event-ID": last_id})
    with client.stream("GET", httpx.URL(path).copy_merge_params(query), headers=headers) as answer:
        assert answer.status_code == 200, answer.read()
        yield events_of(answer.iter_lines())


def all_events(client: httpx.Client, path: str, *, last_id: str | None = None, **query: Any) -> list[StreamEvent]:
    """Every event of a stream until it ends."""
    with stream(client, path, last_id=last_id, **query) as events:
        return list(events)


def with_id(events: Iterable[StreamEvent]) -> list[StreamEvent]:
    """The events that have an id, which `job`, `boundary` and `closing` do not."""
    return [event for event in events if event.id is not None]
