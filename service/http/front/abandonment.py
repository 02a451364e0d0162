"""Gives up the work for a request whose client has gone away."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

from anyio import CancelScope, CapacityLimiter, create_task_group, from_thread, to_thread
from starlette.requests import ClientDisconnect
from starlette.types import Receive

from models import interruption
from service.http.metrics import Metrics

Answer = TypeVar("Answer")


async def run_in_thread(
    work: Callable[[], Answer], receive: Receive, *, limiter: CapacityLimiter, metrics: Metrics
) -> Answer:
    """Does the work for a request in a thread, unless the client goes away.

    Work that waits for a thread then never starts, and work in progress ends before its next block.

    Args:
        work: what to do; its long loops call `interruption.check`.
        receive: of the request, whose body has been read.
        limiter: of the threads.
        metrics: counts the requests that were abandoned.

    Raises:
        ClientDisconnect: the client went away before the work was done.
    """
    return await run(partial(to_thread.run_sync, partial(_interruptible, work), limiter=limiter), receive, metrics)


async def run(work: Callable[[], Awaitable[Answer]], receive: Receive, metrics: Metrics) -> Answer:
    """Does the work for a request in the event loop, and cancels it if the client goes away; see `run_in_thread`.

    Raises:
        ClientDisconnect: the client went away before the work was done.
    """
    outcome: list[Answer | Exception] = []
    async with create_task_group() as tasks:
        tasks.start_soon(_cancel_on_disconnect, receive, tasks.cancel_scope)
        try:
            outcome.append(await work())
        except Exception as error:  # raised below: the task group would put it into an ExceptionGroup
            outcome.append(error)
        tasks.cancel_scope.cancel()
    if not outcome:
        metrics.abandoned += 1
        raise ClientDisconnect
    (answer,) = outcome
    if isinstance(answer, Exception):
        raise answer
    return answer


def _interruptible(work: Callable[[], Answer]) -> Answer:
    with interruption.checking(from_thread.check_cancelled):
        return work()


async def _cancel_on_disconnect(receive: Receive, scope: CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()
