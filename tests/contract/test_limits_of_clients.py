"""Limits of the request rate, of concurrent requests and of queued jobs, for each key or address."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from typer.testing import CliRunner

from service.access.keys import KeyFile, Limits
from service.access.rates import BURST_S, PROBES, SLOTS, Rates
from service.cli import app
from tests.contract.problems import assert_problem
from tests.serving import running, wait_until

ONE_IN_1000_S = 0.001
"""One request in 1,000 seconds: even on a busy machine, the second request of a test comes too early."""

TRAINING = {"model": "m", "data": {"dataset": "flower"}, "training": {"epochs": 1}}


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A service without workers. `AUTH` has the header of each of its keys, by the name of the key."""
    folder = tmp_path_factory.mktemp("limited")
    file = KeyFile(folder / "keys.json")
    for name, limits in (
        ("slow", Limits(rate=ONE_IN_1000_S)),
        ("also-slow", Limits(rate=ONE_IN_1000_S)),
        ("narrow", Limits(concurrency=1)),
        ("few", Limits(queued=2)),
        ("other", Limits()),
        ("ada", Limits()),
        ("bob", Limits()),
        ("watcher", Limits()),
    ):
        AUTH[name] = {"Authorization": f"Bearer {file.add(name, 'train', limits)}"}
    with running(folder, training_processes=0, max_queued_jobs_per_key=3) as client:
        yield client


AUTH: dict[str, dict[str, str]] = {}


@pytest.mark.slow
def test_a_key_sends_no_more_requests_a_second_than_its_rate(limited: httpx.Client) -> None:
    assert limited.get("/models", headers=AUTH["slow"]).status_code == 200
    answer = limited.get("/models", headers=AUTH["slow"])
    assert_problem(answer, 429, "too-many-requests")
    assert "0.001 requests a second" in answer.json()["detail"]
    assert 900 < int(answer.headers["retry-after"]) <= 1000
    answer = limited.post("/predict", json={"model": "m", "points": [[0, 0]]}, headers=AUTH["slow"])
    assert_problem(answer, 429, "too-many-requests")
    assert limited.get("/models", headers=AUTH["also-slow"]).status_code == 200, "each key has its own rate"
    assert limited.get("/models", headers=AUTH["other"]).status_code == 200
    for path in ("/health/live", "/v2/health/live", "/openapi.json"):
        assert limited.get(path, headers=AUTH["slow"]).status_code == 200, "a path that needs no key has no limit"


def test_below_v2_the_answer_has_the_form_of_the_protocol(limited: httpx.Client) -> None:
    limited.get("/v2", headers=AUTH["slow"])
    answer = limited.post("/v2/models/m/infer", json={}, headers=AUTH["slow"])
    assert answer.status_code == 429
    assert answer.headers["content-type"] == "application/json"
    assert int(answer.headers["retry-after"]) > 0
    assert answer.json().keys() == {"error"}


def test_a_key_has_no_more_requests_in_progress_than_its_limit(limited: httpx.Client) -> None:
    job = limited.post("/train", json=TRAINING, headers=AUTH["watcher"]).json()
    stream = f"/jobs/{job['id']}/events"
    with limited.stream("GET", stream, headers=AUTH["narrow"] | {"Accept": "text/event-stream"}) as events:
        assert events.status_code == 200
        answer = limited.get("/models", headers=AUTH["narrow"])
        assert_problem(answer, 429, "too-many-at-once")
        assert "1 requests in progress" in answer.json()["detail"]
        assert answer.headers["retry-after"] == "1"
        assert limited.get("/models", headers=AUTH["other"]).status_code == 200
        assert limited.get("/health/ready", headers=AUTH["narrow"]).status_code != 429
    wait_until(lambda: limited.get("/models", headers=AUTH["narrow"]).status_code == 200)
    for _ in range(3):
        assert limited.get("/jobs/none", headers=AUTH["narrow"]).status_code == 404, "a refused request has not ended"


def submit(client: httpx.Client, name: str, **body: Any) -> httpx.Response:
    return client.post("/train", json=TRAINING | body, headers=AUTH[name])


def test_a_key_cannot_fill_the_queue(limited: httpx.Client) -> None:
    first = submit(limited, "few")
    assert first.status_code == submit(limited, "few").status_code == 202
    for query in ("", "?validate_only=true"):
        answer = limited.post(f"/train{query}", json=TRAINING, headers=AUTH["few"])
        assert_problem(answer, 429, "queue-full")
        assert "This key has reached its limit of queued jobs, which is 2." in answer.json()["detail"]
        assert answer.headers["retry-after"] == "1"
    for _ in range(3):  # the limit of the settings, because the key has none of its own
        assert submit(limited, "other").status_code == 202
    assert "This key has reached its limit of queued jobs, which is 3." in submit(limited, "other").json()["detail"]
    path = first.headers["location"]
    assert limited.post(f"{path}/pause", headers=AUTH["few"]).status_code == 200
    assert submit(limited, "few").status_code == 202, "a paused job does not wait"
    assert_problem(limited.post(f"{path}/resume", headers=AUTH["few"]), 429, "queue-full")


def test_each_key_has_idempotency_keys_of_its_own(limited: httpx.Client) -> None:
    sent = {name: AUTH[name] | {"Idempotency-Key": "1"} for name in ("ada", "bob")}
    first, other = (limited.post("/train", json=TRAINING, headers=headers) for headers in sent.values())
    assert first.status_code == other.status_code == 202
    assert "idempotent-replayed" not in other.headers
    assert first.json()["id"] != other.json()["id"]
    for headers, answer in zip(sent.values(), (first, other), strict=True):
        again = limited.post("/train", json=TRAINING, headers=headers)
        assert again.headers["idempotent-replayed"] == "true"
        assert again.json()["id"] == answer.json()["id"]


def test_each_key_has_supersede_groups_of_its_own(limited: httpx.Client) -> None:
    request = TRAINING | {"supersede": "newest"}
    first, other = (limited.post("/train", json=request, headers=AUTH[name]).json() for name in ("ada", "bob"))
    newer = limited.post("/train", json=request, headers=AUTH["ada"]).json()
    found = [limited.get(f"/jobs/{job['id']}", headers=AUTH["watcher"]).json() for job in (first, other, newer)]
    assert [job["superseded_by"] for job in found] == [newer["id"], None, None]


@pytest.mark.slow
def test_without_keys_each_address_has_its_limits(tmp_path: Path) -> None:
    options: dict[str, Any] = {"trusted_proxies": ["127.0.0.1"], "max_requests_per_s": ONE_IN_1000_S}
    with running(tmp_path, training_processes=0, **options) as client:

        def get(address: str) -> httpx.Response:
            return client.get("/models", headers={"X-Forwarded-For": address})

        assert get("192.0.2.1").status_code == 200
        answer = get("192.0.2.1")
        assert_problem(answer, 429, "too-many-requests")
        assert "192.0.2.1" not in answer.text
        assert get("192.0.2.2").status_code == 200
        assert get("2001:db8::1").status_code == 200
        assert get("2001:db8::2").status_code == 429, "both addresses are in one network"
        assert get("2001:db8:0:1::2").status_code == 200
        assert client.get("/health/live").status_code == client.get("/").status_code == 200


def test_the_command_line_sets_the_limits_of_a_key(tmp_path: Path) -> None:
    def separatrix(command: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, command.split(), env={"SEPARATRIX_DATA_DIR": str(tmp_path), "COLUMNS": "160"})
        return done.exit_code, done.stdout + done.stderr

    assert separatrix("keys add ada --role read --rate 2.5 --concurrency 0 --queued 7")[0] == 0
    assert separatrix("keys add bob --role read")[0] == 0
    (ada, bob) = KeyFile(tmp_path / "keys.json").read() or []
    assert (ada.rate, ada.concurrency, ada.queued) == (2.5, 0, 7)
    assert (bob.rate, bob.concurrency, bob.queued) == (None, None, None)
    rows = {line.split()[0]: line for line in separatrix("keys list")[1].splitlines()}
    assert rows["ada"].rstrip().endswith("7")
    assert "2.5" in rows["ada"]
    assert "(no limit)" in rows["bob"]
    assert "(250)" in rows["bob"]


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--rate -1", "rate: must be between 0.001 and 1,000,000, or 0, which sets no limit"),
        ("--rate 1e-320", "rate: must be between 0.001 and 1,000,000, or 0, which sets no limit"),
        ("--rate nan", "rate: must be between 0.001 and 1,000,000, or 0, which sets no limit"),
        ("--concurrency -1", "concurrency: must be between 1 and 1,000,000, or 0, which sets no limit"),
        ("--queued 0", "queued: must be between 1 and 1,000,000"),
    ],
)
def test_a_limit_out_of_range_is_refused(tmp_path: Path, option: str, said: str) -> None:
    command = ["keys", "add", "eve", "--role", "read", *option.split()]
    done = CliRunner().invoke(app, command, env={"SEPARATRIX_DATA_DIR": str(tmp_path)})
    assert (done.exit_code, done.stderr) == (2, f"separatrix: {said}\n")


@pytest.mark.parametrize("limit", ['"rate": -1', '"rate": "5"', '"rate": NaN', '"concurrency": 1.5', '"queued": true'])
def test_a_file_with_an_impossible_limit_is_damaged(tmp_path: Path, limit: str) -> None:
    file = KeyFile(tmp_path / "keys.json")
    file.add("ada", "read", Limits(rate=1, concurrency=1, queued=1))
    name = limit.split(":", maxsplit=1)[0]
    file.path.write_text(file.path.read_text().replace(f"{name}: 1", limit))
    done = CliRunner().invoke(app, ["keys", "list"], env={"SEPARATRIX_DATA_DIR": str(tmp_path)})
    assert done.exit_code == 2
    assert "keys_file: is damaged" in done.stderr


def test_processes_count_the_requests_of_a_client_together(tmp_path: Path) -> None:
    rate = 1_000
    # each maps the file into memory by itself; the clock stands still, so that no further request becomes due
    processes = [Rates(tmp_path / "rates", clock=lambda: 1_000.0) for _ in range(2)]
    allowed = 0
    while processes[allowed % 2].take("client", rate) == 0:
        allowed += 1
    assert BURST_S * rate <= allowed <= BURST_S * rate + 1
    assert 0 < processes[0].take("client", rate) <= 1 / rate
    assert processes[1].take("another", rate) == 0


@pytest.mark.slow
@pytest.mark.parametrize("rate", [ONE_IN_1000_S, 1 / 3, 0.7, 30.0])
def test_the_first_request_of_a_client_is_allowed_whatever_the_clock_shows(rate: float) -> None:
    """Sums with some times are rounded up, such as those in the last 1,000 s before a power of two."""
    for now in np.random.default_rng(0).uniform(0, 2**20, 1_000):
        rates = Rates(clock=partial(float, now))
        allowed = max(1, int(BURST_S * rate))
        assert [rates.take("client", rate) for _ in range(allowed)] == [0.0] * allowed
        assert rates.take("client", rate) + rates.take("client", rate) > 0


@pytest.mark.slow
def test_a_client_among_more_than_the_table_holds_keeps_its_rate() -> None:
    rates = Rates()
    assert rates.take("greedy", ONE_IN_1000_S) == 0
    for number in range(SLOTS * PROBES):
        rates.take(f"passer-by {number}", 1e6)
    assert rates.take("greedy", ONE_IN_1000_S) > 0
