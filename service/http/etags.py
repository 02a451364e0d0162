"""Answers that a client may keep: entity tags and what they are compared with (RFC 9110, 8.8.3 and 13.1.2)."""

import hashlib
import json
from typing import Any

FOR_EVER = "max-age=31536000, immutable"
"""Of what never changes, such as an answer of a numbered version; a year is for ever."""

REVALIDATE = "no-cache"
"""Of what may change: to be kept, but asked about before each use."""


def entity_tag(*parts: Any) -> str:
    """A strong tag of an answer, from all that decides its bytes."""
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    return f'"{digest[:32]}"'


def is_known(tag: str, if_none_match: str) -> bool:
    """Whether the client has that answer, by its `If-None-Match`; a `*` names none."""
    return tag in (one.strip().removeprefix("W/") for one in if_none_match.split(","))
