"""Access: keys with roles, host names and origins, over real connections."""

import logging
import os
import re
import stat
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner, Result

from service.access.keys import ROLES, KeyFile, Role
from service.api import roles
from service.cli import app
from tests.contract.problems import assert_problem
from tests.serving import running, train, wait_until

ORDER = [*ROLES]
"""The roles, from the least to the greatest."""

POINT = {"model": "m", "points": [[0.5, -0.25]]}
FILLED = {"{name}": "m", "{model}": "m", "{version}": "1", "{alias}": "latest", "{layer}": "0", "{job_id}": "none"}
"""What stands for the parameters of a path."""


class Guarded:
    """A service that needs keys.

    Attributes:
        client: without a key.
        file: of the keys.
        keys: a key of each role, by role.
    """

    def __init__(self, client: httpx.Client, file: KeyFile, keys: dict[str, str]) -> None:
        self.client = client
        self.file = file
        self.keys = keys

    def send(self, method: str, path: str, role: str | None, **options: Any) -> httpx.Response:
        """The response to a request with the key of a role."""
        return self.client.request(method, path, headers=bearer(self.keys[role]) if role else {}, **options)


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("guarded")
    file = KeyFile(folder / "keys.json")
    with running(folder, training_processes=1, cors_origins=["https://app.example.org"]) as client:
        train(client, "m")  # while there are no keys
        keys = {role: file.add(f"a-{role}", role) for role in ROLES}
        wait_until(lambda: client.get("/models").status_code == 401)
        yield Guarded(client, file, keys)


ROUTES = [
    (method, path, role)
    for (method, path), role in roles.by_route().items()
    if "/docs/" not in path and "/page/" not in path
]


@pytest.mark.slow
@pytest.mark.parametrize(("method", "path", "needed"), ROUTES, ids=[f"{one[0]} {one[1]}" for one in ROUTES])
def test_each_route_is_refused_to_lesser_roles_and_to_strangers(
    guarded: Guarded, method: str, path: str, needed: Role
) -> None:
    for name, value in FILLED.items():
        path = path.replace(name, value)
    is_protocol = path.startswith("/v2")
    if needed is Role.PUBLIC:
        assert guarded.send(method, path, None).status_code in (200, 503)
        return
    answer = guarded.send(method, path, None)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "x-request-id" in answer.headers
    if not is_protocol:
        assert_problem(answer, 401, "unauthorized")
    for role in ORDER[: ORDER.index(needed.name.lower())]:
        answer = guarded.send(method, path, role)
        assert answer.status_code == 403
        assert f"needs the role {needed.name.lower()}" in answer.json()["error"]
        if not is_protocol:
            assert_problem(answer, 403, "forbidden")


@pytest.mark.parametrize("role", ORDER)
def test_a_key_of_each_role_may_do_what_the_role_says(guarded: Guarded, role: str) -> None:
    rank = ORDER.index(role)
    assert guarded.send("GET", "/models/m", role).status_code == 200
    assert guarded.send("GET", "/boundary-grid?model=m&resolution=4", role).status_code == 200
    assert guarded.send("GET", "/metrics", role).status_code == 200
    assert guarded.send("GET", "/v2/models/m", role).status_code == 200
    assert guarded.send("HEAD", "/models", role).status_code == 200
    assert guarded.send("POST", "/predict", role, json=POINT).status_code == (200 if rank >= 1 else 403)
    inputs = [{"name": "points", "shape": [1, 2], "datatype": "FP32", "data": [0.5, -0.25]}]
    answer = guarded.send("POST", "/v2/models/m/infer", role, json={"inputs": inputs})
    assert answer.status_code == (200 if rank >= 1 else 403)
    body = {"model": "m", "data": {"dataset": "flower"}, "training": {"epochs": 1}}
    answer = guarded.send("POST", "/train?validate_only=true", role, json=body)
    assert answer.status_code == (200 if rank >= 2 else 403)
    assert guarded.send("DELETE", "/models/nobody", role).status_code == (404 if rank >= 3 else 403)


def test_a_client_with_a_key_learns_that_a_path_or_a_method_does_not_exist(guarded: Guarded) -> None:
    assert guarded.send("GET", "/nowhere", None).status_code == 401
    assert_problem(guarded.send("GET", "/nowhere", "read"), 404, "no-such-path")
    answer = guarded.send("DELETE", "/predict", "read")
    assert_problem(answer, 405, "method-not-allowed")
    assert "POST" in answer.headers["allow"]
    assert guarded.send("POST", "/train%0A", "read").status_code in (403, 404), "no other spelling of a path is let in"


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/models%2Fm",
            "/models%2fm",
            "/models/m%2Fversions",
            "/models/m%2Fversions%2F1",
            "/%2Fmodels/m",
            "/models/a%2Fb",
        ),
        *("//models/m", "/models//m", "/./models/m", "/models/./m", "/x/../models/m", "/models/%2e%2E/models/m"),
        *(
            "/health/live/../../models/m",
            "/health/live%2F..%2F..%2Fmodels%2Fm",
            "/page/..%2Fmodels/m",
            "/page/../models/m",
        ),
        *("/models/m/", "/models/m;x", "/models;x/m", "/models%3B/m", "/models/m%3Fx", "/models/m%23x"),
        *("/models%0A", "/models/m%0A", "/models/m%00", "/models/m%7F", "/MODELS/m", "/models/M"),
    ],
)
def test_an_alternative_spelling_of_a_path_is_not_found(guarded: Guarded, path: str) -> None:
    address = guarded.client.base_url
    for method in ("GET", "DELETE"):  # as they are: a client of httpx would normalize them
        connection = HTTPConnection(address.host, address.port or 80)
        connection.request(method, path, headers=bearer(guarded.keys["admin"]))
        assert connection.getresponse().status in ((404,) if method == "GET" else (404, 405)), path
        connection.close()
    assert guarded.send("GET", "/models/m", "read").status_code == 200


@pytest.mark.parametrize("path", ["/%6Dodels/m", "/%6dodels/%6d", "/model%73/m"])
def test_a_path_with_escaped_letters_needs_the_role_of_the_unescaped_path(guarded: Guarded, path: str) -> None:
    address = guarded.client.base_url
    for role, method, status in (("read", "GET", 200), ("train", "DELETE", 403), ("read", "PUT", 403)):
        connection = HTTPConnection(address.host, address.port or 80)
        connection.request(method, path, headers=bearer(guarded.keys[role]))
        assert connection.getresponse().status == status
        connection.close()


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer sepx_wrong", "Basic YTpi", "{key}", "Bearer {key}x", "Bearer {key} {key}"],
)
def test_an_invalid_key_is_refused(guarded: Guarded, header: str) -> None:
    headers = {"Authorization": header.format(key=guarded.keys["admin"])}
    answer = guarded.client.post("/predict", json=POINT, headers=headers)
    assert_problem(answer, 401, "unauthorized")
    assert guarded.keys["admin"] not in answer.text


def test_the_scheme_bearer_is_case_insensitive(guarded: Guarded) -> None:
    headers = {"authorization": f"bearer {guarded.keys['read']}"}
    assert guarded.client.get("/models", headers=headers).status_code == 200


@pytest.mark.slow
def test_keys_are_added_and_revoked_while_the_service_runs(guarded: Guarded) -> None:
    key = guarded.file.add("visitor", "read")
    wait_until(lambda: guarded.client.get("/models", headers=bearer(key)).status_code == 200)
    guarded.file.revoke("visitor")
    wait_until(lambda: guarded.client.get("/models", headers=bearer(key)).status_code == 401)
    assert guarded.send("GET", "/models", "read").status_code == 200


@pytest.mark.slow
def test_a_file_of_keys_that_is_damaged_or_gone_opens_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = KeyFile(tmp_path / "keys.json")
    key = file.add("only", "read")
    with running(tmp_path, training_processes=0) as client:
        content = file.path.read_bytes()
        file.path.write_bytes(b'{"keys": 5}')
        other = KeyFile(tmp_path / "other.json")
        late = other.add("late", "read")
        wait_until(lambda: client.get("/models", headers=bearer(key)) and "the keys stay as they were" in caplog.text)
        assert client.get("/models", headers=bearer(key)).status_code == 200
        file.path.write_bytes(other.path.read_bytes())
        wait_until(lambda: client.get("/models", headers=bearer(late)).status_code == 200)
        assert client.get("/models", headers=bearer(key)).status_code == 401
        file.path.unlink()
        wait_until(lambda: client.get("/models", headers=bearer(late)).status_code == 401)
        assert client.get("/models").status_code == 401
        file.path.write_bytes(content)
        wait_until(lambda: client.get("/models", headers=bearer(key)).status_code == 200)


def test_a_page_of_a_listed_origin_can_send_a_key_and_read_what_is_missing(guarded: Guarded) -> None:
    page = {"Origin": "https://app.example.org"}
    asked = page | {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    answer = guarded.client.options("/predict", headers=asked)
    assert answer.status_code == 200
    assert "authorization" in answer.headers["access-control-allow-headers"]
    answer = guarded.client.post("/predict", json=POINT, headers=page)
    assert_problem(answer, 401, "unauthorized")
    assert answer.headers["access-control-allow-origin"] == page["Origin"]
    assert "WWW-Authenticate" in answer.headers["access-control-expose-headers"]


def test_the_audit_log_has_a_line_for_each_write_and_none_for_reads_and_predictions(
    guarded: Guarded, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="separatrix.audit"):
        for method, path, role in (
            ("GET", "/models", "read"),
            ("POST", "/predict", "predict"),
            ("DELETE", "/models/nobody", "admin"),
            ("DELETE", "/models/no%0Abody", "read"),
            ("POST", "/train", None),
        ):
            headers = {"X-Request-ID": "one"} | (bearer(guarded.keys[role]) if role else {})
            guarded.client.request(method, path, headers=headers, json=POINT)
        wait_until(lambda: len(caplog.messages) >= 3)
    assert [line for line in caplog.messages if line.startswith("audit")] == [
        "audit: a-admin from 127.0.0.1: DELETE /models/nobody: 404, id one",
        "audit: a-read from 127.0.0.1: DELETE /models/no%0Abody: 403, id one",
        "audit: - from 127.0.0.1: POST /train: 401, id one",
    ]


def test_refused_requests_are_counted_without_their_paths(guarded: Guarded) -> None:
    guarded.send("GET", "/models/secret-name", None)
    metrics = guarded.send("GET", "/metrics", "read").text
    assert 'route="unmatched",status="401"' in metrics
    assert "secret-name" not in metrics


@pytest.mark.slow
def test_the_document_declares_the_keys_and_which_calls_need_none(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    assert {"key": []} in document["security"]
    operations = {(m.upper(), p): one for p, methods in document["paths"].items() for m, one in methods.items()}
    public = {route for route, operation in operations.items() if operation.get("security") == []}
    assert public == {route for route, role in roles.by_route().items() if role is Role.PUBLIC} & operations.keys()


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:1", "127.0.0.1:8000", "127.9.9.9", "[::1]", "[::1]:8000", "127.0.0.1"]
)
def test_a_service_on_loopback_answers_under_the_names_of_this_machine(client: httpx.Client, host: str) -> None:
    assert client.get("/models", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1", "[", ""),
        *("localhost:evil.example", "localhost:80:80", "[::1]evil.example", "[::1]:x", "[localhost", "localhost]"),
    ],
)
def test_a_service_on_loopback_answers_under_no_other_name(client: httpx.Client, host: str) -> None:
    assert_problem(client.get("/models", headers={"Host": host}), 421, "host-not-allowed")
    answer = client.post("/predict", json=POINT | {"model": "plane"}, headers={"Host": host})
    assert_problem(answer, 421, "host-not-allowed")


@pytest.mark.parametrize(
    ("headers", "is_allowed"),
    [
        ({}, True),
        ({"Origin": "http://{host}"}, True),
        ({"Origin": "https://{host}"}, True),
        ({"Origin": "https://evil.example", "Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Origin": "https://evil.example"}, False),
        ({"Origin": "http://localhost:1"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": "http://{host}.evil.example"}, False),
        ({"Origin": "http://{host}", "Sec-Fetch-Site": "same-site"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
    ],
)
def test_pages_of_other_origins_change_nothing(client: httpx.Client, headers: dict[str, str], is_allowed: bool) -> None:
    host = f"{client.base_url.host}:{client.base_url.port}"
    sent = {name: value.format(host=host) for name, value in headers.items()}
    answer = client.post("/predict", json=POINT | {"model": "plane"}, headers=sent)
    if is_allowed:
        assert answer.status_code == 200, answer.text
    else:
        assert_problem(answer, 403, "origin-not-allowed")
        assert "access-control-allow-origin" not in answer.headers
    assert client.get("/models", headers=sent).status_code == 200, "reading is for the browser to allow"


def test_pages_of_listed_origins_may_write(guarded: Guarded) -> None:
    for site in ({}, {"Sec-Fetch-Site": "cross-site"}):
        headers = bearer(guarded.keys["predict"]) | {"Origin": "https://app.example.org"} | site
        assert guarded.client.post("/predict", json=POINT, headers=headers).status_code == 200


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A service that trusts the proxies of this machine, under a name of its own."""
    options: dict[str, Any] = {"trusted_proxies": ["127.0.0.0/8"], "allowed_hosts": "models.example.org"}
    with running(tmp_path_factory.mktemp("proxied"), training_processes=0, **options) as client:
        yield client


def test_behind_a_trusted_proxy_the_forwarded_host_counts(proxied: httpx.Client) -> None:
    forwarded = {"X-Forwarded-Host": "models.example.org, inner", "X-Forwarded-Prefix": "/apps/sep"}
    page = forwarded | {"Origin": "https://models.example.org"}
    assert proxied.post("/jobs/none/cancel", headers=page).status_code == 404
    assert_problem(
        proxied.post("/jobs/none/cancel", headers=page | {"Origin": "https://evil.example"}), 403, "origin-not-allowed"
    )
    assert proxied.post("/apps/sep/jobs/none/cancel", headers=page).status_code == 404
    assert_problem(proxied.get("/models", headers={"X-Forwarded-Host": "evil.example"}), 421, "host-not-allowed")
    assert proxied.get("/models", headers={"Host": "models.example.org:443"}).status_code == 200


def test_a_forwarded_host_of_anybody_else_is_ignored(client: httpx.Client) -> None:
    assert client.get("/models", headers={"X-Forwarded-Host": "evil.example"}).status_code == 200
    headers = {"X-Forwarded-Host": "evil.example", "Origin": "http://evil.example"}
    assert_problem(client.post("/jobs/none/cancel", headers=headers), 403, "origin-not-allowed")


def separatrix(*arguments: str, data: Path) -> Result:
    return CliRunner().invoke(app, arguments, env={"SEPARATRIX_DATA_DIR": str(data), "COLUMNS": "160"})


@pytest.mark.slow
def test_keys_are_added_listed_and_revoked_by_the_command_line(tmp_path: Path) -> None:
    data = tmp_path / "data"
    added = separatrix("keys", "add", "ada", "--role", "train", data=data)
    assert added.exit_code == 0, added.stderr
    key = added.stdout.strip()
    assert len(key) >= 48
    file = data / "keys.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert key not in file.read_text()
    listed = separatrix("keys", "list", data=data).stdout
    assert "ada" in listed
    assert "train" in listed
    assert key not in listed
    with running(data, training_processes=0) as client:
        assert client.get("/models", headers=bearer(key)).status_code == 200
        assert client.get("/models").status_code == 401
    revoked = separatrix("keys", "revoke", "ada", data=data)
    assert "Revoked ada" in revoked.stdout
    assert "No key is left" in revoked.stdout
    assert "ada" not in separatrix("keys", "list", data=data).stdout
    with running(data, training_processes=0) as client:
        assert client.get("/models").status_code == 401, "a file without keys does not open the service"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("keys add ada --role king", "role: must be one of read, predict, train, admin"),
        ("keys add taken --role read", "name: has a key already"),
        ("keys add ../x --role read", "name: must be 1 to 63 letters"),
        ("keys revoke nobody", "name: is not the name of a key"),
        ("serve --port 0 --keys-file damaged", "keys_file: is damaged"),
        ("keys list --keys-file damaged", "keys_file: is damaged"),
        ("serve --host 0.0.0.0 --keys-file none", "host: other machines can reach it"),
        ("serve --allowed-hosts http://x", "allowed_hosts: "),
        ("serve --max-requests-per-s 1e-320", "max_requests_per_s: must be 0, which sets no limit, or at least 0.001"),
    ],
)
def test_wrong_keys_and_settings_are_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    KeyFile(tmp_path / "keys.json").add("taken", "read")
    Path("damaged").write_text('{"keys": [{"name": "a", "role": "root", "digest": "", "created_at": ""}]}')
    done = separatrix(*command.split(), data=tmp_path)
    assert done.exit_code == 2, done.output
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_only_the_owner_can_read_the_keys_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        KeyFile(tmp_path / "keys.json").add("a", "read")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "keys.json").stat().st_mode) == 0o600
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith(".new-")]


def test_the_container_makes_a_key_and_compose_publishes_it_on_this_machine_only() -> None:
    root = Path(__file__).parents[2]
    ports = re.findall(r'^ +- "(.*:8000)"$', (root / "docker-compose.yml").read_text(), re.MULTILINE)
    assert ports == ["127.0.0.1:${SEPARATRIX_PORT:-8000}:8000"]
    dockerfile = (root / "Dockerfile").read_text()
    assert "SEPARATRIX_FIRST_KEY=true" in dockerfile
    assert "INSECURE" not in dockerfile
