"""In which format to answer: by the query's `format`, else by the `Accept` header (RFC 9110, 12.5.1), else JSON."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Literal

from models.specs import InvalidInput
from service.errors import NotAcceptable
from service.http import request_body
from service.render import (
    arrow,
    geojson,
    npy,
    png,
    sse,
)

Format = Literal["json", "npy", "arrow", "png", "geojson", "events"]

MEDIA_TYPES: Mapping[Format, str] = {
    "json": request_body.JSON,
    "npy": npy.MEDIA_TYPE,
    "arrow": arrow.MEDIA_TYPE,
    "png": png.MEDIA_TYPE,
    "geojson": geojson.MEDIA_TYPE,
    "events": sse.MEDIA_TYPE,
}

BINARY = {"schema": {"type": "string", "format": "binary"}}
"""What the OpenAPI document says of a body that is no text."""

MAX_RANGES = 50
"""Most media ranges of a header that are looked at."""


def chosen(offered: Sequence[Format], accept: str | None, asked: Format | None = None) -> Format:
    """The format to answer in: of those that the client likes best, the first of those offered.

    Raises:
        NotAcceptable: the client takes none of ours.
        InvalidInput: the format asked for is none of those offered.
    """
    if asked is not None:
        if asked not in offered:
            raise InvalidInput("format", f"this comes as {' or '.join(offered)} alone")
        return asked
    return _best(tuple(offered), accept) if accept else offered[0]


@lru_cache(maxsize=100)
def _best(offered: tuple[Format, ...], accept: str) -> Format:
    liked: dict[Format, float] = dict.fromkeys(offered, 0.0)
    specific: dict[Format, int] = dict.fromkeys(offered, -1)
    for part in accept.split(",")[:MAX_RANGES]:
        media_range, _, parameters = part.strip().lower().partition(";")
        quality = _quality(parameters)
        for name in offered:
            how = _specificity(media_range.strip(), MEDIA_TYPES[name])
            if how > specific[name]:
                specific[name], liked[name] = how, quality
    best = max(liked, key=lambda name: liked[name])
    if liked[best] == 0:
        raise NotAcceptable(f"The answer comes as {' or '.join(MEDIA_TYPES[name] for name in offered)}.")
    return best


def _quality(parameters: str) -> float:
    """The weight, 1 if there is none; one that is no number is none that a client wants."""
    found = re.search(r"(?:^|;)\s*q\s*=\s*([^;\s]*)", parameters)
    if found is None:
        return 1.0
    return min(float(found[1]), 1.0) if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{0,9})?", found[1]) else 0.0


def _specificity(media_range: str, media_type: str) -> int:
    """How closely a range names a type: 2 by name, 1 by its main type, 0 as anything, -1 not at all."""
    if media_range == media_type:
        return 2
    if media_range == f"{media_type.partition('/')[0]}/*":
        return 1
    return 0 if media_range == "*/*" else -1
