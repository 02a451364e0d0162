"""Time travel: versions as they were after an epoch of their training.

The training of the version is repeated up to there, in a process beside this one, because it needs torch. The result is
kept in memory like a version.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path
from typing import TypeVar

import safetensors.numpy
from cachetools import LRUCache

from models.datasets import FloatArray
from models.networks.layouts import layout, member_states
from models.networks.plans import of_members, plan_of
from service.errors import NotReady
from service.processes.torch_tasks import TorchTasks
from service.registry.networks import LoadedNetwork
from service.time_travel.past_training import PastTraining

TASK = "service.time_travel.task:run"

KEPT_BYTES = 64 * 2**20
"""Memory for past epochs: four of the largest networks, or some 3,000 of the tutorial's."""

MAX_RUNNING = 20
"""Maximum number of trainings that are repeated or wait for it at a time. The last one waits for about ten times
`MAX_REPLAY_S`."""

Network = TypeVar("Network", bound=LoadedNetwork)

Key = tuple[str, int]
"""The training of a network, by its `key`, and an epoch."""


@dataclass(eq=False)
class _Replay:
    """A training that is being repeated, and the number of requests that wait for it."""

    task: "asyncio.Task[LoadedNetwork]"
    waiting: int = 0


class Replays:
    """Versions as they were during their training. Only the event loop may use it."""

    def __init__(self, tasks: TorchTasks, data_dir_of: Callable[[str], Path]) -> None:
        """`data_dir_of` returns the data folder of a job, by its id."""
        self._tasks = tasks
        self._data_dir_of = data_dir_of
        self._kept: LRUCache[Key, LoadedNetwork] = LRUCache(KEPT_BYTES, getsizeof=attrgetter("size_bytes"))
        self._running: dict[Key, _Replay] = {}

    async def at(self, version: LoadedNetwork, epoch: int) -> LoadedNetwork:
        """A version as it was after an epoch. Requests that want the same one at a time share the work.

        Raises:
            InvalidInput: the training is unknown or had no such epoch, or to repeat it would take too long or is
                impossible.
            NotReady: too many trainings are being repeated already.
            TaskFailed: it takes longer or needs more memory than allowed.
        """
        past = PastTraining.of(version)
        past.require_epoch(epoch)
        if epoch == past.epochs:
            return replace(version, epoch=epoch)
        past.require_affordable(epoch)
        key = version.key, epoch
        kept = self._kept.get(key)
        if kept is not None:
            return kept
        replay = self._running.get(key) or self._started(key, version, past)
        replay.waiting += 1
        try:
            return await asyncio.shield(replay.task)
        finally:
            replay.waiting -= 1
            if not replay.waiting:
                replay.task.cancel()  # it has ended, or nobody waits for it any more
                del self._running[key]

    def _started(self, key: Key, version: LoadedNetwork, past: PastTraining) -> _Replay:
        if len(self._running) >= MAX_RUNNING:
            raise NotReady("Too many trainings are being repeated for other requests. Try again.")
        replay = self._running[key] = _Replay(asyncio.create_task(self._replayed(key, version, past)))
        return replay

    async def _replayed(self, key: Key, version: LoadedNetwork, past: PastTraining) -> LoadedNetwork:
        _, epoch = key
        content = await self._tasks.run(TASK, self._data_dir_of(past.job_id), past, epoch)
        found = as_network(version, safetensors.numpy.load(content), epoch)
        with suppress(ValueError):  # raised by cachetools for a value larger than the cache
            self._kept[key] = found
        return found


def as_network(network: Network, state: Mapping[str, FloatArray], epoch: int) -> Network:
    """The network with the weights that it had after an epoch."""
    card = network.card
    known = layout(card.network, card.features, len(card.classes))
    plan = of_members([plan_of(known, member, card.transform) for member in member_states(state)])
    return replace(network, plan=plan, epoch=epoch)
