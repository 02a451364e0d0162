"""Pages of points as `GET /datasets/{name}/points` returns them, which clients may send back as data."""

from collections.abc import Mapping
from typing import Any

ONE_OF_SEVERAL = "is one page of several: join the points and labels of all pages, and leave out the other fields"
"""The message for one page of several. If it were accepted, the missing points could go unnoticed."""


def is_page(content: Mapping[str, Any]) -> bool:
    """Whether a JSON object is a page of points."""
    return content.get("object") == "points"


def data_of(page: Mapping[str, Any]) -> dict[str, Any] | None:
    """The points, labels and names of a page; None if it has only some points of its dataset."""
    if page.get("has_more") is not False or page.get("offset") != 0:
        return None
    return {name: page[name] for name in ("points", "labels", "feature_names") if name in page}
