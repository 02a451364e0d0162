"""Reads Server-Sent Events in tests, with a parser of its own (HTML standard, 9.2)."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import httpx


class StreamEvent(NamedTuple):
    """One event of a stream, its data decoded from JSON."""

    kind: str
    data: dict[str, Any]
    id: str | None


def events_of(lines: Iterable[str]) -> Iterator[StreamEvent]:
    """The events of a stream's lines, as they arrive. Skips comments, and an event that is not complete."""
    fields: dict[str, str] = {}
    for line in lines:
        if not line:
            if "data" in fields:
                yield StreamEvent(fields["event"], json.loads(fields["data"]), fields.get("id"))
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
