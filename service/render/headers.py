"""Where an answer is from: the `Separatrix-` headers of formats without fields, and the same as fields of JSON."""

from typing import Any

from service.inference.windows import PlacedWindow
from service.registry.registry import LoadedVersion

MAX_AT_LENGTH = 4_000
"""Characters of `Separatrix-At`. A longer header is left out: some proxies would refuse the response."""


def of_version(version: LoadedVersion) -> dict[str, str]:
    """The model and version that answered."""
    return {
        "Separatrix-Model": version.published.model,
        "Separatrix-Version": str(version.published.version),
    }


def of_grid(
    window: PlacedWindow, *, evaluated: int | None = None, value_range: tuple[float, float] | None = None
) -> dict[str, str]:
    """The version that answered, the window, and where it applies, the cells evaluated and the range of a scale."""
    headers = of_version(window.version) | {
        "Separatrix-Window": ",".join(repr(float(edge)) for edge in edges(window)),
        "Separatrix-Axes": _axes(window),
    }
    at = _at(window)
    if 0 < len(at) <= MAX_AT_LENGTH:
        headers["Separatrix-At"] = at
    if evaluated is not None:
        headers["Separatrix-Evaluated"] = str(evaluated)
    if value_range is not None:
        headers["Separatrix-Range"] = ",".join(map(repr, value_range))
    return headers


def fields(window: PlacedWindow) -> dict[str, Any]:
    """The version that answered, and the axes and the values of the other features as the query takes them."""
    published = window.version.published
    return {"model": published.model, "version": published.version, "axes": _axes(window), "at": _at(window)}


def edges(window: PlacedWindow) -> list[float]:
    """`x_min`, `x_max`, and unless the window is a curve, `y_min`, `y_max`."""
    spec = window.spec
    return [edge for edge in (spec.x_min, spec.x_max, spec.y_min, spec.y_max) if edge is not None]


def _axes(window: PlacedWindow) -> str:
    return ",".join(map(str, window.axes))


def _at(window: PlacedWindow) -> str:
    return ",".join(map(repr, map(float, window.at)))  # every digit
