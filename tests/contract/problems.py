"""What every refusal of the service looks like."""

import httpx


def assert_problem(answer: httpx.Response, status: int, code: str, *, field: str | None = None) -> None:
    """The answer is a problem of that status and code, which names the field and repeats nothing of the request."""
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
