"""The bodies of requests in progress that are held in memory, and how many bytes they may have together."""

import asyncio

from service.errors import TooManyBodies
from service.settings import Settings

FREE_BYTES = 64 * 1024
"""How much of each body does not count, so that small requests are answered whatever the large ones take."""


class HeldBodies:
    """Counts what the requests of a process hold. Only the event loop may use it.

    Attributes:
        max_body_bytes, body_timeout_s: the settings of these names.
    """

    def __init__(self, settings: Settings) -> None:
        """Nothing is held yet."""
        self.max_body_bytes = settings.max_body_bytes
        self.body_timeout_s = settings.body_timeout_s
        self._most = settings.max_bodies_bytes
        self._held = 0

    @property
    def held_bytes(self) -> int:
        """What all requests hold at the moment."""
        return self._held

    def hold(self) -> "HeldBody":
        """The body of the request that the current task answers. It is held until the task ends: each has its own."""
        body = HeldBody(self)
        task = asyncio.current_task()
        if task is not None:
            task.add_done_callback(body.release)
        return body

    def change(self, by: int) -> None:
        """Counts bytes that are held from now on, or no longer if there are less.

        Raises:
            TooManyBodies: the bodies together would have more than they may.
        """
        if by > 0 and self._held + by > self._most:
            raise TooManyBodies(
                f"The bodies of all requests in progress may have {self._most:,} bytes together. Send it again later, "
                "or in several requests."
            )
        self._held += by


class HeldBody:
    """What one request holds."""

    def __init__(self, bodies: HeldBodies) -> None:
        self._bodies = bodies
        self._counted = 0

    def resize(self, length: int) -> None:
        """The request holds so many bytes now.

        Raises:
            TooManyBodies: the bodies of all requests together would have more than they may.
        """
        counted = max(0, length - FREE_BYTES)
        if counted != self._counted:
            self._bodies.change(counted - self._counted)
            self._counted = counted

    def release(self, _: object = None) -> None:
        """The request holds nothing any more."""
        self.resize(0)
