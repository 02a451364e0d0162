"""The image and the compose file: they are built, started and stopped, and their service answers. Needs Docker."""

import os
import re
import subprocess
import time
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from tests.serving import wait_until

pytestmark = pytest.mark.skipif(os.environ.get("CONTAINER") != "1", reason="needs Docker: make test-container")

ROOT = Path(__file__).parents[2]
SEED_MODELS = ["flower-logistic", "flower-module", "flower-sequential", "flower-two-layer"]
BUILD_S = 1_800
"""Longest that a build may take. Torch alone is a download of 200 MB."""

FIRST_START_S = 300
"""Longest until a service with an empty data folder is healthy. It trains, and it may have to compile first."""

LATER_START_S = 120


class Container:
    """A container with a running service."""

    def __init__(self, name: str) -> None:
        """`name` is the name or the id of the container."""
        self.name = name

    def inspect(self, template: str) -> str:
        return docker("inspect", "--format", template, self.name)

    def run(self, *command: str) -> str:
        return docker("exec", self.name, *command)

    def log(self) -> str:
        """Everything that the service has logged. It logs to standard error."""
        command = ["docker", "logs", self.name]
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True).stdout

    def address(self) -> str:
        return docker("port", self.name, "8000/tcp")

    @cached_property
    def headers(self) -> dict[str, str]:
        """The headers of a request with a key of its own, which the service knows by now."""
        key = self.run("separatrix", "keys", "add", f"test-{uuid4().hex[:8]}", "--role", "admin")
        headers = {"Authorization": f"Bearer {key}"}
        url = f"http://{self.address()}/models"
        wait_until(lambda: httpx.get(url, headers=headers, trust_env=False).status_code == 200)
        return headers

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"http://{self.address()}{path}", headers=self.headers, trust_env=False)

    def predict(self, model: str) -> httpx.Response:
        body = {"model": model, "points": [[0.5, -0.25], [2.0, 1.0]]}
        return httpx.post(f"http://{self.address()}/predict", json=body, headers=self.headers, trust_env=False)

    def wait_until_healthy(self, deadline_s: float) -> None:
        try:
            wait_until(lambda: self.inspect("{{.State.Health.Status}}") == "healthy", deadline_s=deadline_s)
        except AssertionError:
            pytest.fail(f"not healthy within {deadline_s} s; its log:\n{self.log()}")


class Project:
    """A compose project with a name of its own, so that it cannot meet another one on this machine."""

    def __init__(self) -> None:
        """Nothing is built or started yet."""
        self.name = f"separatrix-test-{uuid4().hex[:8]}"
        self.image = f"{self.name}-api"

    def compose(self, *arguments: str, timeout_s: float = 120) -> str:
        return docker("compose", "--project-name", self.name, *arguments, timeout_s=timeout_s)

    def up(self, deadline_s: float) -> Container:
        self.compose("up", "--detach", "--no-build")
        container = Container(self.compose("ps", "--quiet", "api"))
        container.wait_until_healthy(deadline_s)
        return container


def docker(*arguments: str, timeout_s: float = 120) -> str:
    """Runs a docker command and returns its standard output. The service gets a free port of the host."""
    environment = os.environ | {"SEPARATRIX_PORT": "0"}
    done = subprocess.run(
        ["docker", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    if done.returncode != 0:
        pytest.fail(f"docker {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout.strip()


@pytest.fixture(scope="module")
def project() -> Iterator[Project]:
    project = Project()
    try:
        project.compose("build", timeout_s=BUILD_S)
        yield project
    finally:
        project.compose("down", "--volumes")
        docker("image", "rm", "--force", project.image)


@pytest.fixture(scope="module")
def trained(project: Project) -> Project:
    """The project with the tutorial's networks in its volume. They are trained once for all tests."""
    project.up(FIRST_START_S)
    return project


@pytest.fixture
def api(trained: Project) -> Container:
    """The service of the compose file. It is healthy, whatever an earlier test did to it."""
    return trained.up(LATER_START_S)


def test_a_healthy_service_is_ready_and_serves_the_tutorials_models(api: Container) -> None:
    assert api.get("/health/ready").status_code == 200
    assert sorted(model["name"] for model in api.get("/models").json()["data"]) == SEED_MODELS


@pytest.mark.parametrize("model", SEED_MODELS)
def test_every_model_of_the_tutorial_answers_predictions(api: Container, model: str) -> None:
    answer = api.predict(model)

    assert answer.status_code == 200
    assert answer.json()["model"] == model
    assert len(answer.json()["labels"]) == 2


def test_the_published_port_is_open_to_this_machine_only(api: Container) -> None:
    assert api.address().startswith("127.0.0.1:")


def test_the_process_is_not_root_and_has_no_capabilities(api: Container) -> None:
    status = dict(line.split(":\t", 1) for line in api.run("cat", "/proc/1/status").splitlines() if ":\t" in line)

    assert status["Uid"].split() == ["10001"] * 4
    assert int(status["CapEff"], 16) == 0


def test_the_image_is_small_enough(project: Project) -> None:
    assert int(docker("image", "inspect", "--format", "{{.Size}}", project.image)) <= 1.5e9


def test_the_image_has_torch_without_cuda(api: Container) -> None:
    assert api.run("python", "-c", "import torch; print(torch.version.cuda)").splitlines()[-1] == "None"


def test_the_image_contains_the_compiled_kernel(api: Container) -> None:
    program = (
        "from models.inference.compiled import warm_up_inference\n"
        "from models.training.compiled_run import warm_up_training\n"
        "from models.kernel import inference, steps\n"
        "warm_up_training(), warm_up_inference()\n"
        "for entry in (steps.advance, steps.measure, inference.probabilities, inference.grid):\n"
        "    assert entry.stats.cache_hits and not entry.stats.cache_misses, entry"
    )
    api.run("python", "-c", program)


def test_down_and_up_keeps_the_models_and_trains_nothing_again(api: Container, project: Project) -> None:
    models, jobs = api.get("/models").json(), api.get("/jobs").json()

    project.compose("down")
    again = project.up(LATER_START_S)

    assert again.get("/models").json() == models
    assert again.get("/jobs").json() == jobs
    assert again.predict("flower-module").status_code == 200


def test_stop_takes_less_than_ten_seconds_and_ends_with_status_0(api: Container) -> None:
    begin = time.monotonic()
    docker("stop", api.name)

    assert time.monotonic() - begin < 10
    assert api.inspect("{{.State.ExitCode}}") == "0"


def test_the_image_trains_predicts_and_draws_on_a_read_only_file_system_without_capabilities(project: Project) -> None:
    name = f"{project.name}-read-only"
    flags = ["--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--publish", "127.0.0.1::8000"]
    try:
        docker("run", "--detach", "--name", name, *flags, project.image)
        container = Container(name)
        container.wait_until_healthy(FIRST_START_S)

        (first_key,) = re.findall(r"sepx_[\w-]+", container.log())
        url, headers = f"http://{container.address()}/models", {"Authorization": f"Bearer {first_key}"}
        assert httpx.get(url, headers=headers, trust_env=False).status_code == 200
        assert httpx.get(url, trust_env=False).status_code == 401
        assert container.predict("flower-module").status_code == 200
        container.run("separatrix", "boundary", "flower-module", "/tmp/flower.png")
        container.run("test", "-s", "/tmp/flower.png")
    finally:
        docker("rm", "--force", "--volumes", name)
