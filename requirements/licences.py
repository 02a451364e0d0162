"""Prints docs/licences.md: the licence of each package that the service needs, as it is installed."""

import json
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
HEAD = """# Licences

Separatrix is under the Apache License 2.0. These are the Python packages that it installs and their licences, as the
packages themselves state them; their versions are in `requirements/`. `make licences` writes this page, and a test
compares it with what is installed. Packages for development are not listed: no user receives them. The container image
also has Debian's packages and Python; their licences are in its `/usr/share/doc`.

| package | licence | home |
|---|---|---|
"""

IN_FILES = {"pysimdjson": "MIT AND Apache-2.0"}
"""The licences of packages that have them only as files."""


def main() -> None:
    """Prints the page."""
    options = ["--format", "json", "--from", "mixed", "--with-urls", "--with-system", "--packages", *locked()]
    done = subprocess.run([sys.executable, "-m", "piplicenses", *options], capture_output=True, text=True, check=True)
    rows = sorted(json.loads(done.stdout), key=lambda row: row["Name"].lower())
    print(HEAD + "\n".join(f"| {row['Name']} | {licence(row)} | {home(row)} |" for row in rows))


def locked() -> list[str]:
    """The names of all packages of the image, except those for other operating systems."""
    text = (HERE / "torch.txt").read_text() + (HERE / "base.txt").read_text()
    return [name for name, rest in re.findall(r"^([a-z][\w.-]*)==(.*)", text, re.MULTILINE) if "== 'win32'" not in rest]


def licence(row: dict[str, str]) -> str:
    """The licence in one line: some packages state the whole text."""
    stated = row["License"].strip() or "not stated"
    return IN_FILES.get(row["Name"]) or stated.splitlines()[0].replace("|", "/")


def home(row: dict[str, str]) -> str:
    """A link to the home page; empty if the package states none."""
    return f"<{row['URL']}>" if row["URL"].startswith("http") else ""


if __name__ == "__main__":
    main()
