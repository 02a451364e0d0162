"""The clients of the Open Inference Protocol work unchanged, and get the answers of `POST /predict`."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.clients.tools import HERE, run, tool
from tests.serving import running, train

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A service with the models that the programs expect."""
    with running(tmp_path_factory.mktemp("service")) as client:
        for epochs in (10, 300):
            train(client, "plane", training={"epochs": epochs})
        train(client, "line", data={"points": [[0], [1], [2], [3]], "labels": [7, 7, -1, -1]})
        yield client


@pytest.mark.parametrize(("program", "package"), [("inference_triton", "tritonclient"), ("inference_kserve", "kserve")])
def test_a_client_of_the_protocol_gets_the_answers_of_predict(
    service: httpx.Client, tmp_path: Path, program: str, package: str
) -> None:
    python = tool("bin", "python")
    if not [*python.parent.parent.glob(f"lib/python*/site-packages/{package}")]:
        tool(package)  # not installed: skips, or fails with CI=true
    run(python, HERE / f"{program}.py", str(service.base_url).rstrip("/"), cwd=tmp_path)
