"""The form of every error response of the service."""

import httpx


def assert_problem(answer: httpx.Response, status: int, code: str, *, field: str | None = None) -> None:
    """Asserts that the answer is a problem of this status and code, and that its errors name the field."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert set(body) == {"type", "title", "status", "detail", "error", "errors"}
    assert body["type"] == f"urn:separatrix:problem:{code}"
    assert body["status"] == status
    assert body["error"] == f"{body['title']}: {body['detail']}"
    if field is not None:
        assert field in [one["field"] for one in body["errors"]], body
        assert all(one["detail"] for one in body["errors"])
