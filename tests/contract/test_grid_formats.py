"""The table of formats: what the OpenAPI document, the documentation and the responses say follows from it."""

import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.api.grids.formats import FORMATS, OFFERED, GridFormat, Kind

API = (Path(__file__).parents[2] / "docs" / "api.md").read_text()

QUERIES: dict[Kind, dict[str, Any]] = {
    "response": {},
    "unit": {"response": "activation", "layer": 0, "unit": 0},
    "layer": {"response": "activation", "layer": 0},
    "embedding": {"response": "embedding", "layer": 0},
}


def test_the_openapi_document_lists_the_formats_and_their_media_types(client: httpx.Client) -> None:
    route = client.get("/openapi.json").json()["paths"]["/boundary-grid"]["get"]
    (parameter,) = [one for one in route["parameters"] if one["name"] == "format"]
    assert parameter["schema"]["enum"] == [one.name for one in FORMATS]
    content = route["responses"]["200"]["content"]
    assert list(content) == [one.media_type for one in FORMATS]
    assert all(one["schema"] for one in content.values())


def test_the_documentation_has_the_same_table_of_formats() -> None:
    rows = re.findall(r"^\| \w+ \| `(\w+)` \| `(\S+)` \| (.+) \| (.+) \| (.+) \| (.+) \|$", API, re.MULTILINE)
    assert [tuple(row[:2]) for row in rows] == [(one.name, one.media_type) for one in FORMATS]
    for one, (_, _, *kinds) in zip(FORMATS, rows, strict=True):
        assert [kind != "-" for kind in kinds] == [one.shows(kind) for kind in QUERIES]


@pytest.mark.parametrize("kind", QUERIES)
@pytest.mark.parametrize("form", FORMATS, ids=lambda one: one.name)
def test_a_format_is_sent_or_refused_as_its_row_says(client: httpx.Client, kind: Kind, form: GridFormat) -> None:
    query = {"model": "plane", "resolution": "8"} | QUERIES[kind]
    named = client.get("/boundary-grid", params=query | {"format": form.name})
    accepted = client.get("/boundary-grid", params=query, headers={"Accept": form.media_type})
    if form in OFFERED[kind]:
        for answer in (named, accepted):
            assert answer.status_code == 200, answer.text
            assert answer.headers["content-type"].partition(";")[0] == form.media_type
        assert named.content == accepted.content
        assert ("separatrix-model" in named.headers) != form.has_fields
        assert colors_of(named) == (["#c8372d", "#2f6fb3"] if kind != "embedding" or form.name != "json" else None)
    else:
        assert (named.status_code, accepted.status_code) == (422, 406)
        assert all(one.name in named.json()["detail"] for one in OFFERED[kind])
        assert all(one.media_type in accepted.json()["detail"] for one in OFFERED[kind])


def colors_of(answer: httpx.Response) -> list[str] | None:
    """The colors of the classes, as the body or the header says."""
    header = answer.headers.get("separatrix-colors")
    colors: list[str] | None = answer.json().get("colors") if header is None else header.split(",")
    return colors


@pytest.mark.parametrize("kind", QUERIES)
def test_the_first_format_that_can_show_a_grid_is_the_default(client: httpx.Client, kind: Kind) -> None:
    answer = client.get("/boundary-grid", params={"model": "plane", "resolution": "8"} | QUERIES[kind])
    assert answer.headers["content-type"] == OFFERED[kind][0].media_type
