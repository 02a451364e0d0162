"""The fork server: it has imported torch and compiled the kernel, so a process forked from it starts in some 20 ms.

After a while without work, a new one replaces it, which has imported only torch and takes half as much memory: see
`standby`. The next process then starts within a second.
"""

import multiprocessing
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import forkserver, resource_tracker
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

PRELOAD = ["service.jobs.fork_preload"]
"""What the fork server imports, by name, since the modules belong to a higher layer."""

# A forked process shares the memory of the fork server. Forking is less safe on other systems than Linux.
IS_FORKING = sys.platform == "linux"

CONTEXT: Any = multiprocessing.get_context("forkserver" if IS_FORKING else "spawn")
"""Makes the processes and their pipes."""

REST_CHECK_S = 5.0
"""Longest time between two checks whether the fork server has no more processes and can be replaced."""


def start(process: BaseProcess) -> None:
    """Starts a process of `CONTEXT`. The first start waits until the fork server has imported everything.

    Raises:
        OSError, EOFError: the machine has no room for the process, or the fork server died. The next call starts it.
    """
    CONTEXT.set_forkserver_preload(PRELOAD)
    with helper_processes.in_use():
        process.start()


class HelperProcesses:
    """The fork server and resource tracker of this process, which `multiprocessing` starts and all engines share.

    They end when the last user releases them. Otherwise they would outlive this process for a second or two.
    """

    def __init__(self) -> None:
        self._users = 0
        self._lock = threading.Lock()
        self._starts = threading.Lock()  # held while a process is started or the fork server replaced
        self._is_warm = False
        self._started_at = 0.0

    def acquire(self) -> None:
        """Adds a user of the helper processes: an engine, or a test that shares them between engines."""
        with self._lock:
            self._users += 1

    def release(self) -> None:
        """Removes a user. The last one ends the helper processes."""
        with self._lock:
            self._users -= 1
            if not self._users:
                self._end()

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Keeps the fork server as it is while a process is started."""
        with self._starts:
            self._is_warm = True
            yield
            self._started_at = time.monotonic()

    def rest(self, idle_s: float) -> float:
        """Replaces the fork server by one in standby if it has no processes and has started none for `idle_s`.

        Returns:
            After how many seconds to call this again.
        """
        if not IS_FORKING or not self._starts.acquire(blocking=False):
            return idle_s
        try:
            is_due = self._is_warm and time.monotonic() - self._started_at >= idle_s
            with self._lock:
                if is_due and self._users and not multiprocessing.active_children():
                    self._stop_fork_server()
                    forkserver.ensure_running()
                    self._is_warm = False
        finally:
            self._starts.release()
        return min(idle_s, REST_CHECK_S)

    def abort_start(self) -> None:
        """Kills the fork server of the only user, so that a start in another thread fails instead of waiting for it."""
        with self._lock:
            if self._users == 1:
                self._kill_fork_server()

    def _kill_fork_server(self) -> None:
        server: Any = forkserver._forkserver
        if server._forkserver_pid is not None:
            os.kill(server._forkserver_pid, signal.SIGKILL)  # an orderly exit with torch loaded takes a second

    def _stop_fork_server(self) -> None:
        self._kill_fork_server()
        server: Any = forkserver._forkserver
        server._stop()  # closes its pipe and waits for its end; the public interface has no such call

    def _end(self) -> None:
        self._stop_fork_server()
        tracker: Any = resource_tracker._resource_tracker
        if tracker._pid is not None:  # None also in a process that uses its parent's
            tracker._stop()


helper_processes = HelperProcesses()


def limit_memory(bytes_: int) -> None:
    """Lets this process allocate this many bytes more than it has. Beyond that its allocations fail."""
    if sys.platform == "linux":
        used = _data_bytes()
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (used + bytes_, hard))


def _data_bytes() -> int:
    """Returns the memory that counts for RLIMIT_DATA: VmData, see proc(5)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) * 1024
    return 0
