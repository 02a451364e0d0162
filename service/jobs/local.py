"""The default engine: a few processes on this machine, started once and kept warm."""

import logging
import multiprocessing
import os
import queue
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path

from service.errors import StoreUnavailable
from service.records import Job
from service.store.files import Files
from service.store.store import Store

logger = logging.getLogger(__name__)

STOP_S = 3.0
"""How long a process may go on with the step it is in when the engine closes, before it is killed."""

RETRY_S = 1.0
"""How long to wait before trying again to start a process, when the machine has no room for one."""

NICENESS = 10
"""How far training processes stand back, on the scale of `nice`: predictions come first on a busy machine."""

NOT_YET = -1
"""The attempt of a worker that was handed a job but has not claimed it."""

_SPAWN = multiprocessing.get_context("spawn")  # a fork would copy the API's threads' locks as they happen to stand


class LocalEngine:
    """Hands each job to the next free process.

    Each process has a thread of this one that hands it jobs, and starts another process when it finds it dead. A dead
    process's job is not handed on from here: its lease runs out, and whoever reconciles the queue starts it again.
    """

    def __init__(
        self, store: Store, data_dir: Path, *, processes: int, log_level: str, on_end: Callable[[], object]
    ) -> None:
        """Starts the processes; they are warm a second or two later, and jobs wait for them until then.

        `on_end` is called when a process is done with a job, from a thread of the engine: a hint to look at the rows.
        """
        self._store = store
        self._on_end = on_end
        self._waiting: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._held: set[str] = set()
        self._closing = threading.Event()
        self._lock = threading.Lock()  # of what is held, of who is closing, and of what each worker has
        self._workers = [_Worker(data_dir, log_level) for _ in range(processes)]
        self._threads = [threading.Thread(target=self._serve, args=(worker,), daemon=True) for worker in self._workers]
        for thread in self._threads:
            thread.start()

    def start(self, job: Job) -> None:
        """Sees to it that a worker takes the job soon. Asking again for a job that it holds changes nothing."""
        with self._lock:
            if job.id in self._held:
                return
            self._held.add(job.id)
        self._waiting.put(job)

    def end_worker(self, job: Job) -> None:
        """Kills the process that makes this attempt, if it is one of ours; its thread starts another."""
        with self._lock:
            for worker in self._workers:
                if worker.job is not None and worker.job.id == job.id and worker.attempt == job.attempt:
                    logger.error("training process %s is killed", worker.pid)
                    worker.kill()

    def close(self) -> None:
        """Ends the processes. Jobs that they run go back to the queue."""
        with self._lock:
            self._closing.set()
            for worker in self._workers:
                self._waiting.put(None)
                worker.stop()
        until = time.monotonic() + STOP_S
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        with self._lock:
            unfinished = [replace(worker.job, attempt=worker.attempt) for worker in self._workers if worker.job]
        for thread, worker in zip(self._threads, self._workers, strict=True):
            worker.kill()
            worker.join()
            thread.join()
        for job in unfinished:
            try:
                self._store.put_back(job)
            except StoreUnavailable:
                logger.exception("job %s could not be put back; its lease will run out", job.id)

    def _serve(self, worker: "_Worker") -> None:
        while (job := self._waiting.get()) is not None:
            with self._lock:
                if self._closing.is_set():
                    return
                worker.job, worker.attempt = job, NOT_YET
            survived = worker.run(job.id)
            with self._lock:
                worker.job = None
                self._held.discard(job.id)
            self._on_end()
            if not survived and not self._replace(worker, job):
                return

    def _replace(self, worker: "_Worker", job: Job) -> bool:
        """Starts another process in the place of one that died; False if the engine closes meanwhile."""
        while True:
            with self._lock:  # `close` must see either the old process or the new one
                if self._closing.is_set():
                    return False
                try:
                    logger.error("training process %s died over job %s; starting another", worker.pid, job.id)
                    worker.start_again()
                    return True
                except OSError as error:
                    logger.error("no training process can be started (%s); trying again", error.strerror)
            self._closing.wait(RETRY_S)


class _Worker:
    """One training process, this side of the pipe to it, the job that it was handed, and the attempt that it makes."""

    def __init__(self, data_dir: Path, log_level: str) -> None:
        self.job: Job | None = None
        self.attempt = NOT_YET
        self._arguments = (data_dir, log_level)
        self._process, self._pipe = self._start()

    @property
    def pid(self) -> int | None:
        return self._process.pid

    def _start(self) -> tuple[SpawnProcess, "Connection[str | None, int | None]"]:
        here, there = _SPAWN.Pipe()
        process = _SPAWN.Process(target=_work, args=(there, *self._arguments), name="separatrix-training", daemon=True)
        process.start()
        there.close()  # the process has its own; when it dies, ours reads the end of the file
        return process, here

    def start_again(self) -> None:
        self._pipe.close()
        self._process.kill()
        self._process.join()
        self._process, self._pipe = self._start()

    def run(self, job_id: str) -> bool:
        """Has the process run a job to its end; False if the process died."""
        try:
            self._pipe.send(job_id)
            while (attempt := self._pipe.recv()) is not None:
                self.attempt = attempt
        except (EOFError, OSError):
            return False
        return True

    def stop(self) -> None:
        """Ends the process: at once if it has no job, else as soon as it has put the job back."""
        if self.job is None:
            self._process.terminate()
        with suppress(OSError):  # raised when it is dead already
            self._pipe.send(None)

    def kill(self) -> None:
        self._process.kill()

    def join(self) -> None:
        self._process.join()


def _work(pipe: "Connection[int | None, str | None]", data_dir: Path, log_level: str) -> None:
    """What a training process does: job after job, until it is told to stop or the API process is gone.

    Anything in the pipe during a job, be it the word to stop or its end, means: put the job back and stop.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the API process decides
    os.nice(NICENESS)
    logging.basicConfig(level=log_level.upper(), format="%(levelname)s:     [training] %(message)s")
    # torch and numba take seconds to import, and only this process needs them
    from models.compiled import warm_up_answers, warm_up_training
    from service.jobs.worker import run_job

    files = Files(data_dir)
    store = Store(files.database)
    warm_up_training()
    # for the serving process, which would else compile when first asked for something large
    threading.Thread(target=warm_up_answers, daemon=True).start()
    try:
        while (job_id := pipe.recv()) is not None:
            try:
                run_job(job_id, store=store, files=files, should_release=pipe.poll, on_claim=pipe.send)
            except Exception:
                logger.exception("job %s could not be brought to an end; it will be tried again", job_id)
            pipe.send(None)
    except (EOFError, OSError):
        pass  # the API process is gone
    finally:
        store.close()
