"""Helpers for tasks that run in the event loop for as long as the service runs."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

from service.errors import StoreUnavailable

logger = logging.getLogger(__name__)

RETRY_S = 0.5
"""How long to wait after a failure before the next try."""


async def repeat_forever(what: str, action: Callable[[], Awaitable[None]]) -> None:
    """Repeats an action until the task is cancelled. The action itself waits until its next run is due.

    A failure is logged and does not end the loop; an unavailable database is logged once, until it is back.

    Args:
        what: the action in the log, such as `reading job events`.
        action: what to repeat.
    """
    is_unavailable = False
    while True:
        try:
            await action()
            if is_unavailable:
                logger.warning("%s: the database is available again", what)
            is_unavailable = False
        except StoreUnavailable:
            if not is_unavailable:
                logger.error("%s: the database is unavailable; retrying", what)
            is_unavailable = True
            await asyncio.sleep(RETRY_S)
        except Exception:
            logger.exception("%s failed; retrying", what)
            await asyncio.sleep(RETRY_S)


async def wait_with_timeout(event: asyncio.Event, timeout_s: float | None) -> None:
    """Waits until an event is set, or the time is up. None waits without a limit."""
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await event.wait()
