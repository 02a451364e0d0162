"""Runs the tools of `.venv/clients`."""

import os
import subprocess
import sys
from pathlib import Path

from tests.requirements import lacks

HERE = Path(__file__).parent
TOOLS = Path(sys.prefix) / "clients"


def tool(*path: str) -> Path:
    """The file of a tool. Where the tools are not installed, the test is skipped; with CI=true it fails."""
    file = TOOLS.joinpath(*path)
    if not file.exists():
        lacks("the tools of tests/clients are not installed; `make setup` installs them if it finds npm")
    return file


def run(*command: str | Path, cwd: Path, **variables: str) -> str:
    """The output of a command, which must succeed."""
    done = subprocess.run(
        command, cwd=cwd, env=os.environ | variables, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-20_000:]}{done.stderr[-5_000:]}"
    return done.stdout
