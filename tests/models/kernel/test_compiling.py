"""Where the kernel's machine code is kept, and when it is compiled again."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import models
from models.kernel.compiling import loop

pytestmark = pytest.mark.processes


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    """A copy of the kernel without machine code."""
    shutil.copytree(Path(models.__file__).parent, tmp_path / "models", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "models" / "kernel" / "__pycache__").mkdir()
    return tmp_path / "models" / "kernel"


def version_and_place(kernel: Path, **environment: str) -> tuple[str, Path]:
    """The version of a copy of the kernel, and the folder of its machine code."""
    program = (
        "from models.kernel import compiling, steps\n"
        "assert steps.advance._cache._impl.locator.get_source_stamp() == compiling.SOURCES\n"
        "print(compiling.VERSION, steps.advance._cache.cache_path)"
    )
    command = [sys.executable, "-c", program]
    given = {"PATH": os.environ["PATH"], **environment}
    done = subprocess.run(command, cwd=kernel.parents[1], env=given, capture_output=True, text=True, check=True)
    version, place = done.stdout.split()
    return version, Path(place)


def test_a_change_of_any_file_makes_another_version(kernel: Path) -> None:
    version, place = version_and_place(kernel)
    assert place == kernel / "__pycache__", "it is kept beside the code if that can be written"
    with (kernel / "functions.py").open("a") as file:
        file.write("\n# changed\n")
    assert version_and_place(kernel)[0] != version


def test_machine_code_of_another_version_is_removed_and_never_read(kernel: Path) -> None:
    version, place = version_and_place(kernel)
    old = place / "steps.advance-1.py311.nbi"
    old.write_bytes(b"numba cannot read this")
    current = place / f"steps.advance-{version}.py311.nbi"
    current.write_bytes(b"as compiled")
    version_and_place(kernel)
    assert not old.exists()
    assert current.read_bytes() == b"as compiled"


def test_a_cache_elsewhere_starts_as_a_copy_of_the_machine_code_beside_the_code(kernel: Path, tmp_path: Path) -> None:
    elsewhere = {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    version, _ = version_and_place(kernel)
    name = f"steps.advance-{version}.py311.nbi"
    (kernel / "__pycache__" / name).write_bytes(b"as shipped")
    _, place = version_and_place(kernel, **elsewhere)
    assert place.is_relative_to(tmp_path / "cache")
    assert [file.name for file in place.iterdir()] == [name]
    assert (place / name).read_bytes() == b"as shipped"
    (place / name).write_bytes(b"as compiled here")
    version_and_place(kernel, **elsewhere)
    assert (place / name).read_bytes() == b"as compiled here"


def test_two_loops_of_one_name_are_refused() -> None:
    def doubled(x: float) -> float:
        return 2 * x

    loop(doubled)
    with pytest.raises(ValueError, match="two loops are named"):
        loop(doubled)
