"""The wire format of Server-Sent Events (HTML standard, 9.2)."""

MEDIA_TYPE = "text/event-stream"

PING = b": ping\n\n"
"""A comment, which clients pass over: it keeps proxies from taking a quiet stream for a dead one."""


def event(kind: str, data: bytes) -> bytes:
    """An event without an id. The data must be one line, as JSON is."""
    return fields(kind, data) + b"\n"


def fields(kind: str, data: bytes) -> bytes:
    """The fields of an event that is to get an id."""
    return b"event: %s\ndata: %s\n" % (kind.encode(), data)


def numbered(fields: bytes, number: bytes) -> bytes:
    """An event with its id."""
    return b"%sid: %s\n\n" % (fields, number)


def retry(after_ms: int) -> bytes:
    """Tells the client how long to wait before it connects again."""
    return b"retry: %d\n\n" % after_ms
