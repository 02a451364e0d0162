"""The `Separatrix-` headers of responses whose format has no fields for what they say."""

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
    spec, about = window.spec, window.about
    edges = [edge for edge in (spec.x_min, spec.x_max, spec.y_min, spec.y_max) if edge is not None]
    headers = of_version(window.version) | {
        "Separatrix-Window": ",".join(repr(float(edge)) for edge in edges),
        "Separatrix-Axes": str(about["axes"]),
    }
    at = str(about["at"])
    if 0 < len(at) <= MAX_AT_LENGTH:
        headers["Separatrix-At"] = at
    if evaluated is not None:
        headers["Separatrix-Evaluated"] = str(evaluated)
    if value_range is not None:
        headers["Separatrix-Range"] = ",".join(map(repr, value_range))
    return headers
