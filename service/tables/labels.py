"""Labels from the texts of a column: integers, truth values as text, or names."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from models.datasets import Label
from models.limits import MAX_CLASSES, MAX_LABEL_NUMBER
from models.specs import InvalidInput
from service.tables.cells import number
from service.tables.options import Decimal

_CODE = re.compile(r"[+-]?0[0-9]|[0-9]+[eE][0-9]")
"""How texts begin that may be codes, such as `0123` and `1E5`, although they are numbers."""

MAX_SPELLINGS = 10 * MAX_CLASSES
"""Maximum number of different texts of a label column. More than one may be the same label, such as `1` and `1.0`."""


def labels_of(spellings: Sequence[str], decimal: Decimal) -> list[Label]:
    """The label of each text: integers if all are whole numbers, however written; else the texts.

    Other numbers are written in one way: `0.5` and `0.50` are one label.
    """
    numbers = [number(text, decimal) for text in spellings]
    if any(value is None for value in numbers):
        return list(spellings)
    if all(value is not None and value.is_integer() for value in numbers):
        return [_integer(text, value) for text, value in zip(spellings, numbers, strict=True) if value is not None]
    return [repr(value) for value in numbers]


def _integer(text: str, value: float) -> int:
    try:
        return int(text)  # exact, where a float is not
    except ValueError:
        if abs(value) > MAX_LABEL_NUMBER:
            raise InvalidInput(
                "data.labels", f"must be integers of at most {MAX_LABEL_NUMBER:,} or text, but {text!r} is larger"
            ) from None
        return int(value)


def typed_labels(values: Sequence[Label | float]) -> list[Label]:
    """The label of each typed value: whole numbers are integers, other numbers become texts, texts stay."""
    if all(isinstance(value, str) or float(value).is_integer() for value in values):
        return [value if isinstance(value, str) else int(value) for value in values]
    return [value if isinstance(value, str) else repr(float(value)) for value in values]


def merged(spellings: Sequence[Label | float], labels: Sequence[Label]) -> list[str]:
    """Remarks about labels that are written in several ways."""
    ways = defaultdict(list)
    for text, label in zip(spellings, labels, strict=True):
        ways[label].append(str(text))
    remarks = [
        f"the labels {', '.join(map(repr, texts[:4]))} are all read as {label}"
        for label, texts in ways.items()
        if len(texts) > 1
    ]
    for text, label in zip(spellings, labels, strict=True):
        if isinstance(text, str) and _CODE.match(text) and text != label:
            remarks.append(f"the label {text!r} is read as the number {label}")
            break
    return remarks[:5]


def near_equal(counts: Mapping[Label, int]) -> list[str]:
    """Warnings about labels that differ only in case, blanks or the way a number is written."""
    texts = [label for label in counts if isinstance(label, str)]
    return [
        f"the labels {' and '.join(map(repr, labels))} are almost equal, but are different classes"
        for labels in alike(texts)
    ]


def alike(texts: Iterable[str]) -> list[list[str]]:
    """The groups of texts that differ only in case, blanks or the way a number is written."""
    groups = defaultdict(list)
    for text in texts:
        groups[_key(text)].append(text)
    return [group for group in groups.values() if len(group) > 1]


def _key(label: str) -> str:
    value = number(label, ".")
    if value is not None:
        return repr(value)
    return re.sub(r"[\s_\u200b-\u200d\u2060\ufeff-]+", "", unicodedata.normalize("NFKC", label).casefold()) or label
