"""The default engine: training processes on this machine, kept warm while there is work."""

import logging
import os
import secrets
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait

from service import logs
from service.errors import StoreUnavailable
from service.processes import fork_server
from service.processes.fork_server import CONTEXT, helper_processes, limit_memory
from service.settings import Settings
from service.store.store import Store

logger = logging.getLogger(__name__)

STOP_S = 3.0
"""How long a training process may go on with its current step when the engine closes, before it is killed."""

RETRY_S = 0.5
"""How long to wait before another attempt to start a process."""

MAX_RETRY_S = 30.0
"""Longest wait after repeated failures. Each failure doubles the wait, and is logged with a traceback."""

START_S = 1.0
"""How long an engine that closes waits for a process that is being started. The first start takes as long as the fork
server imports torch, which may be many seconds."""

MIN_LIFETIME_S = 0.2
"""A process that ends sooner has probably failed to start. The engine then waits this long before it starts another."""

CLAIMED, ENDED, IDLE = b"+", b".", b"-"
"""What a training process tells the engine: it has claimed a job, a job may have ended, and it found no more jobs."""


class LocalEngine:
    """Keeps a fixed number of training processes running while there is work.

    Each process looks at the queue when it is woken, and works until no job is queued. A pair of sockets connects it
    with this process: a byte to the worker means that a job may be queued, a byte from it is `CLAIMED`, `ENDED` or
    `IDLE`, and end of file means that the other side is gone. A thread of this process replaces a process that dies,
    and puts its job back in the queue. It ends processes that have been idle for long; the next wakeup starts them
    again.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        *,
        durable: bool = True,
        is_resting: bool = False,
        on_job_end: Callable[[], object],
    ) -> None:
        """Returns at once. The processes start within a few seconds; jobs wait for them.

        Args:
            settings: of the service.
            store: of the jobs.
            durable: whether what the processes write must survive a power failure.
            is_resting: whether the processes start only when they are first woken.
            on_job_end: called from a thread of the engine when a job may have ended: a hint to read its row.
        """
        self._settings = settings
        self._store = store
        self._durable = durable
        self._on_job_end = on_job_end
        self._name = secrets.token_hex(8)
        self._started = 0
        self._can_start = True
        self._workers: list[_Worker] = []
        self._lock = threading.Lock()  # guards the list and the counts
        self._closing, self._close = CONTEXT.Pipe(duplex=False)
        self._woken, self._wake = CONTEXT.Pipe(duplex=False)  # has a byte when resting processes should start
        self._missing, self._resting = settings.training_processes, 0
        if is_resting:
            self._missing, self._resting = 0, settings.training_processes
        helper_processes.acquire()
        self._thread = threading.Thread(target=self._supervise, name="local-engine", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Makes the workers look at the queue, and starts those that rest."""
        with self._lock:
            for worker in self._workers:
                worker.wake()
            if self._resting:
                self._missing += self._resting
                self._resting = 0
                self._wake.send_bytes(b"!")

    @property
    def can_start(self) -> bool:
        """Whether the last start of a process succeeded; true before the first."""
        return self._can_start

    def kill_worker(self, worker: str) -> None:
        """Kills the process of that name, if it is one of this engine's. Another one replaces it."""
        with self._lock:
            for each in self._workers:
                if each.name == worker:
                    logger.error("killing training process %s", each.process.pid)
                    each.process.kill()

    def close(self) -> None:
        """Ends the processes. Jobs that they run go back to the queue."""
        self._close.close()
        self._thread.join(START_S)
        if self._thread.is_alive():
            helper_processes.abort_start()
            self._thread.join()
        self._end(self._workers)
        helper_processes.release()

    def _end(self, workers: Sequence["_Worker"]) -> None:
        """Ends processes. Jobs that they run go back to the queue."""
        for worker in workers:
            worker.pipe.close()
        until = time.monotonic() + STOP_S
        for worker in workers:
            worker.process.join(max(0.0, until - time.monotonic()))
            worker.process.kill()
            worker.process.join()
            with suppress(StoreUnavailable):  # then its lease expires
                self._store.leases.reclaim_from(worker.name, crashed=False)

    def _supervise(self) -> None:
        """Runs until the engine closes, whatever error occurs: without this thread no job would be trained any more."""
        pause_s = RETRY_S
        while not self._closing.poll(0):
            began = time.monotonic()
            try:
                self._keep_running()
            except Exception:
                has_lasted = time.monotonic() - began > MAX_RETRY_S
                pause_s = RETRY_S if has_lasted else min(2 * pause_s, MAX_RETRY_S)
                logger.exception("the supervision of the training processes failed; trying again in %g s", pause_s)
                self._closing.poll(pause_s)

    def _keep_running(self) -> None:
        """Starts processes, passes on their messages, replaces those that die, and ends those long idle."""
        while True:
            while self._missing:
                if not self._start_worker() and self._closing.poll(RETRY_S):
                    return
            pipes = {worker.pipe: worker for worker in self._workers}
            for ready in wait([self._closing, self._woken, *pipes], self._next_rest_s()):
                if ready is self._closing:
                    return
                if ready in pipes:
                    self._read(pipes[ready])
                else:
                    self._woken.recv_bytes()
            self._let_rest()

    def _read(self, worker: "_Worker") -> None:
        try:
            with self._lock:
                has_ended_job = worker.read()
        except EOFError:
            self._remove(worker)
            has_ended_job = True
        if has_ended_job:
            self._on_job_end()

    def _next_rest_s(self) -> float | None:
        """Seconds until the next worker will have been idle for `training_idle_s`; None if all have work."""
        with self._lock:
            idle = [worker.idle_since for worker in self._workers if worker.idle_since is not None]
        return max(0.0, min(idle) + self._settings.training_idle_s - time.monotonic()) if idle else None

    def _let_rest(self) -> None:
        """Ends the processes that have been idle for long. They have no job, because they look for one only when woken.

        No wakeup is lost. A process that is woken before is no longer idle, and a later wakeup starts it again.
        """
        idle_before = time.monotonic() - self._settings.training_idle_s
        with self._lock:
            ended = [one for one in self._workers if one.idle_since is not None and one.idle_since <= idle_before]
            self._workers = [one for one in self._workers if one not in ended]
            self._resting += len(ended)
        self._end(ended)

    def _start_worker(self) -> bool:
        """Starts a process. Returns False if the machine has no room for it, or the fork server died."""
        self._started += 1
        try:
            worker = _Worker(
                f"{self._name}:{self._started}", self._settings, durable=self._durable, is_first=self._started == 1
            )
        except (OSError, EOFError) as error:
            if self._can_start and not self._closing.poll(0):  # once, and not at each attempt
                logger.error("no training process could be started (%s); trying again until one can", error)
            self._can_start = False
            return False
        with self._lock:
            self._workers.append(worker)
            self._missing -= 1
        if not self._can_start:
            logger.warning("training processes can be started again")
        self._can_start = True
        return True

    def _remove(self, worker: "_Worker") -> None:
        with self._lock:
            self._workers.remove(worker)
            self._missing += 1
        worker.process.kill()
        worker.process.join()
        worker.pipe.close()
        logger.error("training process %s died; starting another one", worker.process.pid)
        try:
            self._store.leases.reclaim_from(worker.name)
        except StoreUnavailable:
            logger.error("the job of the process could not be put back in the queue; it will be when its lease expires")
        if time.monotonic() - worker.began < MIN_LIFETIME_S:  # maybe not the job's fault: the next may die as fast
            self._closing.poll(MIN_LIFETIME_S)


class _Worker:
    """The engine's side of one training process.

    Attributes:
        idle_since: when it found no job in the queue; None if it works or has been woken since.
    """

    def __init__(self, name: str, settings: Settings, *, durable: bool, is_first: bool) -> None:
        """Starts the process, which looks at the queue at once."""
        self.name = name
        self.began = time.monotonic()
        self.idle_since: float | None = None
        self.pipe, remote = CONTEXT.Pipe()
        os.set_blocking(self.pipe.fileno(), False)
        self.process = CONTEXT.Process(
            target=_run_worker,
            args=(remote, name, settings, durable, is_first),
            name="separatrix-training",
            daemon=True,
        )
        try:
            fork_server.start(self.process)
        except BaseException:
            self.pipe.close()
            raise
        finally:
            remote.close()  # the process has its own copy; when it dies, ours reads end of file

    def wake(self) -> None:
        self.idle_since = None
        with suppress(OSError):  # the pipe is full of wakeups, or the process is dead
            os.write(self.pipe.fileno(), b"!")

    def read(self) -> bool:
        """Reads what the process has sent. Returns whether a job may have ended.

        Raises:
            EOFError: the process has died.
        """
        try:
            sent = os.read(self.pipe.fileno(), 4096)
        except BlockingIOError:
            return False
        except OSError:
            sent = b""
        if not sent:
            raise EOFError
        self.idle_since = time.monotonic() if sent.endswith(IDLE) else None
        return ENDED in sent


def _run_worker(pipe: "Connection[bytes, bytes]", name: str, settings: Settings, durable: bool, is_first: bool) -> None:
    """The main function of a training process. Returns when the engine closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole process group; the API process decides
    signal.signal(signal.SIGTERM, lambda *_: _hang_up(pipe))  # may reach the whole group too, as from systemd
    os.nice(settings.training_niceness)
    logs.set_up("training", settings.log_level, settings.log_format)
    from models.inference.compiled import warm_up_inference
    from service.jobs.loop import LoopControl, claim_jobs

    control = LoopControl()
    threading.Thread(target=_listen, args=(pipe, control.wake, control.stop), daemon=True).start()
    if is_first:  # fills the cache for the serving process, which would otherwise compile on its first large request
        threading.Thread(target=warm_up_inference, daemon=True).start()
    limit_memory(settings.max_training_memory_bytes)
    claim_jobs(
        name,
        settings,
        control,
        durable=durable,
        on_claim=lambda: _tell(pipe, CLAIMED),
        on_job_end=lambda: _tell(pipe, ENDED),
        on_idle=lambda: _tell(pipe, IDLE),
    )


def _listen(pipe: "Connection[bytes, bytes]", wake: Callable[[], object], stop: Callable[[], object]) -> None:
    """Passes on the engine's wakeups, and its end."""
    with suppress(OSError):
        while os.read(pipe.fileno(), 4096):
            wake()
    stop()


def _hang_up(pipe: "Connection[bytes, bytes]") -> None:
    """Simulates the engine closing the pipe. Safe in a signal handler, since it takes no lock."""
    with socket.socket(fileno=os.dup(pipe.fileno())) as duplicate:
        duplicate.shutdown(socket.SHUT_RD)


def _tell(pipe: "Connection[bytes, bytes]", what: bytes) -> None:
    with suppress(OSError):  # the engine is gone
        os.write(pipe.fileno(), what)
