"""Finds repeated keys in JSON objects. Parsers silently keep the last value of each."""

import json
import re
from collections import Counter
from contextlib import suppress
from typing import Any

_STRING = re.compile(rb'"([^"\\]*(?:\\.[^"\\]*)*)"([ \t\r\n]*:)?')
"""A string, and the colon after it if it is a key."""


def repeated_key(text: bytes) -> str | None:
    """A key that one object of a JSON text has several times; None if no key is repeated."""
    keys = [key for key, colon in _STRING.findall(text) if colon]
    if len(set(keys)) == len(keys) and not any(b"\\" in key for key in keys):
        return None  # the usual case, in a microsecond
    found: list[str] = []

    def note_repeated(pairs: list[tuple[str, Any]]) -> None:
        if len(dict(pairs)) < len(pairs):
            found.append(Counter(key for key, _ in pairs).most_common(1)[0][0])

    with suppress(RecursionError):  # no schema and no table is nested this deep
        json.loads(text, object_pairs_hook=note_repeated)
    return found[0] if found else None
