"""`separatrix doctor`."""

from rich.console import Console
from rich.progress import Progress

from service.maintenance import doctor
from service.settings import Settings


def run(settings: Settings) -> bool:
    """Prints what is right and wrong with a data folder, a line each. Returns whether nothing is wrong."""
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("versions")
        findings = [*doctor.examine(settings, lambda done, total: bar.update(task, completed=done, total=total))]
    for finding in findings:
        print(f"{finding.level:8}{finding.text}")
    return all(finding.level != "error" for finding in findings)
