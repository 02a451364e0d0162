"""The wire format of Server-Sent Events (HTML standard, 9.2)."""

MEDIA_TYPE = "text/event-stream"

PING = b": ping\n\n"
"""A comment, which clients ignore. It keeps proxies from closing a quiet stream."""


def event(kind: str, data: bytes) -> bytes:
    """An event without an id. `data` must be one line, which JSON is."""
    return fields(kind, data) + b"\n"


def fields(kind: str, data: bytes) -> bytes:
    """The fields of an event, to be completed by `numbered`."""
    return b"event: %s\ndata: %s\n" % (kind.encode(), data)


def numbered(fields: bytes, number: bytes) -> bytes:
    """An event with an id."""
    return b"%sid: %s\n\n" % (fields, number)


def retry(after_ms: int) -> bytes:
    """Tells the client how long to wait before it reconnects."""
    return b"retry: %d\n\n" % after_ms
