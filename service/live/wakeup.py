"""Wakes requests that wait for a job, so that they need not look at its row all the time."""

import asyncio


class Wakeup:
    """Rung when some job may have ended. A hint, no more: what a job has come to is in its row."""

    def __init__(self) -> None:
        """To be made within the event loop whose requests wait."""
        self._loop = asyncio.get_running_loop()
        self._next = asyncio.Event()

    def ring(self) -> None:
        """Wakes those who wait. For any thread."""
        self._loop.call_soon_threadsafe(self._ring)

    def _ring(self) -> None:
        rung, self._next = self._next, asyncio.Event()
        rung.set()

    @property
    def next(self) -> asyncio.Event:
        """The next ring. To be taken before one looks, so that no ring is missed between the look and the wait."""
        return self._next
