"""The header `Idempotency-Key`."""

import re
from typing import Annotated

from fastapi import Header

from service.http.patterns import KEY_PATTERN

KeyHeader = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=KEY_PATTERN,
        description="1 to 255 visible ASCII characters, with or without quotes. A submission that is repeated with the "
        "same key within a day returns the same job.",
    ),
]


def bare_key(sent: str) -> str:
    """The key without its quotes and escapes, if it was sent as a quoted string (RFC 9651, 3.3.3)."""
    return re.sub(r'\\(["\\])', r"\1", sent[1:-1]) if sent.startswith('"') else sent
