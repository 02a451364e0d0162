from pathlib import Path

import pytest

from models.specs import DatasetSpec, NetworkSpec, TrainingSpec
from service.errors import VersionBroken
from service.jobs.queue import new_spec
from service.jobs.worker import work
from service.registry.registry import BrokenVersion, LoadedVersion, Registry
from service.store.files import Files
from service.store.store import Store


def publish(store: Store, files: Files, *models: str) -> None:
    for model in models:
        spec = new_spec(model, DatasetSpec(), NetworkSpec(), TrainingSpec(epochs=1), origin="cli")
        work(store.leases.add_claimed(spec, worker="test"), store=store, files=files)


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
    assert registry.check() > 0
    assert registry.broken_count == 1
    versions = [registry.version(model, 1) for model in ("first", "second")]
    assert sorted(type(version).__name__ for version in versions) == ["BrokenVersion", "LoadedVersion"]
    (broken,) = (version for version in versions if isinstance(version, BrokenVersion))
    with pytest.raises(VersionBroken):
        registry.resolve(broken.published.model, 1)

    hidden.unlink()
    aside.rename(hidden)
    registry.check()
    assert registry.broken_count == 0
    assert isinstance(registry.version(broken.published.model, 1), LoadedVersion)
    store.close()


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
