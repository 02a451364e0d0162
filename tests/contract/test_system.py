import httpx
import pytest

from service.errors import ServiceError
from service.http.patterns import PATTERN_RULES
from service.http.problems import PROBLEM_TYPES


def test_a_running_service_is_live_and_ready(client: httpx.Client) -> None:
    assert client.get("/health/live").json() == {"status": "live"}
    ready = client.get("/health/ready")
    assert ready.status_code == 200
    assert ready.json()["status"] == "ready"
    assert ready.json()["models"] >= 3
    assert ready.json()["broken_versions"] == 0


def all_errors(kind: type[ServiceError] = ServiceError) -> list[type[ServiceError]]:
    return [kind, *(error for child in kind.__subclasses__() for error in all_errors(child))]


def test_every_error_has_a_status_and_a_unique_code() -> None:
    errors = [error for error in all_errors() if error is not ServiceError]
    assert set(PROBLEM_TYPES) == set(errors)
    assert len({error.code for error in errors}) == len(errors)


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
    assert bodies == {
        "/predict": {"$ref": "#/components/schemas/PredictRequest"},
        "/train": {"$ref": "#/components/schemas/TrainRequest"},
        "/jobs": {"$ref": "#/components/schemas/TrainRequest"},
    }
    for operations in document["paths"].values():
        for operation in operations.values():
            problem = operation["responses"]["4XX"]["content"]["application/problem+json"]["schema"]
            assert problem == {"$ref": "#/components/schemas/Problem"}
            assert "422" not in operation["responses"], "FastAPI's own error body must not be documented"


def test_every_pattern_has_a_rule_in_words(client: httpx.Client) -> None:
    def patterns(part: object) -> set[str]:
        if isinstance(part, dict):
            own = {part["pattern"]} if isinstance(part.get("pattern"), str) else set()
            return own.union(*(patterns(value) for value in part.values()))
        return set().union(*(patterns(value) for value in part)) if isinstance(part, list) else set()

    assert patterns(client.get("/openapi.json").json()) == set(PATTERN_RULES)


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_the_documentation_pages_are_served(client: httpx.Client, path: str) -> None:
    assert client.get(path).headers["content-type"].startswith("text/html")
