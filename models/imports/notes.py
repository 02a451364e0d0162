"""Notes: what a reader has understood, and what the client should check."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from models import wording

FILE = "file"
"""The field that errors of a file name."""

MAX_SHOWN = 10
"""Maximum number of names in a message."""

MAX_LENGTH = 60
"""Longest name that a message repeats whole."""


@dataclass(frozen=True)
class Notes:
    """Sentences for the client, in the order in which they were found.

    Attributes:
        understood: what was read, and how.
        warnings: what was assumed, and how to decide otherwise.
    """

    understood: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def quoted(name: object) -> str:
    """A name of a file in quotes: printable, and only the beginning of a long one."""
    text = str(name)
    text = text if len(text) <= MAX_LENGTH else text[:MAX_LENGTH] + "..."
    return "'" + "".join(one if one.isprintable() else "?" for one in text) + "'"


def listed(names: Iterable[object]) -> str:
    """Names in quotes, separated by commas: the first ones of many."""
    return wording.listed(map(quoted, names), MAX_SHOWN)
