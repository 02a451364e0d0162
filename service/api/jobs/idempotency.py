"""Idempotency keys as clients send them."""

import re
from typing import Annotated

from fastapi import Header

from service.http.patterns import KEY_PATTERN

KeyHeader = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=KEY_PATTERN,
        description="1 to 255 visible ASCII characters, in quotes or not: the same training sent again under the same "
        "key within a day is the same job.",
    ),
]


def bare_key(sent: str) -> str:
    """An idempotency key without the quotes that it may come in (RFC 9651, 3.3.3)."""
    return re.sub(r'\\(["\\])', r"\1", sent[1:-1]) if sent.startswith('"') else sent
