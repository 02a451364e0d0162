"""The examination of a data folder and its database: what is wrong, and what to do about it."""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from models.specs import InvalidInput
from service.access.keys import KeyFile
from service.errors import StoreUnavailable
from service.maintenance import damage, restore
from service.settings import Settings
from service.store.files import Files
from service.store.store import Store

LITTLE_SPACE_BYTES = 2**30
"""Less free space than this is worth a warning."""

CLOCK_S = 60.0
"""A row that is from the future by more than this shows that the clock went back."""

Level = Literal["ok", "warning", "error"]

Progress = Callable[[int, int], None]
"""Called with the number of versions that are examined, and of all there are."""


@dataclass(frozen=True)
class Finding:
    """One result: what is right or wrong, and what to do.

    Attributes:
        level: `error` if data are lost or the service cannot work.
        text: one sentence or two.
    """

    level: Level
    text: str


def examine(settings: Settings, progress: Progress) -> Iterator[Finding]:
    """Examines everything and changes nothing, except that tables of an earlier release are migrated. Services may run.

    A database that is missing stays missing.

    Raises:
        Nothing: whatever is wrong is a finding.
    """
    try:
        files = Files(settings.data_dir, make=False)
    except OSError as error:
        yield Finding("error", f"{settings.data_dir}: {error.strerror}. Give the right one with --data-dir.")
        return
    yield from _folder(settings.data_dir)
    yield from _unfinished(settings.data_dir)
    yield from _keys(settings)
    try:
        store = Store.of(settings, files, make=False)
    except StoreUnavailable as error:
        yield Finding("error", f"The database cannot be opened. {error.for_operator}")
        return
    try:
        yield from _database(store)
        yield from _versions(store, files, progress)
        yield from _datasets(store, files)
        yield from _unused(store, files)
    except StoreUnavailable as error:
        yield Finding("error", f"The database cannot be read. {error.for_operator}")
    finally:
        store.close()


def _folder(folder: Path) -> Iterator[Finding]:
    is_usable = os.access(folder, os.R_OK | os.W_OK | os.X_OK)
    if not is_usable:
        yield Finding("error", f"{folder} cannot be read and written by this user. Run as its owner.")
    free = shutil.disk_usage(folder).free
    if free < LITTLE_SPACE_BYTES:
        yield Finding("warning", f"Only {free / 2**20:,.0f} MiB are free on the disk of the data folder.")
    elif is_usable:
        yield Finding("ok", f"{folder} can be read and written, and {free / 2**30:,.0f} GiB are free.")


def _unfinished(folder: Path) -> Iterator[Finding]:
    """What restorations that were killed have left."""
    for path in restore.unfinished(folder):
        yield Finding("warning", f"An unfinished restoration left {path}. Remove it unless a restoration is running.")


def _database(store: Store) -> Iterator[Finding]:
    faults = store.faults()
    if faults:
        yield Finding("error", f"The database is damaged ({faults[0]}). Restore a backup into a new data folder.")
    else:
        yield Finding("ok", "The database is intact.")
    ahead_s = store.newest_time() - time.time()
    if ahead_s > CLOCK_S:
        yield Finding(
            "warning", f"The database has rows from {ahead_s:,.0f} s in the future: the clock went back. Correct it."
        )


def _versions(store: Store, files: Files, progress: Progress) -> Iterator[Finding]:
    published = [one for rows in store.versions.all().values() for one in rows.versions.values()]
    damaged = 0
    for number, version in enumerate(published, 1):
        faults = [*damage.of_version(version, files, store)]
        damaged += bool(faults)
        yield from (Finding("error", fault) for fault in faults)
        progress(number, len(published))
    intact = len(published) - damaged
    yield Finding("ok", f"{intact:,} of {len(published):,} versions are intact.")


def _datasets(store: Store, files: Files) -> Iterator[Finding]:
    count = 0
    for dataset in damage.all_datasets(store):
        count += 1
        yield from (Finding("error", fault) for fault in damage.of_dataset(dataset, files))
    yield Finding("ok", f"{count:,} datasets are stored.")


def _keys(settings: Settings) -> Iterator[Finding]:
    try:
        keys = KeyFile(settings.keys_path).read()
    except InvalidInput as error:
        yield Finding("error", f"{settings.keys_path} {error.reason}.")
    except OSError as error:
        yield Finding("error", f"{settings.keys_path} cannot be read: {error.strerror}. Check its mode and the disk.")
    else:
        yield Finding("ok", "There is no file of keys." if keys is None else f"There are {len(keys):,} API keys.")


def _unused(store: Store, files: Files) -> Iterator[Finding]:
    unused = files.unused(store.jobs.files_in_use)
    if unused:
        text = f"{len(unused):,} checkpoints and files of points belong to no row. The next start removes them."
        yield Finding("ok", text)
