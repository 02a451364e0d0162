"""The default engine: a few processes on this machine, started once and kept warm."""

import logging
import multiprocessing
import os
import resource
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from service.errors import StoreUnavailable
from service.settings import Settings
from service.store.files import Files
from service.store.store import Store

logger = logging.getLogger(__name__)

STOP_S = 3.0
"""How long processes may go on with the step they are in when the engine closes, before they are killed."""

RETRY_S = 0.5
"""How long to wait before trying again what cannot be done now."""

YOUNG_S = 0.2
"""A process that lives no longer dies of its start; the next is started after as long a pause."""

# Forked from a process that has imported everything, a training process is there in some 20 ms, and shares its memory.
# Other systems than Linux fork less safely.
_CONTEXT: Any = multiprocessing.get_context("forkserver" if sys.platform == "linux" else "spawn")


class LocalEngine:
    """Keeps so many training processes.

    Each looks at the queue when it is woken, and works until no job waits. Between this process and each of them is a
    pair of sockets: a byte to the worker says that a job may wait, one from it that a job may have ended; the end of
    the file says that the other side is gone. A thread of this process starts another process in the place of one that
    died, and puts its job back.
    """

    def __init__(self, store: Store, settings: Settings, *, on_end: Callable[[], object]) -> None:
        """Returns at once; the processes are there a few seconds later, and jobs wait for them until then.

        `on_end` is called when a job may have ended, from a thread of the engine: a hint to look at the rows.
        """
        self._store = store
        self._settings = settings
        self._on_end = on_end
        self._name = secrets.token_hex(8)
        self._started = 0
        self._workers: list[_Worker] = []
        self._lock = threading.Lock()  # of the list
        self._closing, self._close = _CONTEXT.Pipe(duplex=False)
        self._missing = settings.training_processes
        self._thread = threading.Thread(target=self._tend_always, name="local-engine", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Has the workers look at the queue."""
        with self._lock:
            for worker in self._workers:
                worker.wake()

    def end_worker(self, worker: str) -> None:
        """Kills the process of that name, if it is one of ours; another is started in its place."""
        with self._lock:
            for one in self._workers:
                if one.name == worker:
                    logger.error("training process %s is killed", one.process.pid)
                    one.process.kill()

    def close(self) -> None:
        """Ends the processes. Jobs that they run go back to the queue."""
        self._close.close()
        self._thread.join()
        for worker in self._workers:
            worker.pipe.close()
        until = time.monotonic() + STOP_S
        for worker in self._workers:
            worker.process.join(max(0.0, until - time.monotonic()))
            worker.process.kill()
            worker.process.join()
            with suppress(StoreUnavailable):  # else its lease runs out
                self._store.jobs.take_back_from(worker.name, blame=False)

    def _tend_always(self) -> None:
        """Without this thread nothing would be trained any more, whatever it met with."""
        while not self._closing.poll(0):
            try:
                self._tend()
            except Exception:
                logger.exception("the training processes could not be tended; trying again")
                self._closing.poll(RETRY_S)

    def _tend(self) -> None:
        """Starts processes, waits for news of them, and starts others in the place of those that died."""
        while True:
            while self._missing:
                if not self._start_one() and self._closing.poll(RETRY_S):
                    return
            pipes = {worker.pipe: worker for worker in self._workers}
            for ready in wait([self._closing, *pipes]):
                if ready is self._closing:
                    return
                if not pipes[ready].read():
                    self._bury(pipes[ready])
                self._on_end()

    def _start_one(self) -> bool:
        """Starts a process, if the machine has room for one and the fork server lives long enough."""
        self._started += 1
        try:
            worker = _Worker(f"{self._name}:{self._started}", self._settings, is_first=self._started == 1)
        except (OSError, EOFError) as error:
            logger.error("no training process can be started (%s); trying again", error)
            return False
        with self._lock:
            self._workers.append(worker)
        self._missing -= 1
        return True

    def _bury(self, worker: "_Worker") -> None:
        with self._lock:
            self._workers.remove(worker)
        worker.process.kill()
        worker.process.join()
        worker.pipe.close()
        self._missing += 1
        logger.error("training process %s died; starting another", worker.process.pid)
        try:
            self._store.jobs.take_back_from(worker.name)
        except StoreUnavailable:
            logger.error("its job could not be put back; that is done when its lease has run out")
        if time.monotonic() - worker.began < YOUNG_S:  # it may be no job's fault, and the next one's fate
            self._closing.poll(YOUNG_S)


class _Worker:
    """One training process, this side."""

    def __init__(self, name: str, settings: Settings, *, is_first: bool) -> None:
        """Starts it; it looks at the queue by itself at first."""
        self.name = name
        self.began = time.monotonic()
        self.pipe, there = _CONTEXT.Pipe()
        os.set_blocking(self.pipe.fileno(), False)
        self.process = _CONTEXT.Process(
            target=_work, args=(there, name, settings, is_first), name="separatrix-training", daemon=True
        )
        try:
            _CONTEXT.set_forkserver_preload(["service.jobs.fork_preload"])
            self.process.start()
        except BaseException:
            self.pipe.close()
            raise
        finally:
            there.close()  # the process has its own; when it dies, ours reads the end of the file

    def wake(self) -> None:
        with suppress(OSError):  # it is full of bytes to wake it, or the process is dead
            os.write(self.pipe.fileno(), b"!")

    def read(self) -> bool:
        """Takes what the process has said; False if it has died."""
        try:
            return os.read(self.pipe.fileno(), 4096) != b""
        except BlockingIOError:
            return True
        except OSError:
            return False


def _work(pipe: "Connection[bytes, bytes]", name: str, settings: Settings, is_first: bool) -> None:
    """What a training process does: job after job, until the other side of the pipe is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the API process decides
    call = _Call(pipe)
    signal.signal(signal.SIGTERM, lambda *_: call.hang_up())  # it may reach the whole group too, as by systemd
    os.nice(settings.training_niceness)
    logging.basicConfig(level=settings.log_level.upper(), format="%(levelname)s:     [training] %(message)s")
    from models.inference.compiled import warm_up_answers
    from service.jobs.worker import work

    if is_first:  # for the serving process, which would else compile when first asked for something large
        threading.Thread(target=warm_up_answers, daemon=True).start()
    _bound_memory(settings.max_training_memory_bytes)
    files = Files(settings.data_dir)
    while not call.is_over:
        try:
            store = Store.of(settings, files)
            break
        except StoreUnavailable:
            call.wait(RETRY_S)
    while not call.is_over:
        call.clear()
        try:
            while not call.is_over and (job := store.jobs.claim(name)) is not None:
                work(
                    job,
                    store=store,
                    files=files,
                    max_training_s=settings.max_training_s,
                    should_leave=lambda: call.is_over,
                    on_end=call.answer,
                )
        except StoreUnavailable as error:
            logger.warning("the queue cannot be reached: %s", error)
        except Exception:
            logger.exception("a job could not be brought to an end; it will be tried again")
            return  # whatever state this process is in: the next one begins afresh
        call.wait()


class _Call:
    """The worker's side of the pipe, read by a thread of its own."""

    def __init__(self, pipe: "Connection[bytes, bytes]") -> None:
        self.is_over = False
        self._pipe = pipe
        self._rung = threading.Event()
        threading.Thread(target=self._listen, daemon=True).start()

    def hang_up(self) -> None:
        """Is to the process as if the other side were gone. Takes no lock, so that a signal's handler may call it."""
        with socket.socket(fileno=os.dup(self._pipe.fileno())) as own:
            own.shutdown(socket.SHUT_RD)

    def clear(self) -> None:
        self._rung.clear()

    def wait(self, timeout_s: float | None = None) -> None:
        if not self.is_over:
            self._rung.wait(timeout_s)

    def answer(self) -> None:
        with suppress(OSError):
            os.write(self._pipe.fileno(), b".")

    def _listen(self) -> None:
        with suppress(OSError):
            while os.read(self._pipe.fileno(), 4096):
                self._rung.set()
        self.is_over = True
        self._rung.set()


def _bound_memory(room: int) -> None:
    """Lets this process allocate so many bytes more than it has: what asks for more fails, and not the machine."""
    if sys.platform == "linux":
        used = _data_bytes()
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (used + room, hard))


def _data_bytes() -> int:
    """The memory that counts for RLIMIT_DATA: see proc(5), VmData."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) * 1024
    return 0
