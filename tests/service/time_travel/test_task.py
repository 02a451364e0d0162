"""The training of a published version, repeated up to an epoch, against what the job itself had then."""

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from models.datasets import FloatArray
from service.records import Snapshot
from service.registry.registry import LoadedVersion, Registry
from service.time_travel.past_training import PastTraining
from service.time_travel.task import replayed, run
from tests.service.places import Place


def latest(place: Place, model: str = "m") -> LoadedVersion:
    registry = Registry(place.store, place.files)
    registry.refresh()
    return registry.resolve(model)


def with_card(version: LoadedVersion, **changes: Any) -> PastTraining:
    return PastTraining.of(replace(version, card=replace(version.card, **changes)))


def assert_same_bits(one: dict[str, FloatArray], other: dict[str, FloatArray]) -> None:
    assert one.keys() == other.keys()
    for key, array in one.items():
        np.testing.assert_array_equal(array.view(np.int32), other[key].view(np.int32))


@pytest.mark.slow
def test_a_snapshot_of_the_running_job_has_the_weights_of_its_epoch(tmp_path: Path) -> None:
    place = Place.of_folder(tmp_path)
    job_id = place.submit(epochs=200_000, momentum=0.3)
    place.store.events.watch([job_id], seconds=600)
    seen: list[Snapshot] = []
    enough = threading.Event()

    def look(*_: object) -> None:
        snapshot = place.store.events.snapshot(job_id)
        if snapshot is not None and (not seen or snapshot.serial > seen[-1].serial):
            seen.append(snapshot)
        if len(seen) >= 2:
            enough.set()

    place.work(place.claim(), on_progress=look, should_stop=enough.is_set)
    assert len(seen) >= 2
    short = place.submit(epochs=seen[-1].epoch + 1, momentum=0.3, model="m2")  # the long one need not end
    place.store.jobs.cancel(job_id)
    job = place.work(place.claim())
    assert (job.id, job.status.version) == (short, 1)
    past = PastTraining.of(latest(place, "m2"))
    for snapshot in seen:
        found = safetensors.numpy.load(run(tmp_path, past, snapshot.epoch))
        assert_same_bits(found, safetensors.numpy.load(snapshot.weights))
    place.store.close()


@pytest.mark.slow
def test_the_implementation_of_the_version_repeats_the_training(tmp_path: Path) -> None:
    place = Place.of_folder(tmp_path)
    place.submit(epochs=12, implementation="torch")
    place.work(place.claim())
    version = latest(place)
    spec = version.card.training
    assert spec is not None
    assert version.card.implementation == "torch"
    automatic = with_card(version, training=replace(spec, implementation="auto"))
    place.submit(epochs=7, implementation="torch")
    place.work(place.claim())
    assert_same_bits(replayed(place.files, automatic, 7), safetensors.numpy.load(place.weights(2)))
    compiled = replayed(place.files, with_card(version, implementation="compiled"), 7)
    assert any((compiled[key] != array).any() for key, array in safetensors.numpy.load(place.weights(2)).items())
    place.store.close()


def test_a_card_of_an_old_release_without_restarts_had_one(tmp_path: Path) -> None:
    place = Place.of_folder(tmp_path)
    place.submit(epochs=9)
    place.work(place.claim())
    version = latest(place)
    old = with_card(version, restarts=(), median=(), evaluation={})
    assert_same_bits(replayed(place.files, old, 4), replayed(place.files, PastTraining.of(version), 4))
    place.store.close()
