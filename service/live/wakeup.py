"""Wakes tasks that wait for a change of some job, so that they need not poll its row at short intervals."""

import asyncio


class Wakeup:
    """Wakes tasks of one event loop, from any thread. It is only a hint: the state of a job is in its row."""

    def __init__(self) -> None:
        """Must be called in the event loop whose tasks wait."""
        self._loop = asyncio.get_running_loop()
        self._next = asyncio.Event()

    def notify(self) -> None:
        """Wakes all waiting tasks. Thread-safe."""
        self._loop.call_soon_threadsafe(self._notify)

    def _notify(self) -> None:
        current, self._next = self._next, asyncio.Event()
        current.set()

    @property
    def next(self) -> asyncio.Event:
        """The event that the next `notify` sets. Take it before you read the store, so that you miss no `notify`."""
        return self._next
