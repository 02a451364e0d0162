"""What tests need beyond Python packages."""

import os
from typing import NoReturn

import pytest


def lacks(missing: str) -> NoReturn:
    """Skips the test for a missing part of the machine. With CI=true the test fails instead."""
    if os.environ.get("CI") == "true":
        pytest.fail(missing)
    pytest.skip(missing)
