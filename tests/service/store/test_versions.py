"""Versions, aliases and the changes of the registry, on both databases."""

from collections.abc import Iterator
from importlib.resources import files

import pytest
from alembic import command
from alembic.config import Config

from models.limits import MAX_ALIASES
from models.specs import InvalidInput
from service.errors import AliasNotFound, AliasReserved, ModelNotFound, VersionInUse, VersionNotFound
from service.records import JobSpec, PublishedVersion
from service.store.publication import MAX_DROPPED, Publication
from service.store.store import Store
from tests.databases import engine_of, execute
from tests.service.places import all_versions


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    store = Store(url)
    yield store
    store.close()


def publish(store: Store, model: str = "m", **more: object) -> Publication:
    number = store.versions.last_seq()
    spec = JobSpec(
        id=f"{model}-{number}",
        model=model,
        origin="http",
        data={},
        data_digest="d",
        network={},
        training={"epochs": 1},
        recipe="r",
        created_at=1.0,  # type: ignore[arg-type]
    )
    job = store.leases.add_claimed(spec, worker="w")
    published = store.leases.publish(job, card_digest="c", **more)  # type: ignore[arg-type]
    assert published is not None
    return published


def numbers(versions: list[PublishedVersion]) -> list[int]:
    return [version.version for version in versions]


def aliases(store: Store, model: str = "m") -> dict[str, int]:
    return {one.alias: one.version for one in store.versions.aliases(model)}


def test_every_publication_moves_latest(store: Store) -> None:
    for number in (1, 2):
        assert publish(store, summary={"metrics": None}).version.version == number
        assert aliases(store) == {"latest": number}
    rows = store.versions.all()["m"]
    assert (rows.newest, [*rows.versions], rows.aliases, rows.keep_versions) == (2, [1, 2], {"latest": 2}, None)
    assert rows.versions[1].summary == {"metrics": None}


def test_a_version_that_was_not_promoted_does_not_become_latest(store: Store) -> None:
    failed = {"alias": "latest", "promoted": False, "reason": "accuracy 0.5"}
    assert publish(store, promotion=failed).version.promotion == failed
    assert aliases(store) == {}
    publish(store, promotion=failed | {"promoted": True})
    assert aliases(store) == {"latest": 2}
    publish(store, promotion=failed)
    publish(store, promotion=failed | {"alias": "prod"})
    assert aliases(store) == {"latest": 4}
    publish(store, promotion=failed | {"alias": "prod", "promoted": True})
    assert aliases(store) == {"latest": 5, "prod": 5}
    store.versions.remove_alias("m", "prod")
    store.versions.delete("m", 5)
    assert aliases(store) == {"latest": 4}
    store.versions.delete("m", 4)
    assert aliases(store) == {"latest": 2}, "version 3 was not promoted"
    store.versions.delete("m", 2)
    assert (aliases(store), numbers(all_versions(store))) == ({}, [1, 3])


def test_changes_have_the_present_state_of_what_has_changed(store: Store) -> None:
    first = publish(store).version
    seqs = [first.seq, store.versions.move_alias("m", "a", 1), publish(store).version.seq]
    seqs += [store.versions.move_alias("m", "a", 2), store.versions.delete("m", 1).seq]
    seqs += [store.versions.remove_alias("m", "a"), store.versions.keep("m", 7)]
    assert seqs == [*range(1, 8)]
    assert store.versions.last_seq() == 7
    shown = [
        (one.version, one.alias, one.published and one.published.version, one.target)
        for one in store.versions.changes_after(0)
    ]
    assert shown == [
        *[(1, "latest", None, 2), (None, "a", None, None), (2, "latest", 2, 2), (None, "a", None, None)],
        *[(1, None, None, None), (None, "a", None, None), (None, None, None, None)],
    ]
    assert [one.seq for one in store.versions.changes_after(5)] == [6, 7]


def test_old_changes_are_forgotten_and_their_numbers_are_not_used_again(url: str, store: Store) -> None:
    for _ in range(3):
        publish(store)
    execute(url, "UPDATE registry_changes SET changed_at = 0")
    assert publish(store).version.seq == 4
    execute(url, "UPDATE registry_changes SET changed_at = 0")
    deleted = store.versions.delete_model("m")
    assert (numbers(deleted.versions), deleted.seq) == ([1, 2, 3, 4], 5)
    assert [one.seq for one in store.versions.changes_after(0)] == [4, 5]
    assert (publish(store).version.version, store.versions.last_seq()) == (5, 6)


def test_what_does_not_exist_is_not_found(store: Store) -> None:
    publish(store)
    for act in (
        lambda: store.versions.move_alias("n", "a", 1),
        lambda: store.versions.remove_alias("n", "a"),
        lambda: store.versions.delete("n", 1),
        lambda: store.versions.delete_model("n"),
        lambda: store.versions.keep("n", 1),
    ):
        with pytest.raises(ModelNotFound):
            act()
    with pytest.raises(VersionNotFound):
        store.versions.move_alias("m", "a", 2)
    with pytest.raises(VersionNotFound):
        store.versions.delete("m", 2)
    with pytest.raises(AliasNotFound):
        store.versions.remove_alias("m", "a")
    with pytest.raises(AliasReserved):
        store.versions.remove_alias("m", "latest")
    assert store.versions.last_seq() == 1


def test_an_alias_protects_its_version_and_its_model(store: Store) -> None:
    publish(store)
    publish(store)
    store.versions.move_alias("m", "prod", 1)
    with pytest.raises(VersionInUse, match="prod"):
        store.versions.delete("m", 1)
    with pytest.raises(VersionInUse, match="prod"):
        store.versions.delete_model("m")
    assert numbers(all_versions(store)) == [1, 2]


@pytest.mark.slow
def test_a_model_has_at_most_so_many_aliases(store: Store) -> None:
    publish(store)
    for number in range(MAX_ALIASES - 1):
        store.versions.move_alias("m", f"a{number}", 1)
    with pytest.raises(InvalidInput, match="at most 100 aliases"):
        store.versions.move_alias("m", "one-more", 1)
    store.versions.move_alias("m", "a0", 1)
    assert len(aliases(store)) == MAX_ALIASES


@pytest.mark.slow
def test_a_publication_drops_versions_that_are_not_kept(store: Store) -> None:
    for _ in range(4):
        assert publish(store).dropped == []
    store.versions.move_alias("m", "prod", 2)
    publish(store, "other")
    store.versions.keep("m", 2)
    assert numbers(publish(store).dropped) == [1, 3]
    assert [*store.versions.all()["m"].versions] == [2, 4, 5]
    store.versions.keep("m", 0)
    assert publish(store).dropped == []
    store.versions.keep("m", None)
    assert publish(store).dropped == []
    assert [*store.versions.all()["other"].versions] == [1]


def test_the_number_of_the_service_is_for_models_without_their_own(url: str, store: Store) -> None:
    keeping = Store(url, keep_versions=1)
    for _ in range(2):
        publish(store)
        publish(store, "own")
    store.versions.keep("own", 0)
    assert numbers(publish(keeping).dropped) == [1, 2]
    assert publish(keeping, "own").dropped == []
    keeping.close()


@pytest.mark.slow
def test_one_publication_drops_no_more_than_it_may(store: Store) -> None:
    for _ in range(MAX_DROPPED + 5):
        publish(store)
    store.versions.keep("m", 1)
    assert numbers(publish(store).dropped) == [*range(1, MAX_DROPPED + 1)]
    assert len(publish(store).dropped) == 6


def test_others_have_seen_a_change_once_each_of_them_has_announced_it(url: str, store: Store) -> None:
    own = Store(url, server="own")
    for name in ("own", "other"):
        store.servers.announce(name, seen_seq=3, lease_s=60)
    assert [own.servers.others_have_seen(seq) for seq in (3, 4)] == [True, False]
    store.servers.announce("other", seen_seq=4, lease_s=60)
    assert own.servers.others_have_seen(4)
    assert not store.servers.others_have_seen(4), "a command waits for every server"
    own.close()


@pytest.mark.slow
def test_versions_of_earlier_releases_get_latest_and_count_on(empty_url: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(files("service.store") / "migrations"))
    engine = engine_of(empty_url)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0007")
    engine.dispose()
    published = [(3, "m", 1), (5, "n", 1), (6, "m", 2)]
    execute(
        empty_url,
        *(
            "INSERT INTO versions (seq, model, version, job_id, checkpoint_id, card_digest, created_at) "
            f"VALUES ({seq}, '{model}', {version}, 'j', 'c', 'd', 1.5)"
            for seq, model, version in published
        ),
    )
    store = Store(empty_url)
    assert [(one.seq, one.model, one.version) for one in all_versions(store)] == published
    assert (aliases(store), aliases(store, "n")) == ({"latest": 2}, {"latest": 1})
    assert store.versions.last_seq() == 6
    new = publish(store).version
    assert (new.seq, new.version, aliases(store)) == (7, 3, {"latest": 3})
    assert [one.seq for one in store.versions.changes_after(6)] == [7]
    store.close()
