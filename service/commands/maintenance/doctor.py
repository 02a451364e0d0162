"""`separatrix doctor`."""

from service.commands.terminal import progress_bar
from service.maintenance import doctor
from service.settings import Settings


def run(settings: Settings) -> bool:
    """Prints what is right and wrong with a data folder, a line each. Returns whether nothing is wrong."""
    with progress_bar("versions") as progress:
        findings = [*doctor.examine(settings, progress)]
    for finding in findings:
        print(f"{finding.level:8}{finding.text}")
    return all(finding.level != "error" for finding in findings)
