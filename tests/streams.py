"""Server-Sent Events as a test reads them: a parser of its own, by the HTML standard."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import httpx


class Sent(NamedTuple):
    """One event. `data` is JSON that was decoded."""

    kind: str
    data: dict[str, Any]
    id: str | None


def events_of(lines: Iterable[str]) -> Iterator[Sent]:
    """The events of a stream's lines, as they come; comments are passed over, and so is what is not ended."""
    fields: dict[str, str] = {}
    for line in lines:
        if not line:
            if "data" in fields:
                yield Sent(fields["event"], json.loads(fields["data"]), fields.get("id"))
            fields = {}
            continue
        name, _, value = line.partition(":")
        fields[name] = value.removeprefix(" ")


@contextmanager
def stream(client: httpx.Client, path: str, *, last: str | None = None, **query: Any) -> Iterator[Iterator[Sent]]:
    """The events of a stream that begins after the one of the id `last`, to be read while it is open."""
    headers = {"Accept": "text/event-stream"} | ({} if last is None else {"Last-Event-ID": last})
    with client.stream("GET", httpx.URL(path).copy_merge_params(query), headers=headers) as answer:
        assert answer.status_code == 200, answer.read()
        yield events_of(answer.iter_lines())


def all_sent(client: httpx.Client, path: str, *, last: str | None = None, **query: Any) -> list[Sent]:
    """Every event of a stream until it ends."""
    with stream(client, path, last=last, **query) as sent:
        return list(sent)


def told(sent: Iterable[Sent]) -> list[Sent]:
    """Those of the events that have ids: all but those of the stream itself and the frames."""
    return [one for one in sent if one.id is not None]
