"""What is left when `separatrix serve` has ended: no process, and the jobs in the queue."""

from pathlib import Path

import pytest

from tests.processes import has_ended, service
from tests.serving import running, wait_until

pytestmark = pytest.mark.processes


@pytest.mark.parametrize("workers", [1, 2])
def test_no_process_outlives_the_service_and_its_jobs_are_queued_again(tmp_path: Path, workers: int) -> None:
    with service(tmp_path, "--workers", str(workers)) as one:
        paths = [one.submit() for _ in range(workers)]
        wait_until(lambda: all(one.job(path)["status"] == "running" for path in paths))
        assert len(one.training_processes()) == workers
        family = one.family()
        assert set(family) >= {*one.fork_servers(), *one.training_processes()}
        one.tell_to_stop()
        assert one.wait() == 0
        assert [process for process in family if not has_ended(process)] == []
        assert "Traceback" not in one.log
    with running(tmp_path / "data", training_processes=0) as client:
        assert [job["status"] for job in client.get("/jobs").json()["data"]] == ["queued"] * workers
