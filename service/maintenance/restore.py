"""The restoration of backups into a new data folder."""

import errno
import hashlib
import json
import re
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from models.specs import InvalidInput
from service.maintenance.backup import CHECKSUMS, FORMAT, MANIFEST, ROWS, Progress
from service.settings import Settings
from service.store import rows
from service.store.database import Database
from service.store.files import DATABASE_FILE, FOLDERS, PRIVATE_FOLDER, Files
from service.store.identity import pairing
from service.store.store import database_url

MEMBER = re.compile(rf"(?:{'|'.join(FOLDERS)})(?:/[A-Za-z0-9_-][A-Za-z0-9._-]{{0,199}}){{1,2}}")
"""What the name of a file of a data folder looks like in an archive."""

UNFINISHED = ".restoring-"
"""The prefix of the temporary folder in which the new data folder is made."""

LOST_AND_FOUND = "lost+found"
"""A folder at the root of a new ext4 disk, which counts as empty."""

MAX_MANIFEST_BYTES = 10_000
MAX_CHECKSUMS_BYTES = 2**28
"""The largest members that are read into memory. 2**28 bytes list a million files."""

COPY_BYTES = 2**20


def restore(archive: Path, settings: Settings, progress: Progress) -> None:
    """Writes the content of a backup into a new data folder and an empty database. An error leaves neither.

    The folder may exist if it is empty, as the root of a volume does.

    Args:
        archive: as `back_up` writes it. Any release since may read it.
        settings: say where data folder and database shall be.
        progress: is told how much of the archive is read, in bytes.

    Raises:
        FileExistsError: the data folder has files already.
        InvalidInput: the archive is damaged, is not from Separatrix, or comes from a later release.
        OSError: the archive cannot be read, or the folder cannot be written.
        StoreUnavailable: the database cannot be written, or has tables.
    """
    target = settings.data_dir
    if target.exists():
        _require_empty(target)
    # on the disk of the data folder, so that the files need not be copied again
    place = target if target.exists() else target.parent
    place.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(dir=place, prefix=UNFINISHED) as name:
            _restore(archive, settings, Path(name), progress)
    except OSError as error:
        if error.errno is None or not (error.filename is None or UNFINISHED in str(error.filename)):
            raise
        raise OSError(error.errno, error.strerror, str(target)) from error


def unfinished(data_dir: Path) -> list[Path]:
    """The temporary folders of restorations in and beside a data folder. Each was killed, or is running."""
    return [path for place in (data_dir, data_dir.parent) for path in sorted(place.glob(f"{UNFINISHED}*"))]


def _require_empty(target: Path) -> None:
    """Raises `FileExistsError` if a folder holds anything but `lost+found`."""
    names = sorted(path.name for path in target.iterdir() if path.name != LOST_AND_FOUND)
    if names and all(name.startswith(UNFINISHED) for name in names):
        reason = f"an unfinished restoration left {names[0]}; remove it unless a restoration is running"
        raise FileExistsError(errno.EEXIST, reason, str(target))
    if names:
        raise FileExistsError(errno.EEXIST, "the folder is not empty; restore into a new one", str(target))


def _restore(archive: Path, settings: Settings, temporary: Path, progress: Progress) -> None:
    target, folder, lines = settings.data_dir, temporary / "data", temporary / ROWS
    revision = _extract(archive, folder, lines, progress)
    _load_rows(settings.model_copy(update={"data_dir": folder}), lines, revision)
    if not target.exists():
        folder.rename(target)
        return
    files = sorted(folder.iterdir(), key=lambda path: path.name.startswith(DATABASE_FILE))
    for path in files:  # the database comes last: without it no service opens the folder
        path.rename(target / path.name)


def _extract(archive: Path, folder: Path, lines: Path, progress: Progress) -> str:
    """Writes the files of the data folder and the rows. Returns the revision of the rows."""
    folder.mkdir(mode=PRIVATE_FOLDER)
    sums: dict[str, str] = {}
    manifest: dict[str, Any] | None = None
    try:
        with archive.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as members:
            for member in members:
                content = members.extractfile(member) if member.isreg() else None
                if content is None:
                    raise _invalid(f"has a member that is no file: {_shown(member.name)}")
                if manifest is None:
                    manifest = _manifest(member, content, sums)
                elif member.name == CHECKSUMS:
                    _check(sums, content.read(MAX_CHECKSUMS_BYTES).decode())
                    return str(manifest["revision"])
                else:
                    _write(member, content, folder, lines, sums)
                progress(file.tell(), archive.stat().st_size)
    except (tarfile.TarError, EOFError, UnicodeDecodeError) as error:
        raise _invalid("is no tar file, or damaged") from error
    raise _invalid("is not complete: its end is missing")


def _manifest(member: tarfile.TarInfo, content: IO[bytes], sums: dict[str, str]) -> dict[str, Any]:
    text = content.read(MAX_MANIFEST_BYTES)
    sums[MANIFEST] = hashlib.sha256(text).hexdigest()
    try:
        found: dict[str, Any] = json.loads(text)
        is_ours = member.name == MANIFEST and re.fullmatch("[0-9]{4}", found["revision"]) is not None
    except (ValueError, KeyError, TypeError):
        is_ours = False
    if not is_ours:
        raise _invalid("was not written by `separatrix backup`")
    if found.get("format") != FORMAT:
        raise _invalid("was written by a newer release of Separatrix; restore it with that release")
    return found


def _write(member: tarfile.TarInfo, content: IO[bytes], folder: Path, lines: Path, sums: dict[str, str]) -> None:
    if member.name == ROWS:
        path = lines
    elif MEMBER.fullmatch(member.name):
        path = folder / member.name
    else:
        raise _invalid(f"has a member that a backup does not have: {_shown(member.name)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        shutil.copyfileobj(content, file, COPY_BYTES)
    with path.open("rb") as file:
        sums[member.name] = hashlib.file_digest(file, "sha256").hexdigest()


def _check(sums: dict[str, str], listed: str) -> None:
    """Compares the checksums of what was written with those that the archive lists."""
    expected = {name: digest for digest, _, name in (line.partition("  ") for line in listed.splitlines())}
    wrong = [name for name in expected | sums if expected.get(name) != sums.get(name)]
    if wrong:
        raise _invalid(f"is damaged: {_shown(wrong[0])} has another content than when it was written")


def _load_rows(settings: Settings, lines: Path, revision: str) -> None:
    files = Files(settings.data_dir)
    database = Database(database_url(settings, files))
    try:
        rows.load(database, _rows(lines), written_by=revision)
        pairing.remember(database, files)
    finally:
        database.close()


def _rows(lines: Path) -> Iterator[tuple[str, rows.Row]]:
    with lines.open() as file:
        for line in file:
            table, row = json.loads(line)
            yield table, row


def _shown(name: str) -> str:
    return repr(name[:80])


def _invalid(reason: str) -> InvalidInput:
    return InvalidInput("archive", reason)
