"""The order of the layers of a state dict, from their names, the order of their keys, and their sizes."""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Literal, Protocol, TypeVar

from models.imports.notes import FILE, listed, quoted
from models.specs import InvalidInput

Gap = Literal["none", "some", "unknown"]
"""Whether other modules stand between two layers, as their numbers tell."""

_NUMBERED = re.compile(r"(.*?)([0-9]{1,9})")


class Named(Protocol):
    """A layer with a name, and the numbers of its inputs and outputs."""

    path: str

    @property
    def sizes(self) -> tuple[int, int]:
        """Numbers of inputs and outputs."""
        ...


AnyLayer = TypeVar("AnyLayer", bound=Named)


def ordered(layers: Sequence[AnyLayer], *, is_ordered: bool) -> list[AnyLayer]:
    """The layers, each of which takes as many values as the one before it returns.

    Numbers in the names decide if all have one, then the order of the file, if it `is_ordered`, and else the sizes.

    Raises:
        InvalidInput: the sizes fit in no order, or in several between which nothing decides.
    """
    first = _by_number(layers) or [*layers]
    if is_ordered or len(layers) == 1 or _by_number(layers):
        found = [order for order in (first, [*layers]) if _fits(order)] if is_ordered else [first]
        if found and is_ordered and len(found) == 2 and _paths(found[0]) != _paths(found[1]):
            raise InvalidInput(
                FILE,
                f"has the layers {listed(_paths(layers))} in an order that contradicts their numbers: register them in "
                "their order, and save again",
            )
        chosen = found[0] if found else first
        _require_fit(chosen)
        return chosen
    return _by_size(layers)


def gaps(paths: Sequence[str]) -> list[Gap]:
    """The gap between the numbers of each layer and the next one.

    Consecutive numbers are only evidence if other numbers of the file leave a gap. Otherwise they may number the
    layers, as in an `nn.ModuleList`, and not the modules of an `nn.Sequential`.
    """
    found = [_gap(above, below) for above, below in pairwise(paths)]
    return found if "some" in found else ["unknown"] * len(found)


def _gap(above: str, below: str) -> Gap:
    (parent, number), (other_parent, other) = _number(above), _number(below)
    if number is None or other is None or parent != other_parent:
        return "unknown"
    return "none" if other - number == 1 else "some"


def _number(path: str) -> tuple[str, int | None]:
    """What comes before the number at the end of a path, and the number."""
    match = _NUMBERED.fullmatch(path)
    return (match[1], int(match[2])) if match else (path, None)


def _by_number(layers: Sequence[AnyLayer]) -> list[AnyLayer] | None:
    """The layers by their numbers; None if not all have one, or if the names before the numbers differ."""
    numbers = [_number(layer.path) for layer in layers]
    if len({parent for parent, _ in numbers}) > 1 or any(number is None for _, number in numbers):
        return None
    return [layer for _, layer in sorted(zip(numbers, layers, strict=True), key=lambda pair: pair[0][1] or 0)]


def _fits(layers: Sequence[Named]) -> bool:
    return all(above.sizes[1] == below.sizes[0] for above, below in pairwise(layers))


def _require_fit(layers: Sequence[Named]) -> None:
    for above, below in pairwise(layers):
        if above.sizes[1] != below.sizes[0]:
            raise InvalidInput(
                FILE,
                f"{quoted(below.path)} takes {below.sizes[0]:,} values, "
                f"but the layer before it, {quoted(above.path)}, returns {above.sizes[1]:,}: "
                "the layers do not follow each other, or one is missing",
            )


def _by_size(layers: Sequence[AnyLayer]) -> list[AnyLayer]:
    """The layers in the only order in which their sizes fit. Layers with the same parent stay in their order."""
    found: list[list[AnyLayer]] = []
    for order in _orders([], _blocks(layers)):
        found.append(order)
        if len(found) > 1:
            break
    if len(found) == 1:
        return found[0]
    problem = "in several orders" if found else "in no order"
    raise InvalidInput(
        FILE,
        f"has the layers {listed(_paths(layers))}, which fit together {problem}: save them with "
        "torch.save(net.state_dict(), path), which keeps their order",
    )


MAX_BLOCKS = 8
"""Maximum number of blocks whose orders are tried: 8 have at most 40,320 orders."""


def _blocks(layers: Sequence[AnyLayer]) -> list[list[AnyLayer]]:
    """Groups of layers that are numbered within the same parent, each in its order."""
    groups: dict[str, list[AnyLayer]] = {}
    for layer in layers:
        parent, number = _number(layer.path)
        groups.setdefault(parent if number is not None else layer.path, []).append(layer)
    if len(groups) > MAX_BLOCKS:
        raise InvalidInput(
            FILE, f"has {len(groups)} layers without numbers, whose order is unknown: save them with torch.save"
        )
    return [_by_number(group) or group for group in groups.values()]


def _orders(start: list[AnyLayer], rest: list[list[AnyLayer]]) -> Iterator[list[AnyLayer]]:
    if not rest:
        yield start
    for i, block in enumerate(rest):
        if _fits([*start[-1:], *block]):
            yield from _orders([*start, *block], [*rest[:i], *rest[i + 1 :]])


def _paths(layers: Sequence[Named]) -> list[str]:
    return [layer.path for layer in layers]
