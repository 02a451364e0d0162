"""The `Separatrix-` headers of responses whose format has no fields for what they say."""

from collections.abc import Iterable, Sequence

from service.inference import windows
from service.inference.comparison import WindowComparison
from service.inference.overlays import OverlayPoints
from service.inference.windows import PlacedWindow
from service.registry.networks import LoadedNetwork
from service.render import palette

MAX_AT_LENGTH = 4_000
"""Characters of `Separatrix-At`. A longer header is left out: some proxies would refuse the response."""

LEFT_OUT = "Separatrix-Left-Out"
LEFT_OUT_MEANING = (
    "With `missing=drop`: the numbers of the lines of a CSV body that have no point in the response, because a value "
    "is missing. `...` at the end stands for more."
)

_SHOWN_LINES = 500
"""Numbers of `Separatrix-Left-Out`, fewer than 4,000 characters."""


def of_left_out(lines: Sequence[int]) -> dict[str, str]:
    """The numbers of the lines of a CSV body that were left out, if there are some."""
    if not lines:
        return {}
    return {LEFT_OUT: ",".join(map(str, lines[:_SHOWN_LINES])) + ",..." * (len(lines) > _SHOWN_LINES)}


def of_version(version: LoadedNetwork) -> dict[str, str]:
    """The model and version that answered, and the epoch if it is one; or the job, if it has no version."""
    names = {"model": "Model", "version": "Version", "job_id": "Job-ID", "epoch": "Epoch"}
    about = version.answered_by
    return {f"Separatrix-{names[key]}": str(value) for key, value in about.items() if value is not None}


def of_grid(
    window: PlacedWindow, *, evaluated: int | None = None, value_range: tuple[float, float] | None = None
) -> dict[str, str]:
    """The version that answered, the colors of its classes, the window, and where they apply, the other two.

    Args:
        window: the window.
        evaluated: the number of cells that the network computed.
        value_range: the values at the two ends of a picture's scale.
    """
    headers = of_version(window.network) | _place(window)
    if evaluated is not None:
        headers["Separatrix-Evaluated"] = str(evaluated)
    if value_range is not None:
        headers["Separatrix-Range"] = _numbers(value_range)
    return headers


def of_comparison(comparison: WindowComparison) -> dict[str, str]:
    """The versions that were compared, the number of cells that differ and of all, and the window."""
    agreement = comparison.agreement
    compared = (one.published for one in (comparison.pair.a, comparison.pair.b))
    return _place(comparison.window) | {
        "Separatrix-Compared": ",".join(f"{one.model}:{one.version}" for one in compared),
        "Separatrix-Differing": f"{agreement.differing},{agreement.compared}",
    }


def _place(window: PlacedWindow) -> dict[str, str]:
    """The colors of the classes, and the window."""
    edges = [edge for edge in windows.edges(window.spec).values() if edge is not None]
    headers = {
        "Separatrix-Window": _numbers(edges),
        "Separatrix-Axes": ",".join(map(str, window.axes)),
        "Separatrix-Colors": ",".join(palette.class_codes(len(window.network.card.classes))),
    }
    at = _numbers(window.at)
    if 0 < len(at) <= MAX_AT_LENGTH:
        headers["Separatrix-At"] = at
    return headers


def of_points(points: OverlayPoints) -> dict[str, str]:
    """How many training points a picture shows, of how many, and how many of those that it shows are misclassified."""
    return {
        "Separatrix-Points": f"{len(points.label_M)},{points.total}",
        "Separatrix-Misclassified": str(int(points.is_wrong_M.sum())),
    }


def _numbers(values: Iterable[float]) -> str:
    """Numbers with every digit, separated by commas, as the query takes them."""
    return ",".join(repr(float(value)) for value in values)
