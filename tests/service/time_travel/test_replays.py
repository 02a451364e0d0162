"""Which trainings are repeated, how often, and what is kept of them; the tasks themselves are stood in for."""

import asyncio
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from models.networks.layouts import layout
from models.specs import InvalidInput, NetworkSpec
from service.errors import NotReady, TaskFailed
from service.registry.registry import LoadedVersion
from service.time_travel import replays
from service.time_travel.past_training import PastTraining
from service.time_travel.replays import Replays
from tests.service.versions import version_of

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def settled() -> None:
    """Lets every task run until it waits for something."""
    for _ in range(10):
        await asyncio.sleep(0)


def weights(hidden: tuple[int, ...], epoch: int) -> dict[str, Any]:
    shapes = layout(NetworkSpec(hidden=hidden), 2, 2).shapes
    return {key: np.full(shape, epoch, np.float32) for key, shape in shapes.items()}


class Tasks:
    """Stands in for `TorchTasks`: a task ends when the test allows it, with weights that are its epoch."""

    def __init__(self) -> None:
        self.started: list[int] = []
        self.cancelled: list[int] = []
        self.may_end = asyncio.Event()
        self.failure: Exception | None = None

    async def run(self, function: str, _: Path, past: PastTraining, epoch: int) -> bytes:
        assert (function, past.job_id) == ("service.time_travel.task:run", "j")
        self.started.append(epoch)
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.cancelled.append(epoch)
            raise
        if self.failure:
            raise self.failure
        assert past.network.hidden is not None
        return safetensors.numpy.save(weights(past.network.hidden, epoch))


def epoch_of(version: LoadedVersion) -> int:
    assert version.epoch == version.plan.parameters[0]
    return int(version.plan.parameters[0])


async def test_requests_for_the_same_epoch_share_one_training_and_later_ones_need_none() -> None:
    tasks, version = Tasks(), version_of()
    known = Replays(tasks, lambda _: Path())
    waiting = [asyncio.create_task(known.at(version, epoch)) for epoch in (5, 5, 7, 5)]
    await settled()
    tasks.may_end.set()
    assert [epoch_of(one) for one in await asyncio.gather(*waiting)] == [5, 5, 7, 5]
    again = await known.at(version, 5)
    assert again is waiting[0].result()
    assert sorted(tasks.started) == [5, 7]
    other = await known.at(version_of(checkpoint="c-2"), 5)
    assert other is not again
    assert sorted(tasks.started) == [5, 5, 7]


async def test_the_published_weights_need_no_training() -> None:
    tasks, version = Tasks(), version_of()
    last = await Replays(tasks, lambda _: Path()).at(version, 1000)
    assert (last.plan, last.epoch, tasks.started) == (version.plan, 1000, [])


async def test_a_training_goes_on_while_anybody_waits_for_it() -> None:
    tasks, version = Tasks(), version_of()
    known = Replays(tasks, lambda _: Path())
    first, second = (asyncio.create_task(known.at(version, 5)) for _ in range(2))
    await settled()
    first.cancel()
    await settled()
    assert tasks.cancelled == []
    second.cancel()
    await settled()
    assert tasks.cancelled == [5]
    third = asyncio.create_task(known.at(version, 5))
    await settled()
    tasks.may_end.set()
    assert epoch_of(await third) == 5
    assert tasks.started == [5, 5]


async def test_a_failure_reaches_all_who_wait_and_is_not_kept() -> None:
    tasks, version = Tasks(), version_of()
    known = Replays(tasks, lambda _: Path())
    tasks.failure = TaskFailed("The task took longer than 60 s. Reduce the size of the request.")
    tasks.may_end.set()
    failed = await asyncio.gather(*(known.at(version, 5) for _ in range(3)), return_exceptions=True)
    assert failed == [tasks.failure] * 3
    tasks.failure = None
    assert epoch_of(await known.at(version, 5)) == 5


@pytest.mark.slow
async def test_the_memory_for_past_epochs_is_bounded() -> None:
    tasks = Tasks()
    tasks.may_end.set()
    known = Replays(tasks, lambda _: Path())
    version = version_of((1024, 1024), n=10)
    fitting = replays.KEPT_BYTES // version.size_bytes
    for epoch in range(fitting + 2):
        await known.at(version, epoch)
    assert len(tasks.started) == fitting + 2
    await known.at(version, fitting + 1)
    assert len(tasks.started) == fitting + 2, "the last ones are kept"
    await known.at(version, 0)
    assert len(tasks.started) == fitting + 3, "the first ones are not"


async def test_trainings_beyond_the_limit_are_refused_until_others_have_ended() -> None:
    tasks, version = Tasks(), version_of()
    known = Replays(tasks, lambda _: Path())
    waiting = [asyncio.create_task(known.at(version, epoch)) for epoch in range(replays.MAX_RUNNING)]
    await settled()
    with pytest.raises(NotReady):
        await known.at(version, 900)
    tasks.may_end.set()
    await asyncio.gather(*waiting)
    assert epoch_of(await known.at(version, 900)) == 900


@pytest.mark.parametrize(
    ("settings", "least", "most"),
    [
        ({"epochs": 1_000_000, "n": 100_000}, 5_000, 20_000),
        ({"epochs": 1_000_000, "n": 100_000, "optimizer": "lbfgs"}, 2_500, 10_000),
        ({"epochs": 1_000_000, "n": 100_000, "batch_size": 10, "hidden": (64,)}, 500, 5_000),
    ],
    ids=str,
)
async def test_an_epoch_that_takes_too_long_is_refused_with_the_last_one_that_does_not(
    settings: dict[str, Any], least: int, most: int
) -> None:
    tasks = Tasks()
    tasks.may_end.set()
    known = Replays(tasks, lambda _: Path())
    version = version_of(**settings)
    with pytest.raises(
        InvalidInput, match=r"epoch: must be at most .* or exactly 1,000,000, its last epoch"
    ) as refused:
        await known.at(version, 999_999)
    bound = int(re.findall("most ([0-9,]+) for", str(refused.value))[0].replace(",", ""))
    assert least < bound < most
    assert epoch_of(await known.at(version, bound)) == bound
    with pytest.raises(InvalidInput):
        await known.at(version, bound + 1)
    assert (await known.at(version, 1_000_000)).plan is version.plan


async def test_validation_points_count_too() -> None:
    plain = version_of(n=100_000, epochs=1_000_000)
    held_out = version_of(n=100_000, epochs=1_000_000, validation_fraction=0.5)
    own = replace(plain, card=replace(plain.card, data=plain.card.data | {"validation": {"n_points": 10**7}}))
    bounds = []
    for version in (plain, held_out, own):
        with pytest.raises(InvalidInput) as refused:
            await Replays(Tasks(), lambda _: Path()).at(version, 999_999)
        bounds.append(int(re.findall("most ([0-9,]+) for", str(refused.value))[0].replace(",", "")))
    assert bounds[0] > bounds[1] > bounds[2]
