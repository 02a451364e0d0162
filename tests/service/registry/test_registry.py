from pathlib import Path

import pytest

from models.specs import DatasetSpec, NetworkSpec, TrainingSpec
from service.errors import VersionBroken, VersionNotFound
from service.jobs.queue import new_spec
from service.jobs.worker import work
from service.registry.loading import CHECK_PAUSE_S
from service.registry.registry import BrokenVersion, LoadedVersion, Registry
from service.store.files import Files
from service.store.store import Store
from tests.databases import execute
from tests.service.places import all_versions


def publish(store: Store, files: Files, *models: str) -> None:
    for model in models:
        spec = new_spec(model, DatasetSpec(), NetworkSpec(), TrainingSpec(epochs=1), origin="cli")
        work(store.leases.add_claimed(spec, worker="test"), store=store, files=files)


@pytest.mark.slow
def test_a_version_that_is_temporarily_unreadable_is_served_later(tmp_path: Path) -> None:
    files = Files(tmp_path)
    store = Store(files.database_url)
    publish(store, files, "first", "second")
    hidden = next(path for path in (tmp_path / "checkpoints").iterdir())
    # a link to itself: even root cannot read it, and yet the file is not missing
    aside = hidden.rename(tmp_path / "aside")
    hidden.symlink_to(hidden)

    registry = Registry(store, files)
    registry.refresh()
    assert registry.loader.check() > 0
    assert registry.loader.broken_count == 1
    versions = [registry.version(model, 1) for model in ("first", "second")]
    assert sorted(type(version).__name__ for version in versions) == ["BrokenVersion", "LoadedVersion"]
    (broken,) = (version for version in versions if isinstance(version, BrokenVersion))
    with pytest.raises(VersionBroken):
        registry.resolve(broken.published.model, 1)

    hidden.unlink()
    aside.rename(hidden)
    registry.loader.check()
    assert registry.loader.broken_count == 0
    assert isinstance(registry.version(broken.published.model, 1), LoadedVersion)
    store.close()


@pytest.mark.slow
def test_a_later_refresh_does_not_change_what_was_returned(tmp_path: Path) -> None:
    files = Files(tmp_path)
    store = Store(files.database_url)
    publish(store, files, "m")
    registry = Registry(store, files)
    registry.refresh()
    before = registry.model("m")
    publish(store, files, "m", "n")
    registry.refresh()
    assert (list(before.versions), before.aliases) == ([1], {"latest": 1})
    assert (list(registry.model("m").versions), registry.model("m").aliases) == ([1, 2], {"latest": 2})
    assert list(registry.models()) == ["m", "n"]
    store.close()


@pytest.mark.slow
def test_versions_are_loaded_when_they_are_asked_for_and_leave_memory_in_turn(tmp_path: Path) -> None:
    files = Files(tmp_path)
    store = Store(files.database_url)
    publish(store, files, *["m"] * 4)
    registry = Registry(store, files, loaded_bytes=25_000)  # two small versions
    registry.refresh()
    assert registry.loaded("m") is None
    second, third = (registry.resolve("m", number) for number in (2, 3))
    assert registry.loaded("m", 2) is registry.resolve("m", 2) is second
    registry.resolve("m", 1)
    assert registry.loaded("m", 3) is None, "it was not asked for longest"
    assert registry.loaded("m", 2) is second
    again = registry.resolve("m", 3)
    assert again is not third
    assert (again.published, again.card) == (third.published, third.card)
    store.close()


def test_each_version_is_loaded_although_none_has_room(tmp_path: Path) -> None:
    files = Files(tmp_path)
    store = Store(files.database_url)
    publish(store, files, "m", "m")
    registry = Registry(store, files, loaded_bytes=0)
    registry.refresh()
    for number in (1, 2, 1):
        assert registry.resolve("m", number).published.version == number
    store.close()


@pytest.mark.slow
def test_a_new_version_is_loaded_at_once(tmp_path: Path) -> None:
    files = Files(tmp_path)
    store = Store(files.database_url)
    registry = Registry(store, files)
    for number in (1, 2):
        publish(store, files, "m")
        registry.refresh()
        if number > 1:
            loaded = registry.loaded("m")
            assert loaded is not None
            assert loaded.published.version == number
    store.close()


@pytest.mark.slow
def test_a_version_that_is_deleted_while_it_is_looked_up_is_not_found_and_not_damaged(tmp_path: Path) -> None:
    files = Files(tmp_path)
    store = Store(files.database_url)
    publish(store, files, "m", "m")
    registry = Registry(store, files)
    registry.refresh()
    files.remove_versions(store.versions.delete("m", 2).versions)  # by another process
    assert registry.resolve("m").published.version == 1
    assert registry.loader.broken_count == 0
    with pytest.raises(VersionNotFound):
        registry.resolve("m", 2)
    store.close()


@pytest.mark.slow
def test_a_registry_that_has_missed_changes_reads_everything_again(tmp_path: Path) -> None:
    files = Files(tmp_path)
    store = Store(files.database_url)
    publish(store, files, "m", "m", "n")
    registry = Registry(store, files)
    registry.refresh()
    kept = registry.resolve("m", 1)
    store.versions.delete("m", 2)
    store.versions.delete_model("n")
    store.versions.move_alias("m", "prod", 1)
    execute(files.database_url, "DELETE FROM registry_changes WHERE seq < 7")
    registry.refresh()
    assert {name: ([*model.versions], model.aliases) for name, model in registry.models().items()} == {
        "m": ([1], {"latest": 1, "prod": 1})
    }
    assert registry.loaded("m", "prod") is kept
    assert registry.loaded_seq == store.versions.last_seq() == 7
    store.close()


@pytest.mark.slow
def test_versions_of_old_releases_have_a_summary_once_their_card_was_read(tmp_path: Path) -> None:
    files = Files(tmp_path)
    store = Store(files.database_url)
    publish(store, files, "m", "m")
    summaries = {version.seq: version.summary for version in all_versions(store)}
    execute(files.database_url, "UPDATE versions SET summary = NULL")
    registry = Registry(store, files)
    registry.refresh()
    assert registry.summary(registry.published("m", 1)) == summaries[1]
    while registry.loader.check(for_s=60) < CHECK_PAUSE_S:
        pass
    assert {version.seq: version.summary for version in all_versions(store)} == summaries
    assert summaries[1] is not None
    assert summaries[1]["widths"] == [2, 4, 1]
    store.close()


@pytest.mark.slow
def test_latest_passes_over_damaged_versions_and_those_that_were_not_promoted(tmp_path: Path) -> None:
    files = Files(tmp_path)
    store = Store(files.database_url)
    publish(store, files, *["m"] * 4)
    failed = '{"alias": "latest", "promoted": false, "reason": ""}'
    execute(files.database_url, f"UPDATE versions SET promotion = '{failed}' WHERE version = 2".replace(":", r"\:"))
    for version in all_versions(store)[2:]:
        (files.checkpoint_folder(version.checkpoint_id) / "card.json").unlink()
    registry = Registry(store, files)
    registry.refresh()
    assert registry.resolve("m").published.version == 1
    assert registry.published("m").version == 1
    assert registry.loader.broken_count == 2
    for reference in (3, 4):
        with pytest.raises(VersionBroken):
            registry.resolve("m", reference)
    store.close()
