"""What tests need beyond Python packages."""

import os
import shutil
from typing import NoReturn

import pytest


def lacks(missing: str) -> NoReturn:
    """Skips the test for a missing part of the machine. With CI=true the test fails instead."""
    if os.environ.get("CI") == "true":
        pytest.fail(missing)
    pytest.skip(missing)


def needs(program: str, package: str) -> None:
    """Skips the test, as `lacks` does, if a program of that Debian package is not installed."""
    if shutil.which(program) is None:
        lacks(f"{program} is not installed (Debian: apt-get install {package})")
