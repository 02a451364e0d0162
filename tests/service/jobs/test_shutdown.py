"""When `separatrix serve` ends, all its processes have ended."""

from pathlib import Path

import pytest

from tests.processes import has_ended, service
from tests.serving import wait_until

pytestmark = pytest.mark.processes


@pytest.mark.parametrize("workers", ["1", "2"])
def test_no_process_outlives_the_service(tmp_path: Path, workers: str) -> None:
    with service(tmp_path, "--workers", workers) as one:
        path = one.submit()
        wait_until(lambda: one.job(path)["status"] == "running")
        wait_until(lambda: len(one.training_processes()) == int(workers))
        family = one.family()
        assert set(family) >= {*one.fork_servers(), *one.training_processes()}
        one.tell_to_stop()
        assert one.wait() == 0
        assert [process for process in family if not has_ended(process)] == []
