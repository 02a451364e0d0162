"""Schemathesis finds no response that the OpenAPI document does not describe."""

from pathlib import Path

import pytest

from tests.clients.tools import HERE, run, tool
from tests.serving import running, train


@pytest.mark.processes
def test_schemathesis_finds_no_fault_with_all_its_checks_and_phases(tmp_path: Path) -> None:
    schemathesis = tool("bin", "st")
    with running(tmp_path / "data", max_training_s=1) as service:
        for name in ("flower-sequential", "my-flower"):
            train(service, name)
        run(
            *(schemathesis, "--config-file", HERE / "schemathesis.toml", "run", f"{service.base_url}/openapi.json"),
            *("--checks", "all", "--phases", "examples,coverage,fuzzing,stateful", "--max-examples", "10"),
            *("--generation-deterministic", "--no-color", "--warnings", "off"),
            cwd=tmp_path,
            SCHEMATHESIS_HOOKS="schemathesis_checks",
            PYTHONPATH=str(HERE),
        )
