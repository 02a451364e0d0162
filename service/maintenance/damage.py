"""Finds damaged files of versions and stored datasets, with the functions by which the service reads them."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from models.checkpoints import cards
from models.checkpoints.cards import Card, DamagedCheckpoint
from service.errors import JobNotFound
from service.records import PublishedVersion, StoredDataset
from service.store import points_file
from service.store.files import Files
from service.store.points_file import DamagedData
from service.store.store import Store

PAGE = 100
"""Datasets that are listed at a time."""


Part = tuple[Path, str, Callable[[], object]]
"""A file of a version, its content in words, and a function that reads and checks it."""


def of_version(version: PublishedVersion, files: Files, store: Store) -> Iterator[str]:
    """The damage of a version: one line for each damaged part, with what to do about it."""
    name, folder = f"Version {version.version} of {version.model}", files.checkpoint_folder(version.checkpoint_id)
    advice = f"Restore {folder} from a backup, or `separatrix delete {version.model} --version {version.version}`."
    try:
        card, _ = cards.read(folder, card_digest=version.card_digest)
    except DamagedCheckpoint as error:
        yield f"{name} is damaged: {error}. {advice}"
        return
    except OSError as error:
        yield f"{name} cannot be read: {error.strerror}. Check the mode and the disk of {folder}."
        return
    for path, part, read in _parts(version, card, files, store):
        reason = _fault(read)
        if reason is not None:
            yield f"{name} has lost {part}: {path} {reason}. Restore it from a backup; the rest of the version works."


def _parts(version: PublishedVersion, card: Card, files: Files, store: Store) -> Iterator[Part]:
    """The parts of a version other than its network."""
    folder, job_id, data = files.checkpoint_folder(version.checkpoint_id), version.job_id, card.data
    expected = card.files.get(cards.RANGE_FILE)
    if expected is not None:
        yield folder / cards.RANGE_FILE, "its training range", partial(cards.read_range, folder, expected)
    if job_id is None or data is None or card.data_digest is None:
        return  # it was imported
    points = {} if card.is_generated else {job_id: card.data_digest}
    own = files.validation_file(job_id)
    # earlier releases removed these points with their job
    if data.get("validation") and (files.points_file(own).exists() or _exists(job_id, store)):
        points[own] = data["validation"]["digest"]
    for name, digest in points.items():
        path = files.points_file(files.file_of(name, digest))
        yield path, "its points", partial(_check_points, path, digest)
    if card.started_from is not None:
        start, digest = files.starting_weights_file(job_id), card.started_from["digest"]
        yield start, "the weights that it started from", partial(_check_digest, start, digest)


def of_dataset(dataset: StoredDataset, files: Files) -> Iterator[str]:
    """The damage of a stored dataset: a line with what to do about it, or none."""
    path = files.points_file(dataset.file)
    reason = _fault(partial(_check_points, path, dataset.digest))
    if reason is not None:
        advice = f"`separatrix datasets remove {dataset.name}` and store it again, or restore {path} from a backup."
        yield f"The points of dataset {dataset.name} are damaged: {path} {reason}. {advice}"


def all_datasets(store: Store) -> Iterator[StoredDataset]:
    """The stored datasets, by name.

    Raises:
        StoreUnavailable: the database cannot be read.
    """
    after, more = "", True
    while more:
        page, more = store.datasets.page(limit=PAGE, after=after)
        yield from page
        after = page[-1].name if page else ""


def _exists(job_id: str, store: Store) -> bool:
    try:
        store.jobs.get(job_id)
    except JobNotFound:
        return False
    return True


def _fault(read: Callable[[], object]) -> str | None:
    """What is wrong with a file, as the end of a sentence; None if it can be read."""
    try:
        read()
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    except (DamagedCheckpoint, DamagedData):
        return "is missing or damaged"
    return None


def _check_points(path: Path, digest: str) -> None:
    with points_file.opened(path) as file:
        if file.digest() != digest:
            raise DamagedData("The content differs from its digest.")


def _check_digest(path: Path, digest: str) -> None:
    if cards.digest(path.read_bytes()) != digest:
        raise DamagedData("The content differs from its digest.")
