"""Short tasks that need torch, which the serving process does not import: each runs in a separate forked process."""

import importlib
import json
import logging
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from anyio import CapacityLimiter, to_thread

from models.specs import InvalidInput
from service import logs
from service.errors import NotReady, TaskFailed
from service.logs import LogFormat
from service.processes import fork_server
from service.processes.fork_server import CONTEXT, helper_processes, limit_memory

logger = logging.getLogger(__name__)

TASKS = 2
"""Maximum number of tasks that run at a time; the others wait. Each takes a core."""

LONGEST_S = 60.0
"""Maximum time of a task. It is the same for all, as a bound and not as an expectation."""

MEMORY_BYTES = 2 * 2**30
"""Maximum memory that a task may allocate. The largest network has `MAX_WEIGHTS` weights, 16 MB."""

START_ATTEMPTS = 2
"""The fork server may have died since the last task; the second attempt starts another one."""


@dataclass(frozen=True)
class _Conditions:
    niceness: int
    longest_s: float
    memory_bytes: int
    log_level: str
    log_format: LogFormat


class TorchTasks:
    """Runs functions that need torch, each in a process that ends with it.

    A function is named by a string, `package.module:function`, so the caller does not import torch. Its arguments must
    be picklable; its result is bytes. This process never unpickles a result: a task may have read an untrusted file,
    and must not be able to run code here.
    """

    def __init__(
        self,
        *,
        niceness: int,
        longest_s: float = LONGEST_S,
        memory_bytes: int = MEMORY_BYTES,
        log_level: str = "info",
        log_format: LogFormat = "text",
    ) -> None:
        """`niceness` is the niceness of the processes, see nice(1); for the log see `service.logs.set_up`."""
        self._conditions = _Conditions(niceness, longest_s, memory_bytes, log_level, log_format)
        self._limiter = CapacityLimiter(TASKS)
        helper_processes.acquire()

    def close(self) -> None:
        """Releases the fork server. No task may run any more."""
        helper_processes.release()

    async def run(self, function: str, *args: Any) -> bytes:
        """Returns what the function returns. If the caller is cancelled, the process ends.

        Raises:
            InvalidInput: as the function raised it.
            TaskFailed: the task exceeded its time or memory, or its process died.
        """
        task = _Task()
        try:
            return await to_thread.run_sync(
                task.run, function, args, self._conditions, limiter=self._limiter, abandon_on_cancel=True
            )
        finally:
            task.kill()


class _Task:
    """One task and its process."""

    def __init__(self) -> None:
        self._process: BaseProcess | None = None
        self._is_killed = False

    def run(self, function: str, args: tuple[Any, ...], conditions: _Conditions) -> bytes:
        """See `TorchTasks.run`."""
        process, pipe = self._started(function, args, conditions)
        try:
            with pipe:
                return _result(pipe, conditions.longest_s)
        finally:
            process.kill()
            process.join()

    def kill(self) -> None:
        """Ends the process, if it still runs, and keeps it from being started."""
        self._is_killed = True
        if self._process is not None:
            self._process.kill()

    def _started(
        self, function: str, args: tuple[Any, ...], conditions: _Conditions
    ) -> tuple[BaseProcess, "Connection[bytes, bytes]"]:
        """Starts the process. Returns it and the pipe from which its answer comes."""
        for attempts_left in reversed(range(START_ATTEMPTS)):
            receiver, sender = CONTEXT.Pipe(duplex=False)
            process = CONTEXT.Process(
                target=_work, args=(sender, function, args, conditions), name="separatrix-task", daemon=True
            )
            try:
                fork_server.start(process)
            except (OSError, EOFError) as error:
                receiver.close()
                logger.error("no process could be started for a task (%s)", error)
                if not attempts_left:
                    raise NotReady("The machine cannot start another process now. Try again later.") from None
                continue
            finally:
                sender.close()
            self._process = process
            if self._is_killed:
                process.kill()
            return process, receiver
        raise AssertionError


def _result(pipe: "Connection[bytes, bytes]", longest_s: float) -> bytes:
    """Waits for the answer of a process, and returns what its function returned or raises what it raised."""
    if not pipe.poll(longest_s):
        raise TaskFailed(f"The task took longer than {longest_s:g} s. Reduce the size of the request.")
    try:
        answer = pipe.recv_bytes()
    except (EOFError, OSError):
        raise TaskFailed("The process of the task died. Reduce the size of the request.") from None
    match answer[:1]:
        case b"=":
            return answer[1:]
        case b"!":
            raise InvalidInput(**json.loads(answer[1:]))
        case b"m":
            raise TaskFailed("The task exceeded its memory limit. Reduce the size of the request.")
    raise RuntimeError("a task failed; its process has logged why")


def _work(pipe: "Connection[bytes, bytes]", function: str, args: tuple[Any, ...], conditions: _Conditions) -> None:
    """The main function of the process of a task."""
    logs.set_up("task", conditions.log_level, conditions.log_format)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole process group; the API process decides
    os.nice(conditions.niceness)
    limit_memory(conditions.memory_bytes)
    with pipe:
        pipe.send_bytes(_answer(_found(function), args))


def _found(function: str) -> Callable[..., bytes]:
    module, _, name = function.partition(":")
    found: Callable[..., bytes] = getattr(importlib.import_module(module), name)
    return found


def _answer(function: Callable[..., bytes], args: tuple[Any, ...]) -> bytes:
    try:
        return b"=" + function(*args)
    except InvalidInput as error:
        return b"!" + json.dumps({"field": error.field, "reason": error.reason}).encode()
    except Exception as error:
        if isinstance(error, MemoryError) or "can't allocate memory" in str(error):  # torch raises a RuntimeError
            return b"m"
        logger.exception("a task failed because of an internal error")
        return b"?"
