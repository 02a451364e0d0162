"""The form of every error response of the service."""

import httpx


def assert_problem(
    answer: httpx.Response,
    status: int,
    code: str,
    *,
    field: str | None = None,
    place: str | None = None,
    current_status: str | None = None,
) -> None:
    """Asserts that the answer is a problem of this status and code, and that its errors name the field and its place.

    By default, the place of a field is the query of a GET request and the body of any other.
    """
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    members = {"type", "code", "title", "status", "detail", "error", "errors"}
    assert set(body) == (members | {"current_status"} if code == "wrong-state" else members)
    assert body["code"] == code
    assert body["type"] == f"urn:separatrix:problem:{code}"
    assert body["status"] == status
    assert body["error"] == f"{body['title']}: {body['detail']}"
    if current_status is not None:
        assert body["current_status"] == current_status
    if field is not None:
        place = place or ("query" if answer.request.method == "GET" else "body")
        assert (place, field) in [(one["in"], one["field"]) for one in body["errors"]], body
        assert all(one["detail"] for one in body["errors"])
