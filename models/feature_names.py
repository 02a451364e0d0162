"""Columns matched to the features of a network by their names."""

import difflib
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Sequence

from models.specs import InvalidInput
from models.wording import listed

_SHOWN = 10
"""Maximum number of names that a message lists."""

_SHOWN_CHARACTERS = 60
"""Longest name that a message repeats whole."""


def positions(given: Sequence[str], wanted: Sequence[str], *, field: str) -> list[int]:
    """The position in `given` of each of the `wanted` names. Both must have the same names, in any order.

    Raises:
        InvalidInput: a name is missing, unknown or repeated.
    """
    index = {name: i for i, name in enumerate(given)}
    if len(index) == len(given) == len(wanted) and index.keys() == set(wanted):
        return [index[name] for name in wanted]
    raise InvalidInput(field, difference(given, wanted))


def composed(text: str) -> str:
    """A text in Unicode normalization form C: an accented letter is one character where Unicode has one."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def spelled_like(given: Sequence[str], wanted: Collection[str]) -> list[str]:
    """The given names. One that differs from a wanted one only in how its letters are composed becomes that one.

    A letter with an accent may be one character or two, which look the same. Keyboards and systems write either.
    """
    if all(map(str.isascii, given)):
        return [*given]
    names = {composed(name): name for name in wanted}
    return [name if name in wanted else names.get(composed(name), name) for name in given]


def difference(given: Sequence[str], wanted: Sequence[str]) -> str:
    """What distinguishes the given names from the wanted ones, for a message."""
    count = Counter(given)
    missing = [name for name in wanted if name not in count]
    unknown = [name for name in count if name not in set(wanted)]
    repeated = [name for name in wanted if count[name] > 1]
    parts = []
    if missing:
        parts.append(f"must have {quoted(missing)}")
    if unknown:
        parts.append(f"must not have {quoted(unknown)}{_hint(unknown, missing)}")
    if repeated:
        parts.append(f"must have {quoted(repeated)} only once")
    return f"{', and '.join(parts)}: the features are {quoted(wanted)}"


def _hint(unknown: Sequence[str], missing: Sequence[str]) -> str:
    """The missing names that unknown ones probably stand for, such as ` (did you mean 'petal width'?)`; or nothing."""
    found = [near for name in unknown[:_SHOWN] if (near := _nearest(name, missing)) is not None]
    return f" (did you mean {quoted(list(dict.fromkeys(found)))}?)" if found else ""


def _nearest(name: str, candidates: Sequence[str]) -> str | None:
    for other in candidates:
        if _plain(other) == _plain(name):
            return other
    matches = difflib.get_close_matches(name[:_SHOWN_CHARACTERS], candidates[:100], n=1)  # its time is quadratic
    return matches[0] if matches else None


def _plain(name: str) -> str:
    """A name without case, blanks and punctuation; itself if nothing else is left."""
    return re.sub(r"[\W_]+", "", name.casefold()) or name


def quoted(names: Sequence[str]) -> str:
    """Names in quotes, separated by commas: the first ones of many, and the beginning of long ones."""
    shown = (f"'{name if len(name) <= _SHOWN_CHARACTERS else name[:_SHOWN_CHARACTERS] + '...'}'" for name in names)
    return listed(shown, _SHOWN)


def are_out_of_order(names: Sequence[str]) -> bool:
    """Whether names contradict their positions: `y`, `x`, or numbered ones such as `x2`, `x1`."""
    plain = [_plain(name) for name in names]
    if sorted(plain) == ["x", "y", "z"][: len(plain)]:
        return plain != sorted(plain)
    parts = [re.fullmatch(r"(.*?)([0-9]{1,9})", name) for name in plain]
    numbers = [int(part[2]) for part in parts if part]
    one_prefix = len({part[1] for part in parts if part}) == 1
    return one_prefix and len(numbers) == len(names) and numbers != sorted(numbers)
