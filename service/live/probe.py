"""Asks parts of the service that may hang, such as a lost network disk, with a time limit."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

from anyio import CapacityLimiter, move_on_after, to_thread

from service.errors import StoreUnavailable

Answer = TypeVar("Answer")


class Probe(Generic[Answer]):
    """Asks one part, in a separate thread. Only one event loop may use it."""

    def __init__(self, ask: Callable[[], Answer]) -> None:
        """`ask` is called in a thread. The only error that it may raise is StoreUnavailable."""
        self._ask = ask
        self._thread = CapacityLimiter(1)  # not one of the threads that requests share, which may all be busy
        self._asked: asyncio.Task[Answer] | None = None

    async def answer(self, within_s: float) -> Answer | None:
        """The answer, or None if the part is unavailable or does not answer within this many seconds.

        While an earlier call still waits, this one waits for the same answer. So a part that hangs takes one thread,
        however often it is asked.
        """
        if self._asked is None or self._asked.done():
            self._asked = asyncio.create_task(
                to_thread.run_sync(self._ask, limiter=self._thread, abandon_on_cancel=True)
            )
        with suppress(StoreUnavailable), move_on_after(within_s):
            return await asyncio.shield(self._asked)
        return None
