"""A service as the container starts it: it can be reached from other machines, and makes its first key itself."""

import re
from pathlib import Path

import httpx
import pytest

from service.access.keys import KeyFile
from tests.processes import service
from tests.serving import wait_until

pytestmark = pytest.mark.processes

OPTIONS = ("--host", "0.0.0.0", "--first-key", "--workers", "2", "--training-processes", "0")


def test_the_first_start_makes_a_key_and_shows_it_once_and_all_processes_follow_the_file(tmp_path: Path) -> None:
    with service(tmp_path, *OPTIONS) as one:
        (key,) = re.findall(r"sepx_[\w-]+", one.log)
        headers = {"Authorization": f"Bearer {key}"}

        def statuses(**options: dict[str, str]) -> set[int]:
            """The statuses of many connections, of which each process gets some."""
            return {httpx.get(f"{one.address}/models", trust_env=False, **options).status_code for _ in range(12)}

        assert statuses(headers=headers) == {200}
        assert statuses() == {401}
        assert httpx.get(f"{one.address}/health/ready", trust_env=False).status_code == 200
        one.tell_to_stop()
        assert one.wait() == 0

        one.start()
        assert "sepx_" not in one.log
        assert statuses(headers=headers) == {200}
        KeyFile(one.data_dir / "keys.json").revoke("first")
        wait_until(lambda: statuses(headers=headers) == {401})
