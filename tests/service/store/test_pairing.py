"""A data folder belongs to one database. With another one nothing is opened, written or removed."""

import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest

from models.datasets import LabelledPoints
from service.errors import StoreUnavailable
from service.settings import Settings
from service.store.database import Database, sqlite_url
from service.store.files import Files
from service.store.identity import pairing
from service.store.store import Store
from tests.databases import execute
from tests.postgres import PostgreSQL
from tests.service.places import Place

POINTS = LabelledPoints(np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([0, 1]), ("a", "b"))
OTHER = "belongs to another database than"


def with_points(folder: Path, url: str) -> Files:
    """A data folder of an earlier release, with the points of a job that is in the database."""
    place = Place(folder, url)
    with closing(place.store):
        place.submit(data=POINTS)
    return place.files


def content(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@contextmanager
def refused(reason: str) -> Iterator[None]:
    """Asserts that the block is refused for a reason of which the operator is told. Clients see no path."""
    with pytest.raises(StoreUnavailable) as raised:
        yield
    assert re.search(reason, raised.value.for_operator), raised.value.for_operator
    assert str(raised.value) == StoreUnavailable.advice


def assert_refused(url: str, files: Files, reason: str) -> None:
    """Asserts that a folder and a database are refused together, and that nothing in the folder changes."""
    before = content(files.data_dir)
    with refused(reason):
        Store(url, files=files)
    assert content(files.data_dir) == before


def test_a_folder_of_an_earlier_release_opens_with_its_database_and_from_then_on_with_no_other(
    url: str, tmp_path: Path
) -> None:
    files = with_points(tmp_path / "data", url)
    for _ in range(2):
        Store(url, files=files).close()
    execute(url, "UPDATE identity SET id = 'another'")
    assert_refused(url, files, OTHER)


def test_files_that_the_database_does_not_know_are_refused(url: str, tmp_path: Path) -> None:
    files = with_points(tmp_path / "data", url)
    execute(url, "DELETE FROM jobs")
    with_points(tmp_path / "other", url)
    assert_refused(url, files, OTHER)


def test_an_empty_database_is_refused_and_stays_empty(url: str, tmp_path: Path) -> None:
    files = with_points(tmp_path / "data", url)
    empty = sqlite_url(tmp_path / "empty.db")
    execute(empty, "CREATE TABLE foreign_rows (id INTEGER)")
    assert_refused(empty, files, OTHER)
    Store(url, files=files).close()
    assert_refused(empty, files, OTHER)
    with closing(Database(empty)) as database, pytest.raises(StoreUnavailable):
        pairing.require(database, Files(tmp_path / "new"), make=False)


def test_a_lost_file_of_the_database_is_not_made_anew(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    files = with_points(folder, Files(folder).database_url)
    for _ in range(2):  # without and with the id of its database
        lost = (folder / "separatrix.db").rename(tmp_path / "lost.db")
        assert_refused(
            files.database_url, files, "separatrix.db is missing or empty, but the data folder .* was used with one"
        )
        lost.rename(folder / "separatrix.db")
        Store(files.database_url, files=files).close()


def test_a_reader_creates_neither_a_database_nor_an_id(tmp_path: Path) -> None:
    files = Files(tmp_path)
    with refused("is not a data folder: it has no database"):
        Store.of(Settings(data_dir=tmp_path), files, make=False)
    assert list(tmp_path.iterdir()) == []
    Store(files.database_url).close()
    Store.of(Settings(data_dir=tmp_path), files, make=False).close()
    assert not (tmp_path / pairing.FILE).exists()


def test_several_folders_may_belong_to_one_database(url: str, tmp_path: Path) -> None:
    shared, own = Files(tmp_path / "shared"), Files(tmp_path / "own")
    stores = [Store(url, files=files) for files in (shared, shared, own, own)]
    assert pairing.known_id(shared) == pairing.known_id(own) is not None
    for store in stores:
        store.close()


def test_an_id_that_cannot_be_read_is_not_a_missing_id(tmp_path: Path) -> None:
    (tmp_path / pairing.FILE).mkdir()
    with refused("cannot be read: Is a directory"):
        Store.of(Settings(data_dir=tmp_path), Files(tmp_path))


@pytest.mark.postgres
def test_messages_show_no_user_and_no_password(postgresql: PostgreSQL, tmp_path: Path) -> None:
    url = postgresql.new_database()
    files = with_points(tmp_path / "data", url)
    other = postgresql.new_database().replace("postgres@", "postgres:secret@") + "?application_name=hidden"
    with pytest.raises(StoreUnavailable) as raised:
        Store(other, files=files)
    address = f"postgresql://127.0.0.1:{postgresql.port}/"
    assert address in raised.value.for_operator
    assert all(word not in raised.value.for_operator for word in ("postgres:", "secret", "hidden", "postgres@"))
