"""Pages of points in JSON, as `GET /datasets/{name}/points` returns them, where a client sends one back."""

from collections.abc import Mapping
from typing import Any

ONE_OF_SEVERAL = "is one page of several: join the points and labels of all pages, and leave out the other fields"
"""Why a page cannot be used as data. Nobody would notice that the other points are missing."""


def is_page(content: Mapping[str, Any]) -> bool:
    """Whether an object is such a page."""
    return content.get("object") == "points"


def is_whole(page: Mapping[str, Any]) -> bool:
    """Whether a page has all points of its dataset."""
    return page.get("has_more") is False and page.get("offset") == 0


def data_of(page: Mapping[str, Any]) -> dict[str, Any]:
    """The points, labels and names of a page, without the fields that only describe it."""
    return {name: page[name] for name in ("points", "labels", "feature_names") if name in page}
