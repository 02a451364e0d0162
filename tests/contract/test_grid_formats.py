"""The table of formats: what the OpenAPI document, the documentation and the responses say follows from it."""

import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from service.api.grids import schemas
from service.api.grids.formats import FORMATS, OFFERED, GridFormat, Kind

API = (Path(__file__).parents[2] / "docs" / "api.md").read_text()

QUERIES: dict[Kind, dict[str, Any]] = {
    "response": {},
    "probabilities": {"response": "probabilities"},
    "unit": {"response": "activation", "layer": 0, "unit": 0},
    "layer": {"response": "activation", "layer": 0},
    "embedding": {"response": "embedding", "layer": 0},
}


@pytest.mark.slow
def test_the_openapi_document_lists_the_formats_and_their_media_types(client: httpx.Client) -> None:
    route = client.get("/openapi.json").json()["paths"]["/boundary-grid"]["get"]
    (parameter,) = [one for one in route["parameters"] if one["name"] == "format"]
    assert parameter["schema"]["enum"] == [one.name for one in FORMATS]
    content = route["responses"]["200"]["content"]
    assert list(content) == [one.media_type for one in FORMATS]
    assert all(one["schema"] for one in content.values())


def test_the_openapi_document_describes_lists_as_they_are_sent(client: httpx.Client) -> None:
    route = client.get("/openapi.json").json()["paths"]["/boundary-grid"]["get"]
    assert route["operationId"] == "getBoundaryGrid"
    parameters = {one["name"]: one for one in route["parameters"]}
    assert "accept" not in parameters
    lists = {name for name, one in parameters.items() if one["schema"].get("type") == "array"}
    assert lists == {"axes", "at", "levels", "overlay"}
    for name, one in parameters.items():
        assert (one.get("style"), one.get("explode")) == (("form", False) if name in lists else (None, None))
        assert "null" not in str(one["schema"]), "a parameter that is left out is not null"


BODIES: list[tuple[type[BaseModel], str, dict[str, Any]]] = [
    (schemas.BoundaryGrid, "application/json", {}),
    (schemas.BoundaryGrid, "application/json", {"model": "trio"}),
    (schemas.BoundaryGrid, "application/json", {"model": "line"}),
    (schemas.BoundaryGrid, "application/json", {"response": "activation", "layer": 0, "unit": 1}),
    (schemas.BoundaryGrid, "application/json", {"threshold": "0.3"}),
    (schemas.BoundaryProbabilities, "application/json", {"response": "probabilities"}),
    (schemas.BoundaryProbabilities, "application/json", {"response": "probabilities", "model": "trio"}),
    (schemas.BoundaryProbabilities, "application/json", {"response": "probabilities", "model": "line"}),
    (schemas.BoundaryEmbedding, "application/json", {"response": "embedding", "layer": 0}),
    (schemas.BoundaryEmbedding, "application/json", {"response": "embedding", "layer": 0, "coordinates": "first"}),
    (schemas.BoundaryEmbedding, "application/json", {"model": "line", "response": "embedding", "layer": 0}),
    (schemas.BoundaryLines, "application/geo+json", {}),
    (schemas.BoundaryLines, "application/geo+json", {"levels": "0.2,0.5"}),
    (schemas.BoundaryLines, "application/geo+json", {"model": "trio"}),
]


@pytest.mark.slow
@pytest.mark.parametrize(("schema", "media_type", "query"), BODIES, ids=str)
def test_a_body_and_the_examples_have_the_fields_of_the_schema(
    client: httpx.Client, schema: type[BaseModel], media_type: str, query: dict[str, Any]
) -> None:
    query = {"model": "plane", "resolution": "8"} | query
    body = client.get("/boundary-grid", params=query, headers={"Accept": media_type}).json()
    document = client.get("/openapi.json").json()
    content = document["paths"]["/boundary-grid"]["get"]["responses"]["200"]["content"][media_type]
    assert schema.__name__ in str(content["schema"])
    assert content["examples"][schema.__name__] == {"$ref": f"#/components/examples/{schema.__name__}"}
    for shown in (body, document["components"]["examples"][schema.__name__]["value"]):
        assert schema.model_validate(shown, strict=True).model_dump(by_alias=True) == shown


def test_every_separatrix_header_is_in_the_openapi_document(client: httpx.Client) -> None:
    responses = client.get("/openapi.json").json()["paths"]["/boundary-grid"]["get"]["responses"]
    documented = {name.lower() for name in responses["200"]["headers"]}
    sent = {"separatrix-job-id"}  # only of running jobs: see `test_networks_of_jobs`
    for query in ({"format": "png", "overlay": "points", "epoch": "300"}, {"format": "csv", "axes": "0"}):
        headers = client.get("/boundary-grid", params={"model": "plane", "resolution": "8"} | query).headers
        sent |= {name for name in headers if name.startswith("separatrix-")}
        assert {"etag", "cache-control", "vary"} <= set(headers)
    assert documented == sent | {"etag", "cache-control", "vary", "x-request-id"}
    assert list(responses["304"]["headers"]) == ["ETag", "Cache-Control", "Vary", "X-Request-ID"]


def test_the_documentation_has_the_same_table_of_formats() -> None:
    rows = re.findall(r"^\| \w+ \| `(\w+)` \| `(\S+)` \| (.+) \| (.+) \| (.+) \| (.+) \| (.+) \|$", API, re.MULTILINE)
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
        assert colors_of(named) == ["#c8372d", "#2f6fb3"]
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
