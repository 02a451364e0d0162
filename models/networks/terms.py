"""Terms: the derived inputs of a network, such as `x^2`, `x*y` or `sin x`, as text and as formulas.

A term is a coordinate, its square, its sine or cosine, or the product of two coordinates. Coordinates are called `x1`,
`x2`, ... in any dimension, `x` and `y` if there are at most two, and also by the names of the features. `coordinates`,
`squares` and `products` stand for all terms of a kind.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from models.limits import MAX_INPUTS
from models.specs import InvalidInput

Function = Literal["product", "sin", "cos"]


@dataclass(frozen=True)
class Term:
    """A formula of coordinates: the sine or cosine of one, or the product of one or two.

    Attributes:
        function: what it computes.
        of: the coordinates, zero-based and ascending; the same one twice is a square.
    """

    function: Function
    of: tuple[int, ...]


KINDS = ("coordinates", "squares", "products")
"""What stands for all terms of a kind."""

PLANE = ("x", "y")
"""More names of the coordinates of points with at most two."""


def count(inputs: Sequence[str] | None, features: int) -> int:
    """Number of inputs of a network for points of `features` coordinates; None stands for the coordinates."""
    if inputs is None:
        return features
    counts = {"coordinates": features, "squares": features, "products": features * (features - 1) // 2}
    return sum(counts.get(text, 1) for text in inputs)


def parse(inputs: Sequence[str], features: int, names: Sequence[str] | None = None) -> tuple[Term, ...]:
    """The terms that `inputs` stand for, in their order.

    `squares` are in the order of the coordinates; `products` are `x1*x2`, `x1*x3`, ..., `x2*x3`, ...

    Args:
        inputs: each a term or a kind of terms.
        features: number of coordinates.
        names: of the coordinates, if they have any.

    Raises:
        InvalidInput: a text is not a term of these coordinates, or can be read in two ways; a term appears twice; or
            there are too many.
    """
    total = count(inputs, features)
    if total > MAX_INPUTS:
        raise InvalidInput("network.inputs", f"must expand to at most {MAX_INPUTS:,} terms, not {total:,}")
    indices = _indices(features, names or ())
    position: dict[Term, int] = {}
    for i, text in enumerate(inputs):
        for term in _terms(text.strip(), indices, features, i):
            if term in position:
                raise InvalidInput(f"network.inputs.{i}", f"repeats a term of network.inputs.{position[term]}")
            position[term] = i
    if not position:
        raise InvalidInput("network.inputs", "must expand to at least one term: a single coordinate has no products")
    return tuple(position)


def _indices(features: int, names: Sequence[str]) -> Mapping[str, set[int]]:
    """The coordinates that each name may mean."""
    indices: dict[str, set[int]] = {}
    in_plane = PLANE[:features] if features <= len(PLANE) else ()
    for all_names in (in_plane, [f"x{d + 1}" for d in range(features)], names):
        for d, name in enumerate(all_names):
            indices.setdefault(name, set()).add(d)
    return indices


def _terms(text: str, indices: Mapping[str, set[int]], features: int, i: int) -> Sequence[Term]:
    """The terms that the i-th text stands for."""
    readings: set[tuple[Term, ...]] = {(term,) for term in _readings(text, indices)}
    if text in KINDS:
        readings.add(tuple(_all_of_kind(text, features)))
    if not readings:
        raise InvalidInput(
            f"network.inputs.{i}",
            "must be a term of the coordinates, such as x1, x1^2, x1*x2, sin x1 or cos x1, or one of "
            f"{', '.join(KINDS)}; the coordinates of these points are {_numbered(features)}",
        )
    if len(readings) > 1:
        raise InvalidInput(
            f"network.inputs.{i}",
            "may mean different terms, because a feature has the name of another coordinate or of a term: rename the "
            "feature, or leave out the names of the features",
        )
    return readings.pop()


def _all_of_kind(kind: str, features: int) -> list[Term]:
    if kind == "products":
        return [Term("product", pair) for pair in combinations(range(features), 2)]
    return [Term("product", (d,) if kind == "coordinates" else (d, d)) for d in range(features)]


def _readings(text: str, indices: Mapping[str, set[int]]) -> Iterator[Term]:
    """Every term that a text may mean. Names of features may contain operators and blanks."""

    def coordinates(name: str) -> set[int]:
        return indices.get(name.strip(), set())

    for d in coordinates(text):
        yield Term("product", (d,))
    if square := re.fullmatch(r"(.+?)\s*\^\s*2", text):
        for d in coordinates(square[1]):
            yield Term("product", (d, d))
    if call := re.fullmatch(r"(sin|cos)\b\s*(.+)", text):
        for name in (call[2], call[2].removeprefix("(").removesuffix(")")):
            for d in coordinates(name):
                yield Term("sin" if call[1] == "sin" else "cos", (d,))
    for star in re.finditer(r"\*", text):
        for d in coordinates(text[: star.start()]):
            for e in coordinates(text[star.end() :]):
                yield Term("product", (min(d, e), max(d, e)))


def _numbered(features: int) -> str:
    numbered = "x1" if features == 1 else f"x1 to x{features}"
    return f"{numbered}, also called {' and '.join(PLANE[:features])}" if features <= len(PLANE) else numbered
