"""How many jobs of one owner a queue takes."""

from dataclasses import replace
from pathlib import Path

import pytest

from models.specs import DatasetSpec, NetworkSpec, TrainingSpec
from service.errors import QueueFull
from service.jobs.queue import JobQueue, NewJob, new_spec
from tests.service.places import NoEngine, Place


def submit(queue: JobQueue, *, owner: str, max_own: int) -> str:
    data = DatasetSpec()
    spec = new_spec("m", data, NetworkSpec(), TrainingSpec(epochs=1), origin="http")
    return queue.submit(NewJob(replace(spec, owner=owner), data), max_own=max_own)


@pytest.mark.slow
def test_the_limit_of_a_queue_for_each_owner_holds_whatever_limit_the_owner_has(tmp_path: Path) -> None:
    place = Place.of_folder(tmp_path)
    queue = JobQueue(place.store, place.files, NoEngine(), max_queued_jobs=100, max_own_jobs=2)
    first = submit(queue, owner="ada", max_own=50)
    place.store.jobs.pause(first)
    for _ in range(2):
        submit(queue, owner="ada", max_own=50)
    with pytest.raises(QueueFull, match="which is 2"):
        submit(queue, owner="ada", max_own=50)
    with pytest.raises(QueueFull, match="which is 2"):
        queue.resume(first, max_own=50)
    submit(queue, owner="bob", max_own=1)
    with pytest.raises(QueueFull, match="which is 1"):
        submit(queue, owner="bob", max_own=1)
