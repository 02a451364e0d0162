"""The commands of docs/security.md print what the page says."""

import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.requirements import needs

PAGE = (Path(__file__).parent.parent / "docs" / "security.md").read_text()
BLOCKS = re.findall(r"^```console\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
EXAMPLES = [example for block in BLOCKS for example in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for what the commands write. One command may read what an earlier one wrote."""
    return tmp_path_factory.mktemp("commands")


def test_the_page_has_examples() -> None:
    assert len(EXAMPLES) >= 15


@pytest.mark.slow
@pytest.mark.parametrize(("command", "output"), EXAMPLES, ids=[command[:60] for command, _ in EXAMPLES])
def test_a_command_of_the_security_page_prints_what_the_page_says(
    client: httpx.Client, folder: Path, command: str, output: str
) -> None:
    needs("curl", "curl")
    address = f"{client.base_url.host}:{client.base_url.port}"
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", command.replace("127.0.0.1:8000", address)],
        cwd=folder,
        env=os.environ | {"PATH": programs, "no_proxy": "*"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == output, done.stderr
