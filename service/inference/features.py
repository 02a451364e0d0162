"""Features of a model as requests name them: by number, counted from 0, or by name."""

import math
import re
from collections.abc import Sequence

from models.checkpoints.cards import Card
from models.limits import MAX_COORDINATE
from models.specs import InvalidInput
from models.wording import listed

_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,4})?")
_INDEX = re.compile("[0-9]{1,4}")
_ITEM = re.compile(r'\s*"(?:[^"]|"")*"[^,]*|[^,]*')
"""An item of a list, which may begin with a text in double quotes."""


def items(texts: Sequence[str]) -> list[str]:
    """The items of a list: of a single text those between its commas, of several texts each one as it is.

    A comma in double quotes at the beginning of an item separates nothing.
    """
    if len(texts) != 1:
        return list(texts)
    (text,), found, start = texts, [], 0
    while start <= len(text):
        item = _ITEM.match(text, start)
        assert item is not None, "the pattern matches the empty text"
        found.append(item[0])
        start = item.end() + 1
    return found


def axes(card: Card, given: Sequence[str] | None) -> tuple[int, ...]:
    """The one or two features that a list names; by default the first two that vary in the data, or the only one.

    Raises:
        InvalidInput: the model has no such feature, a feature is named twice, or there are more than two.
    """
    if given is None:
        return _first_two(card)
    named = items(given)
    if len(named) > 2:
        raise InvalidInput("axes", "must be one or two features, by number or name, such as 0,2")
    found = tuple(_index(card, one, "axes") for one in named)
    if len(set(found)) < len(found):
        raise InvalidInput("axes", "must be two different features")
    return found


def _first_two(card: Card) -> tuple[int, ...]:
    """The first two features that vary in the data, or others if fewer vary."""
    by_preference = sorted(range(card.features), key=lambda d: card.low[d] == card.high[d])
    return tuple(sorted(by_preference[:2]))


def position(card: Card, axes: Sequence[int], given: Sequence[str] | None) -> tuple[float, ...]:
    """The values of the features that are not on an axis, in their order.

    Args:
        card: the description of the model.
        axes: the features on the axes.
        given: a value for each of these features, in their order, or `name=value` for some of them. The others have
            their typical values.

    Raises:
        InvalidInput: a value is not a number or out of bounds, there are too many or too few, or a name is wrong.
    """
    others = [d for d in range(card.features) if d not in axes]
    typical = tuple(card.middle[d] for d in others)
    if given is None:
        return typical
    parts = [] if list(given) == [""] else items(given)
    if not all(map(_NUMBER.fullmatch, parts)):
        values = _named_values(card, others, parts)
        return tuple(values.get(d, own) for d, own in zip(others, typical, strict=True))
    found = numbers("at", parts)
    if len(found) != len(others):
        raise InvalidInput("at", f"must have {len(others)} values, one for each feature that is not on an axis")
    return found


def names(card: Card, axes: Sequence[int]) -> list[str] | None:
    """The names of some features; None if the features of the model have no names."""
    return None if card.feature_names is None else [card.feature_names[d] for d in axes]


def numbers(field: str, texts: Sequence[str]) -> tuple[float, ...]:
    """The numbers of a list.

    Raises:
        InvalidInput: a text is not a number, or a number is out of bounds.
    """
    if not all(_NUMBER.fullmatch(text) for text in texts):
        raise InvalidInput(field, "must be numbers separated by commas, such as 0.5,-1")
    found = tuple(map(float, texts))
    if not all(math.isfinite(number) and abs(number) <= MAX_COORDINATE for number in found):
        raise InvalidInput(field, f"each must be between -{MAX_COORDINATE} and {MAX_COORDINATE}")
    return found


def _named_values(card: Card, others: Sequence[int], parts: Sequence[str]) -> dict[int, float]:
    values: dict[int, float] = {}
    for part in parts:
        name, equals, text = part.rpartition("=")
        if not equals or not _NUMBER.fullmatch(text.strip()):
            raise InvalidInput(
                "at", "must be all numbers, such as 1.5,0.2, or all name=number, such as petal width=1.5"
            )
        d = _index(card, name, "at")
        if d not in others:
            raise InvalidInput("at", "must not contain a feature that is on an axis")
        if d in values:
            raise InvalidInput("at", "must name each feature only once")
        (values[d],) = numbers("at", [text.strip()])
    return values


def _index(card: Card, text: str, field: str) -> int:
    """The feature with this name or number. A name in double quotes is never read as a number.

    Raises:
        InvalidInput: there is no such feature, or the text is the name of one feature and the number of another.
    """
    known = card.feature_names or ()
    text = text if text in known else text.strip()
    found = {known.index(text)} if text in known else set()
    if _INDEX.fullmatch(text) and int(text) < card.features:
        found.add(int(text))
    if not found and len(text) > 1 and text[0] == text[-1] == '"':
        quoted = text[1:-1].replace('""', '"')
        found = {known.index(quoted)} if quoted in known else set()
    if not found:
        raise InvalidInput(field, f"must name one of the model's features: {_listed(card)}")
    if len(found) > 1:
        raise InvalidInput(
            field,
            "must be unambiguous: it is the name of one feature and the number of another. Write the name of the "
            'feature that you mean in double quotes, such as "1"',
        )
    return found.pop()


def _listed(card: Card) -> str:
    """The features that there are, for an error message."""
    numbers = f"0 to {card.features - 1}" if card.features > 1 else "0"
    return numbers if card.feature_names is None else f"{listed(card.feature_names)}; or by number, {numbers}"
