"""`separatrix backup` and `separatrix restore`."""

import sys
from pathlib import Path

from service.commands.terminal import progress_bar
from service.maintenance import backup as backups
from service.maintenance import restore as restoration
from service.settings import Settings

MOST_SHOWN = 20
"""How many lines about damage are printed."""


def run(settings: Settings, *, out: Path) -> bool:
    """Writes a backup to `out`, and prints what is damaged. Services on the same data may run meanwhile.

    Returns whether everything is intact.

    Raises:
        OSError: `out` exists or cannot be written, or the data folder cannot be read.
        StoreUnavailable: the database cannot be read.
    """
    with progress_bar("files") as progress:
        made = backups.back_up(settings, out, progress)
    print(f"Wrote {out}: {made.versions:,} versions, {made.size_bytes / 2**20:,.1f} MiB.")
    for line in made.damaged[:MOST_SHOWN]:
        print(f"separatrix: {line}", file=sys.stderr)
    if made.damaged:
        count = f"{len(made.damaged):,} damaged parts are in the archive as they are"
        print(f"separatrix: {count}. `separatrix doctor` lists all. Keep an earlier backup.", file=sys.stderr)
    return not made.damaged


def restore(settings: Settings, *, archive: Path) -> None:
    """Restores a backup into a new data folder.

    Raises:
        OSError: the folder is not empty or cannot be written, or the archive cannot be read.
        InvalidInput: the archive is damaged or no backup.
        StoreUnavailable: the database cannot be written, or is in use.
    """
    with progress_bar("archive") as progress:
        restoration.restore(archive, settings, progress)
    print(f"Restored {archive} into {settings.data_dir}.")
    for path in restoration.unfinished(settings.data_dir):
        advice = "Remove it unless another restoration is running."
        print(f"separatrix: an unfinished restoration left {path}. {advice}", file=sys.stderr)
