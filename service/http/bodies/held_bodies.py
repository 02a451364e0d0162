"""The request bodies that a process holds in memory, and the limit of their total size."""

import asyncio

from service.errors import TooManyBodies
from service.settings import Settings

FREE_BYTES = 64 * 1024
"""The first bytes of each body do not count, so that small requests are answered however many large ones there are."""


class HeldBodies:
    """Counts the bytes of the bodies that the requests of a process hold. Only the event loop may use it.

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
        """The counted bytes that all requests hold at the moment."""
        return self._held

    def hold(self) -> "HeldBody":
        """Returns the body of the request that the current task answers. It is released at the end of that task."""
        body = HeldBody(self)
        task = asyncio.current_task()
        if task is not None:
            task.add_done_callback(body.release)
        return body

    def change(self, by: int) -> None:
        """Adds `by` bytes to those that are held; a negative number removes some.

        Raises:
            TooManyBodies: the bodies together would exceed the limit.
        """
        if by > 0 and self._held + by > self._most:
            raise TooManyBodies(
                f"The bodies of all requests in progress may have {self._most:,} bytes together. Send it again later, "
                "or in several requests."
            )
        self._held += by


class HeldBody:
    """The body that one request holds."""

    def __init__(self, bodies: HeldBodies) -> None:
        self._bodies = bodies
        self._counted = 0

    def resize(self, length: int) -> None:
        """Changes how many bytes the request holds to `length`.

        Raises:
            TooManyBodies: the bodies of all requests together would exceed the limit.
        """
        counted = max(0, length - FREE_BYTES)
        if counted != self._counted:
            self._bodies.change(counted - self._counted)
            self._counted = counted

    def release(self, _: object = None) -> None:
        """Stops counting the body."""
        self.resize(0)
