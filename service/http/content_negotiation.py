"""Chooses the format of a response: the query's `format`, else what `Accept` prefers (RFC 9110, 12.5.1)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, TypeVar

from fastapi import Header

from models.specs import InvalidInput
from service.errors import NotAcceptable

Accept = Annotated[str | None, Header(include_in_schema=False)]
"""The header as an argument of a route. The OpenAPI document names the media types of each response instead."""

MAX_RANGES = 50
"""Media ranges of an `Accept` header that are read; the rest are ignored."""


@dataclass(frozen=True, eq=False)
class Format:
    """A format of responses: its name in a query's `format`, and its media type."""

    name: str
    media_type: str


AnyFormat = TypeVar("AnyFormat", bound=Format)


def chosen(offered: Sequence[AnyFormat], accept: str | None, name: str | None = None) -> AnyFormat:
    """The format of a response.

    Args:
        offered: the formats to choose from. The first is the default, and wins among equally preferred formats.
        accept: the request's `Accept` header; None or empty accepts anything.
        name: the format that the query names, which takes precedence over `accept`.

    Raises:
        NotAcceptable: `accept` excludes every format offered.
        InvalidInput: no format of that name is offered.
    """
    if name is not None:
        for one in offered:
            if one.name == name:
                return one
        raise InvalidInput("format", f"must be {either(offered)} for this request")
    return _preferred(tuple(offered), accept) if accept else offered[0]


def either(formats: Sequence[Format]) -> str:
    """The names of some formats in words, such as `npy or png`."""
    return _words([one.name for one in formats])


@lru_cache(maxsize=100)
def _preferred(offered: tuple[AnyFormat, ...], accept: str) -> AnyFormat:
    quality = dict.fromkeys(offered, 0.0)
    # of the media range that the quality is from: the most specific one counts
    specificity = dict.fromkeys(offered, -1)
    for part in accept.split(",")[:MAX_RANGES]:
        media_range, _, parameters = part.strip().lower().partition(";")
        for one in offered:
            how = _specificity(media_range.strip(), one.media_type)
            if how > specificity[one]:
                specificity[one], quality[one] = how, _quality(parameters)
    best = max(offered, key=lambda one: quality[one])
    if quality[best] == 0:
        types = _words([one.media_type for one in offered])
        raise NotAcceptable(f"This response is available as {types}. Name one of them in the Accept header.")
    return best


def _words(names: Sequence[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} or {last}" if first else last


def _quality(parameters: str) -> float:
    """The weight `q` of a media range; 1 if there is none, 0 if it is not a number."""
    found = re.search(r"(?:^|;)\s*q\s*=\s*([^;\s]*)", parameters)
    if found is None:
        return 1.0
    return min(float(found[1]), 1.0) if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{0,9})?|\.[0-9]{1,9}", found[1]) else 0.0


def _specificity(media_range: str, media_type: str) -> int:
    """How closely a media range matches a type: 2 exactly, 1 by its main type, 0 as `*/*`, -1 not at all."""
    if media_range == media_type:
        return 2
    if media_range == f"{media_type.partition('/')[0]}/*":
        return 1
    return 0 if media_range in ("*/*", "*") else -1  # `*` alone is an old habit of Java
