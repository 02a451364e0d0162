import re
import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.api.examples import EXAMPLES
from service.errors import ServiceError
from service.http.patterns import PATTERN_RULES
from service.http.problems import PROBLEM_TYPES
from tests.contract.problems import assert_problem
from tests.serving import running, wait_until


def test_a_running_service_is_live_and_ready(client: httpx.Client) -> None:
    assert client.get("/health/live").json() == {"status": "live"}
    ready = client.get("/health/ready")
    assert ready.status_code == 200
    assert ready.json()["status"] == "ready"
    assert ready.json()["models"] >= 3
    assert ready.json()["broken_versions"] == 0
    assert ready.json()["missing"] == []


@pytest.mark.slow
def test_readiness_says_that_the_disk_is_nearly_full(tmp_path: Path) -> None:
    with running(tmp_path, training_processes=0, min_free_bytes=2**50) as client:
        answer = client.get("/health/ready")
        (missing,) = answer.json()["missing"]
        assert (answer.status_code, missing["part"]) == (200, "disk")
        free = shutil.disk_usage(tmp_path).free / 2**20
        assert float(missing["reason"].split()[0].replace(",", "")) == pytest.approx(free, rel=0.1)


@pytest.mark.slow
def test_readiness_says_that_the_data_folder_has_reached_its_bound(tmp_path: Path) -> None:
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / "large").write_bytes(bytes(2**21))
    with running(tmp_path, training_processes=0, max_data_bytes=2**20) as client:
        wait_until(lambda: client.get("/health/ready").json()["missing"])
        (missing,) = client.get("/health/ready").json()["missing"]
        assert missing["part"] == "disk"
        assert missing["reason"].startswith("The data folder has reached max_data_bytes.")


def all_errors(kind: type[ServiceError] = ServiceError) -> list[type[ServiceError]]:
    return [kind, *(error for child in kind.__subclasses__() for error in all_errors(child))]


def test_every_error_has_a_status_and_a_unique_code() -> None:
    errors = [error for error in all_errors() if error is not ServiceError]
    assert set(PROBLEM_TYPES) == set(errors)
    assert len({error.code for error in errors}) == len(errors)


@pytest.mark.slow
def test_the_openapi_document_describes_every_body_and_problem(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()

    def references(part: object) -> list[str]:
        if isinstance(part, dict):
            own = [part["$ref"]] if isinstance(part.get("$ref"), str) else []
            return own + [found for value in part.values() for found in references(value)]
        return [found for value in part for found in references(value)] if isinstance(part, list) else []

    for reference in references(document):
        root, components, kind, name = reference.split("/")
        assert (root, components) == ("#", "components")
        assert name in document["components"][kind], reference
    bodies = {
        path: operation["post"]["requestBody"]["content"]["application/json"]["schema"]
        for path, operation in document["paths"].items()
        if "requestBody" in operation.get("post", {})
    }
    assert "anyOf" in bodies.pop("/datasets/{name}")  # columns or records
    assert bodies.pop("/models/{name}/versions")["type"] == "object"  # a network that was exported as JSON
    assert {path: body for path, body in bodies.items() if not path.startswith("/v2/")} == {
        "/predict": {"$ref": "#/components/schemas/PredictRequest"},
        "/invocations": {"$ref": "#/components/schemas/InvocationsRequest"},
        "/train": {"$ref": "#/components/schemas/TrainRequest"},
        "/models/{name}/corrections": {"$ref": "#/components/schemas/CorrectionsRequest"},
    }
    for path, operations in document["paths"].items():
        media_type, schema = "application/problem+json", "Problem"
        if path == "/v2" or path.startswith("/v2/"):
            media_type, schema = "application/json", "ProtocolError"
        for operation in operations.values():
            for status in ("4XX", "5XX"):
                content = operation["responses"][status]["content"]
                assert content == {media_type: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
            assert "422" not in operation["responses"], "FastAPI's own error body must not be documented"


def test_every_pattern_has_a_rule_in_words(client: httpx.Client) -> None:
    def patterns(part: object) -> set[str]:
        if isinstance(part, dict):
            own = {part["pattern"]} if isinstance(part.get("pattern"), str) else set()
            return own.union(*(patterns(value) for value in part.values()))
        return set().union(*(patterns(value) for value in part)) if isinstance(part, list) else set()

    assert patterns(client.get("/openapi.json").json()) == set(PATTERN_RULES)


@pytest.fixture(scope="module")
def document(client: httpx.Client) -> dict[str, Any]:
    document: dict[str, Any] = client.get("/openapi.json").json()
    return document


def test_every_operation_has_a_short_id_and_every_schema_a_plain_name(document: dict[str, Any]) -> None:
    operations = [one for methods in document["paths"].values() for one in methods.values()]
    ids = [one["operationId"] for one in operations]
    assert len(set(ids)) == len(ids)
    for name in ids:
        assert re.fullmatch("[a-z]+([A-Z][a-z]+)*", name)
    assert {"predict", "createJob", "listModels", "getModel", "listVersions", "getVersion", "getReady"} <= set(ids)
    for name in document["components"]["schemas"]:
        assert re.fullmatch("[A-Z][A-Za-z]+", name)


def test_the_openapi_document_suits_client_generators(document: dict[str, Any]) -> None:
    assert document["servers"] == [{"url": "/", "description": "The service that serves this document."}]
    assert document["info"]["license"]["identifier"] == "Apache-2.0"
    tags = {tag["name"] for tag in document["tags"] if tag["description"]}
    for methods in document["paths"].values():
        for operation in methods.values():
            assert set(operation["tags"]) <= tags
            for parameter in operation.get("parameters", []):
                assert parameter["name"].lower() != "accept", "clients set it themselves"
                assert parameter["description"], parameter
                assert {"type": "null"} not in parameter["schema"].get("anyOf", [])
                assert parameter["schema"].get("type") != "array" or parameter["explode"] is False
            for status, response in operation["responses"].items():
                if status.startswith("2") and "application/json" in response.get("content", {}):
                    assert _has_example(response["content"]["application/json"], document["components"]["schemas"])
                assert response["description"] != "Successful Response"
                assert "X-Request-ID" in response["headers"]
    for name, schema in document["components"]["schemas"].items():
        for field, part in schema.get("properties", {}).items():
            assert "default" not in part, f"generators would make {name}.{field} required"
            assert part.keys() & {"description", "const", "$ref"}, f"{name}.{field} has no description"
            assert part.get("type") != "object" or "properties" in part or "additionalProperties" in part
            assert "const" not in part or field in schema["required"] or schema["additionalProperties"] is False
    checkpoint = document["paths"]["/jobs/{job_id}/checkpoint"]["get"]["responses"]["200"]
    binary = {"schema": {"type": "string", "format": "binary"}}
    assert checkpoint["content"] == {"application/octet-stream": binary}
    predict = document["paths"]["/predict"]["post"]
    for content in (predict["requestBody"]["content"], predict["responses"]["200"]["content"]):
        assert content["application/x-npy"] == content["application/vnd.apache.arrow.stream"] == binary
    problem = document["components"]["schemas"]["Problem"]["properties"]
    assert {error.code for error in all_errors() if error is not ServiceError} < set(problem["code"]["enum"])
    assert problem["current_status"]["$ref"] == "#/components/schemas/JobState"


def _has_example(content: dict[str, Any], schemas: dict[str, Any]) -> bool:
    references = [one["$ref"] for one in content["schema"].get("oneOf", [content["schema"]])]
    return "examples" in content or all("examples" in schemas[one.rpartition("/")[2]] for one in references)


def test_every_example_of_the_openapi_document_has_the_form_of_a_response(document: dict[str, Any]) -> None:
    for kind, example in EXAMPLES.items():
        parsed = kind.model_validate(example)
        assert parsed.model_dump(mode="json", by_alias=True, exclude_unset=True) == example
        schema = document["components"]["schemas"][kind.__name__]
        assert schema["examples"] == [example]
        assert all(name in example for name in schema.get("required", ()))


def test_the_alias_of_train_is_not_in_the_document(client: httpx.Client, document: dict[str, Any]) -> None:
    assert set(document["paths"]["/jobs"]) == {"get"}
    request = {"model": "m", "data": {"dataset": "flower"}}
    train, jobs = (client.post(f"{path}?validate_only=true", json=request) for path in ("/train", "/jobs"))
    assert train.json() == jobs.json()


def test_the_documentation_page_needs_no_other_host(client: httpx.Client) -> None:
    page = client.get("/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["cache-control"] == "no-cache"
    named = [url for url in re.findall(r'(?:src|href)="([^"]+)"', page.text) if url != "data:,"]
    files = {url.rpartition("/")[2]: client.get(page.url.join(url)) for url in named}
    assert set(files) == {"swagger-ui.css", "swagger-ui-bundle.js", "start.js"}
    for file in files.values():
        assert file.status_code == 200
        assert file.headers["content-type"].partition(";")[0] in ("text/css", "text/javascript")
        assert file.headers["cache-control"] == "max-age=31536000, immutable"
    style = files["swagger-ui.css"].text
    assert "@import" not in style
    assert {url.partition(":")[0] for url in re.findall(r'url\("?([^)"]+)', style)} == {"data"}
    start = files["start.js"].text
    (document,) = re.findall('url: "(.+)"', start)
    assert client.get(page.url.join(document)).json()["info"]["title"] == "Separatrix"
    assert "validatorUrl: null" in start, "it would send the address of the document to another host"
    assert not re.findall(r"<script(?! src)|<style|\son\w+=|style=", page.text), "a strict policy allows no inline code"


def test_files_that_the_documentation_page_does_not_name_are_not_found(client: httpx.Client) -> None:
    (folder, *_) = re.findall("docs/[0-9a-f]{16}", client.get("/docs").text)
    for path in ("/docs/", "/docs/nothing", "/docs/0123456789abcdef/start.js", f"/{folder}/redoc.js", "/redoc"):
        assert_problem(client.get(path), 404, "no-such-path")
