"""Looks for known vulnerabilities in the locked packages: `make audit`.

Ends with status 1 if there is one. If the advisory service does not answer, it says so and ends with status 0, so that
`make check` works without a network.
"""

import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
LOCKS = ("pypi-torch.txt", "dev.txt")
"""All packages. Advisories name torch by its version on PyPI."""


def main() -> int:
    """Prints what is found. Returns the exit status."""
    locks = [argument for lock in LOCKS for argument in ("-r", str(HERE / lock))]
    command = [sys.executable, "-m", "pip_audit", "--disable-pip", "--progress-spinner", "off", "--timeout", "5"]
    done = subprocess.run([*command, "--format", "json", *locks], capture_output=True, text=True, check=False)
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except ValueError:
        reason = (done.stderr.strip() or "no output").splitlines()[-1]
        print(f"audit skipped: the advisory service did not answer ({reason})")
        return 0
    audited = [package for package in packages if "skip_reason" not in package]
    if not audited:
        print("audit skipped: the advisory service knows none of the packages")
        return 0
    found = [(package, advisory) for package in audited for advisory in package["vulns"]]
    for package, advisory in found:
        fixed = ", ".join(advisory["fix_versions"]) or "no release yet"
        print(f"{package['name']} {package['version']}: {advisory['id']}, fixed in {fixed}")
    print(f"{len(audited)} of {len(packages)} packages audited, {len(found)} known vulnerabilities")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
