"""Backups: one tar archive with all rows and all files of a data folder, made while services run."""

import errno
import hashlib
import json
import os
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from service import outputs
from service.maintenance import damage
from service.records import PublishedVersion, StoredDataset
from service.settings import Settings
from service.store.files import CHECKPOINTS, DATASETS, Files
from service.store.migrations.schema import HEAD
from service.store.rows import Row
from service.store.store import Store

FORMAT = 1
"""The version of the layout of archives."""

MANIFEST, ROWS, CHECKSUMS = "manifest.json", "rows.jsonl", "sha256sums.txt"
"""The first member of an archive, the second and the last one. The files of the data folder are between them."""

ATTEMPTS = 5
"""How often a backup is begun because a version was deleted meanwhile."""

Progress = Callable[[int, int], None]
"""Called with the number of files that are done, and of all there are."""


@dataclass(frozen=True)
class Backup:
    """The content of a backup.

    Attributes:
        size_bytes: of the archive.
        versions: number of versions.
        damaged: one line for each damaged part of its versions and datasets. The archive contains them as they are.
    """

    size_bytes: int
    versions: int
    damaged: list[str]


class _Deleted(Exception):
    """A version or a dataset was deleted after its row was read, and before its files were copied."""


def back_up(settings: Settings, out: Path, progress: Progress) -> Backup:
    """Writes an archive, which only its owner may read.

    The rows are from one moment, and the files of their versions are complete.

    Services may run, train and publish meanwhile: files never change once they are written. If a version or a
    dataset is deleted before its files were copied, the backup begins again.

    Damage does not prevent a backup: what is intact is worth keeping.

    Args:
        settings: say where data folder and database are.
        out: the archive to write; it appears when it is complete.
        progress: is told how far the copy is.

    Raises:
        FileExistsError: `out` exists.
        OSError: the data folder cannot be read, or `out` cannot be written.
        StoreUnavailable: the database cannot be read.
    """
    if out.exists():
        raise FileExistsError(errno.EEXIST, "the file exists already; choose another name", str(out))
    files = Files(settings.data_dir, make=False)
    store = Store.of(settings, files, make=False)
    try:
        for _ in range(ATTEMPTS):
            with suppress(_Deleted), outputs.new_file(out, mode=outputs.PRIVATE) as file:
                with tarfile.open(fileobj=file, mode="w") as archive:
                    versions, damaged = _write(archive, store, files, progress)
                break
        else:
            raise OSError(errno.EBUSY, "data are deleted faster than they are copied; try again later", str(out))
    finally:
        store.close()
    return Backup(out.stat().st_size, versions, damaged)


def _write(archive: tarfile.TarFile, store: Store, files: Files, progress: Progress) -> tuple[int, list[str]]:
    """Writes all members. Returns the number of versions, and a line for each damaged part.

    Raises:
        _Deleted: begin again.
    """
    sums: list[str] = []
    manifest = {"format": FORMAT, "separatrix": version("separatrix"), "revision": HEAD, "created_at": time.time()}
    with tempfile.TemporaryDirectory() as folder:
        about, lines, listed = (Path(folder) / name for name in (MANIFEST, ROWS, CHECKSUMS))
        about.write_text(json.dumps(manifest))
        needed = _write_rows(lines, store.rows())
        sums += [_add(archive, path, path.name) for path in (about, lines)]
        missing = needed - _write_files(archive, files, sums, progress)
        damaged = _damaged(store, files, needed)
        if missing - _needed(store):
            raise _Deleted
        listed.write_text("".join(sums))
        _add(archive, listed, CHECKSUMS)
    return sum(name.startswith(CHECKPOINTS) for name in needed), damaged


def _write_rows(path: Path, rows: Iterator[tuple[str, Row]]) -> set[str]:
    """Writes rows as lines of JSON. Returns the checkpoints of their versions and the files of their datasets."""
    needed = set()
    with path.open("w") as file:
        for table, row in rows:
            file.write(json.dumps([table, row]) + "\n")
            if table == "versions":
                needed.add(f"{CHECKPOINTS}/{row['checkpoint_id']}")
            if table == "datasets":
                needed.add(f"{DATASETS}/{row['file']}.npz")
    return needed


def _write_files(archive: tarfile.TarFile, files: Files, sums: list[str], progress: Progress) -> set[str]:
    """Writes the files of the data folder, except those that vanish meanwhile.

    Returns the names of the files and of the folders among them.
    """
    written = set()
    found = files.all()
    for number, (name, path) in enumerate(found.items(), 1):
        with suppress(FileNotFoundError):
            sums.append(_add(archive, path, name))
            written |= {name, name.rpartition("/")[0]}
        progress(number, len(found))
    return written


def _needed(store: Store) -> set[str]:
    """The checkpoints of the versions and the files of the datasets that exist now."""
    return {*_versions(store), *_datasets(store)}


def _versions(store: Store) -> dict[str, PublishedVersion]:
    found = [one for rows in store.versions.all().values() for one in rows.versions.values()]
    return {f"{CHECKPOINTS}/{one.checkpoint_id}": one for one in found}


def _datasets(store: Store) -> dict[str, StoredDataset]:
    return {f"{DATASETS}/{one.file}.npz": one for one in damage.all_datasets(store)}


def _damaged(store: Store, files: Files, packed: set[str]) -> list[str]:
    """The damage of the versions and datasets that were packed, except of those that were deleted meanwhile."""
    found = {name: [*damage.of_version(one, files, store)] for name, one in _versions(store).items() if name in packed}
    found |= {name: [*damage.of_dataset(one, files)] for name, one in _datasets(store).items() if name in packed}
    still_there = _needed(store) if any(found.values()) else set()
    return [line for name, lines in found.items() if name in still_there for line in lines]


def _add(archive: tarfile.TarFile, path: Path, name: str) -> str:
    """Adds a file, and returns its line in the list of checksums."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        info = tarfile.TarInfo(name)  # not the one of tarfile, for which the second name of a file is a link
        info.size = file.seek(0, os.SEEK_END)
        info.mtime = int(os.fstat(file.fileno()).st_mtime)
        file.seek(0)
        archive.addfile(info, file)
    return f"{digest}  {name}\n"
