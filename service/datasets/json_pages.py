"""Pages of points as `GET /datasets/{name}/points` returns them, which clients may send back as data."""

from collections.abc import Mapping
from typing import Any

ONE_OF_SEVERAL = "is one page of several: join the points and labels of all pages, and leave out the other fields"
"""The message for one page of several. If it were accepted, the missing points could go unnoticed."""


def is_page(content: Mapping[str, Any]) -> bool:
    """Whether a JSON object is a page of points."""
    return content.get("object") == "points"


def is_whole(page: Mapping[str, Any]) -> bool:
    """Whether a page has all points of its dataset."""
    return page.get("has_more") is False and page.get("offset") == 0


def data_of(page: Mapping[str, Any]) -> dict[str, Any]:
    """The points, labels and names of a page, without the fields that only describe it."""
    return {name: page[name] for name in ("points", "labels", "feature_names") if name in page}
