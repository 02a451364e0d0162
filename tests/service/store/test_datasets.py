"""Stored datasets: their rows on both databases, and the order of writes to rows and files."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.datasets import LabelledPoints
from service.datasets.stored import StoredDatasets
from service.errors import DatasetExists, DatasetNotFound, DatasetsFull
from service.jobs import training_data
from service.jobs.training_data import FiledPoints, WithValidation
from service.records import StoredDataset
from service.store import points_file
from service.store.files import Files
from service.store.points_file import DamagedData
from service.store.store import Store
from tests.service.places import Place

SET = StoredDataset(
    name="iris",
    file="set-1",
    digest="d1",
    size_bytes=100,
    summary={"feature_names": None, "n_points": 3},
    created_at=1.5,
)
POINTS = LabelledPoints(np.arange(6, dtype=np.float32).reshape(3, 2), np.array([0, 1, 0]), ("a", "b"))


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    store = Store(url)
    yield store
    store.close()


def put(store: Store, dataset: StoredDataset, *, replace: bool = False, max_bytes: int = 1_000) -> StoredDataset:
    return store.datasets.put(dataset, replace=replace, max_bytes=max_bytes)[0]


def test_a_dataset_is_read_back_as_it_was_put(store: Store) -> None:
    assert store.datasets.put(SET, replace=False, max_bytes=100) == (SET, None)
    assert store.datasets.get("iris") == SET
    assert store.datasets.files() == {"set-1"}


def test_equal_content_keeps_the_dataset_that_is_there(store: Store) -> None:
    put(store, SET)
    again = replace(SET, file="set-2", created_at=9.0)
    for may_replace in (False, True):
        assert store.datasets.put(again, replace=may_replace, max_bytes=0) == (SET, SET)


def test_other_content_replaces_only_if_it_may(store: Store) -> None:
    put(store, SET)
    for other in (
        replace(SET, file="set-2", digest="d2"),
        replace(SET, file="set-2", summary={"feature_names": ["u"]}),
    ):
        with pytest.raises(DatasetExists):
            put(store, other)
        assert store.datasets.get("iris") == SET
    assert store.datasets.put(other, replace=True, max_bytes=100) == (other, SET)
    assert store.datasets.get("iris") == other


def test_all_datasets_together_have_a_bound(store: Store) -> None:
    put(store, SET, max_bytes=250)
    put(store, replace(SET, name="b", file="set-2"), max_bytes=250)
    with pytest.raises(DatasetsFull):
        put(store, replace(SET, name="c", file="set-3"), max_bytes=250)
    store.datasets.delete("b")
    put(store, replace(SET, name="c", file="set-3"), max_bytes=250)


def test_pages_are_in_the_order_of_the_bytes_of_names(store: Store) -> None:
    names = ["a-1", "a.b", "a1", "a_", "b"]
    for name in reversed(names):
        put(store, replace(SET, name=name, file=f"set-{name}"))
    found, after, has_more = [], "", True
    while has_more:
        page, has_more = store.datasets.page(limit=2, after=after)
        found += [one.name for one in page]
        after = found[-1]
    assert found == sorted(names)


def test_a_deleted_dataset_does_not_exist(store: Store) -> None:
    put(store, SET)
    assert store.datasets.delete("iris") == SET
    with pytest.raises(DatasetNotFound):
        store.datasets.get("iris")
    with pytest.raises(DatasetNotFound):
        store.datasets.delete("iris")


def test_of_simultaneous_datasets_with_one_name_exactly_one_is_stored(store: Store) -> None:
    def try_to_put(number: int) -> bool:
        try:
            put(store, replace(SET, file=f"set-{number}", digest=f"d{number}"))
        except DatasetExists:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(try_to_put, range(8))) == 1


def test_a_file_without_a_row_is_removed_unless_its_row_may_be_to_come(tmp_path: Path) -> None:
    files = Files(tmp_path)
    for name in ("set-used", "set-orphan", "0123456789ab"):
        files.put_points(name, POINTS)
    os.utime(files.points_file("set-orphan"), (0, 0))  # old content that has just got its name, as a copy may have
    files.remove_orphans(lambda: {"set-used"})
    assert files.points_file("set-orphan").exists()
    files.remove_orphans(lambda: {"set-used"}, unchanged_s=-1)
    left = {path.stem for path in files.points_folder.iterdir()}
    assert left == {"set-used", "0123456789ab"}


def test_points_are_read_back_whole_and_in_parts(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for kind in (np.float32, np.float64):
        points = LabelledPoints(rng.normal(size=(1_000, 3)).astype(kind), rng.integers(0, 2, 1_000), (1, 2))
        path = tmp_path / f"{kind.__name__}.npz"
        digest = points_file.write(path, points.xy_ND, points.label_N, points.classes, stored_as=kind)
        assert digest == points.digest
        with points_file.opened(path) as file:
            assert file.all().digest == digest
            part = file.rows(10, 12)
        np.testing.assert_array_equal(part.xy_ND, points.xy_ND[10:12])
        np.testing.assert_array_equal(part.label_N, points.label_N[10:12])
        with np.load(path) as arrays:  # the file is a plain archive
            np.testing.assert_array_equal(arrays["xy_ND"], points.xy_ND)


def test_files_of_earlier_versions_are_read(tmp_path: Path) -> None:
    classes = np.frombuffer(b'["a", "b"]', dtype=np.uint8)
    np.savez(tmp_path / "old.npz", xy_ND=POINTS.xy_ND, label_N=POINTS.label_N, classes=classes)
    with points_file.opened(tmp_path / "old.npz") as file:
        assert file.all().digest == POINTS.digest


def test_a_shortened_file_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "points.npz"
    points_file.write(path, POINTS.xy_ND, POINTS.label_N, POINTS.classes, stored_as=np.float32)
    content = path.read_bytes()
    for length in (0, 50, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(DamagedData), points_file.opened(path) as file:
            file.all()


def test_a_job_on_a_dataset_that_was_just_deleted_is_not_submitted(tmp_path: Path, url: str) -> None:
    place = Place(tmp_path, url)
    place.files.put_points("set-1", POINTS)
    stored = FiledPoints(POINTS, "set-1", "iris")
    job = place.store.jobs.get(place.submit(data=stored))  # type: ignore[arg-type]
    assert job.spec.data == {"n_points": 3, "n_features": 2, "stored": "iris"}
    assert place.files.points_file(job.id).samefile(place.files.points_file("set-1"))
    place.files.remove_points("set-1")
    assert place.files.points(job.id, job.spec.data_digest).digest == POINTS.digest
    with pytest.raises(DatasetNotFound):
        place.submit(data=stored)  # type: ignore[arg-type]
    place.store.close()


def test_points_that_cannot_be_stored_leave_no_validation_points(tmp_path: Path) -> None:
    files = Files(tmp_path)
    files.put_points("set-1", POINTS)
    gone, there = FiledPoints(POINTS, "set-2", "gone"), FiledPoints(POINTS, "set-1", "there")
    for data in (WithValidation(gone, there), WithValidation(there, gone)):
        with pytest.raises(FileNotFoundError):
            training_data.save(files, "job", data)
        assert [path.name for path in files.points_folder.iterdir()] == ["set-1.npz"]
    training_data.save(files, "job", WithValidation(there, there))
    for name in ("job", "job-validation"):
        assert files.points_file(name).samefile(files.points_file("set-1"))


def test_without_hard_links_the_points_of_a_dataset_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    files = Files(tmp_path)
    files.put_points("set-1", POINTS)
    monkeypatch.setattr(os, "link", refuse)
    files.link_points("set-1", "job")
    assert files.points("job", "").digest == POINTS.digest
    assert not files.points_file("job").samefile(files.points_file("set-1"))


def test_a_refused_dataset_leaves_no_file(tmp_path: Path, store: Store) -> None:
    files = Files(tmp_path)
    datasets = StoredDatasets(store, files, max_bytes=150)
    files.put_points("set-1", POINTS)
    datasets.add(SET, replace=False)
    for other, error in ((replace(SET, digest="d2"), DatasetExists), (replace(SET, name="other"), DatasetsFull)):
        files.put_points("set-2", POINTS)
        with pytest.raises(error):
            datasets.add(replace(other, file="set-2"), replace=False)
        assert [path.stem for path in files.points_folder.iterdir()] == ["set-1"]
