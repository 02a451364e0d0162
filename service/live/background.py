"""What tasks of the event loop do again and again."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

from service.errors import StoreUnavailable

logger = logging.getLogger(__name__)

RETRY_S = 0.5
"""How long to wait before something that failed is tried again."""


async def again(what: str, act: Callable[[], Awaitable[None]]) -> None:
    """Does something without end, which is to wait by itself for the next time; says once when the database is away."""
    away = False
    while True:
        try:
            await act()
            if away:
                logger.warning("%s works again", what)
            away = False
        except StoreUnavailable:
            if not away:
                logger.error("%s fails, since the database is away; it is tried again", what)
            away = True
            await asyncio.sleep(RETRY_S)
        except Exception:
            logger.exception("%s failed, and is tried again", what)
            await asyncio.sleep(RETRY_S)


async def until(event: asyncio.Event, timeout_s: float | None = None) -> None:
    """Waits until an event is set, or the time is up."""
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await event.wait()
