"""The lock files name all that the project needs, and nothing that is not verified by a checksum."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parent.parent
LOCKS = ROOT / "requirements"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
FILES = [
    *(LOCKS / name for name in ("torch.txt", "base.txt", "dev.txt", "pypi-torch.txt")),
    ROOT / "tests" / "clients" / "requirements.txt",
]


def locked(*names: str) -> dict[str, str]:
    """The version of each package of some lock files."""
    text = "".join((LOCKS / name).read_text() for name in names)
    return dict(re.findall(r"^([a-z][\w.-]*)==([^\s;]+)", text, re.MULTILINE))


@pytest.mark.parametrize(
    ("required", "lock"),
    [(PROJECT["dependencies"], "base.txt"), (PROJECT["optional-dependencies"]["dev"], "dev.txt")],
    ids=["base", "dev"],
)
def test_the_lock_files_have_every_package_that_the_project_requires(required: list[str], lock: str) -> None:
    versions = locked("torch.txt", lock)
    for one in map(Requirement, required):
        version = Version(versions[canonicalize_name(one.name)])
        assert one.specifier.contains(version), f"{one}: {version} is locked; `make lock`"


def test_the_tests_run_with_the_versions_of_the_image() -> None:
    assert locked("base.txt").items() <= locked("dev.txt").items()
    from_pypi = locked("pypi-torch.txt")
    assert locked("torch.txt") == {"torch": f"{from_pypi.pop('torch')}+cpu"}
    assert all(locked("base.txt").get(name, version) == version for name, version in from_pypi.items())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_locked_package_has_checksums_and_names_no_place_to_fetch_it_from(path: Path) -> None:
    text = path.read_text()
    entries = re.split(r"^(?=[a-z])", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE), flags=re.MULTILINE)[1:]
    assert entries
    for entry in entries:
        assert re.fullmatch(r"[a-z][\w.-]*==\S+( ; [^\\]+)?( \\\n    --hash=sha256:[0-9a-f]{64})+\n", entry), entry
    assert "://" not in text


def test_the_node_packages_of_the_tests_have_checksums_and_no_addresses() -> None:
    lock = json.loads((ROOT / "tests" / "clients" / "package-lock.json").read_text())
    packages = [package for path, package in lock["packages"].items() if path]
    assert packages
    assert all("integrity" in package and "resolved" not in package for package in packages)


@pytest.mark.slow
def test_the_list_of_licences_is_current() -> None:
    page = run(str(LOCKS / "licences.py"))
    assert (ROOT / "docs" / "licences.md").read_text() == page, "make licences"


@pytest.mark.slow
def test_the_bill_of_materials_has_every_package_of_the_image_with_checksums() -> None:
    locks = (LOCKS / "torch.txt").read_text() + (LOCKS / "base.txt").read_text()
    command = ["-m", "cyclonedx_py", "requirements", "-", "--pyproject", str(ROOT / "pyproject.toml")]
    bill = json.loads(run(*command, stdin=locks))
    versions = {component["name"]: component["version"] for component in bill["components"]}
    assert versions == locked("torch.txt", "base.txt")
    assert all(component["externalReferences"][0]["hashes"] for component in bill["components"])
    assert bill["metadata"]["component"]["version"] == PROJECT["version"]


def run(*arguments: str, stdin: str = "") -> str:
    """The output of a Python program."""
    done = subprocess.run([sys.executable, *arguments], input=stdin, capture_output=True, text=True, check=True)
    return done.stdout
