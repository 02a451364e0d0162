from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.contract.manual_worker import ManualWorker, manual_worker
from tests.serving import running


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of `service`."""
    return tmp_path_factory.mktemp("service")


@pytest.fixture(scope="module")
def service(data_dir: Path) -> Iterator[httpx.Client]:
    """A service whose one training process is free between the tests, and whose queue takes four jobs."""
    with running(data_dir, max_queued_jobs=4) as client:
        yield client


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ManualWorker]:
    """The only worker of a service that takes four streams."""
    folder = tmp_path_factory.mktemp("manual")
    with running(folder, training_processes=0, max_streams=4) as client, manual_worker(client, folder) as worker:
        yield worker
