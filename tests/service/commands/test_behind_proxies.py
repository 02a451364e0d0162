"""`separatrix serve` behind a real proxy, under a path that the proxy removes or leaves."""

import http.client
import os
import socket
from collections.abc import Iterator

import httpx
import pytest

from service.commands.serve import uvicorn_config
from service.settings import Settings
from tests.contract.problems import assert_problem
from tests.nginx import nginx
from tests.processes import Service, service
from tests.serving import DEADLINE_S, connected, train
from tests.streams import events_of

pytestmark = pytest.mark.processes

LOCATIONS = """
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_set_header X-Forwarded-Proto https;
    proxy_set_header X-Forwarded-Host $http_host;
    location /removed/ {
      proxy_pass http://service/;
      proxy_set_header X-Forwarded-Prefix /removed;  # replaces the headers above
      proxy_set_header X-Forwarded-Host $http_host;
    }
    location /sep/ { proxy_pass http://service; }
"""
"""The first location removes its path and says so, the second leaves it, which `root_path` tells the service."""


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service under `/sep` that trusts the proxies of this machine and keeps idle connections for a second."""
    options = ("--root-path", "/sep", "--trusted-proxies", "127.0.0.1", "--keep-alive-s", "1", "--log-level", "debug")
    with service(tmp_path_factory.mktemp("behind"), *options) as one:
        train(one.client, "m")
        yield one


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory, behind: Service) -> Iterator[httpx.Client]:
    """A client of the nginx in front of it."""
    folder = tmp_path_factory.mktemp("nginx")
    folder.chmod(0o755)
    with nginx(folder, behind.address.removeprefix("http://"), LOCATIONS) as address, connected(address) as client:
        yield client


@pytest.mark.parametrize("prefix", ["/removed", "/sep"])
def test_a_client_follows_links_through_a_proxy(proxy: httpx.Client, prefix: str) -> None:
    point = {"model": "m", "points": [[0.5, -0.25]]}
    assert proxy.post(f"{prefix}/predict", json=point).json()["version"] == 1
    body = {"model": "through", "data": {"dataset": "flower"}, "training": {"epochs": 20}}
    submitted = proxy.post(f"{prefix}/train", json=body, headers={"Prefer": "wait=50"})
    assert submitted.headers["location"].startswith(f"{prefix}/jobs/")
    job = proxy.get(submitted.headers["location"]).json()
    assert job["links"]["self"] == submitted.headers["location"]
    version = proxy.get(job["links"]["version"]).json()
    grid = version["links"]["boundary_grid"]
    known = proxy.get(grid).headers["etag"]
    assert proxy.get(grid, headers={"If-None-Match": known}).status_code == 304
    with proxy.stream("GET", job["links"]["events"], headers={"Accept": "text/event-stream"}) as stream:
        assert {event.kind for event in events_of(stream.iter_lines())} >= {"job", "done"}
    assert proxy.head(job["links"]["self"]).status_code == 200
    assert "POST" in proxy.options(f"{prefix}/train").headers["allow"]
    assert_problem(proxy.get(f"{prefix}/nowhere"), 404, "no-such-path")


@pytest.mark.parametrize("prefix", ["/removed", "/sep"])
def test_the_documentation_works_through_a_proxy(proxy: httpx.Client, prefix: str) -> None:
    page = proxy.get(f"{prefix}/docs")
    document = proxy.get(page.url.join("openapi.json")).json()
    assert document["servers"][0]["url"] == prefix
    assert proxy.get(f"{document['servers'][0]['url']}/health/live").json() == {"status": "live"}


@pytest.mark.parametrize("prefix", ["/removed", "/sep"])
def test_a_page_behind_the_proxy_may_write_and_any_other_may_not(proxy: httpx.Client, prefix: str) -> None:
    point = {"model": "m", "points": [[0.5, -0.25]]}
    own = {"Origin": f"https://{proxy.base_url.netloc.decode()}"}
    assert proxy.post(f"{prefix}/predict", json=point, headers=own).status_code == 200
    answer = proxy.post(f"{prefix}/predict", json=point, headers={"Origin": "https://evil.example"})
    assert_problem(answer, 403, "origin-not-allowed")
    assert_problem(proxy.get(f"{prefix}/models", headers={"Host": "evil.example"}), 421, "host-not-allowed")


def test_the_log_has_the_address_of_the_client_instead_of_the_proxys(proxy: httpx.Client, behind: Service) -> None:
    assert proxy.get("/sep/models?limit=7", headers={"X-Forwarded-For": "203.0.113.7"}).is_success
    lines = [line for line in behind.log.splitlines() if "/models?limit=7" in line]
    assert len(lines) == 1
    assert "203.0.113.7:" in lines[0]


def test_an_idle_connection_is_kept_as_long_as_the_setting_says(behind: Service) -> None:
    host, _, port = behind.address.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=DEADLINE_S) as connection:
        connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert (answer.status, answer.read()) == (200, b'{"status":"live"}')
        connection.settimeout(0.3)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        connection.settimeout(DEADLINE_S)
        assert connection.recv(1) == b"", "it is closed after a second"


def test_idle_connections_outlive_those_of_common_load_balancers_by_default() -> None:
    assert uvicorn_config(Settings()).timeout_keep_alive == 75
    assert uvicorn_config(Settings(keep_alive_s=7)).timeout_keep_alive == 7


def test_invalid_settings_for_proxies_and_pages_are_refused_with_the_reason() -> None:
    for name, value, reason in (
        ("cors_origins", "https://app.example.org/", "without a path"),
        ("cors_origins", "app.example.org", "such as https://app.example.org"),
        ("cors_origins", "https://App.example.org", "lower case"),
        ("cors_origins", "https://app.example.org:443", "without the usual port"),
        ("cors_origins", "*,https://app.example.org", "alone"),
        ("cors_origins", "null", "such as https"),
        ("trusted_proxies", "*", "not *"),
        ("trusted_proxies", "10.0.0.1/8", "not 10.0.0.1/8"),
        ("trusted_proxies", "proxy.example.org", "addresses or networks"),
        ("root_path", "separatrix", "such as /separatrix"),
        ("root_path", "/a/../b", "such as /separatrix"),
        ("root_path", "/models/x", "/models, which is a path of the service"),
        ("keep_alive_s", "0", "greater than or equal to 1"),
    ):
        with pytest.raises(ValueError, match=name) as refused:
            Settings(**{name: value})
        assert reason in str(refused.value)


def test_lists_and_empty_values_may_be_set_by_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "SEPARATRIX_CORS_ORIGINS", "https://a.example, http://[::1]:5173")
    monkeypatch.setitem(os.environ, "SEPARATRIX_TRUSTED_PROXIES", "")
    monkeypatch.setitem(os.environ, "SEPARATRIX_ROOT_PATH", "")
    settings = Settings()
    assert settings.cors_origins == ["https://a.example", "http://[::1]:5173"]
    assert (settings.trusted_proxies, settings.root_path) == ([], None)
